//! Reads the members of an archive.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};

use tartree::{Content, Direct, Entry, Item, Kind, Limits, Reader, Skip, TarPath};

use super::{PARENT, PARENT_TARGET};
use crate::compress::{Bound, Compression};
use crate::documents::pod::PodOptions;
use crate::error::{Error, Result};
use crate::member::{Member, POD_OPTIONS};
use crate::tar_input::TarInput;

/// The maximum number of members in an archive. CRIU writes about eight files per process; an
/// archive with more members is an attack that exhausts the memory.
const MAX_MEMBERS: u64 = 1 << 18;

/// How unknown members are handled. All returned members are regular files or directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Unknown members are errors.
    Refuse,
    /// Unknown members are returned, except those that must not be extracted into a bundle
    /// ([`Member::refusal`]).
    Keep,
    /// All unknown members are returned, for tools that only list them.
    Show,
}

/// The bytes after the end-of-archive blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// The number of zero bytes, with which tar programs fill a record of a tape.
    pub padding: u64,
    /// The number of bytes after the padding, which no reader reads.
    pub other: u64,
}

/// Reads an archive with any compression. A member with a wrong type or a duplicate name is an
/// error.
pub struct ArchiveReader<R: Read> {
    reader: Reader<TarInput<R>>,
    compression: Compression,
    bound: Bound,
    unknown: Unknown,
    seen: BTreeSet<Member>,
    /// The members in `seen` that are directories.
    dirs: BTreeSet<Member>,
    first: bool,
    /// Whether the archive is a member of a pod archive.
    in_pod: bool,
}

impl<R: Read> ArchiveReader<R> {
    /// Detects the compression of `input` by its first bytes.
    ///
    /// # Errors
    /// Returns an error if the input cannot be read or is empty.
    pub fn new(input: R, unknown: Unknown) -> Result<ArchiveReader<R>> {
        ArchiveReader::bounded(input, unknown, Limits::default(), Bound::default())
    }

    /// Opens an archive with `limits`. `bound` limits the decompressed size.
    ///
    /// # Errors
    /// Returns an error if the input cannot be read or is empty.
    pub fn bounded(input: R, unknown: Unknown, limits: Limits, bound: Bound) -> Result<ArchiveReader<R>> {
        ArchiveReader::direct(input, unknown, limits, bound, |_, _, _| Some(0))
    }

    /// Opens an archive as [`bounded`](ArchiveReader::bounded) does, and moves the content of large
    /// files with `direct`, as [`Reader::direct`] does.
    ///
    /// # Errors
    /// Returns an error if the input cannot be read or is empty.
    pub fn direct(
        input: R,
        unknown: Unknown,
        limits: Limits,
        bound: Bound,
        direct: Direct<TarInput<R>>,
    ) -> Result<ArchiveReader<R>> {
        let input = TarInput::archive(input, bound.clone());
        ArchiveReader::of(input, unknown, bound, |tar| Reader::direct(tar, of_archive(limits), direct))
    }

    /// Opens an archive as [`bounded`](ArchiveReader::bounded) does, and seeks over content that is
    /// not read, as [`Reader::skipping`] does.
    ///
    /// # Errors
    /// Returns an error if the input cannot be read or is empty.
    pub fn skipping(input: R, unknown: Unknown, limits: Limits, bound: Bound) -> Result<ArchiveReader<R>>
    where
        R: Skip,
    {
        let input = TarInput::skipping(input, bound.clone());
        ArchiveReader::of(input, unknown, bound, |tar| Reader::skipping(tar, of_archive(limits)))
    }

    fn of(
        input: io::Result<TarInput<R>>,
        unknown: Unknown,
        bound: Bound,
        reader: impl FnOnce(TarInput<R>) -> Reader<TarInput<R>>,
    ) -> Result<ArchiveReader<R>> {
        let io = |source| Error::Compression { what: "archive", source };
        let mut input = input.map_err(io)?;
        if input.is_empty().map_err(io)? {
            return Err(Error::Empty { expected: "an archive" });
        }
        let compression = input.compression();
        Ok(ArchiveReader {
            reader: reader(input),
            compression,
            bound,
            unknown,
            seen: BTreeSet::new(),
            dirs: BTreeSet::new(),
            first: true,
            in_pod: false,
        })
    }

    /// Rejects an archive that is a pod archive itself.
    #[must_use]
    pub(super) fn in_pod(self, in_pod: bool) -> ArchiveReader<R> {
        ArchiveReader { in_pod, ..self }
    }

    /// Keeps the headers that are read, for a caller that copies members with
    /// [`ArchiveWriter::verbatim`](super::ArchiveWriter::verbatim).
    #[must_use]
    pub fn recording(self) -> ArchiveReader<R> {
        ArchiveReader { reader: self.reader.recording(), ..self }
    }

    /// Returns the headers that were read since the last call, as they are in the archive,
    /// including those of directories that are not members. Returns `None` if they are too large to
    /// be kept, or without [`recording`](ArchiveReader::recording).
    pub fn take_headers(&mut self) -> Option<Vec<u8>> {
        self.reader.take_headers()
    }

    /// Returns the compression of the archive.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Returns the bound for compressed content of members.
    pub fn bound(&self) -> Bound {
        self.bound.within()
    }

    /// Returns the next member and its entry. [`content`](ArchiveReader::content) then reads its
    /// bytes. Returns `None` at the end of the archive; then call
    /// [`finish`](ArchiveReader::finish).
    ///
    /// # Errors
    /// Returns an error if the input is not an archive, is truncated, or has an entry that an
    /// archive must not have.
    #[expect(clippy::should_implement_trait, reason = "content borrows the reader between two calls")]
    pub fn next(&mut self) -> Result<Option<(Member, Entry)>> {
        loop {
            let item = self.reader.next().map_err(|e| self.not_an_archive(e))?;
            let first = std::mem::take(&mut self.first);
            match item {
                None if first => return Err(Error::member("archive", "it has no members")),
                None => return Ok(None),
                Some(Item::Removal(path)) => {
                    return Err(Error::member(path, "a removal header between members"));
                }
                // `tar -C DIR -c .` and `tar -c *` write these directories.
                Some(Item::Entry(entry)) if is_ignored(&entry) => {}
                Some(Item::Entry(entry)) if self.is_pod_in_pod(&entry) => {
                    return Err(Error::member(entry.path, "a pod archive inside a pod archive"));
                }
                Some(Item::Entry(entry)) => return self.member(entry).map(Some),
            }
        }
    }

    /// Returns a reader of the member that [`next`](ArchiveReader::next) returned.
    pub fn content(&mut self) -> Content<'_, TarInput<R>> {
        self.reader.content()
    }

    /// Returns the offset in the archive of the content of the member that
    /// [`next`](ArchiveReader::next) returned, before any of it is read. Returns `None` if the
    /// archive is compressed.
    pub fn content_offset(&self) -> Option<u64> {
        (self.compression == Compression::None).then(|| self.reader.position())
    }

    /// Returns the members that were read so far.
    pub fn seen(&self) -> &BTreeSet<Member> {
        &self.seen
    }

    /// Reads the input to its end, where a compressed stream has its checksum.
    ///
    /// # Errors
    /// Returns an error if the input is truncated or its checksum is wrong.
    pub fn finish(mut self) -> Result<()> {
        Ok(self.reader.drain()?)
    }

    /// Does the same as [`finish`](ArchiveReader::finish), and counts the bytes after the
    /// end-of-archive blocks.
    ///
    /// # Errors
    /// Returns an error if the input is truncated or its checksum is wrong.
    pub fn finish_counting(mut self) -> Result<Rest> {
        count_rest(self.reader.get_mut())
    }

    fn member(&mut self, entry: Entry) -> Result<(Member, Entry)> {
        let member = Member::of(&entry.path);
        if let Some(why) = member.refusal().filter(|_| self.unknown != Unknown::Show) {
            return Err(Error::member(&entry.path, why));
        }
        let known = match &member {
            Member::Unknown(_) if self.unknown == Unknown::Refuse => {
                return Err(Error::unknown_member(&entry.path));
            }
            Member::Images(path) | Member::PreImages(path) | Member::Artifacts(path) => match &entry.kind {
                Kind::Dir => true,
                Kind::File { .. } => !path.is_root(),
                Kind::Symlink { target } => {
                    matches!(member, Member::Images(_))
                        && path.as_bytes() == PARENT
                        && target == PARENT_TARGET
                }
                _ => false,
            },
            Member::Unknown(_) => matches!(entry.kind, Kind::Dir | Kind::File { map: None, .. }),
            _ => matches!(entry.kind, Kind::File { map: None, .. }),
        };
        if !known {
            return Err(Error::member(&entry.path, "not a regular file"));
        }
        if !self.seen.insert(member.clone()) {
            return Err(Error::member(&entry.path, "occurs twice in the archive"));
        }
        if entry.kind == Kind::Dir {
            self.dirs.insert(member.clone());
        } else if self.has_members_below(&entry.path) {
            return Err(Error::member(&entry.path, "is a file, but members are below it"));
        }
        if let Some(file) = self.file_above(&entry.path) {
            return Err(Error::member(&entry.path, format!("is below {file}, which is a file")));
        }
        Ok((member, entry))
    }

    /// Returns whether the archive is a member of a pod archive and begins like one.
    fn is_pod_in_pod(&self, entry: &Entry) -> bool {
        self.in_pod && self.seen.is_empty() && Member::of(&entry.path) == PodOptions::member()
    }

    fn file_above(&self, path: &TarPath) -> Option<TarPath> {
        let above = std::iter::successors(path.parent(), TarPath::parent);
        above
            .map(|path| Member::of(&path))
            .find(|m| self.seen.contains(m) && !self.dirs.contains(m))
            .map(|m| m.path())
    }

    fn has_members_below(&self, path: &TarPath) -> bool {
        // Members of one kind are ordered by name, and no name below `path` sorts before `first`.
        let first = Member::of(&path.child(b"\x01"));
        self.seen.range(first..).next().is_some_and(|member| member.path().starts_with(path))
    }

    /// Converts an error of the tar reader. If the first header is malformed, the input is another
    /// kind of file.
    fn not_an_archive(&self, e: tartree::Error) -> Error {
        match e {
            tartree::Error::NotATar { found }
                if self.compression != Compression::None && found.is_compressed() =>
            {
                Error::Twice { outer: self.compression.name(), found }
            }
            tartree::Error::Malformed { .. } if self.first => {
                Error::member("archive", format!("not a checkpoint archive ({e})"))
            }
            e => Error::Tar(e),
        }
    }
}

/// Reads `input` to its end, and counts the bytes after the end-of-archive blocks.
pub(super) fn count_rest(input: &mut impl BufRead) -> Result<Rest> {
    let io = |e| Error::Tar(tartree::Error::Stream(e));
    let mut rest = Rest::default();
    loop {
        let bytes = match input.fill_buf() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            bytes => bytes.map_err(io)?,
        };
        let len = bytes.len();
        if len == 0 {
            return Ok(rest);
        }
        let zeros = match rest.other {
            0 => bytes.iter().take_while(|&&byte| byte == 0).count(),
            _ => 0,
        };
        rest.padding += zeros as u64;
        rest.other += (len - zeros) as u64;
        input.consume(len);
    }
}

/// Lists the missing members without which no container engine restores the container, as messages.
/// `members` are the members of an archive. With `without_config`, the documents may be missing.
pub fn missing(members: &BTreeSet<Member>, without_config: bool) -> Vec<String> {
    let file = |name: &str| Member::of(&TarPath::root().child(name.as_bytes()));
    if is_pod_in_wrong_order(members) {
        return vec![format!("{POD_OPTIONS}: {POD_OPTIONS_LATE}")];
    }
    let dumped = members.iter().any(|m| matches!(m, Member::Images(_)));
    let is_pre = !dumped && members.iter().any(|m| matches!(m, Member::PreImages(_)));
    // A pre-dump is never restored on its own, so not every container engine writes its inventory.
    let mut required = if is_pre { Vec::new() } else { vec!["checkpoint/inventory.img"] };
    // A round of a migration has only memory.
    let is_round = is_pre && members.iter().any(Member::is_delta);
    if !without_config && !is_round {
        required.extend(["config.dump", "spec.dump"]);
    }
    required.retain(|name| !members.contains(&file(name)));
    required.iter().map(|name| format!("{name}: not in the archive")).collect()
}

/// Why a pod archive is not one for its readers, which decide by the first member.
pub const POD_OPTIONS_LATE: &str = "expected as the first member of a pod archive, found after other members; pack it again with ckpt-pack --pod-config";

/// Returns whether `members` are those of a pod archive that does not start with pod.options. The
/// archive of a container may hold pod.options, too, but also has a document of the container.
pub fn is_pod_in_wrong_order(members: &BTreeSet<Member>) -> bool {
    let has = |name: &str| members.contains(&Member::of(&TarPath::root().child(name.as_bytes())));
    let is_dump = |member: &Member| matches!(member, Member::Images(_) | Member::PreImages(_));
    has(POD_OPTIONS) && !has("config.dump") && !has("spec.dump") && !members.iter().any(is_dump)
}

/// Returns the limits for the archive's own tar.
fn of_archive(limits: Limits) -> Limits {
    Limits { entries: limits.entries.min(MAX_MEMBERS), ..limits }
}

fn is_ignored(entry: &Entry) -> bool {
    entry.kind == Kind::Dir && (entry.path.is_root() || entry.path.as_bytes() == b"volumes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_at_most_its_number_of_members() {
        let limits = Limits { name_bytes: 1, ..Limits::default() };
        for (entries, expected) in [(5, 5), (MAX_MEMBERS + 1, MAX_MEMBERS), (u64::MAX, MAX_MEMBERS)] {
            let limits = of_archive(Limits { entries, ..limits });
            assert_eq!((limits.entries, limits.name_bytes), (expected, 1), "{entries}");
        }
    }
}
