//! The keys of the runtime-spec that rules read and change.
//!
//! [`Spec`](super::Spec) accepts only these constants as paths, so that a misspelt key does not
//! compile. Each constant is named after its path.

use std::fmt;

/// A key of the runtime-spec: its path of object keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(&'static str);

impl Key {
    /// Returns the path, with a dot between the keys: `process.user.uid`.
    pub fn path(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Defines the constants, and a list of all constants for the test.
macro_rules! keys {
    ($($name:ident = $path:literal;)*) => {
        $(pub const $name: Key = Key($path);)*

        #[cfg(test)]
        const ALL: &[Key] = &[$($name),*];
    };
}

keys! {
    ANNOTATIONS = "annotations";
    DOMAINNAME = "domainname";
    HOOKS = "hooks";
    HOOKS_POSTSTART = "hooks.poststart";
    HOOKS_POSTSTOP = "hooks.poststop";
    HOOKS_PRESTART = "hooks.prestart";
    HOSTNAME = "hostname";
    LINUX_CGROUPS_PATH = "linux.cgroupsPath";
    LINUX_DEVICES = "linux.devices";
    LINUX_GID_MAPPINGS = "linux.gidMappings";
    LINUX_INTEL_RDT = "linux.intelRdt";
    LINUX_INTEL_RDT_CLOS_ID = "linux.intelRdt.closID";
    LINUX_INTEL_RDT_L3_CACHE_SCHEMA = "linux.intelRdt.l3CacheSchema";
    LINUX_INTEL_RDT_MEM_BW_SCHEMA = "linux.intelRdt.memBwSchema";
    LINUX_MASKED_PATHS = "linux.maskedPaths";
    LINUX_MEMORY_POLICY_NODES = "linux.memoryPolicy.nodes";
    LINUX_MOUNT_LABEL = "linux.mountLabel";
    LINUX_NAMESPACES = "linux.namespaces";
    LINUX_NET_DEVICES = "linux.netDevices";
    LINUX_PERSONALITY = "linux.personality";
    LINUX_READONLY_PATHS = "linux.readonlyPaths";
    LINUX_RESOURCES_BLOCK_IO_LEAF_WEIGHT = "linux.resources.blockIO.leafWeight";
    LINUX_RESOURCES_BLOCK_IO_THROTTLE_READ_BPS_DEVICE = "linux.resources.blockIO.throttleReadBpsDevice";
    LINUX_RESOURCES_BLOCK_IO_THROTTLE_READ_IOPS_DEVICE = "linux.resources.blockIO.throttleReadIOPSDevice";
    LINUX_RESOURCES_BLOCK_IO_THROTTLE_WRITE_BPS_DEVICE = "linux.resources.blockIO.throttleWriteBpsDevice";
    LINUX_RESOURCES_BLOCK_IO_THROTTLE_WRITE_IOPS_DEVICE = "linux.resources.blockIO.throttleWriteIOPSDevice";
    LINUX_RESOURCES_BLOCK_IO_WEIGHT = "linux.resources.blockIO.weight";
    LINUX_RESOURCES_BLOCK_IO_WEIGHT_DEVICE = "linux.resources.blockIO.weightDevice";
    LINUX_RESOURCES_CPU_CPUS = "linux.resources.cpu.cpus";
    LINUX_RESOURCES_CPU_IDLE = "linux.resources.cpu.idle";
    LINUX_RESOURCES_CPU_MEMS = "linux.resources.cpu.mems";
    LINUX_RESOURCES_CPU_PERIOD = "linux.resources.cpu.period";
    LINUX_RESOURCES_CPU_QUOTA = "linux.resources.cpu.quota";
    LINUX_RESOURCES_CPU_REALTIME_PERIOD = "linux.resources.cpu.realtimePeriod";
    LINUX_RESOURCES_CPU_REALTIME_RUNTIME = "linux.resources.cpu.realtimeRuntime";
    LINUX_RESOURCES_CPU_SHARES = "linux.resources.cpu.shares";
    LINUX_RESOURCES_DEVICES = "linux.resources.devices";
    LINUX_RESOURCES_HUGEPAGE_LIMITS = "linux.resources.hugepageLimits";
    LINUX_RESOURCES_MEMORY_DISABLE_OOM_KILLER = "linux.resources.memory.disableOOMKiller";
    LINUX_RESOURCES_MEMORY_KERNEL = "linux.resources.memory.kernel";
    LINUX_RESOURCES_MEMORY_KERNEL_TCP = "linux.resources.memory.kernelTCP";
    LINUX_RESOURCES_MEMORY_LIMIT = "linux.resources.memory.limit";
    LINUX_RESOURCES_MEMORY_RESERVATION = "linux.resources.memory.reservation";
    LINUX_RESOURCES_MEMORY_SWAP = "linux.resources.memory.swap";
    LINUX_RESOURCES_MEMORY_SWAPPINESS = "linux.resources.memory.swappiness";
    LINUX_RESOURCES_NETWORK_CLASS_ID = "linux.resources.network.classID";
    LINUX_RESOURCES_NETWORK_PRIORITIES = "linux.resources.network.priorities";
    LINUX_RESOURCES_PIDS_LIMIT = "linux.resources.pids.limit";
    LINUX_RESOURCES_UNIFIED = "linux.resources.unified";
    LINUX_ROOTFS_PROPAGATION = "linux.rootfsPropagation";
    LINUX_SECCOMP = "linux.seccomp";
    LINUX_SYSCTL = "linux.sysctl";
    LINUX_TIME_OFFSETS = "linux.timeOffsets";
    LINUX_UID_MAPPINGS = "linux.uidMappings";
    MOUNTS = "mounts";
    OCI_VERSION = "ociVersion";
    PROCESS = "process";
    PROCESS_APPARMOR_PROFILE = "process.apparmorProfile";
    PROCESS_ARGS = "process.args";
    PROCESS_CAPABILITIES = "process.capabilities";
    PROCESS_CAPABILITIES_AMBIENT = "process.capabilities.ambient";
    PROCESS_CAPABILITIES_BOUNDING = "process.capabilities.bounding";
    PROCESS_CAPABILITIES_EFFECTIVE = "process.capabilities.effective";
    PROCESS_CAPABILITIES_INHERITABLE = "process.capabilities.inheritable";
    PROCESS_CAPABILITIES_PERMITTED = "process.capabilities.permitted";
    PROCESS_CONSOLE_SIZE = "process.consoleSize";
    PROCESS_CWD = "process.cwd";
    PROCESS_ENV = "process.env";
    PROCESS_EXEC_CPU_AFFINITY_FINAL = "process.execCPUAffinity.final";
    PROCESS_EXEC_CPU_AFFINITY_INITIAL = "process.execCPUAffinity.initial";
    PROCESS_IO_PRIORITY_PRIORITY = "process.ioPriority.priority";
    PROCESS_NO_NEW_PRIVILEGES = "process.noNewPrivileges";
    PROCESS_OOM_SCORE_ADJ = "process.oomScoreAdj";
    PROCESS_RLIMITS = "process.rlimits";
    PROCESS_SCHEDULER = "process.scheduler";
    PROCESS_SCHEDULER_DEADLINE = "process.scheduler.deadline";
    PROCESS_SCHEDULER_NICE = "process.scheduler.nice";
    PROCESS_SCHEDULER_PERIOD = "process.scheduler.period";
    PROCESS_SCHEDULER_POLICY = "process.scheduler.policy";
    PROCESS_SCHEDULER_PRIORITY = "process.scheduler.priority";
    PROCESS_SCHEDULER_RUNTIME = "process.scheduler.runtime";
    PROCESS_SELINUX_LABEL = "process.selinuxLabel";
    PROCESS_TERMINAL = "process.terminal";
    PROCESS_USER_ADDITIONAL_GIDS = "process.user.additionalGids";
    PROCESS_USER_GID = "process.user.gid";
    PROCESS_USER_UID = "process.user.uid";
    PROCESS_USER_UMASK = "process.user.umask";
    ROOT_PATH = "root.path";
    ROOT_READONLY = "root.readonly";
}

/// The five capability sets, in the order in which runc lists them.
pub const CAPABILITY_SETS: [Key; 5] = [
    PROCESS_CAPABILITIES_BOUNDING,
    PROCESS_CAPABILITIES_EFFECTIVE,
    PROCESS_CAPABILITIES_PERMITTED,
    PROCESS_CAPABILITIES_INHERITABLE,
    PROCESS_CAPABILITIES_AMBIENT,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key of the JSON Schema of runtime-spec 1.3, one per line.
    const SCHEMA: &str = include_str!("../../tests/data/runtime-spec-1.3-keys");

    #[test]
    fn every_key_is_in_the_schema_of_the_runtime_spec() {
        for key in ALL {
            let is_known = SCHEMA.lines().any(|line| {
                line.strip_prefix(key.path())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            });
            assert!(is_known, "{key}");
        }
    }
}
