//! The members of a checkpoint archive, recognized by their names.

use std::fmt;

use tartree::TarPath;

use crate::volume_name::VolumeName;

/// A member, recognized by its name. podman's `crutils` and CRI-O's `container_checkpoint.go`
/// define which members each engine writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// `config.dump`: the container engine's configuration of the container.
    ConfigDump,
    /// `spec.dump`: the OCI runtime spec of the container.
    SpecDump,
    /// `network.status`: the container's networks and addresses.
    NetworkStatus,
    /// `stats-dump`: CRIU's statistics of the dump.
    StatsDump,
    /// `dump.log`: CRIU's log of the dump.
    DumpLog,
    /// `ctr.log`: the output of the container.
    CtrLog,
    /// `devshm-checkpoint.tar`: the content of `/dev/shm`.
    DevShm,
    /// `rootfs-diff.tar`: the changed files of the root file system.
    RootfsDiff,
    /// `deleted.files`: the deleted files of the root file system, as JSON.
    DeletedFiles,
    /// `deleted.files0`: the deleted paths that are not UTF-8, which JSON cannot express, separated
    /// by NUL.
    DeletedFiles0,
    /// `volumes/NAME.tar`: the content of a named volume.
    Volume(VolumeName),
    /// `checkpoint/…`: CRIU's images. An empty path is the directory.
    Images(TarPath),
    /// `pre-checkpoint/…`: CRIU's images of a pre-dump.
    PreImages(TarPath),
    /// `artifacts/…`: files that podman adds.
    Artifacts(TarPath),
    /// `bind.mounts`, `status`, `status.dump`, `pod.options`, `pod.dump`, `container.log`,
    /// `io.kubernetes.cri-o.LogPath`: files of other engines, which are copied unchanged.
    Foreign(&'static str),
    /// Any other name.
    Unknown(TarPath),
}

/// The members of CRI-O and containerd that the tools copy unchanged.
const FOREIGN: [&str; 7] = [
    "bind.mounts",
    "status",
    "status.dump",
    POD_OPTIONS,
    POD_DUMP,
    "container.log",
    "io.kubernetes.cri-o.LogPath",
];

/// The files that engines, runtimes and shims keep in a bundle. A program would use a member with
/// such a name as its own file.
///
/// Sources: podman's libpod/container_internal_common.go and oci_conmon_common.go (its `userdata`
/// directory is the bundle), containerd's core/runtime/v2/bundle.go and pkg/shim.
const FILES_OF_A_BUNDLE: [&str; 30] = [
    // Files of the OCI runtime.
    "config.json",
    "rootfs",
    // Files of CRIU in its work path.
    "restore.log",
    "stats-restore",
    // Files of podman and CRI-O.
    "attach",
    "conmon-pidfile",
    "conmon.pid",
    "ctl",
    "exit",
    "group",
    "hostname",
    "hosts",
    "oci-log",
    "passwd",
    "pidfile",
    "resolv.conf",
    "run",
    "secrets",
    "shm",
    "userdata",
    "winsz",
    // Files of containerd.
    "address",
    "bootstrap.json",
    "init.pid",
    "log",
    "log.json",
    "options.json",
    "runtime",
    "shim-binary-path",
    "work",
];

const FIXED: [(&str, Member); 10] = [
    ("config.dump", Member::ConfigDump),
    ("spec.dump", Member::SpecDump),
    ("network.status", Member::NetworkStatus),
    ("stats-dump", Member::StatsDump),
    ("dump.log", Member::DumpLog),
    ("ctr.log", Member::CtrLog),
    ("devshm-checkpoint.tar", Member::DevShm),
    ("rootfs-diff.tar", Member::RootfsDiff),
    ("deleted.files", Member::DeletedFiles),
    ("deleted.files0", Member::DeletedFiles0),
];

/// The largest `config.dump` and `spec.dump` that are read, in bytes. podman's documents have 25
/// KB; the documents of a pod with a thousand volumes have 1 MB.
///
/// The limits of all documents are in this module and not in their readers, so that this module
/// does not depend on the readers.
pub(crate) const CONFIG_LIMIT: u64 = 32 << 20;
/// The largest `network.status` that is read, in bytes.
const NETWORK_LIMIT: u64 = 4 << 20;
/// The largest list of deleted paths that is read, in bytes. A deleted directory is listed without
/// the paths below it.
pub(crate) const DELETED_LIMIT: u64 = 40 << 20;
/// The largest `stats-dump` that is read, in bytes: CRIU writes a few dozen numbers.
pub(crate) const STATS_LIMIT: u64 = 64 << 10;

/// The name of the document in an image directory that binds the directory to another archive.
pub(crate) const DELTA: &[u8] = b"delta.json";
/// The largest `delta.json` that is read, in bytes. It has two IDs and a time.
pub(crate) const DELTA_LIMIT: u64 = 64 << 10;

/// The document that lists the containers of a pod archive.
pub(crate) const POD_OPTIONS: &str = "pod.options";
/// The configuration of a pod.
pub(crate) const POD_DUMP: &str = "pod.dump";
/// The largest `pod.options` that is read, in bytes. A thousand containers have 100 KB.
pub(crate) const POD_OPTIONS_LIMIT: u64 = 1 << 20;
/// The largest `pod.dump` that is read, in bytes.
pub(crate) const POD_DUMP_LIMIT: u64 = 4 << 20;

/// The last record of a member stream, which proves that the stream is complete. It is not a
/// member.
pub(crate) const END_RECORD: &[u8] = b".end";
/// The record that a producer writes instead of [`END_RECORD`] when the producer fails. It is not a
/// member.
pub(crate) const FAILURE_RECORD: &[u8] = b".failed";

impl Member {
    /// Returns the member with this name.
    pub fn of(path: &TarPath) -> Member {
        let unknown = || Member::Unknown(path.clone());
        let Ok(name) = std::str::from_utf8(path.as_bytes()) else {
            // Only images and artifacts may have names that are not UTF-8.
            return Member::below(path).unwrap_or_else(unknown);
        };
        if let Some((_, member)) = FIXED.iter().find(|(fixed, _)| *fixed == name) {
            return member.clone();
        }
        if let Some(foreign) = FOREIGN.iter().find(|foreign| **foreign == name) {
            return Member::Foreign(foreign);
        }
        if let Some(volume) = name.strip_prefix("volumes/").and_then(|rest| rest.strip_suffix(".tar")) {
            return volume.parse().map_or_else(|_| unknown(), Member::Volume);
        }
        Member::below(path).unwrap_or_else(unknown)
    }

    fn below(path: &TarPath) -> Option<Member> {
        let bytes = path.as_bytes();
        let directory = |name: &[u8]| match bytes.strip_prefix(name)? {
            b"" => Some(TarPath::root()),
            [b'/', rest @ ..] => TarPath::parse(rest).ok(),
            _ => None,
        };
        directory(b"checkpoint")
            .map(Member::Images)
            .or_else(|| directory(b"pre-checkpoint").map(Member::PreImages))
            .or_else(|| directory(b"artifacts").map(Member::Artifacts))
    }

    /// Returns whether a member stream may contain this member.
    pub fn may_be_in_a_stream(&self) -> bool {
        matches!(
            self,
            Member::RootfsDiff
                | Member::DeletedFiles
                | Member::DeletedFiles0
                | Member::NetworkStatus
                | Member::DevShm
                | Member::Volume(_)
        )
    }

    /// Returns the member's name in the archive.
    pub fn path(&self) -> TarPath {
        let fixed = |name: &str| TarPath::root().child(name.as_bytes());
        let below = |dir: &str, path: &TarPath| {
            if path.is_root() { fixed(dir) } else { fixed(dir).child(path.as_bytes()) }
        };
        match self {
            Member::Volume(name) => fixed(&format!("volumes/{name}.tar")),
            Member::Images(path) => below("checkpoint", path),
            Member::PreImages(path) => below("pre-checkpoint", path),
            Member::Artifacts(path) => below("artifacts", path),
            Member::Foreign(name) => fixed(name),
            Member::Unknown(path) => path.clone(),
            member => {
                FIXED.iter().find(|(_, m)| m == member).map_or_else(TarPath::root, |(name, _)| fixed(name))
            }
        }
    }

    /// Returns why a member of this name must not be extracted into a bundle. Returns `None` for
    /// known members, and for unknown members that do not conflict with another file.
    pub fn refusal(&self) -> Option<&'static str> {
        let Member::Unknown(path) = self else { return None };
        let top = path.as_bytes().split(|&b| b == b'/').next().unwrap_or_default();
        let is = |names: &[&str]| names.iter().any(|name| name.as_bytes() == top);
        match () {
            () if is(&FILES_OF_A_BUNDLE) => Some("engines keep a file of this name in the bundle"),
            () if top == b"volumes" => Some("not the tar of a volume"),
            () if is(&FOREIGN) || FIXED.iter().any(|(name, _)| name.as_bytes() == top) => {
                Some("is below a member that is a file")
            }
            () => None,
        }
    }

    /// Returns whether the member is a small document, which is read into memory and checked.
    pub fn is_document(&self) -> bool {
        matches!(
            self,
            Member::ConfigDump
                | Member::SpecDump
                | Member::NetworkStatus
                | Member::StatsDump
                | Member::DeletedFiles
                | Member::DeletedFiles0
        ) || self.is_delta()
    }

    /// Returns whether the member is the document that binds an image directory to the archive that
    /// holds the rest of its memory pages: `checkpoint/delta.json` or `pre-checkpoint/delta.json`.
    pub fn is_delta(&self) -> bool {
        matches!(self, Member::Images(path) | Member::PreImages(path) if path.as_bytes() == DELTA)
    }

    /// Returns the size in bytes above which a document is rejected.
    pub fn document_limit(&self) -> u64 {
        match self {
            Member::StatsDump => STATS_LIMIT,
            _ if self.is_delta() => DELTA_LIMIT,
            Member::NetworkStatus => NETWORK_LIMIT,
            Member::DeletedFiles | Member::DeletedFiles0 => DELETED_LIMIT,
            _ => CONFIG_LIMIT,
        }
    }

    /// Returns the permission bits that podman sets for the member.
    pub fn mode(&self) -> u32 {
        match self {
            Member::StatsDump | Member::DevShm | Member::RootfsDiff | Member::Volume(_) => 0o644,
            _ => 0o600,
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Member {
        Member::of(&TarPath::parse(name.as_bytes()).unwrap())
    }

    #[test]
    fn a_members_path_is_its_name() {
        for name in [
            "config.dump",
            "deleted.files0",
            "volumes/a.b-c.tar",
            "checkpoint",
            "checkpoint/pages-1.img",
            "pre-checkpoint/core-1.img",
            "artifacts/x/y",
            "status.dump",
            "what/ever",
        ] {
            assert_eq!(of(name).path().to_string(), name);
        }
        assert_eq!(of("checkpoint"), Member::Images(TarPath::root()));
    }

    #[test]
    fn unknown_members_are_kept_unless_they_conflict() {
        for name in ["new", "new/er", "checkpoints", "config.json.d/x", "volume/x.tar"] {
            assert_eq!(of(name).refusal(), None, "{name}");
        }
        for name in [
            "config.json",
            "rootfs/etc/passwd",
            "secrets/x",
            "volumes/-.tar",
            "volumes",
            "ctr.log/x",
            "status/x",
        ] {
            assert!(of(name).refusal().is_some(), "{name}");
        }
        for name in
            FIXED.iter().map(|(name, _)| *name).chain(FOREIGN).chain(["volumes/a.tar", "artifacts/ctl"])
        {
            assert_eq!(of(name).refusal(), None, "{name}");
        }
    }

    #[test]
    fn the_name_of_a_volume_is_not_a_path() {
        for name in [
            "volumes/a/b.tar",
            "volumes/.tar",
            "volumes/-x.tar",
            "volumes/a",
            "volumes",
            "checkpoints",
            "volumes/ü.tar",
        ] {
            assert!(matches!(of(name), Member::Unknown(_)), "{name}");
        }
    }

    #[test]
    fn each_member_has_its_limit_and_mode() {
        for (name, limit, mode) in [
            ("config.dump", CONFIG_LIMIT, 0o600),
            ("spec.dump", CONFIG_LIMIT, 0o600),
            ("network.status", NETWORK_LIMIT, 0o600),
            ("stats-dump", STATS_LIMIT, 0o644),
            ("deleted.files", DELETED_LIMIT, 0o600),
            ("deleted.files0", DELETED_LIMIT, 0o600),
            ("checkpoint/delta.json", DELTA_LIMIT, 0o600),
            ("pre-checkpoint/delta.json", DELTA_LIMIT, 0o600),
            ("checkpoint/pages-1.img", CONFIG_LIMIT, 0o600),
            ("rootfs-diff.tar", CONFIG_LIMIT, 0o644),
            ("devshm-checkpoint.tar", CONFIG_LIMIT, 0o644),
            ("volumes/a.tar", CONFIG_LIMIT, 0o644),
        ] {
            assert!(!matches!(of(name), Member::Unknown(_)), "{name}");
            assert_eq!((of(name).document_limit(), of(name).mode()), (limit, mode), "{name}");
        }
    }
}
