//! Races: another thread repeatedly swaps a directory for a symlink that leads out of the root,
//! while a tool extracts below it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use harness::forge::{Header, TarForge};
use hostile::world::{World, file_of};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

/// Swaps `a` and `b` until `stop` is set, and counts the swaps.
fn swap(a: &Path, b: &Path, stop: &AtomicBool, swaps: &AtomicU64) {
    while !stop.load(Relaxed) {
        // The exchange fails while the tool has removed or replaced one of the two.
        if renameat2(AT_FDCWD, a, AT_FDCWD, b, RenameFlags::RENAME_EXCHANGE).is_ok() {
            swaps.fetch_add(1, Relaxed);
        }
    }
}

/// Stops the swapping when dropped, also during a panic: otherwise a failing test would hang.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Runs a tool on this tar while `root/d` alternates between a directory and a symlink to a
/// directory outside. Returns the number of swaps.
fn raced(tool: &str, args: &[&str], tar: &[u8]) -> u64 {
    let world = World::new();
    let (d, other) = (world.root().join("d"), world.root().join("other"));
    fs::create_dir_all(d.join("e")).unwrap();
    symlink(world.outside().join("dir"), &other).unwrap();
    let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| swap(&d, &other, &stop, &swaps));
        let stops = Stops(&stop);
        let (run, problems) = world.run(tool, args, file_of(tar));
        drop(stops);
        assert!(problems.is_empty(), "{tool} {args:?}: {problems:?}");
        // The tool fails if it encounters the symlink, and succeeds otherwise.
        assert!(matches!(run.code, Some(0 | 1)), "{:?} {}", run.code, run.stderr);
    });
    swaps.load(Relaxed)
}

fn tars() -> Vec<Vec<u8>> {
    let all = |tar: fn(TarForge, u32) -> TarForge| (0..3000).fold(TarForge::new(), tar).end();
    vec![
        all(|tar, n| tar.file(format!("d/{n}"), "pwn\n")),
        all(|tar, _| tar.file("d/victim", "pwn\n")),
        all(|tar, n| tar.header(Header::new(b'5', format!("d/{n}/")).mode(0o777))),
        all(|tar, _| tar.header(Header::new(b'g', "d/victim"))),
        all(|tar, n| tar.hardlink(format!("h{n}"), "d/victim").file("d/victim", "")),
        all(|tar, _| tar.dir("d/").file("d/e/x", "").header(Header::new(b'g', "d"))),
        // Extraction sets the metadata of directories at its end, by their names.
        all(|tar, _| tar.header(Header::new(b'5', "d/").mode(0o777).mtime(1))),
    ]
}

#[test]
fn a_directory_swapped_for_a_symlink_never_leads_outside() {
    let mut swaps = 0;
    for tar in tars() {
        swaps += raced("vol-archive", &["extract", "root"], &tar);
        swaps += raced("rootfs-diff", &["apply", "--rootfs", "root"], &tar);
    }
    println!("{swaps} swaps");
    assert!(swaps > 1000, "only {swaps} swaps: nothing was tested");
}
