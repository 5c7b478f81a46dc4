//! Rejects entries that no reader would accept. So the error occurs when the tar is written, while
//! the data still exists, and not when the tar is read.

use crate::dir_xattr_limit::DirXattrLimit;
use crate::entry::{Entry, Kind, RootName};
use crate::error::{Error, Result};
use crate::format::encode::records_of;
use crate::limits::{Limit, Limits};

/// An entry whose names and xattrs have at most this many bytes in total is within all limits, in
/// every form in which a header can store them.
const ALWAYS_ACCEPTED: usize = 32 << 10;
/// The maximum number of bytes that are added to a header to align the content of a large file.
const ALIGNMENT_COMMENT: usize = 16 << 10;

/// Checks the entries of one tar against the default limits of every reader, except the limits that
/// a flag of the reader can raise.
#[derive(Default)]
pub struct ReaderLimits {
    dir_xattrs: DirXattrLimit,
}

impl ReaderLimits {
    /// Checks the next entry.
    ///
    /// # Errors
    /// Returns an error if a [`Reader`](crate::Reader) or an [`Extractor`](crate::Extractor) would
    /// reject the entry.
    pub fn check(&mut self, entry: &Entry, root: RootName) -> Result<()> {
        if matches!(entry.kind, Kind::Dir) {
            self.dir_xattrs.add(entry)?;
        }
        let link = match &entry.kind {
            Kind::Symlink { target } => target.len(),
            Kind::HardLink { target } => target.as_bytes().len(),
            _ => 0,
        };
        let attributes: usize = entry.meta.xattrs.iter().map(|x| x.name.len() + x.value.len() + 40).sum();
        if entry.path.as_bytes().len() + link + attributes <= ALWAYS_ACCEPTED {
            return Ok(());
        }
        let limits = Limits::default();
        let fail = |limit, what: String| Err(Error::limit(shortened(entry), limit, what));
        let records = records_of(entry, root);
        if records.longest_name > limits.name_bytes {
            let what = format!(
                "a name of {} bytes; readers accept at most {}",
                records.longest_name, limits.name_bytes
            );
            return fail(Limit::NameBytes, what);
        }
        if entry.meta.xattrs.len() > limits.records / 4 {
            let (count, most) = (entry.meta.xattrs.len(), limits.records / 4);
            return fail(Limit::Records, format!("{count} attributes; readers accept at most {most}"));
        }
        let most = limits.header_bytes as usize - ALIGNMENT_COMMENT;
        if records.bytes > most {
            let what = format!("{} bytes of attributes; readers accept at most {most}", records.bytes);
            return fail(Limit::HeaderBytes, what);
        }
        Ok(())
    }
}

/// Returns the path, or only its beginning and end if it is very long: 64 KiB would fill many
/// screens.
fn shortened(entry: &Entry) -> String {
    const END: usize = 100;
    let path = entry.path.to_string();
    let chars = path.chars().count();
    if chars <= 10 * END {
        return path;
    }
    let start: String = path.chars().take(END).collect();
    let end: String = path.chars().skip(chars - END).collect();
    format!("{start}[...]{end}")
}
