//! Where the memory of processes is in `pages` images.

use std::ops::Range;

use super::memory::{Content, Mapping};
use super::messages::PagemapEntry;
use super::process_tree::Images;

/// The process or the shared memory to which pages belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The process with this PID; addresses are those of the process.
    Process(u32),
    /// The shared memory with this ID; addresses are offsets in it.
    Shared(u32),
}

/// Pages with consecutive addresses that are also consecutive in a `pages` image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The process or shared memory.
    pub owner: Owner,
    /// The address of the first byte.
    pub address: u64,
    /// The offset of the first byte in the image.
    pub offset: u64,
    /// The number of bytes.
    pub len: u64,
}

/// A part of the memory of a process in a `pages` image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The name of the image.
    pub image: String,
    /// The address in the process.
    pub address: u64,
    /// The offset in the image.
    pub offset: u64,
    /// The number of bytes.
    pub len: u64,
}

/// The content of a `pages` image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The segments in the order of the image.
    pub segments: Vec<Segment>,
    /// The number of bytes of memory that are compressed and therefore in no segment.
    pub compressed: u64,
}

impl Stored {
    fn add(&mut self, owner: Owner, runs: &[PagemapEntry], page: u64) {
        let mut offset = 0u64;
        for run in runs.iter().filter(|run| run.is_present()) {
            let len = run.pages().saturating_mul(page);
            if run.is_aligned() {
                offset = offset.checked_next_multiple_of(page).unwrap_or(u64::MAX);
            }
            if let Some(blocks) = &run.blocks {
                self.compressed = self.compressed.saturating_add(len);
                offset = offset.saturating_add(blocks.total_payload_size);
                continue;
            }
            let end = offset.saturating_add(len);
            // Only forged images have pages beyond the last address.
            if end == u64::MAX || run.vaddr.checked_add(len).is_none() {
                return;
            }
            match self.segments.last_mut() {
                Some(last)
                    if last.owner == owner
                        && last.offset + last.len == offset
                        && last.address + last.len == run.vaddr =>
                {
                    last.len += len;
                }
                _ => self.segments.push(Segment { owner, address: run.vaddr, offset, len }),
            }
            offset = end;
        }
    }
}

impl Images {
    /// Returns the content of the image `name`. It is empty for an image that is not a `pages`
    /// image.
    pub fn stored(&self, name: &str) -> Stored {
        let (mut stored, page) = (Stored::default(), self.page_size());
        for (pid, runs) in self.pagemaps(name) {
            stored.add(Owner::Process(pid), runs, page);
        }
        for (id, runs) in self.shared_pagemaps(name) {
            stored.add(Owner::Shared(id), runs, page);
        }
        stored.segments.sort_by_key(|segment| segment.offset);
        stored
    }

    /// Returns the memory of a process that is in the images, in the order of addresses, and the
    /// number of bytes that are compressed.
    pub fn pieces(&self, pid: u32) -> (Vec<Piece>, u64) {
        let (mut pieces, mut compressed, page) = (Vec::new(), 0, self.page_size());
        if let Some((pages_id, runs)) = self.pagemap.get(&pid) {
            let mut stored = Stored::default();
            stored.add(Owner::Process(pid), runs, page);
            compressed += stored.compressed;
            let piece = |segment: Segment| Piece {
                image: pages_image(*pages_id),
                address: segment.address,
                offset: segment.offset,
                len: segment.len,
            };
            pieces.extend(stored.segments.into_iter().map(piece));
        }
        for mapping in self.memory(pid).into_iter().flat_map(|memory| &memory.mappings) {
            let shared = self.shared_of(mapping).and_then(|id| self.shared.get(&id));
            let Some((pages_id, runs)) = shared else { continue };
            let mut stored = Stored::default();
            stored.add(Owner::Process(pid), runs, page);
            compressed += stored.compressed;
            pieces.extend(stored.segments.iter().filter_map(|segment| {
                let (start, len) = mapped(mapping, segment)?;
                let offset = segment.offset + (start - segment.address);
                let address = mapping.range.start + (start - mapping.offset);
                Some(Piece { image: pages_image(*pages_id), address, offset, len })
            }));
        }
        pieces.sort_by_key(|piece| piece.address);
        // Only the mappings of a forged image overlap.
        let mut end = 0;
        pieces.retain(|piece| {
            let follows = piece.address >= end;
            if follows {
                end = piece.address.saturating_add(piece.len);
            }
            follows
        });
        (pieces, compressed)
    }

    /// Returns whether an image that locates the pages of a process was read.
    pub fn has_pagemap(&self, pid: u32) -> bool {
        self.pagemap.contains_key(&pid)
    }

    /// Returns the addresses of a process whose pages are in the images of the earlier dump.
    pub fn left_out(&self, pid: u32) -> Vec<Range<u64>> {
        let (page, runs) = (self.page_size(), self.pagemap.get(&pid));
        let runs = runs.into_iter().flat_map(|(_, runs)| runs);
        let runs = runs.filter(|run| run.is_in_parent() && !run.is_present());
        let range =
            |run: &PagemapEntry| run.vaddr..run.vaddr.saturating_add(run.pages().saturating_mul(page));
        runs.map(range).collect()
    }

    /// Returns the first process that maps a part of shared memory, and its mapping. With `only`,
    /// returns that process.
    pub fn user_of(&self, shared: u32, offset: u64, only: Option<u32>) -> Option<(u32, &Mapping)> {
        let processes = self.mm.iter().filter(|(pid, _)| only.is_none_or(|only| only == **pid));
        let mut mappings = processes.flat_map(|(pid, memory)| memory.mappings.iter().map(|m| (*pid, m)));
        let maps = |mapping: &Mapping| {
            let size = mapping.range.end.saturating_sub(mapping.range.start);
            self.shared_of(mapping) == Some(shared)
                && offset.checked_sub(mapping.offset).is_some_and(|within| within < size)
        };
        mappings.find(|(_, mapping)| maps(mapping))
    }

    /// Returns the name of the mapping of a process that contains an address.
    pub fn mapping_at(&self, pid: u32, address: u64) -> Option<String> {
        let mappings = &self.memory(pid)?.mappings;
        let mapping = mappings.get(mappings.partition_point(|mapping| mapping.range.end <= address))?;
        mapping.range.contains(&address).then(|| self.mapping_name(pid, mapping))
    }

    /// Returns the ID of the shared memory in a mapping.
    fn shared_of(&self, mapping: &Mapping) -> Option<u32> {
        let shared = mapping.content() == Content::SharedMemory;
        u32::try_from(mapping.object).ok().filter(|_| shared)
    }
}

/// Returns the offset in shared memory and the length of the part of `segment` that `mapping` maps.
fn mapped(mapping: &Mapping, segment: &Segment) -> Option<(u64, u64)> {
    let size = mapping.range.end.checked_sub(mapping.range.start)?;
    let start = segment.address.max(mapping.offset);
    let end = segment.address.checked_add(segment.len)?.min(mapping.offset.checked_add(size)?);
    (start < end).then(|| (start, end - start))
}

fn pages_image(pages_id: u32) -> String {
    format!("pages-{pages_id}.img")
}

#[cfg(test)]
mod tests {
    use super::super::messages::PagemapBlocks;
    use super::*;

    fn run(vaddr: u64, pages: u64, flags: u32) -> PagemapEntry {
        PagemapEntry { vaddr, nr_pages: pages, flags: Some(flags), ..PagemapEntry::default() }
    }

    fn segments(runs: &[PagemapEntry]) -> Vec<(u64, u64, u64)> {
        let mut stored = Stored::default();
        stored.add(Owner::Process(1), runs, 4096);
        stored.segments.iter().map(|s| (s.address, s.offset, s.len)).collect()
    }

    #[test]
    fn consecutive_pages_are_one_segment() {
        let runs = [run(0x1000, 1, 4), run(0x2000, 2, 4), run(0x4000, 9, 1), run(0x9000, 1, 4)];
        assert_eq!(segments(&runs), [(0x1000, 0, 0x3000), (0x9000, 0x3000, 0x1000)]);
    }

    #[test]
    fn compressed_pages_are_counted_and_skipped() {
        let blocks = PagemapBlocks { block_sizes: vec![100], total_payload_size: 100, pages_per_block: 2 };
        let compressed = PagemapEntry { blocks: Some(Box::new(blocks)), ..run(0x1000, 2, 4) };
        let mut stored = Stored::default();
        stored.add(Owner::Process(1), &[compressed, run(0x9000, 1, 4 | 8)], 4096);
        assert_eq!((stored.segments[0].offset, stored.compressed), (0x1000, 0x2000));
    }

    #[test]
    fn forged_runs_do_not_overflow() {
        assert_eq!(segments(&[run(u64::MAX, u64::MAX, 4)]), []);
        assert_eq!(segments(&[run(0x1000, 1, 4), run(u64::MAX - 5, 1, 4)]), [(0x1000, 0, 0x1000)]);
    }

    #[test]
    fn shared_memory_is_a_piece_of_each_process_that_maps_it() {
        let image = |entries: &[&[u8]]| {
            let mut bytes = b"\x19\x43\x56\x54\x25\x40\x08\x56".to_vec();
            for entry in entries {
                bytes.extend_from_slice(&(entry.len() as u32).to_le_bytes());
                bytes.extend_from_slice(entry);
            }
            bytes
        };
        let mut images = Images::default();
        // vma: 0x10000-0x12000, offset 0x1000, object 5, VMA_ANON_SHARED.
        let vma = b"\x72\x0f\x08\x80\x80\x04\x10\x80\xc0\x04\x18\x80\x20\x20\x05\x38\x80\x02";
        let vma = [&vma[..1], &[(vma.len() - 2) as u8], &vma[2..]].concat();
        images.add("mm-7.img", &image(&[&vma])).unwrap();
        // Pages 0 to 2 of shared memory 5 are in pages-3.img.
        images.add("pagemap-shmem-5.img", &image(&[b"\x08\x03", b"\x08\x00\x10\x03\x20\x04"])).unwrap();
        let (pieces, _) = images.pieces(7);
        let piece = Piece { image: "pages-3.img".into(), address: 0x10000, offset: 0x1000, len: 0x2000 };
        assert_eq!(pieces, [piece]);
        assert_eq!(images.stored("pages-3.img").segments[0].owner, Owner::Shared(5));
        assert_eq!(images.user_of(5, 0x1800, None).map(|(pid, _)| pid), Some(7));
        assert_eq!(images.user_of(5, 0x1800, Some(8)), None);
    }
}
