//! SELinux, behind the cargo feature `selinux`. Without it, the same functions return errors.

#[cfg(feature = "selinux")]
mod with;
#[cfg(not(feature = "selinux"))]
mod without;

#[cfg(feature = "selinux")]
pub use with::{check_label, relabel};
#[cfg(not(feature = "selinux"))]
pub use without::{check_label, relabel};
