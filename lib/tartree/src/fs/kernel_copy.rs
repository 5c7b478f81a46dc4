//! Copies bytes from a file or a pipe to an output inside the kernel.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, SeekFrom, fstat, seek, tell};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Setter, ioctl, opcode};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice};

use crate::format::encode::{ALIGNMENT, WORTH_ALIGNING};
use crate::parallel::policy::has_second_processor;

/// Minimum length of content that is moved inside the kernel. Shorter content is read and written,
/// because it shares system calls with neighbouring entries.
pub(crate) const WORTH_IT: u64 = 256 << 10;
/// Minimum size of a copy from file to file. Below it, two threads that read and write take no
/// longer than one copy in the kernel, during which one of the threads would be idle.
const WORTH_WAITING: u64 = 4 << 20;
/// Bytes per system call. Signals are handled between two calls.
const STEP: u64 = 16 << 20;
/// Size of the pipe between two files. The default of 64 KiB makes a copy a quarter slower.
const PIPE: u64 = 1 << 20;
/// Moves up to `n` bytes from the position of `input`, a file or pipe, to the position of the file
/// `output`, and returns the number of bytes moved. The caller reads and writes the remaining
/// bytes, because the kernel may not support the pair of files, and the caller can report errors
/// with context. Calls `report` after each part.
pub fn transfer(input: BorrowedFd<'_>, output: BorrowedFd<'_>, n: u64, report: &mut dyn FnMut(u64)) -> u64 {
    match (kind(input), kind(output)) {
        (Some(FileType::RegularFile), Some(FileType::RegularFile)) => {
            let shared = share(input, output, n, report).unwrap_or(0);
            shared + through_pipe(input, output, n - shared, report)
        }
        (Some(FileType::Fifo), Some(FileType::RegularFile)) => repeat(n, input, output, report),
        _ => 0,
    }
}

/// Moves long content to one output without copying it through user space.
pub struct Passage {
    output: OwnedFd,
    to: FileType,
    /// Minimum number of bytes that are moved inside the kernel.
    least: u64,
    /// Called with the number of bytes after each system call that moved some.
    report: fn(u64),
    /// Whether a reflink to this output may still succeed. Cleared when a reflink fails.
    shares: bool,
}

impl Passage {
    /// Returns a `Passage` to `output` if `output` is a file or a pipe.
    pub fn to(output: BorrowedFd<'_>, report: fn(u64)) -> Option<Passage> {
        let to = kind(output)?;
        let least = match to {
            FileType::RegularFile => WORTH_IT,
            FileType::Fifo => WORTH_IT + capacity(output),
            // splice(2) to a socket keeps page references for an unbounded time.
            _ => return None,
        };
        Some(Passage { output: output.try_clone_to_owned().ok()?, to, least, report, shares: true })
    }

    /// Like [`transfer`]. Calls `ready` first, which must write everything that precedes these
    /// bytes.
    ///
    /// When this function returns, the bytes in the output no longer depend on the input: they are
    /// either copied into a file, or the reader of the pipe has already read them. splice(2) puts
    /// references to the file's pages into a pipe, so a later write to the file would change the
    /// bytes in the pipe. Therefore this function leaves the last bytes, as many as fill the pipe,
    /// to the caller, which copies them. So if the caller then detects that the file has changed,
    /// it knows that no later write changes the output. This function never copies from pipe to
    /// pipe, because such a copy would pass on the references.
    ///
    /// # Errors
    /// Returns the errors of `ready`.
    pub(crate) fn transfer<E>(
        &mut self,
        input: BorrowedFd<'_>,
        n: u64,
        ready: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<u64, E> {
        if n < self.least {
            return Ok(0);
        }
        let output = self.output.as_fd();
        let mut report = self.report;
        match (kind(input), self.to) {
            (Some(FileType::RegularFile), FileType::Fifo) => {
                ready()?;
                Ok(repeat(n.saturating_sub(capacity(output)), input, output, &mut report))
            }
            (Some(FileType::Fifo), FileType::RegularFile) => {
                ready()?;
                Ok(repeat(n, input, output, &mut report))
            }
            (Some(FileType::RegularFile), FileType::RegularFile) => {
                let mut moved = 0;
                if self.shares && n >= WORTH_ALIGNING {
                    ready()?;
                    let shared = share(input, output, n, &mut report);
                    self.shares = shared != Err(Errno::OPNOTSUPP);
                    moved = shared.unwrap_or(0);
                }
                if n - moved >= WORTH_WAITING || !has_second_processor() {
                    ready()?;
                    moved += through_pipe(input, output, n - moved, &mut report);
                }
                Ok(moved)
            }
            _ => Ok(0),
        }
    }
}

fn kind(fd: BorrowedFd<'_>) -> Option<FileType> {
    fstat(fd).ok().map(|status| FileType::from_raw_mode(status.st_mode))
}

/// Returns the capacity of a pipe, or the maximum if it cannot be read.
fn capacity(pipe: BorrowedFd<'_>) -> u64 {
    fcntl_getpipe_size(pipe).map_or(u64::MAX - WORTH_IT, |size| size as u64)
}

/// Splices `n` bytes from `input` to `output`, one of which is a pipe. Returns the number of bytes
/// moved.
fn repeat(n: u64, input: BorrowedFd<'_>, output: BorrowedFd<'_>, report: &mut dyn FnMut(u64)) -> u64 {
    let mut moved = 0;
    while moved < n {
        match once((n - moved).min(STEP), input, output) {
            0 => break,
            got => {
                report(got);
                moved += got;
            }
        }
    }
    moved
}

/// Splices up to `n` bytes in one call. Returns the number of bytes moved, or 0 at the end of the
/// input and on an error.
fn once(n: u64, input: BorrowedFd<'_>, output: BorrowedFd<'_>) -> u64 {
    loop {
        match splice(input, None, output, None, n as usize, SpliceFlags::empty()) {
            Ok(got) => return got as u64,
            Err(Errno::INTR) => {}
            Err(_) => return 0,
        }
    }
}

/// Copies from file to file through a pipe, which needs one copy in memory.
fn through_pipe(input: BorrowedFd<'_>, output: BorrowedFd<'_>, n: u64, report: &mut dyn FnMut(u64)) -> u64 {
    let Ok((reader, writer)) = pipe_with(PipeFlags::CLOEXEC) else { return 0 };
    // If the limit of the user forbids this size, the pipe keeps the default.
    let capacity = fcntl_setpipe_size(&writer, PIPE as usize).map_or(64 << 10, |size| size as u64);
    let (reader, writer) = (reader.as_fd(), writer.as_fd());
    let mut moved = 0;
    while moved < n {
        // Splices once: a second call could block on partially filled pipe buffers.
        let filled = once((n - moved).min(capacity), input, writer);
        let emptied = repeat(filled, reader, output, report);
        moved += emptied;
        if filled == 0 {
            break;
        }
        if emptied < filled {
            // Bytes that are still in the pipe are read again from the input.
            let back = i64::try_from(filled - emptied).unwrap_or(i64::MAX);
            let _ = seek(input, SeekFrom::Current(-back));
            break;
        }
    }
    moved
}

/// The argument of FICLONERANGE (`struct file_clone_range` in linux/fs.h, ioctl_ficlonerange(2)).
#[repr(C)]
struct CloneRange {
    from: i64,
    from_offset: u64,
    length: u64,
    to_offset: u64,
}

/// Shares all complete blocks of the range on disk between both files (Btrfs, XFS, bcachefs), and
/// moves both file positions to the end of the shared blocks.
fn share(
    input: BorrowedFd<'_>,
    output: BorrowedFd<'_>,
    n: u64,
    report: &mut dyn FnMut(u64),
) -> rustix::io::Result<u64> {
    const FICLONERANGE: Opcode = opcode::write::<CloneRange>(0x94, 13);
    let (from, to) = (tell(input)?, tell(output)?);
    let there = u64::try_from(fstat(input)?.st_size).unwrap_or(0).saturating_sub(from);
    let length = n.min(there) / ALIGNMENT * ALIGNMENT;
    if length == 0 || from % ALIGNMENT != 0 || to % ALIGNMENT != 0 {
        return Ok(0);
    }
    let range = CloneRange { from: input.as_raw_fd().into(), from_offset: from, length, to_offset: to };
    // SAFETY: FICLONERANGE reads one `file_clone_range`, whose layout CloneRange has, and keeps no
    // reference to it.
    unsafe { ioctl(output, Setter::<FICLONERANGE, CloneRange>::new(range)) }?;
    seek(input, SeekFrom::Start(from + length))?;
    seek(output, SeekFrom::Start(to + length))?;
    report(length);
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Seek, SeekFrom, Write};

    /// Calls [`transfer`] and verifies that the reported parts add up to the result.
    fn transfer(input: BorrowedFd<'_>, output: BorrowedFd<'_>, n: u64) -> u64 {
        let mut reported = 0;
        let moved = super::transfer(input, output, n, &mut |part| reported += part);
        assert_eq!(reported, moved);
        moved
    }

    fn sample() -> (File, Vec<u8>) {
        let bytes: Vec<u8> = (0..3_000_000u32).flat_map(|i| (i ^ i >> 7).to_le_bytes()).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        (file, bytes)
    }

    #[test]
    fn transfers_start_at_the_offsets_and_end_at_end_of_file() {
        let (mut file, bytes) = sample();
        file.seek(SeekFrom::Start(1000)).unwrap();
        let mut out = tempfile::tempfile().unwrap();
        out.write_all(b"before").unwrap();
        assert_eq!(transfer(file.as_fd(), out.as_fd(), 5_000_001), 5_000_001);
        assert_eq!(file.stream_position().unwrap(), 5_001_001);
        assert_eq!(transfer(file.as_fd(), out.as_fd(), 1 << 40), bytes.len() as u64 - 5_001_001);
        assert_eq!(transfer(file.as_fd(), out.as_fd(), 1), 0);
        let mut copy = Vec::new();
        out.seek(SeekFrom::Start(0)).unwrap();
        out.read_to_end(&mut copy).unwrap();
        assert!(copy == [&b"before"[..], &bytes[1000..]].concat());
    }

    #[test]
    fn bytes_that_a_full_output_refuses_remain_in_the_input() {
        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
        let (mut file, bytes) = sample();
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut out = File::from(memfd_create("full", MemfdFlags::ALLOW_SEALING).unwrap());
        out.set_len(1_500_000).unwrap();
        fcntl_add_seals(&out, SealFlags::GROW).unwrap();
        let moved = transfer(file.as_fd(), out.as_fd(), bytes.len() as u64);
        assert!((1 << 20..=1_500_000).contains(&moved), "{moved}");
        assert_eq!(file.stream_position().unwrap(), moved);
        assert_eq!(out.stream_position().unwrap(), moved);
    }

    #[test]
    fn append_only_and_read_only_outputs_are_not_written_to() {
        let (mut file, _) = sample();
        file.seek(SeekFrom::Start(0)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let append = File::options().append(true).create(true).open(&path).unwrap();
        let read_only = File::open(&path).unwrap();
        for out in [append, read_only] {
            assert_eq!(transfer(file.as_fd(), out.as_fd(), 1 << 20), 0);
            assert_eq!(file.stream_position().unwrap(), 0);
        }
    }

    #[test]
    fn a_pipe_is_transferred_to_a_file_until_its_end() {
        let (_, bytes) = sample();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let expected = bytes.clone();
        let writing = std::thread::spawn(move || writer.write_all(&bytes).unwrap());
        let mut out = tempfile::tempfile().unwrap();
        out.write_all(b"before").unwrap();
        assert_eq!(transfer(reader.as_fd(), out.as_fd(), 5_000_001), 5_000_001);
        assert_eq!(transfer(reader.as_fd(), out.as_fd(), 1 << 40), expected.len() as u64 - 5_000_001);
        writing.join().unwrap();
        let mut copy = Vec::new();
        out.seek(SeekFrom::Start(0)).unwrap();
        out.read_to_end(&mut copy).unwrap();
        assert!(copy == [&b"before"[..], &expected[..]].concat());
    }

    #[test]
    fn no_bytes_are_transferred_from_pipe_to_pipe() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let (_reader, output) = std::io::pipe().unwrap();
        writer.write_all(b"x").unwrap();
        let mut passage = Passage::to(output.as_fd(), |_| ()).unwrap();
        assert_eq!(passage.transfer(reader.as_fd(), 1 << 40, &mut || Err("not asked")), Ok(0));
    }

    #[test]
    fn later_changes_of_the_file_do_not_reach_the_pipe() {
        let (mut file, bytes) = sample();
        file.seek(SeekFrom::Start(0)).unwrap();
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let capacity = fcntl_getpipe_size(&writer).unwrap();
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        let mut passage = Passage::to(writer.as_fd(), |_| ()).unwrap();
        let all = bytes.len() as u64;
        let moved = passage.transfer(file.as_fd(), all, &mut || Ok::<(), ()>(())).unwrap() as usize;
        assert_eq!(moved, bytes.len() - capacity);
        writer.write_all(&bytes[moved..]).unwrap();
        // The pipe now contains only copied bytes, so the reader must not see this change.
        file.set_len(0).unwrap();
        file.write_all(&vec![0; bytes.len()]).unwrap();
        drop((writer, passage));
        assert!(reading.join().unwrap() == bytes);
    }
}
