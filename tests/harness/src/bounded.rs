//! A program run within bounds, and what it took.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What a program may take. Other work on the machine must not fail a test, so the time that counts is the processor's;
/// a program that waits for ever is ended by the clock.
pub struct Bounds {
    /// Processor time.
    pub cpu: Duration,
    /// Time by the clock, after which it is killed.
    pub hang: Duration,
    /// Peak of the memory that is resident, in bytes.
    pub memory: u64,
}

/// What hostile input may take of any tool.
pub const HOSTILE: Bounds =
    Bounds { cpu: Duration::from_secs(5), hang: Duration::from_secs(30), memory: 128 << 20 };

/// How a run ended.
pub struct Run {
    /// Its status, `None` where it died of a signal.
    pub code: Option<i32>,
    /// The signal it died of.
    pub signal: Option<i32>,
    /// What it wrote to standard output; of a long one the first mebibyte.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
    /// Processor time it took.
    pub cpu: Duration,
    /// Time by the clock it took.
    pub wall: Duration,
    /// Peak of its resident memory, in bytes.
    pub memory: u64,
    /// Whether it had to be killed.
    pub hung: bool,
}

/// What stands on standard input.
pub enum Stdin {
    /// Nothing.
    Empty,
    /// A regular file, which can be read twice.
    File(std::fs::File),
    /// A pipe that is given these bytes.
    Pipe(Vec<u8>),
    /// A pipe that is written by this function.
    Writer(Writer),
}

/// Writes what is to be read, until it ends or the reader goes away.
pub type Writer = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// Runs `command` and kills it when it takes longer than `bounds.hang`; what else it may take, [`Run::breaks`] tells.
///
/// # Panics
/// When it cannot be started.
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
        // The tool may give up before the end, which is its right.
        thread::spawn(move || drop(write(&mut pipe)));
    }
    let stdout = drained(child.stdout.take());
    let stderr = drained(child.stderr.take());
    let (ended, is_over) = std::sync::mpsc::channel::<()>();
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    let hang = bounds.hang;
    // It is sent only while the child is waited for, so the number is still its own.
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
    /// What no input may bring about, however bad it is: a panic, a crash, a hang, more than `bounds`, a message without the
    /// tool's name, or one that moves the cursor.
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
            // What is beyond is read, so that the writer does not wait, and forgotten.
            let _ = pipe.by_ref().take(1 << 20).read_to_end(&mut text);
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
        text
    })
}

/// The peak of a child in bytes, 0 where it cannot be told: until it calls exec a child is a copy of this process, and the
/// kernel counts that, too.
///
/// # Panics
/// When this process is so large that no child could be judged.
fn peak(kilobytes: libc::c_long) -> u64 {
    let bytes = |kilobytes| u64::try_from(kilobytes).unwrap_or(0) * 1024;
    let own = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| bytes(usage.max_rss()));
    assert!(own < HOSTILE.memory, "the test itself takes {} MiB: write large input by a Writer", own >> 20);
    if bytes(kilobytes) > own { bytes(kilobytes) } else { 0 }
}

/// Waits for `child`; gives its status and what it used, which the standard library does not tell.
fn wait_usage(child: &mut Child) -> io::Result<(ExitStatus, libc::rusage)> {
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are to live objects of the types that wait4(2) writes; zeroed, `usage` is a valid rusage
        // also where the call fails. The child has not been waited for: it is `child`'s and borrowed mutably.
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
