//! The flags of pod archives.

use std::path::PathBuf;

use checkpoint::compress::Compression;
use checkpoint::pod::ContainerName;
use cli::args::{name_value, rewritten};

use crate::args::{Args, Format, Layers, reject_given};

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Pod")]
pub struct Pod {
    /// Pack the archives of --container into the archive of a pod; FILE is the pod's configuration,
    /// a PodSandboxConfig as JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bundle", "from_archive", "Verb"])]
    pub pod_config: Option<PathBuf>,
    /// Pack ARCHIVE as the archive of the container NAME (repeatable); '-' is standard input
    #[arg(long, value_name = "NAME=ARCHIVE", value_parser = container, requires = "pod_config")]
    pub container: Vec<(ContainerName, PathBuf)>,
}

fn container(text: &str) -> Result<(ContainerName, PathBuf), String> {
    let (name, archive) = name_value(text)?;
    let name = name.parse().map_err(|e| match rewritten(text) {
        Some(pair) => format!("expected NAME=ARCHIVE, write {pair}"),
        None => e,
    })?;
    Ok((name, archive))
}

/// Rejects flags that have no effect on a pod archive.
///
/// # Errors
/// Returns a usage error that names the first such flag.
pub fn reject_without_effect(args: &Args) -> anyhow::Result<()> {
    let Args { input, include, incremental, container, image, live, check, .. } = args;
    let given = [
        ("COMMAND", live.is_given()),
        ("--base", !incremental.base.is_empty()),
        ("--image-path", input.image_path.is_some()),
        ("--ignore-rootfs", include.ignore_rootfs),
        ("--ignore-volumes", include.ignore_volumes),
        ("--keep-zeros", include.keep_zeros),
        ("--pre-checkpoint", include.pre_checkpoint),
        ("--with-previous", include.with_previous),
        ("--id", container.id.is_some()),
        ("--name", container.name.is_some()),
        ("--rootfs-image", container.rootfs_image.is_some()),
        ("--state", container.state.is_some()),
        ("--runtime", container.runtime.is_some()),
        ("--volume", !container.volume.is_empty()),
        ("--network", !container.network.is_empty()),
        ("--keep-hooks", container.keep_hooks),
        ("--criu", check.criu.is_some()),
        ("--format", image.format != Format::Archive),
        ("--layers", image.layers != Layers::One),
        ("--tag", image.tag.is_some()),
        ("--annotations", image.annotations.is_some()),
        ("--print-stats", image.print_stats),
    ];
    reject_given(&given, true, "with --pod-config")
}

/// Returns whether the size of a member can be written into the output after the member.
pub fn is_plain(args: &Args) -> bool {
    args.compress.compress == Compression::None
}
