//! A mounted overlay: which mount it is, and which directories it reads.
//!
//! The options of a mount hold the words of the process that mounted it. Since then a path may have come to lead elsewhere,
//! a descriptor may be closed, a mount may cover a directory. So the words are a hypothesis only. The proof: to list the
//! root directory of an overlay, the kernel reads the root directory of every layer, from the top down, and reports each.

mod handle;
mod identify;
mod listing;
mod mount;

pub(crate) use identify::{Directories, identify, listable};
pub(crate) use mount::{Found, Namespace, alone, mount_id};
