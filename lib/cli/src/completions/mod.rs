//! Shell completions: `TOOL --completions bash|zsh|fish` prints a script, generated from the same
//! definition as `--help`.
//!
//! The flag is no argument of clap: `make install` and packages use it, and `--help` describes it
//! below the arguments.

use std::io::Write;
use std::process::ExitCode;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgGroup, Command, Id, ValueEnum, ValueHint};
use clap_complete::aot::{Shell, generate};

use crate::exit::Exit;

/// Returns the shell if the command line is `--completions SHELL`. If SHELL is not a known shell,
/// returns its text as the error.
///
/// The command line is inspected before clap parses it, because clap would require the operands of
/// the tool.
pub fn requested() -> Option<Result<Shell, String>> {
    let mut args = std::env::args_os().skip(1);
    let first = args.next()?;
    let shell = match first.to_str()?.strip_prefix("--completions")? {
        "" => args.next().unwrap_or_default().to_string_lossy().into_owned(),
        value => value.strip_prefix('=')?.to_owned(),
    };
    Some(match args.next() {
        None => Shell::from_str(&shell, false).map_err(|_| shell),
        Some(extra) => Err(format!("{shell} {}", extra.to_string_lossy())),
    })
}

/// Prints the completion script of `command` for `shell`. If `shell` is an error, lists the known
/// shells instead.
pub fn write(command: &Command, shell: Result<Shell, String>) -> ExitCode {
    let name = command.get_name().to_owned();
    let shell = match shell {
        Ok(shell) => shell,
        Err(found) => {
            let known: Vec<PossibleValue> =
                Shell::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect();
            let known: Vec<&str> = known.iter().map(PossibleValue::get_name).collect();
            eprintln!(
                "{name}: error: --completions: expected a shell ({}), found {found:?}",
                known.join(", ")
            );
            return Exit::Usage.into();
        }
    };
    let mut command = with_hints(visible(command), shell);
    let mut script = Vec::new();
    generate(shell, &mut command, name.clone(), &mut script);
    let script = String::from_utf8_lossy(&script);
    let script = match shell {
        Shell::Bash => bash(&fix_verb_names(&script, &name), &name),
        Shell::Zsh if name == WITH_VOLUMES => zsh(&script),
        Shell::Fish => fish(&script, &name, &command),
        _ => script.into_owned(),
    };
    match std::io::stdout().write_all(script.as_bytes()) {
        Ok(()) => Exit::Done.into(),
        Err(_) => Exit::Failed.into(),
    }
}

/// Corrects the names of verbs in a bash script. For a program whose name has a hyphen,
/// clap_complete 4.6 defines the options of a verb under `a__subcmd__b__subcmd__verb`, but looks
/// them up under `a__b__subcmd__verb`.
fn fix_verb_names(script: &str, name: &str) -> String {
    script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
}

/// The tool whose `--volume` takes the name of a volume in an archive.
const WITH_VOLUMES: &str = "ckpt-unpack";

/// Returns a bash script that adds no space after `ns:` or `NAME=`, and offers volumes.
fn bash(script: &str, name: &str) -> String {
    let function = format!("_{}", name.replace('-', "__"));
    let (volumes, offered) = match name {
        WITH_VOLUMES => (
            include_str!("volumes.bash"),
            format!("\n    [[ \"$3\" == --volume ]] && {function}_volumes \"$2\""),
        ),
        _ => ("", String::new()),
    };
    let script =
        script.replace(&format!("complete -F {function} "), &format!("complete -F {function}_complete "));
    format!(
        r#"{script}{volumes}
{function}_complete() {{
    {function} "$@"{offered}
    [[ "${{BASH_VERSINFO[0]}}" -ge 4 && "${{COMPREPLY[0]}}" == *[:=] ]] && compopt -o nospace
    return 0
}}
"#
    )
}

/// Returns the zsh script of ckpt-unpack with a function that offers volumes.
fn zsh(script: &str) -> String {
    const START: &str = "autoload -U is-at-least\n";
    let with_function = format!("{START}{}", include_str!("volumes.zsh"));
    script
        .replacen(START, &with_function, 1)
        .replace(":NAME=DIR:_default'", ":NAME=DIR:_ckpt-unpack_volumes'")
}

/// Returns a fish script that offers values of the options before a verb, and volumes.
///
/// clap_complete 4.6 looks for a verb with argparse, which fails if the last option still lacks its
/// value, and takes the next word as the value of an option whose value is optional.
fn fish(script: &str, name: &str, command: &Command) -> String {
    let is_optional = |word: &str| {
        let long = word.strip_suffix('=').map(|word| word.rsplit('/').next().unwrap_or_default());
        command.get_arguments().any(|arg| arg.is_require_equals_set() && arg.get_long() == long)
    };
    let mut result = String::new();
    for line in script.split_inclusive('\n') {
        if line.starts_with("    string join ") {
            let words = line.trim_end().split(' ');
            let words = words.map(|word| if is_optional(word) { format!("{word}\\?") } else { word.into() });
            result.push_str(&words.collect::<Vec<_>>().join(" "));
            result.push('\n');
        } else if line.starts_with("    argparse ") {
            result.push_str(&format!("{line}    or begin\n        set -e cmd[-1]\n    {line}    end\n"));
        } else {
            result.push_str(line);
        }
    }
    if name == WITH_VOLUMES {
        result.push_str(include_str!("volumes.fish"));
    }
    result
}

/// Makes the completions offer `values` for a flag whose parser accepts more than a list of words.
/// Only for the command line of [`Tool::completed`](crate::Tool::completed): clap would accept no
/// other value.
pub fn offer(arg: Arg, values: impl IntoIterator<Item = impl AsRef<str>>) -> Arg {
    let values: Vec<&'static str> = values.into_iter().map(|value| leak(value.as_ref())).collect();
    arg.value_parser(PossibleValuesParser::new(values))
}

/// Returns the last line of `--help`, after the examples.
pub fn help(command: &Command) -> Option<String> {
    let text = command.get_after_help()?;
    let name = command.get_name();
    Some(format!("{text}\n{name} --completions bash|zsh|fish prints completions for a shell."))
}

/// Returns the command line without hidden arguments and without the words after `--`, which belong
/// to another program. If it contained those words, zsh would complete the first operand of the
/// tool as if it were a word of the other program.
fn visible(command: &Command) -> Command {
    let (kept, rest): (Vec<&Arg>, Vec<&Arg>) =
        command.get_arguments().partition(|arg| !arg.is_hide_set() && !arg.is_last_set());
    let left_out = |id: &&Id| rest.iter().any(|arg| arg.get_id() == *id);
    let groups = command.get_groups().map(|group| {
        let args: Vec<&Id> = group.get_args().filter(|id| !left_out(id)).collect();
        ArgGroup::new(group.get_id()).args(args).multiple(true)
    });
    let mut visible = Command::new(leak(command.get_name()))
        .disable_help_subcommand(command.is_disable_help_subcommand_set())
        .args(kept)
        .groups(groups)
        .subcommands(command.get_subcommands().map(self::visible));
    if let Some(about) = command.get_about() {
        visible = visible.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        visible = visible.version(leak(version));
    }
    visible
}

/// Leaks `text` to obtain the `&'static str` that clap requires for names. The leak does no harm,
/// because the process exits after it prints the script.
fn leak(text: &str) -> &'static str {
    text.to_owned().leak()
}

/// Sets for each argument whether the shell completes its value as a file or as a directory,
/// according to the name of the value in `--help`.
fn with_hints(command: Command, shell: Shell) -> Command {
    command.mut_args(|arg| with_hint(arg, shell)).mut_subcommands(|verb| with_hints(verb, shell))
}

fn with_hint(arg: Arg, shell: Shell) -> Arg {
    let Some(names) = arg.get_value_names() else { return arg };
    let hint = match names.first().map(|name| name.as_str()) {
        Some("DIR" | "DIR[:DIR...]" | "DIR|NAME=DIR" | "MOUNTPOINT") => ValueHint::DirPath,
        Some("FILE" | "ARCHIVE" | "MEMBERS|-") => ValueHint::FilePath,
        _ => arg.get_value_hint(),
    };
    // clap_complete 4.6 does not escape NAME in zsh's `:NAME:ACTION`, where a colon would end NAME.
    let escape = |name: &str| leak(&name.replace(':', "\\:"));
    match names {
        [name] if shell == Shell::Zsh && name.contains(':') => {
            let name = escape(name);
            arg.value_hint(hint).value_name(name)
        }
        _ => arg.value_hint(hint),
    }
}
