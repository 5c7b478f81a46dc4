//! Checks that CRIU can restore the images in an archive. Without this check, only a restore would
//! find the problem, when the container no longer exists.

use std::io::Read;

use checkpoint::Member;
use checkpoint::criu::check::{Collected, Report, check};
use checkpoint::stats::Stats;
use tartree::Kind;

/// The images of one archive.
#[derive(Default)]
pub struct ImageCheck {
    images: Collected,
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
            (Member::StatsDump, _) => Some(stats(content)),
            _ => None,
        }
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
