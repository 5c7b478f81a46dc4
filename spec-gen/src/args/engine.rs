//! The flags under `Container engine` in the help: files and names that an engine adds to a
//! container.

use std::path::PathBuf;

use clap::Args as Group;

use crate::notation::boolean::boolean;
use crate::notation::engine::{ImageVolume, SdNotify};
use crate::notation::mounts::volumes_from::VolumesFrom;
use crate::notation::secret::Secret;

#[derive(Debug, Group)]
#[command(next_help_heading = "Container engine")]
#[group(id = "manager-flags", multiple = true, conflicts_with = "restore")]
pub struct EngineArgs {
    /// Bind the file of a time zone to /etc/localtime; local is the time zone of the host
    #[arg(long, value_name = "ZONE", hide_short_help = true)]
    pub tz: Option<String>,

    /// Add a secret as a file in /run/secrets or, with type=env, as a variable
    #[arg(long, value_name = "NAME[,OPT=VALUE...]", value_parser = Secret::parse, hide_short_help = true)]
    pub secret: Vec<Secret>,

    /// Use the files in DIR as secrets, by their names
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub secret_root: Option<PathBuf>,

    /// Bind copies of the secrets with their owner and mode; --apply writes them to DIR
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub secret_copies: Option<PathBuf>,

    /// Also bind the container engine's /etc/hosts and /etc/resolv.conf below this directory
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub chrootdirs: Vec<String>,

    /// Keep the image's /etc/hosts
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, hide_short_help = true)]
    pub no_hosts: Option<bool>,

    /// Keep the image's /etc/hostname
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, hide_short_help = true)]
    pub no_hostname: Option<bool>,

    /// Select the process that notifies the service manager that the container is ready; container
    /// binds /run/notify
    #[arg(long, value_name = "WHO", hide_short_help = true)]
    pub sdnotify: Option<SdNotify>,

    /// Select how the volumes of --image-config are handled
    #[arg(long, value_name = "WHAT", hide_short_help = true)]
    pub image_volume: Option<ImageVolume>,

    /// Mount the volumes of another container, given by its config.dump, config.json or bundle
    #[arg(long, value_name = "FILE[:OPTS]", value_parser = VolumesFrom::parse, hide_short_help = true)]
    pub volumes_from: Vec<VolumesFrom>,

    /// Ignored with a warning: config.json cannot express a time limit
    #[arg(long, value_name = "SECONDS", hide_short_help = true)]
    pub timeout: Option<u64>,
}
