//! From `main` to the exit status: parse, run, report.

use std::fmt;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Command, FromArgMatches, Parser};

use crate::args::Common;
use crate::complete;
use crate::message::Session;
use crate::output::ReaderGone;
use crate::progress::When;
use crate::signal;

/// The exit statuses users script against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All done.
    Done = 0,
    /// Failed; nothing half-written stands under the final name.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// Complete, but some input changed while it was read; each such object was named.
    Changed = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// A mistake on the command line that clap cannot see (flags that need each other): status 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A [`Usage`] error with this text.
pub fn usage(text: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Usage(text.into()))
}

/// An error together with the command that helps, printed as a `hint:` line below it.
#[derive(Debug)]
pub struct Hint {
    /// What to do, best a command or flag.
    pub hint: String,
    error: anyhow::Error,
}

impl Hint {
    /// Attaches `hint` to `error`.
    pub fn on(error: impl Into<anyhow::Error>, hint: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Hint { hint: hint.into(), error: error.into() })
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl std::error::Error for Hint {}

/// Parses the command line, runs `job`, reports its error and returns the exit status.
///
/// A reader of standard output that goes away ends the process by SIGPIPE, as it ends tar and cat:
/// an exit status of 0 would let `pipefail` take an incomplete archive for a complete one.
///
/// The flags that all tools have are for this function: it asks for those of [`Common`](crate::args::Common) and
/// [`Progress`](crate::args::Progress) that `A` has flattened.
pub fn run<A: Parser>(job: fn(A, &Session) -> anyhow::Result<Exit>) -> ExitCode {
    run_completed(job, A::command)
}

/// As [`run`], where the shells complete another command line than is parsed: one with verbs that are parsed by themselves.
pub fn run_completed<A: Parser>(
    job: fn(A, &Session) -> anyhow::Result<Exit>,
    completed: fn() -> Command,
) -> ExitCode {
    let tool = A::command().get_name().to_owned();
    report_panics(&tool);
    signal::large_files_are_errors();
    if let Some(shell) = complete::asked() {
        return complete::write(&completed(), shell);
    }
    let (args, common, progress) = match parse::<A>() {
        Ok(parsed) => parsed,
        Err(e) => {
            // --help and --version arrive here too and go to standard output with status 0.
            let status = if e.use_stderr() { Exit::Usage } else { Exit::Done };
            // Of the tools in a pipe it is the one that says its name.
            if e.use_stderr() && e.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
                eprint!("{tool}: ");
            }
            return match e.print() {
                Ok(()) => status.into(),
                Err(_) => Exit::Failed.into(),
            };
        }
    };
    let session = Session::new(tool, &common, progress);
    let exit = match job(args, &session) {
        Ok(exit) => exit,
        Err(e) => report(&session, &e),
    };
    session.close();
    exit.into()
}

fn parse<A: Parser>() -> Result<(A, Common, When), clap::Error> {
    let matches = A::command().try_get_matches()?;
    let common = Common::from_arg_matches(&matches)?;
    // A tool without long runs has no flag for it.
    let progress = matches.try_get_one("progress").ok().flatten().copied().unwrap_or(When::Never);
    let args = A::from_arg_matches(&matches).map_err(|e| e.format(&mut A::command()))?;
    Ok((args, common, progress))
}

fn report(session: &Session, error: &anyhow::Error) -> Exit {
    if error.chain().any(is_reader_gone) {
        session.close();
        signal::die_of_sigpipe();
    }
    tell(session, error);
    let usage = |e: &(dyn std::error::Error + 'static)| e.is::<Usage>();
    let hinted_usage = |e: &(dyn std::error::Error + 'static)| {
        e.downcast_ref::<Hint>().is_some_and(|h| h.error.is::<Usage>())
    };
    if error.chain().any(|e| usage(e) || hinted_usage(e)) { Exit::Usage } else { Exit::Failed }
}

/// Prints an error, and what helps where that is known.
pub fn tell(session: &Session, error: &anyhow::Error) {
    session.error(format_args!("{error:#}"));
    if let Some(h) = error.chain().find_map(|e| e.downcast_ref::<Hint>()) {
        session.hint(&h.hint);
    }
}

fn is_reader_gone(e: &(dyn std::error::Error + 'static)) -> bool {
    e.downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
        .is_some_and(|inner| inner.is::<ReaderGone>())
}

fn report_panics(tool: &str) {
    let tool = tool.to_owned();
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        eprintln!("{tool}: internal error (please report): {info}");
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            default(info);
        }
    }));
}
