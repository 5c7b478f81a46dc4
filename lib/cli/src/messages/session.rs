//! The messages of one run, printed on standard error as `tool: error: OBJECT: CAUSE`.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use super::display::{self, Escaped, without_error_numbers};
use super::progress::{Progress, When};

/// Prints the messages and the progress of a run. Control characters in all messages are escaped.
pub struct Session {
    tool: String,
    verbose: u8,
    quiet: bool,
    color: bool,
    warnings: AtomicU64,
    progress: Progress,
}

impl Session {
    pub(crate) fn new(tool: String, verbose: u8, quiet: bool, progress: When) -> Session {
        let color = display::colored(std::io::stderr().is_terminal());
        let progress = Progress::new(&tool, progress, quiet);
        Session { tool, verbose, quiet, color, warnings: AtomicU64::new(0), progress }
    }

    /// Returns the name of the tool, which precedes every message.
    pub fn tool(&self) -> &str {
        &self.tool
    }

    /// Returns whether only errors are printed.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Prints `tool: error: …`.
    pub fn error(&self, text: impl fmt::Display) {
        self.line("error", "31", &text);
    }

    /// Prints `tool: warning: …` unless `--quiet` is given, and counts the warning.
    pub fn warn(&self, text: impl fmt::Display) {
        self.warnings.fetch_add(1, Ordering::Relaxed);
        if !self.quiet {
            self.line("warning", "33", &text);
        }
    }

    /// Returns the number of warnings, including the warnings that `--quiet` suppressed.
    pub fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Relaxed)
    }

    /// Prints `tool: …` if `-v` is given.
    pub fn note(&self, text: impl fmt::Display) {
        if self.verbose >= 1 {
            self.put(&format!("{}: {}", self.tool, Escaped(&text)));
        }
    }

    /// Prints `tool: …` if `-vv` is given. Use this function for messages about single entries.
    pub fn detail(&self, text: impl fmt::Display) {
        if self.verbose >= 2 {
            self.put(&format!("{}: {}", self.tool, Escaped(&text)));
        }
    }

    /// Prints `tool: warning: …` and a `hint:` line below it, unless `--quiet` is given, and counts
    /// the warning.
    pub fn warn_with_hint(&self, text: impl fmt::Display, hint: impl fmt::Display) {
        self.warn(text);
        if !self.quiet {
            self.hint(hint);
        }
    }

    /// Prints a `hint:` line: what the user can do, if possible as a command.
    pub fn hint(&self, text: impl fmt::Display) {
        self.put(&format!("hint: {}", Escaped(&text)));
    }

    /// Starts a stage of a long run, such as "packing". `total` is the number of bytes that the
    /// stage will move through [`Counted`](crate::Counted), if it is known. The first stage starts
    /// the progress display; call this function before other threads are started.
    pub fn stage(&self, what: impl fmt::Display, total: Option<u64>) {
        self.progress.stage(&Escaped(&what).to_string(), total);
    }

    /// Subtracts `bytes` from the total of the stage. Use this function for bytes that were
    /// announced but need not be moved, such as holes.
    pub fn reduce_total(&self, bytes: u64) {
        self.progress.reduce_total(bytes);
    }

    /// Ends the stages and their progress display. Call this function before printing to standard
    /// output, which may be the same terminal.
    pub fn end_stages(&self) {
        self.progress.end();
    }

    fn line(&self, kind: &str, color: &str, text: &dyn fmt::Display) {
        let text = &without_error_numbers(text);
        if self.color {
            self.put(&format!("{}: \x1b[{color}m{kind}:\x1b[0m {}", self.tool, Escaped(text)));
        } else {
            self.put(&format!("{}: {kind}: {}", self.tool, Escaped(text)));
        }
    }

    fn put(&self, line: &str) {
        self.progress.above(|| print_line(line));
    }

    pub(crate) fn close(&self) {
        self.progress.end();
        let _ = std::io::stderr().flush();
    }
}

/// Prints a line on standard error by one call of write(2). The tools of a pipeline share standard
/// error, and a second call could follow the output of another tool.
pub(crate) fn print_line(line: &str) {
    // If standard error is closed, there is nowhere to report the error.
    let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}
