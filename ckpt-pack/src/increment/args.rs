//! The flags of incremental archives.

use std::path::PathBuf;

use cli::{Hint, usage};

use crate::args::{Format, Image};

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Incremental archives")]
pub struct Incremental {
    /// Leave out memory pages that the earlier archive FILE holds. The new archive is restored
    /// together with it (repeatable: if FILE needs other archives, give them first)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["Verb", "pre_checkpoint", "with_previous"])]
    pub base: Vec<PathBuf>,
    /// Also pack the pages of --base, so that the archive can be restored alone
    #[arg(long, hide_short_help = true)]
    pub self_contained: bool,
    /// With --from-archive: combine it with the archives of --base to a complete archive
    #[arg(long, conflicts_with = "self_contained", hide_short_help = true)]
    pub flatten: bool,
}

impl Incremental {
    /// Rejects flags without effect.
    ///
    /// # Errors
    /// Returns a usage error that names the flag.
    pub fn reject_without_effect(&self, is_archive: bool, is_live: bool) -> anyhow::Result<()> {
        let flags = [
            ("--base", !self.base.is_empty(), is_live, "with COMMAND, whose images are not complete yet"),
            ("--self-contained", self.self_contained, self.base.is_empty(), "without --base"),
            ("--self-contained", self.self_contained, is_archive, "with --from-archive"),
            ("--flatten", self.flatten, !is_archive, "without --from-archive"),
            (
                "--base",
                !self.base.is_empty(),
                is_archive && !self.flatten,
                "with --from-archive, without --flatten",
            ),
        ];
        cli::args::reject_ineffective(flags.map(|(flag, given, ineffective, reason)| {
            cli::args::Ineffective { flag, given, ineffective, reason }
        }))
    }

    /// Rejects `--base` for engines that need a complete archive.
    ///
    /// # Errors
    /// Returns a usage error that names the flag.
    pub fn check_format(&self, image: &Image) -> anyhow::Result<()> {
        let flag = match () {
            () if self.base.is_empty() => return Ok(()),
            () if image.format == Format::Ctr => "--format ctr",
            () if image.annotations.is_some() && !self.self_contained => "--annotations",
            () => return Ok(()),
        };
        let e = usage(format!("{flag}: the engine needs a complete checkpoint, without --base"));
        Err(Hint::on(e, "leave out --base"))
    }
}
