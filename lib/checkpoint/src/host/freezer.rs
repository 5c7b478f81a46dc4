//! Freezes the processes of a container through their cgroup, like `runc pause`.
//!
//! A container engine does not notice this: podman, for example, refuses to checkpoint a container
//! that it has paused itself.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use super::processes::{named, tree};

/// The longest time that processes may take to freeze. A process that waits for a dead NFS server
/// never freezes.
const TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(1);

/// The cgroup of a container that can be frozen.
pub struct Freezer {
    /// The file whose content changes the state.
    path: PathBuf,
    file: File,
    version: Version,
    dir: PathBuf,
    /// Whether the processes were already frozen.
    was_frozen: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Version {
    fn frozen(self) -> &'static str {
        match self {
            Version::V1 => "FROZEN",
            Version::V2 => "1",
        }
    }

    fn thawed(self) -> &'static str {
        match self {
            Version::V1 => "THAWED",
            Version::V2 => "0",
        }
    }
}

impl Freezer {
    /// Finds the cgroup that holds the process `pid` and its descendants.
    ///
    /// # Errors
    /// Returns an error if the cgroup also holds other processes, such as this one, or if no cgroup
    /// hierarchy on this host can freeze it.
    pub fn find(pid: u32) -> io::Result<Freezer> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let (version, mount, mut cgroup) = Mount::all(&mounts)
            .filter_map(|mount| Some((mount.version, mount.clone(), mount.cgroup(&membership(pid).ok()?)?)))
            // A hybrid host has both; runtimes then freeze through version 1.
            .min_by_key(|(version, _, cgroup)| (cgroup.as_os_str().is_empty(), *version == Version::V2))
            .ok_or_else(|| io::Error::other(format!("process {pid} is in no cgroup that can be frozen")))?;
        for other in tree(pid)? {
            let path = mount.cgroup(&membership(other)?).unwrap_or_default();
            cgroup = common(&cgroup, &path);
        }
        if cgroup.as_os_str().is_empty() {
            return Err(io::Error::other(format!("process {pid} has no cgroup of its own")));
        }
        let own = mount.cgroup(&membership(std::process::id())?).unwrap_or_default();
        if own.starts_with(&cgroup) {
            return Err(io::Error::other(format!(
                "process {pid} is in the cgroup of this program, /{}",
                cgroup.display()
            )));
        }
        let dir = mount.path.join(cgroup);
        let path = dir.join(if version == Version::V1 { "freezer.state" } else { "cgroup.freeze" });
        let file = OpenOptions::new().write(true).open(&path).map_err(|e| named(&path, &e))?;
        let was_frozen = fs::read_to_string(&path).map_err(|e| named(&path, &e))?.trim() == version.frozen();
        Ok(Freezer { path, file, version, dir, was_frozen })
    }

    /// Freezes the processes and waits until all are frozen.
    ///
    /// # Errors
    /// Returns an error if a process does not freeze. The others are then resumed.
    pub fn freeze(&self) -> io::Result<()> {
        let start = Instant::now();
        self.write(self.version.frozen())?;
        while !self.is_frozen()? {
            if start.elapsed() > TIMEOUT {
                self.thaw()?;
                return Err(io::Error::other(format!(
                    "{}: the processes did not freeze within {} s",
                    self.path.display(),
                    TIMEOUT.as_secs()
                )));
            }
            std::thread::sleep(POLL);
            if self.version == Version::V1 {
                // A process that forks while it is being frozen leaves the state FREEZING.
                self.write(self.version.frozen())?;
            }
        }
        Ok(())
    }

    /// Resumes the processes, unless they were frozen before. A cgroup that is gone has no
    /// processes.
    ///
    /// # Errors
    /// Returns an error if the kernel refuses.
    pub fn thaw(&self) -> io::Result<()> {
        if self.was_frozen {
            return Ok(());
        }
        match self.write(self.version.thawed()) {
            Err(e) if matches!(e.raw_os_error(), Some(ENODEV | ENOENT)) => Ok(()),
            done => done,
        }
    }

    /// Returns whether the processes were frozen before this program froze them.
    pub fn was_frozen(&self) -> bool {
        self.was_frozen
    }

    /// Returns the file in the cgroup, and the line that resumes the processes when it is written
    /// to that file.
    pub fn thaw_command(&self) -> (&Path, &'static str) {
        (&self.path, self.version.thawed())
    }

    fn write(&self, state: &str) -> io::Result<()> {
        (&self.file).write_all(state.as_bytes()).map_err(|e| {
            // The kind alone would lose ENODEV, by which the kernel reports a removed cgroup.
            if e.raw_os_error() == Some(ENODEV) { e } else { named(&self.path, &e) }
        })
    }

    fn is_frozen(&self) -> io::Result<bool> {
        let (path, line) = match self.version {
            Version::V1 => (self.path.clone(), "FROZEN"),
            Version::V2 => (self.dir.join("cgroup.events"), "frozen 1"),
        };
        let text = fs::read_to_string(&path).map_err(|e| named(&path, &e))?;
        Ok(text.lines().any(|found| found == line))
    }
}

const ENODEV: i32 = 19;
const ENOENT: i32 = 2;

/// A mounted cgroup hierarchy with a freezer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    version: Version,
    path: PathBuf,
    /// The cgroup that is mounted, relative to the root of the hierarchy.
    root: PathBuf,
}

impl Mount {
    /// Finds the hierarchies in /proc/self/mountinfo.
    fn all(mountinfo: &str) -> impl Iterator<Item = Mount> + '_ {
        mountinfo.lines().filter_map(|line| {
            // "ID PARENT DEVICE ROOT MOUNTPOINT OPTIONS [TAG]... - TYPE SOURCE SUPER-OPTIONS"
            let (mount, filesystem) = line.split_once(" - ")?;
            let mut fields = mount.split(' ').skip(3);
            let (root, path) = (fields.next()?, fields.next()?);
            let mut filesystem = filesystem.split(' ');
            let version = match (filesystem.next()?, filesystem.nth(1)?) {
                ("cgroup", options) if options.split(',').any(|option| option == "freezer") => Version::V1,
                ("cgroup2", _) => Version::V2,
                _ => return None,
            };
            Some(Mount { version, path: path.into(), root: relative(root) })
        })
    }

    /// Returns the cgroup of a process below the mount, from its /proc/PID/cgroup.
    fn cgroup(&self, membership: &[u8]) -> Option<PathBuf> {
        membership.split(|&byte| byte == b'\n').find_map(|line| {
            // "HIERARCHY:CONTROLLERS:PATH"
            let mut fields = line.splitn(3, |&byte| byte == b':');
            let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let is_this = match self.version {
                Version::V1 => controllers.split(|&byte| byte == b',').any(|name| name == b"freezer"),
                Version::V2 => number == b"0",
            };
            let path = relative(std::ffi::OsStr::from_bytes(path));
            let is_below = is_this && !path.components().any(|part| part == Component::ParentDir);
            is_below.then(|| path.strip_prefix(&self.root).map(Path::to_owned).ok()).flatten()
        })
    }
}

fn relative(path: impl AsRef<Path>) -> PathBuf {
    path.as_ref().strip_prefix("/").unwrap_or(path.as_ref()).to_owned()
}

fn membership(pid: u32) -> io::Result<Vec<u8>> {
    let path = PathBuf::from(format!("/proc/{pid}/cgroup"));
    fs::read(&path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => io::Error::new(e.kind(), format!("process {pid} does not exist")),
        _ => named(&path, &e),
    })
}

/// Returns the longest path that both start with.
fn common(a: &Path, b: &Path) -> PathBuf {
    a.components().zip(b.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    const HYBRID: &str = "\
31 25 0:27 / /sys/fs/cgroup/freezer rw,relatime shared:9 - cgroup cgroup rw,freezer
32 25 0:28 /init /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
33 25 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct
34 25 0:30 / /tmp rw - tmpfs tmpfs rw";

    #[test]
    fn hierarchies_with_a_freezer_are_found() {
        let mount = |version, path: &str, root: &str| Mount { version, path: path.into(), root: root.into() };
        assert_eq!(
            Mount::all(HYBRID).collect::<Vec<_>>(),
            [
                mount(Version::V1, "/sys/fs/cgroup/freezer", ""),
                mount(Version::V2, "/sys/fs/cgroup/unified", "init")
            ]
        );
    }

    #[test]
    fn the_cgroup_is_relative_to_the_mount() {
        let mounts: Vec<Mount> = Mount::all(HYBRID).collect();
        let text = b"6:freezer:/web/a:b\n1:cpu,cpuacct:/x\n0::/init/web\n";
        assert_eq!(mounts[0].cgroup(text), Some("web/a:b".into()));
        assert_eq!(mounts[1].cgroup(text), Some("web".into()));
        assert_eq!(mounts[1].cgroup(b"0::/other\n"), None);
        assert_eq!(mounts[0].cgroup(b"6:freezer:/../web\n"), None);
        assert_eq!(mounts[0].cgroup(b""), None);
    }

    #[test]
    fn processes_in_several_cgroups_have_a_common_one() {
        assert_eq!(common("web/init.scope".as_ref(), "web/system.slice/a".as_ref()), Path::new("web"));
        assert_eq!(common("web".as_ref(), "web2".as_ref()), Path::new(""));
    }

    /// A cgroup made of files, and the other end of the file that changes its state.
    fn cgroup(version: Version, was_frozen: bool) -> (tempfile::TempDir, Freezer, UnixStream) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let (file, kernel) = UnixStream::pair().unwrap();
        let file = File::from(OwnedFd::from(file));
        let freezer = Freezer { path, file, version, dir: dir.path().to_owned(), was_frozen };
        (dir, freezer, kernel)
    }

    /// Returns what was written to the file of a cgroup that is not used any more.
    fn written(freezer: Freezer, mut kernel: UnixStream) -> String {
        drop(freezer);
        let mut text = String::new();
        kernel.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn freezing_waits_until_all_processes_are_frozen() {
        for (version, file, running, state, frozen) in [
            (Version::V1, "state", "FREEZING\n", "FROZEN", "FROZEN\n"),
            (Version::V2, "cgroup.events", "populated 1\nfrozen 0\n", "1", "populated 1\nfrozen 1\n"),
        ] {
            let (dir, freezer, mut kernel) = cgroup(version, false);
            let events = dir.path().join(file);
            fs::write(&events, running).unwrap();
            let kernel = std::thread::spawn(move || {
                // In version 1, a second request follows, since the processes are not yet frozen.
                let requests = if version == Version::V1 { 2 } else { 1 };
                let mut requested = vec![0; state.len() * requests];
                kernel.read_exact(&mut requested).unwrap();
                // Without a pause, a wrong further request in version 2 would not be noticed.
                std::thread::sleep(20 * POLL);
                fs::write(events, frozen).unwrap();
                (String::from_utf8(requested).unwrap(), kernel)
            });
            freezer.freeze().unwrap();
            assert!(freezer.is_frozen().unwrap());
            let (mut requested, kernel) = kernel.join().unwrap();
            requested += &written(freezer, kernel);
            match version {
                Version::V1 => assert_eq!(requested.replace(state, ""), ""),
                Version::V2 => assert_eq!(requested, state),
            }
        }
    }

    #[test]
    fn processes_that_do_not_freeze_are_resumed() {
        let (dir, freezer, kernel) = cgroup(Version::V2, false);
        fs::write(dir.path().join("cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        let start = Instant::now();
        let error = freezer.freeze().unwrap_err().to_string();
        assert!(start.elapsed() >= TIMEOUT);
        assert!(error.ends_with("the processes did not freeze within 10 s"), "{error}");
        assert_eq!(written(freezer, kernel), "10");
    }

    #[test]
    fn only_the_state_frozen_means_that_all_are_frozen() {
        for (version, file, text, frozen) in [
            (Version::V1, "state", "THAWED\n", false),
            (Version::V1, "state", "FREEZING\n", false),
            (Version::V1, "state", "FROZEN\n", true),
            (Version::V2, "cgroup.events", "populated 1\nfrozen 0\n", false),
            (Version::V2, "cgroup.events", "populated 1\nfrozen 1\n", true),
            (Version::V2, "cgroup.events", "frozen 10\n", false),
        ] {
            let (dir, freezer, _kernel) = cgroup(version, false);
            let error = freezer.is_frozen().unwrap_err().to_string();
            assert!(error.contains(file), "{error}");
            fs::write(dir.path().join(file), text).unwrap();
            assert_eq!(freezer.is_frozen().unwrap(), frozen, "{text}");
        }
    }

    #[test]
    fn processes_that_were_frozen_before_stay_frozen() {
        for (version, was_frozen, thawed) in [
            (Version::V1, false, "THAWED"),
            (Version::V2, false, "0"),
            (Version::V1, true, ""),
            (Version::V2, true, ""),
        ] {
            let (_dir, freezer, kernel) = cgroup(version, was_frozen);
            assert_eq!(freezer.was_frozen(), was_frozen);
            assert_eq!(freezer.thaw_command(), (&*freezer.path, version.thawed()));
            freezer.thaw().unwrap();
            assert_eq!(written(freezer, kernel), thawed);
        }
    }

    #[test]
    fn a_state_that_cannot_be_written_is_an_error() {
        let (_dir, freezer, kernel) = cgroup(Version::V2, false);
        drop(kernel);
        for error in [freezer.freeze(), freezer.thaw()] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains("state: "), "{error}");
        }
    }

    #[test]
    fn the_cgroups_of_a_process_are_read() {
        let error = membership(u32::MAX).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.to_string(), "process 4294967295 does not exist");
        assert_eq!(membership(std::process::id()).unwrap(), fs::read("/proc/self/cgroup").unwrap());
    }

    #[test]
    fn the_cgroup_of_this_program_is_never_frozen() {
        assert!(Freezer::find(std::process::id()).is_err());
        assert!(Freezer::find(u32::MAX).is_err());
    }
}
