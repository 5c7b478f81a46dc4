//! `--search`, `--dump-memory` and the memory in `--compare`, with the memory of real processes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use golden::{Members, golden};
use harness::bounded::{self, Bounds, Stdin};
use serde_json::Value;
use tartree::{END_OF_ARCHIVE, Entry, Kind, RootName, SparseMap, TarPath, Timestamp};

mod golden;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn run(args: &[&str], archive: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ckpt-unpack")).args(args).arg(archive).output().unwrap()
}

fn said(run: &Output) -> String {
    String::from_utf8_lossy(&run.stderr).into_owned()
}

fn done(run: &Output) -> String {
    assert!(run.status.success(), "{}", said(run));
    assert_eq!(said(run), "");
    String::from_utf8(run.stdout.clone()).unwrap()
}

fn path(name: &str) -> TarPath {
    TarPath::parse(name.as_bytes()).unwrap()
}

fn content<'a>(members: &'a mut Members, name: &str) -> &'a mut Vec<u8> {
    &mut members.iter_mut().find(|(entry, _)| entry.path == path(name)).unwrap().1
}

/// Returns an image with these messages.
fn image(magic: u32, messages: &[&[u8]]) -> Vec<u8> {
    let mut image = [0x5456_4319, magic].map(u32::to_le_bytes).concat();
    for message in messages {
        image.extend_from_slice(&(message.len() as u32).to_le_bytes());
        image.extend_from_slice(message);
    }
    image
}

fn written(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_pattern_is_found_with_process_and_address() {
    for archive in ["g01-basic-none.tar.xz", "g22-image.oci.tar", "g23-handmade-from-runc.tar.xz"] {
        let found = done(&run(&["--search", "HOME=/[a-z]*"], &data(archive)));
        let lines: Vec<Vec<&str>> = found.lines().map(|line| line.split(' ').collect()).collect();
        assert!(lines.iter().any(|words| words[..2] == ["1", "sh"]), "{archive}: {found}");
        assert!(lines.iter().all(|words| words.last().unwrap().starts_with("HOME=/")), "{archive}: {found}");
        let only = done(&run(&["--search", "HOME=/", "--pid", "1"], &data(archive)));
        assert!(only.lines().all(|line| line.starts_with("1 sh ")), "{archive}: {only}");
        // The address is the one from which --dump-memory reads.
        let stack = lines.iter().find(|words| words[1] == "sleep").unwrap();
        let address = u64::from_str_radix(stack[2], 16).unwrap();
        let range = format!("{}:{address:x}-{:x}", stack[0], address + 6);
        assert_eq!(done(&run(&["--dump-memory", &range], &data(archive))), "HOME=/", "{archive}");
    }
    assert_eq!(done(&run(&["--search", "no such text anywhere"], &data("g01-basic-none.tar.xz"))), "");
    let run = run(&["--search", "x", "--pid", "99"], &data("g01-basic-none.tar.xz"));
    assert!(said(&run).ends_with("no process 99\n"), "{}", said(&run));
}

#[test]
fn json_of_a_search_has_context_and_mapping() {
    let args = ["--search", "HOSTNAME", "--context", "4", "--json", "--pid", "1"];
    let found: Value = serde_json::from_str(&done(&run(&args, &data("g01-basic-none.tar.xz")))).unwrap();
    let first = &found["matches"][0];
    assert_eq!(first["mapping"], "[stack]");
    assert_eq!((&first["match"], &first["after"]), (&"HOSTNAME".into(), &"=e13".into()));
    assert!(first["before"].as_str().unwrap().ends_with("\\x00"), "{first}");
    let none: Value = serde_json::from_str(&done(&run(
        &["--search", "nowhere!", "--json"],
        &data("g01-basic-none.tar.xz"),
    )))
    .unwrap();
    assert_eq!(none["matches"], Value::Array(Vec::new()));
}

#[test]
fn all_memory_of_a_process_is_written() {
    let archive = data("g06-bridge.tar.xz");
    let raw = run(&["--dump-memory", "12"], &archive);
    assert_eq!((raw.status.code(), raw.stdout.len()), (Some(0), 64 << 10));
    let dir = tempfile::tempdir().unwrap();
    let mut pages = Vec::new();
    golden(|members| {
        members.iter().for_each(|(entry, bytes)| {
            assert!(entry.path != path("checkpoint/pages-2.img") || *bytes == raw.stdout);
        })
    });
    pages.extend_from_slice(&raw.stdout);
    let hex = done(&run(&["--dump-memory", "12", "--hex"], &archive));
    let rows: Vec<_> = hex.lines().filter(|line| *line != "*").collect();
    let (end, rows) = rows.split_last().unwrap();
    assert!(end.len() == 12 && u64::from_str_radix(end, 16).is_ok(), "{hex}");
    let is_row = |row: &str| row.len() == 12 || (row.len() >= 64 && row.ends_with('|'));
    assert!(rows.iter().all(|row| is_row(row)), "{hex}");
    // In this archive, the pages precede the images that locate them.
    let moved = written(
        &dir,
        "moved",
        &golden(|members| {
            let at =
                members.iter().position(|(entry, _)| entry.path == path("checkpoint/pages-2.img")).unwrap();
            let pages = members.remove(at);
            members.insert(0, pages);
        }),
    );
    assert_eq!(run(&["--dump-memory", "12"], &moved).stdout, pages);
    let wrong = run(&["--dump-memory", "5"], &archive);
    assert!(said(&wrong).ends_with("no memory of process 5, the processes are 1, 12\n"), "{}", said(&wrong));
    let hole = run(&["--dump-memory", "12:1000-2000"], &archive);
    assert!(said(&hole).contains("process 12 has no mapping at 0x1000\nhint: "), "{}", said(&hole));
    // The range continues after the last page of the mapping that is in the images.
    let longer = run(&["--dump-memory", "12:5f0000-5f7000"], &archive);
    assert_eq!((longer.status.code(), longer.stdout.len()), (Some(3), 0x7000));
    assert!(said(&longer).contains("bytes of the range are not in the images and are written as zeros"));
}

#[test]
fn shared_memory_belongs_to_the_process_that_maps_it() {
    let mut shared = vec![0; 3 * 4096];
    shared[0x1800..0x1806].copy_from_slice(b"secret");
    let archive = golden(|members| {
        // vma.proto: 0x10000-0x12000, offset 0x1000, shared memory 5, VMA_ANON_SHARED.
        let vma = b"\x08\x80\x80\x04\x10\x80\xc0\x04\x18\x80\x20\x20\x05\x38\x80\x02";
        let mapping = [&[0x72, vma.len() as u8][..], vma].concat();
        *content(members, "checkpoint/mm-12.img") = image(0x5749_2820, &[&mapping]);
        let add = |members: &mut Members, name: &str, bytes: Vec<u8>| {
            let entry = Entry::file(path(name), bytes.len() as u64, 0o600, Timestamp::default());
            members.push((entry, bytes));
        };
        let pagemap = image(0x5608_4025, &[b"\x08\x03", b"\x08\x00\x10\x03\x20\x04"]);
        add(members, "checkpoint/pagemap-shmem-5.img", pagemap);
        add(members, "checkpoint/pages-3.img", shared.clone());
    });
    let dir = tempfile::tempdir().unwrap();
    let archive = written(&dir, "shared", &archive);
    let found = done(&run(&["--search", "secret"], &archive));
    assert_eq!(found, "12 sleep 10800 [shared memory]: secret\n");
    assert_eq!(done(&run(&["--dump-memory", "12:10800-10806"], &archive)), "secret");
}

#[test]
fn memory_that_cannot_be_read_is_reported() {
    let archive = golden(|members| {
        let runs: [&[u8]; 3] =
            [b"\x08\x02", b"\x08\x80\x80\x80\x03\x10\x01\x20\x01", b"\x08\x80\xe0\xf7\x02\x10\x10\x20\x04"];
        *content(members, "checkpoint/pagemap-12.img") = image(0x5608_4025, &runs);
        let vma = b"\x08\x80\x80\x80\x03\x10\x80\xa0\x80\x03\x38\x80\x04";
        *content(members, "checkpoint/mm-12.img") =
            image(0x5749_2820, &[&[&[0x72, vma.len() as u8][..], vma].concat()]);
    });
    let dir = tempfile::tempdir().unwrap();
    let delta = written(&dir, "delta", &archive);
    for args in [&["--search", "x"][..], &["--dump-memory", "12"]] {
        let run = run(args, &delta);
        assert_eq!(run.status.code(), Some(3), "{}", said(&run));
        let warning = "process 12: 4.0 KiB of memory are not read, they are in the base or pre-checkpoint";
        assert!(said(&run).contains(warning), "{}", said(&run));
    }
    let cut = golden(|members| content(members, "checkpoint/pages-2.img").truncate(5000));
    let cut = written(&dir, "cut", &cut);
    for args in [&["--search", "x"][..], &["--dump-memory", "12"]] {
        let run = run(args, &cut);
        assert_eq!(run.status.code(), Some(1));
        assert!(
            said(&run).contains("checkpoint/pages-2.img: ends before the memory at 0x"),
            "{}",
            said(&run)
        );
    }
}

#[test]
fn memory_without_its_images_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let without = |name: &str| {
        let bytes = golden(|members| members.retain(|(entry, _)| entry.path != path(name)));
        written(&dir, &name.replace('/', "-"), &bytes)
    };
    let shared = golden(|members| {
        let pagemap = content(members, "checkpoint/pagemap-12.img");
        // The number of the pages image.
        assert_eq!(pagemap[12..14], [8, 2]);
        pagemap[13] = 1;
    });
    let shared = written(&dir, "shared", &shared);
    let pages = without("checkpoint/pages-2.img");
    let pagemap = without("checkpoint/pagemap-12.img");
    for (archive, args, warning) in [
        (
            &pages,
            &["--search", "x"][..],
            "process 12: 64.0 KiB of memory are not read, checkpoint/pages-2.img is not",
        ),
        (&pages, &["--search", "x", "--pid", "12"], "checkpoint/pages-2.img is not in the archive"),
        (
            &pages,
            &["--dump-memory", "12"],
            "64.0 KiB of memory are not read, checkpoint/pages-2.img is not in",
        ),
        (&pagemap, &["--search", "x", "--pid", "12"], "checkpoint/pagemap-12.img is not in the archive"),
        (&pagemap, &["--dump-memory", "12"], "checkpoint/pagemap-12.img is not in the archive"),
        (&shared, &["--search", "x"], "several pagemaps claim the same part of an image"),
    ] {
        let run = run(args, archive);
        assert_eq!(run.status.code(), Some(3), "{args:?}: {}", said(&run));
        assert!(said(&run).contains(warning), "{args:?}: {}", said(&run));
    }
    // The other process is complete.
    done(&run(&["--search", "x", "--pid", "1"], &pages));
}

#[test]
fn a_range_ends_where_its_mappings_end() {
    let run = run(&["--dump-memory", "12:5f0000-ffffffffffffffff", "--hex"], &data("g06-bridge.tar.xz"));
    assert_eq!((run.status.code(), run.stdout.len()), (Some(1), 0));
    assert!(said(&run).contains("process 12 has no mapping at 0x"), "{}", said(&run));
    assert!(said(&run).contains("\nhint: --dump-memory 12:5f0000-"), "{}", said(&run));
}

#[test]
fn memory_that_an_image_cannot_hold_is_an_error() {
    let archive = golden(|members| {
        let pagemap = content(members, "checkpoint/pagemap-12.img");
        // 2^30 pages at an address that the other archive does not have.
        let run = b"\x08\x80\x80\x80\x80\x80\x80\x20\x10\x80\x80\x80\x80\x04\x20\x04";
        pagemap.extend_from_slice(&(run.len() as u32).to_le_bytes());
        pagemap.extend_from_slice(run);
    });
    let dir = tempfile::tempdir().unwrap();
    let archive = written(&dir, "forged", &archive);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"));
    let run = command.arg("--compare").args([&data("g06-bridge.tar.xz"), &archive]).output().unwrap();
    assert_eq!(run.status.code(), Some(1), "{}", said(&run));
    assert!(said(&run).contains("checkpoint/pages-2.img: ends before the memory at 0x"), "{}", said(&run));
}

#[test]
fn holes_in_images_take_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let archive = |name: &str, found: &[u8]| {
        // 2^30 pages, of which the first and the last one have data.
        const SIZE: u64 = 4 << 40;
        let run: &[u8] = b"\x08\x80\x80\x80\x80\x80\x80\x20\x10\x80\x80\x80\x80\x04\x20\x04";
        let mut bytes = golden(|members| {
            members.retain(|(entry, _)| entry.path != path("checkpoint/pages-2.img"));
            *content(members, "checkpoint/pagemap-12.img") = image(0x5608_4025, &[b"\x08\x02", run]);
        });
        bytes.truncate(bytes.len() - END_OF_ARCHIVE.len());
        let mut pages = Entry::file(path("checkpoint/pages-2.img"), SIZE, 0o600, Timestamp::default());
        let map = SparseMap(vec![(0, 4096), (SIZE - 4096, 4096)]);
        pages.kind = Kind::File { size: SIZE, map: Some(map) };
        tartree::encode(&mut bytes, &pages, RootName::Dot);
        let mut data = [b'.'; 8192];
        data[4000..4000 + found.len()].copy_from_slice(found);
        data[8192 - found.len()..].copy_from_slice(found);
        bytes.extend_from_slice(&data);
        bytes.extend_from_slice(&END_OF_ARCHIVE);
        written(&dir, name, &bytes)
    };
    let (a, b) = (archive("a", b"needle"), archive("b", b"beetle"));
    let bounds = Bounds { cpu: Duration::from_secs(20), hang: Duration::from_secs(120), memory: 64 << 20 };
    let with = |args: &[&str], files: &[&Path], code: i32| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"));
        command.args(args).args(files).stderr(Stdio::piped());
        let run = bounded::run(command, Stdin::Empty, &bounds);
        assert_eq!(
            (run.breaks("ckpt-unpack", &bounds), run.code),
            (Vec::new(), Some(code)),
            "{}",
            run.stderr
        );
        (String::from_utf8_lossy(&run.stdout).into_owned(), run.stderr)
    };
    let (compared, _) = with(&["--compare"], &[&a, &b], 0);
    assert!(compared.contains("  12 sleep: 1073741822 pages equal (4.0 TiB), 2 pages changed"), "{compared}");
    let (found, _) = with(&["--search", "needle", "--pid", "12"], &[&a], 0);
    assert_eq!(found.lines().count(), 2, "{found}");
    // A pattern that matches zeros is not found in the middle of a hole.
    let (_, said) = with(&["--search", "\\x00+", "--pid", "12"], &[&a], 3);
    assert!(said.contains("of zeros in holes are not searched"), "{said}");
}

#[test]
fn two_checkpoints_are_compared() {
    let (a, b) = (data("g01-basic-none.tar.xz"), data("g06-bridge.tar.xz"));
    let compare = |args: &[&str], a: &Path, b: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"));
        done(&command.args(args).arg("--compare").args([a, b]).output().unwrap())
    };
    let text = compare(&[], &a, &b);
    let namespace = "/run/netns/netns-4baf690d-1a56-cfcb-79a3-e85398d4de73";
    for line in [
        "container",
        &format!("  ~ network namespace: its own -> {namespace}"),
        &format!("  + linux.namespaces[1].path: {namespace}"),
        // The values of the environment are never printed.
        "environment",
        "  ~ 1 HOSTNAME",
        "  ~ hostname: e1366e27f001 -> 5e027cf751dd",
        "  ~ checkpoint: 173.8 KiB -> 170.1 KiB",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let equal = compare(&[], &a, &a);
    assert!(
        equal.contains("  1 sh: 18 pages equal (72.0 KiB)\n  12 sleep: 17 pages equal (68.0 KiB)\n"),
        "{equal}"
    );
    assert!(
        equal.contains(
            "Equal: container, processes, open files, sockets, mounts, environment, spec, members,"
        )
    );

    // One page of process 12 changes, and one is new.
    let dir = tempfile::tempdir().unwrap();
    let before = written(&dir, "before", &golden(|_| ()));
    let after = golden(|members| {
        content(members, "checkpoint/pages-2.img")[4096 * 3 + 7] ^= 1;
        let pages = content(members, "checkpoint/pages-2.img");
        pages.extend_from_slice(&[1; 4096]);
        let pagemap = content(members, "checkpoint/pagemap-12.img");
        // A page at the largest address of this process and above.
        let run = b"\x08\x80\x80\x80\x80\x80\x80\x20\x10\x01\x20\x04";
        pagemap.extend_from_slice(&(run.len() as u32).to_le_bytes());
        pagemap.extend_from_slice(run);
    });
    let after = written(&dir, "after", &after);
    let document: Value = serde_json::from_str(&compare(&["--json"], &before, &after)).unwrap();
    let memory = &document["memory"]["processes"][1];
    assert_eq!(
        memory,
        &serde_json::json!({ "pid": 12, "command": "sleep", "equal": 15, "changed": 1, "new": 1, "gone": 0, "not_compared": 0 })
    );
    assert_eq!(document["members"][0]["name"], "checkpoint");
    assert_eq!(document["environment"], Value::Array(Vec::new()));
}

/// Writes the golden archive with 192 MiB of memory, as holes, for process 12.
fn large(file: &Path) {
    const PAGES: u64 = 48 << 10;
    let mut bytes = golden(|members| {
        members.retain(|(entry, _)| entry.path != path("checkpoint/pages-2.img"));
        let run: &[u8] = b"\x08\x80\x80\x80\x80\x80\x02\x10\x80\x80\x03\x20\x04";
        *content(members, "checkpoint/pagemap-12.img") = image(0x5608_4025, &[b"\x08\x02", run]);
    });
    bytes.truncate(bytes.len() - END_OF_ARCHIVE.len());
    let pages = Entry::file(path("checkpoint/pages-2.img"), PAGES * 4096, 0o600, Timestamp::default());
    tartree::encode(&mut bytes, &pages, RootName::Dot);
    let mut out = fs::File::create(file).unwrap();
    out.write_all(&bytes).unwrap();
    out.set_len(bytes.len() as u64 + PAGES * 4096 + END_OF_ARCHIVE.len() as u64).unwrap();
}

#[test]
fn the_size_of_the_memory_does_not_change_the_memory_used() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    large(&a);
    large(&b);
    let bounds = Bounds { cpu: Duration::from_secs(60), hang: Duration::from_secs(300), memory: 48 << 20 };
    let with = |args: &[&str], files: &[&Path]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"));
        command.args(args).args(files).stderr(Stdio::piped());
        let run = bounded::run(command, Stdin::Empty, &bounds);
        assert_eq!(
            (run.breaks("ckpt-unpack", &bounds), run.code),
            (Vec::new(), Some(0)),
            "{args:?}: {}",
            run.stderr
        );
        String::from_utf8_lossy(&run.stdout).into_owned()
    };
    assert!(with(&["--compare"], &[&a, &b]).contains("  12 sleep: 49152 pages equal (192.0 MiB)\n"));
    assert_eq!(with(&["--search", "z{3}", "--pid", "12"], &[&a]), "");
}
