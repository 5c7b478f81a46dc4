//! The tar reader (headers, PAX records, sparse maps) and extraction.

use std::fs;
use std::io::Read;

use tartree::{
    Devices, END_OF_ARCHIVE, Entry, ExtractOptions, Extractor, Item, Kind, Limits, Notice, Reader, Root,
    RootName, extract_tar,
};

const BLOCK: usize = 512;

/// Parses a tar, after correcting its checksums, which a fuzzer cannot guess.
pub fn tar(bytes: &[u8]) {
    read(&mended(bytes));
}

/// Parses a tar with these PAX records and a file.
pub fn pax(records: &[u8]) {
    read(&with_records(records, b"data"));
}

/// Parses a tar with this content of a sparse file in GNU's form 1.0, in which the map precedes the
/// data.
pub fn sparse(content: &[u8]) {
    let records = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n29 GNU.sparse.realsize=65536\n";
    read(&with_records(records, content));
}

/// Extracts a tar next to a canary file.
pub fn extract(bytes: &[u8]) {
    let bytes = mended(bytes);
    let place = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory");
    let at = |name: &str| place.path().join(name);
    fs::create_dir(at("root")).expect("a directory");
    fs::write(at("canary"), "alive").expect("a file");
    let root = Root::open(&at("root")).expect("a root");
    let options =
        ExtractOptions { no_same_owner: true, devices: Devices::LeaveOut("fuzzed"), ..Default::default() };
    let mut extractor = Extractor::new(root, options);
    let mut notices = |_: Notice| {};
    let limits = Limits { content_bytes: 1 << 20, ..Limits::default() };
    let mut reader = Reader::new(&bytes[..], limits);
    if extract_tar(&mut reader, &mut extractor, &mut notices, |_| {}).is_ok() {
        // The tar may set modes that make directories unreadable. The cleanup must not fail then.
        let _ = extractor.finish(&mut notices);
    }
    assert_eq!(fs::read(at("canary")).expect("the canary"), b"alive");
    assert_eq!(
        fs::read_dir(place.path()).expect("the directory").count(),
        2,
        "a file was created outside the root"
    );
}

/// Reads a tar to its end or first error. Checks that names are normalized, that holes are inside
/// their file, and that writing and reading each entry again is lossless.
fn read(tar: &[u8]) {
    let mut reader = Reader::new(tar, Limits { content_bytes: 1 << 26, ..Limits::default() });
    let mut content = Vec::new();
    while let Ok(Some(item)) = reader.next() {
        let Item::Entry(entry) = item else { continue };
        let stored = entry.kind.data_len();
        content.clear();
        let is_complete = reader.content().read_to_end(&mut content).is_ok();
        assert!(
            !is_complete || content.len() as u64 == stored,
            "{}: {} bytes of {stored}",
            entry.path,
            content.len()
        );
        assert!(entry.meta.mode <= 0o7777, "{}: mode {:o}", entry.path, entry.meta.mode);
        assert!(entry.meta.mtime.nsec < 1_000_000_000);
        if let Kind::File { size, map: Some(map) } = &entry.kind {
            let mut end = 0;
            for (offset, len) in &map.0 {
                assert!(*offset >= end && *len > 0, "{:?}", map.0);
                end = offset + len;
            }
            assert!(end <= *size);
        }
        again(&entry, &content[..]);
    }
}

fn again(entry: &Entry, content: &[u8]) {
    if content.len() as u64 != entry.kind.data_len() {
        return;
    }
    let mut tar = Vec::new();
    tartree::encode(&mut tar, entry, RootName::Slash);
    push(&mut tar, content);
    tar.extend(END_OF_ARCHIVE);
    let mut reader = Reader::new(&tar[..], Limits { header_bytes: u64::MAX, ..Limits::default() });
    match reader.next() {
        Ok(Some(Item::Entry(read))) => assert_eq!(read, *entry),
        other => panic!("{}: {other:?}", entry.path),
    }
}

fn with_records(records: &[u8], content: &[u8]) -> Vec<u8> {
    let mut tar = header(b"pax", b'x', records.len() as u64);
    push(&mut tar, records);
    tar.extend(header(b"file", b'0', content.len() as u64));
    push(&mut tar, content);
    tar.extend(END_OF_ARCHIVE);
    tar
}

fn header(name: &[u8], flag: u8, size: u64) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..name.len()].copy_from_slice(name);
    block[100..107].copy_from_slice(b"0000644");
    block[108..115].copy_from_slice(b"0000000");
    block[116..123].copy_from_slice(b"0000000");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[136..147].copy_from_slice(b"00000000000");
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    mend(&mut block);
    block
}

fn push(tar: &mut Vec<u8>, content: &[u8]) {
    tar.extend(content);
    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
}

/// Returns the bytes with a correct checksum in every block that has the magic of a header.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(BLOCK).filter(|block| block[257..262] == *b"ustar") {
        mend(block);
    }
    bytes
}

fn mend(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
