//! Checks that CRIU can restore the images in an archive. Without this check, only a restore would
//! find the problem, when the container no longer exists.

use std::io::Read;

use checkpoint::Member;
use checkpoint::criu::check::{Collected, Report, check, check_pagemaps, check_parents};
use checkpoint::stats::Stats;
use tartree::{Kind, TarPath};

/// The images of one archive.
#[derive(Default)]
pub struct ImageCheck {
    images: Collected,
    /// The images of a pre-checkpoint.
    previous: Collected,
}

impl ImageCheck {
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
                let added = self.images.add(&path.to_string(), kind, content);
                Some(added.map_err(|e| anyhow::Error::new(e).context(member.to_string())))
            }
            (Member::PreImages(path), Kind::File { .. }) if !member.is_delta() => {
                let added = self.previous.add(&path.to_string(), kind, content);
                Some(added.map_err(|e| anyhow::Error::new(e).context(member.to_string())))
            }
            (Member::StatsDump, _) => Some(stats(content)),
            _ => None,
        }
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
