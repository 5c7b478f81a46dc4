//! `Annotations and hooks` and `Restore` of the help.

use std::path::PathBuf;

use clap::Args as Group;

use crate::notation::compat::Compat;
use crate::notation::process::signal;

#[derive(Debug, Group)]
#[command(next_help_heading = "Annotations and hooks")]
pub struct HookArgs {
    /// Set an annotation
    #[arg(long, value_name = "KEY=VALUE", hide_short_help = true)]
    pub annotation: Vec<String>,

    /// Set a label, which config.json has as an annotation
    #[arg(short, long, value_name = "KEY[=VALUE]", hide_short_help = true)]
    pub label: Vec<String>,

    /// Set the labels in FILE, one KEY[=VALUE] on a line
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub label_file: Vec<PathBuf>,

    /// Signal that stops the container, a number or name
    #[arg(long, value_name = "SIGNAL", value_parser = signal, hide_short_help = true)]
    pub stop_signal: Option<u64>,

    /// Seconds until it is killed
    #[arg(long, value_name = "SECONDS", hide_short_help = true)]
    pub stop_timeout: Option<u64>,

    /// Directory with hook files, oci-hooks(5)
    #[arg(long, value_name = "DIR", conflicts_with = "restore", hide_short_help = true)]
    pub hooks_dir: Vec<PathBuf>,

    /// Add a hook
    #[arg(long, value_name = "STAGE:PATH[,ARG...]", conflicts_with = "restore", hide_short_help = true)]
    pub hook: Vec<String>,

    /// Do not run precreate hooks, which may change the spec
    #[arg(long, hide_short_help = true, conflicts_with = "restore")]
    pub no_precreate: bool,

    /// Behave as this podman in annotations, hooks and HOME
    #[arg(
        long,
        value_name = "VERSION",
        default_value = "none",
        hide_short_help = true,
        hide_default_value = true
    )]
    pub compat: Compat,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Restore")]
pub struct RestoreArgs {
    /// The input is the spec.dump of a checkpoint: drop what names something on this host
    #[arg(long, conflicts_with_all = ["new", "image_config", "container"])]
    pub restore: bool,

    /// Take /etc/hosts, /etc/resolv.conf, /dev/shm, ... from DIR/hosts, DIR/resolv.conf, DIR/shm, ... (--apply makes them)
    #[arg(long, value_name = "DIR", requires = "restore")]
    pub manager_files: Option<PathBuf>,

    /// Directory of CRIU's images: report if crun made them, since runc cannot restore those
    #[arg(long, value_name = "DIR", requires = "restore", hide_short_help = true)]
    pub images: Option<PathBuf>,

    /// Keep everything that the archive names on this host: it can then do anything root can
    #[arg(long, requires = "restore", hide_short_help = true)]
    pub trust_archive: bool,
}
