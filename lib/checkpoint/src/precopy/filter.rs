//! Selects the pages to send from the pages of a `pages` image or of a process.
//!
//! The header of the image's member needs its size before the first page. The filter therefore
//! keeps the pages to send in memory until it reaches the end. If they exceed [`KEPT`], it hashes
//! the rest of the memory to count the pages to send, and then reads that memory again.

use std::io::{self, Read};

use tartree::parallel::{Ordered, Task, Workers, processors};

use super::predicted::Predicted;
use super::{Digest, IndexedPage, Key, Memory, MemoryReader, PAGE_SIZE, PageRun};

/// The maximum number of bytes that are kept while the size of the image is not known.
const KEPT: usize = 24 << 20;

/// The number of pages that are read and hashed together.
const BATCH: usize = 256;

/// The number of batches after which threads are started. A process with less memory is hashed
/// before a thread would have started.
const ALONE: usize = 8;

/// What happens with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The page is sent.
    Sent,
    /// The receiver has the page.
    Held,
    /// The page is not sent, and the receiver has no copy of it that is valid: a zero page, or a
    /// page that exceeds the announced size.
    Dropped,
}

/// A page that passed the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The address; if pages are read from an image, the predicted address.
    pub address: u64,
    /// What happens with the page.
    pub fate: Fate,
    /// The hash of the content that the receiver has after this round.
    pub digest: Digest,
}

/// A source of pages.
pub trait PageSource {
    /// Reads pages into `buffer`, and replaces `addresses` by their addresses if they are known.
    /// Returns the number of pages, which is 0 only at the end.
    ///
    /// # Errors
    /// Returns an error if the source cannot be read.
    fn read(&mut self, buffer: &mut [u8], addresses: &mut Vec<u64>) -> io::Result<usize>;
}

impl PageSource for MemoryReader<'_> {
    fn read(&mut self, buffer: &mut [u8], addresses: &mut Vec<u64>) -> io::Result<usize> {
        MemoryReader::read(self, buffer, addresses)?;
        Ok(addresses.len())
    }
}

/// A `pages` image, whose addresses are not known while it is read.
#[derive(Debug)]
pub struct ImageSource<R>(pub R);

impl<R: Read> PageSource for ImageSource<R> {
    fn read(&mut self, buffer: &mut [u8], addresses: &mut Vec<u64>) -> io::Result<usize> {
        addresses.clear();
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        if filled % PAGE_SIZE != 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the image ends within a page"));
        }
        Ok(filled / PAGE_SIZE)
    }
}

/// The pages of one image, and what the receiver has of them.
pub struct Image<'a> {
    /// The key of the hashes.
    pub key: &'a Key,
    /// The pages that the receiver has, in the order of addresses.
    pub held: &'a [IndexedPage],
    /// The pages that the image will contain.
    pub predicted: Predicted<'a>,
    /// The memory that contains the predicted pages.
    pub memory: &'a Memory,
}

/// Reads the pages to send.
pub struct PageFilter<'a, S, F> {
    image: Image<'a>,
    source: S,
    /// Whether the source was read to its end.
    ended: bool,
    /// Whether all pages passed the filter.
    complete: bool,
    hashed: Ordered<HashPages>,
    batches: usize,
    /// Buffers that can be used again.
    spare: Vec<Batch>,
    /// The number of predicted pages that precede the next page.
    position: u64,
    /// The pages to send, and how many of these bytes were read.
    kept: Vec<u8>,
    taken: usize,
    /// The number of pages that may still be sent, if the memory may change.
    left: Option<u64>,
    sink: F,
}

impl<'a, S, F> PageFilter<'a, S, F>
where
    S: PageSource,
    F: FnMut(Page) -> io::Result<()>,
{
    /// Creates a filter, which calls `sink` with every page.
    pub fn new(image: Image<'a>, source: S, sink: F) -> PageFilter<'a, S, F> {
        PageFilter {
            image,
            source,
            ended: false,
            complete: false,
            hashed: Ordered::new(),
            batches: 0,
            spare: Vec::new(),
            position: 0,
            kept: Vec::new(),
            taken: 0,
            left: None,
            sink,
        }
    }

    /// Returns the number of bytes to send. It is exact if the pages to send fit into the memory.
    /// If not, it is the number for the current content of the memory.
    ///
    /// # Errors
    /// Returns an error if the source or the memory cannot be read.
    pub fn size(&mut self) -> io::Result<u64> {
        while self.kept.len() < KEPT {
            if !self.process()? {
                return Ok(self.kept.len() as u64);
            }
        }
        Ok((self.kept.len() as u64).saturating_add(self.count_rest()?.saturating_mul(PAGE_SIZE as u64)))
    }

    /// Returns whether all pages passed the filter, so that the size is exact.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Limits the number of bytes. Pages above the limit keep their old content in the receiver's
    /// images. Call this function if the memory changes after [`size`](PageFilter::size).
    pub fn limit(&mut self, size: u64) {
        self.left = Some(size.saturating_sub(self.kept.len() as u64) / PAGE_SIZE as u64);
    }

    /// Reads to the end, so that the sink gets all pages.
    ///
    /// # Errors
    /// Returns an error if the source cannot be read.
    pub fn finish(mut self) -> io::Result<()> {
        while self.process()? {
            self.kept.clear();
        }
        Ok(())
    }

    /// Decides about the pages of the next batch. Returns `false` at the end.
    fn process(&mut self) -> io::Result<bool> {
        while !self.ended && !self.hashed.is_full() {
            let mut batch = self.spare.pop().unwrap_or_default();
            batch.bytes.resize(BATCH * PAGE_SIZE, 0);
            let pages = self.source.read(&mut batch.bytes, &mut batch.addresses)?;
            batch.bytes.truncate(pages * PAGE_SIZE);
            self.ended = pages == 0;
            if pages > 0 {
                self.hashed.submit(HashPages { key: self.image.key.clone(), batch });
                self.batches += 1;
                if self.batches == ALONE {
                    start_threads(&mut self.hashed);
                }
            }
        }
        let Some(batch) = self.hashed.next() else {
            self.complete = true;
            return Ok(false);
        };
        for (number, page) in batch.bytes.chunks_exact(PAGE_SIZE).enumerate() {
            let digest = batch.digests.get(number).copied().flatten();
            let decided = match batch.addresses.get(number) {
                Some(&address) => self.read_page(address, digest),
                None => self.image_page(page, digest),
            };
            if decided.fate == Fate::Sent {
                self.kept.extend_from_slice(page);
            }
            (self.sink)(decided)?;
        }
        self.spare.push(batch);
        Ok(true)
    }

    /// Decides about a page that was read from memory. `digest` is `None` for a zero page.
    fn read_page(&mut self, address: u64, digest: Option<Digest>) -> Page {
        self.position = self.image.predicted.after(address);
        let old = self.held(address);
        let page = |fate, digest| Page { address, fate, digest };
        match (digest, old) {
            (None, _) => page(Fate::Dropped, Digest::default()),
            (Some(new), Some(old)) if new == old => page(Fate::Held, old),
            (Some(new), old) => match (&mut self.left, old) {
                (Some(0), Some(old)) => page(Fate::Held, old),
                (Some(0), None) => page(Fate::Dropped, new),
                (left, _) => {
                    *left = left.map(|left| left - 1);
                    page(Fate::Sent, new)
                }
            },
        }
    }

    /// Decides about a page of an image, and predicts its address.
    fn image_page(&mut self, page: &[u8], digest: Option<Digest>) -> Page {
        let here = self.position;
        let (address, anonymous) = self.image.predicted.at(here).unwrap_or_default();
        self.position += 1;
        let Some(digest) = digest else {
            let fate = if anonymous { Fate::Dropped } else { Fate::Sent };
            return Page { address, fate, digest: Digest::default() };
        };
        if self.held(address) == Some(digest) {
            return Page { address, fate: Fate::Held, digest };
        }
        // The page changed, or the image has other pages than predicted.
        let (position, address) = self.find(here, page).unwrap_or((here, address));
        self.position = position + 1;
        let fate = if self.held(address) == Some(digest) { Fate::Held } else { Fate::Sent };
        Page { address, fate, digest }
    }

    /// Finds a page of the image in the memory, near the predicted page after `here` pages. Returns
    /// its position and address.
    fn find(&self, here: u64, page: &[u8]) -> Option<(u64, u64)> {
        const NEARBY: [i64; 9] = [0, 1, -1, 2, -2, 3, -3, 4, -4];
        let mut buffer = vec![0; PAGE_SIZE];
        let mut addresses = Vec::new();
        NEARBY.into_iter().filter_map(|offset| here.checked_add_signed(offset)).find_map(|position| {
            let (address, anonymous) = self.image.predicted.at(position)?;
            let run = [PageRun { vaddr: address, pages: 1, anonymous }];
            MemoryReader::new(self.image.memory, &run, 0).read(&mut buffer, &mut addresses).ok()?;
            (!addresses.is_empty() && buffer == page).then_some((position, address))
        })
    }

    /// Returns the hash of the page that the receiver has at `address`.
    fn held(&self, address: u64) -> Option<Digest> {
        held(self.image.held, address)
    }

    /// Counts the pages to send after the current position.
    fn count_rest(&mut self) -> io::Result<u64> {
        let runs = self.image.predicted.runs();
        let mut reader = MemoryReader::new(self.image.memory, runs, self.position);
        let mut hashed = Ordered::new();
        start_threads(&mut hashed);
        let mut rest = self.image.predicted.total().saturating_sub(self.position);
        let mut ended = false;
        loop {
            while !ended && !hashed.is_full() {
                let mut batch = Batch { bytes: vec![0; BATCH * PAGE_SIZE], ..Batch::default() };
                reader.read(&mut batch.bytes, &mut batch.addresses)?;
                batch.bytes.truncate(batch.addresses.len() * PAGE_SIZE);
                ended = batch.addresses.is_empty();
                if !ended {
                    hashed.submit(HashPages { key: self.image.key.clone(), batch });
                }
            }
            let Some(batch) = hashed.next() else { return Ok(rest) };
            for (&address, digest) in batch.addresses.iter().zip(&batch.digests) {
                let is_sent = match digest {
                    Some(digest) => self.held(address) != Some(*digest),
                    None => !self.image.predicted.is_anonymous(address),
                };
                rest = rest.saturating_sub((!is_sent).into());
            }
        }
    }
}

impl<S, F> Read for PageFilter<'_, S, F>
where
    S: PageSource,
    F: FnMut(Page) -> io::Result<()>,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.kept.len() {
            self.kept.clear();
            self.taken = 0;
            if !self.process()? {
                return Ok(0);
            }
        }
        let part = buf.len().min(self.kept.len() - self.taken);
        buf[..part].copy_from_slice(&self.kept[self.taken..self.taken + part]);
        self.taken += part;
        Ok(part)
    }
}

/// Returns the hash of the page at `address` among `pages`.
pub(super) fn held(pages: &[IndexedPage], address: u64) -> Option<Digest> {
    let at = pages.binary_search_by_key(&address, |page| page.address).ok()?;
    pages.get(at).map(|page| page.digest)
}

/// Pages with their hashes.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// The addresses, if they are known.
    addresses: Vec<u64>,
    /// The hashes; `None` for zero pages.
    digests: Vec<Option<Digest>>,
}

/// Hashes the pages of a batch.
struct HashPages {
    key: Key,
    batch: Batch,
}

impl Task for HashPages {
    type Output = Batch;

    fn run(mut self) -> Batch {
        const ZERO: [u8; PAGE_SIZE] = [0; PAGE_SIZE];
        let pages = self.batch.bytes.chunks_exact(PAGE_SIZE);
        self.batch.digests.clear();
        self.batch.digests.extend(pages.map(|page| (page != ZERO).then(|| self.key.digest(page))));
        self.batch
    }
}

/// Starts a thread for every processor but one, which reads.
fn start_threads(hashed: &mut Ordered<HashPages>) {
    let threads = (processors() - 1).min(4);
    if threads > 0 {
        hashed.start(&Workers { name: "hash", threads, tasks_per_thread: 4, submitter_helps: true });
    }
}
