//! Signals: dying of SIGPIPE, and tidying up before dying of SIGINT, SIGTERM or SIGHUP.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libc::c_char;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

/// Ends the process as the default action of SIGPIPE does.
///
/// Rust ignores SIGPIPE so that a write fails with EPIPE and destructors run; this is the last step after them.
pub fn die_of_sigpipe() -> ! {
    die_of(Signal::SIGPIPE)
}

fn die_of(signal: Signal) -> ! {
    unlink_names();
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
/// What is run before the process dies of a signal; `None` until the thread that waits for signals exists.
static TIDY: Mutex<Option<Vec<Tidy>>> = Mutex::new(None);

/// Runs `tidy` if the process receives SIGINT, SIGTERM or SIGHUP; the process then dies of that signal.
///
/// Call it before the first thread is started: it blocks the signals in the calling thread and starts a thread that waits for
/// them. A normal exit does not run `tidy`. If no thread can be started, the signals end the process at once, as SIGKILL does.
pub fn on_termination(tidy: impl FnOnce() + Send + 'static) {
    register(&mut tidies(), Box::new(tidy));
}

/// Runs `make` and registers `tidy` for the result, as [`on_termination`] does. A signal that arrives in between is handled
/// after the registration, so that nothing is left behind.
///
/// # Errors
/// Returns the error of `make`.
pub fn make_tidied<T, E, F>(make: impl FnOnce() -> Result<T, E>, tidy: impl FnOnce(&T) -> F) -> Result<T, E>
where
    F: FnOnce() + Send + 'static,
{
    let mut tidies = tidies();
    if tidies.is_none() {
        // The signals must be blocked before `make` runs.
        register(&mut tidies, Box::new(|| {}));
    }
    let made = make()?;
    register(&mut tidies, Box::new(tidy(&made)));
    Ok(made)
}

/// Runs `steps` to the end before a signal that [`on_termination`] waits for is handled.
pub fn uninterrupted<T>(steps: impl FnOnce() -> T) -> T {
    let _tidies = tidies();
    steps()
}

fn tidies() -> MutexGuard<'static, Option<Vec<Tidy>>> {
    TIDY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn register(tidies: &mut Option<Vec<Tidy>>, tidy: Tidy) {
    if let Some(tidies) = tidies {
        tidies.push(tidy);
        return;
    }
    *tidies = Some(vec![tidy]);
    let set = told_to_end();
    if set.thread_block().is_err() {
        return;
    }
    let waiting = std::thread::Builder::new().spawn(move || {
        let Ok(signal) = set.wait() else { return };
        // Locked until the process is dead: what another thread makes now would not be tidied up.
        let mut tidies = self::tidies();
        for tidy in tidies.take().unwrap_or_default() {
            tidy();
        }
        die_of(signal)
    });
    if waiting.is_err() {
        let _ = set.thread_unblock();
    }
}

/// Temporary files at one time: an output, and the two deletion lists of a diff, each while it gets its name.
const TEMPORARY: usize = 8;
static NAMES: [AtomicPtr<c_char>; TEMPORARY] = [const { AtomicPtr::new(ptr::null_mut()) }; TEMPORARY];

/// A name that SIGINT, SIGTERM and SIGHUP remove, whichever thread receives them, until this is dropped.
pub(crate) struct Temporary(Option<&'static AtomicPtr<c_char>>);

impl Temporary {
    /// Registers `path`. Do so before the file is made, with O_EXCL: a signal may arrive as soon as it exists.
    pub(crate) fn new(path: &Path) -> Temporary {
        let Ok(name) = CString::new(path.as_os_str().as_bytes()) else { return Temporary(None) };
        for signal in &told_to_end() {
            let flags = SaFlags::SA_RESETHAND | SaFlags::SA_NODEFER;
            let action = SigAction::new(SigHandler::Handler(remove_names), flags, SigSet::empty());
            // SAFETY: the handler calls async-signal-safe functions only, see signal-safety(7).
            let _ = unsafe { sigaction(signal, &action) };
        }
        // Never freed: a handler in another thread may be reading it.
        let name = name.into_raw();
        let free = |slot: &&AtomicPtr<c_char>| {
            slot.compare_exchange(ptr::null_mut(), name, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        };
        Temporary(NAMES.iter().find(free))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            slot.store(ptr::null_mut(), Ordering::SeqCst);
        }
    }
}

/// Removes the registered names and dies of `signal`: its action was reset to the default when this was called.
extern "C" fn remove_names(signal: libc::c_int) {
    unlink_names();
    // SAFETY: raise(3) takes any number.
    unsafe { libc::raise(signal) };
}

fn unlink_names() {
    for slot in &NAMES {
        let name = slot.load(Ordering::SeqCst);
        if !name.is_null() {
            // SAFETY: a registered name is a C string that is never freed.
            unsafe { libc::unlink(name) };
        }
    }
}
