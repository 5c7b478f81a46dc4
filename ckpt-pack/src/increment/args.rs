//! The flags of incremental archives.

use std::path::PathBuf;

use checkpoint::compress::Compression;
use checkpoint::delta::Delta;
use cli::{Hint, Session, usage};

use crate::args::{Format, Image};

const NOT_COMPLETE: &str = "--format oci: engines cannot restore the image, which needs a base";

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Incremental archives")]
pub struct Incremental {
    /// Leave out memory pages that the earlier archive FILE holds. The new archive is restored
    /// together with it (repeatable: if FILE needs other archives, give them first)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["Verb", "pre_checkpoint", "with_previous"])]
    pub base: Vec<PathBuf>,
    /// With --base: store changed pages as XOR with those of the base. The archive is much smaller, but
    /// only ckpt-pack and ckpt-unpack can read it (needs --compress)
    #[arg(long, conflicts_with_all = ["self_contained", "flatten"])]
    pub xor: bool,
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
        if is_archive && !self.flatten && !self.base.is_empty() {
            return Err(usage("--base with --from-archive requires --flatten"));
        }
        let flags = [
            ("--xor", self.xor, self.base.is_empty(), "without --base"),
            ("--base", !self.base.is_empty(), is_live, "with COMMAND, whose images are not complete yet"),
            ("--self-contained", self.self_contained, self.base.is_empty(), "without --base"),
            ("--self-contained", self.self_contained, is_archive, "with --from-archive"),
            ("--flatten", self.flatten, !is_archive, "without --from-archive"),
        ];
        cli::args::reject_ineffective(flags.map(|(flag, given, ineffective, reason)| {
            cli::args::Ineffective { flag, given, ineffective, reason }
        }))
    }

    /// Rejects `--xor` where the archive would not be smaller, or could not be decoded.
    ///
    /// # Errors
    /// Returns a usage error that names the flag.
    pub fn check_xor(&self, image: &Image, compression: Compression) -> anyhow::Result<()> {
        if self.xor && image.format != Format::Archive {
            let e = usage("--xor: expected --format archive, because no engine can read the pages");
            return Err(Hint::on(e, "leave out --format"));
        }
        if self.xor && compression == Compression::None {
            let e = usage("--xor: has no effect without compression, which removes the equal bytes");
            return Err(Hint::on(e, "add --compress zstd"));
        }
        Ok(())
    }

    /// Rejects `--base` for engines that need a complete archive, and warns of an image that is not
    /// complete.
    ///
    /// # Errors
    /// Returns a usage error that names the flag.
    pub fn check_format(&self, image: &Image, session: &Session) -> anyhow::Result<()> {
        let flag = match () {
            () if self.base.is_empty() => return Ok(()),
            () if image.format == Format::Ctr => "--format ctr",
            () if image.annotations.is_some() && !self.self_contained => "--annotations",
            () if image.format == Format::Oci && !self.self_contained => {
                session.warn_with_hint(NOT_COMPLETE, "add --self-contained, or leave out --base");
                return Ok(());
            }
            () => return Ok(()),
        };
        let e = usage(format!("{flag}: the engine needs a complete checkpoint, without --base"));
        Err(Hint::on(e, "leave out --base"))
    }

    /// Rejects an incremental archive of `--from-archive` for engines that need a complete archive,
    /// and warns of an image that is not complete.
    ///
    /// # Errors
    /// Returns an error that names the document of the archive.
    pub fn check_copy(image: &Image, delta: &Delta, session: &Session) -> anyhow::Result<()> {
        let hint = "combine it with its base: --flatten --base FILE";
        if delta.is_xor() && image.format != Format::Archive {
            let name = Delta::member();
            let e = anyhow::anyhow!("{name}: no engine can read an image whose pages are stored as XOR");
            return Err(Hint::on(e, hint));
        }
        if image.annotations.is_some() {
            let e = anyhow::anyhow!(
                "{}: the engine of --annotations needs a complete checkpoint, without a base",
                Delta::member()
            );
            return Err(Hint::on(e, hint));
        }
        if image.format == Format::Oci {
            session.warn_with_hint(NOT_COMPLETE, hint);
        }
        Ok(())
    }
}
