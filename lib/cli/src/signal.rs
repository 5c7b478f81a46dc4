//! Signals: dying of SIGPIPE, and tidying up before dying of SIGINT, SIGTERM or SIGHUP.

use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

/// Ends the process as the default action of SIGPIPE does.
///
/// Rust ignores SIGPIPE so that a write fails with EPIPE and destructors run; this is the last step after them.
pub fn die_of_sigpipe() -> ! {
    die_of(Signal::SIGPIPE)
}

fn die_of(signal: Signal) -> ! {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action is not a function of ours, so there is no handler that could be unsafe.
    let _ = unsafe { sigaction(signal, &default) };
    let mut set = SigSet::empty();
    set.add(signal);
    let _ = set.thread_unblock();
    let _ = raise(signal);
    // Only reached where the signal is blocked in another way: keep the meaning of its status.
    std::process::exit(128 + signal as i32);
}

/// Waits for a signal of `set`, which is blocked, at most for `timeout`; gives whether one came.
pub fn wait(set: &SigSet, timeout: Option<Duration>) -> bool {
    let timeout = timeout.map(|t| libc::timespec {
        tv_sec: libc::time_t::try_from(t.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: t.subsec_nanos().into(),
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: both pointers are null, as the call allows, or lead to values that live until it returns.
    let got = unsafe { libc::sigtimedwait(set.as_ref(), std::ptr::null_mut(), timeout) };
    got > 0
}

type Tidy = Box<dyn FnOnce() + Send>;
static TIDY: Mutex<Option<Vec<Tidy>>> = Mutex::new(None);

/// Runs `tidy` if the process is told to end (SIGINT, SIGTERM, SIGHUP) and then dies of that signal.
///
/// Call it before the first thread is started: the signals are blocked in the calling thread and
/// taken by one that waits for them. After a normal end nothing is run.
pub fn on_termination(tidy: impl FnOnce() + Send + 'static) {
    let Ok(mut list) = TIDY.lock() else { return };
    if let Some(list) = list.as_mut() {
        list.push(Box::new(tidy));
        return;
    }
    *list = Some(vec![Box::new(tidy)]);
    let mut set = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        set.add(signal);
    }
    if set.thread_block().is_err() {
        return;
    }
    std::thread::spawn(move || {
        let Ok(signal) = set.wait() else { return };
        if let Ok(mut list) = TIDY.lock() {
            for tidy in list.take().unwrap_or_default() {
                tidy();
            }
        }
        die_of(signal)
    });
}
