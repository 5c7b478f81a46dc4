//! Records the failure of a producer in its member stream, since the reader of a pipe does not see
//! the exit status.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use clap::Command;

use crate::files::stdout_is_closed;

/// A tool with a verb that writes member streams (`--members`).
pub struct Producer {
    /// The verb.
    pub verb: &'static str,
    /// Returns a stream that records a failure with this reason. Returns `None` if the process has
    /// already started a stream: that stream ends in its own record or is truncated.
    pub record: fn(reason: &str) -> Option<Vec<u8>>,
}

impl Producer {
    /// Writes the record to the stream's output, if the command line `args` requests a stream.
    /// `command` has the names of all verbs.
    ///
    /// The command line is read without clap, which may have rejected it.
    pub(crate) fn failed(&self, command: &Command, args: &[OsString], reason: &str) {
        if !self.writes_members(command, args) {
            return;
        }
        let Some(record) = (self.record)(reason) else { return };
        // If the record cannot be written either, only the exit status reports the failure.
        let _ = destination(output(args)).map(|mut file| file.write_all(&record));
    }

    fn writes_members(&self, command: &Command, args: &[OsString]) -> bool {
        // A misspelled verb gets a record, since it may have been meant as the verb that writes
        // streams.
        let verb = args.iter().find(|arg| !arg.as_bytes().starts_with(b"-"));
        let other = verb.is_some_and(|verb| *verb != self.verb && is_verb(command, verb));
        // `--member` is a misspelled --members, which clap rejects.
        let asked = |arg: &&OsString| arg.as_bytes().starts_with(b"--member");
        !other && options(args).find(asked).is_some()
    }
}

fn is_verb(command: &Command, word: &OsStr) -> bool {
    command.get_subcommands().any(|verb| word == verb.get_name()) || word == "help"
}

/// Returns the words before `--`.
fn options(args: &[OsString]) -> impl Iterator<Item = &OsString> {
    args.iter().take_while(|arg| *arg != "--")
}

/// Returns the value of `-o` or `--output`.
fn output(args: &[OsString]) -> Option<&Path> {
    let mut options = options(args);
    while let Some(arg) = options.next() {
        let bytes = arg.as_bytes();
        let value = match bytes {
            b"--output" => b"",
            [b'-', b'-', long @ ..] => match long.strip_prefix(b"output=") {
                Some(value) => value,
                None => continue,
            },
            // Flags without a value may precede -o: -qo FILE.
            [b'-', short @ ..] => match short.iter().position(|b| !b"qv".contains(b)) {
                Some(at) if short[at] == b'o' => {
                    short[at + 1..].strip_prefix(b"=").unwrap_or(&short[at + 1..])
                }
                _ => continue,
            },
            _ => continue,
        };
        return match value {
            b"" => options.next().map(Path::new),
            value => Some(Path::new(OsStr::from_bytes(value))),
        };
    }
    None
}

/// Opens the output of the stream: standard output, or the FIFO of `-o`. Returns an error for a
/// regular file of `-o`, which gets its name only when it is complete, and for a terminal or
/// another device, because it has no reader of streams.
fn destination(output: Option<&Path>) -> io::Result<File> {
    let none = || io::Error::from(io::ErrorKind::Unsupported);
    match output {
        Some(path) if path != Path::new("-") => match path.metadata()?.file_type().is_fifo() {
            true => OpenOptions::new().write(true).open(path),
            false => Err(none()),
        },
        _ if stdout_is_closed() => Err(none()),
        _ => {
            let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
            let kind = file.metadata()?.file_type();
            if kind.is_fifo() || kind.is_file() || kind.is_socket() { Ok(file) } else { Err(none()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn only_a_request_for_a_stream_gets_a_record() {
        let command =
            Command::new("x").subcommand(Command::new("create")).subcommand(Command::new("extract"));
        let producer = Producer { verb: "create", record: |_| None };
        for (line, writes) in [
            ("create --members data=/x", true),
            ("-q create data=/x --members", true),
            ("--members", true),
            ("craete --members data=/x", true),
            ("create --members=yes", true),
            ("create --member data=/x", true),
            ("create data=/x", false),
            ("create -- --members", false),
            ("extract --members data=/x", false),
            ("help create --members", false),
        ] {
            assert_eq!(producer.writes_members(&command, &words(line)), writes, "{line}");
        }
    }

    #[test]
    fn the_output_is_found_as_clap_finds_it() {
        for (line, found) in [
            ("create --members -o x", Some("x")),
            ("create -ox", Some("x")),
            ("create -o=x", Some("x")),
            ("create -qo x", Some("x")),
            ("create --output x", Some("x")),
            ("create --output=x", Some("x")),
            ("create --output", None),
            ("create -- -o x", None),
            ("create --no-output x", None),
            ("create -x -o -", Some("-")),
        ] {
            assert_eq!(output(&words(line)), found.map(Path::new), "{line}");
        }
    }
}
