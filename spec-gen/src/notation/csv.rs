//! The comma-separated values of podman's flags, by the rules of Go's `encoding/csv`.

/// Splits `text` at its commas. A field in double quotes may contain commas, and quotes that are
/// written as `""`.
///
/// # Errors
/// Returns a message if the quotes are not balanced.
pub fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        if !rest.starts_with('"') && field.contains('"') {
            return Err(format!(
                "{field}: a field that contains a quote or comma must be quoted completely: \"src=a,b\""
            ));
        }
        fields.push(field);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(fields),
            None => return Err(format!("{after}: expected a comma after the closing quote")),
        }
    }
}

/// Reads a field up to its closing quote; returns it and the text after it.
fn quoted_field(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"').ok_or_else(|| format!("\"{text}: no closing quote"))?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Ok((field, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_as_in_gos_encoding_csv() {
        #[rustfmt::skip]
        let cases: &[(&str, &[&str])] = &[
            ("", &[""]), ("a", &["a"]), ("a,b", &["a", "b"]), (",", &["", ""]), ("\"a,b\",c", &["a,b", "c"]),
            ("\"a\"\"b\"", &["a\"b"]), ("\"\"", &[""]), ("x,\"\"\"\"", &["x", "\""]), (" a, b", &[" a", " b"]),
        ];
        for (text, expected) in cases {
            assert_eq!(fields(text).unwrap(), *expected, "{text}");
        }
        for bad in ["a\"b", "src=\"a,b\"", "\"a", "\"a\"b", "\"a\" ,b", "a,\""] {
            assert!(fields(bad).is_err(), "{bad}");
        }
    }
}
