//! Versions of CRIU.

use std::fmt;

/// The first CRIU that podman takes (pkg/criu: MinCriuVersion), and the first for pods (PodCriuVersion).
pub const MIN_CRIU: u32 = 31_100;
/// For pods, whose containers join the namespaces of another.
pub const MIN_CRIU_POD: u32 = 31_600;

/// CRIU's version as the number podman and go-criu make of it: 4.1.1 is 40101.
pub fn criu_number(version_text: &str) -> Option<u32> {
    let version = version_text.lines().find_map(|line| line.trim().strip_prefix("Version:"))?.trim();
    let mut parts = version.split(['.', '-', '+']).map_while(|part| part.parse::<u32>().ok());
    let (major, minor, patch) = (parts.next()?, parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    major.checked_mul(10_000)?.checked_add(minor.checked_mul(100)?)?.checked_add(patch)
}

/// A version of CRIU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
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
    fn versions_of_criu_become_podmans_number() {
        assert_eq!(criu_number("Version: 4.1.1"), Some(40_101));
        assert_eq!(criu_number("Warn: x\nVersion: 3.17"), Some(31_700));
        assert_eq!(criu_number("Version: 4.2-dev\nGitID: x"), Some(40_200));
        assert_eq!(criu_number("criu?"), None);
        assert_eq!(criu_number("Version: 4294967295.1"), None);
    }
}
