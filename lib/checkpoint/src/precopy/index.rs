//! The page index: the hashes of all pages that the receiver has after a round.
//!
//! The sender keeps the index between the rounds. Format, all numbers in little-endian order:
//!
//! | bytes | content |
//! |---|---|
//! | 8 | `CKPTPIDX` |
//! | 4 | the version, 1 |
//! | 4 | the page size |
//! | 32 | the key of the hashes |
//! | 16 | the kernel's boot ID |
//! | 4, 8 | PID and start time of the container's first process |
//! | 4 | the number of rounds |
//! | 16 | the ID of the last round |
//! | … | spaces: a byte (1 process, 2 shared memory), the ID, then runs |
//! | 1 | 0 |
//! | 32 | the keyed hash of all preceding bytes |
//!
//! The ID of a space and the numbers of a run are integers of variable length (LEB128). A run is
//! the number of pages between the run and the end of the previous run, the number of its pages,
//! and their hashes. A run with 0 pages ends the space.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};
use std::ops::Range;

use super::key::{Digest, Key};
use super::origin::Origin;
use super::{PAGE_SIZE, RoundId};
use crate::error::{Error, Result};

pub(super) const MAGIC: [u8; 8] = *b"CKPTPIDX";
pub(super) const VERSION: u32 = 1;
pub(super) const PROCESS: u8 = 1;
pub(super) const SHARED: u8 = 2;
pub(super) const END: u8 = 0;

/// The maximum number of spaces. The archive of a round has two members for each space, and an
/// archive with more members is rejected.
const MAX_SPACES: usize = 1 << 17;

/// What contains pages: CRIU writes one pagemap for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// The private memory of the process with this PID in the container.
    Process(u32),
    /// The shared memory with this inode number.
    Shared(u64),
}

/// The first fields of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The key of all hashes.
    pub key: Key,
    /// The container.
    pub origin: Origin,
    /// The number of rounds that the receiver has.
    pub rounds: u32,
    /// The ID of the last round.
    pub last: RoundId,
}

/// A page that the receiver has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexedPage {
    /// The address; in shared memory, the offset.
    pub address: u64,
    /// The hash of the content.
    pub digest: Digest,
}

/// All pages that the receiver has.
#[derive(Clone, Debug)]
pub struct PageIndex {
    header: Header,
    spaces: BTreeMap<Space, Range<usize>>,
    pages: Vec<IndexedPage>,
}

impl PageIndex {
    /// Reads the index `name`. `size` is the size of the input in bytes, if it is known.
    ///
    /// # Errors
    /// Returns an error if the input cannot be read, is not an index, or was modified.
    pub fn read(name: &str, input: impl Read, size: Option<u64>) -> Result<PageIndex> {
        let mut pages = Vec::new();
        // Every page takes at least the bytes of its hash, so a lying number allocates nothing.
        let most = size.map_or(0, |size| size / size_of::<Digest>() as u64);
        pages.reserve_exact(usize::try_from(most).unwrap_or(0));
        let mut reader = IndexReader { input, hasher: blake3::Hasher::new(), failure: None };
        match reader.index(pages) {
            Ok(index) => Ok(index),
            Err(what) => Err(match reader.failure {
                Some(e) if e.kind() != ErrorKind::UnexpectedEof => Error::member(name, e),
                Some(_) => Error::member(name, "the page index is truncated"),
                None => Error::member(name, what),
            }),
        }
    }

    /// Checks that the index is of the container `origin`.
    ///
    /// # Errors
    /// Returns an error if the index is of another container, or of a process that has exited.
    pub fn check_origin(&self, name: &str, origin: &Origin) -> Result<()> {
        let what = match &self.header.origin {
            own if own == origin => return Ok(()),
            own if own.boot_id != origin.boot_id => "of another host, or from before it was restarted",
            own if own.pid != origin.pid => "of another container",
            _ => "of a process that has exited, whose PID another process has now",
        };
        Err(Error::member(name, format!("the page index is {what}")))
    }

    /// Returns the header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the pages of a space, in the order of their addresses.
    pub fn space(&self, space: Space) -> &[IndexedPage] {
        self.spaces.get(&space).and_then(|range| self.pages.get(range.clone())).unwrap_or_default()
    }

    /// Returns all spaces.
    pub fn spaces(&self) -> impl Iterator<Item = Space> {
        self.spaces.keys().copied()
    }
}

/// Reads an index, and hashes what it reads.
struct IndexReader<R> {
    input: R,
    hasher: blake3::Hasher,
    /// The error of the input.
    failure: Option<io::Error>,
}

type Parsed<T> = std::result::Result<T, &'static str>;

const MODIFIED: &str = "the page index is damaged or was modified";

impl<R: Read> IndexReader<R> {
    fn index(&mut self, mut pages: Vec<IndexedPage>) -> Parsed<PageIndex> {
        let header = self.header()?;
        let mut spaces = BTreeMap::new();
        loop {
            let kind = self.bytes::<1>()?[0];
            if kind == END {
                break;
            }
            let id = self.number()?;
            let space = match kind {
                PROCESS => Space::Process(u32::try_from(id).map_err(|_| MODIFIED)?),
                SHARED => Space::Shared(id),
                _ => return Err(MODIFIED),
            };
            let start = pages.len();
            self.runs(&mut pages)?;
            let is_new = spaces.insert(space, start..pages.len()).is_none();
            if !is_new || start == pages.len() || spaces.len() > MAX_SPACES {
                return Err(MODIFIED);
            }
        }
        let expected = self.hasher.finalize();
        // The comparison of blake3::Hash takes constant time.
        let found = blake3::Hash::from(self.bytes::<32>()?);
        let mut rest = [0];
        match self.input.read(&mut rest) {
            Ok(0) if expected == found => Ok(PageIndex { header, spaces, pages }),
            Ok(_) => Err(MODIFIED),
            Err(e) => {
                self.failure = Some(e);
                Err(MODIFIED)
            }
        }
    }

    fn header(&mut self) -> Parsed<Header> {
        let magic = self.bytes::<8>()?;
        let version = u32::from_le_bytes(self.bytes()?);
        if magic != MAGIC {
            return Err("not a page index of ckpt-pack");
        }
        if version != VERSION {
            return Err("a page index of another version of ckpt-pack");
        }
        let page_size = u32::from_le_bytes(self.bytes()?);
        if usize::try_from(page_size) != Ok(PAGE_SIZE) {
            return Err("a page index with another page size");
        }
        let key = Key(self.bytes()?);
        // The hash covers the bytes before the key, too.
        self.hasher = blake3::Hasher::new_keyed(&key.0);
        self.hasher.update(&magic).update(&version.to_le_bytes());
        self.hasher.update(&page_size.to_le_bytes()).update(&key.0);
        let header = Header {
            key,
            origin: Origin {
                boot_id: self.bytes()?,
                pid: u32::from_le_bytes(self.bytes()?),
                start_time: u64::from_le_bytes(self.bytes()?),
            },
            rounds: u32::from_le_bytes(self.bytes()?),
            last: self.bytes()?,
        };
        Ok(header)
    }

    fn runs(&mut self, pages: &mut Vec<IndexedPage>) -> Parsed<()> {
        let mut address = 0u64;
        let page = PAGE_SIZE as u64;
        loop {
            let gap = self.number()?;
            let count = self.number()?;
            if count == 0 {
                return if gap == 0 { Ok(()) } else { Err(MODIFIED) };
            }
            address = gap.checked_mul(page).and_then(|gap| address.checked_add(gap)).ok_or(MODIFIED)?;
            for _ in 0..count {
                let digest = self.bytes()?;
                pages.push(IndexedPage { address, digest });
                address = address.checked_add(page).ok_or(MODIFIED)?;
            }
        }
    }

    fn number(&mut self) -> Parsed<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.bytes::<1>()?[0];
            let part = u64::from(byte & 0x7f);
            if part << shift >> shift != part {
                return Err(MODIFIED);
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(MODIFIED)
    }

    fn bytes<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let mut bytes = [0; N];
        if let Err(e) = self.input.read_exact(&mut bytes) {
            self.failure = Some(e);
            return Err(MODIFIED);
        }
        self.hasher.update(&bytes);
        Ok(bytes)
    }
}
