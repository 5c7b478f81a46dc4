//! The flags and operands of `--show`, `--search` and `--dump-memory`.

use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command, FromArgMatches};
use cli::args::Size;
use regex::bytes::Regex;

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Output")]
pub struct Inspected {
    /// With --show: print one table of these archives
    #[arg(value_name = "ARCHIVE", id = MORE, help_heading = "Input", num_args = 0..)]
    pub more: Vec<PathBuf>,
    /// With --show: also print the environment of each process, which may contain secrets
    #[arg(long, hide_short_help = true)]
    pub env: bool,
    /// With --show: print a page in HTML, which refers to nothing outside of itself
    #[arg(long, conflicts_with_all = ["json", "env"], hide_short_help = true)]
    pub html: bool,
    /// With --html: hide the arguments of the processes, which may contain secrets
    #[arg(long, hide_short_help = true)]
    pub redact: bool,
    /// With --search: search only process PID
    #[arg(long, value_name = "PID", hide_short_help = true)]
    pub pid: Option<u32>,
    /// With --search: also print SIZE bytes before and after each match, up to 4k
    #[arg(long, value_name = "SIZE", value_parser = context, hide_short_help = true)]
    pub context: Option<usize>,
    /// With --dump-memory: print a hexdump with addresses
    #[arg(long, hide_short_help = true)]
    pub hex: bool,
}

/// The memory that `--dump-memory` writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    pub pid: u32,
    pub range: Option<Range<u64>>,
}

impl FromStr for MemoryRange {
    type Err = String;

    fn from_str(text: &str) -> Result<MemoryRange, String> {
        let expected = || "expected PID or PID:START-END, with hexadecimal addresses".to_owned();
        let (pid, range) = match text.split_once(':') {
            Some((pid, range)) => (pid, Some(range)),
            None => (text, None),
        };
        let address = |text: &str| {
            let digits = text.strip_prefix("0x").unwrap_or(text);
            u64::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
        };
        let range = range.map(|range| {
            let (start, end) = range.split_once('-').ok_or_else(expected)?;
            let range = address(start).ok_or_else(expected)?..address(end).ok_or_else(expected)?;
            if range.is_empty() { Err("the end is not after the start".to_owned()) } else { Ok(range) }
        });
        Ok(MemoryRange { pid: pid.parse().map_err(|_| expected())?, range: range.transpose()? })
    }
}

/// Parses a regular expression, which may not match the empty string.
pub fn pattern(text: &str) -> Result<Regex, String> {
    let pattern = Regex::new(text).map_err(|e| e.to_string())?;
    if pattern.is_match(b"") { Err("matches the empty string".to_owned()) } else { Ok(pattern) }
}

/// Parses the number of bytes around a match.
fn context(text: &str) -> Result<usize, String> {
    let size: Size = text.parse()?;
    usize::try_from(size.0).ok().filter(|size| *size <= 4096).ok_or_else(|| "more than 4096 bytes".to_owned())
}

/// The ID of the operands after the first one.
const MORE: &str = "more";

/// Rejects a second operand of actions other than `--show`, as clap rejects an unexpected operand.
/// This type must be parsed first, because parsing removes the flags from the matches.
#[derive(Clone, Copy, Debug)]
pub struct OneArchive;

impl clap::Args for OneArchive {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl FromArgMatches for OneArchive {
    fn from_arg_matches(matches: &ArgMatches) -> Result<OneArchive, clap::Error> {
        let second = matches.get_many::<PathBuf>(MORE).and_then(|mut more| more.next());
        match second {
            Some(second) if !matches.get_flag("show") => {
                let mut error = clap::Error::new(ErrorKind::UnknownArgument);
                let word = cli::escape(cli::display_path(second));
                error.insert(ContextKind::InvalidArg, ContextValue::String(word));
                Err(error)
            }
            _ => Ok(OneArchive),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        OneArchive::from_arg_matches(matches).map(drop)
    }
}
