//! The restore that `--check` checks, and what the check found.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use checkpoint::VolumeName;
use checkpoint::config_dump::{ConfigDump, NamedVolume};
use checkpoint::criu::check::Source;
use checkpoint::criu::origin::{LOG_HEAD, Origin};
use checkpoint::delta::Base;
use checkpoint::host::criu_version::criu_number;
use checkpoint::host::{Finding, Severity};
use checkpoint::pod::ContainerName;
use checkpoint::spec_dump::{Mount, SpecDump};

use super::trees::Archived;

/// A restore that has not begun.
pub struct Restore {
    /// The container, if all containers of a pod are checked.
    pub container: Option<ContainerName>,
    /// Whether an archive or a bundle is restored.
    pub form: Form,
    /// CRIU's images.
    pub images: Box<dyn Source>,
    /// The directory of the images, if they are unpacked.
    pub image_path: Option<PathBuf>,
    /// The mounts in `config.json` of a bundle, or in `spec.dump` of an archive: by destination,
    /// with the source of a bind mount.
    pub mounts: BTreeMap<String, Option<PathBuf>>,
    /// The path of the network namespace that the container joins, if the spec has one.
    pub network: Option<PathBuf>,
    /// The path of the cgroup in the spec.
    pub cgroup: Option<String>,
    /// The named volumes in config.dump, by destination.
    pub volumes: BTreeMap<String, VolumeName>,
    /// Whether volumes are not restored from the archive, so that they are not checked.
    pub ignores_volumes: bool,
    /// The root file system, if it is known.
    pub rootfs: Option<PathBuf>,
    /// The directories of `--volume`.
    pub volume_dirs: Vec<(VolumeName, PathBuf)>,
    /// What the archive holds of the root file system and the volumes.
    pub archived: Archived,
    /// The numbers of bytes that will be written into directories that exist.
    pub written: Vec<(PathBuf, u64)>,
    /// The CRIU and the kernel that made the images.
    pub made_by: MadeBy,
    /// The archive that holds the pages that this archive leaves out.
    pub base: Option<Base>,
    /// Problems that were found while the archive or bundle was read.
    pub problems: Vec<String>,
}

/// The CRIU and the kernel that made images, if they are recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MadeBy {
    /// The version of CRIU as podman's number, such as 40101 for 4.1.1.
    pub criu: Option<u32>,
    /// The major and the minor version of the kernel.
    pub kernel: Option<(u32, u32)>,
}

impl MadeBy {
    /// Reads the versions from CRIU's log of the dump.
    pub fn of_log(log: impl Read) -> MadeBy {
        let mut head = Vec::new();
        // A log that cannot be read shows no versions.
        let _ = log.take(LOG_HEAD).read_to_end(&mut head);
        let mut origin = Origin::default();
        origin.add_log(&head);
        let criu = origin.criu.and_then(|version| criu_number(&format!("Version: {version}")));
        MadeBy { criu, kernel: origin.kernel.as_deref().and_then(release) }
    }
}

/// Returns the major and the minor version in the release of a kernel, such as `6.12.9-amd64`.
pub fn release(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// What is restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// An archive, which will be unpacked and whose spec will be changed for this host. Its name is
    /// for messages.
    Archive(String),
    /// An unpacked bundle with the final `config.json`.
    Bundle(PathBuf),
}

impl Restore {
    /// Returns the source of the mount of the spec at `destination`. The inner value is `None` for a
    /// mount without a source.
    pub fn source(&self, destination: &str) -> Option<&Option<PathBuf>> {
        self.mounts.get(clean(destination))
    }

    /// Returns the named volume that is mounted at `destination`.
    pub fn volume_at(&self, destination: &str) -> Option<&VolumeName> {
        self.volumes.get(destination)
    }

    /// Returns the directory of `--volume` for a volume.
    pub fn volume_dir(&self, volume: &VolumeName) -> Option<&Path> {
        self.volume_dirs.iter().find(|(given, _)| given == volume).map(|(_, dir)| dir.as_path())
    }
}

/// Returns the mounts of a spec by their destinations, each with its source below `base`.
pub fn mounts(spec: &SpecDump, base: &Path) -> BTreeMap<String, Option<PathBuf>> {
    let source = |mount: &Mount<'_>| {
        let has_source = match mount.kind {
            "bind" => !mount.source.is_empty(),
            // The options make it a bind mount.
            "none" | "" => mount.source.contains('/'),
            _ => false,
        };
        has_source.then(|| base.join(mount.source))
    };
    spec.mounts().iter().map(|mount| (clean(mount.destination).to_owned(), source(mount))).collect()
}

/// Returns the named volumes by their destinations.
pub fn volumes(config: &ConfigDump) -> checkpoint::Result<BTreeMap<String, VolumeName>> {
    let volumes = config.volumes()?.into_iter();
    Ok(volumes.map(|NamedVolume { name, destination }| (destination, name)).collect())
}

/// Returns a destination without a slash at its end.
fn clean(destination: &str) -> &str {
    destination.trim_end_matches('/')
}

/// The most problems that are reported individually. A hostile archive may have a million.
const MAX_FOUND: usize = 100;

/// The problems and the passed checks.
#[derive(Default)]
pub struct Findings {
    pub passed: Vec<String>,
    pub found: Vec<Finding>,
    more: usize,
}

impl Findings {
    /// Adds a problem with which the restore fails.
    pub fn fails(&mut self, text: String, hint: impl Into<String>) {
        self.add(Finding { severity: Severity::Fails, text, hint: hint.into() });
    }

    /// Adds a problem with which the restore succeeds if the user follows the hint.
    pub fn needs(&mut self, text: String, hint: impl Into<String>) {
        self.add(Finding { severity: Severity::Needs, text, hint: hint.into() });
    }

    /// Adds the problems and the passed checks of a container.
    pub fn add_all(&mut self, found: Findings, container: Option<&ContainerName>) {
        let named = |text: String| match container {
            Some(name) => format!("{name}: {text}"),
            None => text,
        };
        self.passed.extend(found.passed.into_iter().map(named));
        self.found
            .extend(found.found.into_iter().map(|finding| Finding { text: named(finding.text), ..finding }));
    }

    fn add(&mut self, finding: Finding) {
        if self.found.len() < MAX_FOUND {
            self.found.push(finding);
        } else {
            self.more += 1;
        }
    }

    /// Adds the number of problems that are not reported individually.
    pub fn finish(&mut self) {
        if self.more > 0 {
            let (text, hint) = (format!("{} more problems", self.more), "solve the problems above first");
            self.found.push(Finding { severity: Severity::Fails, text, hint: hint.into() });
        }
    }
}
