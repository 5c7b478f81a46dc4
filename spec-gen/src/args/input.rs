//! What is read and what is written: `Input` and `Output` of the help.

use std::path::PathBuf;

use clap::Args as Group;

#[derive(Debug, Group)]
#[command(next_help_heading = "Input")]
pub struct InputArgs {
    /// Start from the spec that `runc spec` writes
    #[arg(long, group = "source")]
    pub new: bool,

    /// Start from it with an image's command, environment, user, ... (OCI or Docker image config)
    #[arg(long, value_name = "FILE", group = "source")]
    pub image_config: Option<PathBuf>,

    /// Generate from libpod's container config (config.dump), as podman does
    #[arg(long, value_name = "FILE", group = "source")]
    pub container: Option<PathBuf>,

    /// Read the document from FILE instead of standard input
    #[arg(short, long, value_name = "FILE", alias = "template", group = "source")]
    pub input: Option<PathBuf>,

    /// libpod's state of the container: mountpoint, files it binds, network namespace
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub state: Option<PathBuf>,

    /// Root file system: becomes root.path, and users and links are looked up in it
    #[arg(long, value_name = "DIR")]
    pub rootfs: Option<PathBuf>,

    /// Write PATH as root.path, as it stands
    #[arg(long, value_name = "PATH", alias = "rootfs-path", hide_short_help = true)]
    pub root_path: Option<String>,

    /// The container's id
    #[arg(long, value_name = "ID", hide_short_help = true)]
    pub id: Option<String>,

    /// For an ordinary user: the default spec as from `runc spec --rootless`, devices bound, ...
    #[arg(long, hide_short_help = true, conflicts_with = "restore")]
    pub rootless: bool,

    /// Write VERSION as ociVersion
    #[arg(long, value_name = "VERSION", hide_short_help = true)]
    pub oci_version: Option<String>,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Output")]
pub struct WhatArgs {
    /// Instead of the spec: a unified diff of input and output
    #[arg(long, group = "what")]
    pub diff: bool,

    /// Instead of the spec: one line for each change and its reason
    #[arg(long, group = "what")]
    pub explain: bool,

    /// Write DIR/config.json, where root.path starts; a file that is there stays
    #[arg(long, value_name = "DIR", conflicts_with = "output", hide_short_help = true)]
    pub bundle: Option<PathBuf>,

    /// Replace it
    #[arg(long, requires = "bundle", hide_short_help = true)]
    pub force: bool,

    /// Check the result against the runtime-spec before it is written
    #[arg(long)]
    pub validate: bool,

    /// Write what must be done on the host besides, as JSON lines
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub actions: Option<PathBuf>,

    /// Do it: chown, relabel, make overlay directories
    #[arg(long, hide_short_help = true, conflicts_with = "what")]
    pub apply: bool,

    /// Write the keys of every object in their order
    #[arg(long, hide_short_help = true)]
    pub sort_keys: bool,

    /// Write no line breaks
    #[arg(long, hide_short_help = true)]
    pub compact: bool,
}
