//! Compares two trees: which paths need an entry in the diff, and which were removed.
//!
//! A diff must produce the same tree in podman's order (the tar first, then the list of deletions),
//! with `rootfs-diff apply`, and if it is applied twice. Comments in `walk` explain the
//! consequences.

mod content;
mod entry;
mod hard_links;
mod metadata;
mod options;
mod orphans;
mod other_names;
mod pending;
mod unchanged;
mod walk;

pub use options::{ContentCheck, Options};
pub use walk::compare;
