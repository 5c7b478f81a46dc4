//! The processes in CRIU's images, with their command lines.
//!
//! Images are read in the order of the archive. All images except the memory pages are small and
//! are kept in memory. The command lines are in the memory pages ([`Texts`]).

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;

use super::core_image;
use super::image_file;
use super::memory::{MAX_MAPPINGS, Memory};
use super::messages::{
    CoreEntry, FdinfoEntry, FileEntry, FsEntry, PagemapEntry, PagemapHead, PstreeEntry, TaskIds,
};
use super::open_files::{self, OpenFile, Socket};
use super::payload::Payload;
use super::texts::{Text, Texts};
use crate::error::{Error, Result};

pub use super::image_file::IMAGE_LIMIT;

/// The content of the images that were read so far.
#[derive(Default)]
pub struct Images {
    tree: Vec<PstreeEntry>,
    /// The PIDs in `tree`.
    pids: BTreeSet<u32>,
    core: BTreeMap<u32, CoreEntry>,
    ids: BTreeMap<u32, TaskIds>,
    fdinfo: BTreeMap<u32, Vec<FdinfoEntry>>,
    /// Sorted by ID.
    files: Vec<FileEntry>,
    fs: BTreeMap<u32, FsEntry>,
    pub(super) mm: BTreeMap<u32, Memory>,
    mappings: usize,
    /// The bits that are set in any address of a mapping.
    pub(super) addresses: u64,
    /// Whether an architecture of the processes has only pages of 4 KiB.
    pub(super) fixed_page_size: bool,
    pub(super) pagemap: BTreeMap<u32, (u32, Vec<PagemapEntry>)>,
    /// The pagemaps of shared memory, by its ID. Addresses are offsets in the shared memory.
    pub(super) shared: BTreeMap<u32, (u32, Vec<PagemapEntry>)>,
    /// The processes whose pages are in a `pages` image, by the number of the image.
    in_pages: BTreeMap<u32, Vec<u32>>,
    /// The same for shared memory.
    shared_in_pages: BTreeMap<u32, BTreeSet<u32>>,
    pub(super) texts: Texts,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The PID in the container.
    pub pid: u32,
    /// The PID of the parent, 0 for the first process.
    pub ppid: u32,
    /// The name of the command in the kernel (/proc/PID/comm).
    pub command: String,
    /// The arguments, if they were found.
    pub cmdline: Vec<String>,
    /// The state, such as `Alive` or `Zombie`.
    pub state: &'static str,
    /// The number of threads.
    pub threads: usize,
    /// The number of open files, including sockets.
    pub files: usize,
    /// The number of open sockets.
    pub sockets: usize,
}

/// A process and its children.
#[derive(Clone, Debug)]
pub struct Node {
    /// The process.
    pub process: Process,
    /// The children of the process.
    pub children: Vec<Node>,
}

/// The largest depth of a process tree. A tree is walked recursively and may come from a hostile
/// image.
const MAX_DEPTH: usize = 128;

impl Images {
    /// Returns whether [`add`](Images::add) reads the image `name`.
    pub fn wants(name: &str) -> bool {
        matches!(name, "pstree.img" | "files.img") || number(name).is_some_and(|(kind, _)| kind != "pages")
    }

    /// Adds an image.
    ///
    /// # Errors
    /// Returns an error if the content does not match the name.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if name == "pstree.img" {
            let tree: Vec<PstreeEntry> = image_file::messages(name, bytes)?;
            let mut pids = BTreeSet::new();
            if let Some(twice) = tree.iter().find(|entry| !pids.insert(entry.pid)) {
                return Err(Error::member(name, format!("two processes with PID {}", twice.pid)));
            }
            self.tree = tree;
            self.pids = pids;
            return Ok(());
        }
        if name == "files.img" {
            self.files = image_file::messages(name, bytes)?;
            self.files.sort_by_key(|file| file.id);
            return Ok(());
        }
        let Some((kind, n)) = number(name) else { return Ok(()) };
        match kind {
            "core" => {
                let cores: Vec<CoreEntry> = image_file::messages(name, bytes)?;
                self.fixed_page_size |= cores.iter().any(CoreEntry::has_fixed_page_size);
                self.core.extend(cores.into_iter().map(|core| (n, core)));
            }
            "ids" => self.ids.extend(image_file::messages(name, bytes)?.into_iter().map(|m| (n, m))),
            "fs" => self.fs.extend(image_file::messages(name, bytes)?.into_iter().map(|m| (n, m))),
            "mm" => {
                let memory = Memory::read(name, bytes, MAX_MAPPINGS - self.mappings)?;
                self.mappings += memory.mappings.len();
                self.addresses |= memory.addresses();
                self.mm.insert(n, memory);
            }
            "fdinfo" => {
                self.fdinfo.insert(n, image_file::messages(name, bytes)?);
            }
            "pagemap" | "pagemap-shmem" => {
                let payloads = image_file::payloads(name, bytes)?;
                let Some((head, runs)) = payloads.split_first() else { return Ok(()) };
                let bad = |e| Error::member(name, format!("not a CRIU image: {e}"));
                let head = PagemapHead::decode(*head).map_err(bad)?;
                let runs: std::result::Result<_, _> =
                    runs.iter().map(|run| PagemapEntry::decode(*run)).collect();
                let runs = image_file::fitted(runs.map_err(bad)?);
                match kind {
                    "pagemap" => self.add_pagemap(n, head.pages_id, runs),
                    _ => {
                        self.shared.insert(n, (head.pages_id, runs));
                        self.shared_in_pages.entry(head.pages_id).or_default().insert(n);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn add_pagemap(&mut self, pid: u32, pages_id: u32, runs: Vec<PagemapEntry>) {
        self.in_pages.entry(pages_id).or_default().push(pid);
        self.pagemap.insert(pid, (pages_id, runs));
    }

    #[cfg(test)]
    pub(super) fn add_process(&mut self, process: PstreeEntry) {
        self.tree.push(process);
    }

    /// Returns the content of the image `name` that pagemap images announce. It is empty for an
    /// image that is not a `pages` image.
    ///
    /// # Errors
    /// Returns an error if a pagemap image contradicts itself.
    pub fn payload(&self, name: &str) -> Result<Payload> {
        let mut payload = Payload::default();
        for (pid, runs) in self.pagemaps(name) {
            runs.iter().try_for_each(|run| payload.add(&format!("pagemap-{pid}.img"), run))?;
        }
        Ok(payload)
    }

    /// Returns the processes whose pages are in the image `name`, with the runs of the pages.
    pub(super) fn pagemaps(&self, name: &str) -> impl Iterator<Item = (u32, &[PagemapEntry])> {
        let pids = match number(name) {
            Some(("pages", pages_id)) => self.in_pages.get(&pages_id).map(Vec::as_slice),
            _ => None,
        };
        // If a container continued to run after a checkpoint, podman leaves the images of that
        // checkpoint in the directory. These images may belong to processes that no longer exist.
        let pids =
            pids.unwrap_or_default().iter().filter(|pid| self.tree.is_empty() || self.pids.contains(pid));
        pids.filter_map(|pid| self.pagemap.get(pid).map(|(_, runs)| (*pid, runs.as_slice())))
    }

    /// Returns the shared memory whose pages are in the image `name`, with the runs of the pages.
    pub(super) fn shared_pagemaps(&self, name: &str) -> impl Iterator<Item = (u32, &[PagemapEntry])> {
        let image = number(name).and_then(|(kind, n)| (kind == "pages").then_some(n));
        let ids = image.and_then(|n| self.shared_in_pages.get(&n)).into_iter().flatten();
        // A second image of the same shared memory replaces the first one.
        let runs = move |id: &u32| self.shared.get(id).filter(|(n, _)| Some(*n) == image);
        ids.filter_map(move |id| runs(id).map(|(_, runs)| (*id, runs.as_slice())))
    }

    /// Returns the names of the images that hold the pages of processes.
    pub fn pages_images(&self) -> impl Iterator<Item = String> {
        self.in_pages.keys().map(|n| format!("pages-{n}.img"))
    }

    /// Returns the processes in pstree.img that have no `core` image.
    pub fn without_core(&self) -> impl Iterator<Item = u32> {
        self.tree.iter().map(|entry| entry.pid).filter(|pid| !self.core.contains_key(pid))
    }

    /// Returns the processes in CRIU's order: parents before their children.
    pub fn processes(&self) -> Vec<Process> {
        self.tree.iter().map(|entry| self.process(entry)).collect()
    }

    /// Returns the trees of processes, and the number of processes that are in no tree. Valid
    /// images have one tree.
    pub fn tree(&self) -> (Vec<Node>, usize) {
        let mut children: BTreeMap<u32, Vec<&PstreeEntry>> = BTreeMap::new();
        for entry in &self.tree {
            children.entry(entry.ppid).or_default().push(entry);
        }
        let roots = self.grow(0, &mut children, 0);
        (roots, children.values().map(Vec::len).sum())
    }

    /// Returns the nodes below `parent`. Each process is removed from `children`, so that a process
    /// that is its own ancestor is in no tree.
    fn grow(&self, parent: u32, children: &mut BTreeMap<u32, Vec<&PstreeEntry>>, depth: usize) -> Vec<Node> {
        let found = if depth < MAX_DEPTH { children.remove(&parent).unwrap_or_default() } else { Vec::new() };
        found
            .into_iter()
            .map(|entry| Node {
                process: self.process(entry),
                children: self.grow(entry.pid, children, depth + 1),
            })
            .collect()
    }

    /// Returns the architecture of the first process, as OCI images name it.
    pub fn architecture(&self) -> Option<&'static str> {
        self.core.values().next().and_then(|core| core_image::name_of(core.mtype))
    }

    fn fds(&self, pid: u32) -> &[FdinfoEntry] {
        let fds = self.ids.get(&pid).and_then(|ids| self.fdinfo.get(&ids.files_id));
        fds.map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the open file with this ID. If several files have the ID, returns the last one.
    pub(super) fn file(&self, id: u32) -> Option<&FileEntry> {
        let end = self.files.partition_point(|file| file.id <= id);
        self.files[..end].last().filter(|file| file.id == id)
    }

    /// Returns the open files of the process, followed by its directories. If several processes
    /// share a table of descriptors, the files in the table are returned for each of these
    /// processes.
    pub fn open_files(&self, pid: u32) -> impl Iterator<Item = OpenFile<'_>> {
        let files = self.fds(pid).iter().map(|fd| open_files::open_file(fd, self.file(fd.id)));
        let places = self.fs.get(&pid).map(|fs| [("cwd", fs.cwd_id), ("root", fs.root_id)]);
        let places = places.into_iter().flatten();
        files.chain(places.map(|(name, id)| open_files::place(name, self.file(id))))
    }

    /// Returns the open sockets of the process.
    pub fn sockets(&self, pid: u32) -> impl Iterator<Item = Socket<'_>> {
        self.fds(pid).iter().filter_map(|fd| open_files::socket(fd, self.file(fd.id)?))
    }

    fn process(&self, entry: &PstreeEntry) -> Process {
        let task = self.core.get(&entry.pid).and_then(|core| core.tc.clone()).unwrap_or_default();
        let files = self.fds(entry.pid);
        Process {
            pid: entry.pid,
            ppid: entry.ppid,
            command: String::from_utf8_lossy(&task.comm).into_owned(),
            cmdline: self.texts.words(entry.pid, Text::CommandLine),
            // compel/include/uapi/task-state.h defines the numbers, and checkpointctl prints these
            // names.
            state: match task.task_state {
                1 => "Alive",
                2 => "Dead",
                3 => "Stopped",
                6 => "Zombie",
                _ => "Unknown",
            },
            threads: entry.threads.len(),
            files: files.len(),
            sockets: files.iter().filter(|file| file.is_socket()).count(),
        }
    }
}

/// Splits the name of an image, such as `core-15.img`, into kind and number.
fn number(name: &str) -> Option<(&'static str, u32)> {
    let (kind, n) = name.strip_suffix(".img")?.rsplit_once('-')?;
    let kind = ["core", "ids", "mm", "fs", "fdinfo", "pagemap", "pagemap-shmem", "pages"]
        .into_iter()
        .find(|known| *known == kind)?;
    Some((kind, n.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::messages::PipeEntry;
    use super::*;

    #[test]
    fn a_file_is_found_by_its_id_in_any_order() {
        let mut images = Images::default();
        let mut image = b"\x19\x43\x56\x54\x38\x31\x30\x56".to_vec();
        for (id, pipe_id) in [(9, 1), (2, 2), (5, 3), (2, 4), (7, 5)] {
            let pipe = Some(PipeEntry { pipe_id });
            let file = FileEntry { id, pipe, ..FileEntry::default() }.encode_to_vec();
            image.extend((file.len() as u32).to_le_bytes());
            image.extend(file);
        }
        images.add("files.img", &image).unwrap();
        let found = |id| images.file(id).and_then(|file| file.pipe.as_ref().map(|pipe| pipe.pipe_id));
        assert_eq!([2, 5, 7, 9].map(found), [Some(4), Some(3), Some(5), Some(1)]);
        assert_eq!([0, 1, 3, 8, 10].map(found), [None; 5]);
    }

    #[test]
    fn each_process_is_in_the_tree_at_most_once() {
        let entry = |pid, ppid| PstreeEntry { pid, ppid, threads: Vec::new() };
        let tree = vec![entry(1, 0), entry(2, 1), entry(3, 2), entry(4, 4), entry(5, 6), entry(6, 5)];
        let mut images = Images { tree, ..Images::default() };
        let (roots, lost) = images.tree();
        assert_eq!((roots.len(), lost), (1, 3));
        assert_eq!(roots[0].children[0].children[0].process.pid, 3);
        images.tree = (0..1000).map(|n| entry(n + 1, n)).collect();
        assert_eq!(images.tree().1, 1000 - MAX_DEPTH);
        let twice =
            [&b"\x19\x43\x56\x54\x30\x30\x27\x50"[..], &b"\x04\0\0\0\x08\x01\x10\0".repeat(2)].concat();
        assert!(
            images.add("pstree.img", &twice).unwrap_err().to_string().contains("two processes with PID 1")
        );
    }
}
