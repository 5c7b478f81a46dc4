//! Handles signals: dies of SIGPIPE, and cleans up before the process dies of SIGINT, SIGTERM or
//! SIGHUP.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libc::c_char;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

/// Ends the process by SIGPIPE.
///
/// Rust ignores SIGPIPE, so that a write fails with EPIPE and destructors run. Call this function
/// after the destructors have run.
pub fn die_of_sigpipe() -> ! {
    die_of(Signal::SIGPIPE)
}

fn die_of(signal: Signal) -> ! {
    unlink_names();
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: with the default action no handler runs.
    let _ = unsafe { sigaction(signal, &default) };
    let mut set = SigSet::empty();
    set.add(signal);
    let _ = set.thread_unblock();
    let _ = raise(signal);
    // This line is reached only if the signal cannot be delivered. A shell reports the same status
    // for a process that died of the signal.
    std::process::exit(128 + signal as i32);
}

/// Waits at most `timeout` for a signal in `set`, which must be blocked. Returns whether a signal
/// arrived.
pub fn wait(set: &SigSet, timeout: Option<Duration>) -> bool {
    let timeout = timeout.map(|t| libc::timespec {
        tv_sec: libc::time_t::try_from(t.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: t.subsec_nanos().into(),
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: each pointer is null, which the call allows, or points to a value that lives until
    // the call returns.
    let got = unsafe { libc::sigtimedwait(set.as_ref(), std::ptr::null_mut(), timeout) };
    got > 0
}

/// Returns the signals that end a process, except those that this process ignores.
fn termination_signals() -> SigSet {
    // A blocked signal becomes pending even if it is ignored, as SIGHUP is under nohup(1), and
    // would then end the process.
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .filter(|&signal| !is_ignored(signal))
        .collect()
}

/// Returns whether the process ignores `signal`. A process can inherit this setting from its
/// parent.
fn is_ignored(signal: Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null pointer as new action changes nothing. The call writes the old action to
    // `action`, which is read only if the call succeeded.
    unsafe {
        libc::sigaction(signal as libc::c_int, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Makes a write beyond the largest allowed file (`ulimit -f`) fail with EFBIG, so that the error
/// is reported and temporary files are removed. By default SIGXFSZ ends the process. Child
/// processes do not inherit the setting.
pub(crate) fn large_files_are_errors() {
    let mut set = SigSet::empty();
    set.add(Signal::SIGXFSZ);
    // On failure the default action remains.
    let _ = set.thread_block();
}

type Cleanup = Box<dyn FnOnce() + Send>;
/// The functions to run before the process dies of a signal; `None` until the signal thread is
/// started.
static CLEANUPS: Mutex<Option<Vec<Cleanup>>> = Mutex::new(None);

/// Runs `cleanup` if the process receives SIGINT, SIGTERM or SIGHUP. The process then dies of that
/// signal.
///
/// Call this function before other threads are started: it blocks the signals in the calling thread
/// and starts a thread that waits for them. A normal exit does not run `cleanup`. If no thread can
/// be started, the signals end the process immediately.
pub fn on_termination(cleanup: impl FnOnce() + Send + 'static) {
    register(&mut registered(), Box::new(cleanup));
}

/// Runs `make` and registers `cleanup` for its result, like [`on_termination`]. A signal that
/// arrives between `make` and the registration is handled after the registration, so that the
/// cleanup always runs.
///
/// # Errors
/// Returns the error of `make`.
pub fn make_with_cleanup<T, E, F>(
    make: impl FnOnce() -> Result<T, E>,
    cleanup: impl FnOnce(&T) -> F,
) -> Result<T, E>
where
    F: FnOnce() + Send + 'static,
{
    let mut cleanups = registered();
    if cleanups.is_none() {
        // This blocks the signals, which must be done before `make` runs.
        register(&mut cleanups, Box::new(|| {}));
    }
    let made = make()?;
    register(&mut cleanups, Box::new(cleanup(&made)));
    Ok(made)
}

/// Runs `steps` and delays the signals of [`on_termination`] until `steps` returns.
pub fn uninterrupted<T>(steps: impl FnOnce() -> T) -> T {
    let _cleanups = registered();
    steps()
}

/// Blocks until the process is dead, if a signal of [`on_termination`] is being handled.
///
/// Call this function before the error of a job is reported: the job may have failed only because a
/// cleanup removed its files, and the process must then die of the signal.
pub(crate) fn wait_for_cleanup() {
    drop(registered());
}

fn registered() -> MutexGuard<'static, Option<Vec<Cleanup>>> {
    CLEANUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn register(cleanups: &mut Option<Vec<Cleanup>>, cleanup: Cleanup) {
    if let Some(cleanups) = cleanups {
        cleanups.push(cleanup);
        return;
    }
    *cleanups = Some(vec![cleanup]);
    let set = termination_signals();
    if set.thread_block().is_err() {
        return;
    }
    let waiting = std::thread::Builder::new().spawn(move || {
        let Ok(signal) = set.wait() else { return };
        // The lock is held until the process is dead: a file that another thread created now would
        // not be cleaned up.
        let mut cleanups = registered();
        for cleanup in cleanups.take().unwrap_or_default() {
            cleanup();
        }
        die_of(signal)
    });
    if waiting.is_err() {
        let _ = set.thread_unblock();
    }
}

/// The maximum number of temporary files at one time: the output and the two deletion lists of a
/// diff, while they are renamed.
const TEMPORARY: usize = 8;
static NAMES: [AtomicPtr<c_char>; TEMPORARY] = [const { AtomicPtr::new(ptr::null_mut()) }; TEMPORARY];

/// A file name that is removed on SIGINT, SIGTERM and SIGHUP, whichever thread receives them, until
/// this value is dropped.
pub(crate) struct Temporary(Option<&'static AtomicPtr<c_char>>);

impl Temporary {
    /// Registers `path`. Call this function before the file is created with O_EXCL: a signal may
    /// arrive as soon as the file exists.
    pub(crate) fn new(path: &Path) -> Temporary {
        let Ok(name) = CString::new(path.as_os_str().as_bytes()) else { return Temporary(None) };
        for signal in &termination_signals() {
            let flags = SaFlags::SA_RESETHAND | SaFlags::SA_NODEFER;
            let action = SigAction::new(SigHandler::Handler(remove_names), flags, SigSet::empty());
            // SAFETY: the handler calls only async-signal-safe functions, see signal-safety(7).
            let _ = unsafe { sigaction(signal, &action) };
        }
        // The name is never freed: a handler in another thread may be reading it.
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

/// Removes the registered names and dies of `signal`, whose action SA_RESETHAND has reset to the
/// default.
extern "C" fn remove_names(signal: libc::c_int) {
    unlink_names();
    // SAFETY: raise(3) accepts any number.
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
