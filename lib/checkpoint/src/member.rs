//! The members of a checkpoint archive by name.

use std::fmt;
use std::str::FromStr;

use tartree::TarPath;

use crate::config_dump::ConfigDump;
use crate::deleted;

/// A volume's name, checked: it becomes a file name, so it must not be a path.
///
/// podman's rule (`define.NameRegex`): a letter or digit, then letters, digits, `_`, `.`, `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeName(String);

impl VolumeName {
    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeName {
    type Err = String;

    fn from_str(name: &str) -> Result<VolumeName, String> {
        let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if first && rest && name.len() <= 251 {
            Ok(VolumeName(name.into()))
        } else {
            Err("a volume's name is a letter or digit, then letters, digits, '_', '.' or '-'".into())
        }
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A member, told by its name. Who writes which is in the table of podman's `crutils` and CRI-O's `container_checkpoint.go`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// `config.dump`: the engine's configuration of the container.
    ConfigDump,
    /// `spec.dump`: the OCI runtime spec it ran with.
    SpecDump,
    /// `network.status`: its networks and addresses.
    NetworkStatus,
    /// `stats-dump`: CRIU's figures of the dump.
    StatsDump,
    /// `dump.log`: CRIU's log of the dump.
    DumpLog,
    /// `ctr.log`: the container's output so far.
    CtrLog,
    /// `devshm-checkpoint.tar`: content of `/dev/shm`.
    DevShm,
    /// `rootfs-diff.tar`: what changed in the root file system.
    RootfsDiff,
    /// `deleted.files`: what was deleted there, JSON.
    DeletedFiles,
    /// `deleted.files0`: deleted paths that are not UTF-8 and so cannot stand in JSON, NUL-separated.
    DeletedFiles0,
    /// `volumes/NAME.tar`.
    Volume(VolumeName),
    /// `checkpoint/…`: CRIU's images; the empty path is the directory.
    Images(TarPath),
    /// `pre-checkpoint/…`: CRIU's images of a pre-dump.
    PreImages(TarPath),
    /// `artifacts/…`: podman's.
    Artifacts(TarPath),
    /// `bind.mounts`, `status`, `status.dump`, `pod.options`, `pod.dump`, `container.log`,
    /// `io.kubernetes.cri-o.LogPath`: other engines' files, carried as they are.
    Foreign(&'static str),
    /// Anything else.
    Unknown(TarPath),
}

/// Members of CRI-O and containerd that the tools carry without understanding them.
const FOREIGN: [&str; 7] = [
    "bind.mounts",
    "status",
    "status.dump",
    "pod.options",
    "pod.dump",
    "container.log",
    "io.kubernetes.cri-o.LogPath",
];

/// What engines, runtimes and shims have in a bundle, or under the name of what is restored from it: a member of such a
/// name would be taken for theirs. podman's are in libpod/container_internal_common.go and oci_conmon_common.go (its
/// `userdata` is the bundle), containerd's in core/runtime/v2/bundle.go and pkg/shim.
const OF_THE_BUNDLE: [&str; 30] = [
    // The runtime's.
    "config.json",
    "rootfs",
    // CRIU's, in its work path.
    "restore.log",
    "stats-restore",
    // podman's and CRI-O's.
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
    // containerd's.
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

/// CRIU's statistics are a few dozen numbers. Here, for the tools that read no statistics know the member too.
pub(crate) const STATS_LIMIT: u64 = 64 << 10;

impl Member {
    /// The member of this name.
    pub fn of(path: &TarPath) -> Member {
        let unknown = || Member::Unknown(path.clone());
        let Ok(name) = std::str::from_utf8(path.as_bytes()) else {
            // Images and artifacts may have any name below their directory.
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

    /// Its name in the archive.
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

    /// Why a bundle must not get a member of this name although nothing else is wrong with it; `None` for all known members and
    /// for unknown ones that are in nobody's way.
    pub fn refusal(&self) -> Option<&'static str> {
        let Member::Unknown(path) = self else { return None };
        let top = path.as_bytes().split(|&b| b == b'/').next().unwrap_or_default();
        let is = |names: &[&str]| names.iter().any(|name| name.as_bytes() == top);
        match () {
            () if is(&OF_THE_BUNDLE) => Some("a file that engines keep in the bundle, not a member"),
            () if top == b"volumes" => Some("not the tar of a volume"),
            () if is(&FOREIGN) || FIXED.iter().any(|(name, _)| name.as_bytes() == top) => {
                Some("below a member that is a file")
            }
            () => None,
        }
    }

    /// Whether its content is a small document that is read into memory and checked.
    pub fn is_document(&self) -> bool {
        matches!(
            self,
            Member::ConfigDump
                | Member::SpecDump
                | Member::NetworkStatus
                | Member::StatsDump
                | Member::DeletedFiles
                | Member::DeletedFiles0
        )
    }

    /// Bytes of a document that are read; more is not one.
    pub fn document_limit(&self) -> u64 {
        match self {
            Member::StatsDump => STATS_LIMIT,
            Member::NetworkStatus => 4 << 20,
            Member::DeletedFiles | Member::DeletedFiles0 => deleted::LIMIT,
            _ => ConfigDump::LIMIT,
        }
    }

    /// The permission bits podman gives it.
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
    fn names_and_members_are_inverse() {
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
    fn unknown_members_are_kept_unless_they_are_in_the_way() {
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
    fn a_volume_is_no_path() {
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
        assert!("".parse::<VolumeName>().is_err());
        assert!("a/b".parse::<VolumeName>().is_err());
        assert!("..".parse::<VolumeName>().is_err());
    }
}
