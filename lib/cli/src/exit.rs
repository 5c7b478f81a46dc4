//! From `main` to the exit status: parse, run, report.

use std::ffi::OsString;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Command, FromArgMatches, Parser};

use crate::args::Common;
use crate::complete;
use crate::message::Session;
use crate::output::ReaderGone;
use crate::producer::Producer;
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
pub fn run<A: Parser>(job: Job<A>) -> ExitCode {
    run_with(job, A::command, |_| ())
}

/// As [`run`], where the shells complete another command line than is parsed: one with verbs that are parsed by themselves.
pub fn run_completed<A: Parser>(job: Job<A>, completed: fn() -> Command) -> ExitCode {
    run_with(job, completed, |_| ())
}

/// As [`run`], for a tool that may be a producer in a pipe: if it fails, it records that in its stream.
pub fn run_producer<A: Parser>(job: Job<A>, producer: &Producer) -> ExitCode {
    run_with(job, A::command, |reason| {
        let args: Vec<OsString> = std::env::args_os().skip(1).collect();
        producer.failed(&A::command(), &args, reason);
    })
}

type Job<A> = fn(A, &Session) -> anyhow::Result<Exit>;

fn run_with<A: Parser>(job: Job<A>, completed: fn() -> Command, failed: impl Fn(&str)) -> ExitCode {
    let tool = A::command().get_name().to_owned();
    report_panics(&tool);
    signal::large_files_are_errors();
    if let Some(shell) = complete::asked() {
        return complete::write(&completed(), shell);
    }
    let (args, common, progress) = match parse::<A>() {
        Ok(parsed) => parsed,
        Err(e) => return refuse(&tool, &e, failed),
    };
    let session = Session::new(tool, &common, progress);
    let exit = match catch_unwind(AssertUnwindSafe(|| job(args, &session))) {
        Ok(Ok(exit)) => exit,
        Ok(Err(e)) => {
            let exit = report(&session, &e);
            failed(&format!("{e:#}"));
            exit
        }
        Err(panic) => {
            failed("internal error");
            resume_unwind(panic)
        }
    };
    session.close();
    exit.into()
}

/// Prints what clap says of the command line: an error, or what --help and --version print, with status 0.
fn refuse(tool: &str, e: &clap::Error, failed: impl Fn(&str)) -> ExitCode {
    let status = if e.use_stderr() { Exit::Usage } else { Exit::Done };
    // The tools of a pipe share its standard error: each names itself.
    if e.use_stderr() && e.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        eprint!("{tool}: ");
    }
    let printed = e.print();
    if e.use_stderr() {
        failed(&summary(&e.to_string()));
    }
    match printed {
        Ok(()) => status.into(),
        Err(_) => Exit::Failed.into(),
    }
}

/// The first paragraph of an error of clap, on one line: what follows are tips and the usage.
fn summary(text: &str) -> String {
    let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
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
    } else if error.chain().any(is_out_of_descriptors) {
        session.hint("allow more open files: ulimit -n 1024");
    }
}

fn is_out_of_descriptors(e: &(dyn std::error::Error + 'static)) -> bool {
    e.downcast_ref::<std::io::Error>().is_some_and(|e| e.raw_os_error() == Some(libc::EMFILE))
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
