//! Every entry is read from a tar as it was written.

use std::io::Read;

use proptest::prelude::*;
use tartree::{
    END_OF_ARCHIVE, Entry, Item, Kind, Limits, Meta, Reader, RootName, SparseMap, TarPath, Timestamp, Xattr,
    encode, padding,
};

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::collection::vec(1u8..=255, 1..12),
        1 => proptest::collection::vec(1u8..=255, 90..255),
    ]
}

fn path() -> impl Strategy<Value = TarPath> {
    proptest::collection::vec(name(), 1..6).prop_filter_map("not a path", |components| {
        let path = TarPath::parse(&components.join(&b'/')).ok()?;
        (!path.is_root()).then_some(path)
    })
}

fn time() -> impl Strategy<Value = Timestamp> {
    let sec = prop_oneof![0..2_000_000_000i64, -(1i64 << 40)..1 << 40, Just(0), Just(-1)];
    (sec, prop_oneof![Just(0u32), 0..1_000_000_000u32]).prop_map(|(sec, nsec)| Timestamp { sec, nsec })
}

fn xattrs() -> impl Strategy<Value = Vec<Xattr>> {
    let name = proptest::collection::vec(1u8..=255, 1..40).prop_map(|mut name| {
        name.splice(0..0, b"user.".iter().copied());
        name
    });
    let one = (name, proptest::collection::vec(any::<u8>(), 0..200))
        .prop_map(|(name, value)| Xattr { name, value });
    proptest::collection::vec(one, 0..4).prop_map(|mut all| {
        all.sort();
        all.dedup_by(|a, b| a.name == b.name);
        // Keeps names with `=` and `%`. They are written as LIBARCHIVE.xattr records. GNU tar
        // writes `=` as %3D, and a reader cannot distinguish that from a name that contains "%3D".
        all
    })
}

fn meta() -> impl Strategy<Value = Meta> {
    let id = prop_oneof![0..70_000u32, 0..u32::MAX];
    (0..0o10000u32, id.clone(), id, time(), xattrs()).prop_map(|(mode, uid, gid, mtime, xattrs)| Meta {
        mode,
        uid,
        gid,
        mtime,
        xattrs,
    })
}

fn map() -> impl Strategy<Value = (u64, SparseMap)> {
    proptest::collection::vec((1u64..1 << 40, 1u64..2000), 0..70).prop_flat_map(|pieces| {
        let mut at = 0;
        let mut segments = Vec::new();
        for (hole, len) in pieces {
            at += hole;
            segments.push((at, len));
            at += len;
        }
        (at..at + 10_000, Just(SparseMap(segments)))
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    let target = proptest::collection::vec(1u8..=255, 1..300);
    prop_oneof![
        Just(Kind::Dir),
        Just(Kind::Fifo),
        (0u64..3000).prop_map(|size| Kind::File { size, map: None }),
        map().prop_map(|(size, map)| Kind::File { size, map: Some(map) }),
        target.prop_map(|target| Kind::Symlink { target }),
        path().prop_map(|target| Kind::HardLink { target }),
        (0..4096u32, 0..1u32 << 20).prop_map(|(major, minor)| Kind::Char { major, minor }),
        (0..4096u32, 0..1u32 << 20).prop_map(|(major, minor)| Kind::Block { major, minor }),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    (path(), kind(), meta()).prop_map(|(path, kind, meta)| Entry { path, kind, meta })
}

fn content(entry: &Entry, at: usize) -> Vec<u8> {
    (0..entry.kind.data_len()).map(|i| (i as usize * 7 + at) as u8).collect()
}

fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        encode(&mut tar, entry, RootName::Dot);
        tar.extend(content(entry, at));
        tar.resize(tar.len() + padding(entry.kind.data_len()) as usize, 0);
    }
    tar.extend(END_OF_ARCHIVE);
    tar
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1000)))]

    #[test]
    fn entries_are_read_as_they_were_written(entries in proptest::collection::vec(entry(), 0..6)) {
        let tar = tar(&entries);
        let mut reader = Reader::new(&tar[..], Limits::default());
        for (at, expected) in entries.iter().enumerate() {
            let Some(Item::Entry(entry)) = reader.next().unwrap() else { panic!("an entry is missing") };
            prop_assert_eq!(&entry, expected);
            let mut bytes = Vec::new();
            reader.content().read_to_end(&mut bytes).unwrap();
            prop_assert_eq!(bytes, content(expected, at));
        }
        prop_assert!(reader.next().unwrap().is_none());
    }

    #[test]
    fn a_truncated_tar_is_an_error(entries in proptest::collection::vec(entry(), 1..4), cut in any::<prop::sample::Index>()) {
        let tar = tar(&entries);
        // One zero block is enough for a complete archive.
        let cut = cut.index(tar.len() - END_OF_ARCHIVE.len() + 512);
        let mut reader = Reader::new(&tar[..cut], Limits::default());
        let ended = loop {
            match reader.next() {
                Ok(Some(_)) => {}
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        prop_assert!(!ended);
    }

    /// Reading a damaged tar ends, with entries or with an error.
    #[test]
    fn damage_never_panics(entries in proptest::collection::vec(entry(), 1..4), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut tar = tar(&entries);
        let at = at.index(tar.len());
        tar[at] = byte;
        let mut reader = Reader::new(&tar[..], Limits::default());
        while let Ok(Some(_)) = reader.next() {}
    }
}
