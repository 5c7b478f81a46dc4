//! `--compat`: the version of podman whose annotations, hooks and HOME the result has.

use clap::ValueEnum;

/// The version of podman whose annotations, hooks and HOME the result has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Compat {
    /// The rules of podman 5.4, without its bugs
    #[default]
    None,
    /// The annotations of podman 4.3, prestart hooks as prestart, no HOME if it is unknown
    #[value(name = "podman-4.3")]
    Podman43,
    /// poststop hooks left to the container engine, an empty HOME if it is unknown
    #[value(name = "podman-5.4")]
    Podman54,
}
