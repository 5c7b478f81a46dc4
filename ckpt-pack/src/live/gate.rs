//! Makes CRIU wait at the end of a dump until the archive is complete.
//!
//! After CRIU has written all images, it runs its action scripts with the action `post-dump`. If a
//! script fails, CRIU rejects the dump and the processes run on. Only then CRIU kills the
//! processes. Runtimes have no option for action scripts, but CRIU reads the configuration file
//! that the environment variable CRIU_CONFIG_FILE names, also for a runtime (criu/config.c).
//!
//! podman passes on only PATH to the runtime. Therefore the first directory of PATH has a program
//! `criu` that sets the variable and executes the real CRIU.
//!
//! Script and configuration are unnamed files, and the script talks through pipes in
//! /proc/PID/fd of this process. So if this process dies, nothing is left behind, and the script
//! fails.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{mkdtemp, pipe2};

/// The gate at which CRIU waits.
pub struct Gate {
    config: File,
    _script: File,
    _wrapper: File,
    /// The directory with a link to the wrapper, and the PATH that starts with this directory.
    dir: PathBuf,
    path: OsString,
    /// The script writes a line to this pipe when CRIU has written all images.
    reached: (OwnedFd, OwnedFd),
    /// The script reads its answer from this pipe.
    answer: (OwnedFd, OwnedFd),
}

impl Gate {
    /// Creates the gate.
    ///
    /// # Errors
    /// Returns an error if a system call fails, or if the configuration that the user named in
    /// CRIU_CONFIG_FILE cannot be read.
    pub fn new() -> anyhow::Result<Gate> {
        let (reached, answer) = (pipe2(OFlag::O_CLOEXEC)?, pipe2(OFlag::O_CLOEXEC)?);
        let (reached_path, answer_path) = (proc_path(&reached.0), proc_path(&answer.0));
        let script = unnamed(
            format!(
                "#!/bin/sh\n\
             [ \"$CRTOOLS_SCRIPT_ACTION\" = post-dump ] || exit 0\n\
             echo >{} && read -r answer <{} && [ \"$answer\" = yes ]\n",
                reached_path.display(),
                answer_path.display()
            )
            .as_bytes(),
        )?;
        let mut config = match std::env::var_os("CRIU_CONFIG_FILE").filter(|name| !name.is_empty()) {
            Some(name) => std::fs::read_to_string(&name)
                .with_context(|| format!("CRIU_CONFIG_FILE: {}", cli::display_path(PathBuf::from(&name))))?,
            None => String::new(),
        };
        config.push_str(&format!("\naction-script {}\n", proc_path(&script).display()));
        let config = unnamed(config.as_bytes())?;
        let config_path = proc_path(&config);
        let original = std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
        let mut wrapper = b"#!/bin/sh\nPATH=".to_vec();
        wrapper.extend(quoted(original.as_bytes()));
        wrapper.extend(format!("\nexport PATH CRIU_CONFIG_FILE={}\n", config_path.display()).into_bytes());
        wrapper.extend(b"exec criu \"$@\"\n");
        let wrapper = unnamed(&wrapper)?;
        let dir = mkdtemp(&std::env::temp_dir().join("ckpt-pack.XXXXXX"))?;
        std::os::unix::fs::symlink(proc_path(&wrapper), dir.join("criu"))?;
        let mut path = dir.clone().into_os_string();
        path.push(":");
        path.push(original);
        Ok(Gate { config, _script: script, _wrapper: wrapper, dir, path, reached, answer })
    }

    /// Returns the PATH of the command.
    pub fn path(&self) -> &OsStr {
        &self.path
    }

    /// Returns the directory that must be removed.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Removes the directory with the link to the wrapper.
    pub fn remove_dir(&self) {
        // A directory in /tmp that is left holds only a link to a file that is gone.
        let _ = std::fs::remove_file(self.dir.join("criu"));
        let _ = std::fs::remove_dir(&self.dir);
    }

    /// Returns the path of the configuration file for CRIU.
    pub fn config(&self) -> PathBuf {
        proc_path(&self.config)
    }

    /// Returns a descriptor that becomes readable when CRIU has written all images.
    pub fn reached(&self) -> BorrowedFd<'_> {
        self.reached.0.as_fd()
    }

    /// Lets CRIU complete the dump.
    ///
    /// # Errors
    /// Returns an error if the answer cannot be written.
    pub fn accept(&self) -> std::io::Result<()> {
        self.answer(b"yes\n")
    }

    /// Makes CRIU reject the dump, so that the processes run on.
    pub fn reject(&self) {
        // If this fails, the script fails too, because the pipe is closed when this process ends.
        let _ = self.answer(b"no\n");
    }

    fn answer(&self, answer: &[u8]) -> std::io::Result<()> {
        nix::unistd::write(&self.answer.1, answer)?;
        Ok(())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.remove_dir();
    }
}

/// Returns the path by which other processes open a descriptor of this process.
pub fn proc_path(fd: &impl AsRawFd) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd()).into()
}

/// Quotes a word for a shell.
fn quoted(word: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for &byte in word {
        match byte {
            b'\'' => quoted.extend(b"'\\''"),
            byte => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

/// Creates an unnamed, executable file, which is open for reading only: the kernel executes no file
/// that is open for writing.
fn unnamed(text: &[u8]) -> anyhow::Result<File> {
    let mut file = File::from(memfd_create(c"ckpt-pack", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(text)?;
    let name = proc_path(&file);
    let read_only = File::open(&name).with_context(|| cli::display_path(&name))?;
    Ok(read_only)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Command;

    use super::*;

    /// Runs the script that the configuration names, as CRIU does.
    fn script(gate: &Gate, action: &str) -> Command {
        let mut config = String::new();
        File::open(gate.config()).unwrap().read_to_string(&mut config).unwrap();
        let path = config.trim().rsplit_once(' ').unwrap().1.to_owned();
        let mut command = Command::new(path);
        command.env("CRTOOLS_SCRIPT_ACTION", action);
        command
    }

    #[test]
    fn criu_waits_for_the_answer() {
        for (is_complete, succeeds) in [(true, true), (false, false)] {
            let gate = Gate::new().unwrap();
            let mut waiting = script(&gate, "post-dump").spawn().unwrap();
            let mut line = [0];
            nix::unistd::read(gate.reached(), &mut line).unwrap();
            assert!(waiting.try_wait().unwrap().is_none());
            if is_complete {
                gate.accept().unwrap();
            } else {
                gate.reject();
            }
            assert_eq!(waiting.wait().unwrap().success(), succeeds);
        }
    }

    #[test]
    fn criu_in_path_gets_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("criu");
        std::fs::write(&real, "#!/bin/sh\necho $CRIU_CONFIG_FILE $1").unwrap();
        std::fs::set_permissions(&real, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let gate = Gate::new().unwrap();
        let link = gate.dir().join("criu");
        // The wrapper has the PATH of this process, in which the stand-in is not.
        let text = std::fs::read_to_string(&link)
            .unwrap()
            .replace("PATH='", &format!("PATH='{}:", dir.path().display()));
        let output = Command::new("sh").args(["-c", &text, "criu", "swrk"]).output().unwrap();
        let expected = format!("{} swrk\n", gate.config().display());
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
        assert!(gate.path().as_bytes().starts_with(gate.dir().as_os_str().as_bytes()));
        gate.remove_dir();
        assert!(!gate.dir().exists());
    }

    #[test]
    fn a_word_with_quotes_is_quoted() {
        assert_eq!(quoted(b"a'b"), b"'a'\\''b'");
    }

    #[test]
    fn other_actions_do_not_wait() {
        assert!(script(&Gate::new().unwrap(), "network-lock").status().unwrap().success());
    }

    #[test]
    fn criu_rejects_the_dump_if_this_process_is_gone() {
        let gate = Gate::new().unwrap();
        let mut command = script(&gate, "post-dump");
        let mut waiting = command.spawn().unwrap();
        nix::unistd::read(gate.reached(), &mut [0]).unwrap();
        drop(gate);
        assert!(!waiting.wait().unwrap().success());
    }
}
