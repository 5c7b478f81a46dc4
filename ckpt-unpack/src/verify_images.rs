//! Checks that CRIU can restore the images in an archive. Without this check, only a restore would
//! find the problem, when the container no longer exists.

use std::io::{self, Read};

use anyhow::Context;
use checkpoint::Member;
use checkpoint::criu::check::{Collected, Report, check, check_pagemaps, check_parents};
use checkpoint::delta::Delta;
use checkpoint::stats::Stats;
use cli::Session;
use tartree::{Kind, TarPath};

use crate::base::Bases;
use crate::xor::{self, Decoding};

/// The images of one archive.
#[derive(Default)]
pub struct ImageCheck {
    images: Collected,
    /// Decodes pages that are stored as XOR, if their base is given.
    decoding: Option<Decoding>,
    /// The images of a pre-checkpoint.
    previous: Collected,
    /// The archives of `--base`.
    pub bases: Bases,
}

impl ImageCheck {
    /// Checks images with the archives of `--base`.
    pub fn new(bases: Bases) -> ImageCheck {
        ImageCheck { bases, ..ImageCheck::default() }
    }

    /// Checks a member that CRIU wrote; returns `None` for any other member.
    ///
    /// # Errors
    /// The inner result is an error if the content does not match the member's name, or cannot be
    /// read.
    pub fn check(
        &mut self,
        member: &Member,
        kind: &Kind,
        content: &mut impl Read,
    ) -> Option<anyhow::Result<()>> {
        match (member, kind) {
            (Member::Images(path), Kind::File { .. }) if !member.is_delta() => {
                Some(self.image(path, kind, content))
            }
            (Member::PreImages(path), Kind::File { .. }) if !member.is_delta() => {
                let added = self.previous.add(&path.to_string(), kind, content);
                Some(added.map_err(|e| anyhow::Error::new(e).context(member.to_string())))
            }
            (Member::StatsDump, _) => Some(stats(content)),
            _ => None,
        }
    }

    fn image(&mut self, path: &TarPath, kind: &Kind, content: &mut impl Read) -> anyhow::Result<()> {
        let images = &mut self.images;
        let added = match &mut self.decoding {
            Some(decoding) => decoding.image(path, kind, content, &mut |path, size, mut content| {
                let kind = Kind::File { size, map: None };
                images.add(&path.to_string(), &kind, &mut content)?;
                // The decoded image is compared with its digest.
                io::copy(&mut content, &mut io::sink())?;
                Ok(())
            }),
            None => xor::add_undecoded(path, kind, content, images),
        };
        if !added? {
            let object = || Member::Images(path.clone()).to_string();
            self.images.add(&path.to_string(), kind, content).with_context(object)?;
        }
        Ok(())
    }

    /// Prepares to check the images that `delta` describes, before the first of them is read.
    ///
    /// # Errors
    /// Returns an error if `bases` are other archives, or cannot be read.
    pub fn begin(&mut self, delta: &Delta, session: &Session) -> anyhow::Result<()> {
        if delta.is_xor() && !self.bases.is_empty() {
            self.decoding = Some(Decoding::new(&mut self.bases, delta, session)?);
        }
        Ok(())
    }

    /// Checks that all images were decoded correctly.
    ///
    /// # Errors
    /// Returns an error that names both IDs.
    pub fn check_decoded(&self) -> anyhow::Result<()> {
        self.decoding.as_ref().map_or(Ok(()), Decoding::check)
    }

    /// Adds an image of a base, at its path in the image directory.
    pub fn add(&mut self, path: &TarPath, kind: &Kind, mut content: &mut dyn Read) -> anyhow::Result<()> {
        Ok(self.images.add(&path.to_string(), kind, &mut content)?)
    }

    /// Returns the problems of the pages that the images leave out.
    pub fn parents(&mut self) -> Vec<String> {
        check_parents(&mut self.images).iter().map(|what| format!("checkpoint/{what}")).collect()
    }

    /// Returns the problems of the pagemaps and the pages of a pre-checkpoint.
    pub fn previous(&mut self) -> Vec<String> {
        check_pagemaps(&mut self.previous).iter().map(|what| format!("pre-checkpoint/{what}")).collect()
    }

    /// Returns whether a pre-checkpoint leaves out pages that the archive does not hold.
    pub fn previous_leaves_out(&mut self) -> bool {
        !check_parents(&mut self.previous).is_empty()
    }

    /// Checks the images together.
    pub fn report(&mut self) -> Report {
        check(&mut self.images)
    }
}

fn stats(content: &mut impl Read) -> anyhow::Result<()> {
    let name = "stats-dump";
    Stats::read(name, &cli::read_document(content, name, Stats::LIMIT)?)?;
    Ok(())
}
