//! Flags that have the same name and meaning in every tool.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::exit::{Hint, usage};
use crate::output::Output;
use crate::progress::When;
use crate::sync;

/// Flags of every tool; flatten it into the tool's own arguments.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Common {
    /// Tell on standard error what is skipped and why; twice: every entry
    #[arg(short, long, action = clap::ArgAction::Count, global = true, help_heading = "Other")]
    pub verbose: u8,

    /// Print errors only, no warnings
    #[arg(short, long, global = true, help_heading = "Other", conflicts_with = "verbose")]
    pub quiet: bool,
}

/// Whether a long run is shown; flatten it into the arguments of a tool that has them.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Progress {
    /// Show bytes, rate and time left on standard error: auto (when it is a terminal), always, never
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_value = "auto",
        default_missing_value = "always",
        hide_default_value = true,
        hide_possible_values = true,
        hide_short_help = true,
        global = true,
        help_heading = "Other"
    )]
    pub progress: When,
}

/// Where the result goes; flatten it into the arguments of a tool that writes a file.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct OutputFile {
    /// Write to FILE (mode 0600, under its name only when complete) instead of standard output
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// Write FILE to the disk before it gets its name, and the name after: it survives a power loss
    #[arg(long, help_heading = "Output", requires = "output", hide_short_help = true)]
    pub fsync: bool,
}

impl OutputFile {
    /// Opens it for binary data.
    ///
    /// # Errors
    /// As [`Output::binary`].
    pub fn binary(&self) -> anyhow::Result<Output> {
        Ok(Output::binary(self.output.as_deref())?.synced(self.fsync))
    }

    /// Opens it for text.
    ///
    /// # Errors
    /// As [`Output::text`].
    pub fn text(&self) -> anyhow::Result<Output> {
        Ok(Output::text(self.output.as_deref())?.synced(self.fsync))
    }
}

/// Whether extracted trees must survive a power loss; flatten it into the arguments of a tool that extracts.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Durable {
    /// Write everything to the disk before the end: what was extracted survives a power loss
    #[arg(long, help_heading = "Output", hide_short_help = true)]
    pub fsync: bool,
}

impl Durable {
    /// Writes the file system of `dir` to its disk, if that was asked for.
    ///
    /// # Errors
    /// As [`sync::file_system`].
    pub fn sync(&self, dir: &Path) -> anyhow::Result<()> {
        if self.fsync { sync::file_system(dir) } else { Ok(()) }
    }
}

/// How much is taken from another machine; flatten it into the arguments of a tool that reads its tars.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Bounds {
    /// Refuse more than SIZE bytes of content (K, M, G, T; none) [default: what was compressed, 1000 times its size, or 1G]
    #[arg(long, value_name = "SIZE", help_heading = "Limits", hide_short_help = true)]
    pub max_size: Option<Size>,
    /// Refuse more than N entries in a tar [default: 16777216]
    #[arg(long, value_name = "N", help_heading = "Limits", hide_short_help = true)]
    pub max_entries: Option<u64>,
}

impl Bounds {
    /// The most bytes of content, if the user has said it.
    pub fn content_bytes(&self) -> Option<u64> {
        self.max_size.map(|size| size.0)
    }

    /// Adds to an error of a limit the flag that lifts it. `exceeded` tells which limit an error is about; the flags are
    /// for those of `entries` and of `content`.
    pub fn explain<L: PartialEq>(
        error: anyhow::Error,
        exceeded: fn(&(dyn Error + 'static)) -> Option<L>,
        entries: L,
        content: L,
    ) -> anyhow::Error {
        match exceeded(error.as_ref()) {
            Some(limit) if limit == entries => Hint::on(error, "if you trust it: --max-entries N"),
            Some(limit) if limit == content => Hint::on(error, "if you trust it: --max-size SIZE"),
            _ => error,
        }
    }
}

/// A number of bytes: `4096`, `512M`, `10GiB`, or `none` for as many as there are.
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
                    "a number of bytes is wanted, or one with K, M, G or T (1024 of the one before)".into()
                );
            }
        };
        let number: u64 = number.parse().map_err(|_| format!("{text:?} is not a size"))?;
        number.checked_mul(1 << (10 * power)).map(Size).ok_or_else(|| format!("{text:?} is too much"))
    }
}

/// Whose files they are; flatten it into the arguments of a tool that archives or extracts them.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Ids {
    /// Map user ids: CONTAINER:HOST:SIZE; the tar holds container ids (repeatable)
    #[arg(long, value_name = "C:H:S", help_heading = "Ownership")]
    pub uidmap: Vec<IdRange>,
    /// Map group ids, likewise
    #[arg(long, value_name = "C:H:S", help_heading = "Ownership")]
    pub gidmap: Vec<IdRange>,
}

impl Ids {
    /// The ranges of users and of groups, each `(first container id, first host id, how many)`.
    ///
    /// # Errors
    /// A usage error where two hold the same id: it would have two meanings, and the kernel takes no such map
    /// (user_namespaces(7)).
    pub fn ranges(&self) -> anyhow::Result<[Vec<(u32, u32, u32)>; 2]> {
        for (flag, ranges) in [("--uidmap", &self.uidmap), ("--gidmap", &self.gidmap)] {
            for (at, range) in ranges.iter().enumerate() {
                if let Some(other) = ranges[..at].iter().find(|other| range.overlaps(other)) {
                    return Err(usage(format!("{flag} {range}: holds ids that {other} holds")));
                }
            }
        }
        let all = |ranges: &[IdRange]| ranges.iter().map(|r| (r.container, r.host, r.size)).collect();
        Ok([all(&self.uidmap), all(&self.gidmap)])
    }
}

/// A range of ids as podman's `--uidmap` has it, container id first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// First id in the container.
    pub container: u32,
    /// First id on the host.
    pub host: u32,
    /// How many.
    pub size: u32,
}

impl IdRange {
    fn overlaps(&self, other: &IdRange) -> bool {
        // No sum is more than an id can be.
        let both = |a: u32, b: u32| a < b + other.size && b < a + self.size;
        both(self.container, other.container) || both(self.host, other.host)
    }
}

impl std::fmt::Display for IdRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.container, self.host, self.size)
    }
}

impl FromStr for IdRange {
    type Err = String;

    fn from_str(text: &str) -> Result<IdRange, String> {
        let numbers: Vec<u32> = text
            .split(':')
            .map(|n| n.parse().map_err(|_| format!("{n:?} is not an id")))
            .collect::<Result<_, _>>()?;
        match numbers[..] {
            [_, _, 0] => Err("a range of size 0".into()),
            [container, host, size] if container.max(host).checked_add(size).is_none() => {
                Err("it ends behind the last id, 4294967294".into())
            }
            [container, host, size] => Ok(IdRange { container, host, size }),
            _ => Err("CONTAINER:HOST:SIZE is wanted".into()),
        }
    }
}

/// Splits the `NAME=VALUE` of a repeatable flag at the first `=`.
///
/// # Errors
/// When there is no `=`, or nothing stands before or after it.
pub fn name_value(arg: &str) -> Result<(String, PathBuf), String> {
    match arg.split_once('=') {
        Some(("", _)) => Err("nothing stands before the '='".into()),
        Some((_, "")) => Err("nothing stands after the '='".into()),
        Some((name, value)) => Ok((name.into(), value.into())),
        None => Err("NAME=VALUE is wanted".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_id_ranges_are_refused() {
        for text in ["", "1", "1:2", "1:2:3:4", "a:b:c", "0:0:0", "-1:0:1", "1:4294967290:6"] {
            assert!(text.parse::<IdRange>().is_err(), "{text:?}");
        }
        assert_eq!("0:100000:5".parse(), Ok(IdRange { container: 0, host: 100_000, size: 5 }));
        assert!("0:4294967290:5".parse::<IdRange>().is_ok());
    }

    #[test]
    fn no_id_is_in_two_ranges() {
        let ranges = |text: &str| {
            let uidmap = text.split(' ').map(|range| range.parse().unwrap()).collect();
            Ids { uidmap, gidmap: Vec::new() }.ranges().map_err(|e| e.to_string())
        };
        assert_eq!(ranges("5:7:1 0:100:5 6:8:2").unwrap()[0], [(5, 7, 1), (0, 100, 5), (6, 8, 2)]);
        for text in ["0:100:5 4:200:1", "0:100:5 5:104:9", "0:100:5 0:100:5"] {
            assert!(ranges(text).unwrap_err().contains("holds ids that 0:100:5 holds"), "{text}");
        }
    }

    #[test]
    fn sizes_have_the_units_of_memory() {
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

    #[test]
    fn pairs_split_at_the_first_equals_sign() {
        assert_eq!(name_value("db=/srv/a=b"), Ok(("db".into(), "/srv/a=b".into())));
        assert!(name_value("db").is_err());
        assert!(name_value("=x").is_err());
        assert!(name_value("x=").is_err());
    }
}
