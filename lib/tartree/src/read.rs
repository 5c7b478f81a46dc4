//! A tar stream to entries: the twin of [`write`](crate::encode).
//!
//! Reads what podman, Go, GNU tar, bsdtar, Python and the tar crate write: V7, ustar, PAX, GNU long names,
//! base-256 numbers, and the four sparse forms. Nothing is allocated by a number that was read.

use std::io::{self, BufReader, Read, Write};
use std::os::fd::AsFd;

use crate::block::{BLOCK, Block};
use crate::entry::{Entry, Kind, Meta, SparseMap, Timestamp};
use crate::error::{Error, Result};
use crate::limits::{Limit, Limits};
use crate::path::{Shown, TarPath};
use crate::pax::Extended;
use crate::sink::Sink;
use crate::skip::{Skip, read_over};
use crate::sparse;
use crate::write::padding;

/// One more than the largest numbers a device has (MINORBITS in linux/kdev_t.h).
const MAJORS: u32 = 1 << 12;
const MINORS: u32 = 1 << 20;

/// What a stream holds.
#[derive(Debug)]
pub enum Item {
    /// An object. A file's bytes follow: [`Reader::content`].
    Entry(Entry),
    /// The path is to be removed before the following entries are made
    /// (see [`removal_header`](crate::removal_header)).
    Removal(TarPath),
}

/// Reads one tar.
pub struct Reader<R> {
    input: R,
    /// How bytes nobody asks for are passed over.
    skipper: fn(&mut R, u64) -> io::Result<u64>,
    limits: Limits,
    /// Bytes of the current entry not yet read, and the padding behind them.
    remaining: u64,
    pad: u64,
    current: TarPath,
    entries: u64,
    /// Bytes in the extension headers of the entry that is being read.
    extensions: u64,
    content: u64,
    position: u64,
    /// A header block read while looking for the next archive.
    ahead: Option<[u8; BLOCK]>,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads from `input`, which should be buffered: headers are read one block at a time.
    pub fn new(input: R, limits: Limits) -> Reader<R> {
        Reader {
            input,
            skipper: read_over,
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
        }
    }

    /// As [`new`](Reader::new), passing over content without reading it where `input` can. For those who want the headers:
    /// that the tar is complete shows all the same, that its content can be read does not.
    pub fn skipping(input: R, limits: Limits) -> Reader<R>
    where
        R: Skip,
    {
        Reader { skipper: R::skip, ..Reader::new(input, limits) }
    }

    /// Goes on with other limits.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next entry, passing over what is left of the current one; `None` at the end-of-archive blocks.
    ///
    /// # Errors
    /// When the stream ends without end-of-archive blocks (it was cut), is not a tar, or exceeds the limits.
    #[expect(clippy::should_implement_trait, reason = "content borrows the reader between two calls")]
    pub fn next(&mut self) -> Result<Option<Item>> {
        if self.ended {
            return Ok(None);
        }
        self.skip_content()?;
        let mut extended = Extended::default();
        self.extensions = 0;
        // Whether something was said of an entry that is still to come.
        let mut announced = false;
        loop {
            let Some(block) = self.header()? else {
                if announced {
                    return Err(Error::malformed("tar", "a header for an entry that does not come"));
                }
                // One zero block may end an archive cut at a tape record; a second one must follow otherwise.
                self.ended = true;
                self.second_zero_block()?;
                return Ok(None);
            };
            let name = || extended.path.clone().unwrap_or_else(|| block.name());
            announced |= matches!(block.typeflag(), b'x' | b'X' | b'L' | b'K');
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
                    // Comments and charsets of other writers; what they could say per file, files say themselves.
                    self.payload(&block)?;
                }
                b'L' => extended.path = Some(self.long_name(&block)?),
                b'K' => extended.linkpath = Some(self.long_name(&block)?),
                b'V' => {
                    self.payload(&block)?;
                }
                flag @ (b'M' | b'N') => {
                    return Err(Error::Unsupported {
                        object: Shown(&name()).to_string(),
                        what: format!("multi-volume archives (type {}) are not read", flag as char),
                    });
                }
                _ => return self.entry(&block, extended).map(|entry| Some(Item::Entry(entry))),
            }
        }
    }

    /// The bytes of the entry that [`next`](Reader::next) gave, of a sparse file only the data between its holes.
    pub fn content(&mut self) -> Content<'_, R> {
        Content { reader: self }
    }

    /// Reads the input to its end. A decompressor checks its checksum only there, and a writer at the other end of a
    /// pipe must not be killed while it writes its padding.
    ///
    /// # Errors
    /// When the input fails, such as on a wrong checksum.
    pub fn drain(&mut self) -> Result<()> {
        io::copy(&mut self.input, &mut io::sink()).map_err(Error::Stream)?;
        Ok(())
    }

    /// Goes on to the next archive of several written one after another, passing over any number of zero blocks
    /// between them (GNU tar pads to 10 KiB). Gives where it starts, `None` at the end of the input.
    ///
    /// # Errors
    /// When the input fails or ends within a block.
    pub fn next_archive(&mut self) -> Result<Option<u64>> {
        loop {
            let mut block = [0; BLOCK];
            let mut filled = 0;
            while filled < BLOCK {
                match self.input.read(&mut block[filled..]) {
                    Ok(0) if filled == 0 => return Ok(None),
                    Ok(0) => return Err(Error::Truncated { object: "header".into() }),
                    Ok(got) => filled += got,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(Error::Stream(e)),
                }
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

    /// Gives the input back.
    pub fn into_inner(self) -> R {
        self.input
    }

    /// The input itself, at the position behind what was read.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.input
    }

    fn entry(&mut self, block: &Block, mut extended: Extended) -> Result<Entry> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(Error::limit(
                "tar",
                Limit::Entries,
                format!("more than {} entries, the most allowed", self.limits.entries),
            ));
        }
        let mut raw = extended.path.take().unwrap_or_else(|| block.name());
        let sparse_records = std::mem::take(&mut extended.sparse);
        if let Some(name) = sparse_records.name.clone() {
            raw = name;
        }
        let path = TarPath::parse(&raw)?;
        let named = |e: Error| match e {
            Error::Malformed { what, .. } => Error::malformed(&path, what),
            e => e,
        };
        let mut meta = Meta {
            mode: block.mode().map_err(named)?,
            uid: owner(extended.uid, block.uid(), &path)?,
            gid: owner(extended.gid, block.gid(), &path)?,
            mtime: match extended.mtime {
                Some(time) => time,
                None => Timestamp { sec: block.mtime().map_err(named)?, nsec: 0 },
            },
            xattrs: Vec::new(),
        };
        extended.take_xattrs(&mut meta).map_err(named)?;
        let size = match extended.size {
            Some(size) => size,
            None => block.size().map_err(named)?,
        };
        let link = || extended.linkpath.clone().unwrap_or_else(|| block.link().to_vec());
        let rdev = || -> Result<(u32, u32)> {
            let (major, minor) = block.rdev()?;
            let rdev = (extended.rdev_major.unwrap_or(major), extended.rdev_minor.unwrap_or(minor));
            if rdev.0 >= MAJORS || rdev.1 >= MINORS {
                // The kernel would cut the number, and make another device.
                return Err(Error::malformed(&path, format!("no device of Linux: {}:{}", rdev.0, rdev.1)));
            }
            Ok(rdev)
        };
        let flag = block.typeflag();
        let kind = match flag {
            // V7 tars have no type for directories but the slash.
            b'0' | 0 | b'7' if raw.ends_with(b"/") => Kind::Dir,
            b'0' | 0 | b'7' | b'S' => {
                self.begin_content(size, &path)?;
                let map = if flag == b'S' {
                    Some(self.gnu_sparse(block, size).map_err(named)?)
                } else if sparse_records.is_used() {
                    Some(self.pax_sparse(&sparse_records, size).map_err(named)?)
                } else {
                    None
                };
                match map {
                    Some((map, real)) => Kind::File { size: real, map: Some(map) },
                    None => Kind::File { size, map: None },
                }
            }
            b'1' => Kind::HardLink { target: TarPath::parse(&link())? },
            b'2' => match link() {
                target if target.contains(&0) => {
                    return Err(Error::malformed(&path, "target with a NUL byte"));
                }
                target => Kind::Symlink { target },
            },
            b'3' => rdev().map(|(major, minor)| Kind::Char { major, minor })?,
            b'4' => rdev().map(|(major, minor)| Kind::Block { major, minor })?,
            b'5' => Kind::Dir,
            b'D' => {
                // GNU's incremental dump: a directory with a list of names, which are nobody's content.
                self.begin_content(size, &path)?;
                self.skip_content()?;
                Kind::Dir
            }
            b'6' => Kind::Fifo,
            other => {
                return Err(Error::Unsupported {
                    object: path.to_string(),
                    what: format!("type '{}' is not known", (other as char).escape_default()),
                });
            }
        };
        if path.is_root() && kind != Kind::Dir {
            return Err(Error::malformed(&path, "the root is not a directory"));
        }
        self.current = path.clone();
        Ok(Entry { path, kind, meta })
    }

    fn begin_content(&mut self, size: u64, path: &TarPath) -> Result<()> {
        self.content = self.content.saturating_add(size);
        if self.content > self.limits.content_bytes {
            return Err(Error::limit(
                path,
                Limit::ContentBytes,
                format!("more than {} bytes of content in all, the most allowed", self.limits.content_bytes),
            ));
        }
        if size > i64::MAX as u64 {
            return Err(Error::malformed(path, format!("size {size} makes no sense")));
        }
        self.current = path.clone();
        self.remaining = size;
        self.pad = padding(size);
        Ok(())
    }

    fn gnu_sparse(&mut self, block: &Block, size: u64) -> Result<(SparseMap, u64)> {
        let mut segments = Vec::new();
        let (mut more, real) = block.gnu_sparse(&mut segments)?;
        while more {
            let mut bytes = [0; BLOCK];
            // Extension blocks stand before the data and are not counted in its size.
            self.read_block(&mut bytes, "sparse header")?;
            more = block.gnu_sparse_extension(&bytes, &mut segments)?;
            if segments.len() > self.limits.sparse_segments {
                return Err(Error::limit(
                    "sparse map",
                    Limit::SparseSegments,
                    format!("more than {} segments", self.limits.sparse_segments),
                ));
            }
        }
        Ok((sparse::checked(segments, real, size)?, real))
    }

    fn pax_sparse(&mut self, records: &crate::pax::SparseRecords, size: u64) -> Result<(SparseMap, u64)> {
        let bad = |what| Error::malformed("sparse map", what);
        let real = records.realsize.ok_or_else(|| bad("no real size"))?;
        if records.major == Some(1) {
            let limits = self.limits.clone();
            let (segments, taken) = sparse::read_map(
                |block| {
                    if self.remaining < BLOCK as u64 {
                        return Err(bad("map longer than the data"));
                    }
                    self.read_block(block, "sparse map")?;
                    self.remaining -= BLOCK as u64;
                    Ok(())
                },
                &limits,
            )?;
            return Ok((sparse::checked(segments, real, size - taken)?, real));
        }
        if records.numbers.len() % 2 != 0 {
            return Err(bad("odd number of offsets and lengths"));
        }
        let segments = records.numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        Ok((sparse::checked(segments, real, size)?, real))
    }

    /// The payload of an extension header, bounded together with the others of its entry: any number of them may stand before one.
    fn payload(&mut self, block: &Block) -> Result<Vec<u8>> {
        let size = block.size()?;
        self.extensions = self.extensions.saturating_add(size);
        if self.extensions > self.limits.header_bytes {
            let what = format!("header of {size} bytes, {} are allowed", self.limits.header_bytes);
            return Err(Error::limit("PAX header", Limit::HeaderBytes, what));
        }
        let mut payload = Vec::new();
        let got = (&mut self.input).take(size).read_to_end(&mut payload).map_err(Error::Stream)? as u64;
        self.position += got;
        if got < size {
            return Err(Error::Truncated { object: "PAX header".into() });
        }
        self.skip(padding(size))?;
        Ok(payload)
    }

    fn long_name(&mut self, block: &Block) -> Result<Vec<u8>> {
        // The NUL that ends it is not part of the name.
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
        let bytes = match self.ahead.take() {
            Some(bytes) => bytes,
            None => {
                let mut bytes = [0; BLOCK];
                self.read_block(&mut bytes, "header")?;
                bytes
            }
        };
        Block::parse(&bytes)
    }

    fn read_block(&mut self, block: &mut [u8; BLOCK], what: &str) -> Result<()> {
        match self.input.read_exact(block) {
            Ok(()) => {
                self.position += BLOCK as u64;
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
            Ok(()) => Err(Error::malformed("end of archive", "one block of zeros in the middle of the tar")),
            Err(Error::Truncated { .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn skip_content(&mut self) -> Result<()> {
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

fn owner(extended: Option<u32>, block: Result<u32>, path: &TarPath) -> Result<u32> {
    let id = match extended {
        Some(id) => id,
        None => block.map_err(|_| Error::malformed(path, "owner makes no sense"))?,
    };
    // chown(2) takes this one for "leave it alone".
    if id == u32::MAX {
        return Err(Error::malformed(path, "owner 4294967295 is not an id"));
    }
    Ok(id)
}

/// The bytes of the current entry.
pub struct Content<'a, R> {
    reader: &'a mut Reader<R>,
}

impl<R> Content<'_, R> {
    /// How many are left.
    pub fn remaining(&self) -> u64 {
        self.reader.remaining
    }
}

impl<R: Read + AsFd> Content<'_, BufReader<R>> {
    /// Puts all of it into `sink`, past this program's memory where that can be; gives how many bytes there were.
    /// Read errors are the inner result, so that the caller can name the input.
    ///
    /// # Errors
    /// When the output does not take them.
    pub fn put_into<W: Write>(&mut self, sink: &mut Sink<W>) -> Result<io::Result<u64>> {
        let buffered = self.remaining().min(self.reader.input.buffer().len() as u64);
        let mut put = match sink.fill(self, buffered)? {
            Ok(filled) => filled,
            failed => return Ok(failed),
        };
        // Nothing is read ahead now, so that the input itself stands at the next byte.
        if put == buffered && self.reader.input.buffer().is_empty() {
            let moved = sink.moved(self.reader.input.get_ref().as_fd(), self.remaining())?;
            self.reader.remaining -= moved;
            self.reader.position += moved;
            put += moved;
        }
        let rest = self.remaining();
        Ok(sink.fill(self, rest)?.map(|filled| put + filled))
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let reader = &mut *self.reader;
        let want = usize::try_from(reader.remaining).unwrap_or(usize::MAX).min(buf.len());
        if want == 0 {
            return Ok(0);
        }
        let got = reader.input.read(&mut buf[..want])?;
        if got == 0 {
            let text = format!("{}: the tar stream ends too early", reader.current);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        reader.remaining -= got as u64;
        reader.position += got as u64;
        Ok(got)
    }
}

impl<R: Read> Skip for Content<'_, R> {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        let reader = &mut *self.reader;
        let skipped = (reader.skipper)(&mut reader.input, n.min(reader.remaining))?;
        reader.remaining -= skipped;
        reader.position += skipped;
        Ok(skipped)
    }
}
