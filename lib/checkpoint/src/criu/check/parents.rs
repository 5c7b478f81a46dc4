//! Checks that the directories `parent` have all pages that the newest images leave out.

use std::io::Cursor;

use prost::Message;

use super::Source;
use crate::criu::image_file;
use crate::criu::incremental::{MAX_LEVELS, uncovered};
use crate::criu::messages::PagemapEntry;
use crate::criu::pagemap::{IN_PARENT, PAGE, PRESENT, PagemapReader};
use crate::error::{Error, Result};

/// The page sizes of the architectures that CRIU supports, in bytes.
const PAGE_SIZES: [u64; 3] = [4096, 16384, 65536];

type Reader = PagemapReader<Cursor<Vec<u8>>>;

/// Returns the problems of the pages that the images in `source` leave out: pages that the next
/// directory `parent` lacks, and `pages` images in these directories that are too short.
pub fn check_parents(source: &mut dyn Source) -> Vec<String> {
    let names = source.names();
    let names = names.iter().filter(|name| name.starts_with("pagemap-") && name.ends_with(".img"));
    names.filter_map(|name| chain(source, name).unwrap_or_else(|e| Some(e.to_string()))).collect()
}

/// Checks the chain of the pagemaps `name`.
fn chain(source: &mut dyn Source, name: &str) -> Result<Option<String>> {
    if !has_pages_in_parent(source, name)? {
        return Ok(None);
    }
    let mut path = name.to_owned();
    for _ in 0..MAX_LEVELS {
        let Some(mut pagemap) = reader(source, &path)? else { return Ok(None) };
        let (mut present, mut in_parent) = (0u64, 0u64);
        while let Some(run) = pagemap.next()? {
            if run.is_present() {
                present = present.saturating_add(run.pages);
            } else if run.is_in_parent() {
                in_parent = in_parent.saturating_add(run.pages);
            }
        }
        let pages =
            format!("{}pages-{}.img", path.strip_suffix(name).unwrap_or_default(), pagemap.pages_id());
        let size = source.size(&pages).map_err(|e| Error::member(&pages, e))?.unwrap_or(0);
        if present.saturating_mul(PAGE) > size && path != name {
            return Ok(Some(format!("{pages}: expected {present} pages, found {size} bytes")));
        }
        if in_parent == 0 {
            return Ok(None);
        }
        let page_size = PAGE_SIZES.into_iter().find(|page| present.checked_mul(*page) == Some(size));
        let page_size = page_size.filter(|_| present > 0).unwrap_or(PAGE);
        let below = format!("parent/{path}");
        let mut parent = reader(source, &below)?;
        let Some(mut pagemap) = reader(source, &path)? else { return Ok(None) };
        if let Some(vaddr) = uncovered(&mut pagemap, parent.as_mut(), page_size)? {
            return Ok(Some(format!("{path}: the page at {vaddr:#x} is not in {below}")));
        }
        path = below;
    }
    Ok(Some(format!("{name}: more than {MAX_LEVELS} directories parent")))
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
