//! The command line, and nothing else.

use std::path::PathBuf;

use clap::{Args as Group, Parser, ValueEnum};
use cli::args::{Common, OutputFile};

use crate::compat::Compat;
use crate::idmap::IdMap;
use crate::namespaces::{Mode, Peer};
use crate::resources::bytes;
use crate::values::{cpus, signal, size, umask};

/// Write an OCI runtime config.json from a spec, a container config, an image config or flags
///
/// Reads one JSON document (standard input unless a flag names another), changes what the flags ask for and
/// writes the result to standard output. Unknown keys, key order and 64-bit integers survive; without flags
/// nothing changes. Nothing else on the host is touched, unless --apply says so.
#[derive(Debug, Parser)]
#[command(
    name = "spec-gen",
    version,
    max_term_width = 100,
    override_usage = "spec-gen [--new | --image-config FILE | --container FILE | -i FILE] [OPTIONS]\n                [-- ARGS...] [< SPEC] > config.json",
    after_help = "Examples:\n  \
        spec-gen --new --rootfs rootfs --user alice -v /srv/data:/data -- sh -c 'id; ls /data' > config.json\n  \
        spec-gen --restore --rootfs rootfs --network ns:/run/netns/web -v /srv/data:/data < spec.dump > config.json\n\
        \nSee spec-gen(1).",
    mut_arg("verbose", |arg| arg.short(None))
)]
pub struct Args {
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub process: ProcessArgs,
    #[command(flatten)]
    pub mounts: MountArgs,
    #[command(flatten)]
    pub namespaces: NamespaceArgs,
    #[command(flatten)]
    pub security: SecurityArgs,
    #[command(flatten)]
    pub devices: DeviceArgs,
    #[command(flatten)]
    pub resources: ResourceArgs,
    #[command(flatten)]
    pub cgroups: CgroupArgs,
    #[command(flatten)]
    pub hooks: HookArgs,
    #[command(flatten)]
    pub restore: RestoreArgs,
    #[command(flatten)]
    pub what: WhatArgs,
    #[command(flatten)]
    pub output: OutputFile,
    #[command(flatten)]
    pub common: Common,

    /// The command to run in the container
    #[arg(last = true, value_name = "ARGS", conflicts_with = "restore", help_heading = "Process")]
    pub args: Vec<String>,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Input")]
pub struct InputArgs {
    /// Start from the spec that `runc spec` writes
    #[arg(long, group = "source")]
    pub new: bool,

    /// Start from it with an image's command, environment, user, ... (OCI or Docker image config)
    #[arg(long, value_name = "FILE", group = "source")]
    pub image_config: Option<PathBuf>,

    /// Generate from libpod's container config (config.dump), as podman does
    #[arg(long, value_name = "FILE", group = "source")]
    pub container: Option<PathBuf>,

    /// Read the document from FILE instead of standard input
    #[arg(short, long, value_name = "FILE", group = "source")]
    pub input: Option<PathBuf>,

    /// libpod's state of the container: mountpoint, files it binds, network namespace
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub state: Option<PathBuf>,

    /// Root file system: becomes root.path, and users and links are looked up in it
    #[arg(long, value_name = "DIR")]
    pub rootfs: Option<PathBuf>,

    /// Write PATH as root.path, as it stands
    #[arg(long, value_name = "PATH", alias = "rootfs-path", hide_short_help = true)]
    pub root_path: Option<String>,

    /// The container's id
    #[arg(long, value_name = "ID", hide_short_help = true)]
    pub id: Option<String>,

    /// With --new: for an ordinary user, as `runc spec --rootless`
    #[arg(long, requires = "new", hide_short_help = true)]
    pub rootless: bool,

    /// Write VERSION as ociVersion
    #[arg(long, value_name = "VERSION", hide_short_help = true)]
    pub oci_version: Option<String>,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Process")]
#[group(id = "process-flags", multiple = true, conflicts_with = "restore")]
pub struct ProcessArgs {
    /// Run as USER[:GROUP], names of the root file system or numbers
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,

    /// Add a supplementary group
    #[arg(long, value_name = "GROUP", hide_short_help = true)]
    pub group_add: Vec<String>,

    /// Let this host user's entry count where the image has none
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub hostuser: Vec<String>,

    /// Write passwd and group with an entry for an unknown numeric user into DIR and bind them (--apply)
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub passwd_out: Option<PathBuf>,

    /// Set a variable; NAME alone takes the value spec-gen has
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,

    /// Set the variables in FILE, one NAME=VALUE on a line
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub env_file: Vec<PathBuf>,

    /// Remove a variable
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub unsetenv: Vec<String>,

    /// Remove all variables
    #[arg(long, hide_short_help = true)]
    pub unsetenv_all: bool,

    /// Set a variable to the content of FILE
    #[arg(long, value_name = "NAME=FILE", value_parser = cli::args::name_value, hide_short_help = true)]
    pub secret_env: Vec<(String, PathBuf)>,

    /// Pass LISTEN_FDS and LISTEN_FDNAMES on
    #[arg(long, hide_short_help = true)]
    pub listen_fds: bool,

    /// Command before ARGS; a JSON array for more than one word
    #[arg(long, value_name = "COMMAND", hide_short_help = true)]
    pub entrypoint: Option<String>,

    /// Start ARGS under this init, bound to /run/podman-init
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub init_path: Option<PathBuf>,

    /// Working directory
    #[arg(short, long, value_name = "DIR", alias = "process-cwd")]
    pub workdir: Option<String>,

    /// What to do when the working directory is not in the root file system
    #[arg(long, value_name = "WHAT", default_value = "error", hide_short_help = true)]
    pub check_cwd: CheckCwd,

    /// With a terminal (sets TERM=xterm unless TERM is set); --tty=false without
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", alias = "process-terminal", hide_possible_values = true)]
    pub tty: Option<bool>,

    /// Size of the terminal
    #[arg(long, value_name = "WxH", value_parser = size, alias = "process-consolesize", hide_short_help = true)]
    pub console_size: Option<(u64, u64)>,

    /// Umask, in octal
    #[arg(long, value_name = "MODE", value_parser = umask, alias = "process-umask", hide_short_help = true)]
    pub umask: Option<String>,

    /// LINUX or LINUX32
    #[arg(long, value_name = "DOMAIN", hide_short_help = true)]
    pub personality: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckCwd {
    Error,
    Warn,
    Off,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Mounts")]
pub struct MountArgs {
    /// Mount a host directory or file, or a named volume; with --restore: re-point the mount at DST
    #[arg(short, long, value_name = "SRC:DST[:OPTS]")]
    pub volume: Vec<String>,

    /// Mount, in podman's long notation
    #[arg(long, value_name = "type=TYPE,...", conflicts_with = "restore", hide_short_help = true)]
    pub mount: Vec<String>,

    /// Mount an empty tmpfs
    #[arg(long, value_name = "DST[:OPTS]", conflicts_with = "restore")]
    pub tmpfs: Vec<String>,

    /// Root file system read-only; --read-only=false writable
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", alias = "rootfs-readonly", hide_possible_values = true, hide_short_help = true, conflicts_with = "restore")]
    pub read_only: Option<bool>,

    /// With --read-only: tmpfs on /tmp, /var/tmp and /run, /dev/shm writable
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, hide_short_help = true, conflicts_with = "restore")]
    pub read_only_tmpfs: Option<bool>,

    /// Bind a file a container manager makes (/etc/hosts, ...), unless there is a mount
    #[arg(long, value_name = "DST=SRC", value_parser = cli::args::name_value, hide_short_help = true)]
    pub bind_mount: Vec<(String, PathBuf)>,

    /// Host directory for /dev/shm
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub shm_dir: Option<PathBuf>,

    /// Size of a tmpfs on /dev/shm
    #[arg(long, value_name = "SIZE", value_parser = bytes, hide_short_help = true, conflicts_with = "restore")]
    pub shm_size: Option<i64>,

    /// Host directory of a named volume
    #[arg(long, value_name = "NAME=DIR", value_parser = cli::args::name_value, hide_short_help = true)]
    pub volume_path: Vec<(String, PathBuf)>,

    /// Directory whose NAME/_data are the named volumes
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub volume_root: Option<PathBuf>,

    /// Where the tree of an image is mounted, for image volumes
    #[arg(long, value_name = "IMAGE=DIR", value_parser = cli::args::name_value, hide_short_help = true, conflicts_with = "restore")]
    pub image_mount: Vec<(String, PathBuf)>,

    /// Directory for what containers write to overlay volumes
    #[arg(long, value_name = "DIR", hide_short_help = true, conflicts_with = "restore")]
    pub overlay_dir: Option<PathBuf>,

    /// Remove the mount at DST
    #[arg(long, value_name = "DST", alias = "mounts-remove", hide_short_help = true)]
    pub mount_remove: Vec<String>,

    /// Remove all mounts before others are added
    #[arg(long, alias = "mounts-remove-all", hide_short_help = true, conflicts_with = "restore")]
    pub mount_remove_all: bool,

    /// How mounts pass between host and root file system: private, slave, shared, ...
    #[arg(
        long,
        value_name = "MODE",
        alias = "linux-rootfs-propagation",
        hide_short_help = true,
        conflicts_with = "restore"
    )]
    pub rootfs_propagation: Option<String>,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Namespaces")]
pub struct NamespaceArgs {
    /// Host name
    #[arg(long, value_name = "NAME", conflicts_with = "restore", hide_short_help = true)]
    pub hostname: Option<String>,

    /// NIS domain name
    #[arg(long, value_name = "NAME", conflicts_with = "restore", hide_short_help = true)]
    pub domainname: Option<String>,

    /// Network: host, private, none, ns:PATH, container:ID
    #[arg(long, value_name = "MODE", value_parser = Mode::parse, alias = "net")]
    pub network: Option<Mode>,

    /// PID namespace: as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse)]
    pub pid: Option<Mode>,

    /// IPC namespace: as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse, hide_short_help = true)]
    pub ipc: Option<Mode>,

    /// UTS namespace (host name): as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse, hide_short_help = true)]
    pub uts: Option<Mode>,

    /// User namespace: as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse, hide_short_help = true)]
    pub userns: Option<Mode>,

    /// Cgroup namespace: as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse, hide_short_help = true)]
    pub cgroupns: Option<Mode>,

    /// Time namespace: as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse, hide_short_help = true)]
    pub time: Option<Mode>,

    /// Map user ids: container id, host id, count; makes a user namespace
    #[arg(long, value_name = "C:H:SIZE", value_parser = IdMap::parse, conflicts_with = "restore", hide_short_help = true)]
    pub uidmap: Vec<IdMap>,

    /// Map group ids; as --uidmap where not given
    #[arg(long, value_name = "C:H:SIZE", value_parser = IdMap::parse, conflicts_with = "restore", hide_short_help = true)]
    pub gidmap: Vec<IdMap>,

    /// The pid behind a container:ID, and its host name
    #[arg(long, value_name = "ID=PID[,hostname=H]", value_parser = Peer::parse, hide_short_help = true)]
    pub container_pid: Vec<Peer>,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Security")]
pub struct SecurityArgs {
    /// All capabilities, all devices, nothing masked
    #[arg(long, hide_short_help = true, conflicts_with = "restore")]
    pub privileged: bool,

    /// Add a capability, or ALL
    #[arg(
        long,
        value_name = "CAP",
        alias = "process-cap-add",
        hide_short_help = true,
        conflicts_with = "restore"
    )]
    pub cap_add: Vec<String>,

    /// Drop a capability, or ALL
    #[arg(
        long,
        value_name = "CAP",
        alias = "process-cap-drop",
        hide_short_help = true,
        conflicts_with = "restore"
    )]
    pub cap_drop: Vec<String>,

    /// Programs gain no privileges; =false: they may
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", alias = "process-no-new-privileges", hide_possible_values = true, hide_short_help = true, conflicts_with = "restore")]
    pub no_new_privileges: Option<bool>,

    /// Seccomp profile, or unconfined
    #[arg(long, value_name = "FILE", hide_short_help = true, conflicts_with = "restore")]
    pub seccomp: Option<String>,

    /// AppArmor profile
    #[arg(long, value_name = "PROFILE", alias = "linux-apparmor", hide_short_help = true)]
    pub apparmor: Option<String>,

    /// SELinux label of the process
    #[arg(long, value_name = "LABEL", alias = "linux-selinux-label", hide_short_help = true)]
    pub selinux_label: Option<String>,

    /// SELinux label of the mounts
    #[arg(long, value_name = "LABEL", alias = "linux-mount-label", hide_short_help = true)]
    pub mount_label: Option<String>,

    /// Hide a path
    #[arg(
        long,
        value_name = "PATH[:PATH]",
        alias = "linux-masked-paths",
        hide_short_help = true,
        conflicts_with = "restore"
    )]
    pub mask: Vec<String>,

    /// Show a path that is hidden or read-only; ALL for all
    #[arg(long, value_name = "PATH[:PATH]", hide_short_help = true, conflicts_with = "restore")]
    pub unmask: Vec<String>,

    /// podman's notation for these: seccomp=FILE, apparmor=PROFILE, mask=PATH, no-new-privileges, ...
    #[arg(long, value_name = "OPT", conflicts_with = "restore", hide_short_help = true)]
    pub security_opt: Vec<String>,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Devices")]
#[group(id = "device-flags", multiple = true, conflicts_with = "restore")]
pub struct DeviceArgs {
    /// Add a device of the host, or a CDI device by name (vendor.com/class=name)
    #[arg(long, value_name = "SRC[:DST][:rwm]", hide_short_help = true)]
    pub device: Vec<String>,

    /// Add NVIDIA GPUs through CDI: all, or one by its name
    #[arg(long, value_name = "GPU", hide_short_help = true)]
    pub gpus: Vec<String>,

    /// Allow devices: 'TYPE MAJOR:MINOR ACCESS'
    #[arg(long, value_name = "RULE", hide_short_help = true)]
    pub device_cgroup_rule: Vec<String>,

    /// Directory with CDI files, instead of /etc/cdi and /var/run/cdi
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub cdi_spec_dir: Vec<PathBuf>,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Limits")]
pub struct ResourceArgs {
    /// Memory limit
    #[arg(short, long, value_name = "SIZE", value_parser = bytes, alias = "linux-mem-limit", hide_short_help = true)]
    pub memory: Option<i64>,

    /// Memory and swap together; -1 unlimited
    #[arg(long, value_name = "SIZE", value_parser = bytes, allow_hyphen_values = true, alias = "linux-mem-swap", hide_short_help = true)]
    pub memory_swap: Option<i64>,

    /// Memory soft limit
    #[arg(long, value_name = "SIZE", value_parser = bytes, alias = "linux-mem-reservation", hide_short_help = true)]
    pub memory_reservation: Option<i64>,

    /// Swappiness
    #[arg(long, value_name = "0-100", value_parser = clap::value_parser!(u64).range(0..=100), alias = "linux-mem-swappiness", hide_short_help = true)]
    pub memory_swappiness: Option<u64>,

    /// Do not kill for lack of memory
    #[arg(long, alias = "linux-disable-oom-kill", hide_short_help = true)]
    pub oom_kill_disable: bool,

    /// Who is killed first for lack of memory
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(-1000..=1000), allow_hyphen_values = true, alias = "linux-oom-score-adj", hide_short_help = true)]
    pub oom_score_adj: Option<i32>,

    /// Number of CPUs
    #[arg(long, value_name = "N", value_parser = cpus, hide_short_help = true)]
    pub cpus: Option<f64>,

    /// Relative weight
    #[arg(long, value_name = "N", alias = "linux-cpu-shares", hide_short_help = true)]
    pub cpu_shares: Option<u64>,

    /// Period in microseconds
    #[arg(long, value_name = "N", alias = "linux-cpu-period", hide_short_help = true)]
    pub cpu_period: Option<u64>,

    /// Quota in microseconds
    #[arg(
        long,
        value_name = "N",
        allow_hyphen_values = true,
        alias = "linux-cpu-quota",
        hide_short_help = true
    )]
    pub cpu_quota: Option<i64>,

    /// Realtime period in microseconds
    #[arg(long, value_name = "N", alias = "linux-realtime-period", hide_short_help = true)]
    pub cpu_rt_period: Option<u64>,

    /// Realtime quota in microseconds
    #[arg(
        long,
        value_name = "N",
        allow_hyphen_values = true,
        alias = "linux-realtime-runtime",
        hide_short_help = true
    )]
    pub cpu_rt_runtime: Option<i64>,

    /// CPUs to run on
    #[arg(long, value_name = "LIST", alias = "linux-cpus", hide_short_help = true)]
    pub cpuset_cpus: Option<String>,

    /// Memory nodes to use
    #[arg(long, value_name = "LIST", alias = "linux-mems", hide_short_help = true)]
    pub cpuset_mems: Option<String>,

    /// Number of processes; -1 unlimited
    #[arg(
        long,
        value_name = "N",
        allow_hyphen_values = true,
        alias = "linux-pids-limit",
        hide_short_help = true
    )]
    pub pids_limit: Option<i64>,

    /// Block I/O weight
    #[arg(long, value_name = "10-1000", value_parser = clap::value_parser!(u16).range(10..=1000), alias = "linux-blkio-weight", hide_short_help = true)]
    pub blkio_weight: Option<u16>,

    /// Bytes a second read from a device
    #[arg(long, value_name = "DEVICE:SIZE", hide_short_help = true)]
    pub device_read_bps: Vec<String>,

    /// Bytes a second written to a device
    #[arg(long, value_name = "DEVICE:SIZE", hide_short_help = true)]
    pub device_write_bps: Vec<String>,

    /// Reads a second from a device
    #[arg(long, value_name = "DEVICE:N", hide_short_help = true)]
    pub device_read_iops: Vec<String>,

    /// Writes a second to a device
    #[arg(long, value_name = "DEVICE:N", hide_short_help = true)]
    pub device_write_iops: Vec<String>,

    /// Limit of huge pages of a size, as 2MB=64m
    #[arg(long, value_name = "SIZE=BYTES", hide_short_help = true)]
    pub hugetlb: Vec<String>,

    /// cgroup v2 file and its content
    #[arg(long, value_name = "KEY=VALUE", hide_short_help = true)]
    pub cgroup_conf: Vec<String>,

    /// Kernel parameter of a namespace
    #[arg(
        long,
        value_name = "KEY=VALUE",
        alias = "linux-sysctl",
        conflicts_with = "restore",
        hide_short_help = true
    )]
    pub sysctl: Vec<String>,

    /// Limit of the process: nofile=1024:2048
    #[arg(long, value_name = "NAME=SOFT[:HARD]", conflicts_with = "restore", hide_short_help = true)]
    pub ulimit: Vec<String>,

    /// podman's limits on open files and processes where there are none (asks the host for its own)
    #[arg(long, conflicts_with = "restore", hide_short_help = true)]
    pub default_rlimits: bool,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Cgroups")]
pub struct CgroupArgs {
    /// Cgroup path, as the runtime wants it; empty removes it
    #[arg(long, value_name = "PATH", alias = "linux-cgroups-path", hide_short_help = true)]
    pub cgroups_path: Option<String>,

    /// Form of the cgroup path made from --id and --cgroup-parent
    #[arg(long, value_name = "cgroupfs|systemd", hide_short_help = true)]
    pub cgroup_manager: Option<String>,

    /// Parent of the container's cgroup; a slice for systemd
    #[arg(long, value_name = "PATH", hide_short_help = true)]
    pub cgroup_parent: Option<String>,

    /// enabled, disabled, no-conmon or split
    #[arg(long, value_name = "MODE", hide_short_help = true)]
    pub cgroups: Option<String>,

    /// The host's cgroup version, if not this host's
    #[arg(long, value_name = "1|2", value_parser = clap::value_parser!(u8).range(1..=2), hide_short_help = true)]
    pub cgroup_version: Option<u8>,

    /// Prepare for systemd as the command: true if it is, always, false
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "true", conflicts_with = "restore", hide_short_help = true)]
    pub systemd: Option<Systemd>,

    /// Size of each of systemd's tmpfs mounts
    #[arg(long, value_name = "SIZE", value_parser = bytes, hide_short_help = true, conflicts_with = "restore")]
    pub shm_size_systemd: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Systemd {
    True,
    Always,
    False,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Annotations and hooks")]
pub struct HookArgs {
    /// Set an annotation
    #[arg(long, value_name = "KEY=VALUE", alias = "label", hide_short_help = true)]
    pub annotation: Vec<String>,

    /// Signal that stops the container, a number or name
    #[arg(long, value_name = "SIGNAL", value_parser = signal, hide_short_help = true)]
    pub stop_signal: Option<u64>,

    /// Seconds until it is killed
    #[arg(long, value_name = "SECONDS", hide_short_help = true)]
    pub stop_timeout: Option<u64>,

    /// Directory with hook files, oci-hooks(5)
    #[arg(long, value_name = "DIR", conflicts_with = "restore", hide_short_help = true)]
    pub hooks_dir: Vec<PathBuf>,

    /// Add a hook
    #[arg(long, value_name = "STAGE:PATH[,ARG...]", conflicts_with = "restore", hide_short_help = true)]
    pub hook: Vec<String>,

    /// Do not run precreate hooks, which may change the spec
    #[arg(long, hide_short_help = true, conflicts_with = "restore")]
    pub no_precreate: bool,

    /// Behave as this podman in annotations, hooks and HOME
    #[arg(
        long,
        value_name = "VERSION",
        default_value = "none",
        hide_short_help = true,
        hide_default_value = true
    )]
    pub compat: Compat,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Restore")]
pub struct RestoreArgs {
    /// The input is the spec.dump of a checkpoint: drop what its machine must not dictate to this one
    #[arg(long, conflicts_with_all = ["new", "image_config", "container"])]
    pub restore: bool,

    /// Take /etc/hosts, /etc/resolv.conf, /dev/shm, ... from DIR/hosts, DIR/resolv.conf, DIR/shm, ... (--apply makes them)
    #[arg(long, value_name = "DIR", requires = "restore")]
    pub manager_files: Option<PathBuf>,

    /// Keep hooks, host paths and namespace paths the archive brings: it can then do anything root can
    #[arg(long, requires = "restore", hide_short_help = true)]
    pub trust_archive: bool,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Output")]
pub struct WhatArgs {
    /// Instead of the spec: a unified diff of input and output
    #[arg(long, group = "what")]
    pub diff: bool,

    /// Instead of the spec: one line for each change and its reason
    #[arg(long, group = "what")]
    pub explain: bool,

    /// Check the result against the runtime-spec before it is written
    #[arg(long)]
    pub validate: bool,

    /// Write what must be done on the host besides, as JSON lines
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub actions: Option<PathBuf>,

    /// Do it: chown, relabel, make overlay directories
    #[arg(long, hide_short_help = true, conflicts_with = "what")]
    pub apply: bool,

    /// Write no line breaks
    #[arg(long, hide_short_help = true)]
    pub compact: bool,
}

impl cli::Arguments for Args {
    fn common(&self) -> &Common {
        &self.common
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn flags_that_a_restored_process_would_ignore_are_refused() {
        for flags in [
            &["--user", "0"][..],
            &["-e", "A=1"],
            &["--cap-add", "ALL"],
            &["--device", "/dev/null"],
            &["--tmpfs", "/t"],
            &["--hostname", "x"],
            &["--read-only"],
            &["--seccomp", "x"],
            &["--", "sh"],
        ] {
            let line = ["spec-gen", "--restore"].iter().chain(flags);
            assert!(Args::try_parse_from(line).is_err(), "{flags:?}");
        }
        assert!(Args::try_parse_from(["spec-gen", "--restore", "--network", "host", "-m", "1g"]).is_ok());
    }
}
