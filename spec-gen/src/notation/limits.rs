//! Values of the flags for limits: sizes with a unit, processors, weights, rlimits.

use anyhow::{Context, bail};

use crate::runtime_spec::names::RLIMITS;

/// Returns the bytes of a size with a unit, such as `512m` or `1.5g`. `-1` means no limit.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn bytes(text: &str) -> Result<i64, String> {
    let lower = text.to_ascii_lowercase();
    let number = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let (number, shift) = match number.chars().last() {
        Some('k') => (&number[..number.len() - 1], 10),
        Some('m') => (&number[..number.len() - 1], 20),
        Some('g') => (&number[..number.len() - 1], 30),
        Some('t') => (&number[..number.len() - 1], 40),
        Some('p') => (&number[..number.len() - 1], 50),
        _ => (number, 0),
    };
    // A space may separate the number from its unit, as in docker/go-units.
    let number = number.strip_suffix(' ').unwrap_or(number);
    const WANTED: &str = "expected a number, or one with k, m, g, t or p";
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let unit: i64 = 1 << shift;
    let value: i64 = whole.parse().map_err(|_| WANTED)?;
    let bytes = value.checked_mul(unit).ok_or("expected a size below 8 EiB")?;
    // docker/go-units accepts a fraction. The limit on its digits keeps the product below in range.
    if fraction.is_empty()
        || fraction.len() > 6
        || !fraction.bytes().all(|b| b.is_ascii_digit())
        || bytes < 0 && number.contains('.')
    {
        return Err(WANTED.into());
    }
    let part: i64 = fraction.parse().map_err(|_| WANTED)?;
    // 10^6 times the largest unit, 2^50, does not fit into 64 bits.
    let part = i128::from(part) * i128::from(unit) / 10_i128.pow(fraction.len() as u32);
    let part = i64::try_from(part).map_err(|_| WANTED)?;
    bytes.checked_add(part).ok_or_else(|| "expected a size below 8 EiB".into())
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
    fn sizes_have_units_and_must_fit_in_64_bits() {
        for (text, expected) in [
            ("0", 0),
            ("512", 512),
            ("10m", 10 << 20),
            ("1G", 1 << 30),
            ("2kb", 2048),
            ("1MiB", 1 << 20),
            ("-1", -1),
            ("1.5g", 3 << 29),
            ("0.25k", 256),
            ("1.5", 1),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for bad in [
            "",
            "m",
            "1x",
            "9223372036854775807k",
            "1.5.1g",
            ".5g",
            "1.g",
            "1.-5g",
            "-1.5g",
            "1.0000001t",
            "8388607.9999999t",
            "é",
        ] {
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
