//! Numbers with units, for people.

/// Returns a number of bytes with its unit, such as `1.5 GiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let (mut value, mut unit) = (n as f64 / 1024.0, 0);
    // 1023.95 would be printed as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Returns a number of microseconds with its unit, such as `70.2 ms`.
pub fn microseconds(n: u64) -> String {
    match n {
        0..1000 => format!("{n} µs"),
        1000..999_950 => format!("{:.1} ms", n as f64 / 1e3),
        999_950..120_000_000 => format!("{:.2} s", n as f64 / 1e6),
        _ => format!("{} min {} s", n / 60_000_000, n / 1_000_000 % 60),
    }
}

/// Returns a number with its noun, such as `1 file` or `2 files`. `noun` is the singular.
pub fn count(n: u64, noun: &str) -> String {
    match (n, noun.strip_suffix("ss"), noun.strip_suffix('y')) {
        (1, _, _) => format!("1 {noun}"),
        (_, Some(_), _) => format!("{n} {noun}es"),
        (_, _, Some(stem)) => format!("{n} {stem}ies"),
        _ => format!("{n} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_fitting_unit() {
        for (n, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (10 << 30, "10.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(n), text);
        }
        for (n, text) in [
            (999, "999 µs"),
            (70_200, "70.2 ms"),
            (999_960, "1.00 s"),
            (1_500_000, "1.50 s"),
            (125_000_000, "2 min 5 s"),
        ] {
            assert_eq!(microseconds(n), text);
        }
        for (n, noun, text) in
            [(1, "process", "1 process"), (2, "process", "2 processes"), (0, "directory", "0 directories")]
        {
            assert_eq!(count(n, noun), text);
        }
    }
}
