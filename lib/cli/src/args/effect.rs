//! Rejects flags that would have no effect.

use crate::error::usage;

/// A flag, and the actions of a tool on which the flag has an effect.
#[derive(Clone, Copy, Debug)]
pub struct Effect<'a, A> {
    /// The flag, such as `--force`.
    pub flag: &'a str,
    /// Whether the flag is given.
    pub given: bool,
    /// The actions on which the flag has an effect.
    pub on: &'a [A],
    /// Why the flag has no effect on other actions, such as "without --check". By default, the
    /// message names the requested action.
    pub reason: Option<&'a str>,
}

/// Rejects the first flag that is given but has no effect on the action `requested`, which the
/// message calls `name`.
///
/// # Errors
/// Returns a usage error that names the flag and the reason.
pub fn reject_without_effect<'a, A: Copy + PartialEq + 'a>(
    requested: A,
    name: &str,
    flags: impl IntoIterator<Item = Effect<'a, A>>,
) -> anyhow::Result<()> {
    let default = format!("with {name}");
    let ineffective = |effect: &Effect<'a, A>| effect.given && !effect.on.contains(&requested);
    match flags.into_iter().find(ineffective) {
        Some(Effect { flag, reason, .. }) => {
            Err(usage(format!("{flag} has no effect {}", reason.unwrap_or(&default))))
        }
        None => Ok(()),
    }
}

/// A flag, and whether it would have an effect in combination with the other arguments.
#[derive(Clone, Copy, Debug)]
pub struct Ineffective<'a> {
    /// The flag, such as `--force`.
    pub flag: &'a str,
    /// Whether the flag is given.
    pub given: bool,
    /// Whether the flag would have no effect.
    pub ineffective: bool,
    /// Why the flag would have no effect, such as "without --bundle".
    pub reason: &'a str,
}

/// Rejects the first flag that is given but would have no effect.
///
/// Use this function where clap's `requires` is not enough: clap 4 silently drops `requires` if the
/// required argument conflicts with an argument that is given. With `--force` requiring `--bundle`,
/// and `--bundle` conflicting with `--new`, clap accepts `--new --force` and ignores `--force`.
///
/// # Errors
/// Returns a usage error that names the flag and the reason.
pub fn reject_ineffective<'a>(flags: impl IntoIterator<Item = Ineffective<'a>>) -> anyhow::Result<()> {
    match flags.into_iter().find(|flag| flag.given && flag.ineffective) {
        Some(Ineffective { flag, reason, .. }) => Err(usage(format!("{flag} has no effect {reason}"))),
        None => Ok(()),
    }
}

/// Rejects the first of `flags` that is given; `reason` says why the flag has no effect.
///
/// # Errors
/// Returns a usage error that names the flag and the reason.
pub fn reject_given(flags: &[(&str, bool)], reason: &str) -> anyhow::Result<()> {
    let ineffective = |&(flag, given)| Ineffective { flag, given, ineffective: true, reason };
    reject_ineffective(flags.iter().map(ineffective))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Args {
        #[arg(long)]
        new: bool,
        #[arg(long, conflicts_with = "new")]
        bundle: bool,
        #[arg(long, requires = "bundle")]
        force: bool,
    }

    /// If this test fails, clap enforces `requires`, and the function is no longer needed for that
    /// case.
    #[test]
    fn clap_drops_requires_on_a_conflict() {
        assert!(Args::try_parse_from(["x", "--force"]).is_err());
        let args = Args::try_parse_from(["x", "--new", "--force"]).unwrap();
        let flag = Ineffective {
            flag: "--force",
            given: args.force,
            ineffective: !args.bundle,
            reason: "without --bundle",
        };
        let error = reject_ineffective([flag]).unwrap_err().to_string();
        assert_eq!(error, "--force has no effect without --bundle");
        assert!(args.new && reject_ineffective([Ineffective { given: false, ..flag }]).is_ok());
    }

    #[test]
    fn a_flag_is_accepted_only_with_its_actions() {
        let flags = |given| {
            let both =
                [("--deep", &["copy", "list"][..], None), ("--pid", &["list"], Some("without --list"))];
            both.map(|(flag, on, reason)| Effect { flag, given, on, reason })
        };
        let outcome = |action: &'static str, given| {
            reject_without_effect(action, &format!("--{action}"), flags(given)).map_err(|e| e.to_string())
        };
        assert_eq!(outcome("list", true), Ok(()));
        assert_eq!(outcome("copy", true), Err("--pid has no effect without --list".into()));
        assert_eq!(outcome("check", true), Err("--deep has no effect with --check".into()));
        assert_eq!(outcome("check", false), Ok(()));
    }
}
