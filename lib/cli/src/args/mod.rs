//! Defines the flags that have the same name and meaning in several tools. A tool flattens these
//! types into its own arguments.

mod effect;
#[cfg(feature = "tree")]
mod id_maps;
#[cfg(feature = "tree")]
mod limits;
mod output;

use std::path::PathBuf;

use crate::messages::progress::When;

pub use effect::{Ineffective, reject_ineffective};
#[cfg(feature = "tree")]
pub use id_maps::{IdRange, Ids};
#[cfg(feature = "tree")]
pub use limits::{Bounds, Size};
pub use output::{Durable, OutputFile};

/// The flags that all tools have.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Common {
    /// Print what is skipped and why; twice: print every entry
    #[arg(short, long, action = clap::ArgAction::Count, global = true, help_heading = "Other")]
    pub verbose: u8,

    /// Print errors only, no warnings
    #[arg(short, long, global = true, help_heading = "Other", conflicts_with = "verbose")]
    pub quiet: bool,
}

/// The flag of tools that show the progress of a long run.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Progress {
    /// Show bytes, rate and time left on standard error: auto (if it is a terminal), always, never
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_value = "auto",
        default_missing_value = "always",
        hide_default_value = true,
        hide_possible_values = true,
        hide_short_help = true,
        global = true,
        help_heading = "Other"
    )]
    pub progress: When,
}

/// Splits the `NAME=VALUE` of a repeatable flag at the first `=`.
///
/// # Errors
/// Returns an error if there is no `=`, or if the name or the value is empty.
pub fn name_value(arg: &str) -> Result<(String, PathBuf), String> {
    match arg.split_once('=') {
        Some(("", _)) => Err("the name before '=' is empty".into()),
        Some((_, "")) => Err("the value after '=' is empty".into()),
        Some((name, value)) => Ok((name.into(), value.into())),
        None => Err("expected NAME=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_split_at_the_first_equals_sign() {
        assert_eq!(name_value("db=/srv/a=b"), Ok(("db".into(), "/srv/a=b".into())));
        assert!(name_value("db").is_err());
        assert!(name_value("=x").is_err());
        assert!(name_value("x=").is_err());
    }
}
