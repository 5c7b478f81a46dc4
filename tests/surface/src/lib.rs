//! Tests of the command-line interface of all tools: completions, JSON documents, progress, errors.
//!
//! They run the built programs, as a user would.

/// The six tools.
pub const TOOLS: [&str; 6] =
    ["spec-gen", "rootfs-diff", "vol-archive", "netstatus", "ckpt-pack", "ckpt-unpack"];
