//! A disk that loses power at any moment.
//!
//! All requests to the disk are recorded. After a power loss, the disk holds all writes before the
//! last flush that had ended, and any of the writes after that flush, because a disk may reorder
//! the writes in its cache. [`Disk::crashes`] chooses such states, and [`Disk::mounted_after`]
//! mounts the file system that remains.

mod fuse;

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use harness::Random;

use self::fuse::{Log, Request};

/// Size of a disk: xfs needs at least 300 MiB.
const SIZE: u64 = 512 << 20;

/// A mounted file system on a recorded disk. It exists in the mount namespace of this thread, which
/// must be private.
pub struct Disk {
    dir: tempfile::TempDir,
    log: Log,
    server: Option<std::thread::JoinHandle<()>>,
}

/// State of the disk after a power loss.
#[derive(Debug, Clone)]
pub struct Crash {
    /// All requests before this one had been processed when power was lost.
    pub moment: usize,
    /// All writes before this request are on the disk.
    pub durable: usize,
    /// Requests between `durable` and `moment` whose writes are on the disk, too.
    pub also: Vec<usize>,
}

fn sh(dir: &Path, script: &str) {
    let output = Command::new("sh").args(["-euc", script]).current_dir(dir).output().expect("sh");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Unmounts `dir/name`. It is busy while a child of another test has inherited a descriptor and has
/// not yet called exec.
fn unmount(dir: &Path, name: &str) {
    sh(dir, &format!("for try in $(seq 100); do umount {name} && exit; sleep 0.1; done; exit 1"));
}

impl Disk {
    /// Creates a file system of type `kind` on a disk and mounts it.
    ///
    /// # Panics
    /// Panics if the disk cannot be created.
    pub fn new(kind: &str) -> Disk {
        // /tmp may be a tmpfs without enough memory.
        let dir = tempfile::Builder::new().prefix("disk-").tempdir_in("/var/tmp").expect("a directory");
        let content = dir.path().join("content");
        File::create(&content).and_then(|file| file.set_len(SIZE)).expect("the content of the disk");
        // mkfs writes zeros, which would make each copy larger.
        sh(
            dir.path(),
            &format!(
                "mkfs.{kind} -q content; fallocate --dig-holes content; mkdir mounted after; touch disk"
            ),
        );
        let log = Arc::new(Mutex::new(Vec::new()));
        let content = File::options().read(true).write(true).open(&content).expect("the content of the disk");
        let server = fuse::serve(content, &dir.path().join("disk"), Arc::clone(&log)).expect("a FUSE mount");
        let disk = Disk { dir, log, server: Some(server) };
        sh(disk.dir.path(), "mount -o loop disk mounted");
        disk
    }

    /// Returns the directory where the file system is mounted.
    pub fn mounted(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }

    /// Returns the number of requests that the disk has processed.
    pub fn moment(&self) -> usize {
        self.log.lock().expect("no panic while recording").len()
    }

    /// Writes everything to the disk, and begins the record.
    pub fn begin(&self) {
        // The kernel writes to a mounted file system at any time, but not to a frozen one.
        sh(self.dir.path(), "fsfreeze -f mounted; cp --sparse=always content begin || touch failed");
        self.log.lock().expect("no panic while recording").clear();
        sh(self.dir.path(), "fsfreeze -u mounted; [ ! -e failed ]");
    }

    /// Writes everything to the disk.
    pub fn sync(&self) {
        sh(self.dir.path(), "sync -f mounted");
    }

    /// Returns `count` states of the disk after a power loss at a moment in `moments`. The first
    /// state is at `exit` and has only flushed writes. Up to half of the states are those directly
    /// after flushes before `exit`.
    pub fn crashes(
        &self,
        moments: Range<usize>,
        exit: usize,
        count: usize,
        random: &mut Random,
    ) -> Vec<Crash> {
        let log = self.log.lock().expect("no panic while recording");
        let at = |moment: usize| {
            let flush = log[..moment].iter().rposition(|request| matches!(request, Request::Flush));
            Crash { moment, durable: flush.map_or(0, |n| n + 1), also: Vec::new() }
        };
        let mut flushes: Vec<_> =
            (moments.start..exit).filter(|&n| matches!(log[n], Request::Flush)).map(|n| n + 1).collect();
        let mut crashes = vec![at(exit)];
        while crashes.len() < count.div_ceil(2) && !flushes.is_empty() {
            crashes.push(at(flushes.swap_remove(random.below(flushes.len()))));
        }
        while crashes.len() < count {
            let mut crash = at(moments.start + random.below(moments.len() + 1));
            // All writes until the moment, or any of them.
            let all = random.below(2) == 0;
            crash.also = (crash.durable..crash.moment).filter(|_| all || random.below(2) == 0).collect();
            crashes.push(crash);
        }
        crashes
    }

    /// Mounts the file system that remains after `crash`, calls `check` with its directory, and
    /// unmounts it. The recorded file system must be unmounted, because it has the same UUID.
    ///
    /// # Panics
    /// Panics if the file system cannot be mounted: the file systems survive any power loss.
    pub fn mounted_after<T>(&self, crash: &Crash, check: impl FnOnce(&Path) -> T) -> T {
        let dir = self.dir.path();
        sh(dir, "cp --sparse=always begin state");
        let state = File::options().write(true).open(dir.join("state")).expect("the copied disk");
        let log = self.log.lock().expect("no panic while recording");
        for n in (0..crash.durable).chain(crash.also.iter().copied()) {
            if let Request::Write(offset, bytes) = &log[n] {
                state.write_all_at(bytes, *offset).expect("the copied disk can be written");
            }
        }
        drop((state, log));
        sh(dir, "mount -o loop state after");
        let result = check(&dir.join("after"));
        unmount(dir, "after");
        result
    }

    /// Unmounts the file system. Its record remains.
    pub fn unmount(&mut self) {
        if let Some(server) = self.server.take() {
            unmount(self.dir.path(), "mounted");
            unmount(self.dir.path(), "disk");
            server.join().expect("the server does not panic");
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.server.is_some() {
            // A panic of the test is not replaced by a second one.
            let _ = Command::new("sh")
                .args(["-c", "umount -l after mounted disk"])
                .current_dir(self.dir.path())
                .output();
        }
    }
}
