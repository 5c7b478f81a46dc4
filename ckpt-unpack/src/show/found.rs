//! Collects the facts in an archive.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::{ArchiveFile, Members, POD_OPTIONS_LATE, is_pod_in_wrong_order};
use checkpoint::config_dump::ConfigDump;
use checkpoint::deleted_files;
use checkpoint::delta::{Base, Delta, Encoding};
use checkpoint::network_status::NetworkStatus;
use checkpoint::oci::facts;
use checkpoint::origin::{self, Origin};
use checkpoint::process_tree::{IMAGE_LIMIT, Images};
use checkpoint::spec_dump::SpecDump;
use checkpoint::stats::Stats;
use cli::Session;
use tartree::{Exceeded, Expanded, Skip, TarPath, Timestamp};

use super::changes::Changes;

/// The facts that were found in the archive.
#[derive(Default)]
pub struct Found {
    pub config: ConfigDump,
    pub spec: SpecDump,
    pub network: Option<NetworkStatus>,
    pub stats: Option<Stats>,
    pub images: Images,
    pub origin: Origin,
    /// The archive that holds the memory pages that the images leave out.
    pub base: Option<Base>,
    /// How memory pages are stored, if CRIU cannot read them.
    pub encoding: Option<Encoding>,
    /// Whether the archive has the images of the earlier dump.
    pub has_parent: bool,
    /// The facts in the annotations of an OCI image.
    pub annotated: BTreeMap<&'static str, String>,
    /// Size of each member in bytes. For an image directory, the sum of its files.
    pub sizes: BTreeMap<String, u64>,
    pub pages: u64,
    pub gpu_pages: u64,
    /// The contents of the diff, of volumes and of /dev/shm, by the name of the member.
    pub trees: BTreeMap<String, Changes>,
    /// The number of paths in the deletion lists.
    pub deleted: Option<u64>,
    /// The time at which config.dump was written, or else spec.dump.
    pub written: Option<Timestamp>,
    /// Number of bytes of CRIU's images that were read.
    read: u64,
}

/// Maximum number of bytes of images that are read. The images of one process without its memory
/// have some tens of kilobytes.
const IMAGES_LIMIT: u64 = 512 << 20;

/// The texts of processes to find in their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texts {
    None,
    CommandLines,
    /// Command lines and environments.
    All,
}

/// The error for a tar that is not a checkpoint archive.
#[derive(Debug)]
pub struct NotACheckpoint;

impl std::error::Error for NotACheckpoint {}

impl std::fmt::Display for NotACheckpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a checkpoint archive: it contains neither config.dump nor checkpoint/")
    }
}

/// Reads the archive.
///
/// # Errors
/// Returns an error if the archive is damaged or is not a checkpoint archive.
pub fn collect(archive: &mut ArchiveFile, texts: Texts, session: &Session) -> anyhow::Result<Found> {
    let name = archive.name().to_owned();
    let mut found = Found::default();
    if texts == Texts::All {
        found.images.read_environments();
    }
    if let Some(image) = archive.image() {
        found.annotated = facts(&image.annotations).into_iter().collect();
    }
    session.stage("reading", archive.size());
    let limits = archive.limits().clone();
    let mut reader = archive.survey_of_all().with_context(|| name.clone())?;
    while let Some((member, entry)) = reader.next().with_context(|| name.clone())? {
        let size = entry.kind.len();
        match member {
            Member::ConfigDump => found.written = Some(entry.meta.mtime),
            Member::SpecDump => found.written = found.written.or(Some(entry.meta.mtime)),
            _ => {}
        }
        match member {
            Member::RootfsDiff | Member::Volume(_) | Member::DevShm => {
                found.count(&member, size);
                found.tree(&member, &mut reader, &limits, session).with_context(|| name.clone())?;
            }
            _ => {
                let mut content = Expanded::new(&entry.kind, reader.content());
                found.add(&member, size, &mut content, session).with_context(|| name.clone())?;
            }
        }
    }
    let in_wrong_order = is_pod_in_wrong_order(reader.seen());
    reader.finish().with_context(|| name.clone())?;
    if texts != Texts::None {
        found.second_pass(archive, session)?;
    }
    // A tar without any of these members is not a checkpoint archive.
    if !["config.dump", "spec.dump", "checkpoint", "pre-checkpoint"]
        .iter()
        .any(|m| found.sizes.contains_key(*m))
    {
        if in_wrong_order {
            anyhow::bail!("{name}: pod.options: {POD_OPTIONS_LATE}");
        }
        return Err(anyhow::Error::new(NotACheckpoint).context(name));
    }
    session.end_stages();
    Ok(found)
}

impl Found {
    /// Reads texts that the first pass has not found. In an archive with another order of members,
    /// the pages images precede the images that contain the positions of the texts.
    fn second_pass(&mut self, archive: &mut ArchiveFile, session: &Session) -> anyhow::Result<()> {
        let name = archive.name().to_owned();
        if self.images.lacks_texts() && !archive.can_rewind() {
            session.warn(format_args!(
                "{name}: command lines are not shown: the memory pages precede the images that locate them, and a pipe cannot be read twice"
            ));
        } else if self.images.lacks_texts() {
            let mut reader = archive.survey_of_all().with_context(|| name.clone())?;
            while let Some((member, entry)) = reader.next().with_context(|| name.clone())? {
                if let Member::Images(path) = member {
                    let mut content = Expanded::new(&entry.kind, reader.content());
                    self.texts(&path.to_string(), entry.kind.len(), &mut content)?;
                }
            }
        }
        if self.images.has_truncated_texts() {
            session.warn(format_args!(
                "{name}: the command lines and environments of some processes are not shown, they are too large"
            ));
        }
        Ok(())
    }

    /// Adds the facts in `member`.
    fn add(
        &mut self,
        member: &Member,
        size: u64,
        content: &mut impl Skip,
        session: &Session,
    ) -> anyhow::Result<()> {
        let object = member.to_string();
        let mut document = || cli::read_document(&mut *content, &object, member.document_limit());
        match member {
            Member::ConfigDump => self.config = ConfigDump::read(&document()?)?,
            Member::SpecDump => self.spec = SpecDump::read(&document()?)?,
            Member::NetworkStatus => match document()?.as_slice() {
                list if list.trim_ascii_start().starts_with(b"[") => session.warn(format_args!(
                    "{object}: CNI results of podman 3 do not name their networks: not shown; \"netstatus save\" reads them"
                )),
                status => self.network = NetworkStatus::parse(status).with_context(|| object.clone())?,
            },
            Member::StatsDump => self.stats = Some(Stats::read(&object, &document()?)?),
            Member::DeletedFiles => self.add_deleted(deleted_files::read(&document()?), session),
            Member::DeletedFiles0 => self.add_deleted(deleted_files::read0(&document()?), session),
            Member::DumpLog => {
                let mut head = Vec::new();
                content.take(origin::LOG_HEAD).read_to_end(&mut head)?;
                self.origin.add_log(&head);
            }
            _ if *member == Delta::member() => {
                let delta = Delta::read(&document()?)?;
                (self.base, self.encoding) = (delta.base, delta.encoding);
            }
            Member::Images(path) => {
                self.has_parent |= path.to_string().starts_with("parent/");
                self.image(path, size, content, session)?;
            }
            Member::PreImages(_) => self.has_parent = true,
            _ => {}
        }
        self.count(member, size);
        Ok(())
    }

    fn count(&mut self, member: &Member, size: u64) {
        let sum = match member {
            Member::Images(_) => "checkpoint".to_owned(),
            Member::PreImages(_) => "pre-checkpoint".to_owned(),
            Member::Artifacts(_) => "artifacts".to_owned(),
            _ => member.to_string(),
        };
        let sum = self.sizes.entry(sum).or_default();
        *sum = sum.saturating_add(size);
    }

    fn add_deleted<T>(&mut self, paths: checkpoint::Result<Vec<T>>, session: &Session) {
        match paths {
            Ok(paths) => self.deleted = Some(self.deleted.unwrap_or(0) + paths.len() as u64),
            Err(e) => session.warn(e),
        }
    }

    /// Reads the headers of the tar in `member`.
    fn tree(
        &mut self,
        member: &Member,
        reader: &mut Members<'_>,
        limits: &tartree::Limits,
        session: &Session,
    ) -> anyhow::Result<()> {
        let (bound, is_diff) = (reader.bound(), *member == Member::RootfsDiff);
        match Changes::read(&mut reader.content(), is_diff, limits, &bound) {
            Ok(changes) => {
                self.trees.insert(member.to_string(), changes);
            }
            Err(e) if Exceeded::in_error(e.as_ref()).is_some() => return Err(e.context(member.to_string())),
            // The other members can still be shown.
            Err(e) => session.warn(format_args!("{member}: its files are not shown: {e:#}")),
        }
        Ok(())
    }

    fn image(
        &mut self,
        path: &TarPath,
        size: u64,
        content: &mut impl Skip,
        session: &Session,
    ) -> anyhow::Result<()> {
        let name = path.to_string();
        self.origin.note(&name);
        if name.starts_with("pages-") {
            self.pages = self.pages.saturating_add(size);
        }
        if name.starts_with("amdgpu-pages-") {
            self.gpu_pages = self.gpu_pages.saturating_add(size);
        }
        let (process, origin) = (Images::wants(&name), Origin::wants(&name));
        if !process && !origin {
            return self.texts(&name, size, content);
        }
        let limit = if process { IMAGE_LIMIT } else { origin::LIMIT };
        self.read = self.read.saturating_add(size);
        if size > limit || self.read > IMAGES_LIMIT {
            let lost = if process { "processes" } else { "what the container needs" };
            session
                .warn(format_args!("checkpoint/{name}: not read, too large; facts about {lost} are missing"));
            return Ok(());
        }
        let bytes = cli::read_document(content, &name, limit)?;
        let added = if process { self.images.add(&name, &bytes) } else { self.origin.add(&name, &bytes) };
        if let Err(e) = added {
            session.warn(format_args!("checkpoint/{e}"));
        }
        Ok(())
    }

    /// Reads the command lines and environments from a pages image.
    fn texts(&mut self, name: &str, size: u64, content: &mut impl Skip) -> anyhow::Result<()> {
        let (parts, pages) = self.images.parts(name);
        let mut ranges: Vec<_> =
            parts.iter().filter_map(|part| Some((part.range(size, pages)?, *part))).collect();
        ranges.sort_by_key(|((start, _), _)| *start);
        let mut position = 0;
        for ((start, len), part) in ranges {
            // The texts of two processes overlap only in a forged image.
            let Some(gap) = start.checked_sub(position) else { continue };
            content.skip(gap)?;
            let mut bytes = Vec::new();
            content.take(len).read_to_end(&mut bytes)?;
            position = start + len;
            self.images.add_text(part, bytes);
        }
        Ok(())
    }

    pub fn config_text(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().find_map(|key| self.config.text(key))
    }

    /// Returns whether the archive has only images of a pre-checkpoint.
    pub fn is_round(&self) -> bool {
        self.sizes.contains_key("pre-checkpoint") && !self.sizes.contains_key("checkpoint")
    }

    pub fn name(&self) -> Option<String> {
        self.spec.container_name().or_else(|| self.config.text("name").map(str::to_owned))
    }

    pub fn image_name(&self) -> Option<&str> {
        self.config_text(&["rootfsImageName", "rootfsImage"])
    }

    pub fn created(&self) -> Option<&str> {
        self.spec.annotation("io.kubernetes.cri-o.Created").or_else(|| self.config.text("createdTime"))
    }

    /// Returns when the checkpoint was made. podman does not record the time, but sets it as the
    /// time of the members.
    pub fn checkpointed(&self) -> Option<String> {
        let recorded = self.config.text("checkpointedTime").map(str::to_owned);
        recorded.or_else(|| self.written.filter(|time| time.sec > 0).map(|time| time.to_string()))
    }

    /// Returns the container's first address, from network.status or from CRI-O's annotation.
    pub fn address(&self) -> Option<String> {
        let first = self.interfaces().next().and_then(|interface| interface.addresses.into_iter().next());
        first.or_else(|| self.spec.annotation("io.kubernetes.cri-o.IP.0").map(str::to_owned))
    }

    pub fn size(&self, name: &str) -> u64 {
        self.sizes.get(name).copied().unwrap_or_default()
    }

    /// Returns the size of all members.
    pub fn total(&self) -> u64 {
        self.sizes.values().fold(0, |sum, size| sum.saturating_add(*size))
    }

    /// Returns the number of changed and of deleted paths of the root file system.
    pub fn root_changes(&self) -> Option<(u64, u64)> {
        let changes = self.trees.get("rootfs-diff.tar");
        let (changed, deleted) = changes.map_or((0, 0), |c| (c.files + c.directories + c.others, c.deleted));
        (changes.is_some() || self.deleted.is_some()).then(|| (changed, self.deleted.unwrap_or(deleted)))
    }

    pub fn interfaces(&self) -> impl Iterator<Item = Interface<'_>> {
        let networks = self.network.iter().flat_map(|status| &status.networks);
        networks.flat_map(|(network, block)| {
            block.interfaces.iter().map(move |(name, data)| Interface {
                network,
                name,
                mac: data.mac_address.as_ref().map(ToString::to_string).unwrap_or_default(),
                addresses: data.subnets.iter().map(|s| s.ipnet.to_string()).collect(),
                gateway: data.subnets.iter().find_map(|s| s.gateway.as_ref()).map(ToString::to_string),
            })
        })
    }
}

/// A network interface of the container.
pub struct Interface<'a> {
    pub network: &'a str,
    pub name: &'a str,
    pub mac: String,
    pub addresses: Vec<String>,
    pub gateway: Option<String>,
}
