//! Runs the command that dumps the container.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, pipe2};

use super::gate::Gate;

/// The time that the command has to end after CRIU was told to give up, and after each signal.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// A running command, in a process group of its own: a signal from the terminal must reach only
/// this program, which then ends the dump in order.
pub struct Running {
    group: Pid,
    status: Arc<(Mutex<Option<ExitStatus>>, Condvar)>,
    /// A pipe that is closed when the command ends.
    ended: OwnedFd,
}

impl Running {
    /// Starts the command `words`, so that CRIU waits at `gate`. Its standard
    /// output goes to standard error, because standard output may be the archive.
    ///
    /// # Errors
    /// Returns an error that names the program if it cannot be started.
    pub fn start(words: &[OsString], gate: &Gate) -> anyhow::Result<Running> {
        let Some((program, args)) = words.split_first() else { anyhow::bail!("expected a command") };
        let (ended, alive) = pipe2(OFlag::O_CLOEXEC)?;
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        let mut child = std::process::Command::new(program)
            .args(args)
            .env("CRIU_CONFIG_FILE", gate.config())
            .env("PATH", gate.path())
            .stdin(Stdio::null())
            .stdout(stderr)
            .process_group(0)
            .spawn()
            .with_context(|| cli::display_path(Path::new(program)))?;
        let group = Pid::from_raw(i32::try_from(child.id())?);
        let status = Arc::new((Mutex::new(None), Condvar::new()));
        let shared = Arc::clone(&status);
        std::thread::spawn(move || {
            let status = child.wait();
            *lock(&shared.0) = status.ok().or(Some(ExitStatus::default()));
            shared.1.notify_all();
            drop(alive);
        });
        Ok(Running { group, status, ended })
    }

    /// Returns the PID of the command.
    pub fn pid(&self) -> i32 {
        self.group.as_raw()
    }

    /// Returns a descriptor that hangs up when the command ends.
    pub fn ended(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }

    /// Waits at most `timeout` for the command to end.
    pub fn wait(&self, timeout: Duration) -> Option<ExitStatus> {
        let (status, changed) = &*self.status;
        let waiting = changed.wait_timeout_while(lock(status), timeout, |status| status.is_none());
        *waiting.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for the command and the processes that it started to end, and ends them if they do not.
    /// CRIU may outlive a runtime that was killed.
    pub fn stop(&self) {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            if self.group_ends() {
                return;
            }
            let _ = killpg(self.group, signal);
        }
        self.group_ends();
    }

    /// Waits at most [`PATIENCE`] for the process group to be empty.
    fn group_ends(&self) -> bool {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let is_empty = killpg(self.group, None) == Err(nix::errno::Errno::ESRCH);
            if is_empty && self.wait(Duration::ZERO).is_some() {
                return true;
            }
            std::thread::sleep(POLL);
        }
        false
    }
}

/// A process that is killed when this value is dropped.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // The process may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Locks `mutex`, also after a panic of another thread.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
