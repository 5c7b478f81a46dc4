//! The processes in CRIU's images, with their command lines.
//!
//! Images come in the order of the archive. Everything but the pages is small and is kept until the end; a command line lies in the
//! pages, so it is found when the images that say where have come before them, as they do in archives in byte order of names.

use std::collections::BTreeMap;

use prost::Message;

use crate::error::Result;
use crate::image::{self, CoreEntry, FdinfoEntry, MmEntry, PagemapEntry, PagemapHead, PstreeEntry, TaskIds};

/// Bytes of one image that are read; a process with a million mappings has 100 MB of them and is shown without.
pub const IMAGE_LIMIT: u64 = 16 << 20;
/// A command line is cut here, as in checkpointctl's output nobody reads more.
const CMDLINE: u64 = 16 << 10;

/// What is known so far.
#[derive(Default)]
pub struct Images {
    tree: Vec<PstreeEntry>,
    core: BTreeMap<u32, CoreEntry>,
    ids: BTreeMap<u32, TaskIds>,
    fdinfo: BTreeMap<u32, Vec<FdinfoEntry>>,
    mm: BTreeMap<u32, MmEntry>,
    pagemap: BTreeMap<u32, (u32, Vec<PagemapEntry>)>,
    cmdline: BTreeMap<u32, Vec<u8>>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its PID in the container.
    pub pid: u32,
    /// Its parent's, 0 for the first.
    pub ppid: u32,
    /// The short name the kernel gives it.
    pub command: String,
    /// Its arguments, where they were found.
    pub cmdline: Vec<String>,
    /// Whether it was alive, stopped or a zombie.
    pub state: &'static str,
    /// How many threads it has.
    pub threads: usize,
    /// How many open files, sockets among them.
    pub files: usize,
    /// How many of them are sockets.
    pub sockets: usize,
}

/// A part of a `pages` image that holds arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pid: u32,
    /// In pages from the start of the image.
    first_page: u64,
    /// In bytes from there.
    within: u64,
    len: u64,
}

impl Images {
    /// Whether the image `name` is one to [`add`](Images::add).
    pub fn wants(name: &str) -> bool {
        name == "pstree.img" || number(name).is_some_and(|(kind, _)| kind != "pages")
    }

    /// Takes an image.
    ///
    /// # Errors
    /// When it is not what its name says.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if name == "pstree.img" {
            self.tree = image::messages(name, bytes)?;
            return Ok(());
        }
        let Some((kind, n)) = number(name) else { return Ok(()) };
        match kind {
            "core" => self.core.extend(image::messages(name, bytes)?.into_iter().map(|m| (n, m))),
            "ids" => self.ids.extend(image::messages(name, bytes)?.into_iter().map(|m| (n, m))),
            "mm" => self.mm.extend(image::messages(name, bytes)?.into_iter().map(|m| (n, m))),
            "fdinfo" => {
                self.fdinfo.insert(n, image::messages(name, bytes)?);
            }
            "pagemap" => {
                let payloads = image::payloads(name, bytes)?;
                let Some((head, runs)) = payloads.split_first() else { return Ok(()) };
                let bad = |e| crate::Error::member(name, format!("not a CRIU image: {e}"));
                let head = PagemapHead::decode(*head).map_err(bad)?;
                let runs: std::result::Result<_, _> =
                    runs.iter().map(|run| PagemapEntry::decode(*run)).collect();
                self.pagemap.insert(n, (head.pages_id, runs.map_err(bad)?));
            }
            _ => {}
        }
        Ok(())
    }

    /// Where in the image `name` arguments lie, and how many pages it holds. Empty for an image that is no `pages`.
    pub fn parts(&self, name: &str) -> (Vec<Part>, u64) {
        let Some(("pages", pages_id)) = number(name) else { return (Vec::new(), 0) };
        let maps: Vec<_> = self.pagemap.iter().filter(|(_, (id, _))| *id == pages_id).collect();
        let total =
            maps.iter().flat_map(|(_, (_, runs))| runs).filter(|r| r.is_present()).map(PagemapEntry::pages);
        let total = total.fold(0, u64::saturating_add);
        (maps.iter().filter_map(|(pid, (_, runs))| self.part(**pid, runs)).collect(), total)
    }

    fn part(&self, pid: u32, runs: &[PagemapEntry]) -> Option<Part> {
        // Addresses are in pages of 4 KiB or more; runs begin at page borders, so the distance within one is exact.
        let mm = self.mm.get(&pid)?;
        let len = mm.arg_end.checked_sub(mm.arg_start)?.min(CMDLINE);
        let mut first_page = 0u64;
        for run in runs.iter().filter(|run| run.is_present()) {
            let bytes = run.pages().checked_mul(4096)?;
            if let Some(within) = mm.arg_start.checked_sub(run.vaddr).filter(|within| *within < bytes) {
                return Some(Part { pid, first_page, within, len: len.min(bytes - within) });
            }
            first_page = first_page.checked_add(run.pages())?;
        }
        None
    }

    /// Whether some were not found that a second reading of the pages would give.
    pub fn lacks_cmdlines(&self) -> bool {
        self.pagemap
            .iter()
            .any(|(pid, (_, runs))| !self.cmdline.contains_key(pid) && self.part(*pid, runs).is_some())
    }

    /// Takes the arguments at `part`.
    pub fn add_cmdline(&mut self, part: Part, bytes: Vec<u8>) {
        self.cmdline.insert(part.pid, bytes);
    }

    /// The processes, in the order of CRIU: parents before their children.
    pub fn processes(&self) -> Vec<Process> {
        self.tree.iter().map(|entry| self.process(entry)).collect()
    }

    fn process(&self, entry: &PstreeEntry) -> Process {
        let task = self.core.get(&entry.pid).and_then(|core| core.tc.clone()).unwrap_or_default();
        let files = self.ids.get(&entry.pid).and_then(|ids| self.fdinfo.get(&ids.files_id));
        let files = files.map(Vec::as_slice).unwrap_or_default();
        let cmdline = self.cmdline.get(&entry.pid).map(Vec::as_slice).unwrap_or_default();
        let cmdline = cmdline.strip_suffix(&[0]).unwrap_or(cmdline);
        let words = cmdline.split(|&b| b == 0).filter(|_| !cmdline.is_empty());
        Process {
            pid: entry.pid,
            ppid: entry.ppid,
            command: String::from_utf8_lossy(&task.comm).into_owned(),
            cmdline: words.map(|word| String::from_utf8_lossy(word).into_owned()).collect(),
            // criu/include/pstree.h, TASK_*.
            state: match task.task_state {
                1 => "alive",
                2 => "dead",
                3 => "stopped",
                6 => "zombie",
                _ => "unknown",
            },
            threads: entry.threads.len(),
            files: files.len(),
            sockets: files.iter().filter(|file| file.is_socket()).count(),
        }
    }
}

impl Part {
    /// Offset and length in bytes, for an image of `size` bytes with `pages` pages: their quotient is the page size.
    pub fn range(&self, size: u64, pages: u64) -> Option<(u64, u64)> {
        let page = size.checked_div(pages).filter(|page| page % 4096 == 0 && page * pages == size)?;
        let start = self.first_page.checked_mul(page)?.checked_add(self.within)?;
        (start.checked_add(self.len)? <= size).then_some((start, self.len))
    }
}

/// `core-15.img` to kind and number.
fn number(name: &str) -> Option<(&'static str, u32)> {
    let (kind, n) = name.strip_suffix(".img")?.rsplit_once('-')?;
    let kind =
        ["core", "ids", "mm", "fdinfo", "pagemap", "pages"].into_iter().find(|known| *known == kind)?;
    Some((kind, n.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_found_by_the_present_pages_before_them() {
        let run = |vaddr, pages, flags| PagemapEntry {
            vaddr,
            compat_nr_pages: pages,
            flags: Some(flags),
            ..Default::default()
        };
        let mut images = Images::default();
        images.mm.insert(7, MmEntry { arg_start: 0x9010, arg_end: 0x9020 });
        images.pagemap.insert(7, (1, vec![run(0x1000, 2, 4), run(0x5000, 3, 1), run(0x9000, 1, 4)]));
        let (parts, pages) = images.parts("pages-1.img");
        assert_eq!(pages, 3);
        assert_eq!(parts[0].range(3 * 4096, pages), Some((2 * 4096 + 0x10, 0x10)));
        assert_eq!(parts[0].range(2 * 4096, pages), None);
        assert_eq!(images.parts("pages-2.img").0, []);
        images.tree = vec![PstreeEntry { pid: 7, ppid: 0, threads: vec![7] }];
        images.add_cmdline(parts[0], b"sh\0-c\0\0".to_vec());
        assert_eq!(images.processes()[0].cmdline, ["sh", "-c", ""]);
    }

    #[test]
    fn numbers_from_a_hostile_image_do_not_overflow() {
        let mut images = Images::default();
        images.mm.insert(1, MmEntry { arg_start: u64::MAX, arg_end: 0 });
        let run = PagemapEntry { vaddr: u64::MAX, nr_pages: u64::MAX, flags: Some(4), ..Default::default() };
        images.pagemap.insert(1, (1, vec![run.clone(), run]));
        let (parts, pages) = images.parts("pages-1.img");
        assert!(parts.is_empty());
        assert_eq!(pages, u64::MAX);
    }
}
