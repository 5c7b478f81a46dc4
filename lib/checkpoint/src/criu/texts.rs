//! The command lines and environments of processes, which are in their memory, and facts about that
//! memory.
//!
//! A text is found only if the images with its address precede the pages, as in an archive that is
//! sorted by name. Otherwise, the pages must be read a second time.

use std::collections::BTreeMap;
use std::ops::Range;

use super::memory::{Amount, Mapping, Memory};
use super::messages::PagemapEntry;
use super::process_tree::Images;

/// The longest command line and the longest environment that are read, in bytes. The kernel limits
/// both together to 6 MiB, and one variable to 128 KiB (fs/exec.c).
const MAX_CMDLINE: u64 = 16 << 10;
const MAX_ENVIRONMENT: u64 = 1 << 20;
/// The most bytes of texts of all processes that are kept.
const MAX_TEXTS: usize = 64 << 20;

/// The parts of a text, sorted by their offset in the text. Most texts have one part, for which a list
/// needs less memory than a map.
type Parts = Vec<(u64, Vec<u8>)>;

/// The texts that were found.
#[derive(Default)]
pub(super) struct Texts {
    parts: BTreeMap<(u32, Text), Parts>,
    bytes: usize,
    with_environment: bool,
    /// Whether more than [`MAX_TEXTS`] were found.
    truncated: bool,
}

/// A text of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Text {
    CommandLine,
    Environment,
}

/// The part of a `pages` image that holds arguments or environment of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pid: u32,
    text: Text,
    /// The offset of the part in the text.
    at: u64,
    /// The number of the page in the image in which the part starts.
    first_page: u64,
    /// The offset of the part from that page, in bytes.
    within: u64,
    len: u64,
}

impl Texts {
    /// Returns the words of a text, which NUL separates, as far as the text was found without a gap
    /// from its first byte.
    pub(super) fn words(&self, pid: u32, text: Text) -> Vec<String> {
        let mut bytes = Vec::new();
        for (at, part) in self.parts.get(&(pid, text)).into_iter().flatten() {
            if *at != bytes.len() as u64 {
                break;
            }
            bytes.extend_from_slice(part);
        }
        let words = bytes.strip_suffix(&[0]).unwrap_or(&bytes).split(|&b| b == 0);
        words.filter(|_| !bytes.is_empty()).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    fn has(&self, part: &Part) -> bool {
        self.parts
            .get(&(part.pid, part.text))
            .is_some_and(|text| text.binary_search_by_key(&part.at, |(at, _)| *at).is_ok())
    }
}

impl Images {
    /// Also reads the environments of the processes.
    pub fn read_environments(&mut self) {
        self.texts.with_environment = true;
    }

    /// Returns the parts of the image `name` that hold arguments and environments, and the number
    /// of pages in the image. Returns no parts for an image that is not a `pages` image, or whose
    /// pages are compressed.
    pub fn parts(&self, name: &str) -> (Vec<Part>, u64) {
        let Ok(payload) = self.payload(name) else { return (Vec::new(), 0) };
        if payload.is_compressed() {
            return (Vec::new(), payload.pages());
        }
        let parts = self.pagemaps(name).flat_map(|(pid, runs)| self.parts_of(pid, runs)).collect();
        (parts, payload.pages())
    }

    /// Returns the parts of the texts of a process in its pages.
    fn parts_of(&self, pid: u32, runs: &[PagemapEntry]) -> Vec<Part> {
        let Some(mm) = self.mm.get(&pid) else { return Vec::new() };
        let environment = (Text::Environment, &mm.environment, MAX_ENVIRONMENT);
        let texts = [(Text::CommandLine, &mm.arguments, MAX_CMDLINE)].into_iter();
        let texts = texts.chain(self.texts.with_environment.then_some(environment));
        texts
            .flat_map(|(text, range, most)| {
                let range = range.start..range.end.min(range.start.saturating_add(most));
                parts(pid, text, &range, runs, self.page_size())
            })
            .collect()
    }

    /// Returns whether texts are missing that a second pass over the pages would find.
    pub fn lacks_texts(&self) -> bool {
        let mut parts = self.pagemap.iter().flat_map(|(pid, (_, runs))| self.parts_of(*pid, runs));
        !self.texts.truncated && parts.any(|part| !self.texts.has(&part))
    }

    /// Returns whether there were too many bytes of texts to be kept.
    pub fn has_truncated_texts(&self) -> bool {
        self.texts.truncated
    }

    /// Adds the bytes at `part`.
    pub fn add_text(&mut self, part: Part, bytes: Vec<u8>) {
        self.texts.bytes = self.texts.bytes.saturating_add(bytes.len());
        if self.texts.bytes > MAX_TEXTS {
            self.texts.truncated = true;
        } else {
            let parts =
                self.texts.parts.entry((part.pid, part.text)).or_insert_with(|| Vec::with_capacity(1));
            match parts.binary_search_by_key(&part.at, |(at, _)| *at) {
                Ok(found) => parts[found].1 = bytes,
                Err(next) => parts.insert(next, (part.at, bytes)),
            }
        }
    }

    /// Returns the environment of a process, `NAME=VALUE` each. It is empty if it was not read or
    /// not found.
    pub fn environment(&self, pid: u32) -> Vec<String> {
        let mut words = self.texts.words(pid, Text::Environment);
        // A process may overwrite its environment, as setproctitle(3) does.
        words.retain(|word| !word.is_empty());
        words
    }

    /// Returns the memory of a process.
    pub fn memory(&self, pid: u32) -> Option<&Memory> {
        self.mm.get(&pid)
    }

    /// Returns the mappings of a process with the amount of memory in each.
    pub fn mappings(&self, pid: u32) -> Vec<(&Mapping, Amount)> {
        let Some(memory) = self.mm.get(&pid) else { return Vec::new() };
        let runs = self.pagemap.get(&pid).map(|(_, runs)| runs.as_slice()).unwrap_or_default();
        memory.mappings.iter().zip(memory.amounts(runs, self.page_size())).collect()
    }

    /// Returns the path of a mapped file, or the name that the kernel shows for the mapping.
    pub fn mapping_name(&self, pid: u32, mapping: &Mapping) -> String {
        let file = mapping.file().and_then(|id| self.file(id)).and_then(|file| file.reg.as_ref());
        match file {
            Some(reg) => String::from_utf8_lossy(&reg.name).into_owned(),
            None => self.mm.get(&pid).map(|memory| memory.label(mapping)).unwrap_or_default().to_owned(),
        }
    }

    /// Returns the path of the program of a process.
    pub fn executable(&self, pid: u32) -> Option<String> {
        let file = self.file(self.mm.get(&pid)?.executable)?.reg.as_ref()?;
        Some(String::from_utf8_lossy(&file.name).into_owned())
    }

    /// Returns the size of a page in bytes. Mappings begin and end at multiples of the size.
    pub fn page_size(&self) -> u64 {
        match self.addresses {
            0 => 4096,
            all if !self.fixed_page_size && all % 65536 == 0 => 65536,
            all if !self.fixed_page_size && all % 16384 == 0 => 16384,
            _ => 4096,
        }
    }
}

/// Returns the parts of the addresses `range` that are in the pages of `runs`.
fn parts(pid: u32, text: Text, range: &Range<u64>, runs: &[PagemapEntry], page: u64) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut first_page = 0u64;
    for run in runs.iter().filter(|run| run.is_present()) {
        let Some(bytes) = run.pages().checked_mul(page) else { break };
        let start = range.start.max(run.vaddr);
        let end = range.end.min(run.vaddr.saturating_add(bytes));
        if start < end {
            let (at, within) = (start - range.start, start - run.vaddr);
            parts.push(Part { pid, text, at, first_page, within, len: end - start });
        }
        let Some(next) = first_page.checked_add(run.pages()) else { break };
        first_page = next;
    }
    parts
}

impl Part {
    /// Returns the offset and the length in bytes, for an image of `size` bytes with `pages` pages.
    /// The page size is `size` divided by `pages`, or 4096 if the image has zeros after its pages.
    pub fn range(&self, size: u64, pages: u64) -> Option<(u64, u64)> {
        let page = match size.checked_div(pages)? {
            page if page % 4096 == 0 && page * pages == size => page,
            page if page >= 4096 => 4096,
            _ => return None,
        };
        let start = self.first_page.checked_mul(page)?.checked_add(self.within)?;
        (start.checked_add(self.len)? <= size).then_some((start, self.len))
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::PstreeEntry;
    use super::*;

    fn run(vaddr: u64, pages: u64, flags: u32) -> PagemapEntry {
        PagemapEntry { vaddr, nr_pages: pages, flags: Some(flags), ..PagemapEntry::default() }
    }

    #[test]
    fn texts_are_located_by_the_preceding_pages() {
        let mut images = Images::default();
        let memory = Memory { arguments: 0x9010..0x9020, environment: 0x9ff0..0xa010, ..Memory::default() };
        images.mm.insert(7, memory);
        images.read_environments();
        let runs = vec![run(0x1000, 2, 4), run(0x5000, 3, 1), run(0x9000, 1, 4), run(0xa000, 1, 4)];
        images.add_pagemap(7, 1, runs);
        let (parts, pages) = images.parts("pages-1.img");
        assert_eq!(pages, 4);
        let ranges: Vec<_> = parts.iter().filter_map(|part| part.range(4 * 4096, pages)).collect();
        assert_eq!(ranges, [(0x2010, 0x10), (0x2ff0, 0x10), (0x3000, 0x10)]);
        assert_eq!(parts[0].range(3 * 4096, pages), None);
        assert_eq!(images.parts("pages-2.img").0, []);
        images.add_process(PstreeEntry { pid: 7, ppid: 0, threads: vec![7] });
        images.add_text(parts[0], b"sh\0-c\0\0".to_vec());
        assert!(images.lacks_texts());
        images.add_text(parts[2], b"\0B=2\0".to_vec());
        assert!(images.environment(7).is_empty());
        images.add_text(parts[1], b"A=0123456789abcd".to_vec());
        assert!(!images.lacks_texts());
        assert_eq!(images.processes()[0].cmdline, ["sh", "-c", ""]);
        assert_eq!(images.environment(7), ["A=0123456789abcd", "B=2"]);
    }

    #[test]
    fn numbers_of_a_hostile_image_do_not_overflow() {
        let mut images = Images::default();
        images.mm.insert(1, Memory { arguments: Range { start: u64::MAX, end: 0 }, ..Memory::default() });
        images.add_pagemap(1, 1, vec![run(u64::MAX, u64::MAX, 4), run(u64::MAX, u64::MAX, 4)]);
        let (parts, pages) = images.parts("pages-1.img");
        assert!(parts.is_empty());
        assert_eq!(pages, u64::MAX);
    }

    #[test]
    fn the_page_size_of_an_image_is_its_size_by_its_pages() {
        let part = |first_page, within, len| Part {
            pid: 1,
            text: Text::CommandLine,
            at: 0,
            first_page,
            within,
            len,
        };
        for (part, size, pages, expected) in [
            (part(2, 16, 8), 3 << 12, 3, Some((0x2010, 8))),
            (part(2, 16, 8), 3 << 16, 3, Some((0x20010, 8))),
            // The image has zeros after its pages.
            (part(2, 16, 8), (3 << 12) + 512, 3, Some((0x2010, 8))),
            (part(1, 16, 8), (2 << 13) + 1, 2, Some((0x1010, 8))),
            (part(2, 4088, 8), 3 << 12, 3, Some((0x2ff8, 8))),
            (part(2, 4088, 9), 3 << 12, 3, None),
            (part(0, 0, 1), 4095, 1, None),
            (part(0, 0, 1), 4096, 0, None),
        ] {
            assert_eq!(part.range(size, pages), expected, "{part:?} {size} {pages}");
        }
    }

    #[test]
    fn the_page_size_divides_all_addresses() {
        for (addresses, fixed, size) in [
            (0, false, 4096),
            (0x10_0000, false, 65536),
            (0x10_4000, false, 16384),
            (0x10_1000, false, 4096),
            (0x10_0000, true, 4096),
            (0x10_4000, true, 4096),
        ] {
            let mut images = Images::default();
            (images.addresses, images.fixed_page_size) = (addresses, fixed);
            assert_eq!(images.page_size(), size, "{addresses:#x} {fixed}");
        }
    }

    #[test]
    fn texts_up_to_the_limit_are_kept() {
        let part = Part { pid: 1, text: Text::CommandLine, at: 0, first_page: 0, within: 0, len: 1 };
        let mut images = Images::default();
        images.add_text(part, vec![b'x'; MAX_TEXTS]);
        assert!(!images.has_truncated_texts() && images.texts.has(&part));
        images.add_text(Part { at: 1, ..part }, vec![b'x']);
        assert!(images.has_truncated_texts());
    }
}
