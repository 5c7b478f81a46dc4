//! Reads files with one value per line: `--env-file` and `--label-file`.

use std::path::Path;

use anyhow::Context;

/// Calls `apply` with the position and the content of each line of an `--env-file` or
/// `--label-file`. Skips blank lines and `#` comments. `what` names the expected input if standard
/// input is a terminal.
///
/// # Errors
/// Returns an error if the file cannot be read, or the error of `apply` with the line number.
pub fn each_line(
    file: &Path,
    what: &str,
    apply: &mut dyn FnMut(&str, &str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let input = cli::Input::open(Some(file), what)?;
    let name = input.name().to_owned();
    let text = cli::read_document(input, &name, 1 << 20)?;
    let text = std::str::from_utf8(&text).with_context(|| name.clone())?;
    for (i, line) in text.lines().enumerate() {
        let (line, at) = (line.trim_start(), format!("{name}:{}", i + 1));
        if !line.is_empty() && !line.starts_with('#') {
            apply(&at, line).context(at.clone())?;
        }
    }
    Ok(())
}
