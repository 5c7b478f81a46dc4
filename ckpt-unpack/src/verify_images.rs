//! Checks that CRIU's images fit together. Without this check, only a restore would find the
//! problem, when the container no longer exists.

use std::io::Read;

use checkpoint::Member;
use checkpoint::process_tree::{IMAGE_LIMIT, Images};
use checkpoint::stats::Stats;

/// Maximum number of bytes of images that are read. Beyond it, images are only counted.
const IMAGES_LIMIT: u64 = 512 << 20;
/// The smallest page size of any architecture.
const PAGE: u64 = 4096;

/// The images of one archive.
#[derive(Default)]
pub struct ImageCheck {
    images: Images,
    read: u64,
    /// Name and length of each pages image.
    pages: Vec<(String, u64)>,
    /// Whether some images were too large to be read. If so, pages or processes that seem missing
    /// may be in them.
    partial: bool,
}

impl ImageCheck {
    /// Checks a member that CRIU wrote; returns `None` for any other member.
    ///
    /// # Errors
    /// The inner result is an error if the content does not match the member's name.
    pub fn check(
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

    /// Lists contradictions between the images, as messages.
    pub fn problems(&self) -> Vec<String> {
        if self.partial {
            return Vec::new();
        }
        let pages = self.pages.iter().filter_map(|(name, size)| {
            let (_, pages) = self.images.parts(name);
            let fits = match size.checked_div(pages) {
                None => true,
                Some(page) => page.checked_mul(pages) == Some(*size) && page > 0 && page % PAGE == 0,
            };
            (!fits).then(|| format!("checkpoint/{name}: expected {pages} pages, found {size} bytes"))
        });
        let missing = self.images.pages_images().filter_map(|name| {
            let (_, pages) = self.images.parts(&name);
            let present = self.pages.iter().any(|(image, _)| *image == name);
            (pages > 0 && !present)
                .then(|| format!("checkpoint/{name}: not in the archive, expected {pages} pages"))
        });
        let processes = self.images.without_core();
        let processes = processes.map(|pid| {
            format!("checkpoint/core-{pid}.img: not in the archive, but pstree.img lists process {pid}")
        });
        pages.chain(missing).chain(processes).collect()
    }
}

fn stats(content: &mut impl Read) -> anyhow::Result<()> {
    let name = "stats-dump";
    Stats::read(name, &cli::read_document(content, name, Stats::LIMIT)?)?;
    Ok(())
}
