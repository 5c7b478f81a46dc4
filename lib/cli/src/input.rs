//! Input: standard input, `-`, or a file; never a terminal by accident.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use anyhow::Context;

use crate::exit::{Hint, usage};
use crate::message::name;

/// An open input and the name it has in messages.
pub struct Input {
    file: File,
    name: String,
}

impl Input {
    /// Opens `path`; `None` and `-` are standard input. `what` is what is expected there ("an archive").
    ///
    /// # Errors
    /// A usage error when standard input is a terminal: a filter that waits for a person is a mistake.
    pub fn open(path: Option<&Path>, what: &str) -> anyhow::Result<Input> {
        match path {
            Some(path) if path != Path::new("-") => {
                let name = name(path);
                let file = File::open(path).with_context(|| name.clone())?;
                if file.metadata().with_context(|| name.clone())?.is_dir() {
                    anyhow::bail!("{name}: is a directory, {what} is wanted");
                }
                Ok(Input { file, name })
            }
            _ => {
                let stdin = io::stdin();
                if stdin.is_terminal() {
                    return Err(Hint::on(
                        usage(format!("standard input is a terminal, {what} is wanted there")),
                        "redirect it: < FILE, or put a pipe before the command",
                    ));
                }
                let file = File::from(stdin.as_fd().try_clone_to_owned().context("standard input")?);
                Ok(Input { file, name: "standard input".into() })
            }
        }
    }

    /// The name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes are left to read, where that is known: of a file.
    pub fn rest(&self) -> Option<u64> {
        let mut file = &self.file;
        let meta = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        meta.len().checked_sub(file.stream_position().ok()?)
    }

    /// The open file itself.
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

/// Reads a whole document (JSON, a list) of at most `limit` bytes.
///
/// # Errors
/// When reading fails or the document is longer: what comes from other machines must not fill the memory.
pub fn read_document(mut input: impl Read, name: &str, limit: u64) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    input.by_ref().take(limit + 1).read_to_end(&mut text).with_context(|| name.to_owned())?;
    if text.len() as u64 > limit {
        anyhow::bail!("{name}: longer than {limit} bytes");
    }
    Ok(text)
}
