//! Flags that map user and group IDs between the container and the host.

use std::fmt;
use std::str::FromStr;

use tartree::{IdMap, IdMaps};

use crate::error::usage;

/// The ID mapping flags of a tool that archives or extracts files.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Ids {
    /// Map user IDs, as CONTAINER:HOST:SIZE; the tar holds container IDs (repeatable)
    #[arg(long, value_name = "C:H:S", help_heading = "Ownership")]
    pub uidmap: Vec<IdRange>,
    /// Map group IDs, likewise
    #[arg(long, value_name = "C:H:S", help_heading = "Ownership")]
    pub gidmap: Vec<IdRange>,
}

impl Ids {
    /// Returns the maps of user and group IDs.
    ///
    /// # Errors
    /// Returns a usage error if two ranges overlap: an ID would be mapped twice, and the kernel
    /// rejects such a map too (user_namespaces(7)).
    pub fn maps(&self) -> anyhow::Result<IdMaps> {
        Ok(IdMaps { uid: map("--uidmap", &self.uidmap)?, gid: map("--gidmap", &self.gidmap)? })
    }
}

fn map(flag: &str, ranges: &[IdRange]) -> anyhow::Result<IdMap> {
    for (at, range) in ranges.iter().enumerate() {
        if let Some(other) = ranges[..at].iter().find(|other| range.overlaps(other)) {
            return Err(usage(format!("{flag} {range}: overlaps {other}")));
        }
    }
    Ok(IdMap::new(ranges.iter().map(|r| (r.container, r.host, r.size))))
}

/// A range of IDs in the order of podman's `--uidmap`: the first container ID, the first host ID,
/// and the number of IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first ID in the container.
    pub container: u32,
    /// The first ID on the host.
    pub host: u32,
    /// The number of IDs.
    pub size: u32,
}

impl IdRange {
    fn overlaps(&self, other: &IdRange) -> bool {
        // The sums cannot overflow: `from_str` has checked them.
        let both = |a: u32, b: u32| a < b + other.size && b < a + self.size;
        both(self.container, other.container) || both(self.host, other.host)
    }
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.container, self.host, self.size)
    }
}

impl FromStr for IdRange {
    type Err = String;

    fn from_str(text: &str) -> Result<IdRange, String> {
        let numbers: Vec<u32> = text
            .split(':')
            .map(|n| n.parse().map_err(|_| format!("{n:?}: not an ID")))
            .collect::<Result<_, _>>()?;
        match numbers[..] {
            [_, _, 0] => Err("the size is 0".into()),
            [container, host, size] if container.max(host).checked_add(size).is_none() => {
                Err("the range ends after the last ID, 4294967294".into())
            }
            [container, host, size] => Ok(IdRange { container, host, size }),
            _ => Err("expected CONTAINER:HOST:SIZE".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_id_ranges_are_rejected() {
        for text in ["", "1", "1:2", "1:2:3:4", "a:b:c", "0:0:0", "-1:0:1", "1:4294967290:6"] {
            assert!(text.parse::<IdRange>().is_err(), "{text:?}");
        }
        assert_eq!("0:100000:5".parse(), Ok(IdRange { container: 0, host: 100_000, size: 5 }));
        assert!("0:4294967290:5".parse::<IdRange>().is_ok());
    }

    #[test]
    fn overlapping_id_ranges_are_rejected() {
        let maps = |text: &str| {
            let uidmap = text.split(' ').map(|range| range.parse().unwrap()).collect();
            Ids { uidmap, gidmap: Vec::new() }.maps().map_err(|e| e.to_string())
        };
        let expected = IdMap::new([(5, 7, 1), (0, 100, 5), (6, 8, 2)]);
        assert_eq!(maps("5:7:1 0:100:5 6:8:2").unwrap().uid, expected);
        for text in ["0:100:5 4:200:1", "0:100:5 5:104:9", "0:100:5 0:100:5"] {
            assert!(maps(text).unwrap_err().contains(": overlaps 0:100:5"), "{text}");
        }
    }
}
