//! Lists the replacement of every type of file by every other type, and the changes of directories
//! that a mount covers.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::host;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

const TOOL: &str = env!("CARGO_BIN_EXE_rootfs-diff");
const TYPES: [&str; 8] = ["absent", "file", "empty", "dir", "link", "fifo", "device", "socket"];

/// An overlay at `m` over the directory `lower`.
struct Overlay(tempfile::TempDir);

impl Overlay {
    /// Mounts an overlay over the lower directory that `fill` fills.
    fn new(fill: impl FnOnce(&Path)) -> Overlay {
        Overlay::with("", fill)
    }

    /// Mounts the same overlay with more mount options.
    fn with(options: &str, fill: impl FnOnce(&Path)) -> Overlay {
        host::own_mounts();
        let overlay = Overlay(tempfile::tempdir().unwrap());
        for name in ["lower", "upper", "work", "m"] {
            fs::create_dir(overlay.at(name)).unwrap();
        }
        fill(&overlay.at("lower"));
        let age = ["lower", "-depth", "-exec", "touch", "-h", "-d", "@1000000000.5", "{}", "+"];
        assert!(Command::new("find").args(age).current_dir(&overlay.0).status().unwrap().success());
        let [lower, upper, work] = ["lower", "upper", "work"].map(|name| overlay.at(name));
        let (lower, upper, work) = (lower.display(), upper.display(), work.display());
        let data = format!("lowerdir={lower},upperdir={upper},workdir={work}{options}");
        mount(Some("o"), &overlay.at("m"), Some("overlay"), MsFlags::empty(), Some(&data[..])).unwrap();
        overlay
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the tool by the command `prefix`. Returns the changes and the notices.
    fn list(&self, prefix: &[&str], source: &[&str]) -> (String, String) {
        let words = [prefix, &[TOOL, "list"], source].concat();
        let output = Command::new(words[0]).args(&words[1..]).current_dir(&self.0).output().unwrap();
        let notices = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{notices}");
        (String::from_utf8(output.stdout).unwrap(), notices)
    }
}

impl Drop for Overlay {
    /// Unmounts everything, so that the temporary directory can be removed.
    fn drop(&mut self) {
        // A mount is detached with all mounts inside it.
        let _ = umount2(&self.at("m"), MntFlags::MNT_DETACH);
    }
}

fn make(kind: &str, path: &Path) {
    match kind {
        "absent" => {}
        "file" => fs::write(path, "content").unwrap(),
        "empty" => fs::write(path, "").unwrap(),
        "dir" => {
            fs::create_dir(path).unwrap();
            fs::write(path.join("in"), "").unwrap();
        }
        "link" => symlink("target", path).unwrap(),
        "fifo" => nix::unistd::mkfifo(path, Mode::S_IRUSR).unwrap(),
        "device" => mknod(path, SFlag::S_IFCHR, Mode::S_IRUSR, makedev(1, 3)).unwrap(),
        "socket" => drop(UnixListener::bind(path).unwrap()),
        _ => unreachable!("{kind}"),
    }
}

/// Returns the lines that the list must have for `path`, which was an `old` and is a `new`.
fn lines(path: &str, old: &str, new: &str) -> Vec<String> {
    match (old, new) {
        (old, new) if old == new => vec![],
        // A tar cannot hold a socket, so a file that became one is removed.
        (_, "absent") | ("file" | "empty" | "dir" | "link" | "fifo" | "device", "socket") => {
            vec![format!("D {path}")]
        }
        (_, "socket") => vec![],
        ("absent", "dir") => vec![format!("A {path}"), format!("A {path}/in")],
        (_, "dir") => vec![format!("A {path}"), format!("A {path}/in")],
        ("absent", _) => vec![format!("A {path}")],
        _ => vec![format!("C {path}")],
    }
}

#[ignore = "needs root"]
#[test]
fn each_type_is_replaced_by_each_other_type() {
    let pairs = || TYPES.iter().flat_map(|old| TYPES.iter().map(move |new| (*old, *new)));
    let overlay = Overlay::new(|lower| {
        pairs().for_each(|(old, new)| make(old, &lower.join(format!("{old}-{new}"))));
    });
    for (old, new) in pairs().filter(|(old, new)| old != new) {
        let path = overlay.at("m").join(format!("{old}-{new}"));
        match old {
            "absent" => {}
            "dir" => fs::remove_dir_all(&path).unwrap(),
            _ => fs::remove_file(&path).unwrap(),
        }
        make(new, &path);
    }
    let mut expected: Vec<String> =
        pairs().flat_map(|(old, new)| lines(&format!("/{old}-{new}"), old, new)).collect();
    expected.push("C /".into());
    expected.sort_by(|a, b| a[2..].cmp(&b[2..]));
    for source in
        [&["--rootfs", "m"][..], &["--upper", "upper", "--lower", "lower"], &["--from", "lower", "--to", "m"]]
    {
        let (list, notices) = overlay.list(&["env"], source);
        assert_eq!(list.lines().collect::<Vec<_>>(), expected, "{source:?}");
        // In an overlay, only names in the upper directory are compared.
        let unchanged = source[0] == "--from";
        for (old, new) in pairs() {
            let expected = new == "socket" && (old != new || unchanged);
            let notice = format!("{old}-{new}: socket");
            assert_eq!(notices.contains(&notice), expected, "{source:?} {old} {new}: {notices}");
        }
    }
}

/// A process in a user namespace may not clone a mount without its submounts, so it sees a volume
/// instead of the directory that the volume covers.
#[ignore = "needs root"]
#[test]
fn a_directory_that_stays_covered_is_unchanged() {
    let overlay = Overlay::new(|lower| {
        fs::create_dir_all(lower.join("data/dir")).unwrap();
        fs::write(lower.join("data/kept"), "").unwrap();
        xattr::set(lower.join("data"), "user.note", b"x").unwrap();
    });
    let m = overlay.at("m");
    fs::create_dir(m.join("new")).unwrap();
    fs::write(m.join("file"), "").unwrap();
    fs::write(m.join("data/under"), "").unwrap();
    let uncovered = overlay.list(&["env"], &["--rootfs", "m"]).0;
    assert_eq!(uncovered, "C /\nC /data\nA /data/under\nA /file\nA /new\n");
    for covered in ["data", "new"] {
        mount(Some("t"), &m.join(covered), Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        fs::write(m.join(covered).join("volume"), "").unwrap();
        fs::set_permissions(m.join(covered), fs::Permissions::from_mode(0o700)).unwrap();
    }
    for source in [&["--rootfs", "m"][..], &["--from", "lower", "--to", "m"]] {
        assert_eq!(overlay.list(&["env"], source), (uncovered.clone(), String::new()), "{source:?}");
        let namespace = ["unshare", "--user", "--map-root-user", "--mount"];
        let (list, notices) = overlay.list(&namespace, source);
        assert_eq!(list, "C /\nA /file\nA /new\n", "{source:?}");
        for path in ["data", "new"] {
            let notice = format!("{path}: the directory below a mount");
            assert!(notices.contains(&notice), "{source:?}: {notices}");
        }
        // A diff that replaced the directory would remove its unchanged files.
        let words = [&namespace[..], &[TOOL, "create", "--members"], source].concat();
        let output = Command::new(words[0]).args(&words[1..]).current_dir(&overlay.0).output().unwrap();
        let named = |name: &str| {
            output.stdout.windows(name.len()).any(|bytes| bytes == OsStr::new(name).as_encoded_bytes())
        };
        assert!(named("file") && !named("data"), "{source:?}");
    }
}

/// A process in a user namespace sees the file that is mounted instead of the file that the mount
/// covers. The diff must neither hold the content of the mount nor remove the covered file.
#[ignore = "needs root"]
#[test]
fn a_file_that_is_mounted_is_left_out() {
    let names = ["same", "changed", "socket", "device", "first-link", "dir/new"];
    let overlay = Overlay::new(|lower| {
        fs::create_dir(lower.join("dir")).unwrap();
        for name in ["same", "changed", "socket", "device", "first-link", "kept"] {
            fs::write(lower.join(name), "old").unwrap();
        }
        fs::hard_link(lower.join("first-link"), lower.join("other-link")).unwrap();
    });
    let m = overlay.at("m");
    for name in ["changed", "first-link", "dir/new", "last"] {
        fs::write(m.join(name), "new").unwrap();
    }
    let uncovered = overlay.list(&["env"], &["--rootfs", "m"]).0;
    assert_eq!(uncovered, "C /\nC /changed\nC /dir\nA /dir/new\nC /first-link\nA /last\n");
    for (name, kind) in names.iter().zip(["file", "file", "socket", "device", "file", "file"]) {
        let outside = overlay.at(&name.replace('/', "-"));
        make(kind, &outside);
        mount(Some(&outside), &m.join(name), None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    }
    let layers = ["--upper", "upper", "--lower", "lower"];
    let merged = [&["--rootfs", "m"][..], &layers].concat();
    for source in [&["--rootfs", "m"][..], &["--from", "lower", "--to", "m"], &layers] {
        assert_eq!(overlay.list(&["env"], source), (uncovered.clone(), String::new()), "{source:?}");
    }
    let namespace = ["unshare", "--user", "--map-root-user", "--mount"];
    for source in [&["--rootfs", "m"][..], &["--from", "lower", "--to", "m"], &merged] {
        let (list, notices) = overlay.list(&namespace, source);
        assert_eq!(list, "C /\nC /dir\nA /last\n", "{source:?}");
        for name in ["changed", "first-link", "dir/new"] {
            assert!(notices.contains(&format!("{name}: the file below a mount")), "{source:?}: {notices}");
        }
        assert!(!notices.contains("socket: socket"), "{source:?}: {notices}");
        let words = [&namespace[..], &[TOOL, "create", "--members"], source].concat();
        let output = Command::new(words[0]).args(&words[1..]).current_dir(&overlay.0).output().unwrap();
        assert!(output.status.success(), "{source:?}");
        assert!(!output.stdout.windows(7).any(|bytes| bytes == b"content"), "{source:?}");
    }
}

/// A directory that was made again hides everything below it in the lower directory, although only
/// the topmost directory is marked as opaque. A renamed directory shows another lower directory.
#[ignore = "needs root"]
#[test]
fn changes_below_hidden_directories_are_listed() {
    let cases = [
        (
            "rm -r o; mkdir -p o/sub/deep; touch o/sub/new",
            "C /o\nD /o/old\nC /o/sub\nC /o/sub/deep\nD /o/sub/deep/old\nA /o/sub/new\nD /o/sub/old\n",
        ),
        (
            "rm -r o/sub; mkdir -p o/sub/deep",
            "C /o\nC /o/sub\nC /o/sub/deep\nD /o/sub/deep/old\nD /o/sub/old\n",
        ),
        (
            "rm -r z; mv o z",
            "D /o\nD /z/kept\nA /z/old\nA /z/sub/deep\nA /z/sub/deep/old\nA /z/sub/old\nD /z/sub/y\n",
        ),
        (
            "rm -r z/sub; mv o/sub z",
            "C /o\nD /o/sub\nC /z\nA /z/sub/deep\nA /z/sub/deep/old\nA /z/sub/old\nD /z/sub/y\n",
        ),
        ("mv o n; rm n/sub/old", "A /n\nA /n/old\nA /n/sub\nA /n/sub/deep\nA /n/sub/deep/old\nD /o\n"),
    ];
    for (script, expected) in cases {
        let overlay = Overlay::with(",redirect_dir=on", |lower| {
            for name in ["o/old", "o/sub/old", "o/sub/deep/old", "z/kept", "z/sub/y"] {
                fs::create_dir_all(lower.join(name).parent().unwrap()).unwrap();
                fs::write(lower.join(name), name).unwrap();
            }
        });
        let changed = Command::new("sh").args(["-ec", script]).current_dir(overlay.at("m")).status();
        assert!(changed.unwrap().success(), "{script}");
        let sources = [
            &["--from", "lower", "--to", "m"][..],
            &["--rootfs", "m"],
            &["--upper", "upper", "--lower", "lower"],
        ];
        for source in sources {
            let (list, notices) = overlay.list(&["env"], source);
            assert_eq!(list.strip_prefix("C /\n"), Some(expected), "{source:?} {script}");
            assert_eq!(notices, "", "{source:?} {script}");
        }
    }
}
