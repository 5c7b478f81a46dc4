//! The command line, and nothing else.

mod hooks;
mod input;
mod limits;
mod lookup;
mod manager;
mod mounts;
mod namespaces;
mod process;
mod runtime_tool;
mod security;

use clap::{Command, CommandFactory, Parser, Subcommand};
use cli::args::{Common, OutputFile};

pub use hooks::{HookArgs, RestoreArgs};
pub use input::{InputArgs, WhatArgs};
pub use limits::{CgroupArgs, ResourceArgs, Systemd};
pub use lookup::{LookUpArgs, LookUpUser, Verb};
pub use manager::ManagerArgs;
pub use mounts::MountArgs;
pub use namespaces::NamespaceArgs;
pub use process::{CheckCwd, ProcessArgs};
pub use runtime_tool::RuntimeToolArgs;
pub use security::{DeviceArgs, SecurityArgs};

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
    override_usage = "spec-gen [--new | --image-config FILE | --container FILE | -i FILE] [OPTIONS]\n                [-- ARGS...] [< SPEC] > config.json\n       spec-gen lookup-user USER[:GROUP] --rootfs DIR",
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
    pub manager: ManagerArgs,
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

    /// The command to run in the container
    #[arg(last = true, value_name = "ARGS", conflicts_with = "restore", help_heading = "Process")]
    pub args: Vec<String>,
}

/// The command line of the filter with the verb that is parsed by itself, as shells complete it.
pub fn completed() -> Command {
    Verb::augment_subcommands(Args::command().disable_help_subcommand(true))
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
