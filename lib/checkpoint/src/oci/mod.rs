//! A checkpoint as an OCI image: an image layout whose one layer is the archive (image-spec 1.1, image-layout.md).
//!
//! Engines know such an image by annotations on its manifest, each by its own family; all are written.

mod read;
mod write;

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

pub use read::{Blob, Image, Layout, is_layout};
pub use write::{Description, LayoutWriter};

/// What is known of the container and the host; each becomes an annotation in the families that have one for it.
pub const ANNOTATIONS: [(&str, [Option<&str>; 3]); 16] = [
    // podman pkg/annotations, CRI-O internal/annotations, checkpoint-restore checkpointctl lib/metadata.go.
    ("engine.name", [None, None, Some("engine.name")]),
    ("container.name", [Some("name"), Some("name"), Some("container.name")]),
    ("rawImageName", [Some("rawImageName"), Some("rawImageName"), Some("rootfsImageUserRequested")]),
    ("rootfsImageID", [Some("rootfsImageID"), Some("rootfsImageID"), Some("rootfsImageID")]),
    ("rootfsImageName", [Some("rootfsImageName"), Some("rootfsImageName"), Some("rootfsImageName")]),
    ("podman.version", [Some("podman.version"), None, None]),
    ("criu.version", [Some("criu.version"), Some("criu.version"), Some("criu.version")]),
    ("runtime.name", [Some("runtime.name"), None, Some("runtime.name")]),
    ("runtime.version", [Some("runtime.version"), None, Some("runtime.version")]),
    ("conmon.version", [Some("conmon.version"), None, Some("conmon.version")]),
    ("host.arch", [Some("host.arch"), None, Some("host.arch")]),
    ("host.kernel", [Some("host.kernel"), None, Some("host.kernel")]),
    ("cgroups.version", [Some("cgroups.version"), None, Some("cgroup.version")]),
    ("distribution.version", [Some("distribution.version"), None, Some("distribution.version")]),
    ("distribution.name", [Some("distribution.name"), None, Some("distribution.name")]),
    ("pod.name", [None, None, Some("pod.name")]),
];

const FAMILIES: [&str; 3] = [
    "io.podman.annotations.checkpoint.",
    "io.kubernetes.cri-o.annotations.checkpoint.",
    "org.criu.checkpoint.",
];

/// The annotations of all families for `fact` (a name in [`ANNOTATIONS`]).
pub fn annotations(fact: &str) -> impl Iterator<Item = String> {
    let names = ANNOTATIONS.iter().find(|(name, _)| *name == fact).map_or([None; 3], |(_, names)| *names);
    FAMILIES.into_iter().zip(names).filter_map(|(family, name)| Some(format!("{family}{}", name?)))
}

/// Sixty-four hexadecimal digits.
fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A writer that hashes and counts what passes.
pub struct Hashing<W> {
    out: W,
    hash: Sha256,
    bytes: u64,
}

impl<W> Hashing<W> {
    /// In front of `out`.
    pub fn new(out: W) -> Hashing<W> {
        Hashing { out, hash: Sha256::new(), bytes: 0 }
    }

    /// The output, the digest and the number of bytes.
    pub fn finish(self) -> (W, String, u64) {
        (self.out, hex(&self.hash.finalize()), self.bytes)
    }
}

impl<W: std::io::Write> std::io::Write for Hashing<W> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(buf)?;
        self.hash.update(&buf[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}
