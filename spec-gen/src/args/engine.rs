//! `Container manager` of the help: files and names that a manager gives a container beside its spec.

use std::path::PathBuf;

use clap::Args as Group;

use crate::notation::boolean::boolean;
use crate::notation::engine::{ImageVolume, SdNotify};
use crate::notation::mounts::volumes_from::VolumesFrom;
use crate::notation::secret::Secret;

#[derive(Debug, Group)]
#[command(next_help_heading = "Container manager")]
#[group(id = "manager-flags", multiple = true, conflicts_with = "restore")]
pub struct EngineArgs {
    /// Bind a time zone to /etc/localtime; local: this host's
    #[arg(long, value_name = "ZONE", hide_short_help = true)]
    pub tz: Option<String>,

    /// A secret as a file of /run/secrets or, with type=env, as a variable
    #[arg(long, value_name = "NAME[,OPT=VALUE...]", value_parser = Secret::parse, hide_short_help = true)]
    pub secret: Vec<Secret>,

    /// Directory whose files are the secrets
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub secret_root: Option<PathBuf>,

    /// Bind copies of the secrets in DIR, with the owner and mode they are to have (--apply)
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub secret_copies: Option<PathBuf>,

    /// Bind the manager's /etc/hosts and /etc/resolv.conf below this directory too
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub chrootdirs: Vec<String>,

    /// Leave the image's /etc/hosts
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, hide_short_help = true)]
    pub no_hosts: Option<bool>,

    /// Leave the image's /etc/hostname
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, hide_short_help = true)]
    pub no_hostname: Option<bool>,

    /// Who tells the service manager that the container is ready: with container it gets /run/notify
    #[arg(long, value_name = "WHO", hide_short_help = true)]
    pub sdnotify: Option<SdNotify>,

    /// What the volumes of an --image-config become
    #[arg(long, value_name = "WHAT", hide_short_help = true)]
    pub image_volume: Option<ImageVolume>,

    /// Mount the volumes of another container: its config.dump, config.json or bundle
    #[arg(long, value_name = "FILE[:OPTS]", value_parser = VolumesFrom::parse, hide_short_help = true)]
    pub volumes_from: Vec<VolumesFrom>,

    /// Seconds the container may run: the manager's business
    #[arg(long, value_name = "SECONDS", hide_short_help = true)]
    pub timeout: Option<u64>,
}
