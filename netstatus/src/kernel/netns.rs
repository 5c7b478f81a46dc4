//! Network namespaces as file descriptors.
//!
//! The process itself never changes its namespace: code that must run inside a namespace runs on a
//! short-lived thread that enters it. A socket or a child process created by this thread stays in
//! that namespace.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;

use anyhow::{Context, bail};
use cli::{Hint, display_path};
use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

/// Adds a hint if `path` is a name or a PID.
fn explained(e: anyhow::Error, path: &Path) -> anyhow::Error {
    match path.to_str() {
        Some(name) if name.contains('/') => e,
        Some(pid) if pid.bytes().all(|b| b.is_ascii_digit()) => {
            Hint::on(e, format!("write the path: --netns /proc/{pid}/ns/net"))
        }
        Some(name) => Hint::on(e, format!("write the path: --netns /run/netns/{name}")),
        None => e,
    }
}

/// An open network namespace.
#[derive(Debug)]
pub struct Netns {
    file: File,
    name: String,
}

impl Netns {
    /// Opens `path`, such as `/run/netns/NAME` or `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// Returns an error if `path` is not a namespace. The type of the namespace is checked when it
    /// is entered.
    pub fn open(path: &Path) -> anyhow::Result<Netns> {
        let name = display_path(path);
        // Opening a FIFO would otherwise wait for a writer.
        let open = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        let file = open.with_context(|| name.clone()).map_err(|e| explained(e, path))?;
        let kind = fstatfs(&file).with_context(|| name.clone())?.filesystem_type();
        if kind != NSFS_MAGIC {
            bail!("{name}: not a network namespace");
        }
        Ok(Netns { file, name })
    }

    /// Opens the namespace of a process.
    ///
    /// # Errors
    /// Returns an error if there is no such process, or if the caller may not inspect it.
    pub fn of_process(pid: u32) -> anyhow::Result<Netns> {
        Netns::open(Path::new(&format!("/proc/{pid}/ns/net")))
    }

    /// Opens the namespace of the caller.
    ///
    /// # Errors
    /// Returns an error if /proc is not mounted.
    pub fn own() -> anyhow::Result<Netns> {
        Netns::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// Returns the path with which the namespace was opened.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether both values refer to the same namespace.
    ///
    /// # Errors
    /// Returns any errno of stat(2).
    pub fn is(&self, other: &Netns) -> io::Result<bool> {
        let (a, b) = (self.file.metadata()?, other.file.metadata()?);
        Ok((a.dev(), a.ino()) == (b.dev(), b.ino()))
    }

    /// Runs `job` inside the namespace.
    ///
    /// # Errors
    /// Returns an error that starts with the name of the namespace if the namespace cannot be
    /// entered, which needs CAP_SYS_ADMIN, or if `job` fails.
    pub fn within<T: Send>(&self, job: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        thread::scope(|scope| {
            let inside = || {
                setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
                    nix::errno::Errno::EINVAL => anyhow::anyhow!("not a network namespace"),
                    errno => anyhow::Error::new(io::Error::from(errno)).context("setns"),
                })?;
                job()
            };
            let inside =
                thread::Builder::new().spawn_scoped(scope, inside).context("cannot start a thread")?;
            match inside.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
        .with_context(|| self.name.clone())
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_a_namespace_is_an_error() {
        for path in ["/nonexistent", "/etc/passwd", "/proc/0/ns/net", "/dev/null"] {
            assert!(Netns::open(Path::new(path)).is_err(), "{path}");
        }
        let own = Netns::own().unwrap();
        assert!(own.is(&Netns::of_process(std::process::id()).unwrap()).unwrap());
    }
}
