//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use cli::Habit;
use cli::args::{Bounds, Common, Durable, Ids, OutputFile, Progress};

/// Flags of tar.
pub const HABITS: &[Habit] = &[
    Habit { verb: "", typed: &["-c"], instead: "vol-archive create DIR -o FILE" },
    Habit { verb: "", typed: &["-x"], instead: EXTRACT },
    Habit { verb: "", typed: &["-t"], instead: LIST },
    Habit { verb: "create", typed: &["-C", "--directory"], instead: "vol-archive create DIR" },
    Habit { verb: "create", typed: &["-f", "--file"], instead: "vol-archive create DIR -o FILE" },
    Habit { verb: "create", typed: COMPRESSIONS, instead: "vol-archive create DIR | zstd > FILE" },
    Habit { verb: "create", typed: METADATA, instead: "leave it out, vol-archive always saves all metadata" },
    Habit {
        verb: "extract",
        typed: &["-C", "--directory", "-f", "--file", "-i", "--input"],
        instead: EXTRACT,
    },
    Habit { verb: "extract", typed: COMPRESSIONS, instead: "leave it out, the compression is detected" },
    Habit {
        verb: "extract",
        typed: METADATA,
        instead: "leave it out, vol-archive always restores all metadata",
    },
    Habit { verb: "list", typed: &["-f", "--file", "-i", "--input"], instead: LIST },
];
const EXTRACT: &str = "vol-archive extract DIR < FILE";
const LIST: &str = "vol-archive list FILE";
const COMPRESSIONS: &[&str] = &["-z", "-j", "-J", "--gzip", "--bzip2", "--xz", "--zstd"];
const METADATA: &[&str] = &[
    "-p",
    "-S",
    "--acls",
    "--numeric-owner",
    "--preserve-permissions",
    "--same-owner",
    "--same-permissions",
    "--selinux",
    "--sparse",
    "--xattrs",
];

/// Archive volume directories as tar and restore them, without loss
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
    /// Extract a tar into a directory, or a member stream into several
    Extract(Extract),
    /// List the entries of a tar
    List(List),
}

#[derive(clap::Args, Debug)]
pub struct Create {
    /// Directory to archive; with --members any number of NAME=DIR
    #[arg(value_name = "DIR|NAME=DIR")]
    pub operands: Vec<OsString>,
    #[command(flatten)]
    pub members: Members,
    /// Leave out paths that match PATTERN, and everything below them (repeatable); wildcards as in
    /// tar
    #[arg(long, value_name = "PATTERN", help_heading = "What to include")]
    pub exclude: Vec<OsString>,
    /// Do not descend into other file systems; archive each mount point as an empty directory
    #[arg(long, help_heading = "What to include")]
    pub one_file_system: bool,
    #[command(flatten)]
    pub ids: Ids,
    #[command(flatten)]
    pub output: OutputFile,
}

#[derive(clap::Args, Debug)]
pub struct Extract {
    /// Directory to extract into; with --members one NAME=DIR for each volume in the stream
    #[arg(value_name = "DIR|NAME=DIR")]
    pub operands: Vec<OsString>,
    #[command(flatten)]
    pub members: Members,
    /// Extract a tar even if it has the names of a checkpoint archive or an image
    #[arg(long, help_heading = "Input", conflicts_with = "members", hide_short_help = true)]
    pub any_tar: bool,
    /// Empty the directory first
    #[arg(long, help_heading = "Output")]
    pub replace: bool,
    /// Also write to file systems that are mounted below the directory, and empty them with
    /// --replace
    #[arg(long, help_heading = "Output")]
    pub cross_mounts: bool,
    #[command(flatten)]
    pub durable: Durable,
    /// Create everything as the current user, and drop setuid and setgid
    #[arg(long, help_heading = "Ownership", conflicts_with_all = ["uidmap", "gidmap"])]
    pub no_same_owner: bool,
    /// Skip device nodes, and report each; always on for a user who may not create them
    #[arg(long, help_heading = "Limits")]
    pub no_devices: bool,
    #[command(flatten)]
    pub bounds: Bounds,
    #[command(flatten)]
    pub ids: Ids,
}

#[derive(clap::Args, Debug)]
pub struct List {
    /// Tar to list; standard input if missing or '-'
    pub file: Option<PathBuf>,
    /// Print one JSON document instead of lines
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    #[command(flatten)]
    pub bounds: Bounds,
}

#[derive(clap::Args, Debug)]
pub struct Members {
    /// Use a member stream, as ckpt-pack reads it, of the volumes NAME=DIR
    #[arg(long, help_heading = "Members")]
    pub members: bool,
    /// Directory of the container's /dev/shm, which is the member devshm-checkpoint.tar
    #[arg(long, value_name = "DIR", requires = "members", help_heading = "Members")]
    pub shm: Option<PathBuf>,
}
