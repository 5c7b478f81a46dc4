//! The filter of the final dump, with images whose pages differ from the predicted pages.

use std::io::Read;
use std::os::unix::fs::FileExt;

use super::*;
use crate::criu::pagemap::{IN_PARENT, LAZY, PRESENT, PagemapReader, PagemapWriter, Run};
use crate::error::Result;

const FIRST: u64 = 0x10_0000;

/// The content of a page: zeros for 0.
fn page(content: u32) -> Vec<u8> {
    content.to_le_bytes().repeat(PAGE_SIZE / 4)
}

/// A final dump. Pages are numbered from the address `FIRST`.
struct Dump {
    /// The contents that the receiver has.
    held: Vec<u32>,
    predicted: Vec<PageRun>,
    /// The pages of the process: number and content.
    pages: Vec<(u64, u32)>,
    /// The pages that CRIU does not dump.
    not_dumped: Vec<(u64, u32)>,
}

impl Dump {
    /// A dump in which the receiver has page N with the content N + 100, and nothing changed.
    fn new(pages: u32) -> Dump {
        let run = PageRun { vaddr: FIRST, pages: pages.into(), anonymous: true };
        let held = (100..100 + pages).collect();
        let pages = (0..pages).map(|n| (n.into(), n + 100)).collect();
        Dump { held, predicted: vec![run], pages, not_dumped: Vec::new() }
    }

    /// Returns the pages that were sent, and the runs of the new pagemap with page numbers.
    fn run(&self) -> Result<(u64, Vec<u32>, Vec<Run>)> {
        let key = Key::random().unwrap();
        let held = |(number, content): (u64, &u32)| {
            let digest = key.digest(&page(*content));
            IndexedPage { address: FIRST + number * PAGE, digest }
        };
        let held: Vec<_> = (0..).zip(&self.held).filter(|(_, content)| **content != 0).map(held).collect();
        let bytes: Vec<u8> = self.pages.iter().flat_map(|(_, content)| page(*content)).collect();
        // The memory of the process, at offsets instead of addresses.
        let file = tempfile::tempfile().unwrap();
        for (number, content) in self.pages.iter().chain(&self.not_dumped) {
            file.write_all_at(&page(*content), FIRST + number * PAGE).unwrap();
        }
        let image = Image {
            key: &key,
            held: &held,
            predicted: Predicted::new(&self.predicted),
            memory: &Memory::File(file),
        };
        let mut decisions = Decisions::default();
        let mut filter = PageFilter::new(image, ImageSource(&bytes[..]), |page| {
            decisions.add(page);
            Ok(())
        });
        let size = filter.size().unwrap();
        let mut sent = Vec::new();
        filter.read_to_end(&mut sent).unwrap();
        filter.finish().unwrap();
        let sent = sent.chunks(PAGE_SIZE).map(|page| u32::from_le_bytes(page[..4].try_into().unwrap()));
        let sent: Vec<u32> = sent.collect();
        let mut pagemap = PagemapWriter::new(Vec::new(), 1).unwrap();
        for (number, _) in &self.pages {
            let run = Run { vaddr: FIRST + number * PAGE, pages: 1, flags: PRESENT | LAZY };
            pagemap.add(run).unwrap();
        }
        let pagemap = pagemap.finish().unwrap();
        let predicted = Predicted::new(&self.predicted);
        let marked = mark_held("pagemap-1.img", &pagemap[..], &decisions, &held, &predicted, Vec::new())?;
        let mut reader = PagemapReader::new("pagemap-1.img", &marked[..]).unwrap();
        let mut runs = Vec::new();
        while let Some(run) = reader.next().unwrap() {
            assert_eq!(run.vaddr % PAGE, 0);
            runs.push(Run { vaddr: (run.vaddr - FIRST) / PAGE, ..run });
        }
        Ok((size / PAGE, sent, runs))
    }
}

fn sent(vaddr: u64, pages: u64) -> Run {
    Run { vaddr, pages, flags: PRESENT | LAZY }
}

fn held(vaddr: u64, pages: u64) -> Run {
    Run { vaddr, pages, flags: IN_PARENT }
}

#[test]
fn only_changed_pages_are_sent() {
    let mut dump = Dump::new(1000);
    assert_eq!(dump.run().unwrap(), (0, vec![], vec![held(0, 1000)]));
    dump.pages[7].1 = 1;
    dump.pages[999].1 = 2;
    let runs = vec![held(0, 7), sent(7, 1), held(8, 991), sent(999, 1)];
    assert_eq!(dump.run().unwrap(), (2, vec![1, 2], runs));
}

#[test]
fn zero_pages_are_neither_sent_nor_listed() {
    let mut dump = Dump::new(10);
    dump.pages[4].1 = 0;
    assert_eq!(dump.run().unwrap(), (0, vec![], vec![held(0, 4), held(5, 5)]));
    // A zero page of a private mapping of a file replaces the file's content.
    dump.predicted[0].anonymous = false;
    assert_eq!(dump.run().unwrap(), (1, vec![0], vec![held(0, 4), sent(4, 1), held(5, 5)]));
}

#[test]
fn pages_that_were_not_predicted_shift_the_others() {
    let mut dump = Dump::new(100);
    dump.pages.insert(0, (0, 1));
    dump.pages.iter_mut().skip(1).for_each(|(number, _)| *number += 1);
    dump.held.insert(0, 0);
    dump.predicted[0] = PageRun { vaddr: FIRST + PAGE, ..dump.predicted[0] };
    assert_eq!(dump.run().unwrap(), (1, vec![1], vec![sent(0, 1), held(1, 100)]));
}

#[test]
fn predicted_pages_that_are_missing_shift_the_others() {
    let mut dump = Dump::new(100);
    dump.not_dumped = vec![dump.pages.remove(50), dump.pages.remove(70)];
    let runs = vec![held(0, 50), held(51, 20), held(72, 28)];
    assert_eq!(dump.run().unwrap(), (0, vec![], runs));
}

#[test]
fn an_equal_page_at_another_address_is_not_left_out() {
    // The receiver has the new content of page 3 only at the address of page 4, which vanished.
    let mut dump = Dump::new(10);
    dump.pages.remove(4);
    dump.pages[3].1 = 104;
    assert_eq!(dump.run().unwrap(), (1, vec![104], vec![held(0, 3), sent(3, 1), held(5, 5)]));
    // The addresses of the pages are not those that were predicted.
    let mut dump = Dump::new(10);
    dump.not_dumped = dump.pages.split_off(5);
    dump.pages.iter_mut().for_each(|(number, _)| *number += 3);
    let error = dump.run().unwrap_err().to_string();
    assert!(error.contains("was left out, but the receiver does not have it"), "{error}");
}

#[test]
fn a_dropped_page_must_be_anonymous_at_its_true_address() {
    let mut dump = Dump::new(10);
    dump.pages[4] = (4, 0);
    dump.pages.truncate(5);
    dump.pages[4].0 = 12;
    let error = dump.run().unwrap_err().to_string();
    assert!(error.contains("was left out"), "{error}");
}

#[test]
fn more_pages_than_are_kept_are_counted_beforehand() {
    let pages = 20_000;
    let mut dump = Dump::new(pages);
    dump.pages.iter_mut().for_each(|(_, content)| *content += 1_000_000);
    dump.pages[15_000].1 = 15_100;
    let (size, sent, runs) = dump.run().unwrap();
    assert_eq!((sent.len(), runs.len()), (19_999, 3));
    assert_eq!(size, 19_999);
}

#[test]
fn an_image_that_does_not_match_its_pagemap_is_rejected() {
    let mut decisions = Decisions::default();
    (0..3).for_each(|n| {
        decisions.add(Page { address: FIRST + n * PAGE, fate: Fate::Sent, digest: Digest::default() });
    });
    let mark = |runs: &[Run]| {
        let mut pagemap = PagemapWriter::new(Vec::new(), 1).unwrap();
        runs.iter().for_each(|run| pagemap.add(*run).unwrap());
        let pagemap = pagemap.finish().unwrap();
        let predicted = Predicted::new(&[]);
        mark_held("pagemap-1.img", &pagemap[..], &decisions, &[], &predicted, Vec::new())
            .map(drop)
            .map_err(|e| e.to_string())
    };
    let run = |pages, flags| Run { vaddr: FIRST, pages, flags };
    assert_eq!(mark(&[run(3, PRESENT)]), Ok(()));
    for (runs, message) in [
        ([run(2, PRESENT)], "announces fewer pages than CRIU wrote"),
        ([run(4, PRESENT)], "announces more pages than CRIU wrote"),
        ([run(3, IN_PARENT)], "has pages in the images of a pre-dump"),
    ] {
        let error = mark(&runs).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn equal_pages_may_be_held_at_other_addresses_than_predicted() {
    // The page at the first predicted address vanished, and all pages have the same content.
    let mut dump = Dump::new(10);
    dump.held.fill(7);
    dump.pages.iter_mut().for_each(|(_, content)| *content = 7);
    dump.not_dumped = vec![dump.pages.remove(0)];
    assert_eq!(dump.run().unwrap(), (0, vec![], vec![held(1, 9)]));
    // The page at the true address of the last page has another content.
    dump.held[9] = 8;
    let error = dump.run().unwrap_err().to_string();
    assert!(error.contains("the page at 0x109000 was left out"), "{error}");
}

#[test]
fn a_run_of_the_pagemap_is_divided_by_what_happened_to_its_pages() {
    let key = Key::random().unwrap();
    let digest = key.digest(&page(1));
    let pages: Vec<_> = (0..9).map(|n| IndexedPage { address: FIRST + n * PAGE, digest }).collect();
    let mut decisions = Decisions::default();
    let fates = [Fate::Held, Fate::Held, Fate::Sent, Fate::Sent, Fate::Sent, Fate::Dropped, Fate::Dropped];
    for (n, fate) in (0..).zip(fates.into_iter().chain([Fate::Held; 2])) {
        decisions.add(Page { address: FIRST + n * PAGE, fate, digest });
    }
    for (fate, count) in [(Fate::Held, 4), (Fate::Sent, 3), (Fate::Dropped, 2)] {
        assert_eq!(decisions.count(fate), count);
    }
    let mut pagemap = PagemapWriter::new(Vec::new(), 1).unwrap();
    // The first two pages, which have the same fate, are in different runs.
    pagemap.add(Run { vaddr: FIRST, pages: 1, flags: PRESENT }).unwrap();
    pagemap.add(Run { vaddr: FIRST + PAGE, pages: 8, flags: PRESENT | LAZY }).unwrap();
    let pagemap = pagemap.finish().unwrap();
    let predicted = [PageRun { vaddr: FIRST, pages: 9, anonymous: true }];
    let predicted = Predicted::new(&predicted);
    let marked =
        mark_held("pagemap-1.img", &pagemap[..], &decisions, &pages, &predicted, Vec::new()).unwrap();
    let mut reader = PagemapReader::new("pagemap-1.img", &marked[..]).unwrap();
    for (number, pages, flags) in [(0, 2, IN_PARENT), (2, 3, PRESENT | LAZY), (7, 2, IN_PARENT)] {
        assert_eq!(reader.next().unwrap(), Some(Run { vaddr: FIRST + number * PAGE, pages, flags }));
    }
    assert_eq!(reader.next().unwrap(), None);
}

#[test]
fn the_end_of_a_filter_decides_about_all_pages() {
    let key = Key::random().unwrap();
    let bytes: Vec<u8> = (1..=1000).flat_map(page).collect();
    let memory = Memory::File(tempfile::tempfile().unwrap());
    let image = Image { key: &key, held: &[], predicted: Predicted::new(&[]), memory: &memory };
    let mut decisions = Decisions::default();
    let filter = PageFilter::new(image, ImageSource(&bytes[..]), |page| {
        decisions.add(page);
        Ok(())
    });
    filter.finish().unwrap();
    assert_eq!(decisions.count(Fate::Sent), 1000);
}

#[test]
fn a_limit_leaves_the_old_content_of_further_pages() {
    let key = Key::random().unwrap();
    let file = tempfile::tempfile().unwrap();
    (0..10).for_each(|n| file.write_all_at(&page(n + 1), u64::from(n) * PAGE).unwrap());
    let memory = Memory::File(file);
    let runs = [PageRun { vaddr: 0, pages: 10, anonymous: true }];
    // The receiver has the pages 1 to 5, and page 3 has not changed.
    let digest = |n: u32| key.digest(&page(if n == 3 { 4 } else { 100 }));
    let held: Vec<_> =
        (1..6).map(|n| IndexedPage { address: u64::from(n) * PAGE, digest: digest(n) }).collect();
    for limit in 0..9 {
        let predicted = Predicted::new(&runs);
        let image = Image { key: &key, held: &held, predicted, memory: &memory };
        let mut fates = Vec::new();
        let mut filter = PageFilter::new(image, MemoryReader::new(&memory, &runs, 0), |page| {
            fates.push(page.fate);
            Ok(())
        });
        // A limit within a page leaves out this page.
        filter.limit(limit * PAGE + PAGE / 2);
        assert!(!filter.is_complete());
        let mut sent = Vec::new();
        filter.read_to_end(&mut sent).unwrap();
        assert!(filter.is_complete());
        drop(filter);
        assert_eq!(sent.len() as u64, limit * PAGE);
        let mut left = limit;
        for (number, fate) in fates.into_iter().enumerate() {
            let expected = match number {
                3 => Fate::Held,
                _ if left > 0 => Fate::Sent,
                1..6 => Fate::Held,
                _ => Fate::Dropped,
            };
            assert_eq!(fate, expected, "{limit} {number}");
            left -= u64::from(expected == Fate::Sent);
        }
    }
}

#[test]
fn an_image_is_read_in_pages_despite_interruptions() {
    use std::io::{Error, ErrorKind};

    /// Returns these parts of a stream of ones, one after another.
    struct Parts(Vec<std::result::Result<usize, ErrorKind>>);

    impl Read for Parts {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            match self.0.pop().unwrap_or(Ok(0)) {
                Ok(bytes) => {
                    buf[..bytes].fill(1);
                    Ok(bytes)
                }
                Err(kind) => Err(Error::from(kind)),
            }
        }
    }

    let interrupted = Err(ErrorKind::Interrupted);
    for (parts, expected) in [
        (vec![], Ok(0)),
        (vec![Ok(PAGE_SIZE)], Ok(1)),
        (vec![Ok(3), interrupted, interrupted, Ok(PAGE_SIZE - 3), Ok(PAGE_SIZE)], Ok(2)),
        (vec![Ok(PAGE_SIZE + 1)], Err(ErrorKind::UnexpectedEof)),
        (vec![Ok(PAGE_SIZE), Err(ErrorKind::PermissionDenied)], Err(ErrorKind::PermissionDenied)),
    ] {
        let mut source = ImageSource(Parts(parts.into_iter().rev().collect()));
        let mut buffer = vec![0; 4 * PAGE_SIZE];
        let read = source.read(&mut buffer, &mut vec![7]).map_err(|e| e.kind());
        assert_eq!(read, expected);
        if let Ok(pages) = read {
            assert!(buffer[..pages * PAGE_SIZE].iter().all(|&byte| byte == 1));
        }
    }
}
