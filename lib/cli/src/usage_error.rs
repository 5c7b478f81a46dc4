//! Adds to clap's messages about invalid command lines what the user can type instead, and removes
//! text that does not help.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::messages::display::escape;

/// A word that users type because another program has it, such as `--import` of podman, and what to
/// type instead.
#[derive(Clone, Copy, Debug)]
pub struct Habit {
    /// The verb of this tool, or `""` for every command line.
    pub verb: &'static str,
    /// The words: flags such as `-C` or `--import`, verbs, or [`Habit::OPERAND`].
    pub typed: &'static [&'static str],
    /// What to type instead.
    pub instead: &'static str,
}

impl Habit {
    /// Matches any operand that the verb does not take.
    pub const OPERAND: &'static str = "OPERAND";
}

/// Returns `error` with tips. `args` is the command line that clap rejected, with the name of the
/// program, and `command` the definition.
pub(crate) fn explain(mut error: Error, command: Command, args: &[OsString], habits: &[Habit]) -> Error {
    // With its errors ignored, clap parses as much as it understands.
    let mut command = command.ignore_errors(true);
    let Ok(matches) = command.try_get_matches_from_mut(args) else { return error };
    let line = Line::new(&command, &matches, args, habits);
    let tips = match error.kind() {
        ErrorKind::UnknownArgument => line.of_unknown_argument(&mut error),
        ErrorKind::InvalidSubcommand => {
            let word = text(&error, ContextKind::InvalidSubcommand);
            let tip = line.habit(&word).or_else(|| line.value_of_switch(&word));
            tip.or_else(|| line.flag_named(&word)).into_iter().collect()
        }
        ErrorKind::ValueValidation => line.pair_in_two_words(&error).into_iter().collect(),
        ErrorKind::ArgumentConflict => {
            line.keep_given_conflicts(&mut error);
            line.habits_of_all_words()
        }
        ErrorKind::MissingRequiredArgument => {
            let mut tips = line.habits_of_all_words();
            tips.extend(line.words().find_map(|word| line.flag_named(&word.to_string_lossy())));
            tips
        }
        _ => Vec::new(),
    };
    if !tips.is_empty() {
        let tips = tips.into_iter().map(StyledStr::from).collect();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    error
}

/// A command line, as far as clap could parse it.
struct Line<'a> {
    /// The definition of the given verb, or of the tool.
    command: &'a Command,
    matches: &'a ArgMatches,
    /// The words after the name of the program.
    args: &'a [OsString],
    habits: &'a [Habit],
    verb: &'a str,
}

impl<'a> Line<'a> {
    fn new(
        mut command: &'a Command,
        mut matches: &'a ArgMatches,
        args: &'a [OsString],
        habits: &'a [Habit],
    ) -> Line<'a> {
        let mut verb = "";
        while let Some((name, inner)) = matches.subcommand() {
            let Some(found) = command.find_subcommand(name) else { break };
            (command, matches, verb) = (found, inner, name);
        }
        Line { command, matches, args: args.get(1..).unwrap_or_default(), habits, verb }
    }

    /// Returns the words before `--`.
    fn words(&self) -> impl Iterator<Item = &'a OsString> + use<'a> {
        self.args.iter().take_while(|arg| *arg != "--")
    }

    fn habit(&self, word: &str) -> Option<String> {
        let found = |habit: &&Habit| {
            (habit.verb.is_empty() || habit.verb == self.verb) && habit.typed.contains(&word)
        };
        self.habits.iter().find(found).map(|habit| habit.instead.to_owned())
    }

    fn habits_of_all_words(&self) -> Vec<String> {
        self.words().filter_map(|word| self.habit(&word.to_string_lossy())).take(1).collect()
    }

    /// Returns a tip if `word` is the name of a flag without its hyphens.
    fn flag_named(&self, word: &str) -> Option<String> {
        let named = |arg: &&Arg| !arg.is_hide_set() && arg.get_long() == Some(word);
        self.command.get_arguments().find(named).map(|_| format!("'--{word}' exists"))
    }

    fn of_unknown_argument(&self, error: &mut Error) -> Vec<String> {
        let word = text(error, ContextKind::InvalidArg);
        if word.starts_with('-') {
            // Almost no file is named like a flag, so clap's tip "to pass it as a value" misleads.
            let keeps = matches!(error.get(ContextKind::Suggested), Some(ContextValue::StyledStrs(tips))
                if tips.iter().any(|tip| tip.to_string().ends_with("exists")));
            if !keeps {
                error.remove(ContextKind::Suggested);
            }
            let habit = self.habit(&word);
            if habit.is_some() {
                error.remove(ContextKind::SuggestedArg);
            }
            return habit.into_iter().collect();
        }
        let tip = self.value_of_switch(&word).or_else(|| self.of_operand(&word));
        tip.into_iter().collect()
    }

    /// Returns a tip if `word` was meant as the value of the switch before it, as in `--tty false`.
    fn value_of_switch(&self, word: &str) -> Option<String> {
        if word.starts_with('=') {
            return Some("write NAME=VALUE without spaces".into());
        }
        let at = self.args.iter().position(|arg| arg == OsStr::new(word))?;
        let before = self.args.get(at.checked_sub(1)?)?.to_str()?;
        let is_switch = |arg: &&Arg| {
            arg.is_require_equals_set()
                && arg.get_long().is_some()
                && arg.get_long() == before.strip_prefix("--")
        };
        let switch = self.command.get_arguments().find(is_switch)?.get_long()?;
        Some(format!("write --{switch}={}", escape(word)))
    }

    /// Returns a tip if the name and the value of a pair are two words, as in `--volume data /d`.
    fn pair_in_two_words(&self, error: &Error) -> Option<String> {
        let declared = text(error, ContextKind::InvalidArg);
        let name = text(error, ContextKind::InvalidValue);
        let (flag, pair) = declared.split_once(' ')?;
        if !pair.contains('=') || name.is_empty() || name.contains(['=', ':', '/']) {
            return None;
        }
        let is_here = |words: &&[OsString]| words[0] == OsStr::new(flag) && words[1] == OsStr::new(&name);
        let value = self.args.windows(3).find(is_here)?[2].to_str()?;
        (!value.starts_with('-')).then(|| format!("write {flag} {}={}", escape(&name), escape(value)))
    }

    /// Returns a tip for a word that is neither a flag nor the value of a flag.
    fn of_operand(&self, word: &str) -> Option<String> {
        let operand = self.command.get_positionals().find(|arg| !arg.is_last_set());
        let first = operand.and_then(|arg| self.matches.get_raw(arg.get_id().as_str())?.next());
        let first = first.unwrap_or_default().to_string_lossy();
        let tip = self.value_of_switch(&first).or_else(|| self.flag_named(&first));
        if let Some(tip) = tip.or_else(|| self.flag_named(word)) {
            return Some(tip);
        }
        let pairs = |arg: &&Arg| value_name(arg).is_some_and(|name| name.starts_with("NAME="));
        if let (true, Some(flag)) = (first.contains('='), self.command.get_opts().find(pairs)) {
            return Some(format!("write --{} {}", flag.get_long()?, escape(first)));
        }
        if let Some(tip) = self.habit(Habit::OPERAND) {
            return Some(tip);
        }
        if let Some(name) = operand.and_then(value_name) {
            return Some(format!("give one {name} at a time, and quote a name that contains spaces"));
        }
        self.command.get_positionals().find(|arg| arg.is_last_set())?;
        if Path::new(word).is_file() && self.flag_named("input").is_some() {
            return Some(format!("write --input {}", escape(word)));
        }
        let more = if self.args.last().is_some_and(|last| last == OsStr::new(word)) { "" } else { " ..." };
        Some(format!("put -- before the command: -- {}{more}", escape(word)))
    }

    /// Limits the list of conflicting arguments to those that are on the command line. Without
    /// this, clap lists all arguments of a group.
    fn keep_given_conflicts(&self, error: &mut Error) {
        let Some(ContextValue::Strings(listed)) = error.get(ContextKind::PriorArg) else { return };
        let is_given = |name: &&String| {
            let arg = self.command.get_arguments().find(|arg| arg.to_string() == **name);
            arg.is_some_and(|arg| {
                self.matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
            })
        };
        let mut given: Vec<String> = listed.iter().filter(is_given).cloned().collect();
        match given.len() {
            0 => {}
            1 => drop(error.insert(ContextKind::PriorArg, ContextValue::String(given.remove(0)))),
            _ => drop(error.insert(ContextKind::PriorArg, ContextValue::Strings(given))),
        }
    }
}

/// Returns the name of the first value in the help.
fn value_name(arg: &Arg) -> Option<&str> {
    arg.get_value_names()?.first().map(|name| name.as_str())
}

/// Returns a text of clap's error, or an empty text.
fn text(error: &Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use clap::ArgGroup;

    use super::*;

    fn command() -> Command {
        let flag = |name: &'static str| Arg::new(name).long(name);
        let tty = flag("tty").num_args(0..=1).require_equals(true).default_missing_value("true");
        let process =
            ArgGroup::new("process").args(["user", "umask"]).multiple(true).conflicts_with("restore");
        let show =
            Command::new("show").arg(Arg::new("ARCHIVE").value_name("ARCHIVE")).arg(flag("json").num_args(0));
        Command::new("x")
            .args([tty, flag("restore").num_args(0), flag("user").short('u'), flag("umask")])
            .group(process)
            .subcommands([Command::new("list").arg(flag("rootfs")), show])
    }

    const HABITS: [Habit; 2] = [
        Habit { verb: "", typed: &["--import", "-C"], instead: "x show ARCHIVE" },
        Habit { verb: "list", typed: &[Habit::OPERAND], instead: "--rootfs DIR" },
    ];

    fn message(line: &str) -> String {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let error = command().try_get_matches_from(&args).unwrap_err();
        explain(error, command(), &args, &HABITS).to_string()
    }

    #[test]
    fn tips_say_what_to_type_instead() {
        for (line, tip) in [
            ("x --import a", "tip: x show ARCHIVE"),
            ("x show -C a", "tip: x show ARCHIVE"),
            ("x list a", "tip: --rootfs DIR"),
            ("x show a b", "tip: give one ARCHIVE at a time"),
            ("x show json b", "tip: '--json' exists"),
            ("x --tty false", "tip: write --tty=false"),
            ("x --user a = b", "tip: write NAME=VALUE without spaces"),
            ("x restore", "tip: '--restore' exists"),
        ] {
            let message = message(line);
            assert!(message.contains(tip), "{line}: {message}");
        }
    }

    #[test]
    fn an_unknown_flag_is_not_proposed_as_a_value() {
        assert!(!message("x show -z").contains("as a value"), "{}", message("x show -z"));
    }

    #[test]
    fn a_conflict_names_only_the_arguments_that_were_given() {
        let message = message("x --restore -u 0");
        assert!(message.contains("'--restore'") && message.contains("'--user"), "{message}");
        assert!(!message.contains("--umask"), "{message}");
    }
}
