//! The page index of a migration.

use checkpoint::precopy::{IndexWriter, PageIndex};

/// A page index that is accepted describes the same pages after it was written again.
pub fn page_index(bytes: &[u8]) {
    let Ok(index) = PageIndex::read("index", bytes, Some(bytes.len() as u64)) else { return };
    let mut writer = IndexWriter::new(Vec::new(), index.header()).expect("a Vec takes all bytes");
    for space in index.spaces() {
        writer.space(space).expect("a Vec takes all bytes");
        for page in index.space(space) {
            writer.page(*page).expect("the pages are in order");
        }
    }
    let written = writer.finish().expect("a Vec takes all bytes");
    let again = PageIndex::read("index", &written[..], None).expect("what was written is valid");
    assert_eq!(again.header(), index.header());
    assert!(again.spaces().eq(index.spaces()));
    for space in index.spaces() {
        assert_eq!(again.space(space), index.space(space));
    }
}
