//! An archive to members.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};

use tartree::{Content, Entry, Item, Kind, Limits, Reader, SKIPPING_BUFFER, Skip, TarPath};

use super::{PARENT, PARENT_TARGET};
use crate::compress::{Bound, Compression, Decoder};
use crate::error::{Error, Result};
use crate::member::Member;

/// Members of one archive. CRIU writes some eight files for each process; more than these are an attack on the memory.
const MEMBERS: u64 = 1 << 18;
const BUFFER: usize = 256 << 10;
/// What is wrong with a member nobody knows.
pub const UNKNOWN: &str = "not a member of a checkpoint archive";

/// What to do with members nobody knows. Those that are given must be regular files or directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// They are errors.
    Refuse,
    /// They are given like others, but for those that a bundle cannot take ([`Member::refusal`]).
    Keep,
    /// All are given: for those who only look.
    Show,
}

/// Reads an archive in any compression. Members that are not of a known name and type, or stand twice, are errors.
pub struct ArchiveReader<R: BufRead> {
    reader: Reader<BufReader<Decoder<R>>>,
    compression: Compression,
    bound: Bound,
    unknown: Unknown,
    seen: BTreeSet<Member>,
    /// Those of them that are directories.
    dirs: BTreeSet<Member>,
    first: bool,
}

impl<R: BufRead> ArchiveReader<R> {
    /// Looks at the first bytes of `input` for its compression.
    ///
    /// # Errors
    /// When the input cannot be read or is empty.
    pub fn new(input: R, unknown: Unknown) -> Result<ArchiveReader<R>> {
        ArchiveReader::bounded(input, unknown, Limits::default(), Bound::default())
    }

    /// The same within other limits, and within `bound` when decompressed.
    ///
    /// # Errors
    /// When the input cannot be read or is empty.
    pub fn bounded(input: R, unknown: Unknown, limits: Limits, bound: Bound) -> Result<ArchiveReader<R>> {
        ArchiveReader::with(input, unknown, bound, |decoder| {
            Reader::new(BufReader::with_capacity(BUFFER, decoder), of_archive(limits))
        })
    }

    /// As [`bounded`](ArchiveReader::bounded), passing over content that nobody reads, as [`Reader::skipping`] does.
    ///
    /// # Errors
    /// When the input cannot be read or is empty.
    pub fn skipping(input: R, unknown: Unknown, limits: Limits, bound: Bound) -> Result<ArchiveReader<R>>
    where
        R: Skip,
    {
        ArchiveReader::with(input, unknown, bound, |decoder| {
            Reader::skipping(BufReader::with_capacity(SKIPPING_BUFFER, decoder), of_archive(limits))
        })
    }

    fn with(
        mut input: R,
        unknown: Unknown,
        bound: Bound,
        reader: impl FnOnce(Decoder<R>) -> Reader<BufReader<Decoder<R>>>,
    ) -> Result<ArchiveReader<R>> {
        let io = |source| Error::Compression { what: "archive", source };
        if input.fill_buf().map_err(io)?.is_empty() {
            return Err(Error::member("archive", "it is empty"));
        }
        let decoder = Decoder::bounded(input, bound.clone()).map_err(io)?;
        let compression = decoder.compression();
        Ok(ArchiveReader {
            reader: reader(decoder),
            compression,
            bound,
            unknown,
            seen: BTreeSet::new(),
            dirs: BTreeSet::new(),
            first: true,
        })
    }

    /// How the archive is compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The bound for what is compressed in a member.
    pub fn bound(&self) -> Bound {
        self.bound.within()
    }

    /// The next member's entry; its bytes are then [`content`](ArchiveReader::content). `None` at the end of the archive:
    /// then call [`finish`](ArchiveReader::finish).
    ///
    /// # Errors
    /// When the archive is cut, is none, or holds what must not be in one.
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
                // "tar -C DIR -c ." and "tar -c *" make these; there is nothing to do for them.
                Some(Item::Entry(entry)) if is_passed_over(&entry) => {}
                Some(Item::Entry(entry)) => return self.member(entry).map(Some),
            }
        }
    }

    /// The bytes of the member that [`next`](ArchiveReader::next) gave.
    pub fn content(&mut self) -> Content<'_, BufReader<Decoder<R>>> {
        self.reader.content()
    }

    /// The members so far.
    pub fn seen(&self) -> &BTreeSet<Member> {
        &self.seen
    }

    /// Reads the input to its end, which is where a compressed stream proves that it is whole.
    ///
    /// # Errors
    /// When it is cut or its checksum is wrong.
    pub fn finish(mut self) -> Result<()> {
        Ok(self.reader.drain()?)
    }

    fn member(&mut self, entry: Entry) -> Result<(Member, Entry)> {
        let member = Member::of(&entry.path);
        if let Some(why) = member.refusal().filter(|_| self.unknown != Unknown::Show) {
            return Err(Error::member(&entry.path, why));
        }
        let known = match &member {
            Member::Unknown(_) if self.unknown == Unknown::Refuse => {
                return Err(Error::member(&entry.path, UNKNOWN));
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
            return Err(Error::member(&entry.path, "stands twice in the archive"));
        }
        if entry.kind == Kind::Dir {
            self.dirs.insert(member.clone());
        } else if self.has_members_below(&entry.path) {
            return Err(Error::member(&entry.path, "a file, and members lie below it"));
        }
        if let Some(file) = self.file_above(&entry.path) {
            return Err(Error::member(&entry.path, format!("below {file}, which is a file")));
        }
        Ok((member, entry))
    }

    fn file_above(&self, path: &TarPath) -> Option<TarPath> {
        let above = std::iter::successors(path.parent(), TarPath::parent);
        above
            .map(|path| Member::of(&path))
            .find(|m| self.seen.contains(m) && !self.dirs.contains(m))
            .map(|m| m.path())
    }

    fn has_members_below(&self, path: &TarPath) -> bool {
        // The first name below it that there could be; members of one kind are in the order of their names.
        let first = Member::of(&path.child(b"\x01"));
        self.seen.range(first..).next().is_some_and(|member| member.path().starts_with(path))
    }

    /// At the first header a wrong checksum means that this is something else.
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

/// The limits of the tar that the archive is.
fn of_archive(limits: Limits) -> Limits {
    Limits { entries: limits.entries.min(MEMBERS), ..limits }
}

fn is_passed_over(entry: &Entry) -> bool {
    entry.kind == Kind::Dir && (entry.path.is_root() || entry.path.as_bytes() == b"volumes")
}
