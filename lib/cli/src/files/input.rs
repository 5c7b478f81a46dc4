//! The input of a tool: a file, `-`, or standard input, unless that is a terminal.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use anyhow::Context;

use crate::error::{Hint, usage};
use crate::messages::display::display_path;

/// An open input, with its name for messages.
pub struct Input {
    file: File,
    name: String,
}

impl Input {
    /// Opens `path`. `None` and `-` mean standard input. `what` is the expected content for
    /// messages, such as "an archive".
    ///
    /// # Errors
    /// Returns a usage error if standard input is a terminal: the tool would wait for input
    /// that users do not type. Returns an error if the file cannot be opened or is a directory.
    pub fn open(path: Option<&Path>, what: &str) -> anyhow::Result<Input> {
        match path {
            Some(path) if path != Path::new("-") => {
                let name = display_path(path);
                let file = File::open(path).with_context(|| name.clone())?;
                if file.metadata().with_context(|| name.clone())?.is_dir() {
                    anyhow::bail!("{name}: expected {what}, found a directory");
                }
                Ok(Input { file, name })
            }
            _ => {
                let stdin = io::stdin();
                if stdin.is_terminal() {
                    return Err(Hint::on(
                        usage(format!("standard input: expected {what}, found a terminal")),
                        "redirect it: < FILE, or put a pipe before the command",
                    ));
                }
                let file = File::from(stdin.as_fd().try_clone_to_owned().context("standard input")?);
                Ok(Input { file, name: "standard input".into() })
            }
        }
    }

    /// Makes an input of an open file, such as the output of a program.
    pub fn of_file(file: File, name: String) -> Input {
        Input { file, name }
    }

    /// Returns the name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the number of bytes that are left to read, or `None` if the input is not a regular
    /// file.
    pub fn rest(&self) -> Option<u64> {
        let mut file = &self.file;
        let meta = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        meta.len().checked_sub(file.stream_position().ok()?)
    }

    /// Returns the open file.
    pub fn into_file(self) -> File {
        self.file
    }
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read(buf)
    }
}

impl AsFd for Input {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Reads a complete document, such as JSON or a list, of at most `limit` bytes. `name` is its name
/// for messages.
///
/// # Errors
/// Returns an error if reading fails, or if the document is longer than `limit`, because an input
/// from another machine must not exhaust the memory.
pub fn read_document(mut input: impl Read, name: &str, limit: u64) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    input.by_ref().take(limit + 1).read_to_end(&mut text).with_context(|| name.to_owned())?;
    if text.len() as u64 > limit {
        anyhow::bail!("{name}: longer than {limit} bytes");
    }
    Ok(text)
}
