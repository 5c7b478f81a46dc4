//! Flags that limit what a tool reads from another machine.

use std::str::FromStr;

use tartree::{Exceeded, Limit, Limits};

use crate::error::Hint;

/// The flags of a tool that reads tars from another machine.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Bounds {
    /// Refuse more than SIZE bytes of content (K, M, G, T; none) [default: for compressed input
    /// 1000 times its size, at least 1G]
    #[arg(long, value_name = "SIZE", help_heading = "Limits", hide_short_help = true)]
    pub max_size: Option<Size>,
    /// Refuse more than N entries in a tar [default: 16777216]
    #[arg(long, value_name = "N", help_heading = "Limits", hide_short_help = true)]
    pub max_entries: Option<u64>,
}

impl Bounds {
    /// Returns the maximum number of content bytes, or `None` if the user has not set it.
    pub fn content_bytes(&self) -> Option<u64> {
        self.max_size.map(|size| size.0)
    }

    /// Returns the limits for reading a tar.
    pub fn limits(&self) -> Limits {
        Limits::of(self.max_entries, self.content_bytes())
    }

    /// Adds to the error of an exceeded limit a hint with the flag that raises the limit.
    pub fn explain(error: anyhow::Error) -> anyhow::Error {
        match Exceeded::in_error(error.as_ref()) {
            Some(Limit::Entries) => Hint::on(error, "if you trust it: --max-entries N"),
            Some(Limit::ContentBytes) => Hint::on(error, "if you trust it: --max-size SIZE"),
            _ => error,
        }
    }
}

/// A number of bytes: `4096`, `512M`, `10GiB`, or `none` for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        if text == "none" {
            return Ok(Size(u64::MAX));
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = unit.strip_suffix("iB").unwrap_or(unit);
        let power = match unit {
            "" => 0,
            "K" | "k" => 1,
            "M" | "m" => 2,
            "G" | "g" => 3,
            "T" | "t" => 4,
            _ => {
                return Err(
                    "expected a number of bytes, with or without K, M, G or T (powers of 1024)".into()
                );
            }
        };
        let number: u64 = number.parse().map_err(|_| format!("{text:?}: not a size"))?;
        number.checked_mul(1 << (10 * power)).map(Size).ok_or_else(|| format!("{text:?}: too large"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1K", 1 << 10),
            ("1k", 1 << 10),
            ("512M", 512 << 20),
            ("10GiB", 10 << 30),
            ("2T", 2 << 40),
            ("none", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "G", "-1", "1.5G", "1X", "1 G", "1GB", "iB", "99999999999T", "18446744073709551616"]
        {
            assert!(text.parse::<Size>().is_err(), "{text:?}");
        }
    }
}
