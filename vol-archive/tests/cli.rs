//! Runs the built binary: messages, exit statuses, and the files left after a failure.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const TOOL: &str = env!("CARGO_BIN_EXE_vol-archive");

fn run(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(TOOL)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // The tool may stop reading before the end.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

#[track_caller]
fn fails(output: &Output, status: i32, message: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{stderr}");
    assert!(stderr.contains(message), "{stderr}");
}

fn succeeds(output: Output) -> Vec<u8> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn volume() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("d/f"), "content").unwrap();
    symlink("d/f", dir.path().join("l")).unwrap();
    dir
}

fn path(dir: &Path) -> &str {
    dir.to_str().unwrap()
}

#[test]
fn usage_errors_exit_with_2_and_say_what_to_do() {
    for (args, message) in [
        (&["create"][..], "no directory given"),
        (&["create", "a", "b"], "--members NAME=DIR"),
        (&["create", "--members"], "--members: expected NAME=DIR"),
        (&["create", "--members", "/srv/data"], "expected NAME=DIR"),
        (&["create", "--members", "../x=/srv"], "expected a letter or digit"),
        (&["create", "--members", "a=/tmp", "a=/srv"], "given twice"),
        (&["create", "--members", "a="], "expected a directory after"),
        (&["create", "--uidmap", "0:0", "/tmp"], "CONTAINER:HOST:SIZE"),
        (&["create", "--uidmap", "0:9:5", "--uidmap", "4:99:1", "/tmp"], "4:99:1: overlaps 0:9:5"),
        (&["create", "--exclude", "../x", "/tmp"], "name with '..'"),
        (&["extract", "--shm", "/tmp"], "--members"),
        (&["extract", "--members", "a=/tmp", "b=/tmp/."], "b=/tmp/.: the same directory as a=/tmp"),
        (&["extract", "--members", "a=/tmp", "--shm", "/proc/self/root/tmp"], "the same directory as a=/tmp"),
        (&["extract", "--members", "a=/tmp/new", "b=/tmp/new"], "the same directory as a=/tmp/new"),
        (&["extract", "--members", "a=/tmp/new/x", "b=/tmp"], "a=/tmp/new/x: is inside b=/tmp"),
        (&["frobnicate"], "unrecognized subcommand"),
    ] {
        fails(&run(args, b""), 2, message);
    }
}

#[test]
fn a_missing_directory_is_named() {
    fails(
        &run(&["create", "/nonexistent/volume"], b""),
        1,
        "vol-archive: error: /nonexistent/volume: No such file",
    );
}

#[test]
fn input_that_is_not_a_tar_is_refused_before_any_write() {
    let dir = tempfile::tempdir().unwrap();
    let garbage = vec![b'x'; 4096];
    fails(&run(&["extract", path(dir.path())], &garbage), 1, "standard input: expected a tar, found text");
    fails(&run(&["extract", path(dir.path())], b""), 1, "standard input: is empty, expected a tar");
    fails(&run(&["list"], &garbage), 1, "standard input: expected a tar, found text");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_truncated_tar_is_an_error() {
    let volume = volume();
    let tar = succeeds(run(&["create", path(volume.path())], b""));
    let dir = tempfile::tempdir().unwrap();
    for length in [100, 512, 1000, 1536, tar.len() - 1024] {
        fails(&run(&["extract", path(dir.path())], &tar[..length]), 1, "ends too early");
    }
    succeeds(run(&["extract", path(dir.path())], &tar));
}

#[test]
fn a_failed_create_leaves_nothing_under_the_final_name() {
    let volume = volume();
    let out = volume.path().join("d/out.tar");
    let args =
        ["create", "--members", "-o", path(&out), &format!("a={}", path(volume.path())), "b=/nonexistent"];
    fails(&run(&args, b""), 1, "/nonexistent");
    assert_eq!(fs::read_dir(volume.path().join("d")).unwrap().count(), 1);
}

#[test]
fn a_reader_that_exits_ends_the_tool_by_sigpipe() {
    use std::os::unix::process::ExitStatusExt;
    let volume = tempfile::tempdir().unwrap();
    fs::write(volume.path().join("big"), vec![b'x'; 4 << 20]).unwrap();
    let mut child = Command::new(TOOL)
        .args(["create", path(volume.path())])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(13));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn volumes_of_a_stream_go_to_their_directories() {
    let (a, b, shm) = (volume(), tempfile::tempdir().unwrap(), volume());
    let members = ["create", "--members", "--shm", path(shm.path())];
    let (one, two) = (format!("a={}", path(a.path())), format!("b={}", path(b.path())));
    let stream = succeeds(run(&[&members[..], &[&one, &two]].concat(), b""));
    let out = tempfile::tempdir().unwrap();
    let at = |name: &str| out.path().join(name);
    let (one, two) = (format!("a={}", path(&at("a"))), format!("b={}", path(&at("b"))));
    let shm = at("shm");
    let args = ["extract", "--members", "--shm", path(&shm)];
    fails(&run(&[&args[..], &[&one]].concat(), &stream), 1, "hint: add b=DIR");
    succeeds(run(&[&args[..], &[&one, &two]].concat(), &stream));
    assert_eq!(fs::read(at("a").join("d/f")).unwrap(), b"content");
    assert_eq!(fs::read_link(at("shm").join("l")).unwrap(), Path::new("d/f"));
    assert_eq!(fs::read_dir(at("b")).unwrap().count(), 0);
    let three = format!("c={}", path(&at("c")));
    fails(&run(&[&args[..], &[&one, &two, &three]].concat(), &stream), 1, "volumes/c.tar: not in the stream");
}

#[test]
fn replace_empties_the_directory_first() {
    let volume = volume();
    let tar = succeeds(run(&["create", path(volume.path())], b""));
    let out = tempfile::tempdir().unwrap();
    fs::create_dir_all(out.path().join("old/deep")).unwrap();
    succeeds(run(&["extract", path(out.path())], &tar));
    assert!(out.path().join("old/deep").exists());
    succeeds(run(&["extract", "--replace", path(out.path())], &tar));
    assert!(!out.path().join("old").exists());
    assert!(out.path().join("d/f").exists());
}

#[test]
fn excluded_paths_are_left_out() {
    let volume = volume();
    let tar = succeeds(run(&["create", "--exclude", "/d/f", path(volume.path())], b""));
    let listing = String::from_utf8(succeeds(run(&["list"], &tar))).unwrap();
    assert!(
        listing.contains(" d/\n") && listing.contains(" l -> d/f\n") && listing.lines().count() == 3,
        "{listing}"
    );
}

/// tar(1) leaves out the same files for each pattern.
#[test]
fn exclude_takes_wildcards_as_tar_does() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["v/secret.key", "v/open", "v/d/e/deep.key", "v/cache/x", "v/d/cache/y", "v/a1", "v/star*"] {
        let file = dir.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "").unwrap();
    }
    let all = ["a1", "cache/x", "d/cache/y", "d/e/deep.key", "open", "secret.key", "star*"];
    let volume = dir.path().join("v");
    for (pattern, left_out, warned) in [
        ("*.key", &["d/e/deep.key", "secret.key"][..], false),
        ("d*key", &["d/e/deep.key"], false),
        ("/d/*", &["d/cache/y", "d/e/deep.key"], false),
        ("cach?", &["cache/x", "d/cache/y"], false),
        ("cache", &["cache/x"], false),
        ("./d/cache/", &["d/cache/y"], false),
        ("[a-c]?", &["a1"], false),
        ("star\\*", &["star*"], false),
        ("*.pem", &[], true),
        ("y", &[], true),
        ("a1/x", &[], true),
    ] {
        let output = run(&["create", "--exclude", pattern, path(&volume)], b"");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let warning = format!("warning: --exclude {pattern}: matches nothing");
        assert_eq!(stderr.contains(&warning), warned, "{pattern}: {stderr}");
        let is_kept_deeper = matches!(pattern, "cache" | "y");
        assert_eq!(
            stderr.contains(&format!("--exclude '*/{pattern}' leaves them out")),
            is_kept_deeper,
            "{pattern}: {stderr}"
        );
        let list = succeeds(run(&["list", "--json"], &succeeds(output)));
        let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
        let mut files: Vec<_> = list
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|e| e["path"].as_str().map(String::from))
            .filter(|p| all.contains(&p.as_str()))
            .collect();
        files.sort();
        let kept: Vec<_> = all.iter().filter(|name| !left_out.contains(name)).collect();
        assert_eq!(
            files.iter().collect::<Vec<_>>(),
            kept.iter().map(|n| **n).collect::<Vec<_>>(),
            "{pattern}"
        );
    }
    fails(&run(&["create", "--exclude", "/", path(&volume)], b""), 2, "--exclude /: nothing would be left");
}

#[test]
fn list_prints_json() {
    let volume = volume();
    let tar = succeeds(run(&["create", path(volume.path())], b""));
    let list: serde_json::Value = serde_json::from_slice(&succeeds(run(&["list", "--json"], &tar))).unwrap();
    let paths: Vec<_> = list.as_array().unwrap().iter().map(|e| e["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["", "d", "d/f", "l"]);
    assert_eq!(list[2]["size"], 7);
    assert_eq!(list[3]["target"], "d/f");
    let empty = [0u8; 1024];
    assert_eq!(succeeds(run(&["list", "--json"], &empty)), b"[]\n");
}

#[test]
fn the_tar_does_not_depend_on_the_order_of_creation() {
    let make = |names: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let touch =
            Command::new("find").arg(dir.path()).args(["-exec", "touch", "-d", "@1.25", "{}", "+"]).status();
        assert!(touch.unwrap().success());
        succeeds(run(&["create", path(dir.path())], b""))
    };
    assert_eq!(make(&["a", "b", "c", "d"]), make(&["d", "b", "a", "c"]));
}

#[ignore = "needs root"]
#[test]
fn ids_are_mapped_in_both_directions() {
    use std::os::unix::fs::{MetadataExt, chown};
    let volume = volume();
    for name in ["", "d", "d/f"] {
        chown(volume.path().join(name), Some(100_005), Some(200_007)).unwrap();
    }
    let maps = [
        "--uidmap",
        "0:100000:100",
        "--gidmap",
        "0:200000:100",
        "--gidmap",
        "100:0:1",
        "--uidmap",
        "100:0:1",
    ];
    let tar = succeeds(run(&[&["create"], &maps[..], &[path(volume.path())]].concat(), b""));
    let listing = String::from_utf8(succeeds(run(&["list"], &tar))).unwrap();
    assert!(listing.contains(" 5:7 7 "), "{listing}");
    let out = tempfile::tempdir().unwrap();
    succeeds(run(&[&["extract"], &maps[..], &[path(out.path())]].concat(), &tar));
    let meta = fs::metadata(out.path().join("d/f")).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (100_005, 200_007));
    fails(&run(&["create", "--uidmap", "0:1:1", path(volume.path())], b""), 1, "is not in the id map");
}

#[test]
fn an_exceeded_limit_is_reported_with_its_flag() {
    let volume = volume();
    let tar = succeeds(run(&["create", path(volume.path())], b""));
    let out = tempfile::tempdir().unwrap();
    for (flag, low, enough, message) in [
        ("--max-entries", "3", "4", "more than 3 entries"),
        ("--max-size", "6", "1K", "d/f: more than 6 bytes of content in all"),
    ] {
        for target in [&["extract", path(out.path())][..], &["list"]] {
            let refused = run(&[target, &[flag, low]].concat(), &tar);
            fails(&refused, 1, message);
            fails(&refused, 1, &format!("hint: if you trust it: {flag} "));
            succeeds(run(&[target, &[flag, enough]].concat(), &tar));
        }
    }
    fails(&run(&["list", "--max-size", "1Q"], &tar), 2, "k, m, g, t or p");
}

#[ignore = "needs root"]
#[test]
fn no_devices_skips_and_names_devices() {
    let volume = volume();
    let fifo = volume.path().join("p");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    make_null(&volume.path().join("null"));
    let tar = succeeds(run(&["create", path(volume.path())], b""));
    let out = tempfile::tempdir().unwrap();
    let extracted = run(&["extract", "--no-devices", path(out.path())], &tar);
    fails(&extracted, 0, "/null: device 1:3 not made: --no-devices is given");
    assert!(!out.path().join("null").exists());
    assert!(out.path().join("p").exists());
}

#[ignore = "needs root"]
#[test]
fn an_ordinary_user_is_warned_of_lost_metadata() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65534;
    let volume = volume();
    fs::set_permissions(volume.path().join("d/f"), fs::Permissions::from_mode(0o6755)).unwrap();
    make_null(&volume.path().join("null"));
    let tar = succeeds(run(&["create", path(volume.path())], b""));
    let (out, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::os::unix::fs::chown(out.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    // Other users may have no access to the build directory.
    fs::set_permissions(bin.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // cp(1) makes the copy: if this process wrote it, a child that another test starts at the same
    // time would inherit the descriptor, and executing the copy would fail with ETXTBSY.
    assert!(Command::new("cp").arg(TOOL).arg(bin.path()).status().unwrap().success());
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(&tar).unwrap();
    std::io::Seek::rewind(&mut input).unwrap();
    let mut command = Command::new(bin.path().join("vol-archive"));
    let extracted =
        command.args(["extract", path(out.path())]).stdin(input).uid(NOBODY).gid(NOBODY).output().unwrap();
    fails(&extracted, 0, "owner (here and at 3 more) not set: only root may change the owner");
    fails(&extracted, 0, "/d/f: setuid or setgid not set: it belongs to another user than in the archive");
    fails(&extracted, 0, "/null: device 1:3 not made: only root may create device nodes");
    assert_eq!(out.path().join("d/f").metadata().unwrap().permissions().mode() & 0o7777, 0o755);
}

fn make_null(path: &Path) {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    mknod(path, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 3)).unwrap();
}

/// Returns the calls that decide which data survives a power loss, in order.
fn syncs(args: &[&str], input: std::fs::File) -> Vec<String> {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let calls = "trace=fsync,fdatasync,syncfs,linkat,rename,renameat,renameat2";
    let run = Command::new("strace")
        .args(["-f", "-qq", "-e", calls, "-e", "signal=none", "-o", path(trace.path()), TOOL])
        .args(args)
        .stdin(input)
        .output()
        .expect("strace runs");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let text = fs::read_to_string(trace.path()).unwrap();
    let call = |line: &str| line.split_once(' ')?.1.trim().split_once('(').map(|(name, _)| name.to_owned());
    // strace prints unknown calls regardless of its filter, and `???` for a thread that the end of
    // the process interrupts before strace has read its call.
    let is_known = |name: &String| !name.starts_with("syscall_") && name != "???";
    text.lines().filter_map(call).filter(is_known).collect()
}

#[ignore = "needs strace"]
#[test]
fn fsync_writes_the_content_then_the_name_then_the_directory() {
    let volume = volume();
    let out = tempfile::tempdir().unwrap();
    let tar = out.path().join("v.tar");
    let null = || fs::File::open("/dev/null").unwrap();
    let create = ["create", path(volume.path()), "-o", path(&tar)];
    let synced = [&create[..], &["--fsync"]].concat();
    assert_eq!(syncs(&create, null()), ["linkat"]);
    // The first linkat fails, since the file exists.
    assert_eq!(syncs(&create, null()), ["linkat", "linkat", "rename"]);
    assert_eq!(syncs(&synced, null()), ["fsync", "linkat", "linkat", "rename", "fsync"]);
    fs::remove_file(&tar).unwrap();
    assert_eq!(syncs(&synced, null()), ["fsync", "linkat", "fsync"]);
    let copy = out.path().join("copy");
    let extract = ["extract", path(&copy), "--fsync"];
    assert_eq!(syncs(&extract, fs::File::open(&tar).unwrap()), ["syncfs"]);
    fails(&run(&["create", "--fsync", path(volume.path())], b""), 2, "--output");
}

#[test]
fn the_tar_of_a_volume_never_deletes() {
    let mut header = [0; 512];
    for (at, text) in [(0, "del"), (100, "0000000"), (124, "00000000000"), (156, "g"), (257, "ustar\x0000")] {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&b: &u8| u32::from(b)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let tar = [&header[..], &[0; 1024]].concat();
    for more in [&[][..], &["--any-tar"], &["--replace"]] {
        let out = tempfile::tempdir().unwrap();
        fs::write(out.path().join("del"), "precious").unwrap();
        let extracted = run(&[&["extract", path(out.path())], more].concat(), &tar);
        fails(&extracted, 1, "standard input: del: a deletion in the tar of a volume");
        assert_eq!(fs::read(out.path().join("del")).unwrap(), b"precious", "{more:?}");
    }
    let listed = run(&["list"], &tar);
    fails(&listed, 0, "del: a deletion");
}

#[test]
fn a_member_stream_without_members_is_refused() {
    let volume = volume();
    let stream = succeeds(run(&["create", "--members", &format!("data={}", path(volume.path()))], b""));
    let out = tempfile::tempdir().unwrap();
    let extracted = run(&["extract", path(out.path())], &stream);
    fails(&extracted, 1, "standard input: is a member stream, expected the tar of a volume");
    fails(&extracted, 1, "hint: a member stream is extracted with --members NAME=DIR");
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
}
