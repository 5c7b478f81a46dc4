//! The types of the command line.

pub mod conflicts;
mod engine;
mod hooks;
mod input;
mod limits;
mod lookup_user;
mod mounts;
mod namespaces;
mod oci_runtime_tool;
mod process;
mod security;

use clap::{Arg, Command, CommandFactory, Parser, Subcommand};
use cli::args::{Common, OutputFile};
use cli::{Habit, offer};

use crate::notation::csv;
use crate::runtime_spec::names::{CAPABILITIES, RLIMITS};

pub use engine::EngineArgs;
pub use hooks::{HookArgs, RestoreArgs};
pub use input::{InputArgs, WhatArgs};
pub use limits::{CgroupArgs, ResourceArgs, Systemd};
pub use lookup_user::{LookUpArgs, LookUpUser, Verb};
pub use mounts::MountArgs;
pub use namespaces::NamespaceArgs;
pub use oci_runtime_tool::RuntimeToolArgs;
pub use process::{CheckCwd, ProcessArgs};
pub use security::{DeviceArgs, SecurityArgs};

/// Flags of `podman run` that are the job of another program.
pub const HABITS: &[Habit] = &[
    Habit {
        verb: "",
        typed: &["-p", "--publish"],
        instead: "netstatus restore --to netavark --publish HOST:CONTAINER",
    },
    Habit { verb: "", typed: &["--dns"], instead: "netstatus restore --to netavark --dns IP" },
    Habit { verb: "", typed: &["-d", "--detach"], instead: "runc run --detach" },
    Habit { verb: "", typed: &["--rm"], instead: "leave it out, runc run deletes the container at its end" },
    Habit { verb: "", typed: &["--restart"], instead: "leave it out, config.json has no restart policy" },
    Habit { verb: "", typed: &["--name"], instead: "runc run NAME" },
    Habit { verb: "", typed: &["-t"], instead: "--tty" },
    Habit { verb: "", typed: &["-it", "-ti"], instead: "--tty (-i is --input FILE)" },
    Habit { verb: "", typed: &["-w"], instead: "--workdir DIR" },
    Habit { verb: "", typed: &["-f", "--file"], instead: "--input FILE" },
    Habit { verb: "", typed: &["--image"], instead: "--image-config FILE" },
];

/// Write an OCI runtime config.json from a spec, a container config, an image config or flags
///
/// Reads one JSON document from standard input or from the file that a flag names, makes the
/// changes given by the flags, and writes the result to standard output. Unknown keys, the order of
/// keys and 64-bit integers are preserved; without flags, nothing changes. Only --apply changes
/// anything else on the host.
#[derive(Debug, Parser)]
#[command(
    name = "spec-gen",
    version,
    max_term_width = 100,
    override_usage = "spec-gen [--new | --image-config FILE | --container FILE | -i FILE] [OPTIONS]\n                [-- ARGS...] [< SPEC] > config.json\n       spec-gen lookup-user USER[:GROUP] --rootfs DIR",
    after_help = "Examples:\n  \
        spec-gen --new --rootfs rootfs --user alice -v /srv/data:/data -- sh -c 'id; ls /data' > config.json\n  \
        spec-gen --restore --rootfs rootfs --network ns:/run/netns/web -v /srv/data:/data < spec.dump > config.json\n\
        \nSee spec-gen(1).",
    mut_arg("verbose", |arg| arg.short(None)),
    mut_args(last_wins)
)]
pub struct Args {
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub process: ProcessArgs,
    #[command(flatten)]
    pub mounts: MountArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
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
    pub runtime_tool: RuntimeToolArgs,
    #[command(flatten)]
    pub what: WhatArgs,
    #[command(flatten)]
    pub output: OutputFile,
    #[command(flatten)]
    pub common: Common,

    /// Run this command in the container
    #[arg(last = true, value_name = "ARGS", conflicts_with = "restore", help_heading = "Process")]
    pub args: Vec<String>,
}

/// The IDs of podman's flags that have a single value. As in podman, the last value is used, so
/// that a script can append its own values to the values of another script. For any other flag,
/// clap reports a second value as an error, because the first value would be lost.
#[rustfmt::skip]
const LAST_WINS: [&str; 55] = [
    "blkio_weight", "cgroup_manager", "cgroup_parent", "cgroupns", "cgroups", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime",
    "cpu_shares", "cpus", "cpuset_cpus", "cpuset_mems", "domainname", "entrypoint", "env_host", "group_entry", "hostname", "http_proxy",
    "image_volume", "init", "init_path", "ipc", "memory", "memory_reservation", "memory_swap", "memory_swappiness", "no_hostname",
    "no_hosts", "oom_kill_disable", "oom_score_adj", "passwd", "passwd_entry", "personality", "pid", "pids_limit", "privileged",
    "rdt_class", "read_only", "read_only_tmpfs", "sdnotify", "shm_size", "shm_size_systemd", "stop_signal", "stop_timeout", "subgidname",
    "subuidname", "systemd", "timeout", "tty", "tz", "umask", "user", "userns", "uts",
];

/// The IDs of flags that exist both in podman and in oci-runtime-tool; both use the last value.
const LAST_WINS_TOO: [&str; 2] = ["unsetenv_all", "workdir"];

fn last_wins(arg: Arg) -> Arg {
    let id = arg.get_id().clone();
    let is_listed = LAST_WINS.iter().chain(&LAST_WINS_TOO).any(|listed| id == *listed);
    if is_listed { arg.overrides_with(id) } else { arg }
}

impl Args {
    /// Splits the values of flags that are lists in podman: `--cap-add A,B` becomes `--cap-add A`
    /// and `--cap-add B`.
    pub fn split_lists(&mut self) {
        let any = |_: &str| true;
        let is_pair = |field: &str| field.contains('=');
        let is_limit = |field: &str| field.contains('=') || field == "host";
        let (security, process, resources) = (&mut self.security, &mut self.process, &mut self.resources);
        for values in [
            &mut security.cap_add,
            &mut security.cap_drop,
            &mut process.group_add,
            &mut process.hostuser,
            &mut self.devices.gpus,
        ] {
            split(values, any);
        }
        // Values of these flags may contain commas: --sysctl
        // net.ipv4.ip_local_reserved_ports=80,443 is a single pair.
        split(&mut resources.sysctl, is_pair);
        split(&mut resources.cgroup_conf, is_pair);
        split(&mut resources.ulimit, is_limit);
    }
}

/// Splits each value at its commas if every part is an item. Removes empty items.
pub fn split(values: &mut Vec<String>, is_item: impl Fn(&str) -> bool) {
    for value in std::mem::take(values) {
        match csv::fields(&value) {
            Ok(fields) if fields.iter().all(|field| is_item(field)) => {
                values.extend(fields.into_iter().filter(|field| !field.is_empty()));
            }
            _ => values.push(value),
        }
    }
}

/// Returns the command line for shell completions: the flags of spec-gen with the values that
/// their parsers accept, and the verb `lookup-user`, which is parsed separately.
pub fn completed() -> Command {
    Verb::augment_subcommands(Args::command().disable_help_subcommand(true)).mut_args(with_values)
}

fn with_values(arg: Arg) -> Arg {
    const MODES: [&str; 5] = ["host", "private", "none", "ns:", "container:"];
    match arg.get_id().as_str() {
        "network" | "pid" | "ipc" | "uts" | "cgroupns" | "time" => offer(arg, MODES),
        "userns" => offer(arg, MODES.iter().chain(&["keep-id", "nomap"])),
        "cap_add" | "cap_drop" => offer(arg, CAPABILITIES.iter().chain(&["ALL"])),
        "cgroup_manager" => offer(arg, ["cgroupfs", "systemd"]),
        "rootfs_propagation" => {
            offer(arg, ["private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable"])
        }
        "ulimit" => {
            let name = |kind: &&str| kind.trim_start_matches("RLIMIT_").to_lowercase() + "=";
            offer(arg, RLIMITS.iter().map(name))
        }
        _ => arg,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_accepts_the_definition_of_the_flags() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn every_flag_in_the_last_wins_lists_exists() {
        let command = <Args as clap::CommandFactory>::command();
        for id in LAST_WINS.iter().chain(&LAST_WINS_TOO) {
            assert!(command.get_arguments().any(|arg| arg.get_id() == *id), "{id}");
        }
    }

    #[test]
    fn flags_that_a_restored_process_would_ignore_are_refused() {
        for flags in [
            &["--user", "0"][..],
            &["-e", "A=1"],
            &["--cap-add", "ALL"],
            &["--gpus", "all"],
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
