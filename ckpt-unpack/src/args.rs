//! The command line.

use std::path::PathBuf;

use checkpoint::VolumeName;
use checkpoint::compress::Bound;
use clap::Parser;
use cli::args::{Bounds, Common, Durable, Ids, Progress, Size, name_value};
use tartree::{Devices, ExtractOptions};

/// A checkpoint archive to a bundle, a root file system and volumes
#[derive(Parser, Debug)]
#[command(
    name = "ckpt-unpack",
    version,
    after_help = "Examples:\n  \
        ckpt-unpack --bundle web --rootfs rootfs --volume data=/srv/data < web.ckpt\n  \
        ckpt-unpack --show < web.ckpt\n  \
        ssh host cat web.ckpt | ckpt-unpack --verify\n\nSee ckpt-unpack(1)."
)]
pub struct Args {
    #[command(flatten)]
    pub verb: Verb,
    /// The archive, or an OCI image of one (file or directory) [default: standard input]
    #[arg(value_name = "ARCHIVE", help_heading = "Input")]
    pub archive: Option<PathBuf>,
    /// Of the images in the input, the one of this name
    #[arg(long, value_name = "REF", help_heading = "Input", hide_short_help = true)]
    pub tag: Option<String>,
    /// Refuse an archive with members nobody knows [default: they become files of the bundle]
    #[arg(long, help_heading = "Input", hide_short_help = true)]
    pub refuse_unknown: bool,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub include: Include,
    #[command(flatten)]
    pub ownership: Ownership,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub host: Host,
    #[command(flatten)]
    pub progress: Progress,
    #[command(flatten)]
    pub common: Common,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "What to do")]
pub struct Verb {
    /// The bundle to make; one that is there may hold anything but members
    #[arg(short, long, value_name = "DIR", required_unless_present = "Look", conflicts_with = "Look")]
    pub bundle: Option<PathBuf>,
    #[command(flatten)]
    pub look: Look,
    /// Remove from the bundle what a finished restore no longer needs
    #[arg(long, requires = "bundle", conflicts_with = "Look", hide_short_help = true)]
    pub cleanup: bool,
}

/// What is done without a bundle, one at a time.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "What to do")]
#[group(multiple = false)]
pub struct Look {
    /// List the members
    #[arg(long)]
    pub list: bool,
    /// Read the whole archive and tell what is wrong with it; writes nothing
    #[arg(long)]
    pub verify: bool,
    /// Tell of container, image, sizes, network, processes, statistics and mounts
    #[arg(long)]
    pub show: bool,
    /// Tell whether this host can restore a container
    #[arg(long)]
    pub check: bool,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Apply the changes to the root file system DIR [default: they stay files in the bundle]
    #[arg(long, value_name = "DIR", conflicts_with = "Look")]
    pub rootfs: Option<PathBuf>,
    /// Extract the volume NAME into DIR (repeatable) [default: volumes stay files in the bundle]
    #[arg(long, value_name = "NAME=DIR", value_parser = volume, conflicts_with = "Look")]
    pub volume: Vec<(VolumeName, PathBuf)>,
    /// Extract the content of /dev/shm into DIR [default: it stays a file in the bundle]
    #[arg(long, value_name = "DIR", conflicts_with = "Look")]
    pub shm: Option<PathBuf>,
    /// Also write to filesystems that are mounted below these directories, and delete in them
    #[arg(long, conflicts_with = "Look", hide_short_help = true)]
    pub cross_mounts: bool,
    /// Make an empty restore.log with this SELinux label in the bundle, for CRIU to write to
    #[arg(long, value_name = "LABEL", conflicts_with = "Look", hide_short_help = true)]
    pub mount_label: Option<String>,
    #[command(flatten)]
    pub durable: Durable,
    /// With --list or --show: one JSON document instead of lines
    #[arg(long, requires = "Look", conflicts_with_all = ["verify", "check"])]
    pub json: bool,
    /// Print what CRIU measured, as JSON: of the restore if the bundle has seen one, else of the dump
    #[arg(long, conflicts_with = "Look", hide_short_help = true)]
    pub print_stats: bool,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "What to include")]
pub struct Include {
    /// Without config.dump and spec.dump
    #[arg(long, hide_short_help = true)]
    pub without_config: bool,
    /// Without the changes of the root file system
    #[arg(long, conflicts_with = "rootfs")]
    pub ignore_rootfs: bool,
    /// Without volumes
    #[arg(long, conflicts_with = "volume")]
    pub ignore_volumes: bool,
    /// The archive of the pre-checkpoint that this one needs
    #[arg(long, value_name = "FILE", conflicts_with = "Look", hide_short_help = true)]
    pub previous: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Ownership")]
pub struct Ownership {
    #[command(flatten)]
    pub ids: Ids,
    /// Give all files outside the bundle to the user who unpacks, and drop setuid and setgid
    #[arg(long, conflicts_with_all = ["uidmap", "gidmap", "Look"], hide_short_help = true)]
    pub no_same_owner: bool,
}

#[derive(clap::Args, Debug)]
pub struct Limits {
    #[command(flatten)]
    pub bounds: Bounds,
    /// Memory for one decompressor, such as the window of zstd [default: 128M]
    #[arg(long, value_name = "SIZE", help_heading = "Limits", hide_short_help = true)]
    pub max_memory: Option<Size>,
    /// Leave out device nodes, and name them; in volumes always so for who may not make them
    #[arg(long, help_heading = "Limits", conflicts_with = "Look", hide_short_help = true)]
    pub no_devices: bool,
}

impl Limits {
    /// For each tar of the archive, and the archive itself.
    pub fn of_tars(&self) -> tartree::Limits {
        self.bounds.limits()
    }

    /// For what is compressed, once for each reading.
    pub fn bound(&self) -> Bound {
        Bound::new(self.bounds.content_bytes(), self.max_memory.map(|size| size.0))
    }
}

impl Ownership {
    /// How volumes are extracted; a root file system in the same way but for its devices.
    pub fn options(&self, limits: &Limits, cross_mounts: bool) -> anyhow::Result<ExtractOptions> {
        let (ids, devices) = (self.ids.maps()?, Devices::in_volume(limits.no_devices));
        let no_same_owner = self.no_same_owner;
        Ok(ExtractOptions { ids, no_same_owner, devices, cross_mounts, ..ExtractOptions::default() })
    }
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Host")]
pub struct Host {
    /// CRIU
    #[arg(long, value_name = "PROGRAM", default_value = "criu", requires = "check", hide_short_help = true)]
    pub criu: String,
    /// The runtime that is to restore; with --bundle: convert images of another one [--check: runc]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["list", "verify", "show", "cleanup"], hide_short_help = true)]
    pub runtime: Option<String>,
    /// The container is in a pod
    #[arg(long, requires = "check", hide_short_help = true)]
    pub pod: bool,
}

impl Args {
    /// Rejects flags and operands that have no effect on what is to be done.
    ///
    /// # Errors
    /// Returns a usage error that names the first one.
    pub fn reject_without_effect(&self) -> anyhow::Result<()> {
        let look = &self.verb.look;
        if look.check && self.archive.is_some() {
            let error = cli::usage("--check inspects this host and reads no archive");
            return Err(cli::Hint::on(error, "--verify ARCHIVE"));
        }
        let (output, include, ids) = (&self.output, &self.include, &self.ownership.ids);
        let bounds = &self.limits.bounds;
        let reading = [
            ("ARCHIVE", self.archive.is_some()),
            ("--tag", self.tag.is_some()),
            ("--refuse-unknown", self.refuse_unknown),
            ("--max-size", bounds.max_size.is_some()),
            ("--max-entries", bounds.max_entries.is_some()),
            ("--max-memory", self.limits.max_memory.is_some()),
            ("--without-config", include.without_config),
            ("--ignore-rootfs", include.ignore_rootfs),
            ("--ignore-volumes", include.ignore_volumes),
        ];
        let writing = [
            ("--fsync", output.durable.fsync),
            ("--uidmap", !ids.uidmap.is_empty()),
            ("--gidmap", !ids.gidmap.is_empty()),
        ];
        let unpacking = [
            ("--rootfs", output.rootfs.is_some()),
            ("--volume", !output.volume.is_empty()),
            ("--shm", output.shm.is_some()),
            ("--mount-label", output.mount_label.is_some()),
            ("--previous", include.previous.is_some()),
            ("--no-same-owner", self.ownership.no_same_owner),
            ("--no-devices", self.limits.no_devices),
        ];
        let given = |flags: &[(&'static str, bool)], verb| match flags.iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(cli::usage(format!("{flag} has no effect with {verb}"))),
            None => Ok(()),
        };
        for (active, verb, reads) in [
            (look.check, "--check", false),
            (self.verb.cleanup, "--cleanup", false),
            (look.list, "--list", true),
            (look.show, "--show", true),
            (look.verify, "--verify", true),
        ] {
            if active {
                if !reads {
                    given(&reading, verb)?;
                }
                given(&writing, verb)?;
                given(&unpacking, verb)?;
            }
        }
        Ok(())
    }
}

fn volume(text: &str) -> Result<(VolumeName, PathBuf), String> {
    let (name, dir) = name_value(text)?;
    Ok((name.parse()?, dir))
}
