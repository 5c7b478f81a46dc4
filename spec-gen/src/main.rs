//! `spec-gen`: a container's `config.json` from a spec, a container config, an image config or flags.

#![forbid(unsafe_code)]

mod args;
mod bindmap;
mod cgroups;
mod default;
mod env;
mod explain;
mod generate;
mod input;
mod json;
mod mounts;
mod namespaces;
mod passwd;
mod process;
mod restore;
mod rootfs;
mod shape;
mod spec;
mod user;
mod volumes;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(generate::run)
}
