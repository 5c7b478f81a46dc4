//! Recognizes the kind of an input by the names of its first entries.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use tartree::{Item, Limits, Reader, TarPath};

use crate::compress::Decoder;
use crate::documents::pod::{PodDump, PodOptions};
use crate::member::Member;
use crate::oci::is_layout;

/// Compressed bytes within which the first entries must be found. bzip2 needs the most: a block of
/// 900 kB.
const HEAD: u64 = 4 << 20;

/// The kind of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputKind {
    /// A checkpoint archive. Any fault of the input is reported when the archive is read.
    Archive,
    /// An OCI image.
    Image,
    /// A pod archive.
    Pod,
}

/// Reads up to the first entry below the root, or up to the second entry if the first one is
/// `pod.options`. Returns the bytes that were read, and the kind of the input.
///
/// # Errors
/// Returns an error if reading from `file` fails.
pub(super) fn recognize(file: &File) -> io::Result<(Vec<u8>, InputKind)> {
    let mut recorder = Recorder { file, read: Vec::new(), failed: None };
    let kind = kind(BufReader::new((&mut recorder).take(HEAD)));
    match recorder.failed {
        Some(e) => Err(e),
        None => Ok((recorder.read, kind)),
    }
}

fn kind(input: impl BufRead) -> InputKind {
    let Ok(decoder) = Decoder::new(input) else { return InputKind::Archive };
    let mut reader = Reader::new(BufReader::new(decoder), Limits::default());
    match next_path(&mut reader) {
        Some(path) if is_layout(&path) => InputKind::Image,
        Some(path) if Member::of(&path) == PodOptions::member() => match next_path(&mut reader) {
            Some(second) if is_of_a_container(&Member::of(&second)) => InputKind::Archive,
            _ => InputKind::Pod,
        },
        _ => InputKind::Archive,
    }
}

/// Returns whether a member next to `pod.options` shows that the archive is that of a container.
/// Engines reserve the name `pod.options` in such archives.
fn is_of_a_container(member: &Member) -> bool {
    match member {
        Member::Foreign(_) => *member != PodDump::member(),
        Member::Unknown(_) | Member::NetworkStatus | Member::DevShm | Member::Volume(_) => false,
        _ => true,
    }
}

fn next_path(reader: &mut Reader<impl Read>) -> Option<TarPath> {
    loop {
        match reader.next().ok()?? {
            // A directory that was packed as `.` begins with the root itself.
            Item::Entry(entry) if !entry.path.is_root() => return Some(entry.path),
            _ => {}
        }
    }
}

/// A reader that keeps every byte it returns.
struct Recorder<'a> {
    file: &'a File,
    read: Vec<u8>,
    /// The error that ended reading. The readers above would report it as a damaged archive.
    failed: Option<io::Error>,
}

impl Read for Recorder<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = match self.file.read(buf) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                let returned = io::Error::from(e.kind());
                self.failed = Some(e);
                return Err(returned);
            }
            read => read?,
        };
        self.read.extend_from_slice(&buf[..got]);
        Ok(got)
    }
}
