//! gzip and bzip2 on several threads: the data is cut into members of a fixed size, as pigz -i and pbzip2 do.
//!
//! Every reader of these formats takes members one after another for one stream (RFC 1952 2.2).

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};

#[derive(Clone, Copy, Debug)]
pub enum Format {
    Gzip,
    Bzip2,
}

impl Format {
    /// Data in one member. For gzip a size at which the lost dictionary costs less than a percent, for bzip2 its block.
    fn chunk(self, level: u32) -> usize {
        match self {
            Format::Gzip => 1 << 20,
            Format::Bzip2 => level as usize * 100_000,
        }
    }

    fn compress(self, level: u32, chunk: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Format::Gzip => {
                // No name and no time: the same data gives the same bytes.
                let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
                out.write_all(chunk)?;
                out.finish()
            }
            Format::Bzip2 => {
                let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::new(level));
                out.write_all(chunk)?;
                out.finish()
            }
        }
    }
}

struct Job {
    chunk: Vec<u8>,
    done: SyncSender<io::Result<Vec<u8>>>,
}

/// Writes members in order, compressed by threads that run ahead of the output by two chunks each. Where no thread can be started
/// (`pids.max`, `ulimit -u`) they are compressed here.
pub struct Members<W> {
    out: W,
    format: Format,
    level: u32,
    size: usize,
    chunk: Vec<u8>,
    jobs: Sender<Job>,
    pending: VecDeque<Receiver<io::Result<Vec<u8>>>>,
    /// None where there is no thread.
    ahead: usize,
    begun: bool,
}

impl<W: Write> Members<W> {
    pub fn new(out: W, format: Format, level: u32, threads: usize) -> Members<W> {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let started = (0..threads).take_while(|_| {
            let queue = Arc::clone(&queue);
            // They end when the sender is dropped.
            let work = move || {
                while let Some(job) = queue.lock().ok().and_then(|queue| queue.recv().ok()) {
                    // Nobody waits for it any more after an error.
                    let _ = job.done.send(format.compress(level, &job.chunk));
                }
            };
            std::thread::Builder::new().spawn(work).is_ok()
        });
        let ahead = 2 * started.count();
        let size = format.chunk(level);
        let (chunk, pending) = (Vec::new(), VecDeque::new());
        Members { out, format, level, size, chunk, jobs, pending, ahead, begun: false }
    }

    pub fn finish(mut self) -> io::Result<W> {
        if !self.chunk.is_empty() || !self.begun {
            self.start()?;
        }
        while let Some(next) = self.pending.pop_front() {
            self.put(&next)?;
        }
        Ok(self.out)
    }

    fn start(&mut self) -> io::Result<()> {
        self.begun = true;
        let chunk = std::mem::take(&mut self.chunk);
        if self.ahead == 0 {
            return self.out.write_all(&self.format.compress(self.level, &chunk)?);
        }
        if self.pending.len() >= self.ahead {
            if let Some(next) = self.pending.pop_front() {
                self.put(&next)?;
            }
        }
        let (done, result) = sync_channel(1);
        self.jobs.send(Job { chunk, done }).map_err(|_| gone())?;
        self.pending.push_back(result);
        Ok(())
    }

    fn put(&mut self, next: &Receiver<io::Result<Vec<u8>>>) -> io::Result<()> {
        let member = next.recv().map_err(|_| gone())??;
        self.out.write_all(&member)
    }
}

impl<W: Write> Write for Members<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let room = self.size - self.chunk.len();
        let taken = buf.len().min(room);
        self.chunk.extend_from_slice(&buf[..taken]);
        if self.chunk.len() == self.size {
            self.start()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn gone() -> io::Error {
    io::Error::other("a compressing thread ended")
}
