//! Files with one value on a line: `--env-file` and `--label-file`.

use std::path::Path;

use anyhow::Context;

/// Calls `apply` with place and content of each line of an `--env-file` or `--label-file`; blank lines and `#` comments are
/// passed over. `what` is what the user is asked for at a terminal.
///
/// # Errors
/// When the file cannot be read; names the line.
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
