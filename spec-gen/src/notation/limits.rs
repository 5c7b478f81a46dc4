//! Values of the flags for limits: sizes with a unit, processors, weights, rlimits.

use anyhow::{Context, bail};

use crate::runtime_spec::names::RLIMITS;

/// Returns the bytes of a size with a unit, such as `512m` or `1.5g`. `-1` means no limit.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn bytes(text: &str) -> Result<i64, String> {
    let (number, sign) = match text.strip_prefix('-') {
        Some(number) if !number.contains('.') => (number, -1),
        _ => (text, 1),
    };
    let bytes = cli::args::bytes(number)?;
    i64::try_from(bytes).map(|bytes| sign * bytes).map_err(|_| "expected a size below 8 EiB".into())
}

/// Reads a size that is not negative.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn size(text: &str) -> Result<i64, String> {
    bytes(text).and_then(|size| if size < 0 { Err("expected a size of at least 0".into()) } else { Ok(size) })
}

/// Reads a number of processors. 0 or less means no limit, as in podman.
///
/// # Errors
/// Returns an error that states what was expected. The minimum is 0.01, because the kernel rejects a quota below 1 ms.
pub fn cpus(arg: &str) -> Result<f64, String> {
    match arg.parse::<f64>() {
        Ok(n) if (0.01..=1e6).contains(&n) => Ok(n),
        Ok(n) if n <= 0.0 => Ok(0.0),
        _ => Err("expected a number of at least 0.01, or 0 for no limit".into()),
    }
}

/// Reads a weight of block I/O; 0 means no weight.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn blkio_weight(arg: &str) -> Result<u16, String> {
    match arg.parse() {
        Ok(n) if n == 0 || (10..=1000).contains(&n) => Ok(n),
        _ => Err("expected a weight from 10 to 1000, or 0 for none".into()),
    }
}

/// Reads `NAME=SOFT[:HARD]`; `-1` and `unlimited` mean no limit.
pub fn ulimit(text: &str) -> anyhow::Result<(String, u64, u64)> {
    let (name, limits) = text.split_once('=').context("expected NAME=SOFT[:HARD]")?;
    let Some(kind) = rlimit_type(name) else {
        let names = RLIMITS.map(|kind| kind.trim_start_matches("RLIMIT_").to_lowercase());
        bail!("{name} is not one of {}", names.join(" "));
    };
    let number = |n: &str| match n {
        "-1" | "unlimited" => Ok(u64::MAX),
        n => n.parse().with_context(|| format!("expected a number, -1 or unlimited, found {n}")),
    };
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard) = (number(soft)?, number(hard)?);
    if soft > hard {
        bail!("the soft limit is above the hard limit");
    }
    Ok((kind, soft, hard))
}

/// Returns the runtime-spec type of an rlimit from its name, in upper or lower case, with or
/// without `RLIMIT_`.
pub fn rlimit_type(name: &str) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("RLIMIT_").unwrap_or(&upper);
    let full = format!("RLIMIT_{short}");
    RLIMITS.contains(&full.as_str()).then_some(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_may_be_negative_and_must_fit_in_63_bits() {
        for (text, expected) in [("10m", 10 << 20), ("1.5g", 3 << 29), ("-1", -1), ("-1k", -1024)] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for bad in ["", "-", "--1", "-1.5g", "8192p", "9223372036854775807k"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ulimits_are_accepted_with_and_without_the_prefix() {
        assert_eq!(ulimit("nofile=10:20").unwrap(), ("RLIMIT_NOFILE".into(), 10, 20));
        assert_eq!(ulimit("RLIMIT_CORE=unlimited").unwrap(), ("RLIMIT_CORE".into(), u64::MAX, u64::MAX));
        for bad in ["nofile", "nofile=", "x=1", "core=2:1", "core=-2"] {
            assert!(ulimit(bad).is_err(), "{bad}");
        }
    }
}
