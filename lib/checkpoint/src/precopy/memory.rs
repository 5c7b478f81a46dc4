//! Reads the pages of a process or of shared memory.
//!
//! The process may be running. That a mapping or the process vanishes meanwhile is normal: the
//! pages that cannot be read are skipped.

use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::{PAGE_SIZE, PageRun};

/// The maximum number of runs that one system call reads (`UIO_MAXIOV` is 1024).
const MAX_RUNS: usize = 64;

/// Where pages are read from.
#[derive(Debug)]
pub enum Memory {
    /// The address space of a process on the host.
    Process(Pid),
    /// The file of shared memory (`/proc/PID/map_files`), in which addresses are offsets.
    File(File),
}

/// Reads the pages of some runs, in order.
#[derive(Debug)]
pub struct MemoryReader<'a> {
    memory: &'a Memory,
    runs: &'a [PageRun],
    /// The number of pages of the first run that were read.
    done: u64,
}

impl<'a> MemoryReader<'a> {
    /// Prepares to read the pages of `runs`, without the first `skip` pages.
    pub fn new(memory: &'a Memory, runs: &'a [PageRun], mut skip: u64) -> MemoryReader<'a> {
        let mut rest = runs;
        while let Some((first, after)) = rest.split_first() {
            if skip < first.pages {
                break;
            }
            skip -= first.pages;
            rest = after;
        }
        MemoryReader { memory, runs: rest, done: skip }
    }

    /// Reads pages into `buffer`, whose length is a multiple of the page size, and appends their
    /// addresses to `addresses`. Skips pages that cannot be read. Returns no page only at the end.
    ///
    /// # Errors
    /// Returns an error if the caller may not read the memory.
    pub fn read(&mut self, buffer: &mut [u8], addresses: &mut Vec<u64>) -> io::Result<()> {
        addresses.clear();
        while let Some(first) = self.next_address() {
            let read = match self.memory {
                Memory::Process(pid) => self.read_process(*pid, buffer),
                Memory::File(file) => self.read_file(file, first, buffer),
            };
            match read {
                Ok(bytes) if bytes >= PAGE_SIZE => {
                    self.advance((bytes / PAGE_SIZE) as u64, addresses);
                    return Ok(());
                }
                // The page is not mapped any more, may not be read, or is beyond the end of the
                // file.
                Ok(_) => self.advance(1, &mut Vec::new()),
                Err(e) => match Errno::from_raw(e.raw_os_error().unwrap_or(0)) {
                    Errno::EFAULT | Errno::ENOMEM | Errno::EIO => self.advance(1, &mut Vec::new()),
                    // The process has exited.
                    Errno::ESRCH => self.runs = &[],
                    Errno::EINTR => {}
                    _ => return Err(e),
                },
            }
        }
        Ok(())
    }

    fn next_address(&self) -> Option<u64> {
        let first = self.runs.first()?;
        Some(first.vaddr.saturating_add(self.done.saturating_mul(PAGE_SIZE as u64)))
    }

    /// Reads as many of the next runs as fit into the buffer. If a page cannot be read, the kernel
    /// returns the pages before it.
    fn read_process(&self, pid: Pid, buffer: &mut [u8]) -> io::Result<usize> {
        let mut remote = Vec::with_capacity(MAX_RUNS);
        let (mut space, mut done) = (buffer.len(), self.done);
        for run in self.runs.iter().take(MAX_RUNS) {
            let left = usize::try_from(run.pages - done).unwrap_or(usize::MAX);
            let len = left.saturating_mul(PAGE_SIZE).min(space);
            let base = run.vaddr.saturating_add(done.saturating_mul(PAGE_SIZE as u64));
            let base = usize::try_from(base).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
            remote.push(RemoteIoVec { base, len });
            (space, done) = (space - len, 0);
            if space == 0 {
                break;
            }
        }
        Ok(process_vm_readv(pid, &mut [IoSliceMut::new(buffer)], &remote)?)
    }

    fn read_file(&self, file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.runs.first().map_or(0, |run| run.pages - self.done);
        let len = usize::try_from(left).unwrap_or(usize::MAX).saturating_mul(PAGE_SIZE).min(buffer.len());
        file.read_at(&mut buffer[..len], offset)
    }

    /// Appends the addresses of the next `pages` pages to `addresses`.
    fn advance(&mut self, mut pages: u64, addresses: &mut Vec<u64>) {
        while let (Some(first), true) = (self.runs.first(), pages > 0) {
            let start = self.next_address().unwrap_or(u64::MAX);
            let part = pages.min(first.pages - self.done);
            addresses.extend((0..part).map(|page| start.saturating_add(page * PAGE_SIZE as u64)));
            pages -= part;
            self.done += part;
            if self.done == first.pages {
                (self.runs, self.done) = (&self.runs[1..], 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::PAGE;

    fn run(vaddr: u64, pages: u64) -> PageRun {
        PageRun { vaddr, pages, anonymous: true }
    }

    /// Returns the addresses and first bytes of all pages.
    fn pages(memory: &Memory, runs: &[PageRun], skip: u64, buffer: usize) -> Vec<(u64, u8)> {
        let mut reader = MemoryReader::new(memory, runs, skip);
        let (mut buffer, mut addresses) = (vec![0; buffer * PAGE_SIZE], Vec::new());
        let mut found = Vec::new();
        loop {
            reader.read(&mut buffer, &mut addresses).unwrap();
            if addresses.is_empty() {
                return found;
            }
            found.extend(addresses.iter().zip(buffer.chunks(PAGE_SIZE)).map(|(at, page)| (*at, page[0])));
        }
    }

    fn file(pages: u8) -> Memory {
        let mut file = tempfile::tempfile().unwrap();
        (0..pages).for_each(|page| file.write_all(&[page; PAGE_SIZE]).unwrap());
        Memory::File(file)
    }

    #[test]
    fn the_pages_of_a_file_are_read_in_batches() {
        let runs = [run(PAGE, 3), run(6 * PAGE, 4)];
        let all = [1, 2, 3, 6, 7];
        for buffer in 1..6 {
            for skip in 0..5 {
                let expected: Vec<_> = all[skip..].iter().map(|n| (u64::from(*n) * PAGE, *n)).collect();
                assert_eq!(pages(&file(8), &runs, skip as u64, buffer), expected, "{buffer} {skip}");
            }
        }
    }

    #[test]
    fn pages_that_are_not_mapped_are_skipped() {
        let own: Vec<u8> = (0..8 * PAGE_SIZE).map(|at| (at / PAGE_SIZE) as u8 + 1).collect();
        let start = (own.as_ptr() as u64).next_multiple_of(PAGE);
        let shift = usize::try_from(start - own.as_ptr() as u64).unwrap();
        let runs = [run(PAGE, 2), run(start, 4), run(PAGE, 1), run(start + 5 * PAGE, 2)];
        let expected: Vec<_> = [0usize, 1, 2, 3, 5, 6]
            .into_iter()
            .map(|page| (start + page as u64 * PAGE, own[shift + page * PAGE_SIZE]))
            .collect();
        for buffer in 1..9 {
            assert_eq!(pages(&Memory::Process(Pid::this()), &runs, 0, buffer), expected, "{buffer}");
        }
    }

    #[test]
    fn a_process_that_has_exited_has_no_pages() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let runs = [run(PAGE, 1 << 30)];
        assert_eq!(pages(&Memory::Process(pid), &runs, 0, 4), []);
    }

    #[test]
    fn pages_after_the_end_of_a_file_do_not_hide_later_runs() {
        let runs = [run(6 * PAGE, 4), run(PAGE, 2)];
        let expected: Vec<_> = [6u8, 7, 1, 2].map(|n| (u64::from(n) * PAGE, n)).into();
        for buffer in 1..6 {
            assert_eq!(pages(&file(8), &runs, 0, buffer), expected, "{buffer}");
        }
    }
}
