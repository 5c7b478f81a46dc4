//! Versions of CRIU.

use std::fmt;

/// The oldest CRIU that podman accepts (pkg/criu: MinCriuVersion).
pub const MIN_CRIU: u32 = 31_100;
/// The oldest CRIU that podman accepts for a container in a pod, which joins namespaces of another
/// container (pkg/criu: PodCriuVersion).
pub const MIN_CRIU_POD: u32 = 31_600;

/// Parses the output of `criu --version`. Returns the version as the number that podman and go-criu
/// use: 4.1.1 is 40101.
pub fn criu_number(version_text: &str) -> Option<u32> {
    let version = version_text.lines().find_map(|line| line.trim().strip_prefix("Version:"))?.trim();
    let mut parts = version.split(['.', '-', '+']).map_while(|part| part.parse::<u32>().ok());
    let (major, minor, patch) = (parts.next()?, parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    major.checked_mul(10_000)?.checked_add(minor.checked_mul(100)?)?.checked_add(patch)
}

/// A version of CRIU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The major version.
    pub major: u32,
    /// The minor version.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_parsed_to_podmans_number() {
        assert_eq!(criu_number("Version: 4.1.1"), Some(40_101));
        assert_eq!(criu_number("Warn: x\nVersion: 3.17"), Some(31_700));
        assert_eq!(criu_number("Version: 4.2-dev\nGitID: x"), Some(40_200));
        assert_eq!(criu_number("criu?"), None);
        assert_eq!(criu_number("Version: 4294967295.1"), None);
    }
}
