//! Network namespaces by descriptor.
//!
//! The process itself stays where it is: what must happen inside a namespace runs on a thread that enters it and ends.
//! A socket or child process made there belongs to that namespace for good.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;

use anyhow::{Context, bail};
use cli::name;
use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

/// An open network namespace.
#[derive(Debug)]
pub struct Netns {
    file: File,
    name: String,
}

impl Netns {
    /// Opens `path`: `/run/netns/NAME`, `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// When it is not a namespace. Whether it is one of networks turns out when it is entered.
    pub fn open(path: &Path) -> anyhow::Result<Netns> {
        let name = name(path);
        // Not to wait for a writer when the path is a FIFO.
        let open = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        let file = open.with_context(|| name.clone())?;
        let kind = fstatfs(&file).with_context(|| name.clone())?.filesystem_type();
        if kind != NSFS_MAGIC {
            bail!("{name}: not a network namespace");
        }
        Ok(Netns { file, name })
    }

    /// The namespace of a process.
    ///
    /// # Errors
    /// When there is no such process, or it may not be looked at.
    pub fn of_process(pid: u32) -> anyhow::Result<Netns> {
        Netns::open(Path::new(&format!("/proc/{pid}/ns/net")))
    }

    /// The caller's own namespace.
    ///
    /// # Errors
    /// When /proc is not mounted.
    pub fn own() -> anyhow::Result<Netns> {
        Netns::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// The path it was opened by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether both are the same namespace.
    ///
    /// # Errors
    /// Those of stat.
    pub fn is(&self, other: &Netns) -> io::Result<bool> {
        let (a, b) = (self.file.metadata()?, other.file.metadata()?);
        Ok((a.dev(), a.ino()) == (b.dev(), b.ino()))
    }

    /// Runs `job` inside the namespace.
    ///
    /// # Errors
    /// When the namespace cannot be entered (it needs CAP_SYS_ADMIN), and those of `job`; all of them begin with its name.
    pub fn within<T: Send>(&self, job: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        thread::scope(|scope| {
            let inside = || {
                setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
                    nix::errno::Errno::EINVAL => anyhow::anyhow!("not a network namespace"),
                    errno => anyhow::Error::new(io::Error::from(errno)).context("setns"),
                })?;
                job()
            };
            let inside = thread::Builder::new().spawn_scoped(scope, inside).context("a thread")?;
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
    fn only_a_namespace_is_taken_for_one() {
        for path in ["/nonexistent", "/etc/passwd", "/proc/0/ns/net", "/dev/null"] {
            assert!(Netns::open(Path::new(path)).is_err(), "{path}");
        }
        let own = Netns::own().unwrap();
        assert!(own.is(&Netns::of_process(std::process::id()).unwrap()).unwrap());
    }
}
