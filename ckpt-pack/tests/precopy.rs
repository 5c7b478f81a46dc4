//! `--precopy`: rounds of a running process, whose memory is compared byte by byte with what a
//! receiver would restore.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use checkpoint::Member;
use checkpoint::archive::{ArchiveReader, Unknown};
use checkpoint::delta::Delta;
use checkpoint::pagemap::PagemapReader;

const PAGE: usize = 4096;

/// The pages of each pagemap that a receiver has, by address.
type Store = BTreeMap<String, BTreeMap<u64, Vec<u8>>>;

struct Migration {
    dir: tempfile::TempDir,
    store: Store,
}

impl Migration {
    fn new() -> Migration {
        Migration { dir: tempfile::tempdir().unwrap(), store: Store::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, pid: u32) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-pack"));
        command.args(["--precopy", "--pid", &pid.to_string(), "--page-index"]).arg(self.path("index"));
        command.arg("--output").arg(self.path("round"));
        command
    }

    fn run(&self, pid: u32) -> Output {
        self.command(pid).output().unwrap()
    }

    /// Makes a round and applies it like a receiver. Returns the addresses of the pages that were
    /// sent.
    fn round(&mut self, pid: u32) -> Vec<u64> {
        let output = self.run(pid);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.apply()
    }

    /// Applies the last round like a receiver. Returns the addresses of the pages that were sent.
    fn apply(&mut self) -> Vec<u64> {
        let members = members(&self.path("round"));
        let mut next = Store::new();
        let mut sent = Vec::new();
        for (name, bytes) in members.iter().filter(|(name, _)| name.starts_with("pagemap-")) {
            let mut pagemap = PagemapReader::new(name, &bytes[..]).unwrap();
            let pages = &members[&format!("pages-{}.img", pagemap.pages_id())];
            let mut pages = pages.chunks_exact(PAGE);
            let old = self.store.get(name);
            let mut found = BTreeMap::new();
            while let Some(run) = pagemap.next().unwrap() {
                for page in 0..run.pages {
                    let address = run.vaddr + page * PAGE as u64;
                    let present = run.is_present().then(|| pages.next().expect("the image has the page"));
                    let content = if let Some(page) = present {
                        sent.push(address);
                        page.to_vec()
                    } else {
                        old.and_then(|old| old.get(&address)).expect("the receiver has the page").clone()
                    };
                    found.insert(address, content);
                }
            }
            next.insert(name.clone(), found);
        }
        self.store = next;
        sent
    }

    /// Compares all pages of a stopped process with those of the receiver. Returns their number.
    fn compare(&self, pid: u32) -> usize {
        let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
        let pages = &self.store[&format!("pagemap-{pid}.img")];
        for (address, page) in pages {
            let mut content = vec![0; PAGE];
            memory.read_exact_at(&mut content, *address).unwrap();
            assert!(content == *page, "the page at {address:#x} differs");
        }
        pages.len()
    }
}

fn members(archive: &std::path::Path) -> BTreeMap<String, Vec<u8>> {
    let mut reader = ArchiveReader::new(File::open(archive).unwrap(), Unknown::Refuse).unwrap();
    let mut members = BTreeMap::new();
    while let Some((member, _)) = reader.next().unwrap() {
        let Member::PreImages(path) = member else { panic!("{member}: not of a pre-checkpoint") };
        let mut content = Vec::new();
        reader.content().read_to_end(&mut content).unwrap();
        members.insert(path.to_string(), content);
    }
    reader.finish().unwrap();
    members
}

/// A process that a test ends.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Process {
        Process(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn stdin(&mut self) -> &mut ChildStdin {
        self.0.stdin.as_mut().unwrap()
    }

    /// Returns the number in the next line of the output that begins with '@'.
    fn answer(&mut self) -> u64 {
        let (mut byte, mut line) = ([0], Vec::new());
        loop {
            self.0.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
            if byte != *b"\n" {
                line.push(byte[0]);
                continue;
            }
            let text = String::from_utf8(std::mem::take(&mut line)).unwrap();
            if let Some((_, number)) = text.split_once('@') {
                self.wait_until_asleep();
                return number.parse().unwrap();
            }
        }
    }

    /// Waits for a line of the output, and until the process sleeps: after it has written the line,
    /// it still changes its stack.
    fn line(&mut self) {
        let mut byte = [0];
        while byte != *b"\n" {
            self.0.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
        }
        self.wait_until_asleep();
    }

    fn wait_until_asleep(&self) {
        let stat = format!("/proc/{}/stat", self.pid());
        while !fs::read_to_string(&stat).unwrap().contains(") S ") {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Fills memory with a sequence that begins with `seed`.
fn fill(memory: &mut [u8], seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for word in memory.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
}

/// The name of the test that is the process whose memory is packed.
const TARGET: &str = "target_process";

/// A small process that changes its memory on command. It is this program again, because the memory
/// of the test itself contains the archives that the test reads.
struct Target {
    process: Process,
    start: u64,
    pages: usize,
}

impl Target {
    fn start(pages: usize) -> Target {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", TARGET, "--ignored", "--nocapture"]).env(TARGET, pages.to_string());
        let mut process = Process::start(&mut command);
        let start = process.answer();
        Target { process, start, pages }
    }

    fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Fills pages with content from `seed`, or with zeros if it is 0.
    fn fill(&mut self, pages: std::ops::Range<usize>, seed: usize) {
        writeln!(self.process.stdin(), "{} {} {seed}", pages.start, pages.end).unwrap();
        self.process.answer();
    }

    /// Compares all memory that was filled with that of the receiver. A page that the receiver lacks
    /// must be zero.
    fn compare(&self, migration: &Migration) {
        let memory = File::open(format!("/proc/{}/mem", self.pid())).unwrap();
        let pages = &migration.store[&format!("pagemap-{}.img", self.pid())];
        let zero = vec![0; PAGE];
        let mut content = vec![0; PAGE];
        for page in 0..self.pages {
            let address = self.start + (page * PAGE) as u64;
            memory.read_exact_at(&mut content, address).unwrap();
            assert!(content == *pages.get(&address).unwrap_or(&zero), "page {page} differs");
        }
    }

    /// Returns how many of the addresses are in the memory that was filled.
    fn count(&self, addresses: &[u64]) -> usize {
        let end = self.start + (self.pages * PAGE) as u64;
        addresses.iter().filter(|&&address| (self.start..end).contains(&address)).count()
    }
}

#[test]
#[ignore = "started by other tests"]
fn target_process() {
    let Some(pages) = std::env::var(TARGET).ok().and_then(|pages| pages.parse::<usize>().ok()) else {
        return;
    };
    let mut memory = vec![0; (pages + 1) * PAGE];
    let start = (memory.as_ptr() as usize).next_multiple_of(PAGE);
    let skipped = start - memory.as_ptr() as usize;
    let memory = &mut memory[skipped..];
    println!("@{start}");
    for line in std::io::stdin().lines() {
        let numbers: Vec<usize> = line.unwrap().split(' ').map(|number| number.parse().unwrap()).collect();
        let part = &mut memory[numbers[0] * PAGE..numbers[1] * PAGE];
        if numbers[2] == 0 {
            part.fill(0)
        } else {
            fill(part, numbers[2] as u64)
        }
        println!("@0");
    }
}

#[test]
#[ignore = "needs root"]
fn rounds_reproduce_memory_that_changes() {
    let (mut migration, mut target) = (Migration::new(), Target::start(2048));
    target.fill(0..2048, 1);
    migration.round(target.pid());
    target.compare(&migration);
    for round in 2..6 {
        // Some pages get new content, some become zero, and some zero pages get content.
        target.fill(round * 100 + 50..round * 100 + 57, round);
        target.fill(round * 200..round * 200 + 9, 0);
        target.fill(round * 200 - 198..round * 200 - 196, 99);
        let sent = migration.round(target.pid());
        assert_eq!(target.count(&sent), 9);
        target.compare(&migration);
    }
}

#[test]
#[ignore = "needs root"]
fn more_changed_pages_than_are_kept_in_memory_are_sent() {
    let (mut migration, mut target) = (Migration::new(), Target::start(8192));
    target.fill(0..8192, 1);
    target.fill(3000..3100, 0);
    migration.round(target.pid());
    target.compare(&migration);
    target.fill(0..8192, 2);
    target.fill(7000..7100, 0);
    assert_eq!(target.count(&migration.round(target.pid())), 8092);
    target.compare(&migration);
}

#[test]
#[ignore = "needs root"]
fn shared_memory_is_packed_once_and_only_if_it_changed() {
    let memory = nix::sys::memfd::memfd_create(c"test", nix::sys::memfd::MFdFlags::empty()).unwrap();
    let memory = File::from(memory);
    memory.set_len(100 * PAGE as u64).unwrap();
    memory.write_all_at(&[1; 3 * PAGE], 10 * PAGE as u64).unwrap();
    let inode = std::os::unix::fs::MetadataExt::ino(&memory.metadata().unwrap());
    let name = format!("pagemap-shmem-{inode}.img");
    let mut migration = Migration::new();
    // The process has the memory open as its standard output.
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(memory.try_clone().unwrap());
    let process = Process(command.spawn().unwrap());
    migration.round(process.pid());
    let addresses = |migration: &Migration| migration.store[&name].keys().copied().collect::<Vec<_>>();
    assert_eq!(addresses(&migration), [10, 11, 12].map(|page| page * PAGE as u64));
    memory.write_all_at(&[2; PAGE], 11 * PAGE as u64).unwrap();
    memory.write_all_at(&[0; PAGE], 12 * PAGE as u64).unwrap();
    memory.write_all_at(&[3; PAGE], 99 * PAGE as u64).unwrap();
    migration.round(process.pid());
    assert_eq!(addresses(&migration), [10, 11, 99].map(|page| page * PAGE as u64));
    assert_eq!(migration.store[&name].values().map(|page| page[7]).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
#[ignore = "needs root"]
fn a_process_that_calls_exec_between_rounds_is_packed_again() {
    let mut migration = Migration::new();
    let mut process = Process::start(Command::new("sh").args(["-c", "echo; read x; exec cat"]));
    process.line();
    migration.round(process.pid());
    assert!(migration.compare(process.pid()) > 10);
    process.stdin().write_all(b"\nx\n").unwrap();
    process.line();
    migration.round(process.pid());
    assert!(migration.compare(process.pid()) > 10);
    assert!(migration.round(process.pid()).len() < 5);
}

#[test]
#[ignore = "needs root"]
fn processes_may_appear_and_exit_during_a_round() {
    let mut migration = Migration::new();
    let script = "echo; while :; do (exec true) & (exec true); done";
    let mut process = Process::start(Command::new("sh").args(["-c", script]));
    process.line();
    for _ in 0..10 {
        migration.round(process.pid());
    }
    assert!(migration.store.contains_key(&format!("pagemap-{}.img", process.pid())));
}

#[test]
#[ignore = "needs root"]
fn each_round_names_the_previous_round() {
    let mut migration = Migration::new();
    let process = Process::start(&mut Command::new("cat"));
    let mut last = None;
    for _ in 0..3 {
        migration.round(process.pid());
        let delta = Delta::read(&members(&migration.path("round"))["delta.json"]).unwrap();
        assert_eq!(delta.base.map(|base| base.id), last);
        last = delta.id;
        assert!(last.is_some());
    }
}

#[test]
#[ignore = "needs root"]
fn a_foreign_or_modified_index_is_rejected_before_anything_is_written() {
    let mut migration = Migration::new();
    let (process, other) =
        (Process::start(&mut Command::new("cat")), Process::start(&mut Command::new("cat")));
    migration.round(process.pid());
    fs::remove_file(migration.path("round")).unwrap();
    let good = fs::read(migration.path("index")).unwrap();
    let mut modified = good.clone();
    modified[200] ^= 1;
    for (bytes, pid, message) in [
        (&good[..], other.pid(), "the page index is of another container"),
        (&modified[..], process.pid(), "the page index is damaged or was modified"),
        (&good[..good.len() - 1], process.pid(), "the page index is truncated"),
        (&[0; 400][..], process.pid(), "not a page index of ckpt-pack"),
        (&[], process.pid(), "the page index is truncated"),
    ] {
        fs::write(migration.path("index"), bytes).unwrap();
        let output = migration.run(pid);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(message), "{message}: {stderr}");
        assert!(!migration.path("round").exists());
        assert_eq!(fs::read(migration.path("index")).unwrap(), bytes);
    }
}

#[test]
#[ignore = "needs root"]
fn a_round_that_cannot_be_written_leaves_the_index() {
    let mut migration = Migration::new();
    let process = Process::start(&mut Command::new("cat"));
    migration.round(process.pid());
    let index = fs::read(migration.path("index")).unwrap();
    let mut full = Command::new(env!("CARGO_BIN_EXE_ckpt-pack"));
    full.args(["--precopy", "--pid", &process.pid().to_string(), "--output", "/dev/full", "--page-index"]);
    let output = full.arg(migration.path("index")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read(migration.path("index")).unwrap(), index);
}

#[test]
#[ignore = "needs root"]
fn a_round_that_is_killed_leaves_index_and_output_complete() {
    let (mut migration, mut target) = (Migration::new(), Target::start(4096));
    target.fill(0..4096, 1);
    migration.round(target.pid());
    for attempt in 0..12 {
        let _ = fs::remove_file(migration.path("round"));
        let index = fs::read(migration.path("index")).unwrap();
        target.fill(0..1024, 2 + attempt);
        let mut round = migration.command(target.pid()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(attempt as u64 * 8));
        round.kill().unwrap();
        round.wait().unwrap();
        // The output gets its name first, so that the index never announces pages that were lost.
        let is_new = fs::read(migration.path("index")).unwrap() != index;
        assert!(migration.path("round").exists() || !is_new, "attempt {attempt}");
        if is_new {
            migration.apply();
        }
        migration.round(target.pid());
        target.compare(&migration);
    }
}

#[test]
fn flags_that_are_missing_or_have_no_effect_are_named() {
    for (args, message) in [
        (&["--precopy", "--page-index", "i"][..], "--precopy needs the container's first process"),
        (&["--precopy", "--page-index", "-", "--pid", "1"], "--page-index: expected a file"),
        (&["--precopy", "--page-index", "i", "-o", "i", "--pid", "1"], "are the same file"),
        (&["--precopy", "--page-index", "i", "--bundle", "."], "--bundle has no effect with --precopy"),
        (&["--precopy", "--page-index", "i", "x"], "MEMBERS has no effect with --precopy"),
        (&["--bundle", ".", "--pid", "1"], "--pid has no effect without --check"),
        (&["--precopy", "--pid", "1"], "--page-index"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_ckpt-pack")).args(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(message), "{args:?}: {stderr}");
    }
}

#[test]
fn a_process_that_does_not_exist_is_named_as_on_the_command_line() {
    for args in [
        &["--precopy", "--page-index", "i", "-o", "x"][..],
        &["--check"],
        &["--bundle", ".", "--ignore-rootfs", "-o", "x", "--", "runc", "checkpoint", "web"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-pack"));
        // Larger than any PID.
        let output = command.args(["--pid", "4194999"]).args(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
        assert!(stderr.contains("error: --pid 4194999: no such process"), "{args:?}: {stderr}");
    }
}
