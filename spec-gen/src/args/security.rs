//! The flags under `Security` and `Devices` in the help.

use std::path::PathBuf;

use clap::Args as Group;

use crate::notation::boolean::boolean;

#[derive(Debug, Group)]
#[command(next_help_heading = "Security")]
pub struct SecurityArgs {
    /// Give the process all capabilities and devices, and mask no paths
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, hide_short_help = true, conflicts_with = "restore")]
    pub privileged: Option<bool>,

    /// Add a capability, or ALL capabilities
    #[arg(
        long,
        value_name = "CAP",
        alias = "process-cap-add",
        hide_short_help = true,
        conflicts_with = "restore"
    )]
    pub cap_add: Vec<String>,

    /// Drop a capability, or ALL capabilities
    #[arg(
        long,
        value_name = "CAP",
        alias = "process-cap-drop",
        hide_short_help = true,
        conflicts_with = "restore"
    )]
    pub cap_drop: Vec<String>,

    /// Prevent programs from gaining privileges; =false allows it
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", alias = "process-no-new-privileges", hide_possible_values = true, hide_short_help = true, conflicts_with = "restore")]
    pub no_new_privileges: Option<bool>,

    /// Use the seccomp profile in FILE; unconfined removes the seccomp filter
    #[arg(long, value_name = "FILE", hide_short_help = true, conflicts_with = "restore")]
    pub seccomp: Option<String>,

    /// Set the AppArmor profile
    #[arg(long, value_name = "PROFILE", alias = "linux-apparmor", hide_short_help = true)]
    pub apparmor: Option<String>,

    /// Fail if this host cannot apply the AppArmor profile
    #[arg(long, hide_short_help = true)]
    pub check_host: bool,

    /// Set the SELinux label of the process
    #[arg(long, value_name = "LABEL", alias = "linux-selinux-label", hide_short_help = true)]
    pub selinux_label: Option<String>,

    /// Set the SELinux label of the mounts
    #[arg(long, value_name = "LABEL", alias = "linux-mount-label", hide_short_help = true)]
    pub mount_label: Option<String>,

    /// Mask a path
    #[arg(
        long,
        value_name = "PATH[:PATH]",
        alias = "linux-masked-paths",
        hide_short_help = true,
        conflicts_with = "restore"
    )]
    pub mask: Vec<String>,

    /// Unmask a path that is masked or read-only; ALL unmasks all paths
    #[arg(long, value_name = "PATH[:PATH]", hide_short_help = true, conflicts_with = "restore")]
    pub unmask: Vec<String>,

    /// Options of the mount of `/proc`, such as `hidepid=2`, from `--security-opt proc-opts=`.
    #[arg(skip)]
    pub proc_opts: Vec<String>,

    /// Fields of the SELinux labels with their values, from `--security-opt label=type:container_t`.
    #[arg(skip)]
    pub label_fields: Vec<(String, String)>,

    /// Set a security option in podman's notation: seccomp=FILE, apparmor=PROFILE, mask=PATH,
    /// proc-opts=OPTS, ...
    #[arg(long, value_name = "OPT", conflicts_with = "restore", hide_short_help = true)]
    pub security_opt: Vec<String>,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Devices")]
pub struct DeviceArgs {
    /// Add a device of the host, or a CDI device by name (vendor.com/class=name); with --restore,
    /// re-point the device at DST
    #[arg(long, value_name = "SRC[:DST][:rwm]", hide_short_help = true)]
    pub device: Vec<String>,

    /// Add NVIDIA GPUs through CDI: all, or one by its name
    #[arg(long, value_name = "GPU", conflicts_with = "restore", hide_short_help = true)]
    pub gpus: Vec<String>,

    /// Allow access to devices: 'TYPE MAJOR:MINOR ACCESS'
    #[arg(long, value_name = "RULE", conflicts_with = "restore", hide_short_help = true)]
    pub device_cgroup_rule: Vec<String>,

    /// Read CDI files from DIR instead of /etc/cdi and /var/run/cdi
    #[arg(long, value_name = "DIR", conflicts_with = "restore", hide_short_help = true)]
    pub cdi_spec_dir: Vec<PathBuf>,
}
