//! Ends a dump that fails, and resumes the container: on an error, on a signal, and if nothing
//! makes progress any more.

use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use checkpoint::host::freezer::Freezer;

use super::command::{Running, lock};
use super::gate::Gate;

/// Resumes the container if this process is killed by SIGKILL. It first waits for the process
/// group of the runtime and CRIU to end, because CRIU freezes the cgroup again when it gives up a dump of a frozen container. Then it
/// removes the images, whose pages are lost.
const GUARD: &str = "\
read -r pid
read -r done && exit
n=0
while kill -s 0 -- \"-$pid\" 2>/dev/null && [ $n -lt 300 ]; do sleep 0.1; n=$((n + 1)); done
n=0
while echo \"$1\" >\"$2\" && [ $n -lt 5 ]; do sleep 0.2; n=$((n + 1)); done
rm -f \"$3\"/*.img \"$4/criu\"
rmdir \"$4\"";

/// The state that is needed to resume the container.
pub struct Rescue {
    pub gate: Gate,
    freezer: Option<Freezer>,
    guard: Mutex<Option<Guard>>,
    command: Mutex<Option<Arc<Running>>>,
    /// The pipes that CRIU writes to.
    pipes: Mutex<Vec<RawFd>>,
    /// CRIU's image directory.
    image_path: PathBuf,
    /// Whether the container was resumed, or must not be resumed any more.
    is_over: Mutex<bool>,
}

struct Guard {
    child: Child,
    input: ChildStdin,
}

impl Rescue {
    /// Prepares to resume the processes of `freezer`.
    ///
    /// # Errors
    /// Returns an error if no process can be started.
    pub fn new(gate: Gate, freezer: Option<Freezer>, image_path: &Path) -> anyhow::Result<Rescue> {
        let guard = freezer.as_ref().filter(|freezer| !freezer.was_frozen());
        let guard = guard.map(|freezer| Guard::start(freezer, image_path, gate.dir())).transpose()?;
        Ok(Rescue {
            gate,
            freezer,
            guard: Mutex::new(guard),
            command: Mutex::new(None),
            pipes: Mutex::new(Vec::new()),
            image_path: image_path.to_owned(),
            is_over: Mutex::new(false),
        })
    }

    /// Freezes the container.
    ///
    /// # Errors
    /// Returns an error if a process does not freeze.
    pub fn freeze(&self) -> std::io::Result<()> {
        self.freezer.as_ref().map_or(Ok(()), Freezer::freeze)
    }

    /// Adds a pipe of a pages image.
    pub fn add_pipe(&self, pipe: RawFd) {
        lock(&self.pipes).push(pipe);
    }

    /// Adds the command that dumps the container.
    pub fn add_command(&self, command: Arc<Running>) {
        if let Some(guard) = &mut *lock(&self.guard) {
            let _ = writeln!(guard.input, "{}", command.pid());
        }
        *lock(&self.command) = Some(command);
    }

    /// Ends the dump and resumes the container from the thread that owns the pipes, which
    /// `close_pipes` closes.
    ///
    /// # Errors
    /// Returns an error if the container cannot be resumed.
    pub fn resume(&self, close_pipes: impl FnOnce()) -> std::io::Result<()> {
        let mut is_over = lock(&self.is_over);
        if std::mem::replace(&mut *is_over, true) {
            return Ok(());
        }
        close_pipes();
        self.end_dump();
        self.thaw()
    }

    /// Like [`resume`](Rescue::resume), from another thread. The caller must end the process after
    /// that: the pipes are closed while another thread may still use their numbers, and that thread
    /// must not go on.
    pub fn resume_and_exit(&self, exit: impl FnOnce(std::io::Result<()>)) {
        let mut is_over = lock(&self.is_over);
        let done = if std::mem::replace(&mut *is_over, true) {
            Ok(())
        } else {
            for pipe in lock(&self.pipes).drain(..) {
                // A write of CRIU to a pipe without reader fails. The numbers are not reused: from
                // here on, no file is opened.
                let _ = nix::unistd::close(pipe);
            }
            self.end_dump();
            self.thaw()
        };
        exit(done);
    }

    /// Lets CRIU complete the dump, because the archive is complete. From here on, the dump is not
    /// ended any more; if this process is killed, the guard resumes the container.
    ///
    /// # Errors
    /// Returns an error if CRIU cannot be reached.
    pub fn accept(&self) -> std::io::Result<()> {
        let mut is_over = lock(&self.is_over);
        self.gate.accept()?;
        *is_over = true;
        Ok(())
    }

    /// Ends the rescue, after the command has ended. Resumes the container unless `keep_paused`
    /// is set.
    ///
    /// # Errors
    /// Returns an error if the container cannot be resumed.
    pub fn complete(&self, keep_paused: bool) -> std::io::Result<()> {
        self.gate.remove_dir();
        match keep_paused {
            true => {
                self.dismiss_guard();
                Ok(())
            }
            false => self.thaw(),
        }
    }

    fn end_dump(&self) {
        self.gate.reject();
        if let Some(command) = &*lock(&self.command) {
            command.stop();
        }
        self.gate.remove_dir();
        // A later dump reports images that are left.
        let _ = remove_images(&self.image_path);
    }

    fn thaw(&self) -> std::io::Result<()> {
        let done = self.freezer.as_ref().map_or(Ok(()), Freezer::thaw);
        self.dismiss_guard();
        done
    }

    fn dismiss_guard(&self) {
        let Some(Guard { mut child, mut input }) = lock(&self.guard).take() else { return };
        // The first line is the PID of the command, if there was one.
        let _ = input.write_all(b"\n\n");
        drop(input);
        let _ = child.wait();
    }
}

impl Guard {
    fn start(freezer: &Freezer, image_path: &Path, wrapper: &Path) -> anyhow::Result<Guard> {
        let (path, line) = freezer.thaw_command();
        let mut child = Command::new("sh")
            .args(["-c", GUARD, "guard", line])
            .arg(path)
            .args([image_path, wrapper])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // SIGINT of the terminal must not end it.
            .process_group(0)
            .spawn()?;
        let input = child.stdin.take().ok_or_else(|| anyhow::anyhow!("sh: no standard input"))?;
        Ok(Guard { child, input })
    }
}

/// Removes the images in a directory, which are incomplete without their pages. Logs stay.
///
/// # Errors
/// Returns an error if a file cannot be removed.
pub fn remove_images(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if is_image(&entry.file_name()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Returns whether a file in the image directory is an image.
pub fn is_image(name: &OsStr) -> bool {
    name.as_encoded_bytes().ends_with(b".img")
}

/// Starts a thread that ends the dump if no byte was read or written for `timeout`.
pub fn watch(rescue: Arc<Rescue>, tool: String, timeout: Duration) {
    let watching = move || {
        let (mut last, mut since) = (cli::bytes_counted(), Instant::now());
        loop {
            std::thread::sleep((timeout / 10).min(Duration::from_millis(200)));
            if *lock(&rescue.is_over) {
                return;
            }
            let now = cli::bytes_counted();
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() >= timeout {
                rescue.resume_and_exit(|done| exit_stalled(&tool, timeout, done));
            }
        }
    };
    // Without the thread, only the time limit is missing.
    let _ = std::thread::Builder::new().spawn(watching);
}

fn exit_stalled(tool: &str, timeout: Duration, resumed: std::io::Result<()>) {
    let seconds = timeout.as_secs_f64();
    let outcome = match resumed {
        Ok(()) => "the container runs on".to_owned(),
        Err(e) => format!("the container cannot be resumed: {e}"),
    };
    eprintln!("{tool}: error: no progress for {seconds} s, dump aborted; {outcome}");
    eprintln!("hint: if the reader of the archive needs longer: --stall-timeout SECONDS");
    std::process::exit(1);
}
