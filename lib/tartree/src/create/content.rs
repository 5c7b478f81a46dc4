//! Writes the content of files, with exactly the length that each header states.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsFd;

use crate::create::reader_limits::ReaderLimits;
use crate::create::sink::{Destination, Sink};
use crate::create::walk::Found;
use crate::entry::{Entry, Kind, RootName, Timestamp};
use crate::error::{Error, Result};
use crate::format::encode::{encode_aligned, padding};
use crate::fs::errno::is_gone;
use crate::fs::root::Root;
use crate::fs::stat::Status;
use crate::notice::{Notice, Notices};

/// Files of at least this size are checked for changes after reading; smaller files are read by a
/// single call.
const CHECK_AFTERWARDS: u64 = 64 << 10;

/// Writes an inode that a walk has just found: header, content and padding. Files that the walk did
/// not open are opened below `source`.
///
/// # Errors
/// Returns the errors of [`write_content`], and an error if a reader would reject the entry.
pub fn write_found<W: Destination>(
    sink: &mut Sink<W>,
    found: Found,
    name: RootName,
    source: &mut Root,
    reader_limits: &mut ReaderLimits,
    notices: &mut dyn Notices,
) -> Result<()> {
    let Found { entry, status, file } = found;
    reader_limits.check(&entry, name)?;
    let position = sink.position();
    sink.encoded(|out| encode_aligned(out, &entry, name, position))?;
    let ino = status.identity().ino;
    match (&entry.kind, file) {
        (Kind::File { .. }, Some(file)) => {
            let expected = Expected { ino, size: status.size(), mtime: status.mtime() };
            content(sink, file, &entry, &expected, None, notices)
        }
        (Kind::File { .. }, None) => {
            let opened = source.open_file(&entry.path);
            write_content(sink, opened, &entry, ino, notices)
        }
        _ => Ok(()),
    }
}

/// Writes the content of the file `entry`, with exactly the length that the entry states, and its
/// padding. `opened` is the file, or the error of opening it. Reports a file that has changed since
/// the entry was made.
///
/// # Errors
/// Returns an error if writing to the output fails, or if the file still exists and cannot be read.
pub fn write_content<W: Destination>(
    sink: &mut Sink<W>,
    opened: io::Result<File>,
    entry: &Entry,
    ino: u64,
    notices: &mut dyn Notices,
) -> Result<()> {
    let Kind::File { size, .. } = &entry.kind else { return Ok(()) };
    let file_error = |e| Error::io(&entry.path, e);
    let how = match opened {
        Err(e) if is_gone(&e) => "vanished",
        Err(e) => return Err(file_error(e)),
        Ok(file) => {
            let expected = Expected { ino, size: *size, mtime: entry.meta.mtime };
            match expected.compare(&file).map_err(file_error)? {
                Some(how @ CHANGED_TYPE) => how,
                how => return content(sink, file, entry, &expected, how, notices),
            }
        }
    };
    let total = entry.kind.data_len();
    sink.zeros(total + padding(total))?;
    notices.notice(Notice::Changed { path: entry.path.clone(), how });
    Ok(())
}

/// Writes the content of `file`, padded with zeros to the length that `entry` states. `how`
/// describes a change that was already detected, if any.
fn content<W: Destination>(
    sink: &mut Sink<W>,
    mut file: File,
    entry: &Entry,
    expected: &Expected,
    mut how: Option<&'static str>,
    notices: &mut dyn Notices,
) -> Result<()> {
    let Kind::File { size, map } = &entry.kind else { return Ok(()) };
    let file_error = |e: io::Error| Error::io(&entry.path, e);
    let whole = [(0, *size)];
    let segments = map.as_ref().map_or(&whole[..], |map| &map.0);
    for &(offset, len) in segments {
        if map.is_some() {
            file.seek(SeekFrom::Start(offset)).map_err(file_error)?;
        }
        let got = sink.fill_from(&mut file, len)?.map_err(file_error)?;
        if got < len {
            how = how.or(Some("shrank"));
            sink.zeros(len - got)?;
        }
    }
    if how.is_none() && *size >= CHECK_AFTERWARDS {
        how = expected.compare(&file).map_err(file_error)?;
    }
    sink.zeros(padding(entry.kind.data_len()))?;
    if let Some(how) = how {
        notices.notice(Notice::Changed { path: entry.path.clone(), how });
    }
    Ok(())
}

const CHANGED_TYPE: &str = "changed its type";

/// The status of a file when its entry was made.
struct Expected {
    ino: u64,
    size: u64,
    mtime: Timestamp,
}

impl Expected {
    /// Returns a description of what has changed since the entry was made, or `None` if nothing has
    /// changed.
    fn compare(&self, file: &File) -> io::Result<Option<&'static str>> {
        let status = Status::at(file.as_fd(), OsStr::new(""))?;
        Ok(if !status.is_file() {
            Some(CHANGED_TYPE)
        } else if status.identity().ino != self.ino {
            Some("was replaced")
        } else if status.size() > self.size {
            Some("grew")
        } else if status.size() < self.size {
            Some("shrank")
        } else if status.mtime() != self.mtime {
            Some("was written to")
        } else {
            None
        })
    }
}
