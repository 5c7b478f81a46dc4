//! Signals: dying of SIGPIPE, and tidying up before dying of SIGINT, SIGTERM or SIGHUP.

use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, raise, sigaction};

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

/// Holds back what tells the process to end, until it is dropped.
pub(crate) struct Held(Option<SigSet>);

impl Held {
    pub(crate) fn new() -> Held {
        Held(told_to_end().thread_swap_mask(SigmaskHow::SIG_BLOCK).ok())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // What came meanwhile is taken here.
            let _ = before.thread_set_mask();
        }
    }
}

fn told_to_end() -> SigSet {
    // A signal that is blocked waits even where it is ignored, as SIGHUP is under nohup(1).
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .filter(|&signal| !is_ignored(signal))
        .collect()
}

/// Whether the program was started with the signal ignored.
fn is_ignored(signal: Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action nothing is set; the old one is written where there is room for it, and read only if it was.
    unsafe {
        libc::sigaction(signal as libc::c_int, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Lets a write beyond the largest file allowed (`ulimit -f`) fail with EFBIG, so that it is told and tidied up after; by
/// default the signal ends the process. Programs that are started do not inherit this.
pub(crate) fn large_files_are_errors() {
    let mut set = SigSet::empty();
    set.add(Signal::SIGXFSZ);
    // Without it everything is as it was.
    let _ = set.thread_block();
}

type Tidy = Box<dyn FnOnce() + Send>;
static TIDY: Mutex<Option<Vec<Tidy>>> = Mutex::new(None);

/// Runs `tidy` if the process is told to end (SIGINT, SIGTERM, SIGHUP) and then dies of that signal.
///
/// Call it before the first thread is started: the signals are blocked in the calling thread and
/// taken by one that waits for them. After a normal end nothing is run. Where no thread can be started the signals end the process at
/// once, as SIGKILL does.
pub fn on_termination(tidy: impl FnOnce() + Send + 'static) {
    let Ok(mut list) = TIDY.lock() else { return };
    if let Some(list) = list.as_mut() {
        list.push(Box::new(tidy));
        return;
    }
    *list = Some(vec![Box::new(tidy)]);
    let set = told_to_end();
    if set.thread_block().is_err() {
        return;
    }
    let waiting = std::thread::Builder::new().spawn(move || {
        let Ok(signal) = set.wait() else { return };
        if let Ok(mut list) = TIDY.lock() {
            for tidy in list.take().unwrap_or_default() {
                tidy();
            }
        }
        die_of(signal)
    });
    if waiting.is_err() {
        let _ = set.thread_unblock();
    }
}
