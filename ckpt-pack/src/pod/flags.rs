//! The flags of pod archives.

use std::path::PathBuf;

use checkpoint::compress::Compression;
use checkpoint::pod::ContainerName;
use cli::args::{name_value, rewritten};

use crate::args::Args;

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

/// Returns whether the size of a member can be written into the output after the member.
pub fn is_plain(args: &Args) -> bool {
    args.compress.compress == Compression::None
}
