//! The values of flags for the container engine.

use clap::ValueEnum;

/// The value of `--image-volume`, in podman's words. podman's default needs an engine that stores
/// the volumes; spec-gen's default does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImageVolume {
    /// A separate directory below --volume-root
    #[value(alias = "bind")]
    Anonymous,
    /// A tmpfs with a copy of the image's files
    Tmpfs,
    /// No mount: the directory in the image is used
    Ignore,
}

/// The value of `--sdnotify`, in podman's words: the process that reports readiness to systemd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SdNotify {
    /// The container, through a socket in /run/notify that the container engine serves
    Container,
    /// The container engine, when the container runs
    Conmon,
    /// The container engine, when the container is healthy
    Healthy,
    /// No process
    Ignore,
}
