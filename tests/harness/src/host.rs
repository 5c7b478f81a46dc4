//! The user and the mounts of a test.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;

/// Returns whether the process is root, for tests whose expected result depends on that. A test
/// that needs root has the attribute `#[ignore = "needs root"]` instead.
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// Moves this thread to a new mount namespace, which ends with the thread.
///
/// # Panics
/// Panics if the process is not privileged.
pub fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).expect("unshare");
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .expect("private mounts");
}
