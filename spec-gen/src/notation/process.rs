//! Values of the flags for the process: terminal size, personality, umask, signal.

/// Reads `WIDTHxHEIGHT` of a terminal; `WIDTH:HEIGHT` is the form of oci-runtime-tool.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn terminal_size(arg: &str) -> Result<(u64, u64), String> {
    let (width, height) = arg.split_once(['x', ':']).ok_or("expected WIDTHxHEIGHT")?;
    match (width.parse(), height.parse()) {
        (Ok(width), Ok(height)) => Ok((width, height)),
        _ => Err("expected WIDTHxHEIGHT".into()),
    }
}

/// Parses a domain of personality(2), by its name in the runtime-spec.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn personality(arg: &str) -> Result<String, String> {
    match arg.to_ascii_uppercase() {
        domain if domain == "LINUX" || domain == "LINUX32" => Ok(domain),
        _ => Err("expected LINUX or LINUX32".into()),
    }
}

/// Reads a umask in octal. podman allows at most four digits.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn umask(arg: &str) -> Result<String, String> {
    let octal = (1..=4).contains(&arg.len()) && arg.bytes().all(|b| (b'0'..=b'7').contains(&b));
    if octal { Ok(arg.to_owned()) } else { Err("expected 1 to 4 octal digits".into()) }
}

/// Reads a signal: a number, or a name in any case with or without `SIG`.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn signal(arg: &str) -> Result<u64, String> {
    if let Ok(number) = arg.parse() {
        return if (1..=64).contains(&number) {
            Ok(number)
        } else {
            Err("expected a signal from 1 to 64".into())
        };
    }
    let name = arg.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    // Real-time signals are numbered upwards from the first signal that the C library leaves to
    // programs, or downwards from the last signal.
    const FIRST: i64 = 34;
    const LAST: i64 = 64;
    let real_time = if let Some(offset) = name.strip_prefix("RTMIN") {
        Some(offset_of(offset, '+').map(|n| FIRST + n))
    } else {
        name.strip_prefix("RTMAX").map(|offset| offset_of(offset, '-').map(|n| LAST - n))
    };
    const NONE: &str = "not a signal";
    match real_time {
        Some(number) => {
            let number = number.filter(|n| (FIRST..=LAST).contains(n)).ok_or(NONE)?;
            u64::try_from(number).map_err(|_| NONE.into())
        }
        None => {
            // nix does not know these aliases.
            let name = match name {
                "CLD" => "CHLD",
                "POLL" => "IO",
                "IOT" => "ABRT",
                name => name,
            };
            format!("SIG{name}")
                .parse::<nix::sys::signal::Signal>()
                .map(|s| s as u64)
                .map_err(|_| NONE.into())
        }
    }
}

/// Reads the offset that follows `RTMIN` or `RTMAX`.
fn offset_of(text: &str, sign: char) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let digits = text.strip_prefix(sign)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_parsed_by_name_and_by_number() {
        #[rustfmt::skip]
        let cases = [
            ("9", 9), ("09", 9), ("+9", 9), ("TERM", 15), ("term", 15), ("sigquit", 3), ("SIGRTMIN+3", 37), ("RTMIN", 34), ("rtmin+15", 49),
            ("SIGRTMAX-1", 63), ("sigrtmax-14", 50), ("RTMAX", 64), ("SIGCLD", 17), ("SIGIOT", 6), ("POLL", 29), ("STKFLT", 16),
        ];
        for (text, number) in cases {
            assert_eq!(signal(text), Ok(number), "{text}");
        }
        for bad in [
            "", "0", "65", "SIGFOO", "SIG9", "RTMIN+99", "RTMIN+x", "RTMIN-1", "RTMAX+1", "RTMAX-40",
            "RTMIN++1", "UNUSED",
        ] {
            assert!(signal(bad).is_err(), "{bad}");
        }
    }
}
