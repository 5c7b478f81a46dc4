//! Covers the path from `main` to the exit status: parses the command line, runs the job and
//! reports its error.

use std::error::Error;
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Command, FromArgMatches, Parser};

use crate::args::Common;
use crate::completions;
use crate::error::{Hint, is_usage};
use crate::exit::Exit;
use crate::files::output::ReaderGone;
use crate::messages::progress::When;
use crate::messages::session::Session;
use crate::producer::Producer;
use crate::signal;
use crate::usage_error::{Habit, explain};

/// Parses the command line, runs `job`, reports its error and returns the exit status.
///
/// If the reader of standard output exits early, the process dies of SIGPIPE, as tar and cat do:
/// with status 0, `pipefail` would treat an incomplete archive as complete.
///
/// This function also handles the flags that all tools share: it reads [`Common`] and
/// [`Progress`](crate::args::Progress), if `A` flattens them.
pub fn run<A: Parser>(job: Job<A>) -> ExitCode {
    Tool::new(job).run()
}

/// A tool, for [`Tool::run`].
pub struct Tool<A> {
    job: Job<A>,
    completed: fn() -> Command,
    producer: Option<Producer>,
    habits: &'static [Habit],
}

type Job<A> = fn(A, &Session) -> anyhow::Result<Exit>;

impl<A: Parser> Tool<A> {
    /// Creates a tool that runs `job`.
    pub fn new(job: Job<A>) -> Tool<A> {
        Tool { job, completed: A::command, producer: None, habits: &[] }
    }

    /// Generates the shell completions from the command line `completed`. Use this function for a
    /// tool that parses its verbs separately, or whose parsers do not list the values they accept.
    pub fn completed(self, completed: fn() -> Command) -> Tool<A> {
        Tool { completed, ..self }
    }

    /// Records a failure in the tool's member stream, if it writes one.
    pub fn producer(self, producer: Producer) -> Tool<A> {
        Tool { producer: Some(producer), ..self }
    }

    /// Answers words that other programs have.
    pub fn habits(self, habits: &'static [Habit]) -> Tool<A> {
        Tool { habits, ..self }
    }

    /// Runs the tool like [`run()`].
    pub fn run(self) -> ExitCode {
        let Tool { job, completed, producer, habits } = self;
        let failed = |reason: &str| {
            if let Some(producer) = &producer {
                let args: Vec<OsString> = std::env::args_os().skip(1).collect();
                producer.failed(&A::command(), &args, reason);
            }
        };
        run_with(job, completed, habits, failed)
    }
}

fn run_with<A: Parser>(
    job: Job<A>,
    completed: fn() -> Command,
    habits: &[Habit],
    failed: impl Fn(&str),
) -> ExitCode {
    let tool = A::command().get_name().to_owned();
    report_panics(&tool);
    signal::large_files_are_errors();
    if let Some(shell) = completions::requested() {
        return completions::write(&completed(), shell);
    }
    let (args, common, progress) = match parse::<A>() {
        Ok(parsed) => parsed,
        Err(e) => {
            let args: Vec<OsString> = std::env::args_os().collect();
            return print_clap_error(&tool, &explain(e, A::command(), &args, habits), failed);
        }
    };
    let session = Session::new(tool, common.verbose, common.quiet, progress);
    let result = catch_unwind(AssertUnwindSafe(|| job(args, &session)));
    signal::wait_for_cleanup();
    let exit = match result {
        Ok(Ok(exit)) => exit,
        Ok(Err(e)) => {
            let exit = exit_of(&session, &e);
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

/// Prints the text that clap returned as an error: a message about an invalid command line, or the
/// output of --help and --version, which exit with status 0.
fn print_clap_error(tool: &str, e: &clap::Error, failed: impl Fn(&str)) -> ExitCode {
    let status = if e.use_stderr() { Exit::Usage } else { Exit::Done };
    // The tools of a pipeline share one standard error, so the message must name its tool.
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

/// Returns the first paragraph of clap's message as one line, without the tips and the usage that
/// follow it.
fn summary(text: &str) -> String {
    let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

fn parse<A: Parser>() -> Result<(A, Common, When), clap::Error> {
    let mut command = A::command();
    if let Some(help) = completions::help(&command) {
        command = command.after_long_help(help);
    }
    let matches = command.try_get_matches()?;
    let common = Common::from_arg_matches(&matches)?;
    // A tool without long runs does not have --progress.
    let progress = matches.try_get_one("progress").ok().flatten().copied().unwrap_or(When::Never);
    let args = A::from_arg_matches(&matches).map_err(|e| e.format(&mut A::command()))?;
    Ok((args, common, progress))
}

/// Reports the job's error and returns the exit status.
fn exit_of(session: &Session, error: &anyhow::Error) -> Exit {
    if error.chain().any(is_reader_gone) {
        session.close();
        signal::die_of_sigpipe();
    }
    report(session, error);
    if is_usage(error) { Exit::Usage } else { Exit::Failed }
}

/// Prints an error and its hint, if any.
pub fn report(session: &Session, error: &anyhow::Error) {
    session.error(format_args!("{error:#}"));
    if let Some(h) = error.chain().find_map(|e| e.downcast_ref::<Hint>()) {
        session.hint(&h.hint);
    } else if error.chain().any(is_out_of_descriptors) {
        session.hint("allow more open files: ulimit -n 1024");
    }
}

fn is_out_of_descriptors(e: &(dyn Error + 'static)) -> bool {
    e.downcast_ref::<std::io::Error>().is_some_and(|e| e.raw_os_error() == Some(libc::EMFILE))
}

fn is_reader_gone(e: &(dyn Error + 'static)) -> bool {
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
