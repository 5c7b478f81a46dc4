//! Checks that CRIU can restore the images, as far as its source makes that certain: a restore would find out after the
//! container is gone.
//!
//! criu/cr-restore.c opens `core-N.img` of every process in `pstree.img` and of every thread of one that is alive, and the
//! `mm` and `pagemap` images of those; a missing image is read as an empty one, which fails there. Zombies have no memory.
//!
//! Without `fs-N.img`, `ids-N.img` or `fdinfo-N.img` CRIU restores, but the process loses its directories or its open files.
//! `dump_one_task` (criu/cr-dump.c) writes the first two for every process that is alive.

mod contents;
mod kinds;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read};

use prost::Message;
use tartree::{Root, Status, TarPath};

use super::image_file::{self, IMAGE_LIMIT};
use super::messages::{CoreEntry, InventoryEntry, PagemapEntry, PagemapHead, PstreeEntry};
use crate::error::{Error, Result};

/// Magic numbers of the kinds (criu/include/magic.h).
const INVENTORY: u32 = 0x5831_3116;
const PSTREE: u32 = 0x5027_3030;
const CORE: u32 = 0x5505_3847;
const MM: u32 = 0x5749_2820;
const PAGEMAP: u32 = 0x5608_4025;

/// The smallest page of any architecture.
const PAGE: u64 = 4096;
/// Problems that are reported one by one.
const SHOWN: usize = 20;

/// Returns what keeps CRIU from restoring the images in `root`. Paths are relative to it.
///
/// A directory that is no dump of CRIU's, without a valid inventory and without `pstree.img`, has no problems.
pub fn problems(root: &mut Root) -> Vec<String> {
    let mut check = Check {
        root,
        problems: Vec::new(),
        more: 0,
        pages: BTreeMap::new(),
        host_mounts: None,
        fdinfo: BTreeMap::new(),
        mounts: BTreeSet::new(),
        places: Vec::new(),
    };
    check.all();
    let Check { mut problems, more, .. } = check;
    if more > 0 {
        problems.push(format!("{more} more problems of images"));
    }
    problems
}

struct Check<'r> {
    root: &'r mut Root,
    problems: Vec<String>,
    more: usize,
    /// How many pages the images of pages must hold, by their numbers.
    pages: BTreeMap<u32, u64>,
    /// The mount namespace of CRIU, which is not dumped.
    host_mounts: Option<u32>,
    /// The tables of descriptors, with a process that uses each.
    fdinfo: BTreeMap<u32, u32>,
    /// The mount namespaces of the processes.
    mounts: BTreeSet<u32>,
    /// The files that are directories of a process, with the name of the image that names them.
    places: Vec<(String, u32)>,
}

impl Check<'_> {
    fn all(&mut self) {
        let inventory = self.image("inventory.img", INVENTORY);
        let tree: Vec<PstreeEntry> = match self.messages("pstree.img", PSTREE) {
            // An inventory of CRIU's never comes without the tree; another is not a dump that could be checked.
            Ok(None) if matches!(inventory, Ok(Some(_))) => {
                return self.problem("pstree.img: no such file, CRIU cannot restore without it".into());
            }
            Ok(None) => return,
            Ok(Some(tree)) if tree.is_empty() => return self.problem("pstree.img: holds no process".into()),
            Ok(Some(tree)) => tree,
            Err(e) => return self.problem(e.to_string()),
        };
        match inventory {
            Ok(Some(content)) if content.payloads() > 0 => {
                let inventory: Option<InventoryEntry> = content.first("inventory.img");
                self.host_mounts = inventory.and_then(|entry| entry.root_ids).and_then(|ids| ids.mnt_ns_id);
            }
            Ok(_) => self.problem("inventory.img: is empty".into()),
            Err(e) => self.problem(e.to_string()),
        }
        for process in &tree {
            self.process(process);
        }
        for (number, pages) in std::mem::take(&mut self.pages) {
            self.pages(number, pages);
        }
        self.open_files();
        self.all_files();
    }

    fn process(&mut self, process: &PstreeEntry) {
        let pid = process.pid;
        let Some(core) = self.core(pid, pid) else { return };
        // compel/include/uapi/task-state.h: alive and stopped; a dead process or a zombie has no threads and no memory.
        if !matches!(core.tc.map(|task| task.task_state), Some(1 | 3)) {
            return;
        }
        for &thread in process.threads.iter().filter(|&&thread| thread != pid) {
            self.core(pid, thread);
        }
        self.needed(&format!("mm-{pid}.img"), MM, pid);
        self.belongings(pid);
        let Some(Content::Read(pagemap)) = self.needed(&format!("pagemap-{pid}.img"), PAGEMAP, pid) else {
            return;
        };
        match present_pages(&format!("pagemap-{pid}.img"), &pagemap) {
            Ok((number, pages)) => {
                let all = self.pages.entry(number).or_default();
                *all = all.saturating_add(pages);
            }
            Err(e) => self.problem(e.to_string()),
        }
    }

    fn core(&mut self, pid: u32, thread: u32) -> Option<CoreEntry> {
        let name = format!("core-{thread}.img");
        match self.needed(&name, CORE, pid)? {
            Content::Large => None,
            Content::Read(bytes) => match image_file::messages::<CoreEntry>(&name, &bytes) {
                Ok(cores) => cores.into_iter().next(),
                Err(e) => {
                    self.problem(e.to_string());
                    None
                }
            },
        }
    }

    /// Reads an image without which process `pid` cannot be restored; one without a message is as good as none.
    fn needed(&mut self, name: &str, magic: u32, pid: u32) -> Option<Content> {
        let problem = match self.image(name, magic) {
            Ok(Some(content)) if content.payloads() > 0 => return Some(content),
            Ok(Some(_)) => format!("{name}: is empty, CRIU cannot restore process {pid} without it"),
            Ok(None) => format!("{name}: no such file, CRIU cannot restore process {pid} without it"),
            Err(e) => e.to_string(),
        };
        self.problem(problem);
        None
    }

    fn pages(&mut self, number: u32, pages: u64) {
        if pages == 0 {
            return;
        }
        let name = format!("pages-{number}.img");
        match Status::at(self.root.fd(), name.as_ref()) {
            Ok(status) => {
                let size = status.size();
                let page = size / pages;
                if page == 0 || page % PAGE != 0 || page.checked_mul(pages) != Some(size) {
                    self.problem(format!("{name}: {size} bytes, but pagemap images announce {pages} pages"));
                }
            }
            Err(e) => self.problem(format!("{name}: {e}, but pagemap images announce {pages} pages")),
        }
    }

    fn messages<M: Message + Default>(&mut self, name: &str, magic: u32) -> Result<Option<Vec<M>>> {
        match self.image(name, magic)? {
            None => Ok(None),
            Some(Content::Large) => Err(Error::member(name, format!("larger than {IMAGE_LIMIT} bytes"))),
            Some(Content::Read(bytes)) => Ok(Some(image_file::messages(name, &bytes)?)),
        }
    }

    /// Reads an image; `None` if there is none.
    fn image(&mut self, name: &str, magic: u32) -> Result<Option<Content>> {
        let file = match self.root.open_file(&TarPath::root().child(name.as_bytes())) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::member(name, e)),
        };
        let mut bytes = Vec::new();
        if let Err(e) = file.take(IMAGE_LIMIT + 1).read_to_end(&mut bytes) {
            return Err(Error::member(name, e));
        }
        if image_file::magic(&bytes) != Some(magic) {
            return Err(Error::member(name, "not a CRIU image of this kind, or truncated"));
        }
        if bytes.len() as u64 > IMAGE_LIMIT {
            return Ok(Some(Content::Large));
        }
        image_file::payloads(name, &bytes)?;
        Ok(Some(Content::Read(bytes)))
    }

    fn problem(&mut self, problem: String) {
        if self.problems.len() < SHOWN {
            self.problems.push(problem);
        } else {
            self.more += 1;
        }
    }
}

/// The content of an image.
enum Content {
    Read(Vec<u8>),
    /// More than is read into memory, such as the mappings of a process that has a million; only its magic was checked.
    Large,
}

impl Content {
    /// Returns the first message, if it is one of this kind.
    fn first<M: Message + Default>(&self, name: &str) -> Option<M> {
        match self {
            Content::Read(bytes) => M::decode(*image_file::payloads(name, bytes).ok()?.first()?).ok(),
            Content::Large => None,
        }
    }

    fn payloads(&self) -> usize {
        match self {
            // It was read before.
            Content::Read(bytes) => image_file::payloads("", bytes).map_or(0, |payloads| payloads.len()),
            Content::Large => 1,
        }
    }
}

/// Returns the number of the image that holds the pages of a process, and how many of them are in it.
fn present_pages(name: &str, bytes: &[u8]) -> Result<(u32, u64)> {
    let payloads = image_file::payloads(name, bytes)?;
    let Some((head, runs)) = payloads.split_first() else { return Err(Error::member(name, "is empty")) };
    let Ok(head) = PagemapHead::decode(*head) else { return Err(Error::member(name, "not a CRIU image")) };
    let mut pages = 0u64;
    for run in runs {
        let Ok(run) = PagemapEntry::decode(*run) else { return Err(Error::member(name, "not a CRIU image")) };
        if run.is_present() {
            pages = pages.saturating_add(run.pages());
        }
    }
    Ok((head.pages_id, pages))
}
