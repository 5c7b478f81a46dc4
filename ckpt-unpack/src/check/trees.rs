//! Looks up files where they will be after a restore: in the tars of an archive, and in directories
//! of the host.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Context;
use checkpoint::compress::Bound;
use checkpoint::tar_input::TarInput;
use checkpoint::{Member, VolumeName};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::libc;
use nix::sys::stat::fstat;
use tartree::{Item, Kind, Limits, Reader, Skip, TarPath};

/// The most files of an archive that are kept in memory. Files beyond it are not checked.
const MAX_FILES: usize = 1 << 20;

/// The result of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// There is no such file.
    Missing,
    /// The file has this type and mode, and this size in bytes.
    Found { mode: u32, size: u64 },
    /// It is not known what will be there.
    Unknown,
}

/// The files in the tars of an archive.
#[derive(Default)]
pub struct Archived {
    pub rootfs: Tree,
    pub shm: Option<Tree>,
    pub volumes: BTreeMap<VolumeName, Tree>,
}

impl Archived {
    /// Adds the tar in `member`. Returns `false` if the member is not such a tar.
    ///
    /// # Errors
    /// Returns an error if the tar cannot be read.
    pub fn add(
        &mut self,
        member: &Member,
        content: impl Skip,
        limits: Limits,
        bound: Bound,
    ) -> anyhow::Result<bool> {
        let tree = match member {
            Member::RootfsDiff => &mut self.rootfs,
            Member::DevShm => self.shm.insert(Tree::default()),
            Member::Volume(name) => self.volumes.entry(name.clone()).or_default(),
            _ => return Ok(false),
        };
        tree.read(content, limits, bound).with_context(|| member.to_string())?;
        Ok(true)
    }
}

/// The files in a tar.
#[derive(Default)]
pub struct Tree {
    files: BTreeMap<TarPath, Lookup>,
    truncated: bool,
}

impl Tree {
    fn read(&mut self, content: impl Skip, limits: Limits, bound: Bound) -> anyhow::Result<()> {
        let mut tar = Reader::skipping(TarInput::skipping(content, bound)?, limits);
        while let Some(item) = tar.next()? {
            let Item::Entry(entry) = item else { continue };
            if self.files.len() >= MAX_FILES {
                self.truncated = true;
                continue;
            }
            let of_type = |kind: libc::mode_t| Lookup::Found {
                mode: kind | entry.meta.mode & 0o7777,
                size: entry.kind.len(),
            };
            let file = match entry.kind {
                Kind::Dir => of_type(libc::S_IFDIR),
                Kind::File { .. } => of_type(libc::S_IFREG),
                Kind::Fifo => of_type(libc::S_IFIFO),
                Kind::Char { .. } => of_type(libc::S_IFCHR),
                Kind::Block { .. } => of_type(libc::S_IFBLK),
                // The target has the mode and the size.
                Kind::Symlink { .. } | Kind::HardLink { .. } => Lookup::Unknown,
            };
            self.files.insert(entry.path, file);
        }
        Ok(tar.drain()?)
    }

    /// Looks up a file in a tar with all files of a directory.
    pub fn file(&self, path: &TarPath) -> Lookup {
        let missing = if self.truncated { Lookup::Unknown } else { Lookup::Missing };
        self.files.get(path).copied().unwrap_or(if path.is_root() { Lookup::Unknown } else { missing })
    }

    /// Looks up a file in a tar with the changes of a directory. Returns `None` if the tar does not
    /// change it.
    pub fn changed(&self, path: &TarPath) -> Option<Lookup> {
        self.files.get(path).copied().or_else(|| self.truncated.then_some(Lookup::Unknown))
    }
}

/// Looks up a file below the directory `dir` of the host. Like CRIU, follows symbolic links, which
/// are resolved below `dir`.
pub fn on_host(dir: &Path, path: &TarPath) -> Lookup {
    let Ok(dir) = File::open(dir) else { return Lookup::Unknown };
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let name = if path.is_root() { ".".as_ref() } else { path.as_os_str() };
    match openat2(&dir, name, how).and_then(fstat) {
        Ok(status) => {
            Lookup::Found { mode: status.st_mode, size: u64::try_from(status.st_size).unwrap_or(0) }
        }
        Err(nix::errno::Errno::ENOENT | nix::errno::Errno::ENOTDIR) => Lookup::Missing,
        Err(_) => Lookup::Unknown,
    }
}

/// Returns the path of a file in an image, below the mount point `mount`.
pub fn below(path: &[u8], mount: &[u8]) -> Option<TarPath> {
    let rest = path.strip_prefix(mount)?;
    if rest.is_empty() { Some(TarPath::root()) } else { TarPath::parse(rest).ok() }
}

/// Returns a path of an image as text for a message.
pub fn text(path: &[u8]) -> String {
    cli::display_path(std::ffi::OsStr::from_bytes(path))
}
