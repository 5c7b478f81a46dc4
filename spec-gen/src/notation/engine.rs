//! The values of flags for the container engine.

use clap::ValueEnum;

/// podman's words. Its default needs a manager that keeps the volumes; ours does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImageVolume {
    /// A directory of its own below --volume-root
    #[value(alias = "bind")]
    Anonymous,
    /// A tmpfs with a copy of what the image has there
    Tmpfs,
    /// Nothing: the directory of the image
    Ignore,
}

/// podman's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SdNotify {
    /// The container itself, through a socket in /run/notify that the manager serves
    Container,
    /// The manager, when the container runs
    Conmon,
    /// The manager, when the container is healthy
    Healthy,
    /// Nobody
    Ignore,
}
