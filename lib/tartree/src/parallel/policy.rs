//! Lists the worker threads, with the conditions for starting each thread.
//!
//! A thread is worth its cost only if a second processor can run it and if there is enough work: a
//! small tree is finished before a thread would have started. The amounts below are measured.
//!
//! The threads that compress gzip and bzip2 are not listed: the user chooses their number.

use std::sync::OnceLock;
use std::thread;

use nix::sys::resource::{Resource, getrlimit};

/// The conditions for starting a worker thread.
pub(crate) struct Policy {
    /// The name of the thread, as `ps -L` prints it.
    pub name: &'static str,
    /// The amount of work that the submitting thread does alone before a thread is considered, in
    /// the unit that the policy states.
    pub alone: usize,
    /// Returns whether the host has the processors and descriptors that the thread needs. This
    /// function is called once, after `alone` is used up.
    pub allows: fn() -> bool,
}

/// The thread that writes a tar to its output while the next buffer is filled. Unit: buffers of
/// 256 KiB.
pub(crate) const TAR_WRITER: Policy = Policy { name: "writer", alone: 4, allows: has_second_processor };

/// The thread that writes extracted files and sets their metadata while the next files are created.
/// Unit: batches, which hold one file each until the thread is started. After that, a batch holds
/// the descriptors of up to 32 files.
pub(crate) const FILE_WRITER: Policy =
    Policy { name: "writer", alone: 16, allows: has_second_processor_and_descriptors };

/// The thread that reads the metadata of inodes while the walk finds the next inodes. Unit: inodes.
/// A batch of inodes holds the descriptors of up to four directories.
pub(crate) const STAT_AHEAD: Policy =
    Policy { name: "stat-ahead", alone: 256, allows: has_second_processor_and_descriptors };

/// The thread that helps to scan a large file for zero pages. Unit: bytes of the file.
pub(crate) const ZERO_SCAN: Policy =
    Policy { name: "zero-scan", alone: 8 << 20, allows: has_second_processor };

/// The thread that prefetches files. It needs no second processor, because it waits for the disk.
pub(crate) const PREFETCH: Policy = Policy { name: "prefetch", alone: 0, allows: || true };

/// The minimum soft limit of open descriptors for starting a thread that holds many descriptors.
const MIN_DESCRIPTORS: u64 = 256;

/// Returns the number of processors that this process may use, at least 1. The affinity mask and
/// the cgroup quota are read only once.
pub fn processors() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

/// Returns whether this process may run on more than one processor.
pub(crate) fn has_second_processor() -> bool {
    processors() > 1
}

/// Returns whether this process may run on more than one processor, and may open about a hundred
/// more descriptors, which the batches in flight hold.
fn has_second_processor_and_descriptors() -> bool {
    let descriptors = || getrlimit(Resource::RLIMIT_NOFILE).is_ok_and(|(soft, _)| soft >= MIN_DESCRIPTORS);
    has_second_processor() && descriptors()
}
