//! Values of flags that need more than a number: terminal sizes, octal modes, signals.

use crate::user::as_number;

/// `WIDTHxHEIGHT` of a terminal; oci-runtime-tool has a colon there.
///
/// # Errors
/// With what is wanted.
pub fn size(arg: &str) -> Result<(u64, u64), String> {
    let (width, height) = arg.split_once(['x', ':']).ok_or("WIDTHxHEIGHT is wanted")?;
    match (width.parse(), height.parse()) {
        (Ok(width), Ok(height)) => Ok((width, height)),
        _ => Err("WIDTHxHEIGHT is wanted".into()),
    }
}

/// A domain of the kernel's personality, as the runtime-spec has it.
///
/// # Errors
/// With what is wanted.
pub fn personality(arg: &str) -> Result<String, String> {
    match arg.to_ascii_uppercase() {
        domain if domain == "LINUX" || domain == "LINUX32" => Ok(domain),
        _ => Err("LINUX or LINUX32 is wanted".into()),
    }
}

/// A umask in octal; podman allows four digits.
///
/// # Errors
/// With what is wanted.
pub fn umask(arg: &str) -> Result<String, String> {
    let octal = (1..=4).contains(&arg.len()) && arg.bytes().all(|b| (b'0'..=b'7').contains(&b));
    if octal { Ok(arg.to_owned()) } else { Err("1 to 4 octal digits are wanted".into()) }
}

/// A number of processors.
///
/// # Errors
/// With what is wanted.
pub fn cpus(arg: &str) -> Result<f64, String> {
    match arg.parse::<f64>() {
        Ok(n) if (0.01..=1e6).contains(&n) => Ok(n),
        _ => Err("a number from 0.01 on is wanted".into()),
    }
}

/// `USER[:GROUP]`, of which names are looked up later.
///
/// # Errors
/// When a number is none that a look-up may give.
pub fn user(arg: &str) -> Result<String, String> {
    for part in arg.split(':').take(2) {
        as_number(part).map_err(|e| format!("{e:#}"))?;
    }
    Ok(arg.to_owned())
}

/// A group, likewise.
///
/// # Errors
/// As [`user`].
pub fn group(arg: &str) -> Result<String, String> {
    as_number(arg).map_err(|e| format!("{e:#}"))?;
    Ok(arg.to_owned())
}

/// A signal by number or name.
///
/// # Errors
/// With what is wanted.
pub fn signal(arg: &str) -> Result<u64, String> {
    if let Ok(number) = arg.parse() {
        return if (1..=64).contains(&number) { Ok(number) } else { Err("a signal is 1 to 64".into()) };
    }
    let name = arg.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    // Real-time signals are counted from the first one that the C library leaves to programs.
    if let Some(offset) = name.strip_prefix("SIGRTMIN") {
        let offset: u64 = if offset.is_empty() { Ok(0) } else { offset.trim_start_matches('+').parse() }
            .map_err(|_| "not a signal")?;
        return if offset <= 30 { Ok(34 + offset) } else { Err("not a signal".into()) };
    }
    name.parse::<nix::sys::signal::Signal>().map(|s| s as u64).map_err(|_| "not a signal".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [("9", 9), ("TERM", 15), ("sigquit", 3), ("SIGRTMIN+3", 37), ("RTMIN", 34)] {
            assert_eq!(signal(text), Ok(number), "{text}");
        }
        for bad in ["", "0", "65", "SIGFOO", "RTMIN+99", "RTMIN+x"] {
            assert!(signal(bad).is_err(), "{bad}");
        }
    }
}
