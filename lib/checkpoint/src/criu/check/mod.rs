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
mod kinds;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Seek, SeekFrom};

use prost::Message;
use tartree::{Root, Status, TarPath};

use super::image_file::{self, IMAGE_LIMIT};
use super::messages::{CoreEntry, InventoryEntry, PagemapEntry, PagemapHead, PstreeEntry};
use super::payload::Payload;
use crate::error::{Error, Result};

/// The magic numbers of the kinds of images (criu/include/magic.h).
const INVENTORY: u32 = 0x5831_3116;
const PSTREE: u32 = 0x5027_3030;
const CORE: u32 = 0x5505_3847;
const MM: u32 = 0x5749_2820;
const PAGEMAP: u32 = 0x5608_4025;

/// The most problems that are reported individually.
const MAX_REPORTED: usize = 20;

/// Returns the problems that prevent CRIU from restoring the images in `root`. Paths in the
/// messages are relative to `root`.
///
/// A directory without a valid inventory and without `pstree.img` is not a dump of CRIU, so no
/// problems are returned.
pub fn problems(root: &mut Root) -> Vec<String> {
    let mut check = Check {
        root,
        problems: Vec::new(),
        more: 0,
        pages: BTreeMap::new(),
        host_mounts: None,
        fdinfo: BTreeMap::new(),
        mounts: BTreeSet::new(),
        directories: Vec::new(),
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
    /// The pages that each `pages` image must hold, by the number of the image.
    pages: BTreeMap<u32, Payload>,
    /// The mount namespace of CRIU, which has no image.
    host_mounts: Option<u32>,
    /// The numbers of the descriptor tables, each with a process that uses the table.
    fdinfo: BTreeMap<u32, u32>,
    /// The mount namespaces of the processes.
    mounts: BTreeSet<u32>,
    /// The IDs of the processes' directories, each with the image that refers to it.
    directories: Vec<(String, u32)>,
}

impl Check<'_> {
    fn all(&mut self) {
        let inventory = self.image("inventory.img", INVENTORY);
        let tree: Vec<PstreeEntry> = match self.messages("pstree.img", PSTREE) {
            // CRIU never writes an inventory without the tree. Without both, the directory is not a
            // dump.
            Ok(None) if matches!(inventory, Ok(Some(_))) => {
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
        // 1 means alive and 3 means stopped (compel/include/uapi/task-state.h). A dead process or a
        // zombie has no threads and no memory.
        if !matches!(core.tc.map(|task| task.task_state), Some(1 | 3)) {
            return;
        }
        for &thread in process.threads.iter().filter(|&&thread| thread != pid) {
            self.core(pid, thread);
        }
        self.required(&format!("mm-{pid}.img"), MM, pid);
        self.directories_and_tables(pid);
        let Some(Content::Read(pagemap)) = self.required(&format!("pagemap-{pid}.img"), PAGEMAP, pid) else {
            return;
        };
        if let Err(e) = self.announced(&format!("pagemap-{pid}.img"), &pagemap) {
            self.problem(e.to_string());
        }
    }

    /// Records the pages that the pagemap `name` announces.
    fn announced(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let payloads = image_file::payloads(name, bytes)?;
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
        let name = format!("pages-{number}.img");
        match Status::at(self.root.fd(), name.as_ref()) {
            Ok(status) if announced.fits(status.size()) => {}
            Ok(status) => {
                let size = status.size();
                let data = match self.end_of_data(&name) {
                    Ok(data) => data,
                    Err(e) => return self.problem(format!("{name}: {e}")),
                };
                if !announced.fits_with_zeros(size, data) {
                    self.problem(format!("{name}: {size} bytes, but pagemap images announce {pages} pages"));
                }
            }
            Err(e) => self.problem(format!("{name}: {e}, but pagemap images announce {pages} pages")),
        }
    }

    /// Returns the offset after the last byte that is not zero.
    fn end_of_data(&mut self, name: &str) -> std::io::Result<u64> {
        let mut file = self.root.open_file(&TarPath::root().child(name.as_bytes()))?;
        let (mut end, mut buffer) = (file.metadata()?.len(), vec![0; 1 << 18]);
        // Reads from the end, because the zeros are short compared to the pages.
        while end > 0 {
            let start = end.saturating_sub(buffer.len() as u64);
            let part = usize::try_from(end - start).unwrap_or(0);
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(&mut buffer[..part])?;
            if let Some(last) = buffer[..part].iter().rposition(|&byte| byte != 0) {
                return Ok(start + last as u64 + 1);
            }
            end = start;
        }
        Ok(0)
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
        if self.problems.len() < MAX_REPORTED {
            self.problems.push(problem);
        } else {
            self.more += 1;
        }
    }
}

/// The content of an image.
enum Content {
    Read(Vec<u8>),
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
