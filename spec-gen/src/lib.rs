//! `spec-gen`: a container's `config.json` from a spec, a container config, an image config or flags.
//!
//! A library so that its parsers can be fuzzed.

#![forbid(unsafe_code)]

mod actions;
mod annotations;
mod apparmor;
mod args;
mod bindmap;
mod capabilities;
pub mod cdi;
mod cgroups;
mod compat;
pub mod container;
mod cpu_list;
mod csv;
mod default;
mod devices;
mod diff;
mod entries;
mod env;
mod env_merge;
mod explain;
mod flags;
mod generate;
mod glob;
pub mod hooks;
mod identity;
mod idmap;
pub mod image_config;
mod image_volumes;
mod init;
mod input;
mod long_mount;
mod lookup;
mod manager;
mod masks;
mod mounting;
mod mounts;
mod namespaces;
mod options;
mod outputs;
mod overlay;
pub mod passwd;
mod process;
mod resources;
mod restore;
mod rootfs;
mod run;
mod runtime_tool;
mod sdnotify;
mod seccomp;
mod secrets;
mod security;
mod selinux;
mod shape;
pub mod spec;
mod subids;
mod sysctl;
mod systemd;
mod timezone;
mod tree;
mod user;
mod userns;
mod validate;
mod values;
mod volumes;
mod volumes_from;
mod workdir;

use std::process::ExitCode;

/// The program.
pub fn main() -> ExitCode {
    // A verb of its own and not of the filter: to that, any other word is a mistake it can explain. Before it may stand what
    // both take.
    let mut args = std::env::args_os().skip(1);
    let first = args.find(|arg| arg != "-q" && arg != "--quiet" && arg != "--verbose");
    if first.is_some_and(|arg| arg == "lookup-user") {
        return cli::run(lookup::run);
    }
    cli::run_completed(run::run, args::completed)
}
