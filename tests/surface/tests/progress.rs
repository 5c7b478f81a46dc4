//! Progress of long runs, on a terminal and in a log.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use harness::tools::tool;
use tempfile::TempDir;

/// Size of the volume. The test's slow reader makes the run long.
const MUCH: usize = 8 << 20;

fn volume() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), vec![b'x'; MUCH]).unwrap();
    dir
}

/// Starts `vol-archive create`, which blocks soon after the first byte of its output, because the test
/// reads no more of it yet.
fn stuck(args: &[&str], dir: &Path) -> Child {
    let mut command = Command::new(tool("vol-archive"));
    command
        .args(["create", "--members"])
        .args(args)
        .arg(format!("v={}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    kill_later(&child);
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    child
}

/// Kills a tool that prints nothing, which the test would wait for.
fn kill_later(child: &Child) {
    let pid = child.id().to_string();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(120));
        Command::new("kill").args(["-KILL", &pid]).status().unwrap();
    });
}

/// Sends SIGUSR1, and returns the line of progress, with the rest of standard error.
fn asked(child: &mut Child) -> (String, BufReader<ChildStderr>) {
    signal(child, "-USR1");
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("%, ") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "no progress");
    }
    (line, stderr)
}

fn rest(mut stderr: BufReader<ChildStderr>) -> String {
    let mut text = String::new();
    stderr.read_to_string(&mut text).unwrap();
    text
}

/// Reads the rest of the output, and returns the result with standard error.
fn finish(mut child: Child) -> Output {
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()).unwrap());
    let output = child.wait_with_output().unwrap();
    assert!(reader.join().unwrap() > MUCH);
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn signal(child: &Child, signal: &str) {
    let status = Command::new("kill").arg(signal).arg(child.id().to_string()).status().unwrap();
    assert!(status.success());
}

#[test]
fn without_a_terminal_there_is_no_progress() {
    let dir = volume();
    let all = [&[][..], &["--progress=auto"], &["--progress=never"]];
    let children = all.map(|args| (args, stuck(args, dir.path())));
    // Progress would be shown after half a second.
    std::thread::sleep(Duration::from_millis(1500));
    for (args, child) in children {
        let output = finish(child);
        assert!(output.status.success());
        assert_eq!(text(&output.stderr), "", "{args:?}");
    }
}

#[test]
fn always_prints_bytes_rate_and_remaining_time_each_second() {
    let dir = volume();
    let started = Instant::now();
    let mut child = stuck(&["--progress"], dir.path());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    for _ in 0..3 {
        stderr.read_line(&mut text).unwrap();
    }
    assert!(started.elapsed() >= Duration::from_secs(2), "{text}");
    assert!(finish(child).status.success());
    text += &rest(stderr);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.len() >= 3, "{text}");
    for line in lines {
        assert!(line.starts_with("vol-archive: "), "{line}");
        assert!(line.contains(" of 8.39 MB, ") && line.contains("%, ") && line.contains("B/s, "), "{line}");
    }
    assert!(!text.contains('\x1b') && !text.contains('\r'), "escapes in a log: {text:?}");
}

#[test]
fn sigusr1_prints_one_line_and_the_run_continues() {
    let dir = volume();
    let mut child = stuck(&[], dir.path());
    let (line, stderr) = asked(&mut child);
    let output = finish(child);
    assert!(output.status.success(), "{output:?}");
    assert!(line.contains(" of 8.39 MB, "), "{line}");
    assert_eq!(rest(stderr), "");
}

/// Half of the memory image is zero pages, which ckpt-pack detects and leaves out.
#[test]
fn the_total_of_packing_excludes_zero_pages() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = bundle(dir.path());
    let mut pages = vec![0; MUCH];
    pages.resize(2 * MUCH, b'x');
    fs::write(bundle.join("checkpoint/pages-1.img"), pages).unwrap();
    let mut command = Command::new(tool("ckpt-pack"));
    command.arg("--ignore-rootfs").arg("--bundle").arg(&bundle).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    kill_later(&child);
    // A pipe holds at most one mebibyte, so with two more to come the run has not ended.
    let mut head = vec![0; MUCH - (2 << 20)];
    child.stdout.as_mut().unwrap().read_exact(&mut head).unwrap();
    let (line, stderr) = asked(&mut child);
    std::io::copy(child.stdout.as_mut().unwrap(), &mut std::io::sink()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(rest(stderr), "");
    assert!(line.contains(" of 8.39 MB, "), "{line}");
    let percent = line.split(&[' ', '%'][..]).find_map(|word| word.parse::<u32>().ok()).unwrap();
    // The mebibyte that is being written is counted when all of it was written.
    assert!((60..100).contains(&percent), "{line}");
}

/// Runs a shell command with a terminal as standard error. Returns the output of the terminal and
/// the status. The command may use `shown TEXT`, which waits until the terminal shows TEXT.
fn on_terminal(command: &str) -> (String, Option<i32>) {
    let shown = tempfile::NamedTempFile::new().unwrap();
    let mut script = Command::new("script");
    let command = format!("{} {command}", waiting(shown.path()));
    script.args(["-qefc", &command]).arg(shown.path()).env("TERM", "xterm").stdin(Stdio::null());
    let output = script.output().expect("script, of bsdutils");
    (text(&output.stdout), output.status.code())
}

/// Returns a definition of the shell function `shown`.
fn waiting(file: &Path) -> String {
    format!(
        "shown() {{ for i in $(seq 1200); do grep -q \"$1\" {} && return; sleep 0.05; done; }};",
        file.display()
    )
}

/// Returns the last line of terminal output, as it is visible after carriage returns and clearing.
fn last_line(shown: &str) -> &str {
    let line = shown.rsplit('\n').next().unwrap_or_default();
    line.rsplit(['\r']).next().unwrap_or_default().trim_start_matches("\x1b[2K")
}

#[test]
fn a_terminal_shows_one_line_that_is_cleared_at_the_end() {
    let dir = volume();
    let tool = tool("vol-archive");
    let command =
        format!("{} create --members v={} | (shown %; cat >/dev/null)", tool.display(), dir.path().display());
    let (shown, status) = on_terminal(&command);
    assert_eq!(status, Some(0));
    assert!(shown.contains("% ") || shown.contains("%, "), "{shown:?}");
    assert_eq!(last_line(&shown), "", "{shown:?}");
    let quiet = command.replace(" create ", " create --quiet ").replace("shown %", "sleep 1");
    let (shown, _) = on_terminal(&quiet);
    assert_eq!(shown, "", "--quiet");
}

#[test]
fn a_message_has_its_own_line() {
    let dir = tempfile::tempdir().unwrap();
    // The tool reads a tar of unknown size until the terminal shows progress, and then an invalid one.
    let command = format!(
        "(shown extracting; head -c 1024 /dev/zero | tr '\\0' '?') | {} extract {}",
        tool("vol-archive").display(),
        dir.path().join("target").display()
    );
    let (shown, status) = on_terminal(&command);
    assert_eq!(status, Some(1));
    let at = shown.find("error:").expect("an error");
    let before = &shown[..at];
    let line = before.rsplit(['\n', '\r']).next().unwrap();
    let line = line.trim_start_matches("\x1b[2K");
    assert_eq!(line.trim_end_matches("\x1b[31m"), "vol-archive: ", "{shown:?}");
    assert!(before.contains("extracting"), "progress was drawn before: {shown:?}");
}

#[test]
fn ctrl_c_leaves_neither_a_progress_line_nor_a_file() {
    let dir = volume();
    let out = tempfile::tempdir().unwrap();
    let fifo = out.path().join("fifo");
    Command::new("mkfifo").arg(&fifo).status().unwrap();
    // The tool reads from a FIFO that never ends, and writes to a file. A shell that runs the tests
    // in the background ignores SIGINT, and the tool would inherit that.
    let command = format!(
        "exec env --default-signal=INT {} --bundle {} -o {} {}",
        tool("ckpt-pack").display(),
        bundle(dir.path()).display(),
        out.path().join("web.ckpt").display(),
        fifo.display()
    );
    let (ended, has_ended) = mpsc::channel::<()>();
    let keep_open = std::thread::spawn({
        let fifo = fifo.clone();
        move || {
            let writer = fs::OpenOptions::new().write(true).open(fifo).unwrap();
            // A tool that does not stop fails when the FIFO ends, with another status.
            let _ = has_ended.recv_timeout(Duration::from_secs(60));
            drop(writer);
        }
    });
    // script(1) provides a terminal; the input types ^C when progress is visible.
    let mut script = Command::new("script");
    script.args(["-qefc", &command, "/dev/null"]).env("TERM", "xterm");
    let mut child =
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut shown = Vec::new();
    while !text(&shown).contains("packing") {
        let mut bytes = [0; 1024];
        let n = stdout.read(&mut bytes).unwrap();
        assert!(n > 0, "{:?}", text(&shown));
        shown.extend_from_slice(&bytes[..n]);
    }
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    stdout.read_to_end(&mut shown).unwrap();
    let status = child.wait().unwrap();
    drop(ended);
    keep_open.join().unwrap();
    let shown = text(&shown);
    assert_eq!(status.code(), Some(130), "the shell's status for SIGINT");
    assert_eq!(last_line(&shown).trim_start_matches("^C"), "", "{shown:?}");
    let left: Vec<_> = fs::read_dir(out.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["fifo"]);
}

/// Creates a bundle with the files of a dump that ckpt-pack reads.
fn bundle(dir: &Path) -> std::path::PathBuf {
    let bundle = dir.join("bundle");
    fs::create_dir_all(bundle.join("checkpoint")).unwrap();
    fs::write(bundle.join("checkpoint/inventory.img"), "x").unwrap();
    fs::write(bundle.join("config.json"), r#"{"ociVersion":"1.2.0","root":{"path":"rootfs"}}"#).unwrap();
    bundle
}
