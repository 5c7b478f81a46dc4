//! The archives that a dump needs: its base, the base of that, and so on.

use std::fmt;
use std::io;

use super::MAX_CHAIN;
use super::decode::Decoder;
use super::header::{Header, pages_name};
use super::level::Level;
use super::stored::Form;
use crate::criu::incremental::HashedReader;
use crate::delta::{Base, ImagesId};
use crate::error::{Error, Result};

/// The archives of a chain, the newest first.
pub struct Chain(pub(super) Vec<Level>);

/// Why archives are not a chain.
#[derive(Debug)]
pub enum ChainFault {
    /// The archive `name` needs a base that is not given.
    Missing {
        /// The archive.
        name: String,
        /// Its base.
        base: Base,
    },
    /// The archive `base` is not the one with which the archive `name` was made.
    Other {
        /// The archive that was given as base.
        base: String,
        /// The archive that needs another base.
        name: String,
        /// The ID of the base.
        expected: ImagesId,
        /// The ID of the archive that was given.
        found: ImagesId,
    },
    /// The archive `name`, for which a base is given, is complete.
    Complete {
        /// The archive that was given as base.
        base: String,
        /// The complete archive.
        name: String,
    },
    /// The archive leaves out pages that are equal in its base.
    LeavesOut {
        /// The archive.
        name: String,
    },
    /// There are more than [`MAX_CHAIN`] archives.
    TooLong,
}

impl fmt::Display for ChainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChainFault::Missing { name, base } => write!(f, "{name}: needs its base, {}", base.id),
            ChainFault::Other { base, name, expected, found } => {
                write!(f, "{base}: not the base of {name}: expected {expected}, found {found}")
            }
            ChainFault::Complete { base, name } => {
                write!(f, "{base}: not the base of {name}, which is a complete archive")
            }
            ChainFault::LeavesOut { name } => {
                write!(f, "{name}: expected all pages or XOR, but the archive leaves out equal pages")
            }
            ChainFault::TooLong => write!(f, "a chain has at most {MAX_CHAIN} archives"),
        }
    }
}

impl std::error::Error for ChainFault {}

impl Chain {
    /// Combines the archives, the newest first.
    ///
    /// # Errors
    /// Returns an error if one of them is not the base of the archive before it.
    pub fn new(levels: Vec<Level>) -> std::result::Result<Chain, ChainFault> {
        if levels.len() > MAX_CHAIN {
            return Err(ChainFault::TooLong);
        }
        for (i, level) in levels.iter().enumerate() {
            let name = level.name().to_owned();
            let needed = level.delta.as_ref().and_then(|delta| delta.base.as_ref());
            if level.has_parents || (needed.is_some() && !level.is_xor()) {
                return Err(ChainFault::LeavesOut { name });
            }
            match (needed, levels.get(i + 1)) {
                (None, None) => {}
                (Some(needed), Some(base)) if needed.id == base.id() => {}
                (Some(needed), Some(base)) => {
                    let (expected, found) = (needed.id.clone(), base.id());
                    return Err(ChainFault::Other { base: base.name().to_owned(), name, expected, found });
                }
                (None, Some(base)) => {
                    return Err(ChainFault::Complete { base: base.name().to_owned(), name });
                }
                (Some(base), None) => return Err(ChainFault::Missing { name, base: base.clone() }),
            }
        }
        Ok(Chain(levels))
    }

    /// Returns the newest archive.
    pub fn newest(&self) -> Option<&Level> {
        self.0.first()
    }

    /// Removes the newest archive from the chain, which then has the archives that it needs.
    pub fn split_newest(mut self) -> Option<(Level, Chain)> {
        let newest = (!self.0.is_empty()).then(|| self.0.remove(0))?;
        Some((newest, self))
    }

    /// Decodes all images of the newest archive, and checks that they have the ID that the archive
    /// claims.
    ///
    /// # Errors
    /// Returns an error if an archive is damaged, or was modified.
    pub fn verify(&mut self) -> Result<()> {
        let Some((newest, below)) = self.0.split_first_mut().filter(|(newest, _)| newest.is_xor()) else {
            return Ok(());
        };
        let mut digest = newest.digest.clone();
        for number in newest.order.clone() {
            let name = pages_name(number);
            let pagemap = newest.pagemaps.of_pages(&name, number)?.clone();
            if newest.start(pagemap.name())?.is_none() {
                continue;
            }
            let Some(pages) = newest.take_pages() else { continue };
            let mut hashed = HashedReader::new(Decoder::of_pages(&pagemap, pages, below)?);
            hashed.drain().map_err(|e| Error::member(&name, e))?;
            digest.add(&format!("pages-{number}.img"), hashed);
        }
        let (expected, found) = (newest.id(), digest.finish(None));
        match expected == found {
            true => Ok(()),
            false => Err(newest.fault(format!("was modified: expected {expected}, found {found}"))),
        }
    }
}

/// Starts to read the pages of the pagemap `name` in the newest of `levels`, and in the older levels
/// as far as its pages need them. Returns the header of the image, or `None` if it has no pages.
pub(super) fn start(levels: &mut [Level], name: &str) -> Result<Option<Header>> {
    let Some((level, below)) = levels.split_first_mut() else { return Ok(None) };
    let Some(header) = level.start(name)? else { return Ok(None) };
    if header.has_base {
        start_base(below, name, header.page_size)?;
    }
    Ok(Some(header))
}

/// Starts to read the pages of the pagemap `name` in the base of an image that needs them.
pub(super) fn start_base(levels: &mut [Level], name: &str, page_size: u64) -> Result<()> {
    match start(levels, name)? {
        Some(header) if header.page_size == page_size => Ok(()),
        Some(_) => Err(Error::member(name, "the base has pages of another size")),
        None => Err(Error::member(name, "the base has no pages of this process")),
    }
}

/// Reads the page at `vaddr` of the newest of `levels` into `page`. Returns `false` if it has no such
/// page. Each call must have a higher address than the call before.
pub(super) fn page(levels: &mut [Level], vaddr: u64, page: &mut [u8]) -> io::Result<bool> {
    let Some((level, below)) = levels.split_first_mut() else { return Ok(false) };
    match level.page(vaddr, page)? {
        None => Ok(false),
        Some(Form::Plain) => Ok(true),
        // Without `has_base`, the archives below are at other pages.
        Some(Form::Xor) if !level.has_base() => add(&mut [], vaddr, page, &mut level.theirs).map(|()| true),
        Some(Form::Xor) => add(below, vaddr, page, &mut level.theirs).map(|()| true),
    }
}

/// Replaces the XOR in `page` by the page itself, with the page at `vaddr` of the newest of `levels`.
/// `theirs` is a buffer.
pub(super) fn add(levels: &mut [Level], vaddr: u64, page: &mut [u8], theirs: &mut Vec<u8>) -> io::Result<()> {
    theirs.resize(page.len(), 0);
    if !self::page(levels, vaddr, theirs)? {
        return Err(io::Error::other(format!("the base has no page at {vaddr:#x}")));
    }
    page.iter_mut().zip(theirs.iter()).for_each(|(ours, theirs)| *ours ^= theirs);
    Ok(())
}
