//! What the tar of a diff or a volume is instead, by the names of its entries.
//!
//! A checkpoint archive, an image or a member stream is a tar too: taken for a diff or a volume, its members would become files.
//! A root file system may hold any name, so no single one is proof; see [`Evidence`].

use std::fmt;
use std::io::Read;

use tartree::{Entry, Item, Kind, Limits, Reader, TarPath};

use crate::member::Member;
use crate::stream::FAILED;

/// Bytes of a tar in which its kind is looked for before anything is written.
pub const PEEKED: usize = 256 << 10;

/// A tar that is neither a diff nor the tar of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TarKind {
    /// A checkpoint archive of any engine.
    Archive,
    /// A stream that ckpt-pack reads.
    MemberStream,
    /// An image, as OCI layout or in docker's form.
    Image,
}

impl fmt::Display for TarKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TarKind::Archive => "a checkpoint archive",
            TarKind::MemberStream => "a member stream",
            TarKind::Image => "a container image",
        })
    }
}

impl TarKind {
    /// Recognises the tar whose first bytes are `first`; `None` for the tar of a diff or a volume, and for anything else.
    pub fn of(first: &[u8]) -> Option<TarKind> {
        let mut reader = Reader::new(first, Limits::default());
        let mut evidence = Evidence::default();
        // What is wrong with the tar is reported when it is read.
        while let Ok(Some(item)) = reader.next() {
            if let Item::Entry(entry) = item {
                evidence.add(&entry);
                if matches!(evidence.kind(), Some(TarKind::Archive | TarKind::Image)) {
                    break;
                }
            }
        }
        evidence.kind()
    }
}

/// How much a name weighs. A kind is proved by [`PROOF`].
const WEAK: u32 = 1;
const STRONG: u32 = 2;
const PROOF: u32 = 3;

/// The names of the entries so far, weighed.
#[derive(Debug, Default)]
pub struct Evidence {
    archive: Weight,
    image: Weight,
    /// The first entry below the root was a member that a stream may begin with.
    stream: bool,
    /// There was a member that no stream has.
    beyond_stream: bool,
    begun: bool,
    /// A file was among the entries.
    files: bool,
}

/// Names that count once each.
#[derive(Debug, Default)]
struct Weight {
    sum: u32,
    names: Vec<&'static str>,
}

impl Weight {
    fn add(&mut self, name: &'static str, weight: u32) {
        if !self.names.contains(&name) {
            self.names.push(name);
            self.sum += weight;
        }
    }
}

impl Evidence {
    /// Adds an entry. Members count at the top level and with their own types only.
    pub fn add(&mut self, entry: &Entry) {
        if entry.path.is_root() || (self.begun && self.files && !may_count(&entry.path)) {
            return;
        }
        let is_file = matches!(entry.kind, Kind::File { .. });
        let member = Member::of(&entry.path);
        if !std::mem::replace(&mut self.begun, true) {
            self.stream = is_file && (may_begin_a_stream(&member) || entry.path.as_bytes() == FAILED);
        }
        if is_file || entry.kind == Kind::Dir {
            self.add_member(&member, is_file);
        }
        if is_file {
            self.add_part_of_image(&entry.path);
            self.files = true;
        }
    }

    fn add_member(&mut self, member: &Member, is_file: bool) {
        let (name, weight) = match member {
            Member::ConfigDump => ("config.dump", STRONG),
            Member::SpecDump => ("spec.dump", STRONG),
            Member::DevShm => ("devshm-checkpoint.tar", STRONG),
            Member::RootfsDiff => ("rootfs-diff.tar", STRONG),
            Member::Images(path) | Member::PreImages(path) if is_image_of_criu(path) => ("images", PROOF),
            Member::Artifacts(path) if path.is_root() && !is_file => ("artifacts", WEAK),
            Member::StatsDump => ("stats-dump", WEAK),
            Member::DumpLog => ("dump.log", WEAK),
            Member::CtrLog => ("ctr.log", WEAK),
            Member::NetworkStatus => ("network.status", WEAK),
            Member::DeletedFiles => ("deleted.files", WEAK),
            Member::Volume(_) => ("volumes", WEAK),
            // "status" alone may be anybody's.
            Member::Foreign(name @ ("bind.mounts" | "status.dump" | "pod.options" | "pod.dump")) => {
                (*name, WEAK)
            }
            _ => return,
        };
        let is_directory = matches!(member, Member::Artifacts(_));
        if is_file || is_directory {
            self.beyond_stream |= !may_begin_a_stream(member);
            self.archive.add(name, weight);
        }
    }

    fn add_part_of_image(&mut self, path: &TarPath) {
        let Ok(name) = std::str::from_utf8(path.as_bytes()) else { return };
        let (name, weight) = match name {
            "oci-layout" => ("oci-layout", STRONG),
            "index.json" => ("index.json", WEAK),
            "manifest.json" => ("manifest.json", WEAK),
            "repositories" => ("repositories", WEAK),
            name if is_blob(name) => ("blob", STRONG),
            _ => return,
        };
        // docker and containers/image write all blobs before what names them, and the first may be larger than what is peeked at.
        let weight = if self.files || name != "blob" { weight } else { weight + WEAK };
        self.image.add(name, weight);
    }

    /// What the entries so far prove.
    pub fn kind(&self) -> Option<TarKind> {
        match () {
            () if self.stream && !self.beyond_stream => Some(TarKind::MemberStream),
            () if self.archive.sum >= PROOF => Some(TarKind::Archive),
            () if self.image.sum >= PROOF => Some(TarKind::Image),
            () if self.stream => Some(TarKind::MemberStream),
            () => None,
        }
    }
}

/// Whether a path may weigh anything: most do not, and are ruled out by their first component.
fn may_count(path: &TarPath) -> bool {
    let top = path.as_bytes().split(|&b| b == b'/').next().unwrap_or_default();
    top.len() >= 64 || TOP.iter().any(|name| name.as_bytes() == top)
}

/// First components of the names that weigh.
const TOP: [&str; 23] = [
    "config.dump",
    "spec.dump",
    "devshm-checkpoint.tar",
    "rootfs-diff.tar",
    "checkpoint",
    "pre-checkpoint",
    "artifacts",
    "stats-dump",
    "dump.log",
    "ctr.log",
    "network.status",
    "deleted.files",
    "deleted.files0",
    "volumes",
    "bind.mounts",
    "status.dump",
    "pod.options",
    "pod.dump",
    "oci-layout",
    "index.json",
    "manifest.json",
    "repositories",
    "blobs",
];

fn may_begin_a_stream(member: &Member) -> bool {
    matches!(
        member,
        Member::RootfsDiff
            | Member::DeletedFiles
            | Member::DeletedFiles0
            | Member::NetworkStatus
            | Member::DevShm
            | Member::Volume(_)
    )
}

/// Images that every dump of CRIU has, below `checkpoint/`.
fn is_image_of_criu(path: &TarPath) -> bool {
    let Ok(name) = std::str::from_utf8(path.as_bytes()) else { return false };
    let numbered = |prefix: &str| {
        let number = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(".img"));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    matches!(name, "inventory.img" | "pstree.img" | "cgroup.img" | "files.img" | "seccomp.img")
        || ["core-", "pagemap-", "pages-", "mm-", "fdinfo-", "ids-"].iter().any(|prefix| numbered(prefix))
}

/// `blobs/sha256/DIGEST`, and docker's `DIGEST.json`, `DIGEST.tar` and `DIGEST/layer.tar`.
fn is_blob(name: &str) -> bool {
    let is_digest = |text: &str| {
        matches!(text.len(), 64 | 128) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let stem = |suffix: &str| name.strip_suffix(suffix).is_some_and(is_digest);
    let blob = name.strip_prefix("blobs/").and_then(|rest| rest.split_once('/'));
    blob.is_some_and(|(algorithm, digest)| matches!(algorithm, "sha256" | "sha512") && is_digest(digest))
        || [".json", ".tar", "/layer.tar"].iter().any(|suffix| stem(suffix))
}

/// A reader whose first read fills its buffer where a pipe would give less, so that one look at the buffer shows [`PEEKED`] bytes.
pub struct Eager<R> {
    input: R,
    /// Whether the next read is to fill the buffer.
    fill: bool,
    /// What ended that read early.
    failed: Option<std::io::Error>,
}

impl<R> Eager<R> {
    /// Reads from `input`. A regular file fills any buffer in one read: `fill` spares it the second.
    pub fn new(input: R, fill: bool) -> Eager<R> {
        Eager { input, fill, failed: None }
    }

    /// The reader itself.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.input
    }
}

impl<R: Read> Read for Eager<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if let Some(e) = self.failed.take() {
            return Err(e);
        }
        if !std::mem::take(&mut self.fill) {
            return self.input.read(buf);
        }
        let mut got = 0;
        while got < buf.len() {
            match self.input.read(&mut buf[got..]) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if got > 0 => {
                    self.failed = Some(e);
                    break;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tartree::{RootName, Timestamp};

    fn kind(names: &[&str]) -> Option<TarKind> {
        let mut tar = Vec::new();
        for name in names {
            let path = TarPath::parse(name.as_bytes()).unwrap();
            let mut entry = Entry::file(path, 0, 0o644, Timestamp::default());
            if name.ends_with('/') {
                entry.kind = Kind::Dir;
            }
            tartree::encode(&mut tar, &entry, RootName::Dot);
        }
        TarKind::of(&tar)
    }

    #[test]
    fn archives_and_images_are_recognised_by_what_no_tree_has_together() {
        let digest = "a".repeat(64);
        let blob = format!("blobs/sha256/{digest}");
        let docker = format!("{digest}/layer.tar");
        for (names, expected) in [
            (&["artifacts/", "devshm-checkpoint.tar"][..], TarKind::Archive),
            (&["./", "./spec.dump", "./config.dump"], TarKind::Archive),
            (&["checkpoint/", "checkpoint/cgroup.img"], TarKind::Archive),
            (&["stats-dump", "dump.log", "checkpoint/", "checkpoint/core-1.img"], TarKind::Archive),
            (&["etc/", "config.dump", "network.status"], TarKind::Archive),
            (&["rootfs-diff.tar", "deleted.files", "stats-dump"], TarKind::Archive),
            (&["rootfs-diff.tar", "deleted.files", "network.status"], TarKind::MemberStream),
            (&["volumes/data.tar"], TarKind::MemberStream),
            (&["oci-layout", "index.json"], TarKind::Image),
            (&["blobs/", "blobs/sha256/", &blob], TarKind::Image),
            (&[&docker], TarKind::Image),
            (&["manifest.json", &docker], TarKind::Image),
        ] {
            assert_eq!(kind(names), Some(expected), "{names:?}");
        }
    }

    #[test]
    fn one_name_of_a_member_may_be_any_file() {
        for names in [
            &["etc/", "etc/passwd"][..],
            &["config.dump", "other"],
            &["checkpoint/", "checkpoint/model.pt", "spec.dump"],
            &["config.dump/", "spec.dump/"],
            &["a/config.dump", "a/spec.dump", "a/checkpoint/inventory.img"],
            &["artifacts/", "artifacts/build.zip", "ctr.log"],
            &["index.json", "manifest.json"],
            &["./", "manifest.json", "repositories/", "x"],
            &["var/blobs/sha256/"],
        ] {
            assert_eq!(kind(names), None, "{names:?}");
        }
    }
}
