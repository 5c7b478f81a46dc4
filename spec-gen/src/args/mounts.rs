//! The flags under `Mounts` in the help.

use std::path::PathBuf;

use clap::Args as Group;

use crate::notation::boolean::boolean;
use crate::notation::limits::size;

#[derive(Debug, Group)]
#[command(next_help_heading = "Mounts")]
pub struct MountArgs {
    /// Mount a host directory or file, or a named volume; with --restore, re-point the mount at DST
    #[arg(short, long, value_name = "SRC:DST[:OPTS]")]
    pub volume: Vec<String>,

    /// Add a mount in podman's long notation
    #[arg(long, value_name = "type=TYPE,...", conflicts_with = "restore", hide_short_help = true)]
    pub mount: Vec<String>,

    /// Mount an empty tmpfs at DST
    #[arg(long, value_name = "DST[:OPTS]", conflicts_with = "restore")]
    pub tmpfs: Vec<String>,

    /// Make the root file system read-only, with --read-only-tmpfs; --read-only=false makes it
    /// writable
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, hide_short_help = true, conflicts_with = "restore")]
    pub read_only: Option<bool>,

    /// With a read-only root, mount a tmpfs on /tmp, /var/tmp and /run and keep /dev/shm writable
    /// (implied by --read-only)
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, hide_short_help = true, conflicts_with = "restore")]
    pub read_only_tmpfs: Option<bool>,

    /// Bind a file that a container engine creates (/etc/hosts, ...), unless DST has a mount
    #[arg(long, value_name = "DST=SRC", value_parser = cli::args::name_value, hide_short_help = true)]
    pub bind_mount: Vec<(String, PathBuf)>,

    /// Bind the host directory DIR to /dev/shm
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub shm_dir: Option<PathBuf>,

    /// Set the size of the tmpfs on /dev/shm
    #[arg(long, value_name = "SIZE", value_parser = size, hide_short_help = true, conflicts_with = "restore")]
    pub shm_size: Option<i64>,

    /// Set the host directory of the named volume NAME
    #[arg(long, value_name = "NAME=DIR", value_parser = cli::args::name_value, hide_short_help = true)]
    pub volume_path: Vec<(String, PathBuf)>,

    /// Use DIR/NAME/_data as the directory of every other named volume
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub volume_root: Option<PathBuf>,

    /// Set the directory where the file tree of an image is mounted, for image volumes
    #[arg(long, value_name = "IMAGE=DIR", value_parser = cli::args::name_value, hide_short_help = true, conflicts_with = "restore")]
    pub image_mount: Vec<(String, PathBuf)>,

    /// Store in DIR the changes that containers make in overlay volumes
    #[arg(long, value_name = "DIR", hide_short_help = true, conflicts_with = "restore")]
    pub overlay_dir: Option<PathBuf>,

    /// Remove the mount at DST
    #[arg(long, value_name = "DST", alias = "mounts-remove", hide_short_help = true)]
    pub mount_remove: Vec<String>,

    /// Remove all mounts before others are added
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, alias = "mounts-remove-all", hide_short_help = true, conflicts_with = "restore")]
    pub mount_remove_all: Option<bool>,

    /// Set the mount propagation of the root file system: private, slave, shared, ...
    #[arg(
        long,
        value_name = "MODE",
        alias = "linux-rootfs-propagation",
        hide_short_help = true,
        conflicts_with = "restore"
    )]
    pub rootfs_propagation: Option<String>,
}

impl MountArgs {
    /// Returns the value of `--read-only-tmpfs`. As in podman, `--read-only` implies this flag.
    pub fn writable_tmpfs(&self) -> Option<bool> {
        self.read_only_tmpfs.or(self.read_only.filter(|&read_only| read_only))
    }
}
