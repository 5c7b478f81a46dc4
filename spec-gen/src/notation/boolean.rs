//! Boolean flag values.

/// Parses the value of a switch, like Go's `strconv.ParseBool`.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn boolean(arg: &str) -> Result<bool, String> {
    match arg {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".into()),
    }
}
