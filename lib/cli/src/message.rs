//! Everything a user reads on standard error.
//!
//! Form: `tool: error: OBJECT: CAUSE`. Names in messages come from other machines, so control
//! characters are escaped here, for every message, before they reach a terminal.

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::io::{IsTerminal, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::args::Common;
use crate::progress::{Progress, When};

/// What a run says and how much of it: the tool's name, the verbosity, and what was reported so far.
pub struct Session {
    tool: String,
    verbose: u8,
    quiet: bool,
    colour: bool,
    warnings: AtomicU64,
    progress: Progress,
}

impl Session {
    pub(crate) fn new(tool: String, common: &Common, progress: When) -> Session {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            && (std::io::stderr().is_terminal()
                || std::env::var_os("CLICOLOR_FORCE").is_some_and(|v| v != "0"));
        let progress = Progress::new(&tool, progress, common.quiet);
        Session {
            tool,
            verbose: common.verbose,
            quiet: common.quiet,
            colour,
            warnings: AtomicU64::new(0),
            progress,
        }
    }

    /// The tool's name, as it stands before every message.
    pub fn tool(&self) -> &str {
        &self.tool
    }

    /// Whether only errors are told.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Prints `tool: error: …`.
    pub fn error(&self, text: impl fmt::Display) {
        self.line("error", "31", &text);
    }

    /// Prints `tool: warning: …` unless `--quiet`.
    pub fn warn(&self, text: impl fmt::Display) {
        self.warnings.fetch_add(1, Ordering::Relaxed);
        if !self.quiet {
            self.line("warning", "33", &text);
        }
    }

    /// How many warnings there were, printed or not.
    pub fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Relaxed)
    }

    /// Prints `tool: …` with `-v`.
    pub fn note(&self, text: impl fmt::Display) {
        if self.verbose >= 1 {
            self.put(&format!("{}: {}", self.tool, Clean(&text)));
        }
    }

    /// Prints `tool: …` with `-vv`: one line for each entry.
    pub fn detail(&self, text: impl fmt::Display) {
        if self.verbose >= 2 {
            self.put(&format!("{}: {}", self.tool, Clean(&text)));
        }
    }

    /// Prints a `hint:` line: what to try, best as a command.
    pub fn hint(&self, text: impl fmt::Display) {
        self.put(&format!("hint: {}", Clean(&text)));
    }

    /// Begins a stage of a long run, "packing", that moves `total` bytes through [`Counted`](crate::Counted), if that
    /// is known. From the first one on, progress is shown; call it before threads are started.
    pub fn stage(&self, what: impl fmt::Display, total: Option<u64>) {
        self.progress.stage(&Clean(&what).to_string(), total);
    }

    /// Takes off the total of the stage what turned out not to be moved.
    pub fn fewer(&self, bytes: u64) {
        self.progress.fewer(bytes);
    }

    /// Ends what [`stage`](Session::stage) has begun; call it before something is printed that may go to the same terminal.
    pub fn end_stages(&self) {
        self.progress.end();
    }

    fn line(&self, kind: &str, colour: &str, text: &dyn fmt::Display) {
        let text = &plain(text);
        if self.colour {
            self.put(&format!("{}: \x1b[{colour}m{kind}:\x1b[0m {}", self.tool, Clean(text)));
        } else {
            self.put(&format!("{}: {kind}: {}", self.tool, Clean(text)));
        }
    }

    fn put(&self, line: &str) {
        // Standard error may be closed; there is nobody left to tell.
        self.progress.above(|| drop(writeln!(std::io::stderr().lock(), "{line}")));
    }

    pub(crate) fn close(&self) {
        self.progress.end();
        let _ = std::io::stderr().flush();
    }
}

/// The text without the numbers that Rust puts behind the kernel's words: "No such file or directory (os error 2)".
fn plain(text: &dyn fmt::Display) -> String {
    let text = text.to_string();
    let mut parts = text.split(" (os error ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        match part[digits..].strip_prefix(')') {
            Some(rest) if digits > 0 => plain.push_str(rest),
            _ => {
                plain.push_str(" (os error ");
                plain.push_str(part);
            }
        }
    }
    plain
}

/// A text with control characters written as escapes, so that a name from an archive
/// can neither move the cursor nor forge a second line.
struct Clean<'a>(&'a dyn fmt::Display);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escape(f), "{}", self.0)
    }
}

struct Escape<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escape<'_, '_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for c in s.chars() {
            match c {
                '\n' => self.0.write_str("\\n")?,
                '\t' => self.0.write_str("\\t")?,
                c if c.is_control() => write!(self.0, "\\x{:02x}", c as u32)?,
                c if turns_the_line(c) => write!(self.0, "\\u{{{:x}}}", c as u32)?,
                c => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Whether a terminal would show what follows in another order or on another line than it was written: "gnp.exe" for
/// "exe.png" (CVE-2021-42574).
fn turns_the_line(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text from elsewhere for standard output, where a person may read it: with control characters as escapes.
pub fn shown(text: impl fmt::Display) -> String {
    Clean(&text).to_string()
}

/// A file name for a message: bytes that are not UTF-8 appear as `\xNN`.
pub fn name(os: impl AsRef<OsStr>) -> String {
    let mut text = String::new();
    for chunk in os.as_ref().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(Clean(&"a\nb\x1b[31m\u{9b}é").to_string(), "a\\nb\\x1b[31m\\x9bé");
        assert_eq!(Clean(&"a\u{202e}gnp.exe").to_string(), "a\\u{202e}gnp.exe");
    }

    #[test]
    fn the_kernels_words_stand_without_its_numbers() {
        let shown = |text: &str| plain(&text);
        assert_eq!(shown("/x: No such file (os error 2): really"), "/x: No such file: really");
        assert_eq!(shown("a (os error 2) (os error 13)"), "a");
        assert_eq!(shown("a (os error x) (os error 5"), "a (os error x) (os error 5");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown_as_hex() {
        assert_eq!(name(OsStr::from_bytes(b"a\xffb")), "a\\xffb");
    }
}
