//! From `main` to the exit status: parse, run, report.

use std::fmt;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

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

/// The argument type of a tool: clap's parser that also holds the common flags.
pub trait Arguments: Parser {
    /// The flags every tool has.
    fn common(&self) -> &Common;

    /// What the shells complete: what is parsed here, with verbs that are parsed by themselves.
    fn completed() -> clap::Command {
        Self::command()
    }

    /// When progress is shown; a tool without long runs has no flag for it.
    fn progress(&self) -> When {
        When::Never
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
pub fn run<A: Arguments>(job: fn(A, &Session) -> anyhow::Result<Exit>) -> ExitCode {
    let tool = A::command().get_name().to_owned();
    report_panics(&tool);
    signal::large_files_are_errors();
    if let Some(shell) = complete::asked() {
        return complete::write::<A>(shell);
    }
    let args = match A::try_parse() {
        Ok(args) => args,
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
    let session = Session::new(tool, args.common(), args.progress());
    let exit = match job(args, &session) {
        Ok(exit) => exit,
        Err(e) => report(&session, &e),
    };
    session.close();
    exit.into()
}

fn report(session: &Session, error: &anyhow::Error) -> Exit {
    if error.chain().any(is_reader_gone) {
        session.close();
        signal::die_of_sigpipe();
    }
    session.error(format_args!("{error:#}"));
    if let Some(h) = error.chain().find_map(|e| e.downcast_ref::<Hint>()) {
        session.hint(&h.hint);
    }
    let usage = |e: &(dyn std::error::Error + 'static)| e.is::<Usage>();
    let hinted_usage = |e: &(dyn std::error::Error + 'static)| {
        e.downcast_ref::<Hint>().is_some_and(|h| h.error.is::<Usage>())
    };
    if error.chain().any(|e| usage(e) || hinted_usage(e)) { Exit::Usage } else { Exit::Failed }
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
