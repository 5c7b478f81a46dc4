//! A value is in a PAX record exactly if the fields of a ustar header cannot hold it.

use tartree::{
    END_OF_ARCHIVE, Entry, Item, Kind, Limits, Meta, Reader, RootName, TarPath, Timestamp, encode, padding,
};

const MAX_ID: u32 = 0o7777777;
const MAX_SIZE: u64 = 0o777_7777_7777;

fn file(path: &str) -> Entry {
    let meta = Meta { mode: 0o644, mtime: Timestamp { sec: 1, nsec: 0 }, ..Meta::default() };
    Entry { path: TarPath::parse(path.as_bytes()).unwrap(), kind: Kind::File { size: 0, map: None }, meta }
}

/// Returns the keys of the PAX records that precede the header of `entry`.
fn keys(entry: &Entry) -> Vec<String> {
    let mut tar = Vec::new();
    encode(&mut tar, entry, RootName::Dot);
    if tar[156] != b'x' {
        assert_eq!(tar.len(), 512);
        return Vec::new();
    }
    let size = std::str::from_utf8(&tar[124..135]).unwrap();
    let size = usize::from_str_radix(size, 8).unwrap();
    let mut records = &tar[512..512 + size];
    let mut keys = Vec::new();
    while !records.is_empty() {
        let space = records.iter().position(|&byte| byte == b' ').unwrap();
        let len: usize = std::str::from_utf8(&records[..space]).unwrap().parse().unwrap();
        let (record, rest) = records.split_at(len);
        assert_eq!(record.last(), Some(&b'\n'));
        let key = record[space + 1..].split(|&byte| byte == b'=').next().unwrap();
        keys.push(String::from_utf8(key.to_vec()).unwrap());
        records = rest;
    }
    keys
}

/// Checks the keys, and that a reader returns the same entry.
#[track_caller]
fn check(entry: &Entry, expected: &[&str]) {
    assert_eq!(keys(entry), expected, "{entry:?}");
    let mut tar = Vec::new();
    encode(&mut tar, entry, RootName::Dot);
    if entry.kind.data_len() < 1 << 20 {
        let data = entry.kind.data_len();
        tar.resize(tar.len() + (data + padding(data)) as usize, 0);
        tar.extend(END_OF_ARCHIVE);
    }
    let mut reader = Reader::new(&tar[..], Limits::default());
    let Some(Item::Entry(read)) = reader.next().unwrap() else { panic!("no entry") };
    assert_eq!(&read, entry);
}

#[test]
fn names_are_in_a_record_if_they_do_not_fit() {
    let (x, y) = (|n| "x".repeat(n), |n| "y".repeat(n));
    for (path, expected) in [
        ("a".to_owned(), &[][..]),
        (x(100), &[]),
        (x(101), &["path"]),
        (format!("d/{}", x(98)), &[]),
        (format!("d/{}", x(99)), &[]),
        (format!("d/{}", x(100)), &[]),
        (format!("d/{}", x(101)), &["path"]),
        (format!("{}/{}", y(154), x(100)), &[]),
        (format!("{}/{}", y(155), x(100)), &[]),
        (format!("{}/{}", y(156), x(99)), &["path"]),
        (format!("{}/{}", y(156), x(1)), &["path"]),
        (format!("{}/{}/{}", y(100), y(54), x(100)), &[]),
        (format!("{}/{}/{}", y(100), y(55), x(99)), &["path"]),
        (format!("{}/{}/{}", y(100), y(100), x(99)), &["path"]),
        ("ü".to_owned(), &["path"]),
        (format!("d/ü{}", x(110)), &["path"]),
    ] {
        check(&file(&path), expected);
        // The name of a directory ends with a slash, which takes one more byte.
        if path.len() != 100 && path.len() != 101 && !path.ends_with(&format!("/{}", x(100))) {
            let dir = Entry { kind: Kind::Dir, ..file(&path) };
            assert_eq!(keys(&dir), expected, "{dir:?}");
        }
    }
    for (path, expected) in [
        (x(99), &[][..]),
        (x(100), &["path"]),
        (format!("d/{}", x(99)), &[]),
        (format!("d/{}", x(100)), &["path"]),
    ] {
        check(&Entry { kind: Kind::Dir, ..file(&path) }, expected);
    }
}

#[test]
fn link_targets_are_in_a_record_if_they_do_not_fit() {
    for (target, expected) in
        [("t".repeat(100), &[][..]), ("t".repeat(101), &["linkpath"]), ("ü".to_owned(), &["linkpath"])]
    {
        check(&Entry { kind: Kind::Symlink { target: target.clone().into() }, ..file("link") }, expected);
        let target = TarPath::parse(target.as_bytes()).unwrap();
        check(&Entry { kind: Kind::HardLink { target }, ..file("link") }, expected);
    }
}

#[test]
fn numbers_are_in_a_record_if_they_do_not_fit() {
    for (id, fits) in
        [(0, true), (MAX_ID - 1, true), (MAX_ID, true), (MAX_ID + 1, false), (u32::MAX - 1, false)]
    {
        let (mut uid, mut gid) = (file("f"), file("f"));
        (uid.meta.uid, gid.meta.gid) = (id, id);
        check(&uid, if fits { &[] } else { &["uid"] });
        check(&gid, if fits { &[] } else { &["gid"] });
    }
    for (size, fits) in [(0, true), (1, true), (MAX_SIZE - 1, true), (MAX_SIZE, true), (MAX_SIZE + 1, false)]
    {
        let entry = Entry { kind: Kind::File { size, map: None }, ..file("f") };
        check(&entry, if fits { &[] } else { &["size"] });
    }
    let max = MAX_SIZE as i64;
    for (sec, nsec, fits) in [
        (0, 0, true),
        (max, 0, true),
        (max + 1, 0, false),
        (-1, 0, false),
        (0, 1, false),
        (5, 999_999_999, false),
        (-7, 500_000_000, false),
    ] {
        let mut entry = file("f");
        entry.meta.mtime = Timestamp { sec, nsec };
        check(&entry, if fits { &[] } else { &["mtime"] });
    }
}
