//! What a test needs of the machine; on CI a missing prerequisite is a failure.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;

/// Whether the test can run here: `false` means it was announced as not run.
///
/// # Panics
/// On CI, where everything must run.
pub fn can(what: &str, possible: bool) -> bool {
    if !possible {
        assert!(std::env::var_os("CI").is_none(), "on CI this test must run: {what}");
        eprintln!("not run: {what}");
    }
    possible
}

/// Whether this is root; see [`can`].
pub fn is_root() -> bool {
    can("needs root", geteuid().is_root())
}

/// Gives this thread a mount namespace of its own: what the test mounts goes away with it.
///
/// # Panics
/// When the kernel refuses.
pub fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).expect("unshare");
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .expect("private mounts");
}
