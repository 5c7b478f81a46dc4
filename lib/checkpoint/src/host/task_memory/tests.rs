//! The pages that CRIU dumps, by the files of a process in /proc.

use std::io::Write;

use super::*;

#[test]
fn lines_of_maps_are_parsed() {
    let line = "7f00-8f00 rw-s 00000000 00:01 1030 /memfd:a b (deleted)";
    let name = "/memfd:a b (deleted)";
    let parsed = Line { start: 0x7f00, end: 0x8f00, is_executable: false, is_shared: true, name };
    assert_eq!(Line::parse(line), Some(parsed));
    assert_eq!(
        Line::parse("7f00-8f00 r-xp 0 00:00 0").map(|line| (line.is_executable, line.name)),
        Some((true, ""))
    );
    for bad in ["", "x", "8f00-7f00 r-xp 0 00:00 0", "zz-8f00 r-xp 0 00:00 0", "7f00 r-xp"] {
        assert_eq!(Line::parse(bad), None, "{bad}");
    }
}

#[test]
fn each_mapping_has_its_kind() {
    let line = |name, is_shared| Line { start: 0, end: 1, is_executable: false, is_shared, name };
    for (name, is_shared, kind) in [
        ("", false, Some(Kind::Anonymous)),
        ("[heap]", false, Some(Kind::Anonymous)),
        ("[anon:x]", false, Some(Kind::Anonymous)),
        ("/lib/libc.so", false, Some(Kind::File)),
        ("/lib/libc.so", true, None),
        ("[vdso]", false, Some(Kind::Vdso)),
        ("[vvar_vclock]", false, None),
        ("[vsyscall]", false, None),
        ("/[aio] (deleted)", true, Some(Kind::Ring)),
        ("/dev/zero (deleted)", true, None),
    ] {
        assert_eq!(line(name, is_shared).kind(), kind, "{name}");
    }
    assert!(line("/SYSV00000000 (deleted)", true).is_shared_memory());
    assert!(!line("/memfd:x (deleted)", false).is_shared_memory());
}

#[test]
fn a_mapping_without_pages_is_not_a_line() {
    assert_eq!(Line::parse("7f00-7f00 r-xp 0 00:00 0"), None);
    let line = Line::parse("7f00-7f01 r-xp 0 00:00 0").map(|line| (line.start, line.end));
    assert_eq!(line, Some((0x7f00, 0x7f01)));
}

/// The frame of the zero page, and of another page.
const ZERO: u64 = 7;
const OTHER: u64 = 5;

#[test]
fn the_entry_of_a_page_decides_whether_criu_dumps_it() {
    use Kind::{Anonymous, File, Ring, Vdso};
    let of = |kind, entry, pages| {
        let mapping = Mapping { start: 0, end: PAGE, kind, poked: false };
        mapping.has(entry, ZERO, pages)
    };
    for (kind, entry, dumped) in [
        (Anonymous, 0, false),
        (Anonymous, OTHER, false),
        (Anonymous, PRESENT | OTHER, true),
        (Anonymous, PRESENT | FILE | OTHER, true),
        (Anonymous, PRESENT | ZERO, false),
        (Anonymous, PRESENT | SOFT_DIRTY | ZERO, false),
        (Anonymous, SWAPPED | OTHER, true),
        // The place of a page in the swap is not a frame.
        (Anonymous, SWAPPED | ZERO, true),
        (Anonymous, GUARD, false),
        (Anonymous, PRESENT | GUARD | OTHER, false),
        (Anonymous, SWAPPED | GUARD, false),
        (File, 0, false),
        (File, PRESENT | FILE | OTHER, false),
        (File, PRESENT | OTHER, true),
        (File, SWAPPED | OTHER, true),
        (File, PRESENT | ZERO, false),
        (File, PRESENT | GUARD | OTHER, false),
        (Ring, 0, false),
        (Ring, OTHER, false),
        (Ring, PRESENT, true),
        (Ring, PRESENT | ZERO, true),
        (Ring, PRESENT | FILE | OTHER, true),
        (Ring, SWAPPED | OTHER, false),
        (Vdso, 0, true),
        (Vdso, PRESENT | ZERO, true),
    ] {
        assert_eq!(of(kind, entry, Pages::All), dumped, "{kind:?} {entry:#x}");
        // Without the bit, the page is in the images of the previous pre-dump.
        let is_dirty = entry & SOFT_DIRTY != 0;
        assert_eq!(of(kind, entry, Pages::SoftDirty), dumped && is_dirty, "{kind:?} {entry:#x}");
        assert_eq!(of(kind, entry | SOFT_DIRTY, Pages::SoftDirty), dumped, "{kind:?} {entry:#x}");
    }
}

#[test]
fn consecutive_pages_are_one_run() {
    for (pages, expected) in [
        (&[][..], &[][..]),
        (&[3], &[(3, 1)]),
        (&[3, 4, 5, 6], &[(3, 4)]),
        (&[0, 1, 2, 4, 5, 9], &[(0, 3), (4, 2), (9, 1)]),
        (&[5, 7, 9], &[(5, 1), (7, 1), (9, 1)]),
        // A page before the last one does not continue its run.
        (&[5, 6, 5], &[(5, 2), (5, 1)]),
    ] {
        for anonymous in [false, true] {
            let mut found = Vec::new();
            let mut add = |run| {
                found.push(run);
                Ok(())
            };
            let mut runs = Runs { open: None, found: &mut add, anonymous };
            pages.iter().for_each(|page| runs.add(page * PAGE).unwrap());
            runs.close().unwrap();
            runs.close().unwrap();
            let run = |&(page, pages)| Run { vaddr: page * PAGE, pages, anonymous };
            assert_eq!(found, expected.iter().map(run).collect::<Vec<_>>(), "{pages:?}");
        }
    }
}

#[test]
fn an_error_of_the_caller_ends_the_runs() {
    let mut fail = |_| Err(io::Error::other("full"));
    let mut runs = Runs { open: None, found: &mut fail, anonymous: true };
    runs.add(0).unwrap();
    assert!(runs.add(2 * PAGE).is_err());
    runs.add(4 * PAGE).unwrap();
    assert!(runs.close().is_err());
}

#[test]
fn only_the_first_executable_mapping_is_changed_by_criu() {
    let pid = std::process::id();
    let memory = TaskMemory::read(pid, Pages::SoftDirty).unwrap();
    assert_eq!((memory.pid, memory.pages), (pid, Pages::SoftDirty));
    let maps = read("/proc/self/maps").unwrap();
    let first = maps.lines().filter_map(Line::parse).find(|line| line.is_executable).unwrap().start;
    let poked: Vec<_> = memory.private.iter().filter(|mapping| mapping.poked).collect();
    assert_eq!(poked.iter().map(|mapping| mapping.start).collect::<Vec<_>>(), [first]);
    assert_eq!(memory.private.iter().filter(|mapping| mapping.kind == Kind::Vdso).count(), 1);
}

#[test]
fn a_process_that_does_not_exist_has_no_memory() {
    let error = TaskMemory::read(u32::MAX, Pages::All).unwrap_err().to_string();
    assert!(error.starts_with("/proc/4294967295/status: "), "{error}");
}

#[test]
#[ignore = "needs root"]
fn the_pages_of_a_process_are_counted() {
    const PAGES: usize = 40;
    let page = usize::try_from(PAGE).unwrap();
    // Bytes other than 0, so that the pages are neither zero pages nor unmapped.
    let memory = vec![1u8; (PAGES + 1) * page];
    let start = (memory.as_ptr().addr() as u64).next_multiple_of(PAGE);
    let (middle, end) = (start + 5 * PAGE, start + PAGES as u64 * PAGE);
    let mapping = |start, end, kind| Mapping { start, end, kind, poked: false };
    // The pages of a vDSO are dumped even if they are not mapped, so they need no memory.
    let vdso = (BATCH as u64 + 3) * PAGE;
    let task = TaskMemory {
        pid: std::process::id(),
        container_pid: 1,
        shared: Vec::new(),
        pages: Pages::All,
        private: vec![
            mapping(0, vdso, Kind::Vdso),
            mapping(start, middle, Kind::Anonymous),
            mapping(middle, end, Kind::Anonymous),
            mapping(middle, end, Kind::File),
            // CRIU writes to the first page, which is then not a page of the file any more.
            Mapping { poked: true, ..mapping(PAGE, 3 * PAGE, Kind::File) },
        ],
    };
    let mut runs = Vec::new();
    task.runs(&mut |run| {
        runs.push((run.vaddr, run.pages, run.anonymous));
        Ok(())
    })
    .unwrap();
    let expected = [
        (0, BATCH as u64 + 3, true),
        (start, 5, true),
        (middle, 35, true),
        (middle, 35, false),
        (PAGE, 1, false),
    ];
    assert_eq!(runs, expected);
    assert_eq!(task.count().unwrap(), expected.iter().map(|run| run.1).sum::<u64>());
    drop(memory);
}

#[test]
fn the_allocated_pages_of_shared_memory_are_runs() {
    let page = usize::try_from(PAGE).unwrap();
    // A page is only a hole if the file system allocates no more than it.
    for (size, written, expected) in [
        (0, &[][..], &[][..]),
        (8 * PAGE, &[], &[]),
        (8 * PAGE, &[0], &[(0, 1)]),
        (64 * PAGE, &[16, 17, 48], &[(16, 2), (48, 1)]),
        (16 * PAGE, &[0, 1, 2, 15], &[(0, 3), (15, 1)]),
        // The last page is not complete.
        (15 * PAGE + 1, &[0], &[(0, 1), (15, 1)]),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for &number in written {
            file.as_file().write_all_at(&vec![1; page], number * PAGE).unwrap();
        }
        if size % PAGE != 0 {
            file.as_file().write_all_at(&[1], size - 1).unwrap();
        }
        file.as_file().set_len(size).unwrap();
        file.flush().unwrap();
        let memory = SharedMemory { inode: 1, path: file.path().into(), allocated: 0 };
        let mut runs = Vec::new();
        memory
            .runs(&mut |run| {
                assert!(run.anonymous);
                runs.push((run.vaddr / PAGE, run.pages));
                Ok(())
            })
            .unwrap();
        assert_eq!(runs, expected, "{size} {written:?}");
    }
}

/// Memory that is never written. It is larger than two pages, so that one page has no other data.
static UNTOUCHED: [std::sync::atomic::AtomicU8; 3 * PAGE as usize] =
    [const { std::sync::atomic::AtomicU8::new(0) }; 3 * PAGE as usize];

#[test]
#[ignore = "needs root"]
fn a_page_that_was_only_read_is_the_zero_page() {
    let start = (UNTOUCHED.as_ptr().addr() as u64).next_multiple_of(PAGE);
    let at = usize::try_from(start - UNTOUCHED.as_ptr().addr() as u64).unwrap();
    assert_eq!(UNTOUCHED[at].load(std::sync::atomic::Ordering::Relaxed), 0);
    let mut entry = [0; 8];
    File::open("/proc/self/pagemap").unwrap().read_exact_at(&mut entry, start / PAGE * 8).unwrap();
    let entry = u64::from_ne_bytes(entry);
    assert!(entry & PRESENT != 0 && entry & FRAME != 0, "{entry:#x}");
    for _ in 0..5 {
        // The allocator may reuse the memory of a block that is freed.
        std::hint::black_box(vec![0u8; 1 << 20]);
        assert_eq!(zero_page().unwrap(), entry & FRAME);
    }
}
