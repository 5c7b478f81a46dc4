//! Flags that limit what a tool reads from another machine.

use std::str::FromStr;

use tartree::{Exceeded, Limit, Limits};

use super::size::bytes;
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

/// A number of bytes as [`bytes`] reads it, or `none` for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        if text == "none" { Ok(Size(u64::MAX)) } else { bytes(text).map(Size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_no_limit() {
        assert_eq!("none".parse(), Ok(Size(u64::MAX)));
        assert_eq!("1GB".parse(), Ok(Size(1 << 30)));
        assert!("".parse::<Size>().is_err());
    }
}
