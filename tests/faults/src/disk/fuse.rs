//! A FUSE server for a mounted file system that consists of one regular file, and that records each
//! write and each flush. It speaks the protocol of the kernel's `include/uapi/linux/fuse.h`.
//!
//! A loop device on this file is a disk whose writes are known in their order. No kernel module is
//! needed for this, in contrast to `dm-log-writes`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::libc::{EINTR, ENOENT};
use nix::mount::{MsFlags, mount};

/// A request to the disk.
#[derive(Debug)]
pub enum Request {
    /// These bytes were written at this offset.
    Write(u64, Vec<u8>),
    /// All earlier writes have reached the disk when this request ends.
    Flush,
}

/// Requests in the order in which the disk has processed them.
pub type Log = Arc<Mutex<Vec<Request>>>;

/// The largest write in one request.
const MAX_WRITE: u32 = 128 << 10;
/// Seconds for which the kernel caches the attributes of the file, whose size never changes.
const VALID: u64 = 1 << 20;

// Opcodes of requests.
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const SETATTR: u32 = 4;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const RELEASE: u32 = 18;
const FSYNC: u32 = 20;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;

/// FUSE_BIG_WRITES: writes of more than one page.
const BIG_WRITES: u32 = 1 << 5;

/// Mounts a file system that consists of `content` at the regular file `at`, and records its
/// requests in `log`. The server ends after the unmount.
///
/// # Errors
/// Returns an error if /dev/fuse cannot be opened or mounted.
pub fn serve(content: File, at: &Path, log: Log) -> io::Result<JoinHandle<()>> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
    let options = format!("fd={},rootmode=100600,user_id=0,group_id=0,allow_other", device.as_raw_fd());
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("recorded-disk"), at, Some("fuse"), flags, Some(options.as_str()))?;
    let server = Server { device, size: content.metadata()?.len(), content, log };
    Ok(thread::spawn(move || server.run()))
}

struct Server {
    device: File,
    content: File,
    size: u64,
    log: Log,
}

/// A request of the kernel without its header.
struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn u32(&self, at: usize) -> u32 {
        let bytes = self.0.get(at..at + 4).and_then(|b| b.try_into().ok());
        bytes.map_or(0, u32::from_ne_bytes)
    }

    fn u64(&self, at: usize) -> u64 {
        let bytes = self.0.get(at..at + 8).and_then(|b| b.try_into().ok());
        bytes.map_or(0, u64::from_ne_bytes)
    }
}

impl Server {
    fn run(&self) {
        let mut buffer = vec![0; MAX_WRITE as usize + 4096];
        // read(2) fails with ENODEV after the unmount, and with EINTR or ENOENT if a request was
        // interrupted.
        loop {
            let n = match (&self.device).read(&mut buffer) {
                Ok(n) => n,
                Err(e) if matches!(e.raw_os_error(), Some(EINTR | ENOENT)) => continue,
                Err(_) => return,
            };
            let header = Body(&buffer[..n]);
            let (opcode, unique) = (header.u32(4), header.u64(8));
            if matches!(opcode, FORGET | BATCH_FORGET | INTERRUPT) {
                continue;
            }
            let (error, reply) = match self.reply(opcode, &Body(buffer.get(40..n).unwrap_or_default())) {
                Ok(reply) => (0, reply),
                Err(e) => (-(e as i32), Vec::new()),
            };
            let length = u32::try_from(16 + reply.len()).unwrap_or(u32::MAX);
            let mut message = length.to_ne_bytes().to_vec();
            message.extend(error.to_ne_bytes());
            message.extend(unique.to_ne_bytes());
            message.extend(reply);
            // The kernel rejects the reply to a request that was interrupted.
            let _ = (&self.device).write_all(&message);
        }
    }

    fn reply(&self, opcode: u32, body: &Body) -> Result<Vec<u8>, Errno> {
        let failed = |e: io::Error| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        Ok(match opcode {
            // Every supported kernel knows version 7.31, and newer kernels adapt to it.
            INIT => words(&[7, 31, 128 << 10, BIG_WRITES, 0, MAX_WRITE, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            GETATTR | SETATTR => self.attributes(),
            OPEN => vec![0; 16],
            RELEASE | FLUSH => Vec::new(),
            READ => {
                let end = self.size.min(body.u64(8) + u64::from(body.u32(16)));
                let size = end.saturating_sub(body.u64(8)).min(1 << 20);
                let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
                self.content.read_exact_at(&mut bytes, body.u64(8)).map_err(failed)?;
                bytes
            }
            WRITE => {
                let bytes = body.0.get(40..).unwrap_or_default();
                self.content.write_all_at(bytes, body.u64(8)).map_err(failed)?;
                self.record(Request::Write(body.u64(8), bytes.to_vec()));
                words(&[u32::try_from(bytes.len()).unwrap_or(0), 0])
            }
            FSYNC => {
                self.record(Request::Flush);
                Vec::new()
            }
            _ => return Err(Errno::ENOSYS),
        })
    }

    fn record(&self, request: Request) {
        self.log.lock().expect("no panic while recording").push(request);
    }

    /// Returns `struct fuse_attr_out` of the file.
    fn attributes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [VALID, 0, 1, self.size, self.size / 512, 0, 0, 0] {
            out.extend(word.to_ne_bytes());
        }
        // Nanoseconds of three times, mode, links, owner, group, device, block size, flags.
        out.extend(words(&[0, 0, 0, 0o100_600, 1, 0, 0, 0, 4096, 0]));
        out
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}
