//! Checks the worker threads. During extraction, a worker thread writes files while the main thread
//! creates other files. During archiving, a worker thread writes the tar while the main thread
//! reads. The result must not depend on the threads.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use harness::forge::{Header, TarForge};
use harness::{Options, differences};

const TOOL: &str = env!("CARGO_BIN_EXE_vol-archive");

/// Number of files: more than one batch, so that the worker thread has written some files while
/// other files are queued.
const FILES: u32 = 150;

fn files(tar: TarForge) -> TarForge {
    (0..FILES).fold(tar, |tar, n| tar.entry(Header::new(b'0', format!("f{n}")).mode(0o640), content(n)))
}

fn content(n: u32) -> Vec<u8> {
    vec![n as u8; 100 * n as usize]
}

fn extract(program: &[&str], tar: &[u8], out: &Path) -> Output {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(tar).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let (first, rest) = program.split_first().unwrap();
    Command::new(first).args(rest).arg("extract").arg(out).stdin(file).output().unwrap()
}

/// Returns the names of the threads that the tool starts, except two: the thread that waits for
/// SIGUSR1, and the prefetching thread, which starts only if the tool had to wait for a disk.
fn threads(program: &[&str], args: &[&Path], input: Option<&Path>, expected: &[String]) -> Vec<String> {
    let mut names = named_threads(program, args, input);
    // A thread sets its name itself, and the tool does not wait for a thread that has nothing to do.
    // On a busy machine the tool may end before that, so it gets more chances.
    for _ in 0..50 {
        if names == expected || expected.is_empty() {
            break;
        }
        names = named_threads(program, args, input);
    }
    names
}

/// Returns the names that threads of one run have set.
fn named_threads(program: &[&str], args: &[&Path], input: Option<&Path>) -> Vec<String> {
    let input = input.map_or_else(Stdio::null, |path| File::open(path).unwrap().into());
    let log = tempfile::NamedTempFile::new().unwrap();
    let status = Command::new("strace")
        .args(["-f", "-e", "trace=prctl", "-o"])
        .arg(log.path())
        .args(program)
        .args(args)
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("strace: see tests/prerequisites");
    assert!(status.success());
    let log = fs::read_to_string(log.path()).unwrap();
    let named = |line: &str| Some(line.split_once("PR_SET_NAME, \"")?.1.split('"').next()?.to_owned());
    let mut names: Vec<_> = log.lines().filter_map(named).collect();
    names.retain(|name| name != "progress" && name != "prefetch");
    names.sort();
    names
}

/// Returns `names` if there is a second processor, and otherwise an empty list.
fn on_two_processors(names: &[&str]) -> Vec<String> {
    if has_two_processors() { names.iter().map(|&name| name.to_owned()).collect() } else { Vec::new() }
}

/// Creates a tree whose tar is written by two threads. If the output is a pipe, the kernel copies
/// parts of the tar directly.
fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..FILES {
        fs::write(dir.path().join(format!("f{n}")), content(n)).unwrap();
    }
    for (name, size) in
        [("below", 900_000), ("g_large", 5_000_001), ("middle", 300_000), ("z_large", 2 << 20)]
    {
        let content: Vec<u8> = (0..size).map(|n: u32| (n ^ n >> 8) as u8).collect();
        fs::write(dir.path().join(name), content).unwrap();
    }
    File::create(dir.path().join("hole")).unwrap().set_len(3 << 20).unwrap();
    dir
}

fn create(program: &[&str], args: &[&str]) -> Command {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).arg("create").args(args);
    command
}

#[test]
fn repeated_names_yield_the_same_tree_with_a_worker_thread() {
    let big = vec![3; 3 << 20];
    let tar = files(TarForge::new().dir("./"))
        .file("f149", "another content")
        .hardlink("link", "f148")
        .symlink("f146", "nowhere")
        .header(Header::new(b'5', "f145").mode(0o750).mtime(7))
        .entry(Header::new(b'0', "f145/big").mode(0o4711).mtime(9), &big)
        .hardlink("f144", "f145/big")
        .end();
    let [one, two] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for (program, out) in [(&["prlimit", "--nofile=64", TOOL][..], &one), (&[TOOL], &two)] {
        let output = extract(program, &tar, out.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(differences(one.path(), two.path(), &Options::default()).unwrap(), [] as [String; 0]);
    assert_eq!(fs::read(two.path().join("f149")).unwrap(), b"another content");
    assert_eq!(fs::read(two.path().join("link")).unwrap(), content(148));
    assert_eq!(fs::read(two.path().join("f147")).unwrap(), content(147));
    assert_eq!(fs::read(two.path().join("f144")).unwrap(), big);
    assert_eq!(fs::metadata(two.path().join("f144")).unwrap().mtime(), 9);
}

#[test]
fn files_before_an_error_are_complete() {
    let tar = files(TarForge::new()).file("f149/below", "").end();
    let out = tempfile::tempdir().unwrap();
    let output = extract(&[TOOL], &tar, out.path());
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("f149/below: a parent path component is not a directory"), "{stderr}");
    for n in 0..FILES {
        let path = out.path().join(format!("f{n}"));
        assert!(fs::read(&path).unwrap() == content(n), "f{n}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640, "f{n}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    for size in [2 << 20, 8 << 20] {
        let tar = files(TarForge::new()).entry(Header::new(b'0', "large"), vec![1; size]).end();
        let out = tempfile::tempdir().unwrap();
        let output = extract(&["prlimit", "--fsize=1048576", TOOL], &tar, out.path());
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("large: File too large"), "{stderr}");
    }
}

#[ignore = "needs strace"]
#[test]
fn extract_starts_a_thread_only_if_it_helps() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, tar: Vec<u8>| {
        let path = dir.path().join(name);
        fs::write(&path, tar).unwrap();
        path
    };
    let many = put("many", files(TarForge::new()).end());
    let few = put("few", (0..10).fold(TarForge::new(), |tar, n| tar.file(format!("{n}"), "x")).end());
    let large = put(
        "large",
        (0..12).fold(TarForge::new(), |tar, n| tar.file(format!("{n}"), vec![1; 2 << 20])).end(),
    );
    let starts = |program: &[&str], tar: &Path, expected: &[String]| {
        let out = tempfile::tempdir().unwrap();
        assert_eq!(threads(program, &["extract".as_ref(), out.path()], Some(tar), expected), expected);
    };
    starts(&[TOOL], &few, &NONE);
    starts(&[TOOL], &many, &on_two_processors(&["writer"]));
    starts(&[TOOL], &large, &on_two_processors(&["writer"]));
    starts(&["taskset", "-c", "0", TOOL], &many, &NONE);
    starts(&["prlimit", "--nofile=64", TOOL], &many, &NONE);
}

const NONE: [String; 0] = [];

fn has_two_processors() -> bool {
    std::thread::available_parallelism().unwrap().get() > 1
}

#[ignore = "needs strace"]
#[test]
fn create_starts_a_thread_only_if_it_helps() {
    let (much, little) = (tree(), tempfile::tempdir().unwrap());
    fs::write(little.path().join("f"), content(FILES)).unwrap();
    let starts = |program: &[&str], dir: &Path, expected: &[String]| {
        assert_eq!(threads(program, &["create".as_ref(), dir], None, expected), expected);
    };
    starts(&[TOOL], little.path(), &NONE);
    starts(&[TOOL], much.path(), &on_two_processors(&["writer"]));
    starts(&["taskset", "-c", "0", TOOL], much.path(), &NONE);
}

#[ignore = "needs strace"]
#[test]
fn create_members_starts_a_thread_only_if_it_helps() {
    // Each file is in a separate directory deep in the tree, which needs the most descriptors.
    let dir = tempfile::tempdir().unwrap();
    let at = |top: &str| dir.path().join(top.to_owned() + &"/d".repeat(20));
    for n in 0..FILES {
        let parent = at("many").join(n.to_string());
        fs::create_dir_all(&parent).unwrap();
        fs::write(parent.join("f"), "x").unwrap();
    }
    fs::create_dir_all(at("few")).unwrap();
    let operand = |top: &str| format!("v={}", dir.path().join(top).display());
    let starts = |program: &[&str], top: &str, expected: &[String]| {
        let operand = operand(top);
        let args = ["create".as_ref(), "--members".as_ref(), operand.as_ref()];
        assert_eq!(threads(program, &args, None, expected), expected);
    };
    starts(&[TOOL], "few", &NONE);
    starts(&[TOOL], "many", &on_two_processors(&["stat-ahead"]));
    starts(&["prlimit", "--nofile=64", TOOL], "many", &NONE);
    let tar = |program: &[&str]| {
        let output = create(program, &["--members", &operand("many")]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let all = [&[TOOL][..], &["prlimit", "--nofile=32", TOOL], &["taskset", "-c", "0", TOOL]].map(tar);
    assert!(all[0].len() > FILES as usize * 1024 && all.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_tar_does_not_depend_on_threads_or_the_output() {
    let (dir, out) = (tree(), tempfile::tempdir().unwrap());
    let operand = format!("v={}", dir.path().display());
    for args in [&[dir.path().to_str().unwrap()][..], &["--members", &operand]] {
        let mut all = Vec::new();
        for program in [&["taskset", "-c", "0", TOOL][..], &[TOOL]] {
            let piped = create(program, args).output().unwrap();
            assert!(piped.status.success());
            let file = out.path().join("tar");
            let status = create(program, args).args(["-o", file.to_str().unwrap()]).status().unwrap();
            assert!(status.success());
            all.extend([piped.stdout, fs::read(file).unwrap()]);
        }
        assert!(all[0].len() > 8 << 20);
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{args:?}");
    }
    let tar = create(&[TOOL], &[dir.path().to_str().unwrap()]).output().unwrap().stdout;
    let copy = out.path().join("copy");
    assert!(extract(&[TOOL], &tar, &copy).status.success());
    assert_eq!(differences(dir.path(), &copy, &Options::default()).unwrap(), [] as [String; 0]);
}

#[test]
fn a_failed_write_of_the_worker_thread_is_an_error() {
    let (dir, out) = (tree(), tempfile::tempdir().unwrap());
    let (dir, file) = (dir.path().to_str().unwrap(), out.path().join("tar"));
    let failed = |output: Output, message: &str| {
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(message), "{stderr}");
    };
    // The limits are reached before the worker thread starts, while it writes small files, while it
    // writes a large file, and after it has written the large file.
    for limit in [500_000, 1_300_000, 4_000_000, 9_000_000] {
        let program = ["prlimit", &format!("--fsize={limit}"), TOOL];
        let output = create(&program, &[dir, "-o", file.to_str().unwrap()]).output().unwrap();
        failed(output, &format!("{}: File too large", file.display()));
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
    }
    let full = File::options().write(true).open("/dev/full").unwrap();
    failed(
        create(&[TOOL], &[dir]).stdout(full).output().unwrap(),
        "standard output: No space left on device",
    );
    for bytes in [100_000, 1_300_000, 4_000_000] {
        let mut child =
            create(&[TOOL], &[dir]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut reader = child.stdout.take().unwrap().take(bytes);
        std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
        drop(reader);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(nix::libc::SIGPIPE));
        assert_eq!(output.stderr, b"");
    }
}
