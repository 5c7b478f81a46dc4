//! The memory of a process: its mappings, and how much of them the images hold (mm.proto,
//! vma.proto).

use std::ops::Range;

use super::image_file;
use super::messages::PagemapEntry;
use super::raw::{self, Field};
use crate::error::{Error, Result};

/// The most mappings of all processes that are kept. The kernel allows a process 65530 mappings
/// (vm.max_map_count). A hostile image of 16 MB could otherwise fill gigabytes.
pub const MAX_MAPPINGS: usize = 1 << 20;

/// The memory of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The addresses of the arguments.
    pub arguments: Range<u64>,
    /// The addresses of the environment.
    pub environment: Range<u64>,
    /// The addresses of the heap.
    pub heap: Range<u64>,
    /// An address in the stack of the first thread.
    pub stack: u64,
    /// The ID of the program's file.
    pub executable: u32,
    /// The mappings in the order of the image: by address.
    pub mappings: Vec<Mapping>,
}

/// A mapping of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// The addresses.
    pub range: Range<u64>,
    /// The offset in the file or shared memory, in bytes.
    pub offset: u64,
    /// The ID of the file or of the shared memory.
    pub object: u64,
    /// PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4.
    protection: u32,
    /// CRIU's VMA_AREA_* and VMA_* bits (criu/include/image.h).
    status: u32,
}

/// What a mapping contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Memory of this process only.
    Anonymous,
    /// A file; changed pages belong to this process only.
    PrivateFile,
    /// A file, which is shared.
    SharedFile,
    /// Memory without a file that processes share.
    SharedMemory,
    /// A mapping of the kernel, such as the vDSO.
    Kernel(&'static str),
}

/// The number of bytes of a process in memory, and in the images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// The size of the mappings.
    pub mapped: u64,
    /// The bytes in the images of this checkpoint.
    pub stored: u64,
    /// The bytes in the images of an earlier checkpoint.
    pub in_parent: u64,
}

impl Memory {
    /// Reads the image `name`.
    ///
    /// # Errors
    /// Returns an error if the image is damaged or has more than `most` mappings.
    pub(super) fn read(name: &str, image: &[u8], most: usize) -> Result<Memory> {
        let mut memory = Memory::default();
        let damage = || Error::member(name, "damaged CRIU image");
        for entry in image_file::payloads(name, image)? {
            raw::each(entry, &damage, |field| memory.add(name, &field, most, &damage))?;
        }
        memory.mappings = image_file::fitted(memory.mappings);
        Ok(memory)
    }

    fn add(&mut self, name: &str, field: &Field<'_>, most: usize, damage: &dyn Fn() -> Error) -> Result<()> {
        match field.number {
            5 => self.stack = field.value,
            6 => self.heap.start = field.value,
            7 => self.heap.end = field.value,
            8 => self.arguments.start = field.value,
            9 => self.arguments.end = field.value,
            10 => self.environment.start = field.value,
            11 => self.environment.end = field.value,
            12 => self.executable = u32::try_from(field.value).unwrap_or_default(),
            14 if self.mappings.len() >= most => {
                return Err(Error::member(name, format!("more than {MAX_MAPPINGS} mappings")));
            }
            14 => self.mappings.push(Mapping::read(field.content, damage)?),
            _ => {}
        }
        Ok(())
    }

    /// Returns the bits that are set in any address of a mapping.
    pub(super) fn addresses(&self) -> u64 {
        self.mappings.iter().fold(0, |all, mapping| all | mapping.range.start | mapping.range.end)
    }

    /// Returns what the mapping is named in /proc/PID/maps, if it is not a file.
    pub fn label(&self, mapping: &Mapping) -> &'static str {
        match mapping.content() {
            Content::Kernel(name) => name,
            Content::SharedMemory => "[shared memory]",
            Content::Anonymous if overlaps(&mapping.range, &self.heap) => "[heap]",
            Content::Anonymous if mapping.range.contains(&self.stack) => "[stack]",
            _ => "",
        }
    }

    /// Returns the amount of each mapping, for a process with these runs of pages.
    pub fn amounts(&self, runs: &[PagemapEntry], page: u64) -> Vec<Amount> {
        let size = |mapping: &Mapping| mapping.range.end.saturating_sub(mapping.range.start);
        let mut amounts: Vec<_> =
            self.mappings.iter().map(|m| Amount { mapped: size(m), ..Amount::default() }).collect();
        let (mut at, mut next) = (0, 0);
        // Both lists are sorted by address, and one step of this loop moves on in one of them, so
        // that a forged list only results in wrong numbers.
        while let (Some(mapping), Some(run)) = (self.mappings.get(at), runs.get(next)) {
            let pages = run.vaddr..run.vaddr.saturating_add(run.pages().saturating_mul(page));
            let shared =
                mapping.range.end.min(pages.end).saturating_sub(mapping.range.start.max(pages.start));
            if run.is_present() {
                amounts[at].stored += shared;
            } else if run.is_in_parent() {
                amounts[at].in_parent += shared;
            }
            if mapping.range.end <= pages.end {
                at += 1;
            } else {
                next += 1;
            }
        }
        amounts
    }
}

impl Mapping {
    fn read(message: &[u8], damage: &dyn Fn() -> Error) -> Result<Mapping> {
        let mut mapping = Mapping::default();
        raw::each(message, damage, |field| {
            match field.number {
                1 => mapping.range.start = field.value,
                2 => mapping.range.end = field.value,
                3 => mapping.offset = field.value,
                4 => mapping.object = field.value,
                // As protobuf reads a field of 32 bits.
                5 => mapping.protection = field.value as u32,
                7 => mapping.status = field.value as u32,
                _ => {}
            }
            Ok(())
        })?;
        Ok(mapping)
    }

    /// Returns what the mapping contains.
    pub fn content(&self) -> Content {
        let is = |bit: u32| self.status & (1 << bit) != 0;
        match () {
            () if is(2) => Content::Kernel("[vsyscall]"),
            () if is(3) => Content::Kernel("[vdso]"),
            () if is(12) => Content::Kernel("[vvar]"),
            () if is(13) => Content::Kernel("[aio]"),
            () if is(6) => Content::PrivateFile,
            () if is(7) => Content::SharedFile,
            () if is(8) || is(10) => Content::SharedMemory,
            () => Content::Anonymous,
        }
    }

    /// Returns the ID of the mapped file.
    pub fn file(&self) -> Option<u32> {
        let file = matches!(self.content(), Content::PrivateFile | Content::SharedFile);
        u32::try_from(self.object).ok().filter(|_| file)
    }

    /// Returns the permissions as in /proc/PID/maps, such as `rw-p`.
    pub fn permissions(&self) -> String {
        let shared = matches!(self.content(), Content::SharedFile | Content::SharedMemory);
        let letter = |bit: u32, letter| if self.protection & bit != 0 { letter } else { '-' };
        [letter(1, 'r'), letter(2, 'w'), letter(4, 'x'), if shared { 's' } else { 'p' }].iter().collect()
    }
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Amount) {
        self.mapped = self.mapped.saturating_add(other.mapped);
        self.stored = self.stored.saturating_add(other.stored);
        self.in_parent = self.in_parent.saturating_add(other.in_parent);
    }
}

fn overlaps(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(range: Range<u64>, status: u32) -> Mapping {
        Mapping { range, status, protection: 3, ..Mapping::default() }
    }

    fn run(vaddr: u64, pages: u64, flags: u32) -> PagemapEntry {
        PagemapEntry { vaddr, nr_pages: pages, flags: Some(flags), ..PagemapEntry::default() }
    }

    #[test]
    fn pages_are_counted_in_their_mapping() {
        let memory = Memory {
            mappings: vec![
                mapping(0x1000..0x5000, 1 << 9),
                mapping(0x5000..0x9000, 1 << 9),
                mapping(0x20000..0x30000, 1 << 9),
            ],
            heap: 0x4000..0x4800,
            stack: 0x2ffff,
            ..Memory::default()
        };
        let runs = [run(0x2000, 4, 4), run(0x8000, 1, 1), run(0x20000, 3, 4), run(0x90000, 1, 4)];
        let amounts = memory.amounts(&runs, 4096);
        let stored: Vec<_> = amounts.iter().map(|a| (a.mapped, a.stored, a.in_parent)).collect();
        assert_eq!(stored, [(0x4000, 0x3000, 0), (0x4000, 0x1000, 0x1000), (0x10000, 0x3000, 0)]);
        let labels: Vec<_> = memory.mappings.iter().map(|m| memory.label(m)).collect();
        assert_eq!(labels, ["[heap]", "", "[stack]"]);
        assert_eq!(memory.mappings[0].permissions(), "rw-p");
    }

    #[test]
    fn forged_addresses_do_not_overflow() {
        let memory = Memory {
            mappings: vec![
                mapping(Range { start: 5, end: 1 }, 0),
                mapping(0..u64::MAX, 1 << 7),
                mapping(0..u64::MAX, 1 << 8),
            ],
            ..Memory::default()
        };
        let runs = [run(u64::MAX, u64::MAX, 4), run(0, u64::MAX, 4), run(7, 1, 1)];
        let mut sum = Amount::default();
        memory.amounts(&runs, 65536).into_iter().for_each(|amount| sum += amount);
        assert_eq!(memory.mappings[2].permissions(), "rw-s");
    }

    #[test]
    fn an_image_with_too_many_mappings_is_refused() {
        let image = [&[0x19, 0x43, 0x56, 0x54, 0x20, 0x28, 0x49, 0x57, 6, 0, 0, 0][..], &[0x72, 0].repeat(3)];
        let image = image.concat();
        assert_eq!(Memory::read("mm-1.img", &image, 3).unwrap().mappings.len(), 3);
        let error = Memory::read("mm-1.img", &image, 2).unwrap_err();
        assert!(error.to_string().contains("more than 1048576 mappings"), "{error}");
        for cut in 9..image.len() {
            assert!(Memory::read("mm-1.img", &image[..cut], 9).is_err(), "{cut}");
        }
    }

    #[test]
    fn the_status_tells_what_a_mapping_contains() {
        for (bit, content, permissions) in [
            (2, Content::Kernel("[vsyscall]"), "r--p"),
            (3, Content::Kernel("[vdso]"), "r--p"),
            (12, Content::Kernel("[vvar]"), "r--p"),
            (13, Content::Kernel("[aio]"), "r--p"),
            (6, Content::PrivateFile, "r--p"),
            (7, Content::SharedFile, "r--s"),
            (8, Content::SharedMemory, "r--s"),
            (10, Content::SharedMemory, "r--s"),
            (0, Content::Anonymous, "r--p"),
            (9, Content::Anonymous, "r--p"),
        ] {
            let mapping = Mapping { status: 1 << bit, protection: 1, object: 5, ..Mapping::default() };
            assert_eq!(mapping.content(), content, "{bit}");
            assert_eq!(mapping.permissions(), permissions, "{bit}");
            assert_eq!(mapping.file(), matches!(bit, 6 | 7).then_some(5), "{bit}");
        }
        for (protection, permissions) in [(0, "---p"), (1, "r--p"), (2, "-w-p"), (4, "--xp"), (7, "rwxp")] {
            assert_eq!(Mapping { protection, ..Mapping::default() }.permissions(), permissions);
        }
        let large = Mapping { status: 1 << 6, object: 1 << 32, ..Mapping::default() };
        assert_eq!(large.file(), None);
    }

    #[test]
    fn heap_and_stack_are_named_by_their_addresses() {
        let memory = Memory { heap: 0x3000..0x5000, stack: 0x9000, ..Memory::default() };
        let label = |range, status| memory.label(&Mapping { range, status, ..Mapping::default() });
        for (range, expected) in [
            (0x1000..0x3000, ""),
            (0x1000..0x3001, "[heap]"),
            (0x3000..0x5000, "[heap]"),
            (0x4fff..0x6000, "[heap]"),
            (0x5000..0x6000, ""),
            (0x8000..0x9000, ""),
            (0x9000..0xa000, "[stack]"),
            (0x9001..0xa000, ""),
        ] {
            assert_eq!(label(range.clone(), 0), expected, "{range:x?}");
        }
        assert_eq!(label(0x3000..0x5000, 1 << 3), "[vdso]");
        assert_eq!(label(0x3000..0x5000, 1 << 8), "[shared memory]");
        assert_eq!(label(0x3000..0x5000, 1 << 6), "");
        let mapping = |range| Mapping { range, ..Mapping::default() };
        let mappings = vec![mapping(0x1000..0x3000), mapping(0x8000..0x9000)];
        assert_eq!(Memory { mappings, ..Memory::default() }.addresses(), 0xb000);
    }
}
