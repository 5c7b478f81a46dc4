//! The cgroup version of a host.

use std::path::Path;

/// The version of the cgroup hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupVersion {
    V1,
    V2,
}

impl CgroupVersion {
    /// Returns the version of this host: on v2 `/sys/fs/cgroup` is the hierarchy itself, on v1 a
    /// directory of hierarchies.
    pub fn of_host() -> CgroupVersion {
        if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            CgroupVersion::V2
        } else {
            CgroupVersion::V1
        }
    }
}
