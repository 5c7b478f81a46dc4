//! The rounds of a migration with pre-copy, which follow each other, and the final archive.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use checkpoint::Member;
use checkpoint::archive::ArchiveWriter;
use checkpoint::criu::pagemap::{IN_PARENT, PRESENT, PagemapWriter, Run};
use checkpoint::delta::{Base, Delta, ImagesId};
use tartree::{TarPath, Timestamp};

const TIME: Timestamp = Timestamp { sec: 1_700_000_000, nsec: 0 };

struct TestDir(tempfile::TempDir);

impl TestDir {
    /// Creates the archives of three rounds and of a final dump.
    fn new() -> TestDir {
        let test = TestDir(tempfile::tempdir().unwrap());
        test.write("r1", &round(1, None));
        test.write("r2", &round(2, Some(1)));
        test.write("r3", &round(3, Some(2)));
        test.write("other", &round(7, None));
        test.write("final", &last(Some(3)));
        test.write("full", &last(None));
        test
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Runs ckpt-unpack with the words of `line` in the directory. The archive `< NAME` is read from
    /// a pipe. Returns its messages if it fails.
    fn run(&self, line: &str) -> Result<(), String> {
        let (args, input) = line.split_once(" < ").map_or((line, None), |(args, name)| (args, Some(name)));
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"));
        command.args(args.split_whitespace()).current_dir(self.0.path()).env("NO_COLOR", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        if let Some(name) = input {
            // The program may end before it has read everything.
            let _ = stdin.write_all(&fs::read(self.path(name)).unwrap());
        }
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stderr).unwrap()) }
    }

    fn pages(&self, dir: &str) -> String {
        fs::read_to_string(self.path(dir).join("pages-1.img")).unwrap()
    }

    /// Checks that the bundle `web` holds three rounds, the newest first.
    fn check_rounds(&self) {
        assert_eq!(self.pages("web/pre-checkpoint"), "round 3");
        assert_eq!(self.pages("web/pre-checkpoint/parent"), "round 2");
        assert_eq!(self.pages("web/pre-checkpoint/parent/parent"), "round 1");
        assert!(!self.path("web/pre-checkpoint/parent/parent/parent").exists());
    }

    /// Returns the names of all files in the directory and below.
    fn files(&self) -> Vec<PathBuf> {
        let mut dirs = vec![self.0.path().to_owned()];
        let mut found = Vec::new();
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    dirs.push(path.clone());
                }
                found.push(path);
            }
        }
        found.sort();
        found
    }
}

fn id(number: u8) -> ImagesId {
    ImagesId::random([number; 16])
}

fn base(number: u8) -> Base {
    Base { id: id(number), container: None, checkpointed: None }
}

fn below(dir: fn(TarPath) -> Member, name: &str) -> Member {
    dir(if name.is_empty() { TarPath::root() } else { TarPath::root().child(name.as_bytes()) })
}

fn round(number: u8, before: Option<u8>) -> Vec<u8> {
    let mut writer = ArchiveWriter::new(Vec::new());
    let delta = Delta { encoding: None, id: Some(id(number)), base: before.map(base) };
    writer.dir(&below(Member::PreImages, ""), 0o700, TIME).unwrap();
    writer.small(&below(Member::PreImages, "delta.json"), &delta.write(), TIME).unwrap();
    let pages = format!("round {number}");
    writer.small(&below(Member::PreImages, "pages-1.img"), pages.as_bytes(), TIME).unwrap();
    writer.finish().unwrap()
}

/// Returns an archive whose pages are in a round, or a complete archive.
fn last(before: Option<u8>) -> Vec<u8> {
    let delta = before.map(|before| Delta { encoding: None, id: None, base: Some(base(before)) });
    last_with(delta, before.is_some(), &[])
}

fn last_with(delta: Option<Delta>, has_link: bool, pagemap: &[u8]) -> Vec<u8> {
    let mut writer = ArchiveWriter::new(Vec::new());
    writer.dir(&below(Member::Images, ""), 0o700, TIME).unwrap();
    if let Some(delta) = delta {
        writer.small(&below(Member::Images, "delta.json"), &delta.write(), TIME).unwrap();
    }
    if !pagemap.is_empty() {
        writer.small(&below(Member::Images, "pagemap-1.img"), pagemap, TIME).unwrap();
    }
    if has_link {
        writer.parent(&below(Member::Images, "parent"), TIME).unwrap();
    }
    writer.small(&Member::ConfigDump, br#"{"id":"x","name":"web"}"#, TIME).unwrap();
    writer.small(&Member::SpecDump, br#"{"ociVersion":"1.0.2"}"#, TIME).unwrap();
    writer.small(&below(Member::Images, "inventory.img"), b"inventory", TIME).unwrap();
    writer.finish().unwrap()
}

#[test]
fn rounds_are_added_to_the_bundle_and_the_final_archive_refers_to_them() {
    let test = TestDir::new();
    for line in ["--bundle web r1", "--bundle web < r2", "--bundle web --fsync r3"] {
        test.run(line).unwrap();
    }
    test.check_rounds();
    test.run("--bundle web --previous web < final").unwrap();
    test.check_rounds();
    assert_eq!(fs::read_link(test.path("web/checkpoint/parent")).unwrap(), Path::new("../pre-checkpoint"));
    assert!(!test.files().iter().any(|path| path.to_string_lossy().contains(".ckpt-unpack")));
}

#[test]
fn a_final_archive_without_previous_uses_the_rounds_of_the_bundle() {
    let test = TestDir::new();
    for line in ["--bundle web r1", "--bundle web r2", "--bundle web r3", "--bundle web final"] {
        test.run(line).unwrap();
    }
}

#[test]
fn several_rounds_are_unpacked_together_with_the_final_archive() {
    for last in ["final", "< final"] {
        let test = TestDir::new();
        test.run(&format!("--bundle web --previous r1 --previous r2 --previous r3 {last}")).unwrap();
        test.check_rounds();
        assert!(test.path("web/checkpoint/parent").is_symlink());
    }
}

#[test]
fn a_complete_archive_is_unpacked_next_to_rounds() {
    let test = TestDir::new();
    test.run("--bundle web r1").unwrap();
    test.run("--bundle web full").unwrap();
    assert!(test.path("web/checkpoint/inventory.img").exists());
}

#[test]
fn rounds_of_another_order_or_migration_are_rejected_before_anything_is_written() {
    let not_next = "of another migration, or not the next round";
    for (before, line, message) in [
        ("", "--bundle web r2", "the round before it is missing"),
        ("r1", "--bundle web r3", not_next),
        ("r1", "--bundle web < r3", not_next),
        ("r1", "--bundle web other", "the first round of a migration, cannot follow"),
        ("r1", "--bundle web r1", "the first round of a migration, cannot follow"),
        ("r1 r2", "--bundle web --shm shm < r3", "has only memory"),
        ("r1 r2", "--bundle web final", "does not follow web/pre-checkpoint"),
        ("r1 r2", "--bundle web --previous web < final", "does not follow web/pre-checkpoint"),
        ("r1", "--bundle web --previous r1 r2", "--previous: has no effect on a round"),
        ("", "--bundle web final", "hint: add --previous FILE for each round"),
        ("", "--bundle web < final", "hint: add --previous FILE for each round"),
        ("", "--bundle web --previous r3 final", "the round before it is missing"),
        ("", "--bundle web --previous r1 --previous r3 final", not_next),
        ("", "--bundle web --previous r2 --previous r1 final", "the round before it is missing"),
        ("", "--bundle web --previous r1 --previous r2 final", "does not follow r2"),
        ("", "--bundle web --previous other final", "does not follow other"),
        ("", "--bundle web --previous r1 full", "was not made after the round r1"),
        ("", "--bundle web --previous r1 --previous full full", "full: not a round of ckpt-pack --precopy"),
        ("r1", "--bundle web2 --previous web final", "must be that of --bundle"),
        ("", "--bundle web --base - < final", "--base -: standard input is already ARCHIVE"),
        ("", "--bundle web --previous - < final", "--previous -: standard input is already ARCHIVE"),
        ("", "--bundle web --base - --base - final", "--base -: standard input is already --base"),
        ("", "--search x r1", "r1: a round of a pre-copy, which has no process tree"),
        ("", "--compare full r2", "r2: a round of a pre-copy, which has no process tree"),
    ] {
        let test = TestDir::new();
        for round in before.split_whitespace() {
            test.run(&format!("--bundle web {round}")).unwrap();
        }
        let files = test.files();
        let error = test.run(line).expect_err(line);
        assert!(error.contains(message), "{line}: {error}");
        assert_eq!(test.files(), files, "{line}");
    }
}

#[test]
fn a_modified_chain_of_rounds_is_rejected() {
    let test = TestDir::new();
    for line in ["--bundle web r1", "--bundle web r2"] {
        test.run(line).unwrap();
    }
    fs::rename(test.path("web/pre-checkpoint/parent"), test.path("moved")).unwrap();
    let error = test.run("--bundle web r3").unwrap_err();
    assert!(error.contains("web/pre-checkpoint/parent/delta.json"), "{error}");
    fs::create_dir(test.path("web/pre-checkpoint/parent")).unwrap();
    test.write(
        "web/pre-checkpoint/parent/delta.json",
        &Delta { encoding: None, id: Some(id(9)), base: None }.write(),
    );
    let error = test.run("--bundle web r3").unwrap_err();
    assert!(error.contains("not the round before that of its directory"), "{error}");
}

#[test]
fn a_round_is_a_complete_archive_of_its_kind() {
    let test = TestDir::new();
    for line in ["--verify r1", "--list r2", "--verify < r3"] {
        test.run(line).unwrap();
    }
}

#[test]
fn a_round_is_shown_as_a_round() {
    let test = TestDir::new();
    let show = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"));
        let output = command.args(["--show", name]).current_dir(test.0.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let round = show("r1");
    assert!(round.starts_with("Kind          round of a pre-copy (pre-checkpoint)\n"), "{round}");
    for heading in ["Engine", "Processes", "Mounts"] {
        assert!(!round.contains(heading), "{round}");
    }
    let full = show("full");
    assert!(!full.contains("Kind") && full.contains("Engine") && full.contains("Mounts"), "{full}");
}

/// Returns a round with one page of its own, and one in parent at the address `in_parent` unless
/// that is 0. Its `pages` image has `size` bytes.
fn with_pages(number: u8, before: Option<u8>, in_parent: u64, size: usize) -> Vec<u8> {
    let mut pagemap = PagemapWriter::new(Vec::new(), 1).unwrap();
    pagemap.add(Run { vaddr: 0x1000, pages: 1, flags: PRESENT }).unwrap();
    if in_parent > 0 {
        pagemap.add(Run { vaddr: in_parent, pages: 1, flags: IN_PARENT }).unwrap();
    }
    let mut writer = ArchiveWriter::new(Vec::new());
    let delta = Delta { encoding: None, id: Some(id(number)), base: before.map(base) };
    let mut add = |name: &str, content: &[u8]| {
        writer.small(&below(Member::PreImages, name), content, TIME).unwrap();
    };
    add("delta.json", &delta.write());
    add("pagemap-1.img", &pagemap.finish().unwrap());
    add("pages-1.img", &vec![7; size]);
    writer.finish().unwrap()
}

#[test]
fn the_pages_of_rounds_are_checked() {
    let test = TestDir::new();
    test.write("p1", &with_pages(1, None, 0, 4096));
    test.write("short", &with_pages(1, None, 0, 100));
    test.write("lacking", &with_pages(2, Some(1), 0x9000, 4096));
    for line in ["--verify short", "--bundle web short"] {
        let error = test.run(line).unwrap_err();
        assert!(error.contains("pre-checkpoint/pages-1.img: expected 1 pages, found 100 bytes"), "{error}");
    }
    test.run("--bundle web p1").unwrap();
    let error = test.run("--bundle web lacking").unwrap_err();
    assert!(error.contains("the page at 0x9000 is not in parent/pagemap-1.img"), "{error}");
    test.write("p2", &with_pages(2, Some(1), 0, 4096));
    test.run("--bundle web p2").unwrap();
}

#[test]
fn pages_that_no_archive_has_are_errors() {
    let test = TestDir::new();
    let mut pagemap = PagemapWriter::new(Vec::new(), 1).unwrap();
    pagemap.add(Run { vaddr: 0x9000, pages: 1, flags: IN_PARENT }).unwrap();
    let pagemap = pagemap.finish().unwrap();
    let delta = Delta { encoding: None, id: None, base: Some(base(1)) };
    test.write("p1", &with_pages(1, None, 0, 4096));
    test.write("lacking", &last_with(Some(delta), true, &pagemap));
    test.write("alone", &last_with(None, false, &pagemap));
    test.write("p2", &with_pages(2, Some(1), 0x9000, 4096));
    test.write("linked", &last_with(None, true, &pagemap));
    test.run("--bundle web p1").unwrap();
    for (line, message) in [
        (
            "--bundle web lacking",
            "checkpoint/pagemap-1.img: the page at 0x9000 is not in parent/pagemap-1.img",
        ),
        ("--bundle web < lacking", "the page at 0x9000 is not in parent/pagemap-1.img"),
        ("--bundle web2 --previous p1 lacking", "the page at 0x9000 is not in parent/pagemap-1.img"),
        ("--bundle web2 alone", "the page at 0x9000 is not in parent/pagemap-1.img"),
        ("--bundle web linked", "but not the rounds of a migration"),
        ("--bundle web < linked", "but not the rounds of a migration"),
    ] {
        let error = test.run(line).expect_err(line);
        assert!(error.contains(message), "{line}: {error}");
    }
    for (name, warning) in [
        ("linked", "checkpoint/: not complete without the pre-checkpoint"),
        ("p2", "pre-checkpoint/: not complete without the earlier rounds"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"));
        let output = command.args(["--verify", name]).current_dir(test.0.path()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && told.contains(warning), "{told}");
    }
}

fn pagemap(page_size: u64, runs: &[(u64, u64, u32)]) -> Vec<u8> {
    let mut writer = PagemapWriter::with_page_size(Vec::new(), 1, page_size).unwrap();
    runs.iter().for_each(|&(vaddr, pages, flags)| writer.add(Run { vaddr, pages, flags }).unwrap());
    writer.finish().unwrap()
}

#[test]
fn a_directory_parent_is_checked_with_the_page_size_of_the_images() {
    let archive = |newest: &[u8], pages: usize, parent: &[u8], size: usize| {
        let mut writer = ArchiveWriter::new(Vec::new());
        let mut add = |path: &str, content: &[u8]| {
            writer.small(&Member::Images(TarPath::parse(path.as_bytes()).unwrap()), content, TIME).unwrap();
        };
        add("inventory.img", b"inventory");
        add("pagemap-1.img", newest);
        add("pages-1.img", &vec![7; pages]);
        add("parent/pagemap-1.img", parent);
        add("parent/pages-1.img", &vec![7; size]);
        writer.small(&Member::ConfigDump, br#"{"id":"x","name":"web"}"#, TIME).unwrap();
        writer.small(&Member::SpecDump, br#"{"ociVersion":"1.0.2"}"#, TIME).unwrap();
        writer.finish().unwrap()
    };
    let test = TestDir::new();
    // Two adjacent pages of 64 KiB, of which no newer level has any.
    let below = pagemap(65536, &[(0x10000, 1, PRESENT), (0x20000, 1, PRESENT | 2)]);
    let newest = pagemap(65536, &[(0x10000, 2, IN_PARENT)]);
    test.write("large", &archive(&newest, 0, &below, 2 * 65536));
    test.run("--bundle large-pages large").unwrap();
    let newest = pagemap(4096, &[(0x1000, 1, PRESENT), (0x10000, 1, IN_PARENT)]);
    test.write("short", &archive(&newest, 100, &pagemap(4096, &[(0x10000, 1, PRESENT)]), 4096));
    let error = test.run("--bundle web short").unwrap_err();
    assert!(error.contains("checkpoint/pages-1.img: expected 1 pages, found 100 bytes"), "{error}");
}
