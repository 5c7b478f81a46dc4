//! The output of a tool: standard output, or a file that appears under its name only when it is
//! complete.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::fcntl::{AT_FDCWD, AtFlags, FcntlArg, fcntl};
use nix::unistd::linkat;

use super::{private, sync};
use crate::error::{Hint, usage};
use crate::messages::display::display_path;
use crate::signal::Temporary;

/// The error of a write to standard output whose reader has closed the pipe.
#[derive(Debug)]
pub struct ReaderGone;

impl std::fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the reader of standard output has exited")
    }
}

impl std::error::Error for ReaderGone {}

/// The kind of content, which determines whether it may be written to a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Text.
    Text,
    /// A tar or an archive, which is not written to a terminal.
    Binary,
}

enum Sink {
    Stdout(File),
    /// A device or FIFO. It is opened for writing, because a rename would replace it by a regular
    /// file.
    InPlace(File),
    /// A file that has no name until [`Output::commit`] links it at this path.
    Unnamed(File, PathBuf),
    /// A file with a temporary name, on a file system without unnamed files (NFS, FUSE).
    Named(Named, PathBuf),
}

/// A temporary file that is also removed on a signal.
struct Named {
    file: tempfile::NamedTempFile,
    _removed: Temporary,
}

impl Named {
    /// Creates the file in `dir`, with mode 0600 and without ACLs.
    fn new(dir: &Path) -> io::Result<Named> {
        let mut removed = None;
        let prefix = format!(".ckpt-{}-", std::process::id());
        let file = tempfile::Builder::new().prefix(&prefix).make_in(dir, |path| {
            removed = Some(Temporary::new(path));
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
        })?;
        let _removed = removed.unwrap_or_else(|| Temporary::new(file.path()));
        private::file(file.as_file())?;
        Ok(Named { file, _removed })
    }
}

/// An output that is either complete or absent. If it is dropped without
/// [`commit`](Output::commit), no file exists under the final name.
pub struct Output {
    sink: Sink,
    name: String,
    fsync: bool,
}

impl Output {
    /// Opens `path` for binary data. `None` and `-` mean standard output.
    ///
    /// # Errors
    /// Returns a usage error if standard output is a terminal, and an error if no file can be
    /// created in the directory.
    pub fn binary(path: Option<&Path>) -> anyhow::Result<Output> {
        Output::open(path, Content::Binary)
    }

    /// Opens `path` for text. `None` and `-` mean standard output.
    ///
    /// # Errors
    /// Returns an error if no file can be created in the directory.
    pub fn text(path: Option<&Path>) -> anyhow::Result<Output> {
        Output::open(path, Content::Text)
    }

    fn open(path: Option<&Path>, content: Content) -> anyhow::Result<Output> {
        match path {
            Some(path) if path != Path::new("-") => {
                let sink = file_sink(path).with_context(|| display_path(path))?;
                Ok(Output { sink, name: display_path(path), fsync: false })
            }
            _ => {
                if super::stdout_is_closed() {
                    return Err(io::Error::from(nix::errno::Errno::EBADF)).context("standard output");
                }
                let stdout = io::stdout();
                if content == Content::Binary && stdout.is_terminal() {
                    return Err(Hint::on(
                        usage("refusing to write an archive to a terminal"),
                        "redirect it, or use -o FILE",
                    ));
                }
                let file = File::from(stdout.as_fd().try_clone_to_owned().context("standard output")?);
                if content == Content::Binary {
                    enlarge_pipe(&file);
                }
                Ok(Output { sink: Sink::Stdout(file), name: "standard output".into(), fsync: false })
            }
        }
    }

    /// Makes [`commit`](Output::commit) write the content to the disk, give the file its name, and
    /// then write the directory to the disk, if `fsync` is set. The file then survives a power
    /// loss.
    #[must_use]
    pub fn synced(self, fsync: bool) -> Output {
        Output { fsync, ..self }
    }

    /// Returns the name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives the complete file its name. An existing file is replaced atomically.
    ///
    /// # Errors
    /// Returns an error if the file cannot be linked or renamed. An existing file is then
    /// unchanged.
    pub fn commit(self) -> anyhow::Result<()> {
        if self.fsync {
            self.file().sync_all().with_context(|| format!("{}: not written to the disk", self.name))?;
        }
        let name = self.name;
        let path = match self.sink {
            Sink::Stdout(_) | Sink::InPlace(_) => return Ok(()),
            Sink::Unnamed(file, path) => {
                give_name(&file, &path).with_context(|| name)?;
                path
            }
            Sink::Named(named, path) => {
                named.file.persist(&path).map_err(|e| e.error).with_context(|| name)?;
                path
            }
        };
        if self.fsync { sync::directory(directory_of(&path)) } else { Ok(()) }
    }

    fn file(&self) -> &File {
        match &self.sink {
            Sink::Stdout(file) | Sink::InPlace(file) | Sink::Unnamed(file, _) => file,
            Sink::Named(named, _) => named.file.as_file(),
        }
    }
}

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self.file().write(buf) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe && matches!(self.sink, Sink::Stdout(_)) => {
                Err(io::Error::other(ReaderGone))
            }
            Err(e) => Err(io::Error::new(e.kind(), NamedError { name: self.name.clone(), error: e })),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file().as_fd()
    }
}

/// A write error with the name of its output.
#[derive(Debug)]
struct NamedError {
    name: String,
    error: io::Error,
}

impl std::fmt::Display for NamedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.error)
    }
}

impl std::error::Error for NamedError {}

/// The largest pipe buffer that a process may set without privilege (/proc/sys/fs/pipe-max-size).
/// It is 16 times the default, so writer and reader wake each other a sixteenth as often.
const PIPE_SIZE: libc::c_int = 1 << 20;

/// Enlarges the buffer of `file` if it is a pipe. If the kernel does not permit this, the pipe
/// keeps its buffer size.
fn enlarge_pipe(file: &File) {
    if fcntl(file, FcntlArg::F_GETPIPE_SZ).is_ok_and(|size| size < PIPE_SIZE) {
        let _ = fcntl(file, FcntlArg::F_SETPIPE_SZ(PIPE_SIZE));
    }
}

fn file_sink(path: &Path) -> io::Result<Sink> {
    // Symbolic links are resolved, so that the target is replaced and not the link.
    let path = match fs::canonicalize(path) {
        Ok(real) => real,
        Err(e) if e.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
        Err(e) => return Err(e),
    };
    if let Ok(meta) = fs::metadata(&path) {
        let kind = meta.file_type();
        if kind.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        if kind.is_char_device() || kind.is_block_device() || kind.is_fifo() {
            return Ok(Sink::InPlace(OpenOptions::new().write(true).open(&path)?));
        }
    }
    let dir = directory_of(&path);
    // The mode is 0600 since an archive contains the memory of a process, including its keys.
    match OpenOptions::new().read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(dir) {
        Ok(file) => {
            private::file(&file)?;
            Ok(Sink::Unnamed(file, path))
        }
        Err(e) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)) => {
            Ok(Sink::Named(Named::new(dir)?, path))
        }
        Err(e) => Err(e),
    }
}

/// Creates an unnamed file for data that must be complete before it is read or passed on. The
/// kernel removes it when the process exits. It is created in `dir`, else in `$TMPDIR`, else in
/// /var/tmp, since it may be larger than the memory.
///
/// # Errors
/// Returns an error that names the directory if no file can be created there.
pub fn spool(dir: Option<&Path>) -> anyhow::Result<File> {
    let temporary = std::env::var_os("TMPDIR").filter(|dir| !dir.is_empty());
    let dir = match (dir, &temporary) {
        (Some(dir), _) => dir,
        (None, Some(dir)) => Path::new(dir),
        (None, None) => Path::new("/var/tmp"),
    };
    tempfile::tempfile_in(dir)
        .with_context(|| format!("{}: cannot create an unnamed file", display_path(dir)))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Links the unnamed `file` to `path`. linkat(2) cannot replace an existing file; to replace an
/// existing file, this function links the file to a temporary name in the same directory and
/// renames that name. Only a SIGKILL between these two calls leaves the temporary name behind.
fn give_name(file: &File, path: &Path) -> io::Result<()> {
    let unnamed = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let link = |path: &Path| linkat(AT_FDCWD, &unnamed, AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW);
    match link(path) {
        Err(nix::errno::Errno::EEXIST) => {}
        done => return Ok(done?),
    }
    let dir = directory_of(path);
    for attempt in 0..1000 {
        let temporary = dir.join(format!(".ckpt-{}-{attempt}", std::process::id()));
        if fs::symlink_metadata(&temporary).is_ok() {
            // A process in another PID namespace may use this name. It must not be registered for
            // removal on a signal.
            continue;
        }
        let _removed = Temporary::new(&temporary);
        match link(&temporary) {
            Ok(()) => {
                return fs::rename(&temporary, path).inspect_err(|_| {
                    let _ = fs::remove_file(&temporary);
                });
            }
            Err(nix::errno::Errno::EEXIST) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn output_is_absent_until_committed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        fs::write(&path, "old").unwrap();
        let mut output = Output::binary(Some(&path)).unwrap();
        output.write_all(b"new").unwrap();
        drop(output);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let mut output = Output::binary(Some(&path)).unwrap();
        output.write_all(b"new").unwrap();
        output.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(entries(dir.path()), ["out"]);
    }

    #[test]
    fn a_device_is_written_in_place() {
        let mut output = Output::binary(Some(Path::new("/dev/null"))).unwrap();
        output.write_all(b"x").unwrap();
        output.commit().unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    }

    #[test]
    fn the_target_of_a_symbolic_link_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("real"), "old").unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        let mut output = Output::binary(Some(&dir.path().join("link"))).unwrap();
        output.write_all(b"new").unwrap();
        output.commit().unwrap();
        assert_eq!(fs::read(dir.path().join("real")).unwrap(), b"new");
        assert!(fs::symlink_metadata(dir.path().join("link")).unwrap().file_type().is_symlink());
    }
}
