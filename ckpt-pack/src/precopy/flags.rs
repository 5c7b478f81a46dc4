//! The flags of pre-copy.

use std::path::PathBuf;

use crate::args::Args;

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Migration")]
pub struct Precopy {
    /// Keep hashes of the pages that the receiver has in FILE, and do not send these pages again
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from_archive", "check", "prepare", "cleanup", "pre_checkpoint", "with_previous", "annotations"], hide_short_help = true)]
    pub page_index: Option<PathBuf>,
}

/// Rejects `--page-index` where pages come neither from a running container nor from its dump.
///
/// # Errors
/// Returns a usage error that says what to add.
pub fn reject_without_effect(args: &Args) -> anyhow::Result<()> {
    if args.precopy.page_index.is_some() && !args.verb.precopy && !args.live.is_given() {
        let e = cli::usage("--page-index has no effect without --precopy or COMMAND");
        return Err(cli::Hint::on(e, "add --precopy, or -- runc checkpoint ID"));
    }
    Ok(())
}
