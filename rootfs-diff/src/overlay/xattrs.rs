//! The extended attributes in which overlayfs stores its own state.

use rustix::fs::{MemfdFlags, XattrFlags, fsetxattr, memfd_create};
use rustix::io::Errno;
use tartree::LayerXattrs;

/// The namespace of overlayfs's own xattrs, which are not part of the container's files
/// (overlayfs.rst, "userxattr").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverlayXattrs {
    /// `trusted.overlay.*`.
    Trusted,
    /// `user.overlay.*`, with the mount option `userxattr`.
    User,
    /// The tree is not part of an overlay and has no such xattrs.
    None,
}

impl OverlayXattrs {
    /// Returns the common prefix of the xattr names.
    pub fn prefix(self) -> Option<&'static [u8]> {
        match self {
            OverlayXattrs::Trusted => Some(LayerXattrs::Trusted.prefix()),
            OverlayXattrs::User => Some(LayerXattrs::User.prefix()),
            OverlayXattrs::None => None,
        }
    }

    /// Returns whether this process can read these xattrs.
    pub fn are_readable(self) -> bool {
        self != OverlayXattrs::Trusted || can_read_trusted_xattrs()
    }
}

/// Returns whether the kernel shows `trusted.*` xattrs to this process. Without CAP_SYS_ADMIN in
/// the initial user namespace, reading these xattrs fails as if they did not exist (xattr(7)); only
/// an attempt to set such an xattr returns EPERM.
fn can_read_trusted_xattrs() -> bool {
    let flags = MemfdFlags::CLOEXEC;
    // The sysctl vm.memfd_noexec=2 requires MFD_NOEXEC_SEAL; Linux before 6.3 does not know the
    // flag.
    let file = memfd_create("", flags | MemfdFlags::NOEXEC_SEAL).or_else(|_| memfd_create("", flags));
    file.is_ok_and(|file| fsetxattr(file, "trusted.seen", b"", XattrFlags::empty()) != Err(Errno::PERM))
}
