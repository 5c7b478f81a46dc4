//! Limits the bytes of xattrs of all directories in a tar: an extraction keeps them in memory until
//! its end.

use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::limits::Limit;

/// Bytes of xattrs that are always accepted.
const MIN_TOTAL: usize = 64 << 20;
/// Bytes of xattrs per directory that are accepted when the total exceeds [`MIN_TOTAL`]: enough for
/// a security label and an ACL. A few directories with megabytes of xattrs each would fill the
/// memory.
const PER_DIR: usize = 256;

/// Counts the xattrs of directories. Creation and extraction share this limit, so that writing a
/// tar fails if an extraction would reject it.
#[derive(Default)]
pub(crate) struct DirXattrLimit {
    bytes: usize,
    dirs: usize,
}

impl DirXattrLimit {
    /// Counts the xattrs of one more directory.
    ///
    /// # Errors
    /// Returns an error if the directories have more bytes of xattrs than an extraction keeps.
    pub fn add(&mut self, dir: &Entry) -> Result<()> {
        self.bytes += dir.meta.xattrs.iter().map(|x| x.name.len() + x.value.len()).sum::<usize>();
        let most = MIN_TOTAL.max(self.dirs.saturating_mul(PER_DIR));
        self.dirs += 1;
        if self.bytes <= most {
            return Ok(());
        }
        let what = format!("directories with more than {most} bytes of attributes");
        Err(Error::limit(&dir.path, Limit::DirectoryAttributes, what))
    }
}
