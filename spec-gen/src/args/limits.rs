//! The flags under `Limits` and `Cgroups` in the help.

use clap::{Args as Group, ValueEnum};

use crate::notation::boolean::boolean;
use crate::notation::limits::{blkio_weight, bytes, cpus, size};

#[derive(Debug, Group)]
#[command(next_help_heading = "Limits")]
pub struct ResourceArgs {
    /// Limit the memory
    #[arg(short, long, value_name = "SIZE", value_parser = bytes, hide_short_help = true)]
    pub memory: Option<i64>,

    /// Limit memory and swap together; -1 means no limit
    #[arg(long, value_name = "SIZE", value_parser = bytes, allow_hyphen_values = true, alias = "linux-mem-swap", hide_short_help = true)]
    pub memory_swap: Option<i64>,

    /// Set the soft limit of the memory
    #[arg(long, value_name = "SIZE", value_parser = bytes, alias = "linux-mem-reservation", hide_short_help = true)]
    pub memory_reservation: Option<i64>,

    /// Set the swappiness
    #[arg(long, value_name = "0-100", value_parser = clap::value_parser!(i64).range(-1..=100), allow_hyphen_values = true, alias = "linux-mem-swappiness", hide_short_help = true)]
    pub memory_swappiness: Option<i64>,

    /// Do not kill the container's processes when memory runs out
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, alias = "linux-disable-oom-kill", hide_short_help = true)]
    pub oom_kill_disable: Option<bool>,

    /// Make it more or less likely that the process is killed when memory runs out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(-1000..=1000), allow_hyphen_values = true, alias = "linux-oom-score-adj", hide_short_help = true)]
    pub oom_score_adj: Option<i32>,

    /// Limit the processor time to N processors
    #[arg(long, value_name = "N", value_parser = cpus, allow_hyphen_values = true, hide_short_help = true)]
    pub cpus: Option<f64>,

    /// Set the relative weight for processor time
    #[arg(short = 'c', long, value_name = "N", alias = "linux-cpu-shares", hide_short_help = true)]
    pub cpu_shares: Option<u64>,

    /// Set the period of the CPU scheduler, in microseconds
    #[arg(long, value_name = "N", alias = "linux-cpu-period", hide_short_help = true)]
    pub cpu_period: Option<u64>,

    /// Set the quota in each period of the CPU scheduler, in microseconds
    #[arg(
        long,
        value_name = "N",
        allow_hyphen_values = true,
        alias = "linux-cpu-quota",
        hide_short_help = true
    )]
    pub cpu_quota: Option<i64>,

    /// Set the period of the realtime scheduler, in microseconds
    #[arg(long, value_name = "N", alias = "linux-realtime-period", hide_short_help = true)]
    pub cpu_rt_period: Option<u64>,

    /// Set the run time in each period of the realtime scheduler, in microseconds
    #[arg(
        long,
        value_name = "N",
        allow_hyphen_values = true,
        alias = "linux-realtime-runtime",
        hide_short_help = true
    )]
    pub cpu_rt_runtime: Option<i64>,

    /// Restrict the container to these processors
    #[arg(long, value_name = "LIST", alias = "linux-cpus", hide_short_help = true)]
    pub cpuset_cpus: Option<String>,

    /// Restrict the container to these memory nodes
    #[arg(long, value_name = "LIST", alias = "linux-mems", hide_short_help = true)]
    pub cpuset_mems: Option<String>,

    /// Limit the number of processes; -1 means no limit
    #[arg(
        long,
        value_name = "N",
        allow_hyphen_values = true,
        alias = "linux-pids-limit",
        hide_short_help = true
    )]
    pub pids_limit: Option<i64>,

    /// Set the relative weight for block I/O
    #[arg(long, value_name = "10-1000", value_parser = blkio_weight, alias = "linux-blkio-weight", hide_short_help = true)]
    pub blkio_weight: Option<u16>,

    /// Set the relative weight for block I/O on a device
    #[arg(long, value_name = "DEVICE:10-1000", hide_short_help = true)]
    pub blkio_weight_device: Vec<String>,

    /// Limit the bytes per second that are read from a device
    #[arg(long, value_name = "DEVICE:SIZE", hide_short_help = true)]
    pub device_read_bps: Vec<String>,

    /// Limit the bytes per second that are written to a device
    #[arg(long, value_name = "DEVICE:SIZE", hide_short_help = true)]
    pub device_write_bps: Vec<String>,

    /// Limit the read operations per second on a device
    #[arg(long, value_name = "DEVICE:N", hide_short_help = true)]
    pub device_read_iops: Vec<String>,

    /// Limit the write operations per second on a device
    #[arg(long, value_name = "DEVICE:N", hide_short_help = true)]
    pub device_write_iops: Vec<String>,

    /// Limit the use of huge pages of a size: 2MB=64m
    #[arg(long, value_name = "SIZE=BYTES", hide_short_help = true)]
    pub hugetlb: Vec<String>,

    /// Set the class of service of Intel Resource Director Technology (cache and memory bandwidth)
    #[arg(long, value_name = "CLASS", alias = "linux-intelRdt-closid", hide_short_help = true)]
    pub rdt_class: Option<String>,

    /// Set a cgroup v2 file
    #[arg(long, value_name = "KEY=VALUE", hide_short_help = true)]
    pub cgroup_conf: Vec<String>,

    /// Set a kernel parameter of a namespace
    #[arg(
        long,
        value_name = "KEY=VALUE",
        alias = "linux-sysctl",
        conflicts_with = "restore",
        hide_short_help = true
    )]
    pub sysctl: Vec<String>,

    /// Set a resource limit of the process: nofile=1024:2048
    #[arg(long, value_name = "NAME=SOFT[:HARD]", conflicts_with = "restore", hide_short_help = true)]
    pub ulimit: Vec<String>,

    /// Add podman's limits of open files and processes, or spec-gen's own hard limits if these are
    /// lower
    #[arg(long, conflicts_with = "restore", hide_short_help = true)]
    pub default_rlimits: bool,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Cgroups")]
pub struct CgroupArgs {
    /// Set the cgroup path; an empty PATH removes it
    #[arg(long, value_name = "PATH", alias = "linux-cgroups-path", hide_short_help = true)]
    pub cgroups_path: Option<String>,

    /// Select the format of the cgroup path that is made from --id and --cgroup-parent
    #[arg(long, value_name = "cgroupfs|systemd", hide_short_help = true)]
    pub cgroup_manager: Option<String>,

    /// Set the parent of the container's cgroup; for systemd, this is a slice
    #[arg(long, value_name = "PATH", hide_short_help = true)]
    pub cgroup_parent: Option<String>,

    /// Select whether the container gets a cgroup: enabled, disabled, no-conmon or split
    #[arg(long, value_name = "MODE", hide_short_help = true)]
    pub cgroups: Option<String>,

    /// Set the cgroup version of the host on which the container will run
    #[arg(long, value_name = "1|2", value_parser = clap::value_parser!(u8).range(1..=2), hide_short_help = true)]
    pub cgroup_version: Option<u8>,

    /// Add the mounts that systemd needs: true adds them if the command is systemd, always for any
    /// command
    #[arg(long, value_name = "WHEN", num_args = 0..=1, default_missing_value = "true", conflicts_with = "restore", hide_short_help = true)]
    pub systemd: Option<Systemd>,

    /// Set the size of each tmpfs that --systemd adds
    #[arg(long, value_name = "SIZE", value_parser = size, hide_short_help = true, conflicts_with = "restore")]
    pub shm_size_systemd: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Systemd {
    True,
    Always,
    False,
}
