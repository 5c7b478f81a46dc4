//! Which worker threads there are, and what the host must offer before one is started.
//!
//! A thread pays off only if a second processor can run it and if there is enough work: small trees
//! are done before a thread would have started. The counts below are measured.

use std::sync::OnceLock;
use std::thread;

use nix::sys::resource::{Resource, getrlimit};

/// When a worker thread is started.
pub(crate) struct Policy {
    /// The name of the thread, as `ps -L` prints it.
    pub name: &'static str,
    /// How much work the submitting thread does alone before a thread is considered. The unit is
    /// that of the user.
    pub alone: usize,
    /// Returns whether the host offers what the thread needs. It is called once, after `alone` is
    /// used up.
    pub allows: fn() -> bool,
}

/// Writes the buffers of a tar to its output, while the next buffer is filled. Unit: buffers of 256
/// KiB.
pub(crate) const TAR_WRITER: Policy = Policy { name: "writer", alone: 4, allows: has_second_processor };

/// Writes extracted files and sets their metadata, while the next files are created. Unit: batches,
/// which hold one file each until the thread is started. A batch holds the descriptors of up to 32
/// files.
pub(crate) const FILE_WRITER: Policy =
    Policy { name: "writer", alone: 16, allows: has_second_processor_and_descriptors };

/// Reads the metadata of inodes while the walk goes on. Unit: inodes. Each batch holds up to four
/// directory descriptors.
pub(crate) const STAT_AHEAD: Policy =
    Policy { name: "stat-ahead", alone: 256, allows: has_second_processor_and_descriptors };

/// Scans a file for zero pages. Unit: bytes.
pub(crate) const ZERO_SCAN: Policy =
    Policy { name: "zero-scan", alone: 8 << 20, allows: has_second_processor };

/// Prefetches files. It needs no second processor, because it waits for the disk.
pub(crate) const PREFETCH: Policy = Policy { name: "prefetch", alone: 0, allows: || true };

/// The soft limit of open descriptors below which no thread is started that holds many of them.
const MIN_DESCRIPTORS: u64 = 256;

/// Returns whether this process may run on more than one processor. Reads the affinity mask and the
/// cgroup quota once.
pub(crate) fn has_second_processor() -> bool {
    static RESULT: OnceLock<bool> = OnceLock::new();
    *RESULT.get_or_init(|| thread::available_parallelism().is_ok_and(|processors| processors.get() > 1))
}

/// Returns whether this process may run on more than one processor and may open the hundred further
/// descriptors that batches in flight hold.
fn has_second_processor_and_descriptors() -> bool {
    let descriptors = || getrlimit(Resource::RLIMIT_NOFILE).is_ok_and(|(soft, _)| soft >= MIN_DESCRIPTORS);
    has_second_processor() && descriptors()
}
