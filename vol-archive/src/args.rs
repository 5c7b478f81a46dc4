//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use cli::args::{Bounds, Common, Durable, Ids, OutputFile, Progress};
use tartree::{IdMap, IdMaps, Limits};

/// Volume directories to tar and back, nothing lost
#[derive(Parser, Debug)]
#[command(
    name = "vol-archive",
    version,
    after_help = "Examples:\n  \
        vol-archive create /srv/data > data.tar\n  \
        vol-archive create --members data=/srv/data --shm /run/web/shm | ckpt-pack --bundle . - > web.ckpt\n  \
        vol-archive extract /srv/copy < data.tar\n\nSee vol-archive(1)."
)]
pub struct Args {
    #[command(subcommand)]
    pub verb: Verb,
    #[command(flatten)]
    pub progress: Progress,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Write a directory as a tar, or several as a member stream
    Create(Create),
    /// Fill a directory from a tar, or several from a member stream
    Extract(Extract),
    /// List the entries of a tar
    List(List),
}

#[derive(clap::Args, Debug)]
pub struct Create {
    /// A directory; with --members NAME=DIR, any number
    #[arg(value_name = "DIR|NAME=DIR")]
    pub operands: Vec<OsString>,
    #[command(flatten)]
    pub members: Members,
    /// Leave out the path or the files that match PATTERN, with all that is below them (repeatable); wildcards as in tar
    #[arg(long, value_name = "PATTERN", help_heading = "What to include")]
    pub exclude: Vec<OsString>,
    /// Do not go down into other file systems; a mount point is archived as an empty directory
    #[arg(long, help_heading = "What to include")]
    pub one_file_system: bool,
    #[command(flatten)]
    pub ids: Ids,
    #[command(flatten)]
    pub output: OutputFile,
}

#[derive(clap::Args, Debug)]
pub struct Extract {
    /// A directory; with --members NAME=DIR, one for each volume in the stream
    #[arg(value_name = "DIR|NAME=DIR")]
    pub operands: Vec<OsString>,
    #[command(flatten)]
    pub members: Members,
    /// Extract a tar although its names are those of a checkpoint archive or an image
    #[arg(long, help_heading = "Input", conflicts_with = "members", hide_short_help = true)]
    pub any_tar: bool,
    /// Empty the directory first
    #[arg(long, help_heading = "Output")]
    pub replace: bool,
    /// Also write to filesystems that are mounted below the directory, and empty them with --replace
    #[arg(long, help_heading = "Output")]
    pub cross_mounts: bool,
    #[command(flatten)]
    pub durable: Durable,
    /// Give everything to the user who extracts, and drop setuid and setgid
    #[arg(long, help_heading = "Ownership", conflicts_with_all = ["uidmap", "gidmap"])]
    pub no_same_owner: bool,
    /// Leave out device nodes, and name them; always so for who may not make them
    #[arg(long, help_heading = "Limits")]
    pub no_devices: bool,
    #[command(flatten)]
    pub bounds: Bounds,
    #[command(flatten)]
    pub ids: Ids,
}

#[derive(clap::Args, Debug)]
pub struct List {
    /// A tar; standard input when missing or '-'
    pub file: Option<PathBuf>,
    /// One JSON document instead of lines
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    #[command(flatten)]
    pub bounds: Bounds,
}

#[derive(clap::Args, Debug)]
pub struct Members {
    /// A member stream, as ckpt-pack reads it, of the volumes NAME=DIR
    #[arg(long, help_heading = "Members")]
    pub members: bool,
    /// The directory of the container's /dev/shm, as member devshm-checkpoint.tar
    #[arg(long, value_name = "DIR", requires = "members", help_heading = "Members")]
    pub shm: Option<PathBuf>,
}

/// The limits of the command line.
pub fn limits(bounds: &Bounds) -> Limits {
    Limits::of(bounds.max_entries, bounds.content_bytes())
}

/// The id maps of the command line.
pub fn id_maps(ids: &Ids) -> anyhow::Result<IdMaps> {
    let [uid, gid] = ids.ranges()?.map(IdMap::new);
    Ok(IdMaps { uid, gid })
}
