//! Checks that CRIU's images fit together. Without this check, only a restore would find the
//! problem, when the container no longer exists.

use std::io::Read;

use checkpoint::Member;
use checkpoint::process_tree::{IMAGE_LIMIT, Images};
use checkpoint::stats::Stats;
use tartree::Kind;

/// Maximum number of bytes of images that are read. Beyond it, images are only counted.
const IMAGES_LIMIT: u64 = 512 << 20;

/// The images of one archive.
#[derive(Default)]
pub struct ImageCheck {
    images: Images,
    read: u64,
    /// Each pages image.
    pages: Vec<PagesImage>,
    /// Whether some images were too large to be read. If so, pages or processes that seem missing
    /// may be in them.
    partial: bool,
}

/// A pages image.
struct PagesImage {
    name: String,
    size: u64,
    /// The offset after the last byte that is not zero, or an upper bound.
    data: u64,
}

impl ImageCheck {
    /// Checks a member that CRIU wrote; returns `None` for any other member.
    ///
    /// # Errors
    /// The inner result is an error if the content does not match the member's name.
    pub fn check(
        &mut self,
        member: &Member,
        kind: &Kind,
        content: &mut impl Read,
    ) -> Option<anyhow::Result<()>> {
        match member {
            Member::Images(path) => Some(self.image(&path.to_string(), kind, content)),
            Member::StatsDump => Some(stats(content)),
            _ => None,
        }
    }

    fn image(&mut self, name: &str, kind: &Kind, content: &mut impl Read) -> anyhow::Result<()> {
        let size = kind.len();
        if name == "inventory.img" && size == 0 {
            anyhow::bail!("checkpoint/{name}: is empty");
        }
        if name.starts_with("pages-") {
            let data = match kind {
                // The holes of a hostile archive may be too large to be read.
                Kind::File { map: Some(map), .. } => {
                    map.0.last().map_or(0, |(start, len)| start.saturating_add(*len))
                }
                // Usually, the pagemap images precede the pages.
                _ if self.images.payload(name).is_ok_and(|payload| payload.fits(size)) => size,
                _ => end_of_data(content)?,
            };
            self.pages.push(PagesImage { name: name.to_owned(), size, data });
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
        let pages = self.pages.iter().filter_map(|PagesImage { name, size, data }| {
            let payload = match self.images.payload(name) {
                Ok(payload) => payload,
                Err(e) => return Some(format!("checkpoint/{e}")),
            };
            let pages = payload.pages();
            let fits = pages == 0 || payload.fits(*size) || payload.fits_with_zeros(*size, *data);
            (!fits).then(|| format!("checkpoint/{name}: expected {pages} pages, found {size} bytes"))
        });
        let missing = self.images.pages_images().filter_map(|name| {
            let pages = self.images.payload(&name).map_or(0, |payload| payload.pages());
            let present = self.pages.iter().any(|image| image.name == name);
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

/// Returns the offset after the last byte that is not zero.
fn end_of_data(content: &mut impl Read) -> std::io::Result<u64> {
    let (mut at, mut end, mut buffer) = (0, 0, vec![0; 1 << 18]);
    loop {
        let got = content.read(&mut buffer)?;
        if got == 0 {
            return Ok(end);
        }
        if let Some(last) = buffer[..got].iter().rposition(|&byte| byte != 0) {
            end = at + last as u64 + 1;
        }
        at += got as u64;
    }
}

fn stats(content: &mut impl Read) -> anyhow::Result<()> {
    let name = "stats-dump";
    Stats::read(name, &cli::read_document(content, name, Stats::LIMIT)?)?;
    Ok(())
}
