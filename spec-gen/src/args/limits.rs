//! `Limits` and `Cgroups` of the help.

use clap::{Args as Group, ValueEnum};

use crate::notation::boolean::boolean;
use crate::notation::limits::{blkio_weight, bytes, cpus, size};

#[derive(Debug, Group)]
#[command(next_help_heading = "Limits")]
pub struct ResourceArgs {
    /// Memory limit
    #[arg(short, long, value_name = "SIZE", value_parser = bytes, hide_short_help = true)]
    pub memory: Option<i64>,

    /// Memory and swap together; -1 unlimited
    #[arg(long, value_name = "SIZE", value_parser = bytes, allow_hyphen_values = true, alias = "linux-mem-swap", hide_short_help = true)]
    pub memory_swap: Option<i64>,

    /// Memory soft limit
    #[arg(long, value_name = "SIZE", value_parser = bytes, alias = "linux-mem-reservation", hide_short_help = true)]
    pub memory_reservation: Option<i64>,

    /// Swappiness
    #[arg(long, value_name = "0-100", value_parser = clap::value_parser!(i64).range(-1..=100), allow_hyphen_values = true, alias = "linux-mem-swappiness", hide_short_help = true)]
    pub memory_swappiness: Option<i64>,

    /// Do not kill for lack of memory
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, alias = "linux-disable-oom-kill", hide_short_help = true)]
    pub oom_kill_disable: Option<bool>,

    /// Who is killed first for lack of memory
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(-1000..=1000), allow_hyphen_values = true, alias = "linux-oom-score-adj", hide_short_help = true)]
    pub oom_score_adj: Option<i32>,

    /// Number of CPUs
    #[arg(long, value_name = "N", value_parser = cpus, allow_hyphen_values = true, hide_short_help = true)]
    pub cpus: Option<f64>,

    /// Relative weight
    #[arg(short = 'c', long, value_name = "N", alias = "linux-cpu-shares", hide_short_help = true)]
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
    #[arg(long, value_name = "10-1000", value_parser = blkio_weight, alias = "linux-blkio-weight", hide_short_help = true)]
    pub blkio_weight: Option<u16>,

    /// Block I/O weight of a device
    #[arg(long, value_name = "DEVICE:10-1000", hide_short_help = true)]
    pub blkio_weight_device: Vec<String>,

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

    /// Class of service of Intel's resource director (cache and memory bandwidth)
    #[arg(long, value_name = "CLASS", alias = "linux-intelRdt-closid", hide_short_help = true)]
    pub rdt_class: Option<String>,

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
    #[arg(long, value_name = "WHEN", num_args = 0..=1, default_missing_value = "true", conflicts_with = "restore", hide_short_help = true)]
    pub systemd: Option<Systemd>,

    /// Size of each of systemd's tmpfs mounts
    #[arg(long, value_name = "SIZE", value_parser = size, hide_short_help = true, conflicts_with = "restore")]
    pub shm_size_systemd: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Systemd {
    True,
    Always,
    False,
}
