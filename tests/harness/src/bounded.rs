//! Runs a program under limits of time and memory, and reports its resource usage.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Limits for a run. Processor time is limited rather than elapsed time, because other work on the
/// machine must not fail a test. The limit of elapsed time only ends a program that waits forever.
pub struct Bounds {
    /// Processor time.
    pub cpu: Duration,
    /// Elapsed time after which the program is killed.
    pub hang: Duration,
    /// Peak resident memory, in bytes.
    pub memory: u64,
}

/// Limits for every tool with hostile input.
pub const HOSTILE: Bounds =
    Bounds { cpu: Duration::from_secs(5), hang: Duration::from_secs(30), memory: 128 << 20 };

/// Result of a run.
pub struct Run {
    /// Exit status, `None` if a signal ended the program.
    pub code: Option<i32>,
    /// Signal that ended the program.
    pub signal: Option<i32>,
    /// Standard output, truncated after one mebibyte.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
    /// Processor time used.
    pub cpu: Duration,
    /// Elapsed time.
    pub wall: Duration,
    /// Peak resident memory in bytes, 0 if unknown.
    pub memory: u64,
    /// Whether the program was killed because it exceeded [`Bounds::hang`].
    pub hung: bool,
}

/// Source of standard input.
pub enum Stdin {
    /// `/dev/null`.
    Empty,
    /// A regular file, which the program can seek in.
    File(std::fs::File),
    /// A pipe to which these bytes are written.
    Pipe(Vec<u8>),
    /// A pipe to which this function writes.
    Writer(Writer),
}

/// Writes the input, until its end or until the reader closes the pipe.
pub type Writer = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// Runs `command` and kills it after `bounds.hang`. [`Run::breaks`] checks the other limits.
///
/// # Panics
/// Panics if the command cannot be started.
pub fn run(mut command: Command, stdin: Stdin, bounds: &Bounds) -> Run {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut writer: Option<Writer> = None;
    match stdin {
        Stdin::Empty => command.stdin(Stdio::null()),
        Stdin::File(file) => command.stdin(file),
        Stdin::Pipe(bytes) => {
            writer = Some(Box::new(move |pipe| pipe.write_all(&bytes)));
            command.stdin(Stdio::piped())
        }
        Stdin::Writer(write) => {
            writer = Some(write);
            command.stdin(Stdio::piped())
        }
    };
    let started = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    if let (Some(write), Some(mut pipe)) = (writer, child.stdin.take()) {
        // A tool that rejects its input closes the pipe early, so a write error is no failure.
        thread::spawn(move || drop(write(&mut pipe)));
    }
    let stdout = drained(child.stdout.take());
    let stderr = drained(child.stderr.take());
    let (ended, is_over) = std::sync::mpsc::channel::<()>();
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    let hang = bounds.hang;
    // The signal is sent only while the child has not been reaped, so its PID cannot be reused.
    let watchdog = thread::spawn(move || match is_over.recv_timeout(hang) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => kill(pid, Signal::SIGKILL).is_ok(),
        _ => false,
    });
    let (status, usage) = wait_usage(&mut child).expect("the child can be waited for");
    let wall = started.elapsed();
    drop(ended);
    let time = |t: libc::timeval| {
        Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), 0)
            + Duration::from_micros(u64::try_from(t.tv_usec).unwrap_or(0))
    };
    Run {
        code: status.code(),
        signal: status.signal(),
        stdout: stdout.join().expect("no panic"),
        stderr: String::from_utf8_lossy(&stderr.join().expect("no panic")).into_owned(),
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        wall,
        memory: peak(usage.ru_maxrss),
        hung: watchdog.join().expect("no panic"),
    }
}

impl Run {
    /// Lists violations that no input may cause: a panic, a crash, a hang, usage above `bounds`, a
    /// message without the tool's name, or a message with control characters.
    pub fn breaks(&self, tool: &str, bounds: &Bounds) -> Vec<String> {
        let mut found = Vec::new();
        let mut tell = |what: String| found.push(what);
        if self.hung {
            tell(format!("hangs: killed after {:?}", bounds.hang));
        } else if let Some(signal) = self.signal {
            tell(format!("died of signal {signal}"));
        }
        if self.cpu > bounds.cpu {
            tell(format!("took {:?} of the processor", self.cpu));
        }
        if self.memory > bounds.memory {
            tell(format!("took {} MiB of memory", self.memory >> 20));
        }
        if let Some(line) =
            self.stderr.lines().find(|line| line.contains("panicked") || line.contains("internal error"))
        {
            tell(format!("panics: {line}"));
        }
        if self.stderr.chars().any(|c| c.is_control() && c != '\n') {
            tell(format!("a control character in the messages: {:?}", self.stderr));
        }
        if let Some(line) = self.stderr.lines().find(|line| !is_message(line, tool)) {
            tell(format!("a line that is no message: {line:?}"));
        }
        if self.code == Some(1) && !self.stderr.contains(&format!("{tool}: error: ")) {
            tell("fails without an error message".into());
        }
        found
    }
}

fn is_message(line: &str, tool: &str) -> bool {
    line.starts_with(&format!("{tool}: ")) || line.starts_with("hint: ")
}

fn drained(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut pipe) = pipe {
            // Discards the rest, so that the writer does not block on a full pipe.
            let _ = pipe.by_ref().take(1 << 20).read_to_end(&mut text);
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
        text
    })
}

/// Returns the peak memory of a child in bytes, or 0 if unknown: before it calls exec, a child is a
/// copy of this process, and the kernel includes that copy in the peak.
///
/// # Panics
/// Panics if this process is larger than the limit, because every child would then exceed it.
fn peak(kilobytes: libc::c_long) -> u64 {
    let bytes = |kilobytes| u64::try_from(kilobytes).unwrap_or(0) * 1024;
    let own = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| bytes(usage.max_rss()));
    assert!(own < HOSTILE.memory, "the test itself takes {} MiB: write large input by a Writer", own >> 20);
    if bytes(kilobytes) > own { bytes(kilobytes) } else { 0 }
}

/// Waits for `child` and returns its status and its resource usage. The standard library returns
/// only the status.
fn wait_usage(child: &mut Child) -> io::Result<(ExitStatus, libc::rusage)> {
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers refer to live values of the types that wait4(2) writes. The zeroed
        // `usage` is a valid rusage even if the call fails. The child has not been reaped, because
        // `child` owns it and is borrowed mutably.
        let (waited, usage) =
            unsafe { (libc::wait4(pid, &mut status, 0, usage.as_mut_ptr()), usage.assume_init()) };
        if waited == pid {
            return Ok((ExitStatus::from_raw(status), usage));
        }
        let e = io::Error::last_os_error();
        if e.kind() != io::ErrorKind::Interrupted {
            return Err(e);
        }
    }
}
