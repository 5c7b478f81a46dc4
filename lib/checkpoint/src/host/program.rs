//! Runs a program and returns its output.

use std::process::{Command, Stdio};

/// Runs a program and returns its standard output, without white space at the ends.
///
/// # Errors
/// Returns a short reason, for a message after the program's name, if the program cannot be run or
/// fails.
pub fn output(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().map_err(|e| {
        if e.kind() == std::io::ErrorKind::NotFound { "not found".into() } else { e.to_string() }
    })?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    match output.status.success() {
        true => Ok(text[0].clone()),
        false => {
            Err(text.into_iter().rev().find(|t| !t.is_empty()).unwrap_or_else(|| output.status.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_failing_program_is_an_error() {
        assert_eq!(output("no-such-program", &[]), Err("not found".into()));
        assert_eq!(output("sh", &["-c", "echo why >&2; exit 3"]), Err("why".into()));
        assert_eq!(output("sh", &["-c", "echo yes"]), Ok("yes".into()));
    }
}
