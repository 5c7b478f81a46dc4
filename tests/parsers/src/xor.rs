//! An archive whose pages are stored as XOR with those of a base.

use std::io::Write;

use checkpoint::Member;
use checkpoint::archive::{ArchiveFile, ArchiveWriter, ImageChoice, Reading, Unknown};
use checkpoint::compress::Bound;
use checkpoint::incremental::Spool;
use checkpoint::pagemap::{PRESENT, PagemapWriter, Run};
use checkpoint::xor::{Chain, Level};
use tartree::{Limits, TarPath, Timestamp};

/// The most decompressed bytes.
const MOST: u64 = 16 << 20;

/// Decodes the archive `bytes`. The base always has the same three pages.
pub fn xor(bytes: &[u8]) {
    let Some(newest) = level(bytes) else { return };
    let base = level(&base()).expect("a valid archive");
    if let Ok(mut chain) = Chain::new(vec![newest, base]) {
        // Whether the archive is valid is not known. The digest of what was decoded is checked.
        let _ = chain.verify();
    }
}

fn level(archive: &[u8]) -> Option<Level> {
    let file = || tempfile::tempfile_in("/dev/shm").or_else(|_| tempfile::tempfile());
    let mut input = file().expect("a file");
    input.write_all(archive).expect("written");
    std::io::Seek::rewind(&mut input).expect("rewound");
    let limits = Limits { content_bytes: MOST, ..Limits::default() };
    let bound = Bound::new(Some(MOST), Some(1 << 22));
    let reading = Reading { unknown: Unknown::Keep, limits, bound, count: |_| {} };
    let choice = ImageChoice { tag: None, spool: &file };
    let archive = ArchiveFile::in_file(input, "archive".into(), reading, &choice).ok()?;
    Level::survey(archive, &mut Spool::new(file().expect("a file"))).ok()
}

fn base() -> Vec<u8> {
    let mut pagemap = PagemapWriter::new(Vec::new(), 1).expect("a Vec takes all bytes");
    pagemap.add(Run { vaddr: 0x10000, pages: 3, flags: PRESENT }).expect("a Vec takes all bytes");
    let pages: Vec<u8> = (0..3 * 4096u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let mut writer = ArchiveWriter::new(Vec::new());
    let pagemap = pagemap.finish().expect("a Vec takes all bytes");
    for (name, content) in [("pagemap-1.img", pagemap), ("pages-1.img", pages)] {
        let member = Member::Images(TarPath::root().child(name.as_bytes()));
        writer.small(&member, &content, Timestamp::default()).expect("a Vec takes all bytes");
    }
    writer.finish().expect("a Vec takes all bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_has_an_archive_that_is_decoded() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/xor");
        let decode = |name: &str| {
            let newest = level(&std::fs::read(format!("{corpus}/{name}")).unwrap()).unwrap();
            let mut chain = Chain::new(vec![newest, level(&base()).unwrap()]).unwrap();
            chain.verify().map_err(|e| e.to_string())
        };
        assert_eq!(decode("valid"), Ok(()));
        assert!(decode("form").unwrap_err().contains("form of a page: expected 0 or 1, found 7"));
        assert!(decode("changed").unwrap_err().contains("was modified: expected sha256:"));
    }
}
