//! The command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};
use cli::Habit;
use cli::args::{Bounds, Common, Durable, Ids, OutputFile, Progress};
use rootfs_diff::layers::{Layers, LayersError, split_lowers};
use rootfs_diff::{ContentCheck, ImageLayers, Options, Trees, TreesError};
use tartree::{Exclude, TarPath};

/// Habits from `podman diff CONTAINER`, patch and tar.
pub const HABITS: &[Habit] = &[
    Habit { verb: "create", typed: &[Habit::OPERAND], instead: TREES },
    Habit { verb: "list", typed: &[Habit::OPERAND], instead: LISTED },
    Habit { verb: "", typed: &["--archive"], instead: "rootfs-diff list --archive FILE" },
    Habit {
        verb: "apply",
        typed: &[Habit::OPERAND, "-f", "--file", "-i", "--input"],
        instead: "rootfs-diff apply --rootfs DIR < FILE",
    },
];
const TREES: &str = "--rootfs MOUNTPOINT, or --from DIR --to DIR";
const LISTED: &str = "--archive FILE, --rootfs MOUNTPOINT, or --from DIR --to DIR";

/// Maximum size of a config.json, in bytes.
const CONFIG_LIMIT: u64 = 16 << 20;

/// Find the changes in a container's root file system, and apply them to another copy
#[derive(Parser, Debug)]
#[command(
    name = "rootfs-diff",
    version,
    after_help = "Examples:\n  \
        rootfs-diff list --rootfs /run/web/rootfs\n  \
        rootfs-diff list --tree --archive web.ckpt\n  \
        rootfs-diff create --members --rootfs /run/web/rootfs | ckpt-pack --bundle . - > web.ckpt\n  \
        rootfs-diff create --upper up --lower top:bottom --deleted deleted.files > diff.tar\n  \
        rootfs-diff apply --rootfs /run/copy/rootfs --deleted deleted.files < diff.tar\n  \
        rootfs-diff apply --rootfs /srv/image --layer layer --deleted deleted.files < diff.tar\n\n\
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
    /// Write the changes as a tar, and the list of deletions
    Create(Create),
    /// List the changes in the format of podman diff
    List(List),
    /// Apply a diff to a directory
    Apply(Apply),
}

#[derive(clap::Args, Debug)]
pub struct Create {
    #[command(flatten)]
    pub trees: TreesArgs,
    /// Form of the diff: podman's, or a layer of an OCI image, in which deletions are whiteouts
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Podman, help_heading = "Output")]
    pub format: Format,
    /// Write a member stream for ckpt-pack: the diff and its deletions
    #[arg(long, help_heading = "Output", conflicts_with = "deleted")]
    pub members: bool,
    /// Write the deletions to FILE as JSON, and names that are not UTF-8 to FILE0
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub deleted: Option<PathBuf>,
    /// Also write the deletions into the tar, as headers that podman applies and other programs
    /// ignore
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
    /// A tar and a list of deletions
    Podman,
    /// An image layer (image-spec 1.1, "layer.md")
    Oci,
}

#[derive(clap::Args, Debug)]
pub struct List {
    #[command(flatten)]
    pub trees: TreesArgs,
    /// List the changes in a checkpoint archive, or in an OCI image of a checkpoint; --rootfs is then
    /// the root file system of the container's image
    #[arg(long, value_name = "FILE", help_heading = "Source", conflicts_with_all = LIVE_ARGS)]
    pub archive: Option<PathBuf>,
    /// Read the image REF, if FILE has several images
    #[arg(long, value_name = "REF", help_heading = "Source", requires = "archive")]
    pub tag: Option<String>,
    /// Print one JSON document instead of lines
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// End each line with a NUL byte and print names unescaped, for xargs -0
    #[arg(short = '0', long = "null", help_heading = "Output", conflicts_with = "json")]
    pub null: bool,
    /// Print the changes of text files as a unified diff
    #[arg(long, help_heading = "Output", conflicts_with_all = ["json", "null"])]
    pub patch: bool,
    /// Print the changes as a tree, with sizes in bytes
    #[arg(long, help_heading = "Output", conflicts_with_all = ["json", "null", "patch"])]
    pub tree: bool,
}

#[derive(clap::Args, Debug)]
pub struct Apply {
    /// Directory with the root file system to change
    #[arg(long, value_name = "DIR")]
    pub rootfs: PathBuf,
    /// Leave the root file system as it is, and write the changes into DIR as a layer of an overlay
    #[arg(long, value_name = "DIR", help_heading = "Output", conflicts_with_all = ["cross_mounts", "dry_run"])]
    pub layer: Option<PathBuf>,
    /// Write the layer for an overlay that is mounted with userxattr, as in a user namespace
    #[arg(long, help_heading = "Output", requires = "layer")]
    pub userxattr: bool,
    /// Read a member stream, as create --members writes it
    #[arg(long, help_heading = "Input", conflicts_with = "deleted")]
    pub members: bool,
    /// Delete the paths that FILE (JSON) lists, and the paths in FILE0 if it exists
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub deleted: Option<PathBuf>,
    /// Form of the diff: podman's, or a layer of an OCI image [default: detected]
    #[arg(long, value_name = "FORMAT", value_enum, help_heading = "Input")]
    pub format: Option<Format>,
    /// Apply a tar even if it has the names of a checkpoint archive or an image
    #[arg(long, help_heading = "Input", conflicts_with = "members", hide_short_help = true)]
    pub any_tar: bool,
    /// Also write and delete on file systems that are mounted below the root file system
    #[arg(long, help_heading = "Output")]
    pub cross_mounts: bool,
    /// Print each step, and change nothing
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,
    #[command(flatten)]
    pub durable: Durable,
    /// Create everything as the current user, and drop setuid and setgid
    #[arg(long, help_heading = "Ownership", conflicts_with_all = ["uidmap", "gidmap"])]
    pub no_same_owner: bool,
    /// Skip device nodes, and report each
    #[arg(long, help_heading = "Limits")]
    pub no_devices: bool,
    #[command(flatten)]
    pub bounds: Bounds,
    #[command(flatten)]
    pub ids: Ids,
}

/// The arguments that name an overlay. `--from` and `--to` list each of these arguments as a
/// conflict: clap ignores `requires` if the required argument conflicts with another given
/// argument, and the flag would then silently have no effect.
const OVERLAY_ARGS: [&str; 5] = ["rootfs", "upper", "lower", "userxattr", "image_layers"];

/// The arguments that have no effect on an archive.
const LIVE_ARGS: [&str; 7] = ["upper", "lower", "userxattr", "image_layers", "from", "to", "trust_mtime"];

#[derive(clap::Args, Debug)]
#[group(skip)]
pub struct TreesArgs {
    /// Compare the overlay mounted at MOUNTPOINT; a fuse-overlayfs also needs --upper and --lower
    #[arg(long, value_name = "MOUNTPOINT", help_heading = "Source")]
    pub rootfs: Option<PathBuf>,
    /// Upper directory of an overlay that need not be mounted
    #[arg(long, value_name = "DIR", help_heading = "Source", requires = "lower")]
    pub upper: Option<PathBuf>,
    /// Lower directories of that overlay, topmost first, as in the mount option
    #[arg(long, value_name = "DIR[:DIR...]", help_heading = "Source", requires = "upper")]
    pub lower: Option<OsString>,
    /// The overlay's own xattrs are user.overlay.*, as in user namespaces
    #[arg(long, help_heading = "Source", requires = "upper")]
    pub userxattr: bool,
    /// Take only the N lowest lower directories as the image: what the others hold has changed
    #[arg(long, value_name = "N", help_heading = "Source", value_parser = clap::value_parser!(u16).range(1..))]
    pub image_layers: Option<u16>,
    /// Old tree, of any storage driver
    #[arg(long, value_name = "DIR", help_heading = "Source", requires = "to", conflicts_with_all = OVERLAY_ARGS)]
    pub from: Option<PathBuf>,
    /// New tree
    #[arg(long, value_name = "DIR", help_heading = "Source", requires = "from", conflicts_with_all = OVERLAY_ARGS)]
    pub to: Option<PathBuf>,
    /// Treat the content of a file as unchanged if size and time are equal, as podman does: faster
    /// between two trees, but misses a write that keeps both
    #[arg(long, help_heading = "How to compare")]
    pub trust_mtime: bool,
    /// Leave out paths that match PATTERN, and everything below them (repeatable); wildcards as in
    /// tar
    #[arg(long, value_name = "PATTERN", help_heading = "What to include")]
    pub exclude: Vec<OsString>,
    /// Skip everything below the mount destinations in this config.json
    #[arg(long, value_name = "FILE", help_heading = "What to include")]
    pub config: Option<PathBuf>,
}

impl TreesArgs {
    /// Opens the trees to compare.
    ///
    /// # Errors
    /// Returns a usage error if no trees are named. Returns an error with a hint if the trees
    /// cannot be opened.
    pub fn open(&self) -> anyhow::Result<Trees> {
        let layers = |upper: &PathBuf, lower: &OsString| {
            let (lowers, data_only) = split_lowers(lower.as_bytes());
            Layers { upper: Some(upper.clone()), lowers, data_only, userxattr: self.userxattr, index: false }
        };
        let image = self.image_layers.map_or(ImageLayers::All, |n| ImageLayers::Lowest(n.into()));
        let trees = match (&self.rootfs, &self.upper, &self.lower, &self.from, &self.to) {
            (Some(rootfs), Some(upper), Some(lower), ..) => {
                Trees::mounted_with_layers(rootfs, &layers(upper, lower), image)
            }
            (Some(rootfs), ..) => Trees::mounted(rootfs, image),
            (_, Some(upper), Some(lower), ..) => Trees::unmounted(&layers(upper, lower), image),
            (_, _, _, Some(from), Some(to)) => Trees::directories(from, to),
            _ => {
                return Err(cli::usage(
                    "no source given: --rootfs MOUNTPOINT, --upper DIR --lower DIR, or --from DIR --to DIR",
                ));
            }
        };
        trees.map_err(|e| match e {
            TreesError::Layers(_, LayersError::Hidden(_)) => {
                cli::Hint::on(e, "unmount the later mount, or compare two trees: --from DIR --to DIR")
            }
            TreesError::Layers(_, LayersError::InUse(_) | LayersError::Deleted | LayersError::Detached) => {
                cli::Hint::on(e, "compare two trees: --from IMAGE_TREE --to MOUNTPOINT")
            }
            TreesError::Layers(..) => cli::Hint::on(
                e,
                "name the layers: --upper DIR --lower DIR:DIR, or compare two trees: --from DIR --to MOUNTPOINT",
            ),
            TreesError::ImageLayers { expected, found } => cli::usage(format!(
                "--image-layers {expected}: the overlay has only {found} lower directories"
            )),
            TreesError::Merge(..) => cli::Hint::on(e, "compare two trees instead: --from DIR --to DIR"),
            e => e.into(),
        })
    }

    /// Returns the directories that are compared, as context for an error in one of them.
    pub fn name(&self) -> String {
        let given = [&self.rootfs, &self.upper, &self.from, &self.to];
        let names: Vec<_> = given.into_iter().flatten().map(cli::display_path).collect();
        names.join(" and ")
    }

    /// Returns the options of the comparison.
    ///
    /// # Errors
    /// Returns an error if a pattern is invalid or the config.json cannot be read.
    pub fn options(&self) -> anyhow::Result<Options> {
        let exclude = Exclude::parse(&self.exclude).map_err(|e| cli::usage(format!("--exclude {e}")))?;
        let mount_points = match &self.config {
            Some(file) => destinations(file)?,
            None => Vec::new(),
        };
        let content = if self.trust_mtime { ContentCheck::TrustMtime } else { ContentCheck::Read };
        Ok(Options { exclude, mount_points, content, self_contained: false })
    }
}

/// Returns the destinations of the mounts in a config.json.
fn destinations(file: &std::path::Path) -> anyhow::Result<Vec<TarPath>> {
    let name = cli::display_path(file);
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
