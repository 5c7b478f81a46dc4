//! Creates inodes from entries. [`Walk`](crate::Walk) does the reverse.
//!
//! Directories get their metadata at the end, deepest first: creating a file changes the times of
//! its directory, and a default ACL would be inherited.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat};
use nix::unistd::{geteuid, linkat, symlinkat};

use crate::entry::{Entry, Kind};
use crate::error::{Error, Result};
use crate::extract::dir_metadata::DirMetadata;
use crate::extract::file_writer::FileWriter;
use crate::extract::merged_view::MergedView;
use crate::extract::set_metadata::{Metadata, first_mode};
use crate::format::reader::{Content, Direct, Item, Reader};
use crate::fs::errno;
use crate::fs::inherited_acl;
use crate::fs::remove::Keep;
use crate::fs::root::Root;
use crate::fs::stat::Status;
use crate::idmap::IdMaps;
use crate::notice::{Notice, Notices};
use crate::path::TarPath;

/// Minimum size of files that are moved inside the kernel, if the input supports it. For smaller
/// files, a reading and a writing thread are as fast, although they take twice the CPU time.
const WORTH_MOVING: u64 = 4 << 20;

/// Options for creating inodes.
#[derive(Clone, Debug, Default)]
pub struct ExtractOptions {
    /// Maps container IDs in the archive to IDs of the host.
    pub ids: IdMaps,
    /// Do not set owners: the inodes belong to the user who extracts.
    pub no_same_owner: bool,
    /// How device nodes are handled.
    pub devices: Devices,
    /// How zero pages in files are handled.
    pub zeros: Zeros,
    /// Whether extraction and removal enter filesystems that are mounted below the root. Otherwise
    /// an entry or a removal that would do so is an error.
    pub cross_mounts: bool,
}

/// How zero pages in the data of a file are handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zeros {
    /// Write zero pages as data: a program may have allocated the blocks so that it cannot run out
    /// of disk space later.
    #[default]
    Written,
    /// Replace zero pages by holes, except for a single page between data. A large part of memory
    /// images is zero pages, and no program writes to the images again.
    Holes,
}

/// How the device nodes in a tar are handled. A process that can open a device node outside its
/// container can access the disks and the memory of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Devices {
    /// Create the device nodes.
    #[default]
    Make,
    /// Skip the device nodes with a notice that states this reason.
    LeaveOut(&'static str),
}

impl Devices {
    /// Returns the setting for a root file system. Devices are created by default, because images
    /// contain device nodes.
    pub fn in_rootfs(no_devices: bool) -> Devices {
        if no_devices { Devices::LeaveOut("--no-devices is given") } else { Devices::Make }
    }

    /// Returns the setting for a volume. If the user is not root, device nodes are skipped and the
    /// rest of the volume is extracted.
    pub fn in_volume(no_devices: bool) -> Devices {
        match Devices::in_rootfs(no_devices) {
            Devices::Make if !geteuid().is_root() => Devices::LeaveOut("only root may create device nodes"),
            devices => devices,
        }
    }
}

/// Creates the inodes of a tar below a root.
pub struct Extractor {
    pub(super) root: Root,
    devices: Devices,
    zeros: Zeros,
    /// Sets the metadata of directories, links and nodes.
    pub(super) metadata: Metadata,
    files: FileWriter,
    /// The directories whose metadata is set at the end, in archive order.
    pub(super) dirs: DirMetadata,
    /// If the root is an overlay layer: the view of the layer and its image.
    pub(super) layer: Option<MergedView>,
    /// The parent of the last lookup, and whether it passes on a default ACL.
    inherits: Option<(Vec<u8>, bool)>,
}

impl Extractor {
    /// Extracts below `root`.
    pub fn new(mut root: Root, options: ExtractOptions) -> Extractor {
        let ExtractOptions { ids, no_same_owner, devices, zeros, cross_mounts } = options;
        if !cross_mounts {
            root.stay_on_its_mount();
        }
        let metadata = Metadata::new(ids, no_same_owner);
        let files = FileWriter::new(metadata.another());
        let dirs = DirMetadata::default();
        Extractor { root, devices, zeros, metadata, files, dirs, layer: None, inherits: None }
    }

    /// Creates the inode of `entry` and replaces an existing one. An existing directory stays and
    /// gets the metadata of the entry. `content` holds the content of a file. Another thread may
    /// write content and metadata of files until [`finish`](Extractor::finish) returns.
    ///
    /// # Errors
    /// Returns an error if the inode cannot be created, or if an earlier file could not be written.
    /// In both cases, an inode that existed at the path may already be removed.
    pub fn apply(&mut self, entry: &Entry, content: &mut impl Read, notices: &mut dyn Notices) -> Result<()> {
        self.apply_from(entry, content, |_, _, _| Some(0), notices)
    }

    /// Like [`apply`](Extractor::apply). `move_to` moves the content of a large file inside the
    /// kernel.
    fn apply_from<C: Read>(
        &mut self,
        entry: &Entry,
        content: &mut C,
        move_to: Direct<C>,
        notices: &mut dyn Notices,
    ) -> Result<()> {
        match self.layer {
            Some(_) => self.apply_to_layer(entry, content, move_to, notices),
            None => self.create_entry(entry, content, move_to, notices),
        }
    }

    /// Creates the inode of `entry` below the root.
    pub(super) fn create_entry<C: Read>(
        &mut self,
        entry: &Entry,
        content: &mut C,
        move_to: Direct<C>,
        notices: &mut dyn Notices,
    ) -> Result<()> {
        let path = &entry.path;
        if path.is_root() {
            return match entry.kind {
                // The root existed before and may have ACLs.
                Kind::Dir => self.dirs.push(entry, true),
                _ => Err(Error::malformed(path, "the root is not a directory")),
            };
        }
        match &entry.kind {
            Kind::Dir => {
                let made =
                    self.create(path, |dir, name| mkdirat(dir, name, Mode::S_IRWXU), Existing::KeepDir)?;
                let may_have_acls = !made || self.inherits_acl(path)?;
                self.dirs.push(entry, may_have_acls)
            }
            Kind::File { size, map } => {
                let mut file = None;
                let flags =
                    OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let mode = first_mode(&entry.meta);
                self.create(
                    path,
                    |dir, name| openat(dir, name, flags, mode).map(|fd| file = Some(File::from(fd))),
                    Existing::Replace,
                )?;
                let Some(file) = file else { return Ok(()) };
                let large = map.is_none() && self.zeros == Zeros::Written && *size >= WORTH_MOVING;
                let mut direct = large.then(|| file.try_clone().ok()).flatten().map(|file| (file, move_to));
                self.files.open(file, path.clone());
                let whole = [(0, *size)];
                for &segment in map.as_ref().map_or(&whole[..], |map| &map.0) {
                    self.fill(path, segment, content, direct.take(), notices)?;
                }
                let may_end_in_a_hole = map.is_some() || self.zeros == Zeros::Holes;
                let inherited = self.inherits_acl(path)?;
                self.files.close(entry.meta.clone(), may_end_in_a_hole.then_some(*size), inherited, notices)
            }
            Kind::Symlink { target } => {
                let target = OsStr::from_bytes(target);
                self.create(path, |dir, name| symlinkat(target, dir, name), Existing::Replace)?;
                self.finish_node(entry, notices)
            }
            Kind::HardLink { target } => self.link(path, target),
            Kind::Char { major, minor } => self.node(entry, SFlag::S_IFCHR, (*major, *minor), notices),
            Kind::Block { major, minor } => self.node(entry, SFlag::S_IFBLK, (*major, *minor), notices),
            Kind::Fifo => self.node(entry, SFlag::S_IFIFO, (0, 0), notices),
        }
    }

    /// Removes the inode at `path`, except the entries that `keep` keeps. Returns whether nothing
    /// of the inode is left, which is also the case if a parent is missing or not a directory.
    ///
    /// # Errors
    /// Returns [`Error::ThroughLink`] if the parent is reached through a symbolic link,
    /// [`Error::Mounted`] before anything is removed if mounts must not be crossed, and an error if
    /// an entry cannot be removed, for example a mount point.
    pub fn remove(&mut self, path: &TarPath, keep: &mut dyn FnMut(&TarPath) -> Keep) -> Result<bool> {
        self.inherits = None;
        match self.layer {
            Some(_) => self.remove_from_layer(path, keep),
            None => self.remove_in_root(path, keep),
        }
    }

    /// Removes the inode at `path` below the root.
    pub(super) fn remove_in_root(
        &mut self,
        path: &TarPath,
        keep: &mut dyn FnMut(&TarPath) -> Keep,
    ) -> Result<bool> {
        self.inherits = None;
        let gone = self.root.remove(path, keep)?;
        if !gone && self.root.has_mounts_to_keep(path) {
            return Err(Error::io(format!("{path}: is or has a mount point"), Errno::EBUSY));
        }
        Ok(gone)
    }

    /// Removes all content of the root. If mounts may be crossed, mounted directories are emptied
    /// and the mount points stay.
    ///
    /// # Errors
    /// Returns the same errors as [`remove`](Extractor::remove).
    pub fn empty(&mut self) -> Result<()> {
        let root = TarPath::root();
        let names =
            crate::fs::readdir::names(self.root.fd(), ".".as_ref()).map_err(|e| Error::io(&root, e))?;
        if !names.is_empty() {
            self.root.has_no_mounts(&root)?;
        }
        for name in names {
            self.root.remove(&root.child(name.to_bytes()), &mut |_| Keep::Remove)?;
        }
        Ok(())
    }

    /// Lists the entries of the root directory, and those of the image below an overlay layer.
    ///
    /// # Errors
    /// Returns an error if a directory cannot be read.
    pub fn top_level(&self) -> Result<Vec<TarPath>> {
        let mut all = BTreeSet::new();
        for root in [Some(&self.root), self.layer.as_ref().map(MergedView::image)].into_iter().flatten() {
            let names = crate::fs::readdir::names(root.fd(), OsStr::new("."));
            let names = names.map_err(|e| Error::io(TarPath::root(), e))?;
            all.extend(names.iter().map(|name| TarPath::root().child(name.to_bytes())));
        }
        Ok(all.into_iter().collect())
    }

    /// Waits until all files are written, and sets the metadata of the directories. Without this
    /// call, directories lack owners, modes and times.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written or the metadata of a directory cannot be set.
    pub fn finish(mut self, notices: &mut dyn Notices) -> Result<()> {
        self.metadata.add(self.files.finish(notices)?);
        for (entry, may_have_acls) in self.dirs.deepest_first() {
            let path = &entry.path;
            let fd = match self.root.dir(path.as_bytes()).and_then(|fd| fd.try_clone_to_owned()) {
                Ok(fd) => fd,
                // A later entry replaced the directory, or the deletion list removed it.
                Err(e) if errno::is_gone(&e) => continue,
                Err(e) => return Err(self.root.parent_error(path, e)),
            };
            self.metadata.of_pinned(&fd, &entry, may_have_acls, notices)?;
        }
        self.metadata.tell(notices);
        Ok(())
    }

    /// Runs `make`. If an inode already exists at the path, removes it and runs `make` again.
    /// Returns whether `make` created an inode.
    fn create(
        &mut self,
        path: &TarPath,
        mut make: impl FnMut(BorrowedFd<'_>, &OsStr) -> nix::Result<()>,
        existing: Existing,
    ) -> Result<bool> {
        let (dir, name) = self.root.make_parent(path)?;
        match make(dir, name) {
            Ok(()) => return Ok(true),
            Err(Errno::EEXIST) => {}
            Err(e) => return Err(errno::error(dir, name, path, e)),
        }
        if existing == Existing::KeepDir {
            if let Some(status) = Status::at(dir, name).ok().filter(Status::is_dir) {
                self.root.on_its_mount(path, &status)?;
                return Ok(false);
            }
        }
        self.remove_in_root(path, &mut |_| Keep::Remove)?;
        let (dir, name) = self.root.make_parent(path)?;
        make(dir, name).map_err(|e| errno::error(dir, name, path, e))?;
        Ok(true)
    }

    /// Moves `len` bytes of `content` to offset `at` of the file: through the writer of the file,
    /// or inside the kernel.
    fn fill<C: Read>(
        &mut self,
        path: &TarPath,
        (mut at, len): (u64, u64),
        content: &mut C,
        mut direct: Option<(File, Direct<C>)>,
        notices: &mut dyn Notices,
    ) -> Result<()> {
        let end = at + len;
        while at < end {
            if let Some((file, move_to)) = &mut direct {
                file.seek(SeekFrom::Start(at)).map_err(|e| Error::io(path, e))?;
                if let Some(moved) = move_to(content, file.as_fd(), end - at) {
                    // The remaining bytes are read and written, which also reports any error.
                    at += moved;
                    direct = None;
                    continue;
                }
            }
            let room = self.files.room(end - at, notices)?;
            // Until content can be moved, one read at a time: it empties a buffer and does not
            // refill it.
            let at_least = if direct.is_some() { 1 } else { room.len() };
            let read = read_at_least(content, room, at_least, path)?;
            self.files.data(at, read, self.zeros == Zeros::Holes);
            at += read as u64;
        }
        Ok(())
    }

    fn link(&mut self, path: &TarPath, target: &TarPath) -> Result<()> {
        if target.is_root() || path == target {
            return Err(Error::malformed(path, format!("hard link to {target}")));
        }
        let (target_dir, target_name) = match self.root.parent(target) {
            Ok((dir, name)) => (dir.try_clone_to_owned().map_err(|e| Error::io(target, e))?, name),
            Err(e) => return Err(self.root.parent_error(target, e)),
        };
        let aim = Status::at(target_dir.as_fd(), target_name)
            .map_err(|e| Error::io(format!("{path}: hard link to {target}"), e))?;
        self.root.on_its_mount(target, &aim)?;
        if aim.is_dir() {
            return Err(Error::malformed(path, format!("hard link to {target}, which is a directory")));
        }
        let already = self.root.parent(path).is_ok_and(|(dir, name)| {
            Status::at(dir, name).is_ok_and(|status| status.identity() == aim.identity())
        });
        if already {
            return Ok(());
        }
        let make = |dir: BorrowedFd<'_>, name: &OsStr| {
            linkat(target_dir.as_fd(), target_name, dir, name, AtFlags::empty())
        };
        // The metadata belongs to the inode and was set with its first name.
        self.create(path, make, Existing::Replace)?;
        Ok(())
    }

    fn node(
        &mut self,
        entry: &Entry,
        kind: SFlag,
        (major, minor): (u32, u32),
        notices: &mut dyn Notices,
    ) -> Result<()> {
        if let (Devices::LeaveOut(why), SFlag::S_IFCHR | SFlag::S_IFBLK) = (self.devices, kind) {
            let what = format!("device {major}:{minor}");
            notices.notice(Notice::NotMade { path: entry.path.clone(), what, why });
            return Ok(());
        }
        let device = makedev(u64::from(major), u64::from(minor));
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let make = |dir: BorrowedFd<'_>, name: &OsStr| mknodat(dir, name, kind, mode, device);
        self.create(&entry.path, make, Existing::Replace).map_err(|e| match e {
            Error::Io { source, .. }
                if kind != SFlag::S_IFIFO && source.raw_os_error() == Some(libc::EPERM) =>
            {
                let device = format!("device {major}:{minor}");
                Error::Device { object: entry.path.to_string(), device, source }
            }
            e => e,
        })?;
        self.finish_node(entry, notices)
    }

    /// Sets the metadata of a link, device or FIFO. These inodes must not be opened for reading, so
    /// an `O_PATH` descriptor is used. The descriptor also ensures that the inode is not replaced
    /// meanwhile.
    fn finish_node(&mut self, entry: &Entry, notices: &mut dyn Notices) -> Result<()> {
        let path = &entry.path;
        let inherited = self.inherits_acl(path)?;
        let (dir, name) = self.root.parent(path).map_err(|e| Error::io(path, e))?;
        let node = openat(dir, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|e| Error::io(path, e))?;
        let status = Status::at(node.as_fd(), OsStr::new("")).map_err(|e| Error::io(path, e))?;
        if !status.is(&entry.kind) {
            return Err(Error::malformed(path, "another process replaced it while it was created"));
        }
        self.metadata.of_pinned(&node, entry, inherited, notices)
    }

    /// Reports whether new inodes next to `path` inherit an ACL that they must not keep.
    fn inherits_acl(&mut self, path: &TarPath) -> Result<bool> {
        let Some((parent, _)) = path.split() else { return Ok(false) };
        if let Some((known, inherits)) = &self.inherits {
            if known == parent {
                return Ok(*inherits);
            }
        }
        let dir = self.root.dir(parent).map_err(|e| Error::io(path, e))?;
        let inherits = inherited_acl::is_handed_down(dir);
        self.inherits = Some((parent.to_vec(), inherits));
        Ok(inherits)
    }
}

/// How an existing inode at the path of an entry is handled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Replace,
    KeepDir,
}

/// Extracts a complete tar and passes each entry to `made` after the entry is created. Never
/// deletes inodes: removals belong to diffs of a root file system, whose reader handles them.
///
/// # Errors
/// Returns an error for the first entry that is malformed or cannot be created, and
/// [`Error::Removal`] for the first removal. Call [`Extractor::finish`] only after success.
pub fn extract_tar<R: Read>(
    reader: &mut Reader<R>,
    extractor: &mut Extractor,
    notices: &mut dyn Notices,
    mut made: impl FnMut(&Entry),
) -> Result<()> {
    while let Some(item) = reader.next()? {
        match item {
            Item::Entry(entry) => {
                extractor.apply_from(&entry, &mut reader.content(), Content::move_to, notices)?;
                made(&entry);
            }
            Item::Removal(path) => return Err(Error::Removal { object: path.to_string() }),
        }
    }
    Ok(())
}

/// Reads the next bytes of the content of `path` into `room`, at least `at_least`, and returns
/// their number.
fn read_at_least(content: &mut impl Read, room: &mut [u8], at_least: usize, path: &TarPath) -> Result<usize> {
    let mut got = 0;
    while got < at_least {
        match content.read(&mut room[got..]) {
            Ok(0) => return Err(Error::Truncated { object: path.to_string() }),
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::Stream(e)),
        }
    }
    Ok(got)
}
