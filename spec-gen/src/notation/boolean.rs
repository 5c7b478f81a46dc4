//! Boolean flag values.

/// Reads a switch as Go's `strconv.ParseBool` reads it.
///
/// # Errors
/// Returns what was expected.
pub fn boolean(arg: &str) -> Result<bool, String> {
    match arg {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".into()),
    }
}
