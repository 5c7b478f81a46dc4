//! Predicts which memory pages CRIU dumps for a frozen process, and in which order.
//!
//! The rules follow CRIU's source: `should_dump_page` and `generate_vma_iovs` (criu/mem.c) for
//! private memory, `cr_dump_shmem` (criu/shmem.c) and `dump_memfd_inode` (criu/memfd.c) for shared
//! memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::processes::{named, read};
use crate::PAGE;

/// The number of entries that one read of /proc/PID/pagemap returns.
const BATCH: usize = 32 << 10;

/// The bits of an entry of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst).
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const FILE: u64 = 1 << 61;
const GUARD: u64 = 1 << 58;
const SOFT_DIRTY: u64 = 1 << 55;
const FRAME: u64 = SOFT_DIRTY - 1;

/// Which pages CRIU dumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// All pages.
    All,
    /// The pages that were written since the previous pre-dump (`--with-previous`).
    SoftDirty,
}

/// Consecutive pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The address of the first page. In shared memory, its offset.
    pub vaddr: u64,
    /// The number of pages.
    pub pages: u64,
    /// Whether the pages belong to no file, so that a page without a copy in the images is restored
    /// as a zero page.
    pub anonymous: bool,
}

/// The mappings of a process whose pages CRIU dumps.
#[derive(Clone, Debug)]
pub struct TaskMemory {
    /// The PID on this host.
    pub pid: u32,
    /// The PID in the container, by which CRIU names `pagemap-PID.img`.
    pub container_pid: u32,
    /// The shared memory that the process has mapped or open as a memfd.
    pub shared: Vec<SharedMemory>,
    /// Which of the private pages CRIU dumps.
    pub pages: Pages,
    private: Vec<Mapping>,
}

/// Shared memory, which CRIU dumps once per container: System V segments, shared anonymous
/// mappings and memfds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedMemory {
    /// The inode, by which CRIU names `pagemap-shmem-INODE.img`.
    pub inode: u64,
    /// A path below /proc that opens the memory.
    pub path: PathBuf,
    /// The size of the allocated pages in bytes, which is the most that CRIU dumps.
    pub allocated: u64,
}

#[derive(Clone, Debug)]
struct Mapping {
    start: u64,
    end: u64,
    kind: Kind,
    /// Whether CRIU's parasite code writes an instruction to the first page and restores it later,
    /// which makes the page private (`get_exec_start`, criu/parasite-syscall.c).
    poked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Private anonymous memory.
    Anonymous,
    /// A private mapping of a file: pages that are still the file's are not dumped.
    File,
    /// The ring of asynchronous I/O.
    Ring,
    /// The code of the vDSO, which is dumped completely.
    Vdso,
}

impl TaskMemory {
    /// Reads the mappings of the process `pid`.
    ///
    /// # Errors
    /// Returns an error that names the file in /proc that cannot be read.
    pub fn read(pid: u32, pages: Pages) -> io::Result<TaskMemory> {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let status = read(proc.join("status"))?;
        let container_pid = status
            .lines()
            .find_map(|line| line.strip_prefix("NSpid:")?.split_ascii_whitespace().last()?.parse().ok())
            .unwrap_or(pid);
        let mut memory = TaskMemory { pid, container_pid, shared: Vec::new(), private: Vec::new(), pages };
        let mut shared = BTreeMap::new();
        let mut may_be_poked = true;
        for line in read(proc.join("maps"))?.lines() {
            let Some(line) = Line::parse(line) else { continue };
            let poked = may_be_poked && line.is_executable && line.name != "[vsyscall]";
            may_be_poked &= !poked;
            if line.is_shared_memory() {
                let path = proc.join(format!("map_files/{:x}-{:x}", line.start, line.end));
                add_shared(&mut shared, path);
            } else if let Some(kind) = line.kind() {
                memory.private.push(Mapping { start: line.start, end: line.end, kind, poked });
            }
        }
        // CRIU also dumps memfds that are open and not mapped.
        for descriptor in fs::read_dir(proc.join("fd")).map_err(|e| named(&proc.join("fd"), &e))?.flatten() {
            let path = descriptor.path();
            if fs::read_link(&path)
                .is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"/memfd:"))
            {
                add_shared(&mut shared, path);
            }
        }
        memory.shared.extend(shared.into_values());
        Ok(memory)
    }

    /// Calls `found` for each run of pages that CRIU dumps, in the order of CRIU.
    ///
    /// # Errors
    /// Returns an error if /proc/PID/pagemap cannot be read, or the error of `found`.
    pub fn runs(&self, found: &mut dyn FnMut(Run) -> io::Result<()>) -> io::Result<()> {
        let path = PathBuf::from(format!("/proc/{}/pagemap", self.pid));
        let pagemap = File::open(&path).map_err(|e| named(&path, &e))?;
        let zero = zero_page()?;
        let mut bytes = vec![0; BATCH * 8];
        for mapping in &self.private {
            let mut runs = Runs { open: None, found, anonymous: mapping.kind != Kind::File };
            let mut at = mapping.start;
            while at < mapping.end {
                let pages = usize::try_from((mapping.end - at) / PAGE).unwrap_or(BATCH).min(BATCH);
                let batch = &mut bytes[..pages * 8];
                pagemap.read_exact_at(batch, at / PAGE * 8).map_err(|e| named(&path, &e))?;
                for entry in batch.chunks_exact(8) {
                    let entry = u64::from_ne_bytes(entry.try_into().unwrap_or_default());
                    if mapping.has(entry, zero, self.pages) || (mapping.poked && at == mapping.start) {
                        runs.add(at)?;
                    }
                    at += PAGE;
                }
            }
            runs.close()?;
        }
        Ok(())
    }

    /// Returns the number of private pages that CRIU dumps.
    ///
    /// # Errors
    /// Returns an error if /proc/PID/pagemap cannot be read.
    pub fn count(&self) -> io::Result<u64> {
        let mut count = 0;
        self.runs(&mut |run| {
            count += run.pages;
            Ok(())
        })?;
        Ok(count)
    }
}

impl SharedMemory {
    /// Calls `found` for each run of allocated pages, in the order of CRIU.
    ///
    /// # Errors
    /// Returns an error if the memory cannot be opened, or the error of `found`.
    pub fn runs(&self, found: &mut dyn FnMut(Run) -> io::Result<()>) -> io::Result<()> {
        let file = File::open(&self.path).map_err(|e| named(&self.path, &e))?;
        let size = file.metadata().map_err(|e| named(&self.path, &e))?.len();
        let mut at = tartree::next_data(&file, 0, size);
        while at < size {
            let hole = tartree::next_hole(&file, at, size);
            let vaddr = at / PAGE * PAGE;
            found(Run { vaddr, pages: (hole - vaddr).div_ceil(PAGE), anonymous: true })?;
            if hole <= at {
                break;
            }
            at = tartree::next_data(&file, hole, size);
        }
        Ok(())
    }
}

impl Mapping {
    /// Returns whether CRIU dumps the page with this entry of /proc/PID/pagemap.
    fn has(&self, entry: u64, zero: u64, pages: Pages) -> bool {
        if pages == Pages::SoftDirty && entry & SOFT_DIRTY == 0 {
            return false;
        }
        let is_zero = entry & PRESENT != 0 && entry & FRAME == zero;
        match self.kind {
            Kind::Vdso => true,
            Kind::Ring => entry & PRESENT != 0,
            Kind::File if entry & FILE != 0 => false,
            Kind::File | Kind::Anonymous => {
                entry & (PRESENT | SWAPPED) != 0 && entry & GUARD == 0 && !is_zero
            }
        }
    }
}

/// Joins consecutive pages.
struct Runs<'f> {
    open: Option<Run>,
    found: &'f mut dyn FnMut(Run) -> io::Result<()>,
    anonymous: bool,
}

impl Runs<'_> {
    fn add(&mut self, vaddr: u64) -> io::Result<()> {
        match &mut self.open {
            Some(run) if run.vaddr + run.pages * PAGE == vaddr => {
                run.pages += 1;
                Ok(())
            }
            _ => {
                self.close()?;
                self.open = Some(Run { vaddr, pages: 1, anonymous: self.anonymous });
                Ok(())
            }
        }
    }

    fn close(&mut self) -> io::Result<()> {
        self.open.take().map_or(Ok(()), |run| (self.found)(run))
    }
}

/// A line of /proc/PID/maps.
#[derive(Debug, PartialEq, Eq)]
struct Line<'l> {
    start: u64,
    end: u64,
    is_executable: bool,
    is_shared: bool,
    name: &'l str,
}

impl Line<'_> {
    fn parse(line: &str) -> Option<Line<'_>> {
        // "START-END PERMISSIONS OFFSET DEVICE INODE NAME", where NAME may contain spaces.
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let permissions = fields.next()?.as_bytes();
        let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
        let name = fields.nth(3).unwrap_or_default().trim_start();
        let is = |at: usize, letter: u8| permissions.get(at) == Some(&letter);
        (start < end).then(|| Line { start, end, is_executable: is(2, b'x'), is_shared: is(3, b's'), name })
    }

    /// Returns whether CRIU dumps the mapping as shared memory.
    fn is_shared_memory(&self) -> bool {
        let names = ["/dev/zero", "/memfd:", "/SYSV", "[anon_shmem:"];
        self.is_shared && names.iter().any(|name| self.name.starts_with(name))
    }

    /// Returns the kind of memory, if CRIU dumps its pages with the process.
    fn kind(&self) -> Option<Kind> {
        match self.name {
            "[vdso]" => Some(Kind::Vdso),
            "[vsyscall]" | "[uprobes]" => None,
            name if name.starts_with("[vvar") => None,
            name if name.starts_with("/[aio]") => Some(Kind::Ring),
            _ if self.is_shared => None,
            name if name.starts_with('/') => Some(Kind::File),
            _ => Some(Kind::Anonymous),
        }
    }
}

fn add_shared(shared: &mut BTreeMap<u64, SharedMemory>, path: PathBuf) {
    // A descriptor or a mapping that disappears belongs to a process that is not frozen.
    let Ok(meta) = fs::metadata(&path) else { return };
    let inode = meta.ino();
    shared.entry(inode).or_insert(SharedMemory { inode, path, allocated: meta.blocks() * 512 });
}

/// Returns the frame number of the zero page, which the kernel maps where a process only reads
/// anonymous memory.
fn zero_page() -> io::Result<u64> {
    // A static array is never written. The allocator would write to a block that it uses again.
    // The array is larger than two pages, so that one of its pages has no other data.
    static UNTOUCHED: [AtomicU8; 3 * PAGE as usize] = [const { AtomicU8::new(0) }; 3 * PAGE as usize];
    let page = &UNTOUCHED[UNTOUCHED.len() / 2];
    std::hint::black_box(page.load(Relaxed));
    let address = std::ptr::from_ref(page).addr() as u64;
    let path = Path::new("/proc/self/pagemap");
    let mut entry = [0; 8];
    File::open(path)
        .and_then(|file| file.read_exact_at(&mut entry, address / PAGE * 8))
        .map_err(|e| named(path, &e))?;
    Ok(u64::from_ne_bytes(entry) & FRAME)
}

#[cfg(test)]
mod tests;
