//! Whether CRIU's images fit together, as far as they are read: a restore would find out after the container is gone.

use std::io::Read;

use checkpoint::Member;
use checkpoint::process_tree::{IMAGE_LIMIT, Images};
use checkpoint::stats::Stats;

/// Bytes of all images that are read; those of larger processes are only counted.
const IMAGES_LIMIT: u64 = 512 << 20;
/// The smallest page of any architecture.
const PAGE: u64 = 4096;

/// The images of one archive.
#[derive(Default)]
pub struct ImageCheck {
    images: Images,
    read: u64,
    /// Of each image of pages: its name and length.
    pages: Vec<(String, u64)>,
    /// Some were too large to be read: what is missing may be in them.
    partial: bool,
}

impl ImageCheck {
    /// Reads a member that CRIU wrote; `None` for any other. An error when it is not what its name says.
    pub fn take(
        &mut self,
        member: &Member,
        size: u64,
        content: &mut impl Read,
    ) -> Option<anyhow::Result<()>> {
        match member {
            Member::Images(path) => Some(self.image(&path.to_string(), size, content)),
            Member::StatsDump => Some(stats(content)),
            _ => None,
        }
    }

    fn image(&mut self, name: &str, size: u64, content: &mut impl Read) -> anyhow::Result<()> {
        if name == "inventory.img" && size == 0 {
            anyhow::bail!("checkpoint/{name}: is empty");
        }
        if name.starts_with("pages-") {
            self.pages.push((name.to_owned(), size));
        }
        if !Images::wants(name) {
            return Ok(());
        }
        self.read = self.read.saturating_add(size);
        if size > IMAGE_LIMIT || self.read > IMAGES_LIMIT {
            self.partial = true;
            return Ok(());
        }
        let bytes = cli::read_document(content, name, IMAGE_LIMIT)?;
        self.images.add(name, &bytes).map_err(|e| anyhow::anyhow!("checkpoint/{e}"))
    }

    /// What is wrong with them together.
    pub fn problems(&self) -> Vec<String> {
        if self.partial {
            return Vec::new();
        }
        let pages = self.pages.iter().filter_map(|(name, size)| {
            let (_, pages) = self.images.parts(name);
            let whole = match size.checked_div(pages) {
                None => true,
                Some(page) => page.checked_mul(pages) == Some(*size) && page > 0 && page % PAGE == 0,
            };
            (!whole).then(|| format!("checkpoint/{name}: {size} bytes, {pages} pages are announced"))
        });
        let missing = self.images.pages_images().filter_map(|name| {
            let (_, pages) = self.images.parts(&name);
            let there = self.pages.iter().any(|(image, _)| *image == name);
            (pages > 0 && !there)
                .then(|| format!("checkpoint/{name}: not in the archive, {pages} pages are announced"))
        });
        let processes = self.images.without_core();
        let processes = processes.map(|pid| {
            format!("checkpoint/core-{pid}.img: not in the archive, pstree.img has process {pid}")
        });
        pages.chain(missing).chain(processes).collect()
    }
}

fn stats(content: &mut impl Read) -> anyhow::Result<()> {
    let name = "stats-dump";
    Stats::read(name, &cli::read_document(content, name, Stats::LIMIT)?)?;
    Ok(())
}
