//! Owner, attributes, mode and times of what was made.
//!
//! Order on each object: owner, attributes, mode, times (chown clears setuid and capabilities, so it comes first).

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

use crate::entry::{Entry, Kind, Meta, Timestamp};
use crate::error::{Error, Result};
use crate::extract::user_namespace;
use crate::fs::inherited_acl;
use crate::fs::openat::proc_path;
use crate::fs::stat::Status;
use crate::idmap::IdMaps;
use crate::notice::{Notice, Notices};
use crate::path::{Shown, TarPath};

/// Bytes of an attribute's name and of its value that the kernel accepts (linux/limits.h).
const LONGEST_NAME: usize = 255;
const LARGEST_VALUE: usize = 64 << 10;

/// Sets the metadata of objects, and keeps account of what could not be set.
pub(crate) struct Metadata {
    ids: IdMaps,
    no_same_owner: bool,
    privileged: bool,
    /// Objects whose owner could not be set, the first of them by name.
    disowned: Option<(TarPath, u64)>,
    /// Objects that lost their setuid or setgid bit with their owner, likewise.
    unset: Option<(TarPath, u64)>,
}

impl Metadata {
    /// For ids of the archive that `ids` maps to this host's; with `no_same_owner` nothing gets an owner.
    pub fn new(ids: IdMaps, no_same_owner: bool) -> Metadata {
        Metadata { ids, no_same_owner, privileged: geteuid().is_root(), disowned: None, unset: None }
    }

    /// One that does the same and has its own account; see [`add`](Metadata::add).
    pub fn another(&self) -> Metadata {
        Metadata::new(self.ids.clone(), self.no_same_owner)
    }

    /// Adds the account of `other`.
    pub fn add(&mut self, other: Metadata) {
        for (ours, theirs) in [(&mut self.disowned, other.disowned), (&mut self.unset, other.unset)] {
            if let Some((first, count)) = theirs {
                ours.get_or_insert((first, 0)).1 += count;
            }
        }
    }

    /// Tells what the account holds.
    pub fn tell(self, notices: &mut dyn Notices) {
        let lost = [
            (self.disowned, "owner", "only root may give files away"),
            (self.unset, "setuid or setgid", "it belongs to another user than in the archive"),
        ];
        for (first, what, why) in lost {
            let Some((path, count)) = first else { continue };
            let what =
                if count == 1 { what.into() } else { format!("{what} (here and at {} more)", count - 1) };
            notices.notice(Notice::NotApplied { path, what, why: why.into() });
        }
    }

    /// Of a regular file, through its descriptor. `may_have_acls`: removes ACLs that `meta` does not have, such as those inherited from the directory.
    pub fn of_file(
        &mut self,
        file: &File,
        path: &TarPath,
        meta: &Meta,
        may_have_acls: bool,
        notices: &mut dyn Notices,
    ) -> Result<()> {
        // To ask costs less than to set what is so already, which mostly it is.
        let is = Status::at(file.as_fd(), OsStr::new("")).map_err(|e| Error::io(path, e))?;
        let owned = self.own(path, meta, |uid, gid| {
            let is_theirs = uid.is_some_and(|uid| uid.as_raw() == is.uid())
                && gid.is_some_and(|gid| gid.as_raw() == is.gid());
            if is_theirs { Ok(()) } else { fchown(file, uid, gid) }
        })?;
        if may_have_acls {
            inherited_acl::drop_of(&proc_path(file.as_fd(), OsStr::new("")), path, meta, notices);
        }
        self.set_xattrs(path, meta, notices, file.as_fd(), |name, value| {
            Ok(fsetxattr(file, name, value, XattrFlags::empty())?)
        })?;
        let mode = self.mode_of(path, meta, owned);
        // Attributes may have changed it: an ACL sets the bits of the group.
        if may_have_acls || !meta.xattrs.is_empty() || is.mode() != mode.bits() {
            fchmod(file, mode).map_err(|e| Error::io(path, e))?;
        }
        futimens(file, &TimeSpec::UTIME_OMIT, &timespec(meta.mtime)).map_err(|e| Error::io(path, e))
    }

    /// Of anything else, through an `O_PATH` descriptor.
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
        // The magic link leads to the very object, and not on from there where that is a link itself.
        let proc = proc_path(fd.as_fd(), OsStr::new(""));
        if may_have_acls && !is_link {
            inherited_acl::drop_of(&proc, path, meta, notices);
        }
        self.set_xattrs(path, meta, notices, fd.as_fd(), |name, value| xattr::set_deref(&proc, name, value))?;
        if !is_link {
            // fchmod refuses O_PATH descriptors; fchmodat2 with AT_EMPTY_PATH came with Linux 6.6.
            fchmodat(AT_FDCWD, &proc, self.mode_of(path, meta, owned), FchmodatFlags::FollowSymlink)
                .map_err(|e| Error::io(path, e))?;
        }
        let mtime = timespec(meta.mtime);
        utimensat(AT_FDCWD, &proc, &TimeSpec::UTIME_OMIT, &mtime, UtimensatFlags::FollowSymlink)
            .map_err(|e| Error::io(path, e))
    }

    /// Gives the object to its owner. `false` when that was not possible or not asked for: its setuid and setgid bits must go then.
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

    /// Sets the attributes of an object by `set`.
    fn set_xattrs(
        &self,
        path: &TarPath,
        meta: &Meta,
        notices: &mut dyn Notices,
        fd: BorrowedFd<'_>,
        set: impl Fn(&OsStr, &[u8]) -> io::Result<()>,
    ) -> Result<()> {
        for attribute in &meta.xattrs {
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
                // The filesystem has none, the namespace is not ours to set, or the policy does not know the label.
                (
                    Some(Errno::EOPNOTSUPP | Errno::EPERM | Errno::EACCES | Errno::EINVAL | Errno::ERANGE),
                    _,
                ) => e.to_string(),
                (Some(Errno::E2BIG), _) => {
                    let len = value.len();
                    let what = format!("{what} has {len} bytes, the kernel accepts at most {LARGEST_VALUE}");
                    return Err(Error::Unsupported { object: path.to_string(), what });
                }
                // The disk is not full: another inode has space for it.
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

    /// A setuid file that belongs to somebody else than it did must not be one.
    fn mode_of(&mut self, path: &TarPath, meta: &Meta, owned: bool) -> Mode {
        if !owned && !self.no_same_owner && meta.mode & 0o6000 != 0 {
            self.unset.get_or_insert_with(|| (path.clone(), 0)).1 += 1;
        }
        Mode::from_bits_truncate(if owned { meta.mode } else { meta.mode & 0o1777 })
    }
}

/// The mode a file is made with: its own where that gives nobody more than it will, whoever owns it for now; else 0600 until
/// it has its owner, since the bytes may be secret. A group gets its file only later, a wrong one may have it first.
pub(crate) fn first_mode(meta: &Meta) -> Mode {
    let (special, group, others) = (meta.mode & 0o7000, meta.mode >> 3 & 7, meta.mode & 7);
    let harmless = special == 0 && group & !others == 0;
    Mode::from_bits_truncate(if harmless { meta.mode & 0o777 } else { 0o600 })
}

fn timespec(t: Timestamp) -> TimeSpec {
    TimeSpec::new(t.sec, i64::from(t.nsec))
}

/// Whether the filesystem of `fd` has space for `len` bytes. Unknown counts as no.
fn has_space(fd: BorrowedFd<'_>, len: usize) -> bool {
    fstatvfs(fd).is_ok_and(|free| free.blocks_available().saturating_mul(free.fragment_size()) > len as u64)
}
