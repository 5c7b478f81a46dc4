//! Detects a standard output that was closed when the tool started (`tool >&-`).
//!
//! Before `main` runs, the standard library opens `/dev/null` in place of a closed standard
//! descriptor, so that no other file gets its number. Output would then be lost with status 0. In
//! `main`, this `/dev/null` cannot be distinguished from a `/dev/null` that the user chose, so this
//! module checks the descriptor before `main`.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Returns whether standard output was closed when the process started.
pub(crate) fn is_closed() -> bool {
    CLOSED.load(Relaxed)
}

extern "C" fn check_stdout() {
    // SAFETY: F_GETFD takes no pointer and changes nothing.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    CLOSED.store(flags == -1, Relaxed);
}

// SAFETY: the loader calls the functions of this section once, before `main` and on its thread.
// `check_stdout` uses nothing of the standard library that is initialized in `main`.
#[used]
#[unsafe(link_section = ".init_array")]
static CHECK_STDOUT: extern "C" fn() = check_stdout;
