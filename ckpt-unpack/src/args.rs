//! The command line.

use std::path::PathBuf;

use checkpoint::VolumeName;
use clap::Parser;
use cli::args::{Common, name_value};

/// A checkpoint archive to a bundle, a root file system and volumes
#[derive(Parser, Debug)]
#[command(
    name = "ckpt-unpack",
    version,
    after_help = "Examples:\n  \
        ckpt-unpack --bundle web --rootfs rootfs --volume data=/srv/data < web.ckpt\n  \
        ckpt-unpack --list < web.ckpt\n  \
        ssh host cat web.ckpt | ckpt-unpack --verify\n\nSee ckpt-unpack(1)."
)]
pub struct Args {
    #[command(flatten)]
    pub verb: Verb,
    /// The archive [default: standard input]
    #[arg(value_name = "ARCHIVE", help_heading = "Input")]
    pub archive: Option<PathBuf>,
    /// Keep members nobody knows in the bundle, instead of refusing the archive
    #[arg(long, help_heading = "Input")]
    pub keep_unknown: bool,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub include: Include,
    #[command(flatten)]
    pub common: Common,
}

impl cli::Arguments for Args {
    fn common(&self) -> &Common {
        &self.common
    }
}

#[derive(clap::Args, Debug)]
#[group(multiple = false, required = true)]
pub struct Verb {
    /// The bundle to make; one that is there may hold anything but members
    #[arg(short, long, value_name = "DIR", help_heading = "What to do")]
    pub bundle: Option<PathBuf>,
    /// List the members
    #[arg(long, help_heading = "What to do")]
    pub list: bool,
    /// Read the whole archive and tell what is wrong with it; writes nothing
    #[arg(long, help_heading = "What to do")]
    pub verify: bool,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Apply the changes to the root file system DIR [default: they stay files in the bundle]
    #[arg(long, value_name = "DIR", requires = "bundle")]
    pub rootfs: Option<PathBuf>,
    /// Extract the volume NAME into DIR (repeatable) [default: volumes stay files in the bundle]
    #[arg(long, value_name = "NAME=DIR", value_parser = volume, requires = "bundle")]
    pub volume: Vec<(VolumeName, PathBuf)>,
    /// Extract the content of /dev/shm into DIR [default: it stays a file in the bundle]
    #[arg(long, value_name = "DIR", requires = "bundle")]
    pub shm: Option<PathBuf>,
    /// One JSON document instead of lines
    #[arg(long)]
    pub json: bool,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "What to include")]
pub struct Include {
    /// Without config.dump and spec.dump
    #[arg(long)]
    pub without_config: bool,
    /// Without the changes of the root file system
    #[arg(long, conflicts_with = "rootfs")]
    pub ignore_rootfs: bool,
    /// Without volumes
    #[arg(long, conflicts_with = "volume")]
    pub ignore_volumes: bool,
}

fn volume(text: &str) -> Result<(VolumeName, PathBuf), String> {
    let (name, dir) = name_value(text)?;
    Ok((name.parse()?, dir))
}
