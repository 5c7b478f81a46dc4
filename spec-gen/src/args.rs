//! The command line, and nothing else.

use std::path::PathBuf;

use clap::{Args as Group, Parser};
use cli::args::{Common, OutputFile};

use crate::namespaces::Mode;

/// Write an OCI runtime config.json from a spec, a container config, an image config or flags
///
/// Reads one JSON document from standard input, changes what the flags ask for and writes the result to
/// standard output. Unknown keys, key order and 64-bit integers survive.
#[derive(Debug, Parser)]
#[command(
    name = "spec-gen",
    version,
    max_term_width = 100,
    override_usage = "spec-gen [--new | --image-config FILE | --container FILE | -i FILE] [OPTIONS] [-- ARGS...] [< SPEC] > config.json",
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
    pub restore: RestoreArgs,
    #[command(flatten)]
    pub cgroups: CgroupArgs,
    #[command(flatten)]
    pub what: WhatArgs,
    #[command(flatten)]
    pub output: OutputFile,
    #[command(flatten)]
    pub common: Common,

    /// The command to run in the container
    #[arg(last = true, value_name = "ARGS", conflicts_with = "restore")]
    pub args: Vec<String>,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Input")]
pub struct InputArgs {
    /// Start from the spec that `runc spec` writes
    #[arg(long, group = "source")]
    pub new: bool,

    /// Read the document from FILE instead of standard input
    #[arg(short, long, value_name = "FILE", group = "source")]
    pub input: Option<PathBuf>,

    /// Root file system: becomes root.path, and users and links are looked up in it
    #[arg(long, value_name = "DIR")]
    pub rootfs: Option<PathBuf>,

    /// Write PATH as root.path, as it stands
    #[arg(long, value_name = "PATH", alias = "rootfs-path")]
    pub root_path: Option<String>,

    /// With --new: for an ordinary user, as `runc spec --rootless`
    #[arg(long, requires = "new", hide_short_help = true)]
    pub rootless: bool,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Process")]
#[group(id = "process-flags", multiple = true, conflicts_with = "restore")]
pub struct ProcessArgs {
    /// Run as USER[:GROUP], names of the root file system or numbers
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,

    /// Set a variable; NAME alone takes the value spec-gen has
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,

    /// Set the variables in FILE, one NAME=VALUE on a line
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub env_file: Vec<PathBuf>,

    /// Working directory
    #[arg(short, long, value_name = "DIR", alias = "process-cwd")]
    pub workdir: Option<String>,

    /// With a terminal (sets TERM=xterm unless TERM is set); --tty=false without
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", alias = "process-terminal")]
    pub tty: Option<bool>,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Mounts")]
pub struct MountArgs {
    /// Mount a host directory or file, or a named volume (--volume-path); with --restore: re-point the mount at DST
    #[arg(short, long, value_name = "SRC:DST[:OPTS]")]
    pub volume: Vec<String>,

    /// Mount, in podman's long notation
    #[arg(long, value_name = "type=TYPE,...", conflicts_with = "restore")]
    pub mount: Vec<String>,

    /// Mount an empty tmpfs
    #[arg(long, value_name = "DST[:OPTS]", conflicts_with = "restore")]
    pub tmpfs: Vec<String>,

    /// Root file system read-only; --read-only=false writable
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", alias = "rootfs-readonly")]
    pub read_only: Option<bool>,

    /// Bind a file a container manager makes (/etc/hosts, ...), unless there is a mount
    #[arg(long, value_name = "DST=SRC", value_parser = cli::args::name_value, hide_short_help = true)]
    pub bind_mount: Vec<(String, PathBuf)>,

    /// Host directory for /dev/shm
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub shm_dir: Option<PathBuf>,

    /// Host directory of a named volume
    #[arg(long, value_name = "NAME=DIR", value_parser = cli::args::name_value, hide_short_help = true)]
    pub volume_path: Vec<(String, PathBuf)>,

    /// Directory whose NAME/_data are the named volumes
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub volume_root: Option<PathBuf>,

    /// Remove the mount at DST
    #[arg(long, value_name = "DST", alias = "mounts-remove", hide_short_help = true)]
    pub mount_remove: Vec<String>,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Namespaces")]
pub struct NamespaceArgs {
    /// Host name
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,

    /// Network: host, private, none, ns:PATH, container:ID
    #[arg(long, value_name = "MODE", value_parser = Mode::parse, alias = "net")]
    pub network: Option<Mode>,

    /// PID namespace: as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse)]
    pub pid: Option<Mode>,

    /// IPC namespace: as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse)]
    pub ipc: Option<Mode>,

    /// UTS namespace (host name): as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse)]
    pub uts: Option<Mode>,

    /// User namespace: as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse)]
    pub userns: Option<Mode>,

    /// Cgroup namespace: as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse)]
    pub cgroupns: Option<Mode>,

    /// The pid behind a container:ID
    #[arg(long, value_name = "ID=PID", value_parser = id_and_pid, hide_short_help = true)]
    pub container_pid: Vec<(String, u64)>,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Restore")]
pub struct RestoreArgs {
    /// The input is the spec.dump of a checkpoint: drop what its machine must not dictate to this one
    #[arg(long)]
    pub restore: bool,

    /// Take /etc/hosts, /etc/resolv.conf, /dev/shm, ... from DIR/hosts, DIR/resolv.conf, DIR/shm, ...
    #[arg(long, value_name = "DIR", requires = "restore")]
    pub manager_files: Option<PathBuf>,

    /// Keep hooks, host paths and namespace paths the archive brings: it can then do anything root can
    #[arg(long, requires = "restore")]
    pub trust_archive: bool,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Cgroups")]
pub struct CgroupArgs {
    /// Cgroup path, as the runtime wants it; empty removes it
    #[arg(long, value_name = "PATH", alias = "linux-cgroups-path")]
    pub cgroups_path: Option<String>,

    /// The host's cgroup version, if not this host's
    #[arg(long, value_name = "1|2", value_parser = clap::value_parser!(u8).range(1..=2), hide_short_help = true)]
    pub cgroup_version: Option<u8>,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Output")]
pub struct WhatArgs {
    /// Write no line breaks
    #[arg(long, hide_short_help = true)]
    pub compact: bool,

    /// Instead of the spec: one line for each change and its reason
    #[arg(long)]
    pub explain: bool,
}

fn id_and_pid(arg: &str) -> Result<(String, u64), String> {
    let (id, pid) = arg.split_once('=').ok_or("ID=PID is wanted")?;
    match pid.parse() {
        Ok(pid) if pid > 0 && !id.is_empty() => Ok((id.to_owned(), pid)),
        _ => Err("ID=PID is wanted".into()),
    }
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
}
