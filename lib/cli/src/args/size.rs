//! The sizes of all flags, in the syntax of podman (docker/go-units).

/// Reads a number of bytes: `4096`, `512m`, `1.5g`, `256MB`, `10GiB`. All units are powers of 1024.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn bytes(text: &str) -> Result<u64, String> {
    const EXPECTED: &str = "expected a number of bytes, or one with k, m, g, t or p (powers of 1024)";
    let lower = text.to_ascii_lowercase();
    let number = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let (number, shift) = match number.char_indices().last() {
        Some((at, 'k')) => (&number[..at], 10),
        Some((at, 'm')) => (&number[..at], 20),
        Some((at, 'g')) => (&number[..at], 30),
        Some((at, 't')) => (&number[..at], 40),
        Some((at, 'p')) => (&number[..at], 50),
        // `iB` needs a unit before it.
        _ if lower.ends_with("ib") => return Err(EXPECTED.into()),
        _ => (number, 0),
    };
    // A space may separate the number from its unit.
    let number = number.strip_suffix(' ').unwrap_or(number);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    // More digits could overflow the product below.
    let is_number =
        |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole, 20) || !is_number(fraction, 6) {
        return Err(EXPECTED.into());
    }
    let unit = 1_u64 << shift;
    let number = |text: &str| text.parse::<u128>().map_err(|_| EXPECTED);
    let part = number(fraction)? * u128::from(unit) / 10_u128.pow(fraction.len() as u32);
    let bytes = number(whole)? * u128::from(unit) + part;
    u64::try_from(bytes).map_err(|_| "expected a size below 16 EiB".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024_and_must_fit_in_64_bits() {
        for (text, expected) in [
            ("0", 0),
            ("512", 512),
            ("512b", 512),
            ("1K", 1 << 10),
            ("10m", 10 << 20),
            ("256MB", 256 << 20),
            ("1G", 1 << 30),
            ("2kb", 2048),
            ("10GiB", 10 << 30),
            ("1 MiB", 1 << 20),
            ("1.5g", 3 << 29),
            ("0.25k", 256),
            ("1.5", 1),
            ("16383p", 16383 << 50),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for bad in [
            "",
            "m",
            "b",
            "iB",
            "1iB",
            "1x",
            "-1",
            "+1",
            "1.5.1g",
            ".5g",
            "1.g",
            "1.-5g",
            "1.0000001t",
            "1  g",
            "é",
            "16384p",
            "18446744073709551616",
            "99999999999999999999999999",
        ] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
