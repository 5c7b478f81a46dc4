//! The flags of `oci-runtime-tool generate` that have their own notation. They exist for scripts, and no
//! help text shows them.
//!
//! A flag that differs only in its name is an alias of the flag of spec-gen instead. Switches accept
//! `=true` and `=false`, as in Go.

use clap::Args as Group;
use serde_json::Value;

use crate::notation::boolean::boolean;
use crate::notation::limits::bytes;
use crate::notation::oci_runtime_tool::{self, Change, Device, Limit, Rule};

#[derive(Debug, Default, Group)]
#[group(id = "runtime-tool-flags", multiple = true, conflicts_with = "restore")]
pub struct RuntimeToolArgs {
    /// Adds a word to the command.
    #[arg(long = "args", id = "words", value_name = "WORD", allow_hyphen_values = true, conflicts_with_all = ["args", "entrypoint"], hide = true)]
    pub words: Vec<String>,
    #[arg(long, value_name = "UID", conflicts_with = "user", hide = true)]
    pub process_uid: Option<u32>,
    #[arg(long, value_name = "GID", conflicts_with = "user", hide = true)]
    pub process_gid: Option<u32>,

    #[arg(long, value_name = "CAP", hide = true)]
    pub process_cap_add_ambient: Vec<String>,
    #[arg(long, value_name = "CAP", hide = true)]
    pub process_cap_add_bounding: Vec<String>,
    #[arg(long, value_name = "CAP", hide = true)]
    pub process_cap_add_effective: Vec<String>,
    #[arg(long, value_name = "CAP", hide = true)]
    pub process_cap_add_inheritable: Vec<String>,
    #[arg(long, value_name = "CAP", hide = true)]
    pub process_cap_add_permitted: Vec<String>,
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    pub process_cap_drop_all: Option<bool>,
    #[arg(long, value_name = "CAP", hide = true)]
    pub process_cap_drop_ambient: Vec<String>,
    #[arg(long, value_name = "CAP", hide = true)]
    pub process_cap_drop_bounding: Vec<String>,
    #[arg(long, value_name = "CAP", hide = true)]
    pub process_cap_drop_effective: Vec<String>,
    #[arg(long, value_name = "CAP", hide = true)]
    pub process_cap_drop_inheritable: Vec<String>,
    #[arg(long, value_name = "CAP", hide = true)]
    pub process_cap_drop_permitted: Vec<String>,

    #[arg(long, value_name = "TYPE:HARD:SOFT", value_parser = oci_runtime_tool::rlimit, hide = true)]
    pub process_rlimits_add: Vec<Limit>,
    #[arg(long, value_name = "TYPE", hide = true)]
    pub process_rlimits_remove: Vec<String>,
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    pub process_rlimits_remove_all: Option<bool>,

    /// Makes the root read-only, but does not add the tmpfs mounts that `--read-only` adds.
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", conflicts_with = "read_only", hide = true)]
    pub rootfs_readonly: Option<bool>,

    #[arg(long, value_name = "JSON", value_parser = oci_runtime_tool::json, hide = true)]
    pub mounts_add: Vec<Value>,

    #[arg(long, value_name = "JSON", value_parser = oci_runtime_tool::json, hide = true)]
    pub hooks_prestart_add: Vec<Value>,
    #[arg(long, value_name = "JSON", value_parser = oci_runtime_tool::json, hide = true)]
    pub hooks_poststart_add: Vec<Value>,
    #[arg(long, value_name = "JSON", value_parser = oci_runtime_tool::json, hide = true)]
    pub hooks_poststop_add: Vec<Value>,
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    pub hooks_prestart_remove_all: Option<bool>,
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    pub hooks_poststart_remove_all: Option<bool>,
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    pub hooks_poststop_remove_all: Option<bool>,

    #[arg(long, value_name = "TYPE[:PATH]", value_parser = oci_runtime_tool::namespace, hide = true)]
    pub linux_namespace_add: Vec<(&'static str, Option<String>)>,
    #[arg(long, value_name = "TYPE", value_parser = oci_runtime_tool::namespace_type, hide = true)]
    pub linux_namespace_remove: Vec<&'static str>,
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    pub linux_namespace_remove_all: Option<bool>,
    /// Rejected, because the host ID comes first, unlike in `--uidmap`.
    #[arg(long, value_name = "HOST:CONTAINER:SIZE", hide = true)]
    pub linux_uidmappings: Vec<String>,
    #[arg(long, value_name = "HOST:CONTAINER:SIZE", hide = true)]
    pub linux_gidmappings: Vec<String>,
    #[arg(long, value_name = "PATH", hide = true)]
    pub linux_readonly_paths: Vec<String>,

    #[arg(long, value_name = "TYPE:MAJOR:MINOR:PATH[:fileMode=N][:uid=N][:gid=N]", value_parser = oci_runtime_tool::device, hide = true)]
    pub linux_device_add: Vec<Device>,
    #[arg(long, value_name = "PATH", hide = true)]
    pub linux_device_remove: Vec<String>,
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    pub linux_device_remove_all: Option<bool>,
    #[arg(long, value_name = "allow|deny[,type=T][,major=N][,minor=N][,access=A]", value_parser = oci_runtime_tool::rule, hide = true)]
    pub linux_device_cgroup_add: Vec<Rule>,
    #[arg(long, value_name = "allow|deny[,type=T][,major=N][,minor=N][,access=A]", value_parser = oci_runtime_tool::rule, hide = true)]
    pub linux_device_cgroup_remove: Vec<Rule>,

    /// Limits the memory, but does not limit swap as `--memory` does.
    #[arg(long, value_name = "SIZE", value_parser = bytes, conflicts_with = "memory", hide = true)]
    pub linux_mem_limit: Option<i64>,
    #[arg(long, value_name = "SIZE", value_parser = bytes, hide = true)]
    pub linux_mem_kernel_limit: Option<i64>,
    #[arg(long, value_name = "SIZE", value_parser = bytes, hide = true)]
    pub linux_mem_kernel_tcp: Option<i64>,
    #[arg(long, value_name = "SIZE:BYTES", value_parser = oci_runtime_tool::named_amount, hide = true)]
    pub linux_hugepage_limits_add: Vec<(String, u64)>,
    #[arg(long, value_name = "SIZE", hide = true)]
    pub linux_hugepage_limits_drop: Vec<String>,
    #[arg(long, value_name = "ID", hide = true)]
    pub linux_network_classid: Option<u32>,
    #[arg(long, value_name = "INTERFACE:PRIORITY", value_parser = oci_runtime_tool::priority, hide = true)]
    pub linux_network_priorities: Vec<(String, Option<u32>)>,
    #[arg(long, value_name = "10-1000", value_parser = clap::value_parser!(u16).range(10..=1000), hide = true)]
    pub linux_blkio_leaf_weight: Option<u16>,
    #[arg(long, value_name = "MAJOR:MINOR:WEIGHT", value_parser = oci_runtime_tool::weight, hide = true)]
    pub linux_blkio_weight_device: Vec<Change>,
    #[arg(long, value_name = "MAJOR:MINOR:WEIGHT", value_parser = oci_runtime_tool::weight, hide = true)]
    pub linux_blkio_leaf_weight_device: Vec<Change>,
    #[arg(long, value_name = "MAJOR:MINOR:RATE", value_parser = oci_runtime_tool::rate, hide = true)]
    pub linux_blkio_read_bps_device: Vec<Change>,
    #[arg(long, value_name = "MAJOR:MINOR:RATE", value_parser = oci_runtime_tool::rate, hide = true)]
    pub linux_blkio_write_bps_device: Vec<Change>,
    #[arg(long, value_name = "MAJOR:MINOR:RATE", value_parser = oci_runtime_tool::rate, hide = true)]
    pub linux_blkio_read_iops_device: Vec<Change>,
    #[arg(long, value_name = "MAJOR:MINOR:RATE", value_parser = oci_runtime_tool::rate, hide = true)]
    pub linux_blkio_write_iops_device: Vec<Change>,
    #[arg(long = "linux-intelRdt-l3CacheSchema", value_name = "SCHEMA", hide = true)]
    pub linux_intel_rdt_l3_cache_schema: Option<String>,
}
