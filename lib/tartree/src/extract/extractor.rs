//! Entries to inodes: the twin of [`Walk`](crate::Walk).
//!
//! Directories get their metadata at the end, deepest first, since making a file changes the times of its directory
//! and a default ACL would be inherited.

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

/// Files of so many bytes and more are moved, where the input can do that: to read and to write them is as fast with two threads,
/// but takes twice the work.
const WORTH_MOVING: u64 = 4 << 20;

/// How entries become inodes.
#[derive(Clone, Debug, Default)]
pub struct ExtractOptions {
    /// Container ids of the archive to ids of this host.
    pub ids: IdMaps,
    /// Do not set owners; the objects belong to who extracts.
    pub no_same_owner: bool,
    /// What becomes of device nodes.
    pub devices: Devices,
    /// What becomes of the zeros in files.
    pub zeros: Zeros,
    /// Whether filesystems that are mounted below the root are written to and emptied like the rest. Otherwise
    /// an entry or a removal that would do so is an error.
    pub cross_mounts: bool,
}

/// What becomes of pages of zeros in the data of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zeros {
    /// They are written: a program may have allocated the blocks so as not to meet a full disk later.
    #[default]
    Written,
    /// They become holes, but for a single page between data. The images of a process's memory are full of them, and
    /// nobody writes into these again.
    Holes,
}

/// What becomes of the device nodes of a tar. One in the wrong place is a way to the disks and the memory of the host for
/// whoever can open it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Devices {
    /// They are made.
    #[default]
    Make,
    /// They are left out and noticed, for this reason.
    LeaveOut(&'static str),
}

impl Devices {
    /// For a root file system: images have devices.
    pub fn in_rootfs(no_devices: bool) -> Devices {
        if no_devices { Devices::LeaveOut("left out, as asked") } else { Devices::Make }
    }

    /// For a volume, of which an ordinary user may have all the rest.
    pub fn in_volume(no_devices: bool) -> Devices {
        match Devices::in_rootfs(no_devices) {
            Devices::Make if !geteuid().is_root() => Devices::LeaveOut("only root may make devices"),
            devices => devices,
        }
    }
}

/// Makes the objects of a tar below a root.
pub struct Extractor {
    root: Root,
    devices: Devices,
    zeros: Zeros,
    /// Of directories, links and nodes.
    metadata: Metadata,
    files: FileWriter,
    /// Directories whose metadata is set at the end, in archive order.
    dirs: DirMetadata,
    /// The parent that was asked last, and whether it hands down a default ACL.
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
        Extractor { root, devices, zeros, metadata, files, dirs: DirMetadata::default(), inherits: None }
    }

    /// Makes the object of `entry`, replacing what is there; a directory that is there stays and gets the entry's metadata.
    /// `content` gives a file's bytes. They are there, with the file's metadata, at the latest after [`finish`](Extractor::finish):
    /// another thread may still write them.
    ///
    /// # Errors
    /// When it cannot be made, or a file before it could not be written; what stood at its place may be gone then.
    pub fn apply(&mut self, entry: &Entry, content: &mut impl Read, notices: &mut dyn Notices) -> Result<()> {
        self.apply_from(entry, content, |_, _, _| Some(0), notices)
    }

    /// As [`apply`](Extractor::apply), where bytes of `content` may go to a large file by `move_to`.
    fn apply_from<C: Read>(
        &mut self,
        entry: &Entry,
        content: &mut C,
        move_to: Direct<C>,
        notices: &mut dyn Notices,
    ) -> Result<()> {
        let path = &entry.path;
        if path.is_root() {
            return match entry.kind {
                // It was there, perhaps with ACLs.
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

    /// Removes what is at `path`, except what `keep` spares; returns whether all of it is gone. A parent that is missing, or is
    /// no directory, means it is gone already.
    ///
    /// # Errors
    /// Returns [`Error::ThroughLink`] if the parent is reached through a symbolic link, [`Error::Mounted`] before anything
    /// is removed if mounts must not be crossed, and an error if something cannot be removed, as a mount point cannot.
    pub fn remove(&mut self, path: &TarPath, keep: &mut dyn FnMut(&TarPath) -> Keep) -> Result<bool> {
        self.inherits = None;
        let gone = self.root.remove(path, keep)?;
        if !gone && self.root.has_mounts_to_keep(path) {
            return Err(Error::io(format!("{path}: is or has a mount point"), Errno::EBUSY));
        }
        Ok(gone)
    }

    /// Removes everything below the root. If mounts may be crossed, what is mounted there is emptied, and the mount
    /// points stay.
    ///
    /// # Errors
    /// As [`remove`](Extractor::remove).
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

    /// Lists the entries of the root directory.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be read.
    pub fn top_level(&self) -> Result<Vec<TarPath>> {
        let names = crate::fs::readdir::names(self.root.fd(), OsStr::new("."));
        let names = names.map_err(|e| Error::io(TarPath::root(), e))?;
        Ok(names.iter().map(|name| TarPath::root().child(name.to_bytes())).collect())
    }

    /// Waits until all files are written, and sets the metadata of the directories. Without it they lack owners, modes and
    /// times.
    ///
    /// # Errors
    /// When a file cannot be written or a directory's metadata not be set.
    pub fn finish(mut self, notices: &mut dyn Notices) -> Result<()> {
        self.metadata.add(self.files.finish(notices)?);
        for (entry, may_have_acls) in self.dirs.deepest_first() {
            let path = &entry.path;
            let fd = match self.root.dir(path.as_bytes()).and_then(|fd| fd.try_clone_to_owned()) {
                Ok(fd) => fd,
                // Replaced by a later entry, or removed by the deletion list.
                Err(e) if errno::is_gone(&e) => continue,
                Err(e) => return Err(self.root.parent_error(path, e)),
            };
            self.metadata.of_pinned(&fd, &entry, may_have_acls, notices)?;
        }
        self.metadata.tell(notices);
        Ok(())
    }

    /// Runs `make`; where something is in the way, deals with it and runs it again. Gives whether it was made.
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
        self.remove(path, &mut |_| Keep::Remove)?;
        let (dir, name) = self.root.make_parent(path)?;
        make(dir, name).map_err(|e| errno::error(dir, name, path, e))?;
        Ok(true)
    }

    /// Hands over `len` bytes of `content`, which the file has at `at`; what can be moved to it, is.
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
                    // The rest is read: errors show by that.
                    at += moved;
                    direct = None;
                    continue;
                }
            }
            let room = self.files.room(end - at, notices)?;
            read_whole(content, room, path)?;
            let read = room.len();
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
        // The metadata is the inode's, which its first name has set.
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

    /// Metadata of a link, device or FIFO. It must not be opened for reading, so an `O_PATH` descriptor stands for it; once
    /// that is held, nobody can put another object in its place.
    fn finish_node(&mut self, entry: &Entry, notices: &mut dyn Notices) -> Result<()> {
        let path = &entry.path;
        let inherited = self.inherits_acl(path)?;
        let (dir, name) = self.root.parent(path).map_err(|e| Error::io(path, e))?;
        let node = openat(dir, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|e| Error::io(path, e))?;
        let status = Status::at(node.as_fd(), OsStr::new("")).map_err(|e| Error::io(path, e))?;
        if !status.is(&entry.kind) {
            return Err(Error::malformed(path, "something else took its place while it was made"));
        }
        self.metadata.of_pinned(&node, entry, inherited, notices)
    }

    /// Whether new objects beside `path` inherit an ACL they must not keep.
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

/// What happens to something that stands where an object is to be made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Replace,
    KeepDir,
}

/// Extracts a whole tar: entries are made, each entry is handed to `made`. Never deletes: a removal belongs into the diff of a
/// root file system, whose reader carries it out itself.
///
/// # Errors
/// Returns an error at the first entry that is malformed or cannot be made, and [`Error::Removal`] at the first removal. Call [`Extractor::finish`] only after success.
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

/// Fills `room` with the next bytes of the content of `path`.
fn read_whole(content: &mut impl Read, room: &mut [u8], path: &TarPath) -> Result<()> {
    let mut got = 0;
    while got < room.len() {
        match content.read(&mut room[got..]) {
            Ok(0) => return Err(Error::Truncated { object: path.to_string() }),
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::Stream(e)),
        }
    }
    Ok(())
}
