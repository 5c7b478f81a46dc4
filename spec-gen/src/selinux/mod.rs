//! SELinux labels: through libselinux with the cargo feature `selinux`, otherwise through the
//! interfaces of the kernel.

#[cfg(not(feature = "selinux"))]
mod kernel;
#[cfg(feature = "selinux")]
mod libselinux;

#[cfg(not(feature = "selinux"))]
pub use kernel::{check_label, is_enabled, relabel};
#[cfg(feature = "selinux")]
pub use libselinux::{check_label, is_enabled, relabel};
