//! `--show`: describes the container in an archive, like `checkpointctl show` and `checkpointctl
//! inspect`.

mod json;
mod text;

use std::collections::BTreeMap;
use std::io::{BufWriter, Read, Write};

use anyhow::Context;
use checkpoint::Member;
use checkpoint::config_dump::ConfigDump;
use checkpoint::network_status::NetworkStatus;
use checkpoint::process_tree::{IMAGE_LIMIT, Images};
use checkpoint::spec_dump::SpecDump;
use checkpoint::stats::Stats;
use cli::{Exit, Output, Session};
use tartree::{Expanded, Skip, TarPath};

use crate::archive_input;
use crate::args::Args;

/// The facts that were found in the archive.
#[derive(Default)]
struct Found {
    config: ConfigDump,
    spec: SpecDump,
    network: Option<NetworkStatus>,
    stats: Option<Stats>,
    images: Images,
    /// Size of each member in bytes. For an image directory, the sum of its files.
    sizes: BTreeMap<String, u64>,
    pages: u64,
    gpu_pages: u64,
    /// Number of bytes of CRIU's images that were read.
    read: u64,
}

/// Maximum number of bytes of images that are read. The images of one process without its memory
/// have some tens of kilobytes.
const IMAGES_LIMIT: u64 = 512 << 20;

pub fn run(args: &Args, session: &Session) -> anyhow::Result<Exit> {
    let mut archive = archive_input::open(args)?;
    let name = archive.name().to_owned();
    let mut found = Found::default();
    session.stage("reading", archive.size());
    let mut reader = archive.survey_of_all().with_context(|| name.clone())?;
    while let Some((member, entry)) = reader.next().with_context(|| name.clone())? {
        let mut content = Expanded::new(&entry.kind, reader.content());
        found.add(&member, entry.kind.len(), &mut content, session).with_context(|| name.clone())?;
    }
    reader.finish().with_context(|| name.clone())?;
    // In an archive with another order of members, the pages images precede the images that contain
    // the positions of the command lines.
    if found.images.lacks_cmdlines() && !archive.can_rewind() {
        session.warn(format_args!(
            "{name}: command lines are not shown: the memory pages precede the images that locate them, and a pipe cannot be read twice"
        ));
    } else if found.images.lacks_cmdlines() {
        let mut reader = archive.survey_of_all().with_context(|| name.clone())?;
        while let Some((member, entry)) = reader.next().with_context(|| name.clone())? {
            if let Member::Images(path) = member {
                let mut content = Expanded::new(&entry.kind, reader.content());
                found.cmdlines(&path.to_string(), entry.kind.len(), &mut content)?;
            }
        }
    }
    // A tar without any of these members is not a checkpoint archive.
    if !["config.dump", "spec.dump", "checkpoint", "pre-checkpoint"]
        .iter()
        .any(|m| found.sizes.contains_key(*m))
    {
        anyhow::bail!("{name}: not a checkpoint archive: it contains neither config.dump nor checkpoint/");
    }
    session.end_stages();
    let (tree, lost) = found.images.tree();
    if lost > 0 {
        session.warn(format_args!(
            "checkpoint/pstree.img: {lost} processes are not shown, they do not descend from the first process"
        ));
    }
    let mut out = BufWriter::new(Output::text(None)?);
    match args.output.json {
        true => writeln!(out, "{:#}", json::document(&found, &tree, session))?,
        false => text::write(&mut out, &found, &tree)?,
    }
    out.flush()?;
    Ok(Exit::Done)
}

impl Found {
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
            Member::Images(path) => self.image(path, size, content, session)?,
            _ => {}
        }
        let sum = match member {
            Member::Images(_) => "checkpoint",
            Member::PreImages(_) => "pre-checkpoint",
            Member::Artifacts(_) => "artifacts",
            _ => &object,
        };
        let sum = self.sizes.entry(sum.to_owned()).or_default();
        *sum = sum.saturating_add(size);
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
        if name.starts_with("pages-") {
            self.pages = self.pages.saturating_add(size);
        }
        if name.starts_with("amdgpu-pages-") {
            self.gpu_pages = self.gpu_pages.saturating_add(size);
        }
        if Images::wants(&name) {
            self.read = self.read.saturating_add(size);
            if size > IMAGE_LIMIT || self.read > IMAGES_LIMIT {
                session.warn(format_args!(
                    "checkpoint/{name}: not read, too large; facts about processes are missing"
                ));
                return Ok(());
            }
            let bytes = cli::read_document(content, &name, IMAGE_LIMIT)?;
            if let Err(e) = self.images.add(&name, &bytes) {
                session.warn(format_args!("checkpoint/{e}"));
            }
            return Ok(());
        }
        self.cmdlines(&name, size, content)
    }

    /// Reads the command lines from a pages image.
    fn cmdlines(&mut self, name: &str, size: u64, content: &mut impl Skip) -> anyhow::Result<()> {
        let (parts, pages) = self.images.parts(name);
        let mut ranges: Vec<_> =
            parts.iter().filter_map(|part| Some((part.range(size, pages)?, *part))).collect();
        ranges.sort_by_key(|((start, _), _)| *start);
        let mut position = 0;
        for ((start, len), part) in ranges {
            // The command lines of two processes overlap only in a forged image.
            let Some(gap) = start.checked_sub(position) else { continue };
            content.skip(gap)?;
            let mut bytes = Vec::new();
            content.take(len).read_to_end(&mut bytes)?;
            position = start + len;
            self.images.add_cmdline(part, bytes);
        }
        Ok(())
    }

    fn config_text(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().find_map(|key| self.config.text(key))
    }

    fn name(&self) -> Option<String> {
        self.spec.container_name().or_else(|| self.config.text("name").map(str::to_owned))
    }

    fn created(&self) -> Option<&str> {
        self.spec.annotation("io.kubernetes.cri-o.Created").or_else(|| self.config.text("createdTime"))
    }

    /// Returns the container's first address, from network.status or from CRI-O's annotation.
    fn address(&self) -> Option<String> {
        let first = self.interfaces().next().and_then(|interface| interface.addresses.into_iter().next());
        first.or_else(|| self.spec.annotation("io.kubernetes.cri-o.IP.0").map(str::to_owned))
    }

    fn size(&self, name: &str) -> u64 {
        self.sizes.get(name).copied().unwrap_or_default()
    }

    fn interfaces(&self) -> impl Iterator<Item = Interface<'_>> {
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
struct Interface<'a> {
    network: &'a str,
    name: &'a str,
    mac: String,
    addresses: Vec<String>,
    gateway: Option<String>,
}
