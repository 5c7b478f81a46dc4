//! Makes random changes in random trees on a real overlay mount. The diff must turn a copy of the
//! old tree into the new tree.
//!
//! Runs 1,000 sequences, or as many as PROPTEST_CASES says.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::{Options, differences, host};
use nix::fcntl::{AT_FDCWD, OFlag, RenameFlags, renameat2};
use nix::mount::{MntFlags, MsFlags, mount, umount, umount2};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, makedev, mknod, utimensat};
use nix::sys::time::TimeSpec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const TOOL: &str = env!("CARGO_BIN_EXE_rootfs-diff");
/// The ACL user::rwx,user:7:r-x,group::r-x,mask::r-x,other::---
const ACL: &[u8] = &[
    2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 5, 0, 7, 0, 0, 0, 4, 0, 5, 0, 255, 255, 255, 255, 16,
    0, 5, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
];

#[derive(Clone, Debug)]
enum Step {
    Write(u8, u8),
    Append(u8),
    /// Opens a file for writing, which copies it up without a change.
    Open(u8),
    Sparse(u8),
    Mkdir(u8),
    Symlink(u8, u8),
    Link(u8, u8),
    Rename(u8, u8),
    Exchange(u8, u8),
    Remove(u8),
    RemoveTree(u8),
    Recreate(u8),
    Chmod(u8, u16),
    Chown(u8, u8),
    Touch(u8, i16),
    SetXattr(u8, u8),
    RemoveXattr(u8, u8),
    DefaultAcl(u8),
    Acl(u8),
    NoAcl(u8),
    Node(u8, bool),
}

fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    // Paths near the root are more frequent: they exist more often, and several steps affect them.
    let q = || prop_oneof![3 => 0..4u8, 3 => 4..20u8, 1 => 20..84u8];
    let p = q();
    prop_oneof![
        6 => (p.clone(), any::<u8>()).prop_map(|(a, b)| Write(a, b)),
        2 => p.clone().prop_map(Append),
        3 => p.clone().prop_map(Open),
        1 => p.clone().prop_map(Sparse),
        6 => p.clone().prop_map(Mkdir),
        2 => (p.clone(), q()).prop_map(|(a, b)| Symlink(a, b)),
        3 => (p.clone(), q()).prop_map(|(a, b)| Link(a, b)),
        3 => (p.clone(), q()).prop_map(|(a, b)| Rename(a, b)),
        1 => (p.clone(), q()).prop_map(|(a, b)| Exchange(a, b)),
        3 => p.clone().prop_map(Remove),
        2 => p.clone().prop_map(RemoveTree),
        2 => p.clone().prop_map(Recreate),
        2 => (p.clone(), 0..0o10000u16).prop_map(|(a, m)| Chmod(a, m)),
        1 => (p.clone(), any::<u8>()).prop_map(|(a, b)| Chown(a, b)),
        1 => (p.clone(), any::<i16>()).prop_map(|(a, b)| Touch(a, b)),
        2 => (p.clone(), 0..3u8).prop_map(|(a, b)| SetXattr(a, b)),
        2 => (p.clone(), 0..3u8).prop_map(|(a, b)| RemoveXattr(a, b)),
        1 => p.clone().prop_map(DefaultAcl),
        1 => p.clone().prop_map(Acl),
        1 => p.clone().prop_map(NoAcl),
        1 => (p, any::<bool>()).prop_map(|(a, b)| Node(a, b)),
    ]
}

/// Returns one of 84 paths. Each path has up to three components out of four names, so that several
/// steps affect one path.
fn path(root: &Path, number: u8) -> PathBuf {
    let name = |n: u8| ["a", "b", "c.d", "e f"][usize::from(n % 4)];
    match number {
        0..4 => root.join(name(number)),
        4..20 => root.join(name(number)).join(name(number / 4)),
        _ => root.join(name(number)).join(name(number / 4)).join(name(number / 16)),
    }
}

/// Applies a step, if it is possible in this tree.
fn apply_step(root: &Path, step: &Step) {
    let at = |n: &u8| path(root, *n);
    let attribute = |n: &u8| format!("{}.x{n}", if *n == 2 { "trusted" } else { "user" });
    let _: Result<(), Box<dyn std::error::Error>> = (|| {
        match step {
            Step::Write(a, content) => {
                let bytes = vec![*content; usize::from(*content) * 3];
                file().create(true).truncate(true).open(at(a))?.write_all(&bytes)?;
            }
            Step::Append(a) => file().append(true).open(at(a))?.write_all(b"+")?,
            Step::Open(a) => drop(file().open(at(a))?),
            Step::Sparse(a) => file().create(true).open(at(a))?.set_len(300_000)?,
            Step::Mkdir(a) => fs::create_dir(at(a))?,
            // The target is relative and leads downwards: a write through an absolute link would
            // change `/a` of the host.
            Step::Symlink(a, b) => symlink(path(Path::new(""), *b), at(a))?,
            Step::Link(a, b) => fs::hard_link(at(a), at(b))?,
            Step::Rename(a, b) => fs::rename(at(a), at(b))?,
            Step::Exchange(a, b) => {
                renameat2(AT_FDCWD, &at(a), AT_FDCWD, &at(b), RenameFlags::RENAME_EXCHANGE)?
            }
            Step::Remove(a) => fs::remove_file(at(a)).or_else(|_| fs::remove_dir(at(a)))?,
            Step::RemoveTree(a) => fs::remove_dir_all(at(a))?,
            Step::Recreate(a) => {
                fs::remove_dir_all(at(a))?;
                fs::create_dir(at(a))?;
                file().create(true).open(at(a).join("b"))?.write_all(b"new")?;
            }
            Step::Chmod(a, mode) => fs::set_permissions(at(a), fs::Permissions::from_mode(u32::from(*mode)))?,
            Step::Chown(a, id) => lchown(at(a), Some(u32::from(*id)), Some(1 << 22))?,
            Step::Touch(a, sec) => age(&at(a), i64::from(*sec) * 100_000, 123_456_789)?,
            Step::SetXattr(a, n) => xattr::set(at(a), attribute(n), b"v\n\0")?,
            Step::RemoveXattr(a, n) => xattr::remove(at(a), attribute(n))?,
            Step::DefaultAcl(a) => xattr::set(at(a), "system.posix_acl_default", ACL)?,
            Step::Acl(a) => xattr::set(at(a), "system.posix_acl_access", ACL)?,
            Step::NoAcl(a) => {
                xattr::remove(at(a), "system.posix_acl_default")?;
                xattr::remove(at(a), "system.posix_acl_access")?;
            }
            Step::Node(a, fifo) => {
                let kind = if *fifo { SFlag::S_IFIFO } else { SFlag::S_IFCHR };
                mknod(&at(a), kind, Mode::S_IRUSR, makedev(1, 3))?;
                chown(at(a), Some(3), None)?;
            }
        }
        Ok(())
    })();
}

/// Returns options for writing that do not wait for the reader of a FIFO.
fn file() -> OpenOptions {
    let mut options = File::options();
    options.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
    options
}

fn age(path: &Path, sec: i64, nsec: i64) -> nix::Result<()> {
    let time = TimeSpec::new(sec, nsec);
    utimensat(AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink)
}

/// Sets all times to one point long ago, so that a time that is not restored is noticed.
fn age_all(root: &Path) {
    if root.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
        for entry in fs::read_dir(root).unwrap() {
            age_all(&entry.unwrap().path());
        }
    }
    age(root, 1_614_834_367, 123_456_789).unwrap();
}

#[derive(Clone, Debug)]
struct Sequence {
    lower: Vec<Step>,
    second: Option<Vec<Step>>,
    changes: Vec<Step>,
    options: &'static str,
    source: u8,
}

fn sequence() -> impl Strategy<Value = Sequence> {
    let steps = |n| proptest::collection::vec(step(), 0..n);
    let options = prop_oneof![
        Just(""),
        Just(",redirect_dir=on"),
        Just(",metacopy=on"),
        Just(",index=on"),
        Just(",userxattr")
    ];
    (steps(40), proptest::option::weighted(0.2, steps(20)), steps(25), options, 0..4u8).prop_map(
        |(lower, second, changes, options, source)| Sequence { lower, second, changes, options, source },
    )
}

/// Runs a program, and returns its standard error.
fn run<S: AsRef<OsStr>>(program: &str, args: &[S], input: Option<&Path>) -> Result<String, String> {
    let input = input.map_or(Stdio::null(), |input| File::open(input).unwrap().into());
    let output = Command::new(program).args(args).stdin(input).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(stderr) } else { Err(format!("{program}: {stderr}")) }
}

struct Mounted(PathBuf);

impl Mounted {
    fn overlay(at: PathBuf, options: &str) -> Mounted {
        fs::create_dir(&at).unwrap();
        let mounted = Mounted(at);
        mounted.mount(options);
        mounted
    }

    fn mount(&self, options: &str) {
        mount(Some("overlay"), &self.0, Some("overlay"), MsFlags::empty(), Some(options))
            .unwrap_or_else(|e| panic!("{options}: {e}"));
    }

    /// Mounts the overlay again, so that it shows the content of its layers. The first mount still
    /// shows the inode of the first lookup: under `userxattr` a symbolic link cannot have an xattr
    /// with its origin, so after its copy-up an old and a new name of the same inode have different
    /// inode numbers until the kernel drops the old inode from its cache.
    fn remount(&self, options: &str) {
        umount(&self.0).unwrap();
        self.mount(options);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn check(sequence: &Sequence) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let text = |name: &str| at(name).display().to_string();
    for name in ["l", "l2", "u", "w", "t", "empty"] {
        fs::create_dir(at(name)).unwrap();
    }
    for name in ["a/a", "a/b", "b/a"] {
        fs::create_dir_all(at("l").join(name)).unwrap();
    }
    for name in ["c.d", "e f", "a/c.d", "b/c.d", "b/e f", "a/a/c.d"] {
        fs::write(at("l").join(name), name).unwrap();
    }
    sequence.lower.iter().for_each(|step| apply_step(&at("l"), step));
    age_all(&at("l"));
    let mut lowers = text("l");
    if let Some(second) = &sequence.second {
        second.iter().for_each(|step| apply_step(&at("l2"), step));
        age_all(&at("l2"));
        lowers = format!("{}:{}", text("l2"), lowers);
    }
    let options =
        format!("lowerdir={lowers},upperdir={},workdir={}{}", text("u"), text("w"), sequence.options);
    let merged = Mounted::overlay(at("m"), &options);
    let base = Mounted::overlay(at("base"), &format!("lowerdir={lowers}:{}", text("empty")));
    run("cp", &["-a", "--sparse=always", &format!("{}/.", text("base")), &text("t")], None)?;
    age(&at("t"), 1_614_834_367, 123_456_789).unwrap();
    sequence.changes.iter().for_each(|step| apply_step(&merged.0, step));
    // A comparison of two trees relies on the inode numbers that the trees show. With known layers,
    // the comparison must also work on the first mount, as in a container.
    if sequence.source == 0 {
        merged.remount(&options);
    }
    let (base_text, merged_text, upper) = (text("base"), text("m"), text("u"));
    let source = match sequence.source {
        0 => vec!["--from", &base_text, "--to", &merged_text],
        1 if sequence.options == ",userxattr" => vec!["--upper", &upper, "--lower", &lowers, "--userxattr"],
        1 => vec!["--upper", &upper, "--lower", &lowers],
        _ => vec!["--rootfs", &merged_text],
    };
    let (tar, list) = (text("diff.tar"), text("deleted"));
    let create =
        |source: &[&str]| run(TOOL, &[&["create"], source, &["-o", &tar, "--deleted", &list]].concat(), None);
    let warnings = create(&source)?;
    if warnings.contains("(index=on)") {
        // The layers do not hold this content, but the mounted overlay shows it.
        assert_eq!((sequence.options, sequence.source), (",index=on", 1), "{warnings}");
        create(&["--rootfs", &merged_text])?;
    }
    merged.remount(&options);
    // A copy-up may fill holes or create them, depending on the file systems. This is not a change.
    let options = Options { ignore: ["sparse".to_owned()].into() };
    for _ in 0..2 {
        run(TOOL, &["apply", "--rootfs", &text("t"), "--deleted", &list], Some(&at("diff.tar")))?;
        let found = differences(&merged.0, &at("t"), &options).unwrap();
        let found: Vec<_> = found.into_iter().filter(|line| !line.contains("trusted.overlay.")).collect();
        if !found.is_empty() {
            return Err(found.join("\n"));
        }
    }
    layer_shows_the_same(&dir.path().join("layer"), &lowers, sequence.options, &merged)?;
    drop(base);
    Ok(())
}

/// Writes the same diff as a layer over the image at `base`, and compares the overlay of the layer
/// and the lower directories with the container's root file system.
fn layer_shows_the_same(layer: &Path, lowers: &str, options: &str, merged: &Mounted) -> Result<(), String> {
    let at = |name: &str| layer.with_file_name(name);
    let text = |name: &str| at(name).display().to_string();
    let (base, layer, list) = (text("base"), layer.display().to_string(), text("deleted"));
    let (xattrs, flag) = match options {
        ",userxattr" => (",userxattr", &["--userxattr"][..]),
        _ => ("", &[][..]),
    };
    let apply = ["apply", "--rootfs", &base, "--layer", &layer, "--deleted", &list];
    run(TOOL, &[&apply, flag].concat(), Some(&at("diff.tar")))?;
    let shown = Mounted::overlay(at("shown"), &format!("lowerdir={layer}:{lowers}{xattrs}"));
    let options = Options { ignore: ["sparse".to_owned()].into() };
    let found = differences(&merged.0, &shown.0, &options).unwrap();
    let found: Vec<_> = found.into_iter().filter(|line| !line.contains("trusted.overlay.")).collect();
    if found.is_empty() { Ok(()) } else { Err(format!("layer: {}", found.join("\n"))) }
}

#[ignore = "needs root"]
#[test]
fn random_changes_survive() {
    host::own_mounts();
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
    let mut runner = TestRunner::new(Config {
        cases,
        max_shrink_iters: 300,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&sequence(), |sequence| check(&sequence).map_err(TestCaseError::fail));
    if let Err(e) = result {
        panic!("{e}");
    }
}
