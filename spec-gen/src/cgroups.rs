//! The cgroup hierarchy of the host and the container's path in it.

use std::path::Path;

/// Which hierarchy the host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

impl Version {
    /// What this host has: on v2 `/sys/fs/cgroup` is the hierarchy itself, on v1 a directory of hierarchies.
    pub fn of_host() -> Version {
        if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { Version::V2 } else { Version::V1 }
    }
}
