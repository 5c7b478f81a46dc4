//! Standard output that was closed when the tool began (`tool >&-`).
//!
//! Before `main` the standard library opens `/dev/null` in place of a closed standard descriptor, so that no other file gets its number.
//! What is written there is lost, with status 0. Once `main` runs nothing tells such a `/dev/null` from one that the user wants, so it is
//! looked at before.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static STDOUT: AtomicBool = AtomicBool::new(false);

/// Whether standard output was closed.
pub(crate) fn stdout() -> bool {
    STDOUT.load(Relaxed)
}

extern "C" fn look() {
    // SAFETY: F_GETFD takes no pointer and changes nothing.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    STDOUT.store(flags == -1, Relaxed);
}

// SAFETY: what stands in this section is called once, before `main` and on its thread; `look` needs nothing of the standard library
// that `main` would have set up.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;
