//! Detects tars that are not the tar of a diff or a volume, by the names of their entries.
//!
//! A checkpoint archive, an image and a member stream are tars too. Extracted as a diff or a
//! volume, their members would become files. A root file system may contain a file of any name, so
//! one name is not a proof; see [`Evidence`].

use std::fmt;

use tartree::{Entry, Item, Kind, Limits, Reader, TarPath};

use crate::member::{FAILURE_RECORD, Member, POD_DUMP, POD_OPTIONS};

/// The kind of a tar that is neither a diff nor the tar of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TarKind {
    /// A checkpoint archive of any container engine.
    Archive,
    /// A member stream, which ckpt-pack reads.
    MemberStream,
    /// A container image, as an OCI layout or in the format of `docker save`.
    Image,
    /// A pod archive.
    Pod,
}

impl fmt::Display for TarKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TarKind::Archive => "a checkpoint archive",
            TarKind::MemberStream => "a member stream",
            TarKind::Image => "a container image",
            TarKind::Pod => "a pod archive",
        })
    }
}

impl TarKind {
    /// Detects the kind of the tar with the first bytes `first`. Returns `None` for the tar of a
    /// diff or a volume, and for other files.
    pub fn of(first: &[u8]) -> Option<TarKind> {
        let mut reader = Reader::new(first, Limits::default());
        let mut evidence = Evidence::default();
        // Errors in the tar are reported when it is extracted.
        while let Ok(Some(item)) = reader.next() {
            if let Item::Entry(entry) = item {
                evidence.add(&entry);
                if matches!(evidence.kind(), Some(TarKind::Archive | TarKind::Image | TarKind::Pod)) {
                    break;
                }
            }
        }
        evidence.kind()
    }
}

/// The weights of names. The sum [`PROOF`] proves a kind.
const WEAK: u32 = 1;
const STRONG: u32 = 2;
const PROOF: u32 = 3;

/// The evidence for each kind of tar: the weights of the names that were found so far.
#[derive(Debug, Default)]
pub struct Evidence {
    archive: Weight,
    image: Weight,
    pod: Weight,
    /// Whether the first entry below the root is a member with which a stream may begin.
    stream: bool,
    /// Whether a member was found that does not occur in streams.
    beyond_stream: bool,
    /// Whether an entry below the root was found.
    begun: bool,
    /// Whether a file was found.
    files: bool,
}

/// The sum of the weights of different names.
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
    /// Adds an entry. A member is evidence only if it is at the top level and has the type of the
    /// member.
    pub fn add(&mut self, entry: &Entry) {
        if entry.path.is_root() || (self.begun && self.files && !may_count(&entry.path)) {
            return;
        }
        let is_file = matches!(entry.kind, Kind::File { .. });
        let member = Member::of(&entry.path);
        if !std::mem::replace(&mut self.begun, true) {
            self.stream = is_file && (member.may_be_in_a_stream() || entry.path.as_bytes() == FAILURE_RECORD);
        }
        if is_file || entry.kind == Kind::Dir {
            self.add_member(&member, is_file);
        }
        if is_file {
            self.add_part_of_pod(&member);
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
            // "status" is not evidence, since it is a common file name.
            Member::Foreign(name @ ("bind.mounts" | "status.dump" | "pod.options" | "pod.dump")) => {
                (*name, WEAK)
            }
            _ => return,
        };
        let is_directory = matches!(member, Member::Artifacts(_));
        if is_file || is_directory {
            self.beyond_stream |= !member.may_be_in_a_stream();
            self.archive.add(name, weight);
        }
    }

    /// Adds a document of a pod. Only a pod archive begins with `pod.options`.
    fn add_part_of_pod(&mut self, member: &Member) {
        match member {
            Member::Foreign(POD_OPTIONS) if !self.files => self.pod.add(POD_OPTIONS, STRONG),
            Member::Foreign(POD_DUMP) => self.pod.add(POD_DUMP, WEAK),
            _ => {}
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
        // docker and containers/image write all blobs before their manifest, and the first blob may
        // be larger than the peeked bytes.
        let weight = if self.files || name != "blob" { weight } else { weight + WEAK };
        self.image.add(name, weight);
    }

    /// Returns the kind that the entries prove so far.
    pub fn kind(&self) -> Option<TarKind> {
        match () {
            () if self.stream && !self.beyond_stream => Some(TarKind::MemberStream),
            () if self.pod.sum >= PROOF => Some(TarKind::Pod),
            () if self.archive.sum >= PROOF => Some(TarKind::Archive),
            () if self.image.sum >= PROOF => Some(TarKind::Image),
            () if self.stream => Some(TarKind::MemberStream),
            () => None,
        }
    }
}

/// Returns whether a path may have a weight. The first component excludes most paths cheaply.
fn may_count(path: &TarPath) -> bool {
    let top = path.as_bytes().split(|&b| b == b'/').next().unwrap_or_default();
    top.len() >= 64 || TOP.iter().any(|name| name.as_bytes() == top)
}

/// The first components of all names that have a weight.
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

/// Returns whether a path below `checkpoint/` is an image that every dump of CRIU has.
fn is_image_of_criu(path: &TarPath) -> bool {
    let Ok(name) = std::str::from_utf8(path.as_bytes()) else { return false };
    let numbered = |prefix: &str| {
        let number = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(".img"));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    matches!(name, "inventory.img" | "pstree.img" | "cgroup.img" | "files.img" | "seccomp.img")
        || ["core-", "pagemap-", "pages-", "mm-", "fdinfo-", "ids-"].iter().any(|prefix| numbered(prefix))
}

/// Returns whether `name` is `blobs/sha256/DIGEST`, or docker's `DIGEST.json`, `DIGEST.tar` or
/// `DIGEST/layer.tar`.
fn is_blob(name: &str) -> bool {
    let is_digest = |text: &str| {
        matches!(text.len(), 64 | 128) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let stem = |suffix: &str| name.strip_suffix(suffix).is_some_and(is_digest);
    let blob = name.strip_prefix("blobs/").and_then(|rest| rest.split_once('/'));
    blob.is_some_and(|(algorithm, digest)| matches!(algorithm, "sha256" | "sha512") && is_digest(digest))
        || [".json", ".tar", "/layer.tar"].iter().any(|suffix| stem(suffix))
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
    fn archives_and_images_are_recognized_by_several_names() {
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
            (&["./", "pod.options", "pod.dump", "web.tar"], TarKind::Pod),
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
    fn one_name_of_a_member_proves_nothing() {
        for names in [
            &["etc/", "etc/passwd"][..],
            &["config.dump", "other"],
            &["checkpoint/", "checkpoint/model.pt", "spec.dump"],
            &["config.dump/", "spec.dump/"],
            &["a/config.dump", "a/spec.dump", "a/checkpoint/inventory.img"],
            &["artifacts/", "artifacts/build.zip", "ctr.log"],
            &["x", "pod.options", "pod.dump"],
            &["pod.options", "x"],
            &["index.json", "manifest.json"],
            &["./", "manifest.json", "repositories/", "x"],
            &["var/blobs/sha256/"],
        ] {
            assert_eq!(kind(names), None, "{names:?}");
        }
    }

    #[test]
    fn a_blob_is_named_by_its_digest() {
        let (short, long) = ("0f".repeat(32), "0f".repeat(64));
        for (name, expected) in [
            (format!("blobs/sha256/{short}"), true),
            (format!("blobs/sha512/{long}"), true),
            (format!("blobs/sha384/{short}"), false),
            (format!("blobs/sha256/{}", &short[1..]), false),
            (format!("blobs/sha256/{}", short.replace('f', "F")), false),
            (format!("blobs/sha256/{}", short.replace('f', "g")), false),
            (format!("sha256/{short}"), false),
            (short.clone(), false),
            (format!("{short}.json"), true),
            (format!("{short}.tar"), true),
            (format!("{short}/layer.tar"), true),
            (format!("{short}.gz"), false),
            ("layer.tar".into(), false),
        ] {
            assert_eq!(is_blob(&name), expected, "{name}");
        }
    }

    #[test]
    fn images_of_criu_have_known_names() {
        for (name, expected) in [
            ("inventory.img", true),
            ("seccomp.img", true),
            ("core-12.img", true),
            ("core-.img", false),
            ("core-x.img", false),
            ("core-12.txt", false),
            ("model.img", false),
        ] {
            let path = TarPath::parse(name.as_bytes()).unwrap();
            assert_eq!(is_image_of_criu(&path), expected, "{name}");
        }
    }

    #[test]
    fn weak_evidence_adds_up() {
        let weak = ["stats-dump", "dump.log", "ctr.log", "deleted.files", "volumes/data.tar", "bind.mounts"];
        for name in weak {
            let mut evidence = Evidence::default();
            let path = TarPath::parse(name.as_bytes()).unwrap();
            evidence.add_member(&Member::of(&path), false);
            assert_eq!(evidence.archive.sum, 0, "the directory {name}");
            evidence.add_member(&Member::of(&path), true);
            evidence.add_member(&Member::of(&path), true);
            assert_eq!(evidence.archive.sum, WEAK, "{name}");
        }
    }
}
