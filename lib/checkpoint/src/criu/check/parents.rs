//! Checks that the directories `parent` have all pages that the newest images leave out.

use std::io::Cursor;

use prost::Message;

use super::Source;
use crate::PAGE;
use crate::criu::image_file;
use crate::criu::incremental::{MAX_LEVELS, uncovered};
use crate::criu::messages::PagemapEntry;
use crate::criu::pagemap::{IN_PARENT, PRESENT, PagemapReader};
use crate::error::{Error, Result};

/// The page sizes of the architectures that CRIU supports, in bytes.
const PAGE_SIZES: [u64; 3] = [4096, 16384, 65536];

type Reader = PagemapReader<Cursor<Vec<u8>>>;

/// Returns the problems of the pages that the images in `source` leave out: pages that the next
/// directory `parent` lacks, and `pages` images in these directories that are too short.
pub fn check_parents(source: &mut dyn Source) -> Vec<String> {
    check_levels(source, MAX_LEVELS)
}

/// Does the same as [`check_parents`] for at most `levels` directories `parent`.
pub fn check_levels(source: &mut dyn Source, levels: usize) -> Vec<String> {
    let names = source.names();
    let problem = |name: &String| chain(source, name, levels).unwrap_or_else(|e| Some(e.to_string()));
    pagemaps(&names).filter_map(problem).collect()
}

/// Returns the problems of the pagemaps in `source` and of the `pages` images that they announce.
pub fn check_pagemaps(source: &mut dyn Source) -> Vec<String> {
    let names = source.names();
    let problem = |name: &String| match Level::read(source, name, name) {
        Ok(level) => level.and_then(|level| level.problem()),
        Err(e) => Some(e.to_string()),
    };
    pagemaps(&names).filter_map(problem).collect()
}

fn pagemaps(names: &[String]) -> impl Iterator<Item = &String> {
    names.iter().filter(|name| name.starts_with("pagemap-") && name.ends_with(".img"))
}

/// A pagemap, and the size of its `pages` image.
struct Level {
    pages: String,
    present: u64,
    in_parent: u64,
    size: u64,
    compressed: bool,
}

impl Level {
    /// Reads the pagemap `name` at `path`. Returns `None` if it does not exist, or is too large to
    /// be read.
    fn read(source: &mut dyn Source, path: &str, name: &str) -> Result<Option<Level>> {
        let Some(mut pagemap) = reader(source, path)? else { return Ok(None) };
        let (mut present, mut in_parent, mut compressed) = (0u64, 0u64, false);
        while let Some(run) = pagemap.next()? {
            if run.is_present() {
                present = present.saturating_add(run.pages);
                compressed |= pagemap.blocks().is_some();
            } else if run.is_in_parent() {
                in_parent = in_parent.saturating_add(run.pages);
            }
        }
        let pages =
            format!("{}pages-{}.img", path.strip_suffix(name).unwrap_or_default(), pagemap.pages_id());
        let size = source.size(&pages).map_err(|e| Error::member(&pages, e))?.unwrap_or(0);
        Ok(Some(Level { pages, present, in_parent, size, compressed }))
    }

    /// Returns the problem if the `pages` image is too short.
    fn problem(&self) -> Option<String> {
        let Level { pages, present, size, .. } = self;
        let is_short = present.saturating_mul(PAGE) > *size && !self.compressed;
        is_short.then(|| format!("{pages}: expected {present} pages, found {size} bytes"))
    }

    /// Returns the page size, if the level has pages of which it can be told.
    fn page_size(&self) -> Option<u64> {
        let is_size = |page: &u64| self.present.checked_mul(*page) == Some(self.size);
        PAGE_SIZES.into_iter().find(is_size).filter(|_| self.present > 0)
    }
}

/// Returns the page size of the newest level of the pagemap `name` of which it can be told.
fn page_size(source: &mut dyn Source, name: &str, levels: usize) -> Result<u64> {
    let mut path = name.to_owned();
    for _ in 0..levels {
        match Level::read(source, &path, name)? {
            None => break,
            Some(level) => match level.page_size() {
                Some(size) => return Ok(size),
                None => path = format!("parent/{path}"),
            },
        }
    }
    Ok(PAGE)
}

/// Checks the chain of the pagemaps `name`.
fn chain(source: &mut dyn Source, name: &str, levels: usize) -> Result<Option<String>> {
    if !has_pages_in_parent(source, name)? {
        return Ok(None);
    }
    let page_size = page_size(source, name, levels)?;
    let mut path = name.to_owned();
    for _ in 0..levels {
        let Some(level) = Level::read(source, &path, name)? else { return Ok(None) };
        // Other checks find problems of the newest level.
        if let Some(problem) = level.problem().filter(|_| path != name) {
            return Ok(Some(problem));
        }
        if level.in_parent == 0 {
            return Ok(None);
        }
        let below = format!("parent/{path}");
        let mut parent = reader(source, &below)?;
        let Some(mut pagemap) = reader(source, &path)? else { return Ok(None) };
        if let Some(vaddr) = uncovered(&mut pagemap, parent.as_mut(), page_size)? {
            return Ok(Some(format!("{path}: the page at {vaddr:#x} is not in {below}")));
        }
        path = below;
    }
    Ok(Some(format!("{name}: more than {levels} directories parent")))
}

/// Returns whether the pagemap `name` leaves out pages. Other checks report a damaged pagemap.
fn has_pages_in_parent(source: &mut dyn Source, name: &str) -> Result<bool> {
    let Some(image) = source.read(name).map_err(|e| Error::member(name, e))? else { return Ok(false) };
    let runs = image_file::payloads(name, &image.bytes).unwrap_or_default();
    let runs = runs.into_iter().skip(1).filter_map(|run| PagemapEntry::decode(run).ok());
    Ok(image.complete && runs.into_iter().any(|run| run.all_flags() & (IN_PARENT | PRESENT) == IN_PARENT))
}

/// Reads the pagemap at `path`. Returns `None` if it does not exist, or is too large to be read.
fn reader(source: &mut dyn Source, path: &str) -> Result<Option<Reader>> {
    match source.read(path).map_err(|e| Error::member(path, e))? {
        Some(image) if image.complete => {
            PagemapReader::new(path, Cursor::new(image.bytes.to_vec())).map(Some)
        }
        _ => Ok(None),
    }
}
