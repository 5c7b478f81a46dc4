//! Flags that have the same name and meaning in every tool.

use std::path::PathBuf;

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
    fn pairs_split_at_the_first_equals_sign() {
        assert_eq!(name_value("db=/srv/a=b"), Ok(("db".into(), "/srv/a=b".into())));
        assert!(name_value("db").is_err());
        assert!(name_value("=x").is_err());
        assert!(name_value("x=").is_err());
    }
}
