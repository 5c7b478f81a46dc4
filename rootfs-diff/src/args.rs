//! The command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};
use cli::args::{Bounds, Common, Durable, Ids, OutputFile, Progress};
use rootfs_diff::layers::{Layers, split_lowers};
use rootfs_diff::{Content, Options, Source};
use tartree::{Exclude, IdMap, IdMaps, TarPath};

/// Bytes of a config.json that are read.
const CONFIG_LIMIT: u64 = 16 << 20;

/// What changed in a container's root file system, and putting it into effect elsewhere
#[derive(Parser, Debug)]
#[command(
    name = "rootfs-diff",
    version,
    after_help = "Examples:\n  \
        rootfs-diff list --rootfs /run/web/rootfs\n  \
        rootfs-diff create --members --rootfs /run/web/rootfs | ckpt-pack --bundle . - > web.ckpt\n  \
        rootfs-diff create --upper up --lower top:bottom --deleted deleted.files > diff.tar\n  \
        rootfs-diff apply --rootfs /run/copy/rootfs --deleted deleted.files < diff.tar\n\n\
        See rootfs-diff(1)."
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
    /// Write the changes as a tar, and the deletions
    Create(Create),
    /// List the changes, as podman diff does
    List(List),
    /// Put a diff into effect in a directory
    Apply(Apply),
}

#[derive(clap::Args, Debug)]
pub struct Create {
    #[command(flatten)]
    pub source: SourceArgs,
    /// What is written: podman's diff, or a layer of an OCI image, where deletions are whiteouts
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Podman, help_heading = "Output")]
    pub format: Format,
    /// Write a member stream, as ckpt-pack reads it: the diff and its deletions
    #[arg(long, help_heading = "Output", conflicts_with = "deleted")]
    pub members: bool,
    /// Write the deletions to FILE as JSON, and those whose names are not UTF-8 to FILE0
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub deleted: Option<PathBuf>,
    /// Put the deletions also into the tar, as headers that podman carries out and others pass over
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true", help_heading = "Output")]
    pub inband_removals: bool,
    #[command(flatten)]
    pub ids: Ids,
    #[command(flatten)]
    pub output: OutputFile,
}

/// The form of a diff.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A tar, and a list of deletions
    Podman,
    /// An image layer (image-spec 1.1, "layer.md")
    Oci,
}

#[derive(clap::Args, Debug)]
pub struct List {
    #[command(flatten)]
    pub source: SourceArgs,
    /// One JSON document instead of lines
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// End each line with a NUL byte, names as they are, for xargs -0
    #[arg(short = '0', long = "null", help_heading = "Output", conflicts_with = "json")]
    pub null: bool,
    /// Show what changed in text files, as a unified diff
    #[arg(long, help_heading = "Output", conflicts_with_all = ["json", "null"])]
    pub patch: bool,
}

#[derive(clap::Args, Debug)]
pub struct Apply {
    /// The root file system to change
    #[arg(long, value_name = "DIR")]
    pub rootfs: PathBuf,
    /// Standard input is a member stream, as create --members writes it
    #[arg(long, help_heading = "Input", conflicts_with = "deleted")]
    pub members: bool,
    /// Delete what FILE lists (JSON), and FILE0 if there is one
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub deleted: Option<PathBuf>,
    /// The form of the diff: podman's, or a layer of an OCI image [default: as the diff shows]
    #[arg(long, value_name = "FORMAT", value_enum, help_heading = "Input")]
    pub format: Option<Format>,
    /// Apply a tar although its names are those of a checkpoint archive or an image
    #[arg(long, help_heading = "Input", conflicts_with = "members", hide_short_help = true)]
    pub any_tar: bool,
    /// Also write to filesystems that are mounted below the root file system, and delete in them
    #[arg(long, help_heading = "Output")]
    pub cross_mounts: bool,
    /// List what would be done and do nothing
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,
    #[command(flatten)]
    pub durable: Durable,
    /// Give everything to the user who applies, and drop setuid and setgid
    #[arg(long, help_heading = "Ownership", conflicts_with_all = ["uidmap", "gidmap"])]
    pub no_same_owner: bool,
    /// Leave out device nodes, and name them
    #[arg(long, help_heading = "Limits")]
    pub no_devices: bool,
    #[command(flatten)]
    pub bounds: Bounds,
    #[command(flatten)]
    pub ids: Ids,
}

/// The arguments that name an overlay. Two trees conflict with each of them by name: clap drops `requires` where the
/// required argument conflicts with another one, and the flag would then have no effect.
const LAYERED: [&str; 4] = ["rootfs", "upper", "lower", "userxattr"];

#[derive(clap::Args, Debug)]
#[group(skip)]
pub struct SourceArgs {
    /// Compare the overlay that is mounted here; name its layers by --upper and --lower only if it is a fuse-overlayfs
    #[arg(long, value_name = "MOUNTPOINT", help_heading = "Source")]
    pub rootfs: Option<PathBuf>,
    /// The upper directory of an overlay that need not be mounted
    #[arg(long, value_name = "DIR", help_heading = "Source", requires = "lower")]
    pub upper: Option<PathBuf>,
    /// Its lower directories, topmost first, as in the mount option
    #[arg(long, value_name = "DIR[:DIR...]", help_heading = "Source", requires = "upper")]
    pub lower: Option<OsString>,
    /// The overlay's marks are user.overlay.*, as in user namespaces
    #[arg(long, help_heading = "Source", requires = "upper")]
    pub userxattr: bool,
    /// The tree as it was, of any storage driver
    #[arg(long, value_name = "DIR", help_heading = "Source", requires = "to", conflicts_with_all = LAYERED)]
    pub from: Option<PathBuf>,
    /// The tree as it is
    #[arg(long, value_name = "DIR", help_heading = "Source", requires = "from", conflicts_with_all = LAYERED)]
    pub to: Option<PathBuf>,
    /// Take the content of a file for unchanged where its size and its time are, as podman does: quicker between two trees,
    /// and blind to a write that keeps both
    #[arg(long, help_heading = "How to compare")]
    pub trust_mtime: bool,
    /// Leave out the path or the files that match PATTERN, with all that is below them (repeatable); wildcards as in tar
    #[arg(long, value_name = "PATTERN", help_heading = "What to include")]
    pub exclude: Vec<OsString>,
    /// Do not look below the destinations of the mounts in this config.json
    #[arg(long, value_name = "FILE", help_heading = "What to include")]
    pub config: Option<PathBuf>,
}

impl SourceArgs {
    /// Opens what is to be compared.
    pub fn open(&self) -> anyhow::Result<Source> {
        let layers = |upper: &PathBuf, lower: &OsString| {
            let (lowers, data_only) = split_lowers(lower.as_bytes());
            Layers { upper: Some(upper.clone()), lowers, data_only, userxattr: self.userxattr, index: false }
        };
        let source = match (&self.rootfs, &self.upper, &self.lower, &self.from, &self.to) {
            (Some(rootfs), Some(upper), Some(lower), ..) => {
                Source::mounted_from(rootfs, &layers(upper, lower))
            }
            (Some(rootfs), ..) => Source::mounted(rootfs),
            (_, Some(upper), Some(lower), ..) => Source::unmounted(&layers(upper, lower)),
            (_, _, _, Some(from), Some(to)) => Source::trees(from, to),
            _ => {
                return Err(cli::usage(
                    "no source given: --rootfs MOUNTPOINT, --upper DIR --lower DIR, or --from DIR --to DIR",
                ));
            }
        };
        use rootfs_diff::layers::LayersError as L;
        use rootfs_diff::source::SourceError as E;
        source.map_err(|e| match e {
            E::Layers(_, L::Hidden(_)) => {
                cli::Hint::on(e, "unmount what hides it, or compare two trees: --from DIR --to DIR")
            }
            E::Layers(_, L::InUse(_) | L::Deleted | L::Detached) => {
                cli::Hint::on(e, "compare two trees: --from IMAGE_TREE --to MOUNTPOINT")
            }
            E::Layers(..) => cli::Hint::on(
                e,
                "name the layers: --upper DIR --lower DIR:DIR, or compare two trees: --from DIR --to MOUNTPOINT",
            ),
            E::Merge(..) => cli::Hint::on(e, "compare two trees instead: --from DIR --to DIR"),
            e => e.into(),
        })
    }

    /// What is compared, for messages: a path in one of several trees says too little.
    pub fn name(&self) -> String {
        let given = [&self.rootfs, &self.upper, &self.from, &self.to];
        let names: Vec<_> = given.into_iter().flatten().map(cli::name).collect();
        names.join(" and ")
    }

    /// What is left out.
    pub fn options(&self) -> anyhow::Result<Options> {
        let exclude = Exclude::parse(&self.exclude).map_err(|e| cli::usage(format!("--exclude {e}")))?;
        let mount_points = match &self.config {
            Some(file) => destinations(file)?,
            None => Vec::new(),
        };
        let content = if self.trust_mtime { Content::TrustMtime } else { Content::Read };
        Ok(Options { exclude, mount_points, content, self_contained: false })
    }
}

/// The destinations of the mounts in a config.json.
fn destinations(file: &std::path::Path) -> anyhow::Result<Vec<TarPath>> {
    let name = cli::name(file);
    let input = std::fs::File::open(file).with_context(|| name.clone())?;
    let text = cli::read_document(input, &name, CONFIG_LIMIT)?;
    let config: serde_json::Value = serde_json::from_slice(&text).with_context(|| name.clone())?;
    let mounts = config.get("mounts").and_then(|mounts| mounts.as_array());
    let destination = |mount: &serde_json::Value| {
        let text = mount.get("destination").and_then(|d| d.as_str());
        let text = text.with_context(|| format!("{name}: a mount without a destination"))?;
        TarPath::parse(text.as_bytes()).with_context(|| name.clone())
    };
    mounts.into_iter().flatten().map(destination).collect()
}

/// The id maps of the command line.
pub fn id_maps(ids: &Ids) -> anyhow::Result<IdMaps> {
    let [uid, gid] = ids.ranges()?.map(IdMap::new);
    Ok(IdMaps { uid, gid })
}
