//! Defines the flags that have the same name and meaning in several tools. A tool flattens these
//! types into its own arguments.

mod effect;
#[cfg(feature = "tree")]
mod id_maps;
#[cfg(feature = "tree")]
mod limits;
mod output;
mod size;

use std::path::PathBuf;

use crate::messages::progress::When;

pub use effect::{Effect, Ineffective, reject_given, reject_ineffective, reject_without_effect};
#[cfg(feature = "tree")]
pub use id_maps::{IdRange, Ids};
#[cfg(feature = "tree")]
pub use limits::{Bounds, Size};
pub use output::{Durable, OutputFile};
pub use size::bytes;

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
/// Returns an error if there is no `=`, or if the name or the value is empty. If the parts are
/// separated by a colon, or are in the wrong order, the error contains the correct text.
pub fn name_value(arg: &str) -> Result<(String, PathBuf), String> {
    match arg.split_once('=') {
        Some(("", _)) => Err("the name before '=' is empty".into()),
        Some((_, "")) => Err("the value after '=' is empty".into()),
        Some((name, value)) => Ok((name.into(), value.into())),
        None => Err(match rewritten(arg) {
            Some(pair) => format!("expected NAME=VALUE, write {pair}"),
            None => "expected NAME=VALUE".into(),
        }),
    }
}

/// Returns `NAME=VALUE` for a pair that is written in another way: `NAME:VALUE`, `VALUE:NAME` or
/// `VALUE=NAME`, where only the value is a path.
pub fn rewritten(arg: &str) -> Option<String> {
    let (left, right) = arg.split_once('=').or_else(|| arg.split_once(':'))?;
    let (name, value) = match (left.contains('/'), right.contains('/')) {
        (true, false) if arg.contains(':') || left.starts_with(['/', '.']) => (right, left),
        (false, _) if !arg.contains('=') => (left, right),
        _ => return None,
    };
    (!name.is_empty() && !value.is_empty()).then(|| format!("{name}={value}"))
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

    #[test]
    fn a_pair_in_another_notation_is_rewritten() {
        for (arg, pair) in [
            ("data:/d", Some("data=/d")),
            ("data:d", Some("data=d")),
            ("./d:data", Some("data=./d")),
            ("/d=data", Some("data=/d")),
            ("data=/d", None),
            ("/a=/b", None),
            ("a/b=c", None),
            ("/a:/b", None),
            ("data", None),
            (":/d", None),
        ] {
            assert_eq!(rewritten(arg).as_deref(), pair, "{arg}");
        }
    }
}
