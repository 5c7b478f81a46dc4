//! The bytes of an archive: of a file, a pipe, or of a member of a pod archive.

use std::borrow::Borrow;
use std::fs::File;
use std::io::{self, Chain, Cursor, Read, Take};
use std::os::fd::{AsFd, BorrowedFd};

use tartree::Skip;

use super::pod::PodReader;

/// The bytes of an input, of which the first were read to recognize it.
pub(super) type Input<F> = Chain<Cursor<Vec<u8>>, CountedFile<F>>;

/// The bytes of an open archive.
pub struct Bytes<'a>(Source<'a>);

enum Source<'a> {
    File(Take<Input<&'a File>>),
    /// The archive of a container. With `to_end`, the rest of the pod archive is read after it.
    Container {
        pod: &'a mut PodReader,
        to_end: bool,
    },
}

impl<'a> Bytes<'a> {
    /// Returns `head`, and then up to `size` bytes of `file`.
    pub(super) fn of_file(head: Vec<u8>, file: &'a File, count: fn(u64), size: u64) -> Bytes<'a> {
        Bytes(Source::File(input(head, file, count).take(size)))
    }

    /// Returns the content of the current member of a pod archive. With `to_end`, the rest of the
    /// pod archive is checked after it: a writer at the other end of a pipe must not be killed, and
    /// a decompressor verifies its checksum at the end.
    pub(super) fn of_container(pod: &'a mut PodReader, to_end: bool) -> Bytes<'a> {
        Bytes(Source::Container { pod, to_end })
    }

    /// Moves up to `n` of the next bytes to the file `output` inside the kernel and returns their
    /// number; the caller reads the rest. Returns `None` while bytes of the head are left.
    pub(super) fn move_to(&mut self, output: BorrowedFd<'_>, n: u64) -> Option<u64> {
        match &mut self.0 {
            Source::File(bytes) => {
                let n = n.min(bytes.limit());
                let moved = move_input(bytes.get_mut(), output, n)?;
                bytes.set_limit(bytes.limit() - moved);
                Some(moved)
            }
            Source::Container { pod, .. } => pod.content().move_to(output, n),
        }
    }
}

impl Read for Bytes<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Source::File(bytes) => bytes.read(buf),
            Source::Container { pod, to_end } => {
                let got = pod.content().read(buf)?;
                if got == 0 && !buf.is_empty() && *to_end {
                    pod.read_to_end().map_err(io::Error::other)?;
                }
                Ok(got)
            }
        }
    }
}

impl Skip for Bytes<'_> {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        match &mut self.0 {
            Source::File(bytes) => bytes.skip(n),
            Source::Container { pod, .. } => pod.content().skip(n),
        }
    }
}

/// Returns `head`, and then the bytes of `file`.
pub(super) fn input<F: Borrow<File>>(head: Vec<u8>, file: F, count: fn(u64)) -> Input<F> {
    Cursor::new(head).chain(CountedFile { file, count })
}

/// Moves up to `n` of the next bytes to the file `output` inside the kernel. Returns `None` while
/// bytes of the head are left.
pub(super) fn move_input<F: Borrow<File>>(
    input: &mut Input<F>,
    output: BorrowedFd<'_>,
    n: u64,
) -> Option<u64> {
    let (head, CountedFile { file, count }) = input.get_mut();
    if head.position() < head.get_ref().len() as u64 {
        return None;
    }
    let file: &File = (*file).borrow();
    Some(tartree::transfer(file.as_fd(), output, n, count))
}

/// A file whose bytes are counted for the progress display, whether they are read, skipped or
/// moved.
pub struct CountedFile<F> {
    file: F,
    count: fn(u64),
}

impl<F: Borrow<File>> Read for CountedFile<F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.file.borrow().read(buf)?;
        (self.count)(got as u64);
        Ok(got)
    }
}

impl<F: Borrow<File>> Skip for CountedFile<F> {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        let skipped = self.file.borrow().skip(n)?;
        (self.count)(skipped);
        Ok(skipped)
    }
}
