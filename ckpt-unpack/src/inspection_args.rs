//! The flags and operands of `--show`.

use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command, FromArgMatches};

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Output")]
pub struct Inspected {
    /// With --show: print one table of these archives
    #[arg(value_name = "ARCHIVE", id = MORE, help_heading = "Input", num_args = 0..)]
    pub more: Vec<PathBuf>,
    /// With --show: also print the environment of each process, which may contain secrets
    #[arg(long, hide_short_help = true)]
    pub env: bool,
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
