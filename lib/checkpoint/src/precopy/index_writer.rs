//! Writes a page index in constant memory. `index.rs` describes the format.

use std::io::{self, ErrorKind, Write};

use super::PAGE_SIZE;
use super::index::{END, Header, IndexedPage, MAGIC, PROCESS, SHARED, Space, VERSION};

/// The maximum number of pages in a run, whose hashes are kept until the length of the run is
/// known.
const RUN: usize = 4096;

/// Writes a page index.
pub struct IndexWriter<W: Write> {
    out: W,
    hasher: blake3::Hasher,
    /// The space whose pages are written. It is written before its first page, because a space
    /// without pages has no entry.
    space: Option<Space>,
    /// Whether the entry of `space` was begun.
    begun: bool,
    /// The pages of the current run.
    run: Vec<IndexedPage>,
    /// The address after the last run that was written.
    end: u64,
}

impl<W: Write> IndexWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// Returns an error if writing to the output fails.
    pub fn new(out: W, header: &Header) -> io::Result<IndexWriter<W>> {
        let hasher = blake3::Hasher::new_keyed(&header.key.0);
        let mut writer = IndexWriter { out, hasher, space: None, begun: false, run: Vec::new(), end: 0 };
        writer.put(&MAGIC)?;
        writer.put(&VERSION.to_le_bytes())?;
        writer.put(&u32::try_from(PAGE_SIZE).map_err(io::Error::other)?.to_le_bytes())?;
        writer.put(&header.key.0)?;
        writer.put(&header.origin.boot_id)?;
        writer.put(&header.origin.pid.to_le_bytes())?;
        writer.put(&header.origin.start_time.to_le_bytes())?;
        writer.put(&header.rounds.to_le_bytes())?;
        writer.put(&header.last)?;
        Ok(writer)
    }

    /// Begins the pages of a space. Each space may be begun only once.
    ///
    /// # Errors
    /// Returns an error if writing to the output fails.
    pub fn space(&mut self, space: Space) -> io::Result<()> {
        self.end_space()?;
        self.space = Some(space);
        Ok(())
    }

    /// Adds a page to the current space, in the order of addresses.
    ///
    /// # Errors
    /// Returns an error if the address is not above that of the previous page, or if writing to the
    /// output fails.
    pub fn page(&mut self, page: IndexedPage) -> io::Result<()> {
        let next = match self.run.last() {
            Some(last) => last.address.saturating_add(PAGE_SIZE as u64),
            None => self.end,
        };
        if page.address < next || page.address % PAGE_SIZE as u64 != 0 {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                format!("the page at {:#x} precedes the previous page", page.address),
            ));
        }
        if page.address != next || self.run.len() >= RUN {
            self.end_run()?;
        }
        self.run.push(page);
        Ok(())
    }

    /// Writes the rest of the index and returns the output.
    ///
    /// # Errors
    /// Returns an error if writing to the output fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_space()?;
        self.put(&[END])?;
        let hash = self.hasher.finalize();
        self.out.write_all(hash.as_bytes())?;
        Ok(self.out)
    }

    fn end_run(&mut self) -> io::Result<()> {
        let run = std::mem::take(&mut self.run);
        let (Some(first), Some(space)) = (run.first(), self.space) else { return Ok(()) };
        if !std::mem::replace(&mut self.begun, true) {
            let (kind, id) = match space {
                Space::Process(pid) => (PROCESS, u64::from(pid)),
                Space::Shared(inode) => (SHARED, inode),
            };
            self.put(&[kind])?;
            self.number(id)?;
        }
        self.number((first.address - self.end) / PAGE_SIZE as u64)?;
        self.number(run.len() as u64)?;
        for page in &run {
            self.put(&page.digest)?;
        }
        self.end = first.address.saturating_add((run.len() * PAGE_SIZE) as u64);
        self.run = run;
        self.run.clear();
        Ok(())
    }

    fn end_space(&mut self) -> io::Result<()> {
        self.end_run()?;
        if std::mem::take(&mut self.begun) {
            self.put(&[0, 0])?;
        }
        self.end = 0;
        Ok(())
    }

    fn number(&mut self, mut number: u64) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(10);
        while number >= 0x80 {
            bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        bytes.push((number & 0x7f) as u8);
        self.put(&bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.out.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Key, Origin, PageIndex};
    use super::*;
    use crate::PAGE;

    fn origin() -> Origin {
        Origin { boot_id: [1; 16], pid: 42, start_time: 1234 }
    }

    fn header() -> Header {
        let key = Key([7; 32]);
        Header { key, origin: origin(), rounds: 3, last: [9; 16] }
    }

    fn page(number: u64) -> IndexedPage {
        let mut digest = [0xab; 16];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        IndexedPage { address: number * PAGE, digest }
    }

    fn written(spaces: &[(Space, Vec<u64>)]) -> Vec<u8> {
        let mut writer = IndexWriter::new(Vec::new(), &header()).unwrap();
        for (space, pages) in spaces {
            writer.space(*space).unwrap();
            pages.iter().for_each(|&number| writer.page(page(number)).unwrap());
        }
        writer.finish().unwrap()
    }

    fn example() -> Vec<(Space, Vec<u64>)> {
        vec![
            (Space::Shared(77), (0..10_000).collect()),
            (Space::Process(1), vec![16, 17, 18, 1 << 35]),
            (Space::Process(9), Vec::new()),
            (Space::Process(4), vec![0, (u64::MAX / PAGE) - 1]),
        ]
    }

    #[test]
    fn an_index_is_read_as_it_was_written() {
        let bytes = written(&example());
        let index = PageIndex::read("index", &bytes[..], Some(bytes.len() as u64)).unwrap();
        assert_eq!(*index.header(), header());
        for (space, pages) in example() {
            assert_eq!(index.space(space), pages.into_iter().map(page).collect::<Vec<_>>());
        }
        assert_eq!(index.spaces().count(), 3);
        assert!(bytes.len() < 10_006 * 16 + 200, "{}", bytes.len());
    }

    #[test]
    fn every_modification_of_an_index_is_detected() {
        let bytes = written(&[(Space::Process(1), vec![3, 4, 7]), (Space::Shared(5), vec![0])]);
        for at in 0..bytes.len() {
            let error = |bytes: &[u8]| PageIndex::read("index", bytes, None).unwrap_err().to_string();
            let mut modified = bytes.clone();
            modified[at] ^= 1;
            assert!(error(&modified).starts_with("index: "), "{at}");
            assert_eq!(error(&bytes[..at]), "index: the page index is truncated", "{at}");
        }
        assert!(PageIndex::read("index", &[&bytes[..], &[0]].concat()[..], None).is_err());
    }

    #[test]
    fn numbers_of_a_hostile_index_do_not_overflow() {
        let head = written(&[])[..96].to_vec();
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        for body in [
            [&[PROCESS][..], &most].concat(),
            [&[SHARED, 1][..], &most, &[1], &[0; 16]].concat(),
            [&[SHARED, 1, 0][..], &most, &[0; 64]].concat(),
            [&[SHARED][..], &[0xff; 11]].concat(),
            vec![SHARED, 1, 0, 0],
            vec![9, 1],
        ] {
            let bytes = [&head[..], &body].concat();
            assert!(PageIndex::read("index", &bytes[..], None).is_err(), "{body:?}");
        }
    }

    #[test]
    fn an_index_of_another_process_is_rejected() {
        let index = PageIndex::read("index", &written(&[])[..], None).unwrap();
        index.check_origin("index", &origin()).unwrap();
        for (other, what) in [
            (Origin { boot_id: [2; 16], ..origin() }, "of another host"),
            (Origin { pid: 43, ..origin() }, "of another container"),
            (Origin { start_time: 1235, ..origin() }, "a process that has exited"),
        ] {
            let e = index.check_origin("index", &other).unwrap_err().to_string();
            assert!(e.contains(what), "{e}");
        }
    }

    #[test]
    fn pages_out_of_order_are_an_error() {
        let mut writer = IndexWriter::new(Vec::new(), &header()).unwrap();
        writer.space(Space::Process(1)).unwrap();
        writer.page(page(4)).unwrap();
        assert!(writer.page(page(4)).is_err());
        assert!(writer.page(page(3)).is_err());
    }
}
