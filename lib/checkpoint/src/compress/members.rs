//! Compresses gzip and bzip2 on several threads: the data is split into members of a fixed size, as
//! pigz -i and pbzip2 do.
//!
//! Every reader of these formats reads consecutive members as one stream (RFC 1952, 2.2).

use std::io::{self, Write};

use tartree::parallel::{Ordered, Task, Workers};

#[derive(Clone, Copy, Debug)]
pub enum Format {
    Gzip,
    Bzip2,
}

impl Format {
    /// Returns how many bytes of data one member holds. Each gzip member starts with an empty
    /// dictionary, which makes the output less than one percent larger at this size. A bzip2 member
    /// holds one block.
    fn chunk_size(self, level: u32) -> usize {
        match self {
            Format::Gzip => 1 << 20,
            Format::Bzip2 => level as usize * 100_000,
        }
    }
}

/// The data of one member.
struct Chunk {
    format: Format,
    level: u32,
    data: Vec<u8>,
}

impl Task for Chunk {
    type Output = io::Result<Vec<u8>>;

    fn run(self) -> io::Result<Vec<u8>> {
        match self.format {
            Format::Gzip => {
                // Without name and time, equal data is compressed to equal bytes.
                let level = flate2::Compression::new(self.level);
                let mut out = flate2::write::GzEncoder::new(Vec::new(), level);
                out.write_all(&self.data)?;
                out.finish()
            }
            Format::Bzip2 => {
                let level = bzip2::Compression::new(self.level);
                let mut out = bzip2::write::BzEncoder::new(Vec::new(), level);
                out.write_all(&self.data)?;
                out.finish()
            }
        }
    }
}

/// Writes members in order. Threads compress the members, each up to two chunks ahead of the
/// output. If no thread can be started (`pids.max`, `ulimit -u`), the writing thread compresses the
/// members.
pub struct Members<W> {
    out: W,
    format: Format,
    level: u32,
    /// The data of the next member so far.
    data: Vec<u8>,
    members: Ordered<Chunk>,
    /// Whether a member was started. Even empty data is compressed to one member.
    begun: bool,
}

impl<W: Write> Members<W> {
    pub fn new(out: W, format: Format, level: u32, threads: usize) -> Members<W> {
        let mut members = Ordered::new();
        // The user has set the number of `threads`, so the writing thread does not compress in
        // addition to these threads.
        members.start(&Workers { name: "compress", threads, tasks_per_thread: 2, submitter_helps: false });
        Members { out, format, level, data: Vec::new(), members, begun: false }
    }

    pub fn finish(mut self) -> io::Result<W> {
        if !self.data.is_empty() || !self.begun {
            self.submit()?;
        }
        while self.write_next()? {}
        Ok(self.out)
    }

    fn submit(&mut self) -> io::Result<()> {
        self.begun = true;
        if self.members.is_full() {
            self.write_next()?;
        }
        let data = std::mem::take(&mut self.data);
        self.members.submit(Chunk { format: self.format, level: self.level, data });
        Ok(())
    }

    /// Writes the next member. Returns `false` if no member is left.
    fn write_next(&mut self) -> io::Result<bool> {
        let Some(member) = self.members.next() else { return Ok(false) };
        self.out.write_all(&member?)?;
        Ok(true)
    }
}

impl<W: Write> Write for Members<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let size = self.format.chunk_size(self.level);
        let taken = buf.len().min(size - self.data.len());
        self.data.extend_from_slice(&buf[..taken]);
        if self.data.len() == size {
            self.submit()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
