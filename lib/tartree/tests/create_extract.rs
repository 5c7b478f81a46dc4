//! Trees survive being written into a tar and extracted again, and a tar has its planned size.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use harness::{Options, differences};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use tartree::{
    END_OF_ARCHIVE, ExtractOptions, Extractor, Item, Limits, Notice, Plan, Reader, ReaderLimits, Root,
    RootName, Sink, SourceTree, TarPath, Visit, Walk, Zeros, extract_tar, next_data, next_hole, write_found,
};

/// Sizes next to those of a block, a page, a check for changes, and the buffers.
const SIZES: [usize; 17] = [
    0, 1, 511, 512, 513, 4095, 4096, 4097, 65_535, 65_536, 70_000, 262_143, 262_144, 524_287, 524_288,
    524_289, 1_500_000,
];

fn bytes(size: usize, seed: usize) -> Vec<u8> {
    (0..size).map(|i| ((i * 31 + seed) % 251 + 1) as u8).collect()
}

/// Makes a tree with files of all sizes and an inode of each type that a tar can hold.
fn tree(dir: &Path) {
    let at = |name: &str| dir.join(name);
    fs::create_dir_all(at("dir/sub/deep")).unwrap();
    for (seed, size) in SIZES.into_iter().enumerate() {
        fs::write(at(&format!("dir/size{size}")), bytes(size, seed)).unwrap();
    }
    for i in 0..100 {
        fs::write(at(&format!("dir/sub/small{i}")), bytes(i, i)).unwrap();
    }
    let sparse = File::create(at("sparse")).unwrap();
    sparse.write_all_at(&bytes(5000, 1), 1 << 20).unwrap();
    sparse.write_all_at(&bytes(1, 2), 3 << 20).unwrap();
    sparse.set_len(4 << 20).unwrap();
    File::create(at("hole")).unwrap().set_len(1 << 20).unwrap();
    fs::hard_link(at("dir/size513"), at("link1")).unwrap();
    fs::hard_link(at("dir/size513"), at("dir/sub/link2")).unwrap();
    symlink("dir/size1", at("symlink")).unwrap();
    symlink("x".repeat(300), at("long symlink")).unwrap();
    fs::write(at(&"n".repeat(200)), "long name").unwrap();
    fs::hard_link(at("symlink"), at("dir/symlink2")).unwrap();
    mknod(&at("fifo"), SFlag::S_IFIFO, Mode::from_bits_truncate(0o640), 0).unwrap();
    mknod(&at("char"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o600), makedev(1, 3)).unwrap();
    mknod(&at("block"), SFlag::S_IFBLK, Mode::from_bits_truncate(0o600), makedev(259, 1_048_575)).unwrap();
    for (name, uid, gid, mode) in [
        ("dir/size1", 7, 8, 0o4755),
        ("dir/size511", 3_000_000, 4_000_000, 0o2711),
        ("dir/sub", 1000, 1001, 0o1777),
        ("dir/sub/deep", 0, 5, 0o000),
        ("fifo", 9, 10, 0o421),
    ] {
        chown(at(name), Some(uid), Some(gid)).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    xattr::set(at("dir/size512"), "user.a", b"\0\n=").unwrap();
    xattr::set(at("dir/size512"), "user.b=%", b"").unwrap();
    xattr::set(at("dir"), "trusted.note", b"x").unwrap();
    let acl = "setfacl -m u:7:rx dir/size0 && setfacl -d -m g:9:rwx dir/sub";
    let times = "find . -depth -exec touch -h -d '2021-03-04 05:06:07.123456789' {} +
         touch -d '1960-06-06 06:06:06.5' dir/size0; touch -h -d @0 symlink; touch -d '2400-01-01' dir/sub";
    for script in [acl, times] {
        assert!(Command::new("sh").args(["-ec", script]).current_dir(dir).status().unwrap().success());
    }
}

fn none(notice: Notice) {
    panic!("{notice}");
}

/// Plans the tree and writes it.
fn planned(dir: &Path) -> Vec<u8> {
    let mut root = Root::open(dir).unwrap();
    let mut plan = Plan::new();
    let mut walk = Walk::new(&root, |_, _| Visit::Take).unwrap();
    while let Some(found) = walk.next(&mut none).unwrap() {
        plan.add(found.entry, found.status.identity().ino).unwrap();
    }
    let mut sink = Sink::new(Vec::new());
    plan.write(&mut root, &mut sink, &mut none).unwrap();
    assert_eq!(sink.position(), plan.tar_size());
    let tar = sink.into_inner().unwrap();
    assert_eq!(tar.len() as u64, plan.tar_size());
    tar
}

/// Writes each inode as soon as it is found, from files that the walk opens or not.
fn streamed(dir: &Path, opening: bool) -> Vec<u8> {
    let mut root = Root::open(dir).unwrap();
    let mut walk = Walk::new(&root, |_, _| Visit::Take).unwrap();
    if opening {
        walk = walk.opening_files();
    }
    let (mut sink, mut limits) = (Sink::new(Vec::new()), ReaderLimits::default());
    while let Some(found) = walk.next(&mut none).unwrap() {
        write_found(&mut sink, found, RootName::Dot, &mut root, &mut limits, &mut none).unwrap();
    }
    sink.put(&END_OF_ARCHIVE).unwrap();
    sink.into_inner().unwrap()
}

fn extract(tar: impl Read, zeros: Zeros) -> tempfile::TempDir {
    let target = tempfile::tempdir().unwrap();
    let mut reader = Reader::new(tar, Limits::default());
    let options = ExtractOptions { zeros, ..ExtractOptions::default() };
    let mut extractor = Extractor::new(Root::open(target.path()).unwrap(), options);
    extract_tar(&mut reader, &mut extractor, &mut none, |_| {}).unwrap();
    extractor.finish(&mut none).unwrap();
    target
}

#[ignore = "needs root"]
#[test]
fn a_tree_survives_in_every_form() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    for (name, tar) in [
        ("planned", planned(dir.path())),
        ("opening", streamed(dir.path(), true)),
        ("streamed", streamed(dir.path(), false)),
    ] {
        assert_eq!(tar.len() % 512, 0, "{name}");
        let target = extract(&tar[..], Zeros::Written);
        let found = differences(dir.path(), target.path(), &Options::default()).unwrap();
        assert!(found.is_empty(), "{name}: {}", found.join("\n"));
        // Small reads and holes instead of zero pages change nothing else.
        let again = extract(Slow(&tar), Zeros::Holes);
        let options = Options { ignore: ["sparse".to_owned()].into() };
        let found = differences(dir.path(), again.path(), &options).unwrap();
        assert!(found.is_empty(), "{name}, small reads: {}", found.join("\n"));
    }
}

/// Returns at most 1000 bytes per read.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(1000);
        self.0.read(&mut buffer[..most])
    }
}

/// A change of a file, by name.
type Change = (&'static str, fn(&Path));

#[test]
fn a_changed_file_keeps_its_planned_size() {
    let cases: [Change; 8] = [
        ("", |_| {}),
        ("grew", |file| fs::write(file, bytes(90_000, 1)).unwrap()),
        ("shrank", |file| fs::write(file, bytes(100, 1)).unwrap()),
        ("shrank", |file| fs::write(file, "").unwrap()),
        ("was written to", |file| fs::write(file, bytes(70_000, 2)).unwrap()),
        ("was replaced", |file| {
            fs::write(file.with_extension("new"), bytes(70_000, 3)).unwrap();
            fs::rename(file.with_extension("new"), file).unwrap();
        }),
        ("vanished while it was read", |file| fs::remove_file(file).unwrap()),
        ("changed its type", |file| {
            fs::remove_file(file).unwrap();
            mknod(file, SFlag::S_IFIFO, Mode::S_IRUSR, 0).unwrap();
        }),
    ];
    for (expected, change) in cases {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, bytes(70_000, 1)).unwrap();
        let old = Command::new("touch").args(["-d", "@1000000000.5"]).arg(&file).status().unwrap();
        assert!(old.success());
        let mut root = Root::open(dir.path()).unwrap();
        let mut plan = Plan::new();
        assert!(plan.add_removal(&TarPath::parse(b"removed").unwrap()));
        plan.add_tombstone(&TarPath::parse(b"tombstone").unwrap()).unwrap();
        let mut walk = Walk::new(&root, |_, _| Visit::Take).unwrap();
        while let Some(found) = walk.next(&mut none).unwrap() {
            plan.add_at(SourceTree::Primary, found.entry, found.status.identity().ino).unwrap();
        }
        drop(walk);
        change(&file);
        let mut notices = Vec::new();
        let mut sink = Sink::new(Vec::new());
        plan.write(&mut root, &mut sink, &mut |notice: Notice| notices.push(notice.to_string())).unwrap();
        let tar = sink.into_inner().unwrap();
        assert_eq!(tar.len() as u64, plan.tar_size(), "{expected}");
        match notices.as_slice() {
            [] => assert_eq!(expected, ""),
            [notice] => assert!(!expected.is_empty() && notice.contains(expected), "{notice}"),
            _ => panic!("{notices:?}"),
        }
        let mut reader = Reader::new(&tar[..], Limits::default());
        let mut found = Vec::new();
        while let Some(item) = reader.next().unwrap() {
            match item {
                Item::Removal(path) => found.push(format!("removal {path}")),
                Item::Entry(entry) => {
                    let mut content = Vec::new();
                    reader.content().read_to_end(&mut content).unwrap();
                    found.push(format!("{} {}", entry.path, content.len()));
                }
            }
        }
        assert_eq!(found, ["removal removed", "tombstone 0", "/ 0", "file 70000"], "{expected}");
    }
}

#[test]
fn a_sink_counts_all_bytes_and_keeps_their_order() {
    let mut expected = Vec::new();
    let mut sink = Sink::new(Vec::new());
    for (seed, size) in SIZES.into_iter().enumerate() {
        let data = bytes(size, seed);
        sink.put(&data).unwrap();
        sink.zeros(size as u64).unwrap();
        // The input ends after the data, or has more data than requested.
        let more = size as u64 + 10;
        assert_eq!(sink.fill(&mut Slow(&data), more).unwrap().unwrap(), size as u64);
        assert_eq!(sink.fill(&mut &data[..], size as u64 / 2).unwrap().unwrap(), size as u64 / 2);
        for part in [&data, &vec![0; size], &data, &data[..size / 2]] {
            expected.extend(part);
        }
        assert_eq!(sink.position(), expected.len() as u64);
    }
    assert!(sink.into_inner().unwrap() == expected);
    // A write error is reported, at the latest by `into_inner`.
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut sink = Sink::new(full);
    let put = sink.put(&[1; 1000]);
    assert!(put.and_then(|()| sink.into_inner().map(|_| ())).is_err());
    assert!(fs::metadata("/dev/full").unwrap().size() == 0);
}

#[test]
fn data_and_holes_are_found_from_each_offset() {
    const MIB: u64 = 1 << 20;
    let file = tempfile::tempfile().unwrap();
    file.set_len(3 * MIB).unwrap();
    file.write_all_at(&bytes(1 << 20, 1), MIB).unwrap();
    for (at, end, data, hole) in [
        (0, 3 * MIB, MIB, 0),
        (5, 3 * MIB, MIB, 5),
        (MIB, 3 * MIB, MIB, 2 * MIB),
        (MIB + 7, 3 * MIB, MIB + 7, 2 * MIB),
        (MIB + 7, MIB + 9, MIB + 7, MIB + 9),
        (0, MIB / 2, MIB / 2, 0),
        (2 * MIB, 3 * MIB, 3 * MIB, 2 * MIB),
        (3 * MIB, 3 * MIB, 3 * MIB, 3 * MIB),
    ] {
        assert_eq!(next_data(&file, at, end), data, "data from {at} to {end}");
        assert_eq!(next_hole(&file, at, end), hole, "hole from {at} to {end}");
    }
}
