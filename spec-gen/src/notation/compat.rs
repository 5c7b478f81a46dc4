//! `--compat`: the few behaviours of a podman version that somebody may count on.

use clap::ValueEnum;

/// Whose annotations, hooks and HOME the result has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Compat {
    /// podman 5.4's rules without its faults
    #[default]
    None,
    /// The annotations of 4.3, prestart hooks as prestart, no HOME where none is known
    #[value(name = "podman-4.3")]
    Podman43,
    /// poststop hooks left to the manager, an empty HOME where none is known
    #[value(name = "podman-5.4")]
    Podman54,
}
