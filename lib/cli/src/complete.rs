//! Completions: `TOOL --completions bash|zsh|fish` prints the shell's script, made from the same definition as `--help`.
//!
//! The flag is for `make install` and packages; it is not among the options, since no user types it twice.

use std::io::Write;
use std::process::ExitCode;

use clap::builder::PossibleValue;
use clap::{Arg, ArgGroup, Command, Id, ValueEnum, ValueHint};
use clap_complete::aot::{Shell, generate};

use crate::exit::Exit;

/// The shell whose completions the command line asks for: `--completions SHELL` and nothing else.
///
/// It is looked for before clap sees the command line, which would ask for the operands that a tool needs.
pub fn asked() -> Option<Result<Shell, String>> {
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

/// Prints the script of `shell` for `command`, or what could have been asked for.
pub fn write(command: &Command, shell: Result<Shell, String>) -> ExitCode {
    let name = command.get_name().to_owned();
    let shell = match shell {
        Ok(shell) => shell,
        Err(asked) => {
            let known: Vec<PossibleValue> =
                Shell::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect();
            let known: Vec<&str> = known.iter().map(PossibleValue::get_name).collect();
            eprintln!("{name}: error: --completions {asked:?}: one shell is wanted: {}", known.join(", "));
            return Exit::Usage.into();
        }
    };
    let mut command = hinted(offered(command), shell);
    let mut script = Vec::new();
    generate(shell, &mut command, name.clone(), &mut script);
    if shell == Shell::Bash {
        script = verbs_are_found(&script, &name);
    }
    match std::io::stdout().write_all(&script) {
        Ok(()) => Exit::Done.into(),
        Err(_) => Exit::Failed.into(),
    }
}

/// clap_complete (4.6) has two spellings for a verb of a program with a hyphen in its name, `a__b__subcmd__verb` where it looks for
/// the verb's options and `a__subcmd__b__subcmd__verb` where they stand, and so finds none.
fn verbs_are_found(script: &[u8], name: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(script);
    text.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__")).into_bytes()
}

/// The command line without what no help text shows, and without the words behind `--`, which are another program's: zsh would
/// take the first word of all for one of them.
fn offered(command: &Command) -> Command {
    let (kept, rest): (Vec<&Arg>, Vec<&Arg>) =
        command.get_arguments().partition(|arg| !arg.is_hide_set() && !arg.is_last_set());
    let left_out = |id: &&Id| rest.iter().any(|arg| arg.get_id() == *id);
    let groups = command.get_groups().map(|group| {
        let args: Vec<&Id> = group.get_args().filter(|id| !left_out(id)).collect();
        ArgGroup::new(group.get_id()).args(args).multiple(true)
    });
    let mut offered = Command::new(kept_text(command.get_name()))
        .disable_help_subcommand(command.is_disable_help_subcommand_set())
        .args(kept)
        .groups(groups)
        .subcommands(command.get_subcommands().map(self::offered));
    if let Some(about) = command.get_about() {
        offered = offered.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        offered = offered.version(kept_text(version));
    }
    offered
}

/// clap keeps names for ever, and this process ends when the script is printed.
fn kept_text(text: &str) -> &'static str {
    text.to_owned().leak()
}

/// Tells the shell what the names of the values in `--help` tell a person.
fn hinted(command: Command, shell: Shell) -> Command {
    command.mut_args(|arg| hint(arg, shell)).mut_subcommands(|verb| hinted(verb, shell))
}

fn hint(arg: Arg, shell: Shell) -> Arg {
    let Some(names) = arg.get_value_names() else { return arg };
    let hint = match names.first().map(|name| name.as_str()) {
        Some("DIR" | "DIR[:DIR...]" | "DIR|NAME=DIR" | "MOUNTPOINT") => ValueHint::DirPath,
        Some("FILE" | "ARCHIVE" | "MEMBERS|-") => ValueHint::FilePath,
        _ => arg.get_value_hint(),
    };
    // clap_complete (4.6) puts the name as it is into zsh's `:NAME:ACTION`, where a colon would end it.
    let escape = |name: &str| kept_text(&name.replace(':', "\\:"));
    match names {
        [name] if shell == Shell::Zsh && name.contains(':') => {
            let name = escape(name);
            arg.value_hint(hint).value_name(name)
        }
        _ => arg.value_hint(hint),
    }
}
