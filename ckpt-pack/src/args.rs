//! The command line.

use std::path::{Path, PathBuf};

use checkpoint::compress::Compression;
use checkpoint::{Member, VolumeName};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Command, CommandFactory, Parser};
use cli::args::{Bounds, Common, OutputFile, Progress, Size, name_value};
use cli::{Habit, offer};

/// Flags of `podman container checkpoint`, `docker checkpoint create`, tar and CRIU.
pub const HABITS: &[Habit] = &[
    Habit { verb: "", typed: &["-e", "--export", "-f", "--file"], instead: "-o FILE" },
    Habit { verb: "", typed: &["-c", "-z", "--gzip", "--zstd"], instead: "--compress zstd" },
    Habit { verb: "", typed: &["--create-image"], instead: "--format oci -o FILE" },
    Habit { verb: "", typed: &["--checkpoint-dir", "-D", "--images-dir"], instead: "--image-path DIR" },
    Habit { verb: "", typed: &["-R", "--leave-running"], instead: "-- runc checkpoint --leave-running ID" },
    Habit { verb: "", typed: &["--tcp-established"], instead: "-- runc checkpoint --tcp-established ID" },
    Habit { verb: "", typed: &["--file-locks"], instead: "-- runc checkpoint --file-locks ID" },
    Habit { verb: "", typed: &["-P"], instead: "--pre-checkpoint" },
    Habit { verb: "", typed: &["--parent-path"], instead: "--base EARLIER.ckpt" },
    Habit { verb: "", typed: &["--network-status"], instead: "--member network.status=FILE" },
    Habit { verb: "", typed: &["--shm"], instead: "--member devshm-checkpoint.tar=FILE" },
];

use crate::increment::args::Incremental;
use crate::live::LiveFlags;
use crate::network::{self, NetworkFlag};
use crate::pod::Pod;
use crate::precopy::Precopy;

/// Pack a CRIU image directory and member streams into one checkpoint archive
#[derive(Parser, Debug)]
#[command(
    name = "ckpt-pack",
    version,
    after_help = "Examples:\n  \
        ckpt-pack --bundle . --ignore-rootfs --compress zstd > web.ckpt\n  \
        { rootfs-diff create --members --rootfs rootfs &&\n    \
          vol-archive create --members data=/srv/data\n  \
        } | ckpt-pack --bundle . --expect rootfs-diff,volume:data -o web.ckpt -\n  \
        ckpt-pack --from-archive web.tar --format oci --tag web:1 -o web.oci\n  \
        ckpt-pack --pod-config pod.json --container web=web.ckpt --container db=db.ckpt -o pod.tar\n\nSee ckpt-pack(1)."
)]
pub struct Args {
    #[command(flatten)]
    pub verb: Verb,
    #[command(flatten)]
    pub input: Input,
    #[command(flatten)]
    pub include: Include,
    #[command(flatten)]
    pub incremental: Incremental,
    #[command(flatten)]
    pub container: Container,
    #[command(flatten)]
    pub pod: Pod,
    #[command(flatten)]
    pub compress: Compress,
    #[command(flatten)]
    pub image: Image,
    #[command(flatten)]
    pub live: LiveFlags,
    #[command(flatten)]
    pub check: Check,
    #[command(flatten)]
    pub precopy: Precopy,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub output: OutputFile,
    #[command(flatten)]
    pub progress: Progress,
    #[command(flatten)]
    pub common: Common,
}

/// Returns the command line for shell completions: the flags with the values that their parsers
/// accept.
pub fn completed() -> Command {
    Args::command().mut_args(|arg| match arg.get_id().as_str() {
        "expect" => offer(arg, ["rootfs-diff", "volume:", "network", "shm"]),
        "runtime" => offer(arg, ["runc", "crun"]),
        "member" => offer(
            arg,
            ["rootfs-diff.tar=", "deleted.files=", "devshm-checkpoint.tar=", "network.status=", "spec.dump="],
        ),
        _ => arg,
    })
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Instead of packing")]
#[group(multiple = false)]
pub struct Verb {
    /// Check whether this host can checkpoint a container
    #[arg(long)]
    pub check: bool,
    /// Create an empty dump.log in the bundle, for CRIU to write to
    #[arg(long, hide_short_help = true)]
    pub prepare: bool,
    /// Remove files from the bundle that are not needed after an export
    #[arg(long, hide_short_help = true)]
    pub cleanup: bool,
    /// Pack the memory of a running container that changed since the last round, for a migration
    #[arg(long, requires = "page_index", hide_short_help = true)]
    pub precopy: bool,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Input")]
pub struct Input {
    /// Read config.json from the bundle DIR, and config.dump, spec.dump, network.status, … if they
    /// exist
    #[arg(short, long, value_name = "DIR", required_unless_present_any = ["check", "from_archive", "precopy", "pod_config"])]
    pub bundle: Option<PathBuf>,
    /// Copy the members of the archive FILE, or of an OCI image that contains one (file or
    /// directory), instead of packing a bundle; '-' is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bundle", "Verb"])]
    pub from_archive: Option<PathBuf>,
    /// With --from-archive: read the image REF, if FILE has several images
    #[arg(long, value_name = "REF", hide_short_help = true)]
    pub from_tag: Option<String>,
    /// With --from-archive: refuse an archive with unknown members [default: copy them]
    #[arg(long, hide_short_help = true)]
    pub refuse_unknown: bool,
    /// Read CRIU's images from DIR [default: BUNDLE/checkpoint, with --pre-checkpoint
    /// BUNDLE/pre-checkpoint]
    #[arg(long, value_name = "DIR")]
    pub image_path: Option<PathBuf>,
    /// Read these member streams, in this order; '-' is standard input
    #[arg(value_name = "MEMBERS|-")]
    pub streams: Vec<PathBuf>,
    /// Pack FILE as the member NAME, such as volumes/data.tar=FILE (repeatable)
    #[arg(long, value_name = "NAME=FILE", value_parser = name_value)]
    pub member: Vec<(String, PathBuf)>,
    /// Accept unknown member names, such as those that ckpt-unpack kept in a bundle
    #[arg(long, requires = "member", hide_short_help = true)]
    pub allow_unknown: bool,
    /// Accept member streams without a record of their end, such as a tar made by hand
    #[arg(long, hide_short_help = true)]
    pub raw_members: bool,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "What to include")]
pub struct Include {
    /// Pack without the changes of the root file system
    #[arg(long)]
    pub ignore_rootfs: bool,
    /// Pack without the content of volumes
    #[arg(long)]
    pub ignore_volumes: bool,
    /// Fail unless a member stream or --member contains MEMBER: rootfs-diff, volume:NAME, network,
    /// shm (repeatable; several separated by commas)
    #[arg(long, value_name = "MEMBER,...", value_delimiter = ',', value_parser = expected, conflicts_with = "Verb")]
    pub expect: Vec<Member>,
    /// Pack zero pages in memory images as they are, not as holes
    #[arg(long, hide_short_help = true)]
    pub keep_zeros: bool,
    /// Pack the images of a pre-dump, after which the container keeps running
    #[arg(long, conflicts_with = "with_previous", hide_short_help = true)]
    pub pre_checkpoint: bool,
    /// Pack a dump that needs the images of a pre-dump, which are in another archive
    #[arg(long, hide_short_help = true)]
    pub with_previous: bool,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Container, if the bundle has no config.dump, or with --from-archive")]
pub struct Container {
    /// Set the container's ID [default: that of --state if it has 64 hexadecimal digits, else
    /// derived from the name and config.json]
    #[arg(long, value_name = "ID", value_parser = id, hide_short_help = true)]
    pub id: Option<String>,
    /// Set the container's name [default: the name of the bundle]
    #[arg(long, value_name = "NAME", value_parser = id)]
    pub name: Option<String>,
    /// Set the container's image by name and ID; podman needs both to restore
    #[arg(long, value_name = "REF[@ID]")]
    pub rootfs_image: Option<String>,
    /// Read the container's name, ID and time of creation from FILE, the output of "runc state"
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub state: Option<PathBuf>,
    /// Set the runtime that dumped the container [default: the one that made the images, else runc]
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub runtime: Option<String>,
    /// Declare the mount at DEST to be the volume NAME, which podman will create (repeatable)
    #[arg(long, value_name = "NAME=DEST", value_parser = volume)]
    pub volume: Vec<(VolumeName, String)>,
    /// Assume that podman will create volumes in DIR [default: /var/lib/containers/storage/volumes]
    #[arg(long, value_name = "DIR", requires = "volume", hide_short_help = true)]
    pub volume_path: Option<String>,
    /// Connect the container to the network NAME of podman; with OLD=NEW, to NEW instead of the
    /// network OLD of network.status (repeatable); with none, to no network; ns:PATH joins a
    /// network namespace [default: the networks of network.status]
    #[arg(long, value_name = "NAME", value_parser = network::parse, conflicts_with = "pre_checkpoint")]
    pub network: Vec<NetworkFlag>,
    /// Keep the hooks of config.json, which other engines would run
    #[arg(long, hide_short_help = true)]
    pub keep_hooks: bool,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Output")]
pub struct Compress {
    /// Compress with none, gzip, zstd, xz or bzip2
    #[arg(long, value_name = "FORMAT", default_value = "none", value_parser = compression(), hide_possible_values = true)]
    pub compress: Compression,
    /// Set the compression level: zstd 1 to 22, xz 0 to 9, gzip and bzip2 1 to 9
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub level: Option<u32>,
    /// Compress with N threads [default: one for each CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), hide_short_help = true)]
    pub threads: Option<u16>,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Output")]
pub struct Image {
    /// Write a checkpoint archive (archive), an OCI image whose layer is the archive (oci), or a
    /// checkpoint for "ctr image import" (ctr)
    #[arg(long, value_name = "FORMAT", default_value = "archive", hide_possible_values = true)]
    pub format: Format,
    /// With --format oci: write one layer (one), or memory, earlier memory, root file system, volumes
    /// and documents as layers of their own (split)
    #[arg(
        long,
        value_name = "LAYERS",
        default_value = "one",
        hide_possible_values = true,
        hide_short_help = true
    )]
    pub layers: Layers,
    /// Name the image REF
    #[arg(long, value_name = "REF", value_parser = tag, hide_short_help = true)]
    pub tag: Option<String>,
    /// Also write what FAMILY needs to restore the container: cri-o or containerd
    #[arg(long, value_name = "FAMILY", hide_short_help = true, hide_possible_values = true)]
    pub annotations: Option<ExtraFamily>,
    /// Add the annotation K with the value V to the image or to the pod (repeatable)
    #[arg(long, value_name = "K=V", value_parser = annotation, hide_short_help = true)]
    pub annotation: Vec<(String, String)>,
    /// Print CRIU's statistics as JSON: on standard output with -o, else on standard error
    #[arg(long, hide_short_help = true)]
    pub print_stats: bool,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Host")]
pub struct Check {
    /// Check the CRIU program PROGRAM, or read its version for an image [default: criu]
    #[arg(long, value_name = "PROGRAM", hide_short_help = true)]
    pub criu: Option<String>,
    /// With --check: check that a container in a pod can be checkpointed
    #[arg(long, requires = "check", conflicts_with_all = ["cleanup", "prepare"], hide_short_help = true)]
    pub pod: bool,
    /// With --check: also check the container of the process PID. With --precopy or COMMAND: the first
    /// process of the container is PID [default with COMMAND: ask its program]
    #[arg(long, value_name = "PID", conflicts_with_all = ["cleanup", "prepare"], hide_short_help = true)]
    pub pid: Option<u32>,
    /// With --prepare: give dump.log the SELinux label LABEL
    #[arg(long, value_name = "LABEL", requires = "prepare", conflicts_with_all = ["check", "cleanup"], hide_short_help = true)]
    pub mount_label: Option<String>,
}

/// The limits of `--from-archive`.
#[derive(clap::Args, Debug)]
pub struct Limits {
    #[command(flatten)]
    pub bounds: Bounds,
    /// Allow one decompressor SIZE bytes of memory, such as for the window of zstd [default: 128M]
    #[arg(long, value_name = "SIZE", help_heading = "Limits", hide_short_help = true)]
    pub max_memory: Option<Size>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Archive,
    Oci,
    Ctr,
}

/// The layers of an OCI image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Layers {
    One,
    Split,
}

/// Container engines that need additional annotations or documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ExtraFamily {
    #[value(name = "cri-o")]
    CriO,
    Containerd,
}

impl Check {
    /// Returns the process of `--pid`.
    ///
    /// # Errors
    /// Returns an error if the process does not exist.
    pub fn existing_pid(&self) -> anyhow::Result<Option<u32>> {
        match self.pid {
            Some(pid) if !Path::new(&format!("/proc/{pid}")).exists() => {
                anyhow::bail!("--pid {pid}: no such process")
            }
            pid => Ok(pid),
        }
    }
}

/// Parses `--compress`. The names are clap's possible values, so that shell completion knows them.
fn compression() -> impl TypedValueParser<Value = Compression> {
    PossibleValuesParser::new(Compression::names()).try_map(|name| name.parse::<Compression>())
}

/// Parses a value of `org.opencontainers.image.ref.name` (image-spec, annotations.md): letters and
/// digits, separated by one of `-._:@+/` or by `--`.
fn tag(text: &str) -> Result<String, String> {
    let separated = text.replace("--", "-");
    let words = separated.split(['-', '.', '_', ':', '@', '+', '/']);
    match words.into_iter().all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric())) {
        true => Ok(text.into()),
        false => Err("expected a name such as localhost/web:1".into()),
    }
}

fn annotation(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("expected K=V".into()),
    }
}

/// Parses an ID or a name by podman's rule, because they become file names.
fn id(text: &str) -> Result<String, String> {
    match text.parse::<VolumeName>() {
        Ok(_) => Ok(text.into()),
        Err(_) => Err("expected a letter or digit, then letters, digits, '_', '.' or '-'".into()),
    }
}

/// Parses a word of `--expect`.
fn expected(word: &str) -> Result<Member, String> {
    match word.split_once(':') {
        Some(("volume", name)) => name.parse().map(Member::Volume),
        None if word == "rootfs-diff" => Ok(Member::RootfsDiff),
        None if word == "network" => Ok(Member::NetworkStatus),
        None if word == "shm" || word == "devshm" => Ok(Member::DevShm),
        _ => Err("expected rootfs-diff, volume:NAME, network or shm".into()),
    }
}

fn volume(text: &str) -> Result<(VolumeName, String), String> {
    let (name, dest) = text.split_once('=').ok_or("expected NAME=DEST")?;
    if !dest.starts_with('/') {
        return Err("expected an absolute path in the container for DEST".into());
    }
    Ok((name.parse()?, dest.into()))
}
