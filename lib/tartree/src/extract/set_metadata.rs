//! Sets owner, xattrs, mode and times of new inodes.
//!
//! The order is owner, xattrs, mode, times: chown(2) clears setuid bits and capabilities, so it
//! comes first.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmod, fchmodat, futimens, utimensat};
use nix::sys::statvfs::fstatvfs;
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat, geteuid};
use rustix::fs::{XattrFlags, fsetxattr};

use crate::entry::{Entry, Kind, Meta, Timestamp, Xattr};
use crate::error::{Error, Result};
use crate::extract::user_namespace;
use crate::format::acl;
use crate::fs::inherited_acl;
use crate::fs::openat::proc_path;
use crate::fs::stat::Status;
use crate::idmap::IdMaps;
use crate::notice::{Notice, Notices};
use crate::path::{Shown, TarPath};

/// Maximum length of the name of an xattr (linux/limits.h).
const LONGEST_NAME: usize = 255;
const LARGEST_VALUE: usize = 64 << 10;

/// Sets the metadata of inodes and records the metadata that could not be set.
pub(crate) struct Metadata {
    ids: IdMaps,
    no_same_owner: bool,
    privileged: bool,
    /// The first inode whose owner could not be set, and the number of such inodes.
    disowned: Option<(TarPath, u64)>,
    /// The first inode that lost its setuid or setgid bit because its owner could not be set, and
    /// the number of such inodes.
    unset: Option<(TarPath, u64)>,
}

impl Metadata {
    /// Creates the setter for archives whose IDs `ids` maps to the host. With `no_same_owner`, no
    /// owners are set.
    pub fn new(ids: IdMaps, no_same_owner: bool) -> Metadata {
        Metadata { ids, no_same_owner, privileged: geteuid().is_root(), disowned: None, unset: None }
    }

    /// Returns a setter with the same options and an empty record; see [`add`](Metadata::add).
    pub fn another(&self) -> Metadata {
        Metadata::new(self.ids.clone(), self.no_same_owner)
    }

    /// Returns the maps from container IDs to host IDs.
    pub fn ids(&self) -> &IdMaps {
        &self.ids
    }

    /// Sets only xattrs, of a directory.
    pub fn xattrs_of_dir(
        &self,
        dir: BorrowedFd<'_>,
        path: &TarPath,
        xattrs: &[Xattr],
        notices: &mut dyn Notices,
    ) -> Result<()> {
        let proc = proc_path(dir, OsStr::new(""));
        self.set_xattrs(path, xattrs, notices, dir, |name, value| xattr::set_deref(&proc, name, value))
    }

    /// Adds the record of `other`.
    pub fn add(&mut self, other: Metadata) {
        for (ours, theirs) in [(&mut self.disowned, other.disowned), (&mut self.unset, other.unset)] {
            if let Some((first, count)) = theirs {
                ours.get_or_insert((first, 0)).1 += count;
            }
        }
    }

    /// Reports the metadata that could not be set.
    pub fn tell(self, notices: &mut dyn Notices) {
        let lost = [
            (self.disowned, "owner", "only root may change the owner"),
            (self.unset, "setuid or setgid", "it belongs to another user than in the archive"),
        ];
        for (first, what, why) in lost {
            let Some((path, count)) = first else { continue };
            let what =
                if count == 1 { what.into() } else { format!("{what} (here and at {} more)", count - 1) };
            notices.notice(Notice::NotApplied { path, what, why: why.into() });
        }
    }

    /// Sets the metadata of a regular file through its descriptor. If `may_have_acls` is set,
    /// removes ACLs that `meta` does not have, such as inherited ACLs.
    pub fn of_file(
        &mut self,
        file: &File,
        path: &TarPath,
        meta: &Meta,
        may_have_acls: bool,
        notices: &mut dyn Notices,
    ) -> Result<()> {
        // Reading the status costs less than setting values that are correct already, which is the
        // usual case.
        let is = Status::at(file.as_fd(), OsStr::new("")).map_err(|e| Error::io(path, e))?;
        let owned = self.own(path, meta, |uid, gid| {
            let is_theirs = uid.is_some_and(|uid| uid.as_raw() == is.uid())
                && gid.is_some_and(|gid| gid.as_raw() == is.gid());
            if is_theirs { Ok(()) } else { fchown(file, uid, gid) }
        })?;
        if may_have_acls {
            inherited_acl::drop_of(&proc_path(file.as_fd(), OsStr::new("")), path, meta, notices);
        }
        self.set_xattrs(path, &meta.xattrs, notices, file.as_fd(), |name, value| {
            Ok(fsetxattr(file, name, value, XattrFlags::empty())?)
        })?;
        let mode = self.mode_of(path, meta, owned);
        // Setting an ACL may have changed the group bits of the mode.
        if may_have_acls || !meta.xattrs.is_empty() || is.mode() != mode.bits() {
            fchmod(file, mode).map_err(|e| Error::io(path, e))?;
        }
        futimens(file, &TimeSpec::UTIME_OMIT, &timespec(meta.mtime)).map_err(|e| Error::io(path, e))
    }

    /// Sets the metadata of any other inode through an `O_PATH` descriptor.
    pub fn of_pinned(
        &mut self,
        fd: &OwnedFd,
        entry: &Entry,
        may_have_acls: bool,
        notices: &mut dyn Notices,
    ) -> Result<()> {
        let (path, meta) = (&entry.path, &entry.meta);
        let is_link = matches!(entry.kind, Kind::Symlink { .. });
        let owned = self.own(path, meta, |uid, gid| fchownat(fd, "", uid, gid, AtFlags::AT_EMPTY_PATH))?;
        // This path refers to the inode itself: if the inode is a symbolic link, the link is not
        // followed.
        let proc = proc_path(fd.as_fd(), OsStr::new(""));
        if may_have_acls && !is_link {
            inherited_acl::drop_of(&proc, path, meta, notices);
        }
        self.set_xattrs(path, &meta.xattrs, notices, fd.as_fd(), |name, value| {
            xattr::set_deref(&proc, name, value)
        })?;
        if !is_link {
            // fchmod(2) rejects O_PATH descriptors, and fchmodat2(2) with AT_EMPTY_PATH needs Linux
            // 6.6.
            fchmodat(AT_FDCWD, &proc, self.mode_of(path, meta, owned), FchmodatFlags::FollowSymlink)
                .map_err(|e| Error::io(path, e))?;
        }
        let mtime = timespec(meta.mtime);
        utimensat(AT_FDCWD, &proc, &TimeSpec::UTIME_OMIT, &mtime, UtimensatFlags::FollowSymlink)
            .map_err(|e| Error::io(path, e))
    }

    /// Sets the owner of the inode. Returns false if that is not permitted or was not requested;
    /// the setuid and setgid bits must then be removed.
    fn own(
        &mut self,
        path: &TarPath,
        meta: &Meta,
        chown: impl FnOnce(Option<Uid>, Option<Gid>) -> nix::Result<()>,
    ) -> Result<bool> {
        if self.no_same_owner {
            return Ok(false);
        }
        let (uid, gid) = self.ids.owner_on_host(path, meta)?;
        match chown(Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))) {
            Ok(()) => Ok(true),
            Err(Errno::EINVAL) if !(user_namespace::maps_user(uid) && user_namespace::maps_group(gid)) => {
                Err(Error::NotMapped { object: path.to_string(), what: format!("owner {uid}:{gid}") })
            }
            Err(Errno::EPERM) if !self.privileged => {
                self.disowned.get_or_insert_with(|| (path.clone(), 0)).1 += 1;
                Ok(false)
            }
            Err(e) => Err(Error::io(format!("{path}: owner {uid}:{gid}"), e)),
        }
    }

    /// Sets the xattrs of an inode with `set`.
    fn set_xattrs(
        &self,
        path: &TarPath,
        xattrs: &[Xattr],
        notices: &mut dyn Notices,
        fd: BorrowedFd<'_>,
        set: impl Fn(&OsStr, &[u8]) -> io::Result<()>,
    ) -> Result<()> {
        for attribute in xattrs {
            let value = self.ids.value_on_host(path, attribute)?;
            let Err(e) = set(OsStr::from_bytes(&attribute.name), &value) else { continue };
            let what = format!("attribute {}", Shown(&attribute.name));
            let errno = e.raw_os_error().map(Errno::from_raw);
            let not_mapped = (errno == Some(Errno::EINVAL))
                .then(|| user_namespace::not_mapped_in(&attribute.name, &value))
                .flatten();
            let why = match (errno, not_mapped) {
                (_, Some(id)) if !self.no_same_owner => {
                    let what = format!("{what}: {id}");
                    return Err(Error::NotMapped { object: path.to_string(), what });
                }
                (_, Some(id)) => format!("{id} is not mapped in this user namespace"),
                (Some(Errno::ERANGE), _) if attribute.name.len() > LONGEST_NAME => {
                    format!("its name is longer than {LONGEST_NAME} bytes")
                }
                // The filesystem has no xattrs, this namespace may not be set, or the security
                // policy does not know the label.
                (
                    Some(Errno::EOPNOTSUPP | Errno::EPERM | Errno::EACCES | Errno::EINVAL | Errno::ERANGE),
                    _,
                ) => e.to_string(),
                (Some(Errno::E2BIG), _) => {
                    let len = value.len();
                    let what = format!("{what} has {len} bytes; the kernel accepts at most {LARGEST_VALUE}");
                    return Err(Error::Unsupported { object: path.to_string(), what });
                }
                // The disk is not full: another inode has space for the xattr.
                (Some(Errno::ENOSPC), _) if has_space(fd, value.len()) => {
                    let what = format!(
                        "{what} of {} bytes does not fit into an inode of this filesystem",
                        value.len()
                    );
                    return Err(Error::Unsupported { object: path.to_string(), what });
                }
                _ => return Err(Error::io(format!("{path}: {what}"), e)),
            };
            notices.notice(Notice::NotApplied { path: path.clone(), what, why });
        }
        Ok(())
    }

    /// Returns the mode to set, without the setuid and setgid bits if the owner was not set.
    /// Records the loss of these bits unless no owners are set at all.
    fn mode_of(&mut self, path: &TarPath, meta: &Meta, owned: bool) -> Mode {
        if !owned && !self.no_same_owner && meta.mode & 0o6000 != 0 {
            self.unset.get_or_insert_with(|| (path.clone(), 0)).1 += 1;
        }
        Mode::from_bits_truncate(if owned { meta.mode } else { meta.mode & 0o1777 })
    }
}

/// Reports whether an xattr is an ACL.
pub(crate) fn is_acl(xattr: &Xattr) -> bool {
    xattr.name == acl::ACCESS || xattr.name == acl::DEFAULT
}

/// Returns the mode with which a file is created. This is the final mode if that mode grants no
/// access that the file will not have, whoever owns the file temporarily. Otherwise it is 0600
/// until the owner is set, because the content may be secret. Group permissions are withheld,
/// because the file may at first have the wrong group.
pub(crate) fn first_mode(meta: &Meta) -> Mode {
    let (special, group, others) = (meta.mode & 0o7000, meta.mode >> 3 & 7, meta.mode & 7);
    let harmless = special == 0 && group & !others == 0;
    Mode::from_bits_truncate(if harmless { meta.mode & 0o777 } else { 0o600 })
}

fn timespec(t: Timestamp) -> TimeSpec {
    TimeSpec::new(t.sec, i64::from(t.nsec))
}

/// Reports whether the filesystem of `fd` has space for `len` bytes. An unknown amount counts as no
/// space.
fn has_space(fd: BorrowedFd<'_>, len: usize) -> bool {
    fstatvfs(fd).is_ok_and(|free| free.blocks_available().saturating_mul(free.fragment_size()) > len as u64)
}
