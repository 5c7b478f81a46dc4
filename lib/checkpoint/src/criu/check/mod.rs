//! Checks that CRIU can restore the images. Without the check, a restore would detect damage only
//! after the container is gone.
//!
//! The rules follow CRIU's source. criu/cr-restore.c opens `core-N.img` of every process in
//! `pstree.img` and of every thread of a live process, and the `mm` and `pagemap` images of live
//! processes. CRIU treats a missing image as an empty image, and an empty image makes the restore
//! fail. Zombies have no memory.
//!
//! Without `fs-N.img`, `ids-N.img` or `fdinfo-N.img`, CRIU restores the process without its
//! directories or its open files. `dump_one_task` (criu/cr-dump.c) writes `fs` and `ids` for every
//! live process.

mod contents;
#[cfg(feature = "archive")]
mod copied;
mod kinds;
mod parents;
mod source;
mod unannounced;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use prost::Message;

#[cfg(feature = "archive")]
pub use copied::{Copied, Watched};
pub use parents::{check_levels, check_pagemaps, check_parents};
pub use source::{Collected, Image, Source};

use super::image_file::{self, IMAGE_LIMIT};
use super::messages::{CoreEntry, InventoryEntry, MmEntry, PagemapEntry, PagemapHead, PstreeEntry};
use super::pagemap::PagemapReader;
use super::payload::Payload;
use crate::error::{Error, Result};

/// The magic numbers of the kinds of images (criu/include/magic.h).
const INVENTORY: u32 = 0x5831_3116;
const PSTREE: u32 = 0x5027_3030;
const CORE: u32 = 0x5505_3847;
const MM: u32 = 0x5749_2820;
const PAGEMAP: u32 = 0x5608_4025;

/// The most problems, and images that no image announces, that are reported individually.
const MAX_REPORTED: usize = 20;

/// The result of a check. Names in the messages are relative to the directory of the images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The problems that prevent CRIU from restoring the images.
    pub problems: Vec<String>,
    /// The images that no other image announces, so that CRIU does not read them. If a container
    /// continued to run after a checkpoint, these are images of processes that have ended since.
    /// Empty if there are problems.
    pub unannounced: Vec<String>,
    /// The number of processes.
    pub processes: usize,
    /// The number of memory pages.
    pub pages: u64,
    /// The images that were not checked, because they are too large to be kept in memory.
    pub unchecked: BTreeSet<String>,
}

/// Checks whether CRIU can restore the images in `source`.
///
/// A directory that holds neither a valid inventory nor any image of processes is not a dump of
/// CRIU, so no problems are returned.
pub fn check(source: &mut dyn Source) -> Report {
    let mut check = Check {
        source,
        report: Report::default(),
        more: 0,
        pids: BTreeSet::new(),
        threads: BTreeSet::new(),
        pages: BTreeMap::new(),
        host_mounts: None,
        fdinfo: BTreeMap::new(),
        mounts: BTreeSet::new(),
        shared_memory: BTreeSet::new(),
        directories: Vec::new(),
    };
    check.all();
    let Check { mut report, more, .. } = check;
    if more > 0 {
        // Callers add the directory in front: "checkpoint/: 9 more problems".
        report.problems.push(format!(": {more} more problems"));
    }
    report
}

struct Check<'s> {
    source: &'s mut dyn Source,
    report: Report,
    more: usize,
    /// The processes.
    pids: BTreeSet<u32>,
    /// The threads of all processes, including the processes.
    threads: BTreeSet<u32>,
    /// The pages that each `pages` image must hold, by the number of the image.
    pages: BTreeMap<u32, Payload>,
    /// The mount namespace of CRIU, which has no image.
    host_mounts: Option<u32>,
    /// The numbers of the descriptor tables, each with a process that uses the table.
    fdinfo: BTreeMap<u32, u32>,
    /// The mount namespaces of the processes.
    mounts: BTreeSet<u32>,
    /// The IDs of the shared memory that processes have mapped.
    shared_memory: BTreeSet<u64>,
    /// The IDs of the processes' directories, each with the image that refers to it.
    directories: Vec<(String, u32)>,
}

impl Check<'_> {
    fn all(&mut self) {
        let inventory = self.image("inventory.img", INVENTORY);
        let tree: Vec<PstreeEntry> = match self.messages("pstree.img", PSTREE) {
            // CRIU never writes an inventory without the tree. Without both, the directory is not a
            // dump.
            Ok(None) if matches!(inventory, Ok(Some(_))) || self.has_core() => {
                return self.problem("pstree.img: no such file; CRIU needs it to restore".into());
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
        self.report.processes = tree.len();
        for process in &tree {
            self.process(process);
        }
        self.mapped_memory();
        for (number, pages) in self.pages.clone() {
            self.pages(number, pages);
        }
        self.open_files();
        self.all_files();
        if self.report.problems.is_empty() {
            let mut unannounced = self.unannounced();
            if unannounced.len() > MAX_REPORTED {
                let more = unannounced.split_off(MAX_REPORTED).len();
                unannounced.push(format!("{more} more images"));
            }
            self.report.unannounced = unannounced;
        }
    }

    /// Returns whether there is an image of a process.
    fn has_core(&mut self) -> bool {
        let names = self.source.names();
        names.iter().any(|name| name.starts_with("core-") && matches!(self.image(name, CORE), Ok(Some(_))))
    }

    fn process(&mut self, process: &PstreeEntry) {
        let pid = process.pid;
        if !self.pids.insert(pid) {
            return self.problem(format!("pstree.img: two processes with PID {pid}"));
        }
        self.threads.extend(process.threads.iter().copied().chain([pid]));
        let Some(core) = self.core(pid, pid) else { return };
        // 1 means alive and 3 means stopped (compel/include/uapi/task-state.h). A dead process or a
        // zombie has no threads and no memory.
        if !matches!(core.tc.map(|task| task.task_state), Some(1 | 3)) {
            return;
        }
        for &thread in process.threads.iter().filter(|&&thread| thread != pid) {
            self.core(pid, thread);
        }
        let name = format!("mm-{pid}.img");
        let memory: Option<MmEntry> = self.required(&name, MM, pid).and_then(|content| content.first(&name));
        let shared = memory.iter().flat_map(|memory| &memory.vmas).filter(|vma| vma.is_shared_memory());
        self.shared_memory.extend(shared.map(|vma| vma.shmid));
        self.directories_and_tables(pid);
        let name = format!("pagemap-{pid}.img");
        if let Some(Content::Read(pagemap)) = self.required(&name, PAGEMAP, pid) {
            self.announced(&name, &pagemap).unwrap_or_else(|e| self.problem(e.to_string()));
        }
    }

    /// Records the pages of the shared memory that processes have mapped. CRIU restores no such
    /// process without them (criu/shmem.c, `do_restore_shmem_content`).
    fn mapped_memory(&mut self) {
        for number in std::mem::take(&mut self.shared_memory) {
            let name = format!("pagemap-shmem-{number}.img");
            match self.image(&name, PAGEMAP) {
                Ok(Some(Content::Read(pagemap))) => {
                    self.announced(&name, &pagemap).unwrap_or_else(|e| self.problem(e.to_string()));
                }
                Ok(Some(Content::Large)) => {}
                Ok(None) => self.problem(format!("{name}: no such file; CRIU needs it for shared memory")),
                Err(e) => self.problem(e.to_string()),
            }
        }
    }

    /// Records the pages that the pagemap `name` announces.
    fn announced(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let payloads = image_file::payloads(name, bytes)?;
        if !payloads.is_empty() {
            let mut pagemap = PagemapReader::new(name, bytes)?;
            while pagemap.next()?.is_some() {}
        }
        let Some((head, runs)) = payloads.split_first() else { return Err(Error::member(name, "is empty")) };
        let damaged = |_| Error::member(name, "not a CRIU image");
        let head = PagemapHead::decode(*head).map_err(damaged)?;
        let pages = self.pages.entry(head.pages_id).or_default();
        for run in runs {
            pages.add(name, &PagemapEntry::decode(*run).map_err(damaged)?)?;
        }
        Ok(())
    }

    fn core(&mut self, pid: u32, thread: u32) -> Option<CoreEntry> {
        let name = format!("core-{thread}.img");
        match self.required(&name, CORE, pid)? {
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

    /// Reads an image that is required to restore process `pid`, and reports a problem if it is
    /// missing or has no message.
    fn required(&mut self, name: &str, magic: u32, pid: u32) -> Option<Content> {
        let problem = match self.image(name, magic) {
            Ok(Some(content)) if content.payloads() > 0 => return Some(content),
            Ok(Some(_)) => format!("{name}: empty file; CRIU needs it to restore process {pid}"),
            Ok(None) => format!("{name}: no such file; CRIU needs it to restore process {pid}"),
            Err(e) => e.to_string(),
        };
        self.problem(problem);
        None
    }

    fn pages(&mut self, number: u32, announced: Payload) {
        let pages = announced.pages();
        if pages == 0 {
            return;
        }
        self.report.pages = self.report.pages.saturating_add(pages);
        let name = format!("pages-{number}.img");
        match self.source.size(&name) {
            Ok(Some(size)) if announced.fits(size) => {}
            Ok(Some(size)) => match self.source.end_of_data(&name) {
                Ok(data) if announced.fits_with_zeros(size, data) => {}
                Ok(_) => self.problem(format!("{name}: expected {pages} pages, found {size} bytes")),
                Err(e) => self.problem(format!("{name}: {e}")),
            },
            Ok(None) => self.problem(format!("{name}: no such file, expected {pages} pages")),
            Err(e) => self.problem(format!("{name}: {e}")),
        }
    }

    fn messages<M: Message + Default>(&mut self, name: &str, magic: u32) -> Result<Option<Vec<M>>> {
        match self.image(name, magic)? {
            None => Ok(None),
            Some(Content::Large) => Err(Error::member(name, format!("larger than {IMAGE_LIMIT} bytes"))),
            Some(Content::Read(bytes)) => Ok(Some(image_file::messages(name, &bytes)?)),
        }
    }

    /// Reads an image. Returns `None` if it does not exist.
    fn image(&mut self, name: &str, magic: u32) -> Result<Option<Content>> {
        let image = match self.source.read(name) {
            Ok(Some(image)) => image,
            Ok(None) => return Ok(None),
            Err(e) => return Err(Error::member(name, e)),
        };
        if image.bytes.is_empty() {
            return Err(Error::member(name, "is empty"));
        }
        if image_file::magic(&image.bytes) != Some(magic) {
            return Err(Error::member(name, "not a CRIU image of this kind, or truncated"));
        }
        if !image.complete {
            self.report.unchecked.insert(name.to_owned());
            return Ok(Some(Content::Large));
        }
        image_file::payloads(name, &image.bytes)?;
        Ok(Some(Content::Read(image.bytes)))
    }

    fn problem(&mut self, problem: String) {
        if self.report.problems.len() < MAX_REPORTED {
            self.report.problems.push(problem);
        } else {
            self.more += 1;
        }
    }
}

/// The content of an image.
enum Content {
    Read(Rc<Vec<u8>>),
    /// The image is too large to be read into memory, such as the image of a process with a million
    /// mappings. Only its magic number was checked.
    Large,
}

impl Content {
    /// Returns the first message, if the message has the type `M`.
    fn first<M: Message + Default>(&self, name: &str) -> Option<M> {
        match self {
            Content::Read(bytes) => M::decode(*image_file::payloads(name, bytes).ok()?.first()?).ok(),
            Content::Large => None,
        }
    }

    fn payloads(&self) -> usize {
        match self {
            // `Check::image` has parsed the content, so this cannot fail.
            Content::Read(bytes) => image_file::payloads("", bytes).map_or(0, |payloads| payloads.len()),
            Content::Large => 1,
        }
    }
}
