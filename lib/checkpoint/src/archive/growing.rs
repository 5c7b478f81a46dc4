//! Writes members whose size is known only when they end.

use tartree::{Destination, Entry, RootName, Timestamp};

use super::write::{ArchiveWriter, whole_seconds};
use crate::error::Result;
use crate::member::Member;

/// The size in the header of a member that has not ended. An archive that ends before is therefore
/// detectably incomplete.
const UNKNOWN: u64 = 1 << 62;
/// Content begins at a multiple of this, so that file systems can share blocks with the archive.
const ALIGNMENT: u64 = 4096;
/// The minimum length of the header: two header blocks, and two blocks of records, which hold the
/// longest name and size.
const LEAST: u64 = 4 * 512;

/// A member that has not ended.
pub struct Growing {
    entry: Entry,
    /// The offset of the header in the archive.
    position: u64,
    len: usize,
    /// The offset of the content.
    start: u64,
}

/// A header that replaces the one in the archive.
pub struct Replacement {
    /// The offset in the archive.
    pub position: u64,
    /// The bytes of the header.
    pub header: Vec<u8>,
}

impl<W: Destination> ArchiveWriter<W> {
    /// Starts a member whose size is not known.
    ///
    /// # Errors
    /// Returns an error if the member was written before, or if writing to the output fails.
    pub fn grow(&mut self, member: &Member, mtime: Timestamp) -> Result<Growing> {
        let position = self.position();
        let end = (position + LEAST).next_multiple_of(ALIGNMENT);
        let len = usize::try_from(end - position).unwrap_or(usize::MAX);
        let entry = Entry::file(member.path(), UNKNOWN, member.mode(), whole_seconds(mtime));
        let mut header = Vec::new();
        tartree::encode_in(&mut header, &entry, RootName::Dot, len);
        self.add(member)?;
        self.sink.put(&header)?;
        Ok(Growing { entry, position, len: header.len(), start: self.position() })
    }

    /// Appends bytes to the member that [`grow`](ArchiveWriter::grow) started.
    ///
    /// # Errors
    /// Returns an error if writing to the output fails.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.sink.put(bytes)?)
    }

    /// Ends the member. The caller writes the header that is returned into the output.
    ///
    /// # Errors
    /// Returns an error if writing to the output fails.
    pub fn end(&mut self, member: Growing) -> Result<Replacement> {
        let Growing { entry, position, len, start } = member;
        let size = self.position() - start;
        self.sink.zeros(tartree::padding(size))?;
        let entry = Entry::file(entry.path, size, entry.meta.mode, entry.meta.mtime);
        let mut header = Vec::new();
        tartree::encode_in(&mut header, &entry, RootName::Dot, len);
        Ok(Replacement { position, header })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tartree::{Item, Limits, Reader, TarPath};

    #[test]
    fn a_replaced_header_has_the_size_of_the_member() {
        for (name, content) in
            [("a.tar".to_owned(), vec![b'x'; 5000]), (format!("{}.tar", "n".repeat(250)), vec![])]
        {
            let member = Member::of(&TarPath::parse(name.as_bytes()).unwrap());
            let mut writer = ArchiveWriter::new(Vec::new());
            writer.small(&Member::of(&TarPath::parse(b"x").unwrap()), b"1", Timestamp::default()).unwrap();
            let growing = writer.grow(&member, Timestamp::default()).unwrap();
            writer.append(&content).unwrap();
            let Replacement { position, header } = writer.end(growing).unwrap();
            let mut tar = writer.finish().unwrap();
            let incomplete = tar.clone();
            tar[position as usize..][..header.len()].copy_from_slice(&header);
            let entries = |tar: &[u8]| {
                let mut reader = Reader::new(tar, Limits::default());
                let mut sizes = Vec::new();
                while let Some(item) = reader.next()? {
                    let Item::Entry(entry) = item else { continue };
                    sizes.push((entry.path.to_string(), entry.kind.len(), reader.position() % ALIGNMENT));
                }
                Ok::<_, tartree::Error>(sizes)
            };
            assert_eq!(entries(&tar).unwrap()[1], (name, content.len() as u64, 0));
            assert!(entries(&incomplete).is_err());
        }
    }
}
