//! The flags under `Input` and `Output` in the help.

use std::path::PathBuf;

use clap::Args as Group;

#[derive(Debug, Group)]
#[command(next_help_heading = "Input")]
pub struct InputArgs {
    /// Start from the spec that `runc spec` writes
    #[arg(long, group = "source")]
    pub new: bool,

    /// Start from the spec of --new and add an image's command, environment, user, ... (OCI or
    /// Docker image config)
    #[arg(long, value_name = "FILE", group = "source")]
    pub image_config: Option<PathBuf>,

    /// Generate the spec from libpod's container config (config.dump), as podman does
    #[arg(long, value_name = "FILE", group = "source")]
    pub container: Option<PathBuf>,

    /// Read the document from FILE instead of standard input
    #[arg(short, long, value_name = "FILE", alias = "template", group = "source")]
    pub input: Option<PathBuf>,

    /// Read libpod's state of the container: mount point, bound files, network namespace
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub state: Option<PathBuf>,

    /// Use DIR as the root file system: it becomes root.path, and users and links are looked up in
    /// it
    #[arg(long, value_name = "DIR")]
    pub rootfs: Option<PathBuf>,

    /// Write PATH as root.path, without changing it
    #[arg(long, value_name = "PATH", alias = "rootfs-path", hide_short_help = true)]
    pub root_path: Option<String>,

    /// Set the container ID
    #[arg(long, value_name = "ID", hide_short_help = true)]
    pub id: Option<String>,

    /// Write a spec for an unprivileged user: devices are bound, ...; with --new, write the spec of
    /// `runc spec --rootless`
    #[arg(long, hide_short_help = true, conflicts_with = "restore")]
    pub rootless: bool,

    /// Write VERSION as ociVersion
    #[arg(long, value_name = "VERSION", hide_short_help = true)]
    pub oci_version: Option<String>,
}

#[derive(Debug, Group)]
#[command(next_help_heading = "Output")]
pub struct WhatArgs {
    /// Write a unified diff of input and output instead of the spec
    #[arg(long, group = "what")]
    pub diff: bool,

    /// Write one line for each change, with its reason, instead of the spec
    #[arg(long, group = "what")]
    pub explain: bool,

    /// Write DIR/config.json, unless it exists; a relative root.path is relative to DIR
    #[arg(long, value_name = "DIR", conflicts_with = "output", hide_short_help = true)]
    pub bundle: Option<PathBuf>,

    /// Replace an existing DIR/config.json of --bundle
    #[arg(long, requires = "bundle", hide_short_help = true)]
    pub force: bool,

    /// Check the result against the runtime-spec before writing it
    #[arg(long)]
    pub validate: bool,

    /// Write the actions that remain to be done on the host, as JSON lines
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub actions: Option<PathBuf>,

    /// Perform the actions that --actions lists: change owners, set labels, create overlay
    /// directories
    #[arg(long, hide_short_help = true, conflicts_with = "what")]
    pub apply: bool,

    /// Sort the keys of every object
    #[arg(long, hide_short_help = true)]
    pub sort_keys: bool,

    /// Write no line breaks
    #[arg(long, hide_short_help = true)]
    pub compact: bool,
}
