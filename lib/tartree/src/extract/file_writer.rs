//! Writes content and metadata of regular files on a worker thread, while the calling thread
//! continues to read the tar and creates the next files.
//!
//! Only the calling thread creates, replaces, links and removes names, in the order of the tar. It
//! passes each file to the worker as an open descriptor, together with the content and the
//! metadata. The worker does not use the file's name, so the calling thread can rename or remove a
//! file that the worker is still writing, and neither thread waits for the other.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::entry::{Meta, Xattr};
use crate::error::{Error, Result};
use crate::extract::set_metadata::Metadata;
use crate::fs::zero_pages::runs_of_data;
use crate::notice::{Notice, Notices};
use crate::parallel::policy::FILE_WRITER;
use crate::parallel::stage::{Process, Stage};
use crate::path::TarPath;

/// Bytes per batch. A batch is twice as large as the buffer of a reader: the first half takes the
/// bytes that the reader has buffered, and the rest of a file is read directly into batches.
const ROOM: usize = 512 << 10;
/// Files per batch. Each file is an open descriptor, so a batch cannot hold many files. A batch of
/// several files wakes the worker only once, which saves the cost of a few system calls per file.
const FILES: usize = 32;
/// Maximum number of steps per batch. The content of an entry can arrive in pieces of one byte, so
/// the size of a batch alone does not limit the number of steps.
const STEPS: usize = 4096;

/// Accepts files that were just created, one after another, and writes them.
pub(crate) struct FileWriter {
    /// The batch that is being filled.
    batch: Batch,
    writer: Stage<Writer>,
}

impl FileWriter {
    /// Returns a writer that sets the metadata of files with `metadata`.
    pub fn new(metadata: Metadata) -> FileWriter {
        let writer = Writer { metadata, open: None, failed: false };
        FileWriter { batch: Batch::default(), writer: Stage::new(&FILE_WRITER, writer) }
    }

    /// Starts to write `file`, which must be new and empty.
    pub fn open(&mut self, file: File, path: TarPath) {
        self.batch.steps.push(Step::Open(file, path));
    }

    /// Returns a buffer for the next bytes of the file: `left` bytes, or fewer if `left` exceeds
    /// the size of a batch.
    ///
    /// # Errors
    /// Returns the error of an earlier batch, which may concern another file.
    pub fn room(&mut self, left: u64, notices: &mut dyn Notices) -> Result<&mut [u8]> {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(ROOM);
        if ROOM - self.batch.filled < wanted || self.batch.steps.len() >= STEPS {
            self.submit(notices)?;
        }
        let filled = self.batch.filled;
        Ok(&mut self.batch.data[filled..filled + wanted])
    }

    /// Accepts the first `len` bytes of the buffer as the content from offset `at` on. With
    /// `holes`, zero pages in them are not written, because the new file already has holes there.
    pub fn data(&mut self, at: u64, len: usize, holes: bool) {
        let Batch { data, filled, steps, .. } = &mut self.batch;
        let start = *filled;
        *filled += len;
        if !holes {
            steps.push(Step::Data(at, start..start + len));
            return;
        }
        for run in runs_of_data(&data[start..start + len]) {
            steps.push(Step::Data(at + run.start as u64, start + run.start..start + run.end));
        }
    }

    /// Ends the file. `length` is its size if the file may not end with data. `inherited` has the
    /// same meaning as in [`Metadata::of_file`].
    ///
    /// # Errors
    /// Returns the same errors as [`room`](FileWriter::room).
    pub fn close(
        &mut self,
        meta: Meta,
        length: Option<u64>,
        inherited: bool,
        notices: &mut dyn Notices,
    ) -> Result<()> {
        // The xattrs of one file can take megabytes.
        self.batch.attributes +=
            meta.xattrs.iter().map(|x| size_of::<Xattr>() + x.name.len() + x.value.len()).sum::<usize>();
        self.batch.steps.push(Step::Close { meta, length, inherited });
        self.batch.files += 1;
        let most = if self.writer.has_thread() { FILES } else { 1 };
        if self.batch.files >= most || self.batch.attributes >= ROOM { self.submit(notices) } else { Ok(()) }
    }

    /// Waits until all files are written. Returns the record of metadata that could not be set.
    ///
    /// # Errors
    /// Returns the same errors as [`room`](FileWriter::room).
    pub fn finish(&mut self, notices: &mut dyn Notices) -> Result<Metadata> {
        self.submit(notices)?;
        self.writer.wait(&mut |batch| batch.report(notices))?;
        Ok(self.writer.finish().metadata)
    }

    fn submit(&mut self, notices: &mut dyn Notices) -> Result<()> {
        self.writer.submit(&mut self.batch);
        self.batch.report(notices)
    }
}

/// Writes the files that were submitted completely, even after an error elsewhere.
impl Drop for FileWriter {
    fn drop(&mut self) {
        // The caller has already received the first error.
        let _ = self.submit(&mut |_| ());
    }
}

/// The data that is submitted to the worker at once, and the notices that the worker returns.
struct Batch {
    data: Box<[u8]>,
    filled: usize,
    files: usize,
    /// Bytes in the xattrs of the files.
    attributes: usize,
    steps: Vec<Step>,
    notices: Vec<Notice>,
    failed: Option<Error>,
}

/// A step of writing files, one after another.
enum Step {
    Open(File, TarPath),
    /// Writes these bytes of the batch at this offset.
    Data(u64, Range<usize>),
    Close {
        meta: Meta,
        length: Option<u64>,
        inherited: bool,
    },
}

impl Default for Batch {
    fn default() -> Batch {
        let data = vec![0; ROOM].into_boxed_slice();
        let (steps, notices) = (Vec::new(), Vec::new());
        Batch { data, filled: 0, files: 0, attributes: 0, steps, notices, failed: None }
    }
}

impl Batch {
    /// Reports the notices and the error of a batch that the worker has returned.
    fn report(&mut self, notices: &mut dyn Notices) -> Result<()> {
        for notice in self.notices.drain(..) {
            notices.notice(notice);
        }
        self.failed.take().map_or(Ok(()), Err)
    }
}

/// Executes the steps.
struct Writer {
    metadata: Metadata,
    /// The file that is being written.
    open: Option<(File, TarPath)>,
    /// Whether an earlier step failed. Nothing is written after an error.
    failed: bool,
}

impl Writer {
    fn step(&mut self, step: Step, data: &[u8], notices: &mut Vec<Notice>) -> Result<()> {
        match (step, &self.open) {
            (Step::Open(file, path), _) => self.open = Some((file, path)),
            (Step::Data(at, bytes), Some((file, path))) => {
                file.write_all_at(&data[bytes], at).map_err(|e| Error::io(path, e))?;
            }
            (Step::Close { meta, length, inherited }, Some((file, path))) => {
                if let Some(length) = length {
                    file.set_len(length).map_err(|e| Error::io(path, e))?;
                }
                let mut notice = |notice| notices.push(notice);
                self.metadata.of_file(file, path, &meta, inherited, &mut notice)?;
                self.open = None;
            }
            // Every file begins with the step that opens it.
            (_, None) => {}
        }
        Ok(())
    }
}

impl Process for Writer {
    type Batch = Batch;

    fn process(&mut self, batch: &mut Batch) {
        let Batch { data, steps, notices, .. } = batch;
        for step in steps.drain(..) {
            if self.failed {
                break;
            }
            if let Err(e) = self.step(step, data, notices) {
                self.failed = true;
                batch.failed = Some(e);
            }
        }
        (batch.filled, batch.files, batch.attributes) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idmap::IdMaps;

    fn file(files: &mut FileWriter, meta: Meta, pieces: usize) {
        let mut none = |notice| panic!("{notice}");
        files.open(tempfile::tempfile().unwrap(), TarPath::parse(b"f").unwrap());
        for at in 0..pieces {
            files.room(1, &mut none).unwrap().fill(7);
            files.data(2 * at as u64, 1, false);
        }
        files.close(meta, None, false, &mut none).unwrap();
    }

    #[test]
    fn the_size_of_a_batch_is_limited_for_all_kinds_of_files() {
        let mut files = FileWriter::new(Metadata::new(IdMaps::default(), true));
        for _ in 0..100 {
            file(&mut files, Meta::default(), 3);
        }
        assert_eq!(files.writer.has_thread(), (FILE_WRITER.allows)());
        let value = vec![0; 30_000];
        let xattrs =
            (0..20).map(|n| Xattr { name: format!("none.{n}").into(), value: value.clone() }).collect();
        // No filesystem can store these xattrs. The notice comes back with the batch.
        files.open(tempfile::tempfile().unwrap(), TarPath::parse(b"f").unwrap());
        files.close(Meta { xattrs, ..Meta::default() }, None, false, &mut |_| ()).unwrap();
        assert_eq!(files.batch.files, 0);
        files.open(tempfile::tempfile().unwrap(), TarPath::parse(b"f").unwrap());
        for piece in 0..3 * STEPS as u64 {
            files.room(1, &mut |_| ()).unwrap().fill(7);
            files.data(2 * piece, 1, false);
        }
        assert!(files.batch.steps.len() <= STEPS + 2);
        assert!(files.finish(&mut |_| ()).is_ok());
    }
}
