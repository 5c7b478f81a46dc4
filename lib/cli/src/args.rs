//! Flags that have the same name and meaning in every tool.

use std::path::PathBuf;
use std::str::FromStr;

/// Flags of every tool; flatten it into the tool's own arguments.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Common {
    /// Tell on standard error what is skipped and why; twice: every entry
    #[arg(short, long, action = clap::ArgAction::Count, global = true, help_heading = "Other")]
    pub verbose: u8,

    /// Print errors only, no warnings
    #[arg(short, long, global = true, help_heading = "Other", conflicts_with = "verbose")]
    pub quiet: bool,
}

/// Where the result goes; flatten it into the arguments of a tool that writes a file.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct OutputFile {
    /// Write to FILE (mode 0600, under its name only when complete) instead of standard output
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
}

/// Whose files they are; flatten it into the arguments of a tool that archives or extracts them.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Ids {
    /// Map user ids: CONTAINER:HOST:SIZE; the tar holds container ids (repeatable)
    #[arg(long, value_name = "C:H:S", help_heading = "Ownership")]
    pub uidmap: Vec<IdRange>,
    /// Map group ids, likewise
    #[arg(long, value_name = "C:H:S", help_heading = "Ownership")]
    pub gidmap: Vec<IdRange>,
}

/// A range of ids as podman's `--uidmap` has it, container id first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// First id in the container.
    pub container: u32,
    /// First id on the host.
    pub host: u32,
    /// How many.
    pub size: u32,
}

impl FromStr for IdRange {
    type Err = String;

    fn from_str(text: &str) -> Result<IdRange, String> {
        let numbers: Vec<u32> = text
            .split(':')
            .map(|n| n.parse().map_err(|_| format!("{n:?} is not an id")))
            .collect::<Result<_, _>>()?;
        match numbers[..] {
            [_, _, 0] => Err("a range of size 0".into()),
            [container, host, size] => Ok(IdRange { container, host, size }),
            _ => Err("CONTAINER:HOST:SIZE is wanted".into()),
        }
    }
}

/// Splits the `NAME=VALUE` of a repeatable flag at the first `=`.
///
/// # Errors
/// When there is no `=`, or nothing stands before or after it.
pub fn name_value(arg: &str) -> Result<(String, PathBuf), String> {
    match arg.split_once('=') {
        Some(("", _)) => Err("nothing stands before the '='".into()),
        Some((_, "")) => Err("nothing stands after the '='".into()),
        Some((name, value)) => Ok((name.into(), value.into())),
        None => Err("NAME=VALUE is wanted".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_id_ranges_are_refused() {
        for text in ["", "1", "1:2", "1:2:3:4", "a:b:c", "0:0:0", "-1:0:1"] {
            assert!(text.parse::<IdRange>().is_err(), "{text:?}");
        }
        assert_eq!("0:100000:5".parse(), Ok(IdRange { container: 0, host: 100_000, size: 5 }));
    }

    #[test]
    fn pairs_split_at_the_first_equals_sign() {
        assert_eq!(name_value("db=/srv/a=b"), Ok(("db".into(), "/srv/a=b".into())));
        assert!(name_value("db").is_err());
        assert!(name_value("=x").is_err());
        assert!(name_value("x=").is_err());
    }
}
