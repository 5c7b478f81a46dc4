//! The flags under `Annotations and hooks` and `Restore` in the help.

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

    /// Set a label, which becomes an annotation in config.json
    #[arg(short, long, value_name = "KEY[=VALUE]", hide_short_help = true)]
    pub label: Vec<String>,

    /// Set the labels in FILE, one KEY[=VALUE] per line
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub label_file: Vec<PathBuf>,

    /// Set the signal that stops the container, as a number or name
    #[arg(long, value_name = "SIGNAL", value_parser = signal, hide_short_help = true)]
    pub stop_signal: Option<u64>,

    /// Set the seconds after which a stopped container is killed
    #[arg(long, value_name = "SECONDS", hide_short_help = true)]
    pub stop_timeout: Option<u64>,

    /// Add the hooks in DIR whose conditions are met, see oci-hooks(5)
    #[arg(long, value_name = "DIR", conflicts_with = "restore", hide_short_help = true)]
    pub hooks_dir: Vec<PathBuf>,

    /// Add a hook
    #[arg(long, value_name = "STAGE:PATH[,ARG...]", conflicts_with = "restore", hide_short_help = true)]
    pub hook: Vec<String>,

    /// Do not run precreate hooks, which may change the spec
    #[arg(long, hide_short_help = true, conflicts_with = "restore")]
    pub no_precreate: bool,

    /// Use the annotations, hook stages and HOME of this version of podman
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
    /// Read the spec.dump of a checkpoint, and drop everything that names something on this host
    #[arg(long, conflicts_with_all = ["new", "image_config", "container"])]
    pub restore: bool,

    /// Re-point /etc/hosts, /etc/resolv.conf, /dev/shm, ... to DIR/hosts, DIR/resolv.conf, DIR/shm,
    /// ...; --apply creates them
    #[arg(long, value_name = "DIR", requires = "restore")]
    pub manager_files: Option<PathBuf>,

    /// Read CRIU's images in DIR, and report what they require of runtime, rootfs and namespaces
    #[arg(long, value_name = "DIR", requires = "restore", hide_short_help = true)]
    pub images: Option<PathBuf>,

    /// Keep all keys of the archive's spec, which can then do anything that root can do
    #[arg(long, requires = "restore", hide_short_help = true)]
    pub trust_archive: bool,
}
