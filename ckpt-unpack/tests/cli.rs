//! Runs the binary on valid and invalid archives, and checks its messages and the files it leaves
//! behind.

mod golden;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use checkpoint::Member;
use checkpoint::archive::ArchiveWriter;
use checkpoint::compress::{Compression, Encoder, Settings};
use golden::{golden, tar};
use tartree::{END_OF_ARCHIVE, Entry, Kind, Meta, RootName, TarPath, Timestamp};

struct TestDir {
    dir: tempfile::TempDir,
}

struct Run {
    status: i32,
    stdout: String,
    stderr: String,
}

impl TestDir {
    fn new() -> TestDir {
        TestDir { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        names(self.dir.path())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"));
        command.args(args).current_dir(self.dir.path()).env("NO_COLOR", "1");
        command
    }

    /// Runs the tool with the archive as a file on standard input, which can be read twice.
    fn run(&self, args: &[&str], archive: &[u8]) -> Run {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(archive).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        ended(self.command(args).stdin(file).output().unwrap())
    }

    /// Runs the tool with the archive in a pipe.
    fn run_piped(&self, args: &[&str], archive: &[u8]) -> Run {
        let mut command = self.command(args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let bytes = archive.to_vec();
        // The tool may end before it has read everything.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        let run = ended(child.wait_with_output().unwrap());
        writer.join().unwrap();
        run
    }
}

fn ended(output: Output) -> Run {
    Run {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn path(name: &str) -> TarPath {
    TarPath::parse(name.as_bytes()).unwrap()
}

fn file(name: &str, content: &[u8]) -> (Entry, Vec<u8>) {
    (
        Entry::file(path(name), content.len() as u64, 0o644, Timestamp { sec: 1_700_000_000, nsec: 0 }),
        content.to_vec(),
    )
}

fn other(name: &str, kind: Kind) -> (Entry, Vec<u8>) {
    (Entry { path: path(name), kind, meta: Meta { mode: 0o755, ..Meta::default() } }, Vec::new())
}

/// Returns an archive with the members that every archive has, then `more`.
fn archive(more: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut entries = vec![
        file("config.dump", br#"{"id":"x","namedVolumes":[]}"#),
        file("spec.dump", b"{}"),
        other("checkpoint", Kind::Dir),
        file("checkpoint/inventory.img", b"inventory"),
        file("checkpoint/pages-1.img", &vec![7; 300_000]),
    ];
    entries.extend_from_slice(more);
    tar(&entries)
}

fn diff() -> Vec<u8> {
    tar(&[file("etc/new", b"new\n"), file("etc/again/x", b"x\n")])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let settings = Settings { compression: Compression::Gzip, level: None, threads: 1 };
    let mut encoder = Encoder::new(Vec::new(), &settings).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn rootfs(test: &TestDir) {
    fs::create_dir_all(test.path("rootfs/etc/again")).unwrap();
    for name in ["rootfs/etc/gone", "rootfs/etc/stays", "rootfs/etc/again/old"] {
        fs::write(test.path(name), "old\n").unwrap();
    }
}

#[test]
fn a_bundle_is_private_whatever_the_archive_says() {
    let test = TestDir::new();
    let mut hostile = file("checkpoint/setuid.img", b"x");
    hostile.0.meta.mode = 0o6777;
    let run = test.run(&["--bundle", "web"], &archive(&[hostile, file("checkpoint/sub/x.img", b"")]));
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    assert_eq!(names(&test.path("web")), ["checkpoint", "config.dump", "spec.dump"]);
    let mode = |name: &str| fs::metadata(test.path(name)).unwrap().permissions().mode() & 0o7777;
    for dir in ["web", "web/checkpoint", "web/checkpoint/sub"] {
        assert_eq!(mode(dir), 0o700, "{dir}");
    }
    for file in ["web/config.dump", "web/checkpoint/setuid.img"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

/// The warning about an archive whose images do not describe the root directory.
const MODE_NOT_SET: &str = "ckpt-unpack: warning: rootfs: mode not set, the images in checkpoint/ do not record the mode that CRIU requires\n";

#[ignore = "needs root"]
#[test]
fn diff_and_deletions_are_applied_in_either_order() {
    let deletions = file("deleted.files", br#"["/etc/gone","/etc/again"]"#);
    for members in [
        [file("rootfs-diff.tar", &diff()), deletions.clone()],
        [deletions.clone(), file("rootfs-diff.tar", &diff())],
    ] {
        let test = TestDir::new();
        rootfs(&test);
        let run = test.run_piped(&["--bundle", "web", "--rootfs", "rootfs"], &archive(&members));
        assert_eq!((run.status, run.stderr.as_str()), (0, MODE_NOT_SET));
        assert_eq!(names(&test.path("rootfs/etc")), ["again", "new", "stays"]);
        assert_eq!(names(&test.path("rootfs/etc/again")), ["x"]);
        assert_eq!(names(&test.path("web")), ["checkpoint", "config.dump", "spec.dump"]);
    }
}

#[ignore = "needs root"]
#[test]
fn containerds_layer_with_whiteouts_is_applied() {
    let test = TestDir::new();
    rootfs(&test);
    let layer =
        tar(&[file("etc/.wh.gone", b""), file("etc/again/.wh..wh..opq", b""), file("etc/again/x", b"x\n")]);
    let run = test
        .run(&["--bundle", "web", "--rootfs", "rootfs"], &archive(&[file("rootfs-diff.tar", &gzip(&layer))]));
    assert_eq!((run.status, run.stderr.as_str()), (0, MODE_NOT_SET));
    assert_eq!(names(&test.path("rootfs/etc")), ["again", "stays"]);
    assert_eq!(names(&test.path("rootfs/etc/again")), ["x"]);
}

#[ignore = "needs root"]
#[test]
fn a_volume_without_a_directory_is_an_error_before_any_write() {
    let volume = tar(&[file("data", b"data\n")]);
    let bytes = archive(&[file("volumes/a.tar", &volume), file("volumes/b.tar", &volume)]);
    let test = TestDir::new();
    let run = test.run(&["--bundle", "web", "--volume", "a=va"], &bytes);
    assert_eq!(run.status, 1);
    assert!(
        run.stderr.contains("volumes/b.tar: no directory given for this volume\nhint: add --volume b=DIR"),
        "{}",
        run.stderr
    );
    assert!(test.names().is_empty());
    let run =
        test.run(&["--bundle", "web", "--volume", "a=va", "--volume", "b=vb", "--volume", "c=vc"], &bytes);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("--volume c: the archive has no such volume, it has: a b"), "{}", run.stderr);
    assert!(test.names().is_empty());
    let run = test.run(&["--bundle", "web", "--volume", "a=va", "--volume", "b=vb"], &bytes);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    assert_eq!(fs::read(test.path("vb/data")).unwrap(), b"data\n");
    let run = test.run(&["--bundle", "web2", "--ignore-volumes"], &bytes);
    assert_eq!(run.status, 0);
    assert!(!test.path("web2/volumes").exists());
}

#[test]
fn an_existing_bundle_gets_members_but_no_file_is_replaced() {
    let test = TestDir::new();
    fs::create_dir_all(test.path("web/rootfs")).unwrap();
    let bytes = archive(&[file("network.status", b"null")]);
    assert_eq!(test.run(&["--bundle", "web"], &bytes).status, 0);
    assert_eq!(
        names(&test.path("web")),
        ["checkpoint", "config.dump", "network.status", "rootfs", "spec.dump"]
    );
    fs::create_dir(test.path("other")).unwrap();
    fs::write(test.path("other/network.status"), "mine").unwrap();
    for run in [test.run(&["--bundle", "other"], &bytes), test.run_piped(&["--bundle", "other"], &bytes)] {
        assert_eq!(run.status, 1);
        assert!(run.stderr.contains("other/network.status: already exists\nhint: "), "{}", run.stderr);
        assert_eq!(names(&test.path("other")), ["network.status"]);
        assert_eq!(fs::read(test.path("other/network.status")).unwrap(), b"mine");
    }
}

#[test]
fn forbidden_members_are_refused_and_nothing_is_written() {
    let link = |target: &str| Kind::Symlink { target: target.into() };
    let hard = Kind::HardLink { target: path("spec.dump") };
    for (member, message) in [
        (file("config.json", b"{}"), "config.json: engines keep a file of this name"),
        (other("attach", Kind::Fifo), "attach: engines keep a file of this name"),
        (file("restore.log", b""), "restore.log: engines keep a file of this name"),
        (file("rootfs/etc/shadow", b""), "rootfs/etc/shadow: engines keep a file of this name"),
        (other("secrets", Kind::Dir), "secrets: engines keep a file of this name"),
        (other("surprise", link("/etc")), "surprise: not a regular file"),
        (other("surprise", Kind::Fifo), "surprise: not a regular file"),
        (file("volumes/a/b.tar", b""), "volumes/a/b.tar: not the tar of a volume"),
        (file("ctr.log/x", b""), "ctr.log/x: is below a member that is a file"),
        (
            file("checkpoint/pages-1.img/x", b""),
            "checkpoint/pages-1.img/x: is below checkpoint/pages-1.img, which is a file",
        ),
        (file("config.dump", b"{}"), "config.dump: occurs twice"),
        (other("checkpoint", Kind::Dir), "checkpoint: occurs twice"),
        (other("ctr.log", link("/etc/passwd")), "ctr.log: not a regular file"),
        (other("checkpoint/parent", link("/etc")), "checkpoint/parent: not a regular file"),
        (other("checkpoint/x.img", link("../pre-checkpoint")), "checkpoint/x.img: not a regular file"),
        (other("dump.log", Kind::Fifo), "dump.log: not a regular file"),
        (other("checkpoint/null", Kind::Char { major: 1, minor: 3 }), "checkpoint/null: not a regular file"),
        (other("stats-dump", hard), "stats-dump: not a regular file"),
        (other("network.status", Kind::Dir), "network.status: not a regular file"),
        (file("artifacts", b""), "artifacts: not a regular file"),
        (file("network.status", b"{"), "network.status: "),
        (file("deleted.files", br#"["/../x"]"#), "deleted.files: "),
        (file("deleted.files", br#"["/"]"#), "deleted.files: "),
        (file("rootfs-diff.tar", b"no tar"), "rootfs-diff.tar: "),
        (file("volumes/a.tar", &diff()[..700]), "volumes/a.tar: "),
    ] {
        let name = member.0.path.to_string();
        let bytes = archive(&[member]);
        let test = TestDir::new();
        let run = test.run(&["--bundle", "web"], &bytes);
        assert_eq!(run.status, 1, "{name}");
        assert!(run.stderr.contains(message), "{name}: {}", run.stderr);
        assert!(test.names().is_empty(), "{name}");
        // --verify reports it too.
        assert_eq!(test.run(&["--verify"], &bytes).status, 1, "{name}");
    }
}

#[test]
fn an_unknown_member_is_kept_and_reported_or_refused_on_request() {
    let mut setuid = file("new/member", b"x");
    setuid.0.meta.mode = 0o6777;
    let bytes = archive(&[setuid, other("empty", Kind::Dir)]);
    let test = TestDir::new();
    for run in
        [test.run(&["--bundle", "web", "-v"], &bytes), test.run_piped(&["--bundle", "piped", "-v"], &bytes)]
    {
        assert_eq!(run.status, 0, "{}", run.stderr);
        assert!(
            run.stderr.contains("new/member: unknown member, kept as a file in the bundle"),
            "{}",
            run.stderr
        );
    }
    let mode = |name: &str| fs::metadata(test.path(name)).unwrap().permissions().mode() & 0o7777;
    for bundle in ["web", "piped"] {
        assert_eq!(fs::read(test.path(&format!("{bundle}/new/member"))).unwrap(), b"x");
        let modes = ["", "/new", "/empty", "/new/member"].map(|name| mode(&format!("{bundle}{name}")));
        assert_eq!(modes, [0o700, 0o700, 0o700, 0o600]);
    }
    assert_eq!(test.run(&["--verify"], &bytes).status, 0);
    for args in [&["--bundle", "no", "--refuse-unknown"][..], &["--verify", "--refuse-unknown"]] {
        let run = test.run(args, &bytes);
        assert_eq!(run.status, 1);
        assert!(run.stderr.contains("new/member: not a member of a checkpoint archive"), "{}", run.stderr);
    }
    assert_eq!(test.names(), ["piped", "web"]);
}

#[test]
fn a_file_with_members_below_it_is_refused_in_any_order() {
    for order in [["a", "a/b"], ["a/b", "a"], ["a/b/c", "a"]] {
        let bytes = archive(&order.map(|name| file(name, b"")));
        let test = TestDir::new();
        for run in [test.run(&["--bundle", "web"], &bytes), test.run_piped(&["--bundle", "web"], &bytes)] {
            assert_eq!(run.status, 1, "{order:?}");
            assert!(
                run.stderr.contains("which is a file") || run.stderr.contains("members are below it"),
                "{}",
                run.stderr
            );
        }
        assert!(test.names().is_empty(), "{order:?}");
    }
    // Names with a common prefix do not conflict.
    let bytes = archive(&[file("a.b", b""), file("a/b", b""), file("ab", b""), other("a", Kind::Dir)]);
    assert_eq!(TestDir::new().run(&["--bundle", "web"], &bytes).status, 0);
}

#[test]
fn the_rootfs_is_unchanged_if_the_archive_file_is_truncated() {
    let whole = archive(&[file("rootfs-diff.tar", &diff()), file("ctr.log", b"log")]);
    // The plain archive is truncated after the diff, the compressed one in its last bytes.
    let cut = &whole[..whole.len() - END_OF_ARCHIVE.len() - 512];
    let packed = gzip(&whole);
    for bytes in [cut, &packed[..packed.len() - 4]] {
        let test = TestDir::new();
        rootfs(&test);
        let run = test.run(&["--bundle", "web", "--rootfs", "rootfs"], bytes);
        assert_eq!(run.status, 1);
        assert_eq!(names(&test.path("rootfs/etc")), ["again", "gone", "stays"]);
        assert_eq!(test.names(), ["rootfs"]);
        let run = test.run_piped(&["--bundle", "web", "--rootfs", "rootfs"], bytes);
        assert_eq!(run.status, 1);
        assert!(run.stderr.contains("rootfs: contains part of the checkpoint"), "{}", run.stderr);
        assert_eq!(test.names(), ["rootfs"]);
    }
}

#[test]
fn an_archive_without_required_members_is_refused() {
    for missing in ["config.dump", "spec.dump", "checkpoint/inventory.img"] {
        let mut entries =
            vec![file("config.dump", b"{}"), file("spec.dump", b"{}"), file("checkpoint/inventory.img", b"")];
        entries.retain(|(entry, _)| entry.path != path(missing));
        let bytes = tar(&entries);
        let test = TestDir::new();
        for run in [test.run(&["--bundle", "web"], &bytes), test.run_piped(&["--bundle", "web"], &bytes)] {
            assert_eq!(run.status, 1);
            assert!(run.stderr.contains(&format!("{missing}: not in the archive")), "{}", run.stderr);
        }
        assert!(test.names().is_empty());
    }
    let test = TestDir::new();
    let bytes = tar(&[file("checkpoint/inventory.img", b"")]);
    assert_eq!(test.run(&["--bundle", "web", "--without-config"], &bytes).status, 0);
    assert_eq!(names(&test.path("web")), ["checkpoint"]);
}

#[test]
fn images_since_a_pre_checkpoint_need_its_archive() {
    let mut main = ArchiveWriter::new(Vec::new());
    let time = Timestamp::default();
    for (name, content) in
        [("config.dump", &b"{}"[..]), ("spec.dump", b"{}"), ("checkpoint/inventory.img", b"")]
    {
        main.small(&Member::of(&path(name)), content, time).unwrap();
    }
    main.parent(&Member::of(&path("checkpoint/parent")), time).unwrap();
    let main = main.finish().unwrap();
    let test = TestDir::new();
    let run = test.run(&["--bundle", "web"], &main);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("hint: add --previous FILE"), "{}", run.stderr);
    assert!(test.names().is_empty());
    fs::write(
        test.path("pre.ckpt"),
        tar(&[file("config.dump", b"{}"), file("pre-checkpoint/pages-1.img", b"pages")]),
    )
    .unwrap();
    let run = test.run(&["--bundle", "web", "--previous", "pre.ckpt"], &main);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    assert_eq!(fs::read(test.path("web/checkpoint/parent/pages-1.img")).unwrap(), b"pages");
}

#[test]
fn owners_are_mapped_or_skipped_as_requested() {
    let mut owned = file("owned", b"");
    (owned.0.meta.uid, owned.0.meta.gid, owned.0.meta.mode) = (5, 6, 0o4755);
    let bytes = archive(&[file("volumes/a.tar", &tar(&[owned]))]);
    let test = TestDir::new();
    let base = ["--bundle", "web", "--volume", "a=va"];
    let run = test.run(&[&base[..], &["--no-same-owner"]].concat(), &bytes);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    let meta = fs::metadata(test.path("va/owned")).unwrap();
    let me = fs::metadata(test.path("va")).unwrap();
    assert_eq!((meta.uid(), meta.permissions().mode() & 0o7777), (me.uid(), 0o755));
    // An ID outside all ranges has no owner on the host.
    let run = TestDir::new().run(&[&base[..], &["--uidmap", "0:100000:5"]].concat(), &bytes);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("volumes/a.tar: owned: uid 5 is not in the id map"), "{}", run.stderr);
    if me.uid() == 0 {
        let test = TestDir::new();
        let run =
            test.run(&[&base[..], &["--uidmap", "0:100000:50", "--gidmap", "0:200000:50"]].concat(), &bytes);
        assert_eq!((run.status, run.stderr.as_str()), (0, ""));
        let meta = fs::metadata(test.path("va/owned")).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (100_005, 200_006));
    }
}

#[test]
fn members_are_listed_by_line_and_as_json() {
    let test = TestDir::new();
    let run = test.run_piped(&["--list"], &gzip(&archive(&[])));
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    assert_eq!(run.stdout.lines().nth(3).unwrap(), "           9 checkpoint/inventory.img");
    let run = test.run(&["--list", "--json"], &gzip(&archive(&[])));
    let list: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(list["compression"], "gzip");
    assert_eq!(list["members"][2]["type"], "directory");
    assert_eq!(list["members"][4]["size"], 300_000);
}

#[test]
fn verify_reports_every_problem_on_its_own_line() {
    let test = TestDir::new();
    let bytes = tar(&[file("config.dump", b"["), file("spec.dump", b"1"), file("rootfs-diff.tar", b"x")]);
    let run = test.run(&["--verify"], &bytes);
    assert_eq!(run.status, 1);
    let lines: Vec<_> =
        run.stderr.lines().map(|l| l.rsplit("input: ").next().unwrap().split(':').next().unwrap()).collect();
    assert_eq!(lines, ["config.dump", "spec.dump", "rootfs-diff.tar", "checkpoint/inventory.img"]);
    assert_eq!(test.run(&["--verify"], &archive(&[])).status, 0);
}

#[test]
fn the_command_line_is_checked() {
    let test = TestDir::new();
    for (args, message) in [
        (&[][..], "--bundle"),
        (&["--list", "--verify"], "cannot be used with"),
        (&["--bundle", "web", "--volume", "a=1", "--volume", "a=2"], "given twice"),
        (&["--bundle", "web", "--volume", "../a=1"], "expected NAME=DIR, write 1=../a"),
        (&["--rootfs", "x", "--list"], "cannot be used with"),
        (&["--show", "--bundle", "web"], "cannot be used with"),
        (&["--check", "--show"], "cannot be used with"),
        (&["--verify", "--cleanup"], "cannot be used with"),
        (&["--bundle", "web", "--json"], "--json"),
        (&["--verify", "--json"], "cannot be used with"),
        (&["--list", "--no-same-owner"], "cannot be used with"),
        (&["--bundle", "web", "--ignore-rootfs", "--rootfs", "x"], "cannot be used with"),
        (&["--check", "--tag", "x"], "--tag has no effect with --check"),
        (&["--check", "--max-size", "1G"], "--max-size has no effect with --check"),
        (&["--cleanup", "--bundle", "web", "x.ckpt"], "ARCHIVE has no effect with --cleanup"),
        (&["--cleanup", "--bundle", "web", "--rootfs", "r"], "--rootfs has no effect with --cleanup"),
        (&["--cleanup", "--bundle", "web", "--fsync"], "--fsync has no effect with --cleanup"),
        (&["--list", "--uidmap", "0:0:1"], "--uidmap has no effect with --list"),
        (&["--show", "--fsync"], "--fsync has no effect with --show"),
        (&["--list", "--criu", "x"], "--criu has no effect without --check"),
        (&["--bundle", "web", "--criu", "x"], "--criu has no effect without --check"),
        (&["--bundle", "web", "--pod"], "--pod has no effect without --check"),
        (
            &["--bundle", "web", "--uidmap", "0:0:1"],
            "--uidmap has no effect without --rootfs, --volume or --shm",
        ),
        (&["--bundle", "web", "--gidmap", "0:0:1"], "--gidmap has no effect without --rootfs"),
        (&["--bundle", "web", "--no-same-owner"], "--no-same-owner has no effect without --rootfs"),
        (&["--bundle", "web", "--no-devices"], "--no-devices has no effect without --rootfs"),
        (&["--bundle", "web", "--cross-mounts"], "--cross-mounts has no effect without --rootfs"),
        (&["--cleanup", "--bundle", "web", "--cross-mounts"], "--cross-mounts has no effect with --cleanup"),
        // Two outputs use the same directory, or one is inside the other.
        (&["--bundle", "web", "--rootfs", "./web/"], "the same directory as --bundle web"),
        (&["--bundle", "web", "--volume", "a=D", "--volume", "b=./D"], "the same directory as --volume a=D"),
        (&["--bundle", "web", "--volume", "a=D", "--shm", "D"], "the same directory as --shm D"),
        (&["--bundle", "web", "--volume", "a=D", "--volume", "b=D/x"], "is inside --volume a=D"),
        (&["--bundle", "web", "--rootfs", "r", "--volume", "a=r/data"], "is inside --rootfs r"),
        (&["--bundle", "r/web", "--rootfs", "r"], "--bundle r/web: is inside --rootfs r"),
    ] {
        let run = test.run(args, &archive(&[]));
        assert_eq!(run.status, 2, "{args:?}");
        assert!(run.stderr.contains(message), "{args:?}: {}", run.stderr);
    }
    let run = test.run(&["--bundle", "web", "--rootfs", "nowhere"], &archive(&[]));
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("nowhere: No such file"), "{}", run.stderr);
    assert!(test.names().is_empty());
}

#[test]
fn sigkill_leaves_no_bundle_and_sigterm_leaves_no_files() {
    let bytes = archive(&[]);
    for (signal, left) in [("-KILL", 1), ("-TERM", 0)] {
        let test = TestDir::new();
        let mut command = test.command(&["--bundle", "web"]);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&bytes[..200_000]).unwrap();
        // Wait until it has begun to write.
        while !test.names().iter().any(|name| test.path(name).join("checkpoint").exists()) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert!(!child.wait().unwrap().success());
        assert_eq!(test.names().len(), left, "{signal}");
        assert!(!test.path("web").exists());
    }
}

#[test]
fn an_ignored_sighup_does_not_end_an_unpack() {
    let bytes = archive(&[]);
    let test = TestDir::new();
    let script = "trap '' HUP INT; exec \"$0\" --bundle web";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_ckpt-unpack")]).current_dir(test.dir.path());
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&bytes[..200_000]).unwrap();
    while !test.names().iter().any(|name| test.path(name).join("checkpoint").exists()) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for signal in ["-HUP", "-INT"] {
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    }
    // Leave time for the signal to end the process, if it is not ignored.
    std::thread::sleep(std::time::Duration::from_millis(200));
    stdin.write_all(&bytes[200_000..]).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert_eq!(test.names(), ["web"]);
}

#[test]
fn podmans_archives_are_shown() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let show = |name: &str| -> serde_json::Value {
        let output = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"))
            .args(["--show", "--json"])
            .arg(data.join(name))
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let bridge = show("g06-bridge.tar.xz");
    assert_eq!(bridge["engine"], "Podman");
    assert_eq!(bridge["ip"], "10.88.0.2/16");
    assert_eq!(bridge["mac"], "ce:10:58:bb:f4:34");
    assert_eq!(bridge["process_tree"]["children"][0]["cmdline"], "sleep 0.1");
    assert_eq!(bridge["process_tree"]["open_files"], 3);
    assert_eq!(bridge["process_tree"]["task_state"], "Alive");
    assert_eq!(bridge["statistics"]["pages_written"], 34);
    assert_eq!(bridge["networks"][0]["name"], "podman");
    assert_eq!(bridge["networks"][0]["interfaces"]["eth0"]["gateway"], "10.88.0.1");
    let files = &bridge["file_descriptors"][1]["open_files"];
    assert_eq!(files[0], serde_json::json!({ "type": "REG", "fd": "REG 0", "path": "/dev/null" }));
    assert_eq!(files[1], serde_json::json!({ "type": "PIPE", "fd": "PIPE 1", "path": "pipe[201630]" }));
    assert_eq!(files[3], serde_json::json!({ "type": "", "fd": "cwd", "path": "/" }));
    let network = serde_json::json!({ "type": "network", "path": "/run/netns/netns-4baf690d-1a56-cfcb-79a3-e85398d4de73" });
    assert!(bridge["namespaces"].as_array().unwrap().contains(&network), "{}", bridge["namespaces"]);
    assert_eq!(bridge["metadata"]["annotations"]["io.container.manager"], "libpod");
    // In this archive the pages precede the images that locate the arguments in them.
    let unordered = show("g23-handmade-from-runc.tar.xz");
    assert_eq!(unordered["process_tree"]["children"][0]["cmdline"], "sleep 0.2");
    assert_eq!(show("g22-image.oci.tar")["container_name"], "c");
}

#[test]
fn an_image_with_a_modified_blob_is_refused() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/g22-image.oci.tar");
    let mut bytes = Vec::new();
    fs::File::open(data).unwrap().read_to_end(&mut bytes).unwrap();
    let test = TestDir::new();
    assert_eq!(test.run(&["--verify"], &bytes).status, 0);
    // Modify the middle of the layer, which is the largest blob.
    bytes[30_000] ^= 1;
    let run = test.run(&["--bundle", "web"], &bytes);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("SHA-256"), "{}", run.stderr);
    assert!(test.names().is_empty());
}

#[test]
fn an_image_from_a_pipe_may_have_its_blobs_in_any_order() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/g22-image.oci.tar");
    let image = fs::read(data).unwrap();
    let mut parts: Vec<(Entry, Vec<u8>)> = Vec::new();
    let mut reader = tartree::Reader::new(&image[..], tartree::Limits::default());
    while let Some(item) = reader.next().unwrap() {
        let tartree::Item::Entry(entry) = item else { continue };
        let mut content = Vec::new();
        reader.content().read_to_end(&mut content).unwrap();
        parts.push((entry, content));
    }
    let backwards: Vec<_> = parts.iter().rev().cloned().collect();
    let test = TestDir::new();
    let listed = test.run(&["--list"], &image);
    assert_eq!(listed.status, 0);
    assert!(listed.stdout.contains(" config.dump\n"), "{}", listed.stdout);
    for (n, bytes) in [image.clone(), tar(&parts), tar(&backwards), gzip(&tar(&backwards))].iter().enumerate()
    {
        let run = test.run_piped(&["--list"], bytes);
        assert_eq!(
            (run.status, run.stdout.as_str(), run.stderr.as_str()),
            (0, listed.stdout.as_str(), ""),
            "{n}"
        );
        assert_eq!(test.run_piped(&["--verify"], bytes).status, 0);
        assert!(test.run_piped(&["--show"], bytes).stdout.contains("Engine        Podman"));
        let run = test.run_piped(&["--bundle", &format!("web{n}")], bytes);
        assert_eq!((run.status, run.stderr.as_str()), (0, ""));
        assert!(test.path(&format!("web{n}/checkpoint/inventory.img")).exists());
    }
    // A truncated image is refused and leaves no files.
    let names = test.names();
    let run = test.run_piped(&["--bundle", "cut"], &image[..image.len() / 2]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.starts_with("ckpt-unpack: error: standard input: "), "{}", run.stderr);
    assert_eq!(test.names(), names);
}

/// The bomb is a diff of more than a gibibyte of zeros in some 50 kilobytes: plain, or in gzip as
/// containerd writes it.
#[test]
fn a_decompression_bomb_is_refused_before_any_write() {
    let size = (1 << 30) + (16 << 20);
    let mut head = Vec::new();
    tartree::encode(
        &mut head,
        &Entry::file(path("zeros"), size, 0o644, Timestamp::default()),
        RootName::Slash,
    );
    let len = head.len() as u64 + size + END_OF_ARCHIVE.len() as u64;
    let mut start = tar(&[file("config.dump", br#"{"id":"web"}"#), file("spec.dump", b"{}")]);
    start.truncate(start.len() - END_OF_ARCHIVE.len());
    let member = Entry::file(path("rootfs-diff.tar"), len, 0o600, Timestamp::default());
    tartree::encode(&mut start, &member, RootName::Dot);
    start.extend(head);
    let mut encoder =
        Encoder::new(Vec::new(), &Settings { compression: Compression::Zstd, level: Some(1), threads: 1 })
            .unwrap();
    encoder.write_all(&start).unwrap();
    std::io::copy(&mut std::io::repeat(0).take(size + 4096), &mut encoder).unwrap();
    let bomb = encoder.finish().unwrap();
    let test = TestDir::new();
    rootfs(&test);
    for args in [&["--bundle", "b", "--rootfs", "rootfs"][..], &["--verify"], &["--list"], &["--show"]] {
        let run = test.run(args, &bomb);
        assert_eq!(run.status, 1, "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains("more than 1000 times its size when decompressed"), "{}", run.stderr);
        let hint = run.stderr.contains("hint: if you trust it: --max-size SIZE");
        assert!(hint, "{args:?}: {}", run.stderr);
    }
    assert_eq!(test.names(), ["rootfs"]);
}

#[test]
fn limits_hold_for_the_archive_and_each_tar_in_it() {
    let test = TestDir::new();
    let volume = tar(&[file("a", b"12345"), file("b", b"12345"), file("c", b"")]);
    let archive = archive(&[file("volumes/v.tar", &volume)]);
    for (args, message) in [
        (&["--max-entries", "2"][..], "more than 2 entries"),
        (&["--max-size", "9"], "more than 9 bytes of content in all"),
    ] {
        let run = test.run(&[&["--bundle", "b", "--volume", "v=v"], args].concat(), &archive);
        assert_eq!(run.status, 1, "{}", run.stderr);
        assert!(run.stderr.contains(message), "{}", run.stderr);
        let hint = format!("hint: if you trust it: {} ", args[0]);
        assert!(run.stderr.contains(&hint), "{}", run.stderr);
    }
    let packed = gzip(&archive);
    let run = test.run(&["--bundle", "b", "--max-size", "1K"], &packed);
    assert!(run.stderr.contains("more than 1024 bytes when decompressed"), "{}", run.stderr);
    assert!(run.stderr.contains("hint: if you trust it: --max-size SIZE"), "{}", run.stderr);
    assert_eq!(test.run(&["--bundle", "b", "--max-size", "1M"], &packed).status, 0);
}

#[test]
fn statistics_of_a_restore_are_preferred_to_those_of_the_dump() {
    let service = |payload: &[u8]| {
        let head = [&0x5510_5940u32.to_le_bytes()[..], &0x5709_3306u32.to_le_bytes()].concat();
        [&head, &(payload.len() as u32).to_le_bytes()[..], payload].concat()
    };
    // stats.proto: dump is 1 (freezing_time 1, pages_written 7), restore is 2 (restore_time 4,
    // pages_restored 5).
    let dump = service(b"\x0a\x05\x08\xac\x02\x38\x22");
    let restore = service(b"\x12\x05\x20\xac\x02\x28\x21");
    let test = TestDir::new();
    let run = test.run(
        &["--bundle", "web", "--print-stats"],
        &archive(&[
            file("stats-dump", &dump),
            file("dump.log", b"(00.000500) Dumping finished successfully\n"),
        ]),
    );
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["container_statistics"][0]["Id"], "x");
    assert_eq!(report["container_statistics"][0]["runtime_checkpoint_duration"], 500);
    assert_eq!(report["container_statistics"][0]["criu_statistics"]["freezing_time"], 300);
    fs::write(test.path("web/stats-restore"), restore).unwrap();
    fs::write(test.path("web/restore.log"), "(01.000002) Restore finished successfully\n").unwrap();
    let run = test.run(&["--cleanup", "--print-stats", "--bundle", "web"], b"");
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["podman_restore_duration"], 1_000_002);
    let container = &report["container_statistics"][0];
    assert_eq!(container["runtime_restore_duration"], 1_000_002);
    assert_eq!(container["criu_statistics"]["restore_time"], 300);
    assert_eq!(container["criu_statistics"]["pages_restored"], 33);
    assert_eq!(names(&test.path("web")), ["config.dump", "spec.dump"]);
    let run = test.run(&["--cleanup", "--print-stats", "--bundle", "web"], b"");
    assert_eq!(run.status, 1);
    assert!(
        run.stderr.contains("hint: to have them written: --work-path BUNDLE with the runtime"),
        "{}",
        run.stderr
    );
}

#[test]
fn check_covers_what_a_restore_needs_and_not_a_dump() {
    let test = TestDir::new();
    for (name, body) in [
        ("runtime", r#"[ "$*" = "restore --help" ]"#),
        (
            "criu",
            r#"case "$*" in --version) echo "Version: 4.1.1";; *seccomp*|*mem_dirty*|*userns) exit 1;; esac"#,
        ),
    ] {
        fs::write(test.path(name), format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(test.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let run = test.run(&["--check", "-v", "--criu", "./criu", "--runtime", "./runtime"], b"");
    assert!(run.stderr.contains("./runtime: can restore\n"), "{}", run.stderr);
    assert!(run.stderr.contains("warning: user namespaces cannot be restored\nhint: "), "{}", run.stderr);
    for other in ["seccomp", "track memory", "INET sockets"] {
        assert!(!run.stderr.contains(other), "{other}: {}", run.stderr);
    }
}

#[test]
fn containers_of_kubernetes_are_shown_by_their_kubernetes_names() {
    let spec = serde_json::json!({ "annotations": {
        "io.container.manager": "cri-o", "io.kubernetes.cri-o.Metadata": r#"{"name":"web","attempt":1}"#,
        "io.kubernetes.cri-o.Created": "2026-11-23T10:00:00Z", "io.kubernetes.cri-o.IP.0": "10.1.2.3",
        "io.kubernetes.pod.name": "shop", "io.kubernetes.pod.namespace": "prod",
    } });
    let bytes = tar(&[
        file(
            "config.dump",
            br#"{"id":"x","name":"k8s_web_shop_prod","checkpointedTime":"2026-11-23T11:00:00Z"}"#,
        ),
        file("spec.dump", spec.to_string().as_bytes()),
        file("checkpoint/inventory.img", b""),
    ]);
    let run = TestDir::new().run(&["--show", "--json"], &bytes);
    let shown: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    for (key, value) in [
        ("container_name", "web"),
        ("engine", "CRI-O"),
        ("created", "2026-11-23T10:00:00Z"),
        ("checkpointed", "2026-11-23T11:00:00Z"),
        ("ip", "10.1.2.3"),
    ] {
        assert_eq!(shown[key], value, "{key}");
    }
    assert_eq!(shown["metadata"]["pod_name"], "shop");
    assert_eq!(shown["metadata"]["kubernetes_namespace"], "prod");
    let text = TestDir::new().run(&["--show"], &bytes).stdout;
    assert!(text.contains("\nPod           shop\nPod namespace prod\n"), "{text}");
}

#[test]
fn names_from_an_archive_are_escaped_on_a_terminal() {
    let bytes = tar(&[
        file("config.dump", b"{\"name\":\"a\\u001b[2Jb\\nc\"}"),
        file("spec.dump", b"{}"),
        file("checkpoint/inventory.img", b""),
        file("new\x1b[31m", b""),
        file("other\u{9b}\u{202e}", b""),
    ]);
    for verb in ["--show", "--list"] {
        let run = TestDir::new().run(&[verb, "--json"], &bytes);
        assert!(!run.stdout.contains(['\x1b', '\u{9b}', '\u{202e}']), "{}", run.stdout);
        assert!(run.stdout.contains("other\\u009b\\u202e"), "{}", run.stdout);
    }
    for verb in ["--show", "--list"] {
        let run = TestDir::new().run(&[verb], &bytes);
        assert_eq!(run.status, 0, "{}", run.stderr);
        assert!(!run.stdout.contains('\x1b'), "{}", run.stdout);
        assert!(run.stdout.contains("new\\x1b[31m"), "{}", run.stdout);
    }
}

#[test]
fn an_input_that_is_not_an_archive_is_reported_once() {
    for verb in [&["--list"][..], &["--show"], &["--verify"], &["--bundle", "web"]] {
        for (bytes, what) in [
            (&b""[..], "is empty, expected an archive"),
            (&[b'x'; 600], "expected a tar, found text that begins with"),
        ] {
            for run in [TestDir::new().run(verb, bytes), TestDir::new().run_piped(verb, bytes)] {
                let start = format!("ckpt-unpack: error: standard input: {what}");
                assert!(run.status == 1 && run.stderr.starts_with(&start), "{verb:?}: {}", run.stderr);
            }
        }
    }
}

#[ignore = "needs strace"]
#[test]
fn fsync_writes_everything_before_the_bundle_gets_its_name() {
    let test = TestDir::new();
    rootfs(&test);
    fs::write(
        test.path("archive"),
        archive(&[file("rootfs-diff.tar", &diff()), file("volumes/v.tar", &tar(&[file("f", b"")]))]),
    )
    .unwrap();
    for bundle in ["new", "there"] {
        if bundle == "there" {
            fs::create_dir(test.path(bundle)).unwrap();
        }
        let calls = "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2";
        let run = Command::new("strace")
            .args(["-f", "-y", "-qq", "-e", calls, "-e", "signal=none", "-o", "trace"])
            .arg(env!("CARGO_BIN_EXE_ckpt-unpack"))
            .args(["--bundle", bundle, "--rootfs", "rootfs", "--volume", "v=v", "--fsync", "archive"])
            .current_dir(test.dir.path())
            .output()
            .expect("strace runs");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let trace = fs::read_to_string(test.path("trace")).unwrap();
        let parent = test.dir.path().canonicalize().unwrap();
        let named = if bundle == "new" { parent } else { parent.join(bundle) };
        let last = trace.lines().rfind(|line| line.contains("fsync("));
        assert!(last.is_some_and(|line| line.contains(&format!("<{}>", named.display()))), "{last:?}");
        let mut calls: Vec<_> =
            trace.lines().filter_map(|l| l.split_once(' ')?.1.trim().split('(').next()).collect();
        // strace prints unknown system calls regardless of its filter, and `???` for a thread that
        // the end of the process interrupts before strace has read its call.
        calls.retain(|name| !name.starts_with("syscall_") && *name != "???");
        // Members are moved into an existing bundle one by one, the last one after the others were
        // written to the disk.
        calls.dedup_by(|a, b| a == b && *a == "renameat2");
        let named = match bundle {
            "new" => &["renameat2", "fsync"][..],
            _ => &["renameat2", "fsync", "renameat2", "fsync"],
        };
        // The order is: root file system, volume, members; then the bundle's name and its parent
        // directory.
        assert_eq!(calls, [&["syncfs", "syncfs", "syncfs"], named].concat(), "{bundle}");
    }
}

#[test]
fn verify_continues_after_a_forbidden_member() {
    let bytes = archive(&[
        file("config.json", b""),
        other("ctr.log", Kind::Fifo),
        file("spec.dump", b"{}"),
        file("stats-dump", b"short"),
        file("network.status", b"["),
    ]);
    let run = TestDir::new().run(&["--verify"], &bytes);
    assert_eq!(run.status, 1);
    let lines: Vec<_> = run.stderr.lines().map(|l| l.rsplit("input: ").next().unwrap()).collect();
    for (line, start) in lines.iter().zip([
        "config.json: engines keep a file of this name",
        "ctr.log: not a regular file",
        "spec.dump: occurs twice",
        "stats-dump: ",
        "network.status: ",
    ]) {
        assert!(line.starts_with(start), "{lines:?}");
    }
    assert_eq!(lines.len(), 5);
}

#[test]
fn cni_results_of_podman_3_are_reported_and_the_rest_is_shown() {
    let with = |status: &[u8]| {
        let archive = golden(|members| {
            let network = members.iter_mut().find(|(entry, _)| entry.path == path("network.status"));
            network.unwrap().1 = status.to_vec();
        });
        TestDir::new().run(&["--show"], &archive)
    };
    let result =
        br#" [{"cniVersion":"0.4.0","interfaces":[{"name":"eth0","sandbox":"/run/netns/a"}],"ips":[]}]"#;
    let run = with(result);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(run.stderr.contains("network.status: CNI results of podman 3"), "{}", run.stderr);
    assert!(run.stdout.contains("Engine        Podman"), "{}", run.stdout);
}

#[test]
fn the_root_directory_gets_the_mode_that_criu_requires() {
    let archive = golden(|_| ());
    for (mode, noted) in [(0o755, true), (0o555, false)] {
        let test = TestDir::new();
        let rootfs = test.path("rootfs");
        fs::create_dir(&rootfs).unwrap();
        // An ordinary user can write into the directory only with the first mode.
        if mode == 0o555 && fs::metadata("/proc/self").unwrap().uid() != 0 {
            continue;
        }
        fs::set_permissions(&rootfs, fs::Permissions::from_mode(mode)).unwrap();
        let run = test.run(&["-v", "--bundle", "b", "--rootfs", "rootfs", "--no-same-owner"], &archive);
        assert_eq!(run.status, 0, "{}", run.stderr);
        assert_eq!(fs::metadata(&rootfs).unwrap().mode() & 0o7777, 0o555);
        let note = "rootfs: mode changed from 0755 to 0555, which CRIU requires";
        assert_eq!(run.stderr.contains(note), noted, "{}", run.stderr);
        fs::set_permissions(&rootfs, fs::Permissions::from_mode(0o755)).unwrap();
    }
}
