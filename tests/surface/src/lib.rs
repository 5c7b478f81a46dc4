//! Tests of what people and scripts touch: completions, JSON documents, and the answers to mistakes.
//!
//! They drive the built tools, as a user finds them in his PATH.

/// The six tools.
pub const TOOLS: [&str; 6] =
    ["spec-gen", "rootfs-diff", "vol-archive", "netstatus", "ckpt-pack", "ckpt-unpack"];
