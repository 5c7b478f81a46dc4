//! Iterates over the items of a tar: header blocks with their extension headers and content.

use std::io::{self, Read};
use std::os::fd::BorrowedFd;

use super::announced::Announced;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::format::encode::padding;
use crate::format::file_kind::FileKind;
use crate::format::header::Block;
use crate::format::pax::Extended;
use crate::format::raw_header::BLOCK;
use crate::format::skip::{Skip, read_over};
use crate::limits::{Limit, Limits};
use crate::path::{Shown, TarPath};

/// An item of a tar.
#[derive(Debug)]
pub enum Item {
    /// An inode. The content of a file follows: [`Reader::content`].
    Entry(Entry),
    /// The path is to be removed before the following entries are created (see
    /// [`removal_header`](crate::removal_header)).
    Removal(TarPath),
}

/// Moves up to the given number of bytes from an input to the position of a file, inside the
/// kernel, as [`transfer`](crate::transfer) does. Returns the number of bytes moved, or `None` if
/// the next bytes are in a buffer.
pub type Direct<R> = fn(&mut R, BorrowedFd<'_>, u64) -> Option<u64>;

/// Reads one tar.
pub struct Reader<R> {
    pub(super) input: R,
    /// The function that skips bytes of the input.
    pub(super) skipper: fn(&mut R, u64) -> io::Result<u64>,
    pub(super) direct: Direct<R>,
    pub(super) limits: Limits,
    /// Unread bytes of the current entry and its padding.
    pub(super) remaining: u64,
    pub(super) pad: u64,
    pub(super) current: TarPath,
    pub(super) entries: u64,
    /// Bytes in the extension headers of the entry that is being read.
    extensions: u64,
    pub(super) content: u64,
    pub(super) position: u64,
    /// A header block that was read while looking for the next archive.
    ahead: Option<[u8; BLOCK]>,
    ended: bool,
    recording: Option<Recording>,
}

/// The header blocks that were read, for a caller that copies them.
#[derive(Default)]
struct Recording {
    bytes: Vec<u8>,
    /// Whether the bytes are not all header blocks that were read.
    incomplete: bool,
}

/// The largest recording in bytes: the headers and the sparse map of any entry within the default
/// limits fit.
const MAX_RECORDING: usize = 64 << 20;

impl Recording {
    fn add(&mut self, bytes: &[u8]) {
        if self.incomplete || bytes.len() > MAX_RECORDING - self.bytes.len() {
            // Without a limit, any number of empty headers before an entry would fill the memory.
            *self = Recording { bytes: Vec::new(), incomplete: true };
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }
}

impl<R: Read> Reader<R> {
    /// Reads from `input`, which should be buffered, because headers are read one block at a time.
    pub fn new(input: R, limits: Limits) -> Reader<R> {
        Reader {
            input,
            skipper: read_over,
            direct: |_, _, _| Some(0),
            limits,
            remaining: 0,
            pad: 0,
            current: TarPath::root(),
            entries: 0,
            extensions: 0,
            content: 0,
            position: 0,
            ahead: None,
            ended: false,
            recording: None,
        }
    }

    /// Like [`new`](Reader::new), but seeks over content if `input` supports seeking, for callers
    /// that only need headers. The reader still detects a truncated tar, but not unreadable
    /// content.
    pub fn skipping(input: R, limits: Limits) -> Reader<R>
    where
        R: Skip,
    {
        Reader { skipper: R::skip, ..Reader::new(input, limits) }
    }

    /// Like [`new`](Reader::new), but moves the content of large files from `input` with `direct`.
    pub fn direct(input: R, limits: Limits, direct: Direct<R>) -> Reader<R> {
        Reader { direct, ..Reader::new(input, limits) }
    }

    /// Keeps the header blocks that are read, for [`take_headers`](Reader::take_headers).
    #[must_use]
    pub fn recording(self) -> Reader<R> {
        Reader { recording: Some(Recording::default()), ..self }
    }

    /// Returns the header blocks that were read since the last call, as they are in the input:
    /// extension headers, headers and sparse maps, and after the last entry the end-of-archive
    /// blocks. Together with the content and its padding, they are the bytes of the tar. Returns
    /// `None` without [`recording`](Reader::recording), and if the headers are too large to be kept.
    pub fn take_headers(&mut self) -> Option<Vec<u8>> {
        let Recording { bytes, incomplete } = std::mem::take(self.recording.as_mut()?);
        (!incomplete).then_some(bytes)
    }

    /// Adds bytes of a header to the recording.
    fn record(&mut self, bytes: &[u8]) {
        if let Some(recording) = &mut self.recording {
            recording.add(bytes);
        }
    }

    /// Marks the recording as incomplete, because an entry has content that belongs to its header.
    pub(super) fn stop_recording(&mut self) {
        if let Some(recording) = &mut self.recording {
            recording.incomplete = true;
        }
    }

    /// Uses other limits for the entries that follow.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Returns the number of bytes read so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Returns the next entry, or `None` at the end-of-archive blocks. Skips the unread content of
    /// the current entry.
    ///
    /// # Errors
    /// Returns an error if the stream ends without end-of-archive blocks (it was truncated), is not
    /// a tar, or exceeds the limits.
    #[expect(clippy::should_implement_trait, reason = "content borrows the reader between two calls")]
    pub fn next(&mut self) -> Result<Option<Item>> {
        if self.ended {
            return Ok(None);
        }
        self.skip_content()?;
        let mut extended = Extended::default();
        self.extensions = 0;
        // The types of the extension headers that were read, whose entry must still follow.
        let mut announced = Announced::default();
        loop {
            let Some(block) = self.header()? else {
                if announced.any() {
                    return Err(Error::malformed("tar", "a header for an entry that is missing"));
                }
                // One zero block can end an archive that was truncated at a tape record; otherwise
                // a second zero block must follow.
                self.ended = true;
                self.second_zero_block()?;
                return Ok(None);
            };
            let name = || extended.path.clone().unwrap_or_else(|| block.name());
            announced.check(block.typeflag())?;
            match block.typeflag() {
                b'x' | b'X' => {
                    let payload = self.payload(&block)?;
                    let limits = self.limits.clone();
                    extended.read(&payload, &limits)?;
                }
                b'g' => {
                    let size = block.size()?;
                    let raw = block.name();
                    if size == 0 && !raw.is_empty() {
                        return Ok(Some(Item::Removal(TarPath::parse(&raw)?)));
                    }
                    // Global headers contain comments and charsets of other writers, which are
                    // ignored. Values for single files are in the headers of those files.
                    self.payload(&block)?;
                }
                b'L' => extended.gnu_path = Some(self.long_name(&block)?),
                b'K' => extended.gnu_linkpath = Some(self.long_name(&block)?),
                b'V' => {
                    self.payload(&block)?;
                }
                flag @ (b'M' | b'N') => {
                    return Err(Error::Unsupported {
                        object: Shown(&name()).to_string(),
                        what: format!("multi-volume archives (type {}) are not read", flag as char),
                    });
                }
                _ => {
                    extended.use_gnu_names()?;
                    return self.entry(&block, extended).map(|entry| Some(Item::Entry(entry)));
                }
            }
        }
    }

    /// Reads the input to its end. A decompressor verifies its checksum only there, and a writer at
    /// the other end of a pipe must not be killed while it writes its padding.
    ///
    /// # Errors
    /// Returns an error if the input fails, for example because of a wrong checksum.
    pub fn drain(&mut self) -> Result<()> {
        io::copy(&mut self.input, &mut io::sink()).map_err(Error::Stream)?;
        Ok(())
    }

    /// Advances to the next of several concatenated archives, skipping any number of zero blocks
    /// between them (GNU tar pads to 10 KiB). Returns its offset, or `None` at the end of the
    /// input.
    ///
    /// # Errors
    /// Returns an error if the input fails or ends inside a block.
    pub fn next_archive(&mut self) -> Result<Option<u64>> {
        loop {
            let mut block = [0; BLOCK];
            match self.fill(&mut block)? {
                0 => return Ok(None),
                BLOCK => {}
                filled if self.position == 0 => return Err(Self::short(&block[..filled])),
                _ => return Err(Error::Truncated { object: "header".into() }),
            }
            self.position += BLOCK as u64;
            if block.iter().any(|&b| b != 0) {
                self.ahead = Some(block);
                self.ended = false;
                self.current = TarPath::root();
                return Ok(Some(self.position - BLOCK as u64));
            }
        }
    }

    /// Returns the input.
    pub fn into_inner(self) -> R {
        self.input
    }

    /// Returns the input, positioned after the bytes that were read.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.input
    }

    /// Reads the payload of an extension header. The limit covers all extension headers of one
    /// entry, as any number of extension headers may precede an entry.
    fn payload(&mut self, block: &Block) -> Result<Vec<u8>> {
        let size = block.size()?;
        self.extensions = self.extensions.saturating_add(size);
        if self.extensions > self.limits.header_bytes {
            let what = format!("header of {size} bytes, expected at most {}", self.limits.header_bytes);
            return Err(Error::limit("PAX header", Limit::HeaderBytes, what));
        }
        let mut payload = Vec::new();
        let got = (&mut self.input).take(size).read_to_end(&mut payload).map_err(Error::Stream)? as u64;
        self.position += got;
        if got < size {
            return Err(Error::Truncated { object: "PAX header".into() });
        }
        self.skip(padding(size))?;
        self.record(&payload);
        self.record(&[0; BLOCK][..padding(size) as usize]);
        Ok(payload)
    }

    fn long_name(&mut self, block: &Block) -> Result<Vec<u8>> {
        // The terminating NUL is not part of the name.
        if block.size()? > self.limits.name_bytes as u64 + 1 {
            return Err(Error::limit(
                "GNU long name",
                Limit::NameBytes,
                format!("longer than {} bytes", self.limits.name_bytes),
            ));
        }
        let mut name = self.payload(block)?;
        while name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    fn header(&mut self) -> Result<Option<Block>> {
        let starts = self.position == 0 || (self.position == BLOCK as u64 && self.ahead.is_some());
        let bytes = match self.ahead.take() {
            Some(bytes) => {
                self.record(&bytes);
                bytes
            }
            None if starts => self.first_block()?,
            None => {
                let mut bytes = [0; BLOCK];
                self.read_block(&mut bytes, "header")?;
                bytes
            }
        };
        Block::parse(&bytes).map_err(|e| match FileKind::in_bytes(&bytes) {
            Some(found) if starts => Error::NotATar { found },
            _ => e,
        })
    }

    /// Reads the first block of the input, which may be shorter than a block if the input is not a
    /// tar.
    fn first_block(&mut self) -> Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        let filled = self.fill(&mut block)?;
        self.position += filled as u64;
        if filled < BLOCK {
            return Err(Self::short(&block[..filled]));
        }
        self.record(&block);
        Ok(block)
    }

    /// Returns the error for an input of less than one block.
    fn short(bytes: &[u8]) -> Error {
        match FileKind::in_bytes(bytes) {
            Some(found) => Error::NotATar { found },
            None => Error::Truncated { object: "header".into() },
        }
    }

    /// Reads until `block` is full or the input ends. Returns the number of bytes.
    fn fill(&mut self, block: &mut [u8; BLOCK]) -> Result<usize> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(got) => filled += got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::Stream(e)),
            }
        }
        Ok(filled)
    }

    pub(super) fn read_block(&mut self, block: &mut [u8; BLOCK], what: &str) -> Result<()> {
        match self.input.read_exact(block) {
            Ok(()) => {
                self.position += BLOCK as u64;
                self.record(block);
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                let object =
                    if self.current.is_root() { what.into() } else { format!("after {}", self.current) };
                Err(Error::Truncated { object })
            }
            Err(e) => Err(Error::Stream(e)),
        }
    }

    fn second_zero_block(&mut self) -> Result<()> {
        let mut bytes = [0; BLOCK];
        match self.read_block(&mut bytes, "end of archive") {
            Ok(()) if bytes.iter().all(|&b| b == 0) => Ok(()),
            Ok(()) => Err(Error::malformed("end of archive", "a single zero block in the middle of the tar")),
            Err(Error::Truncated { .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }

    pub(super) fn skip_content(&mut self) -> Result<()> {
        let rest = self.remaining + self.pad;
        self.remaining = 0;
        self.pad = 0;
        self.skip(rest)
    }

    fn skip(&mut self, bytes: u64) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        let skipped = (self.skipper)(&mut self.input, bytes).map_err(Error::Stream)?;
        self.position += skipped;
        if skipped < bytes {
            return Err(Error::Truncated { object: self.current.to_string() });
        }
        Ok(())
    }
}
