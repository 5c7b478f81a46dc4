//! Makes names and texts from other machines safe to print.
//!
//! A name in an archive may hold control characters. Printed unescaped, it could move the cursor or
//! forge a second message.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStrExt;

/// Returns a file name or path for a message. Bytes that are not UTF-8 appear as `\xNN`. Control
/// characters are escaped when the message is printed.
pub fn display_path(os: impl AsRef<OsStr>) -> String {
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

/// Returns a text from another machine for standard output, with its control characters escaped.
pub fn escape(text: impl fmt::Display) -> String {
    Escaped(&text).to_string()
}

/// Returns lines of text from another machine for standard output. On a terminal, all control
/// characters except the ends of lines and tabs are escaped.
pub fn terminal_lines(text: &[u8]) -> Cow<'_, [u8]> {
    if !std::io::stdout().is_terminal() {
        return text.into();
    }
    let mut shown = Vec::with_capacity(text.len());
    for part in text.split_inclusive(|byte| matches!(byte, b'\n' | b'\t')) {
        let (line, end) = match part.split_last() {
            Some((end @ (b'\n' | b'\t'), line)) => (line, Some(*end)),
            _ => (part, None),
        };
        shown.extend_from_slice(escape(display_path(OsStr::from_bytes(line))).as_bytes());
        shown.extend(end);
    }
    shown.into()
}

/// Returns JSON in which the control characters that `serde_json` does not escape are escaped, and
/// those that reorder text. The value of the document is the same.
pub fn escape_json(json: impl fmt::Display) -> String {
    let json = json.to_string();
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        // All of these characters can only be in strings.
        if c != '\n' && is_unsafe(c) {
            let _ = write!(escaped, "\\u{:04x}", c as u32);
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Escapes the JSON that is written to it as [`escape_json`] does, so that a long document need not be
/// in memory. Each write must have complete characters, as those of `serde_json` do.
#[derive(Debug)]
pub struct JsonWriter<W>(pub W);

impl<W: io::Write> io::Write for JsonWriter<W> {
    fn write(&mut self, json: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(json) {
            Ok(text) if text.chars().any(|c| c != '\n' && is_unsafe(c)) => {
                self.0.write_all(escape_json(text).as_bytes())?;
            }
            _ => self.0.write_all(json)?,
        }
        Ok(json.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Returns whether a terminal may act on `c` instead of displaying it.
pub fn is_unsafe(c: char) -> bool {
    c.is_control() || reorders_text(c)
}

/// Displays a text with its control characters escaped.
pub(crate) struct Escaped<'a>(pub(crate) &'a dyn fmt::Display);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(EscapingWriter(f), "{}", self.0)
    }
}

struct EscapingWriter<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for EscapingWriter<'_, '_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for c in s.chars() {
            match c {
                '\n' => self.0.write_str("\\n")?,
                '\t' => self.0.write_str("\\t")?,
                c if c.is_control() => write!(self.0, "\\x{:02x}", c as u32)?,
                c if reorders_text(c) => write!(self.0, "\\u{{{:x}}}", c as u32)?,
                c => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Returns whether a terminal displays the text after `c` in another order or on another line. With
/// such a character, the program "gnp.exe" looks like the picture "exe.png" (CVE-2021-42574).
fn reorders_text(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns whether a stream has colors: if it is a terminal, unless the environment says otherwise
/// (no-color.org, bixense.com/clicolors).
pub(crate) fn colored(is_terminal: bool) -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        && (is_terminal || std::env::var_os("CLICOLOR_FORCE").is_some_and(|v| v != "0"))
}

/// The style of text on standard output: with colors on a terminal, else plain.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    color: bool,
}

impl Style {
    /// Returns the style of standard output.
    pub fn of_stdout() -> Style {
        Style { color: colored(std::io::stdout().is_terminal()) }
    }

    /// Returns a heading.
    pub fn heading(self, text: &str) -> String {
        self.with("1", text)
    }

    /// Returns a text that matters less than the text around it.
    pub fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    /// Returns a text that stands out, such as a number.
    pub fn strong(self, text: &str) -> String {
        self.with("36", text)
    }

    /// Returns a text that marks something as added.
    pub fn added(self, text: &str) -> String {
        self.with("32", text)
    }

    /// Returns a text that marks something as removed.
    pub fn removed(self, text: &str) -> String {
        self.with("31", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.color && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Returns the text without the error numbers that Rust adds: "No such file or directory (os error
/// 2)".
pub(crate) fn without_error_numbers(text: &dyn fmt::Display) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(Escaped(&"a\nb\x1b[31m\u{9b}é").to_string(), "a\\nb\\x1b[31m\\x9bé");
        assert_eq!(Escaped(&"a\u{202e}gnp.exe").to_string(), "a\\u{202e}gnp.exe");
    }

    #[test]
    fn json_is_escaped_in_strings_only() {
        let json = "{\n  \"a\u{9b}31m\": \"\u{202e}é\\n\u{7f}\"\n}";
        let expected = "{\n  \"a\\u009b31m\": \"\\u202eé\\n\\u007f\"\n}";
        assert_eq!(escape_json(json), expected);
        let mut written = JsonWriter(Vec::new());
        io::Write::write_all(&mut written, json.as_bytes()).unwrap();
        assert_eq!(written.0, expected.as_bytes());
    }

    #[test]
    fn error_numbers_are_removed() {
        let shown = |text: &str| without_error_numbers(&text);
        assert_eq!(shown("/x: No such file (os error 2): really"), "/x: No such file: really");
        assert_eq!(shown("a (os error 2) (os error 13)"), "a");
        assert_eq!(shown("a (os error x) (os error 5"), "a (os error x) (os error 5");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_displayed_as_hex() {
        assert_eq!(display_path(OsStr::from_bytes(b"a\xffb")), "a\\xffb");
    }
}
