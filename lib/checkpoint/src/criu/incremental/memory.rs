//! The images that hold memory: pagemaps and `pages` images, recognized by their names.

use std::io::BufReader;

use super::MAX_LEVELS;
use super::file_range::{FileRange, RangeReader};
use crate::PAGE;
use crate::criu::pagemap::PagemapReader;
use crate::error::{Error, Result};

/// The page sizes of the architectures that CRIU supports, in bytes.
pub const PAGE_SIZES: [u64; 3] = [4096, 16384, 65536];

/// A memory image, recognized by its path in an image directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryImage<'n> {
    /// `pagemap-PID.img`, or `pagemap-shmem-N.img` of shared memory. Has the name.
    Pagemap(&'n str),
    /// `pages-N.img`. Has the number.
    Pages(u32),
}

impl MemoryImage<'_> {
    /// Returns the image at `path`, and the number of directories `parent` in its path. Returns
    /// `None` if `path` is not a memory image.
    pub fn of(path: &[u8]) -> Option<(usize, MemoryImage<'_>)> {
        let mut name = std::str::from_utf8(path).ok()?;
        let mut level = 0;
        while let Some(below) = name.strip_prefix("parent/") {
            (level, name) = (level + 1, below);
        }
        let is_number =
            |text: &str| !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
        let stem = name.strip_suffix(".img")?;
        let image = if let Some(number) = stem.strip_prefix("pages-") {
            MemoryImage::Pages(Some(number).filter(|n| is_number(n))?.parse().ok()?)
        } else {
            let rest = stem.strip_prefix("pagemap-")?;
            is_number(rest.strip_prefix("shmem-").unwrap_or(rest)).then_some(MemoryImage::Pagemap(name))?
        };
        (level < MAX_LEVELS).then_some((level, image))
    }
}

/// A pagemap in a file.
#[derive(Clone, Debug)]
pub struct Pagemap {
    name: String,
    bytes: FileRange,
    pages_id: u32,
    present: u64,
    in_parent: u64,
    /// The bits that are set in any address.
    address_bits: u64,
}

impl Pagemap {
    /// Reads the pagemap `name` once, and counts its pages.
    ///
    /// # Errors
    /// Returns an error if it is not a pagemap, or if its pages are compressed.
    pub fn read(name: &str, bytes: FileRange) -> Result<Pagemap> {
        let mut reader = PagemapReader::new(name, bytes.reader())?;
        let (mut present, mut in_parent, mut address_bits) = (0u64, 0u64, 0u64);
        while let Some(run) = reader.next()? {
            address_bits |= run.vaddr;
            if reader.blocks().is_some() {
                return Err(Error::member(
                    name,
                    "the pages are compressed by CRIU, which only complete archives support",
                ));
            }
            let count = if run.is_present() { &mut present } else { &mut in_parent };
            if run.is_present() || run.is_in_parent() {
                *count = count.saturating_add(run.pages);
            }
        }
        let pages_id = reader.pages_id();
        Ok(Pagemap { name: name.to_owned(), bytes, pages_id, present, in_parent, address_bits })
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the number of the `pages` image.
    pub fn pages_id(&self) -> u32 {
        self.pages_id
    }

    /// Returns the number of pages in the `pages` image.
    pub fn present(&self) -> u64 {
        self.present
    }

    /// Returns the number of pages in the images of the earlier dump.
    pub fn in_parent(&self) -> u64 {
        self.in_parent
    }

    /// Returns a reader of the runs.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read.
    pub fn runs(&self) -> Result<PagemapReader<BufReader<RangeReader>>> {
        PagemapReader::new(&self.name, self.bytes.reader())
    }

    /// Returns the page size in bytes, for a `pages` image of `size` bytes. After its pages, an image
    /// may have zeros, which are shorter than a page of another architecture.
    ///
    /// # Errors
    /// Returns an error if the image is too short.
    pub fn page_size(&self, size: u64) -> Result<u64> {
        let fits = |page: &u64| self.present.saturating_mul(*page) == size && self.address_bits % page == 0;
        let short = self.present.saturating_mul(PAGE) > size;
        match PAGE_SIZES.into_iter().find(fits) {
            _ if self.present == 0 => Ok(PAGE),
            Some(page) => Ok(page),
            None if !short => Ok(PAGE),
            None => Err(Error::member(
                format!("pages-{}.img", self.pages_id),
                format!("expected {} pages, found {size} bytes", self.present),
            )),
        }
    }
}

/// A pagemap and its pages.
#[derive(Clone, Debug)]
pub struct Memory {
    /// The pagemap.
    pub pagemap: Pagemap,
    /// The `pages` image.
    pub pages: FileRange,
    /// The size of a page in bytes.
    pub page_size: u64,
}

impl Memory {
    /// Combines a pagemap with its pages.
    ///
    /// # Errors
    /// Returns an error if the `pages` image is too short.
    pub fn new(pagemap: Pagemap, pages: FileRange) -> Result<Memory> {
        let page_size = pagemap.page_size(pages.len())?;
        Ok(Memory { pagemap, pages, page_size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_images_have_numbers_and_levels() {
        for (path, expected) in [
            ("pagemap-1.img", Some((0, MemoryImage::Pagemap("pagemap-1.img")))),
            ("pagemap-shmem-77.img", Some((0, MemoryImage::Pagemap("pagemap-shmem-77.img")))),
            ("parent/parent/pages-3.img", Some((2, MemoryImage::Pages(3)))),
            ("parent", None),
            ("parent/core-1.img", None),
            ("pages-x.img", None),
            ("pages-99999999999.img", None),
            ("x/pages-1.img", None),
        ] {
            assert_eq!(MemoryImage::of(path.as_bytes()), expected, "{path}");
        }
        let deep = format!("{}pages-1.img", "parent/".repeat(MAX_LEVELS));
        assert_eq!(MemoryImage::of(deep.as_bytes()), None);
    }

    #[test]
    fn the_page_size_follows_from_the_image_and_the_addresses() {
        let bytes = FileRange::whole(tempfile::tempfile().unwrap()).unwrap();
        let size = |present, address_bits, size| {
            let (name, bytes) = ("pagemap-1.img".to_owned(), bytes.clone());
            let pagemap = Pagemap { name, bytes, pages_id: 1, present, in_parent: 0, address_bits };
            pagemap.page_size(size).ok()
        };
        for (present, address_bits, bytes, expected) in [
            (0, 0, 0, Some(PAGE)),
            (2, 0x10_0000, 2 * PAGE, Some(PAGE)),
            (2, 0x10_0000, 2 << 16, Some(1 << 16)),
            (2, 0x10_0000, 2 << 14, Some(1 << 14)),
            // An address that is not a multiple of 64 KiB: the image has zeros after its pages.
            (2, 0x10_1000, 2 << 16, Some(PAGE)),
            (2, 0x10_0000, 2 * PAGE + 1, Some(PAGE)),
            (2, 0x10_0000, 2 * PAGE - 1, None),
        ] {
            assert_eq!(size(present, address_bits, bytes), expected, "{present} {address_bits:#x} {bytes}");
        }
    }
}
