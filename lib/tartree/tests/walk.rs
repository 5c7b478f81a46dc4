//! All modes of a walk find the same inodes.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use tartree::{Entry, Kind, Notice, Root, Status, TarPath, Visit, Walk};

/// Sets a mode: none, opening files, reading metadata ahead.
type Mode = for<'a> fn(Walk<'a>) -> Walk<'a>;
const MODES: [Mode; 3] = [|walk| walk, |walk| walk.opening_files(), |walk| walk.stat_ahead()];

/// Returns the entries that are found, and the notices in alphabetical order: a walk that reads
/// metadata ahead asks the filter about directories first, so the order of notices differs.
fn walk(dir: &Path, mode: Mode, filter: impl FnMut(&TarPath, &Status) -> Visit) -> (Vec<Entry>, Vec<String>) {
    let root = Root::open(dir).unwrap();
    let mut walk = mode(Walk::new(&root, filter).unwrap());
    let (mut entries, mut notices) = (Vec::new(), Vec::new());
    while let Some(found) = walk.next(&mut |notice: Notice| notices.push(notice.to_string())).unwrap() {
        assert!(found.status.is(&found.entry.kind));
        entries.push(found.entry);
    }
    notices.sort();
    (entries, notices)
}

/// Makes a tree with more inodes than a walk inspects before it starts a second thread: directories
/// with one file, with many files, and deep down, and one inode of each type.
fn tree(dir: &Path) {
    for i in 0..200 {
        fs::create_dir_all(dir.join(format!("small/d{i:03}"))).unwrap();
        fs::write(dir.join(format!("small/d{i:03}/file")), vec![b'x'; i]).unwrap();
    }
    fs::create_dir(dir.join("large")).unwrap();
    for i in 0..1500 {
        fs::write(dir.join(format!("large/f{i:04}")), "x").unwrap();
    }
    let deep = dir.join("deep".to_owned() + &"/down".repeat(40));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "x").unwrap();
    fs::hard_link(dir.join("small/d100/file"), dir.join("large/f0700.link")).unwrap();
    fs::hard_link(dir.join("small/d100/file"), dir.join("deep/link")).unwrap();
    symlink("nowhere", dir.join("large/link")).unwrap();
    UnixListener::bind(dir.join("small/socket")).unwrap();
    xattr::set(dir.join("small/d050"), "user.of_a_directory", b"1").unwrap();
    xattr::set(dir.join("small/d050/file"), "user.of_a_file", b"2").unwrap();
    File::create(dir.join("large/sparse")).unwrap().set_len(1 << 20).unwrap();
}

#[test]
fn every_mode_finds_the_same_in_the_same_order() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    let filter = |path: &TarPath, status: &Status| match path.as_bytes() {
        b"small/d010" | b"large/f0001" => Visit::Skip,
        b"small/d020" => Visit::TakeEmpty,
        _ if status.is_dir() && path.as_bytes().ends_with(b"d030") => Visit::Skip,
        _ => Visit::Take,
    };
    let [plain, opening, ahead] = MODES.map(|mode| walk(dir.path(), mode, filter));
    assert!(plain == opening, "opening files");
    assert!(plain == ahead, "reading metadata ahead");
    let (entries, notices) = plain;
    assert_eq!(entries.len(), 1 + 3 + (200 + 200 - 5) + (1500 + 3 - 1) + (40 + 2));
    let left_out = ["large/f0001", "small/d010", "small/d020", "small/d030", "small/socket"];
    assert_eq!(notices.len(), left_out.len(), "{notices:?}");
    assert!(notices.iter().zip(left_out).all(|(notice, path)| notice.contains(path)), "{notices:?}");
    let at = |path: &str| entries.iter().find(|entry| entry.path.as_bytes() == path.as_bytes()).unwrap();
    // In the order of the walk, the name below "deep" comes first.
    let linked = Kind::HardLink { target: TarPath::parse(b"deep/link").unwrap() };
    assert_eq!((&at("small/d100/file").kind, &at("large/f0700.link").kind), (&linked, &linked));
    assert_eq!(at("small/d050").meta.xattrs.len(), 1);
    assert_eq!(at("small/d050/file").meta.xattrs.len(), 1);
    assert!(matches!(at("large/sparse").kind, Kind::File { map: Some(_), .. }));
}

#[test]
fn an_inode_that_vanishes_is_reported_once() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("dir/below")).unwrap();
        for name in ["a", "a.link", "dir/below/file", "file", "kept", "link"] {
            fs::write(at(name), name).unwrap();
        }
        fs::remove_file(at("a.link")).unwrap();
        fs::hard_link(at("kept"), at("file.link")).unwrap();
        let mut once = true;
        let (entries, notices) = walk(dir.path(), mode, |path, _| {
            if path.as_bytes() == b"dir" && std::mem::take(&mut once) {
                for name in ["file", "file.link", "link"] {
                    fs::remove_file(at(name)).unwrap();
                }
                symlink("kept", at("link")).unwrap();
                fs::remove_dir_all(at("dir")).unwrap();
                symlink("kept", at("dir")).unwrap();
            }
            Visit::Take
        });
        let found: Vec<_> = entries.iter().map(|entry| entry.path.to_string()).collect();
        assert_eq!(found, ["/", "a", "kept", "link"]);
        // "kept" is not a hard link: its first name, "file.link", has vanished.
        assert!(
            matches!(entries[2].kind, Kind::File { .. }) && matches!(entries[3].kind, Kind::Symlink { .. })
        );
        assert_eq!(
            notices,
            ["dir", "file.link", "file"].map(|name| format!("{name}: vanished while it was read"))
        );
    }
}
