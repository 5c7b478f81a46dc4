//! Reads a pod archive: a tar of `pod.options`, `pod.dump`, documents of the pod, and one archive
//! for each container.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;

use tartree::{Content, Entry, Item, Kind, Reader, TarPath};

use super::Rest;
use super::bytes::{Input, move_input};
use super::open::Reading;
use super::read::Unknown;
use super::read::count_rest;
use crate::compress::{Bound, Compression};
use crate::documents::pod::{ContainerName, MAX_DOCUMENTS, PodContainer, PodDump, PodOptions};
use crate::error::{Error, Result};
use crate::member::Member;
use crate::tar_input::TarInput;

/// How a pod archive is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodPass {
    /// All content is read.
    Complete,
    /// Content that is not read is skipped by seeking if the input is a file.
    Headers,
}

/// A member of a pod archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodMember {
    /// The archive of a container.
    Container(ContainerName),
    /// A document of the pod, or the tar of `/dev/shm` or of a shared volume.
    Document(Member),
}

/// Reads the members of a pod archive, in one pass.
pub struct PodReader {
    reader: Reader<TarInput<Input<File>>>,
    compression: Compression,
    bound: Bound,
    unknown: Unknown,
    options: PodOptions,
    /// The containers whose members were not read yet.
    left: BTreeMap<TarPath, ContainerName>,
    seen: BTreeSet<TarPath>,
    documents: usize,
    ended: bool,
}

impl PodReader {
    /// Reads `pod.options` at the start of `input`.
    ///
    /// # Errors
    /// Returns an error if the input is not a pod archive.
    pub(super) fn open(input: Input<File>, pass: PodPass, reading: &Reading) -> Result<PodReader> {
        let io = |source| Error::Compression { what: "archive", source };
        let (limits, bound) = (&reading.limits, reading.bound.anew());
        let (mut reader, compression) = match pass {
            PodPass::Complete => {
                let tar = TarInput::archive(input, bound.clone()).map_err(io)?;
                let compression = tar.compression();
                let reader = Reader::direct(tar, limits.clone(), |tar, output, n| {
                    tar.past_buffer(|input| move_input(input, output, n))
                });
                (reader, compression)
            }
            PodPass::Headers => {
                let tar = TarInput::skipping(input, bound.clone()).map_err(io)?;
                let compression = tar.compression();
                (Reader::skipping(tar, limits.clone()), compression)
            }
        };
        let options = loop {
            match reader.next()? {
                Some(Item::Entry(entry)) if is_ignored(&entry) => {}
                Some(Item::Entry(entry)) if Member::of(&entry.path) == PodOptions::member() => {
                    let is_file = matches!(entry.kind, Kind::File { map: None, .. });
                    if !is_file || entry.kind.len() > PodOptions::LIMIT {
                        let what = format!("expected a file of at most {} bytes", PodOptions::LIMIT);
                        return Err(Error::member(&entry.path, what));
                    }
                    let mut text = Vec::new();
                    reader.content().read_to_end(&mut text).map_err(tartree::Error::Stream)?;
                    break PodOptions::read(&text)?;
                }
                _ => return Err(Error::member("archive", "not a pod archive: pod.options must come first")),
            }
        };
        let left =
            options.containers.iter().map(|PodContainer { name, member }| (member.clone(), name.clone()));
        let left = left.collect();
        let seen = BTreeSet::from([PodOptions::member().path()]);
        let unknown = reading.unknown;
        Ok(PodReader { reader, compression, bound, unknown, options, left, seen, documents: 0, ended: false })
    }

    /// Returns the document that lists the containers.
    pub fn options(&self) -> &PodOptions {
        &self.options
    }

    /// Returns the compression of the archive.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Returns the bound for content of members.
    pub fn bound(&self) -> Bound {
        self.bound.within()
    }

    /// Returns the next member and its entry. [`content`](PodReader::content) then reads its bytes.
    /// Returns `None` at the end of the archive.
    ///
    /// # Errors
    /// Returns an error if the input is truncated, or has an entry that a pod archive must not have.
    #[expect(clippy::should_implement_trait, reason = "content borrows the reader between two calls")]
    pub fn next(&mut self) -> Result<Option<(PodMember, Entry)>> {
        while !self.ended {
            match self.reader.next()? {
                None => self.ended = true,
                Some(Item::Removal(path)) => {
                    return Err(Error::member(path, "a removal header between members"));
                }
                Some(Item::Entry(entry)) if is_ignored(&entry) => {}
                Some(Item::Entry(entry)) => return self.member(entry).map(Some),
            }
        }
        Ok(None)
    }

    /// Returns a reader of the member that [`next`](PodReader::next) returned.
    pub fn content(&mut self) -> Content<'_, TarInput<Input<File>>> {
        self.reader.content()
    }

    /// Returns the offset in the archive of the content of the current member, before any of it is
    /// read.
    pub(super) fn position(&self) -> u64 {
        self.reader.position()
    }

    /// Reads up to the archive of the container `wanted`.
    ///
    /// # Errors
    /// Returns an error if the pod has no such container, and the errors of [`next`](PodReader::next).
    pub(super) fn advance_to(&mut self, wanted: &ContainerName) -> Result<Entry> {
        if !self.options.containers.iter().any(|container| container.name == *wanted) {
            return Err(Error::Container { name: wanted.to_string(), names: self.options.names() });
        }
        while let Some((member, entry)) = self.next()? {
            if matches!(&member, PodMember::Container(name) if name == wanted) {
                return Ok(entry);
            }
        }
        Err(self.missing_member().unwrap_or_else(|| Error::member("archive", "has no such container")))
    }

    /// Reads the rest of the archive, and checks that all containers are in it.
    ///
    /// # Errors
    /// Returns the errors of [`next`](PodReader::next), and an error if a member is missing.
    pub(super) fn read_to_end(&mut self) -> Result<()> {
        while self.next()?.is_some() {}
        match self.missing_member() {
            Some(error) => Err(error),
            None => Ok(self.reader.drain()?),
        }
    }

    /// Returns the members that were not read, as messages.
    pub fn missing(&self) -> Vec<String> {
        let containers =
            self.left.keys().map(|path| format!("{path}: not in the archive, but in pod.options"));
        let dump = PodDump::member();
        let dump = (!self.seen.contains(&dump.path())).then(|| format!("{dump}: not in the archive"));
        dump.into_iter().chain(containers).collect()
    }

    fn missing_member(&self) -> Option<Error> {
        let first = self.missing().into_iter().next()?;
        let (member, what) = first.split_once(": ").unwrap_or(("archive", &first));
        Some(Error::member(member, what))
    }

    /// Reads the input to its end, where a compressed stream has its checksum, and counts the bytes
    /// after the end-of-archive blocks.
    ///
    /// # Errors
    /// Returns an error if the input is truncated or its checksum is wrong.
    pub fn finish_counting(mut self) -> Result<Rest> {
        count_rest(self.reader.get_mut())
    }

    fn member(&mut self, entry: Entry) -> Result<(PodMember, Entry)> {
        let path = &entry.path;
        let error = |what: &str| Err(Error::member(path, what));
        if !self.seen.insert(path.clone()) {
            return error("occurs twice in the archive");
        }
        if let Some(name) = self.left.remove(path) {
            return match entry.kind {
                Kind::File { map: None, .. } => Ok((PodMember::Container(name), entry)),
                Kind::Dir => {
                    error("is a directory of a container, expected its archive; see Pods in ckpt-unpack(1)")
                }
                _ => error("not a regular file"),
            };
        }
        let member = Member::of(path);
        match &member {
            Member::NetworkStatus | Member::DevShm | Member::Volume(_) => {}
            _ if member == PodDump::member() => {}
            Member::Unknown(path) if is_below_container(path, &self.options) => {
                return error(
                    "is in a directory of a container, expected its archive; see Pods in ckpt-unpack(1)",
                );
            }
            Member::Unknown(path) if path.as_bytes().ends_with(b".tar") => {
                return error("not a container of pod.options");
            }
            Member::Unknown(path) if self.unknown == Unknown::Refuse => {
                return Err(Error::unknown_member(path));
            }
            Member::Unknown(_) => {}
            _ => return error("belongs to the archive of a container, not to a pod archive"),
        }
        if !matches!(entry.kind, Kind::File { map: None, .. }) {
            return error("not a regular file");
        }
        self.documents += 1;
        // Each pod has pod.dump, which does not count.
        if self.documents > MAX_DOCUMENTS + 1 {
            return Err(Error::member("archive", format!("more than {MAX_DOCUMENTS} documents of the pod")));
        }
        Ok((PodMember::Document(member), entry))
    }
}

fn is_below_container(path: &TarPath, options: &PodOptions) -> bool {
    options.containers.iter().any(|container| path.starts_with(&container.member))
}

/// Returns whether the entry is a directory that `tar -C DIR -c .` writes.
fn is_ignored(entry: &Entry) -> bool {
    entry.kind == Kind::Dir && (entry.path.is_root() || entry.path.as_bytes() == b"volumes")
}
