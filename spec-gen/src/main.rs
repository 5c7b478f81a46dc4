//! `spec-gen`: a container's `config.json` from a spec, a container config, an image config or flags.

#![forbid(unsafe_code)]

mod actions;
mod annotations;
mod apparmor;
mod args;
mod bindmap;
mod capabilities;
mod cdi;
mod cgroups;
mod compat;
mod container;
mod default;
mod devices;
mod diff;
mod entries;
mod env;
mod explain;
mod flags;
mod generate;
mod hooks;
mod identity;
mod idmap;
mod image_config;
mod input;
mod masks;
mod mounts;
mod namespaces;
mod options;
mod overlay;
mod passwd;
mod process;
mod resources;
mod restore;
mod rootfs;
mod run;
mod seccomp;
mod secrets;
mod security;
mod selinux;
mod shape;
mod spec;
mod systemd;
mod tree;
mod user;
mod validate;
mod values;
mod volumes;
mod workdir;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(run::run)
}
