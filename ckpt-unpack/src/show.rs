//! `--show`: what an archive tells of its container, as `checkpointctl show` and `inspect` do.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Read, Write};

use anyhow::Context;
use checkpoint::Member;
use checkpoint::config_dump::ConfigDump;
use checkpoint::network_status::NetworkStatus;
use checkpoint::process_tree::{IMAGE_LIMIT, Images, Process};
use checkpoint::spec_dump::SpecDump;
use checkpoint::stats::Stats;
use cli::{Exit, Output, Session};
use serde_json::{Value, json};
use tartree::TarPath;

use crate::args::Args;
use crate::source::Source;
use crate::verify::DOCUMENT;

/// What was found.
#[derive(Default)]
struct Found {
    config: ConfigDump,
    spec: SpecDump,
    network: Option<NetworkStatus>,
    stats: Option<Stats>,
    images: Images,
    /// Bytes of each member, of the image directories in sum.
    sizes: BTreeMap<String, u64>,
    pages: u64,
}

pub fn run(args: &Args, session: &Session) -> anyhow::Result<Exit> {
    let mut source = Source::open(args)?;
    let name = source.name().to_owned();
    let mut found = Found::default();
    session.stage("reading", source.size());
    let mut reader = source.reader_of_all()?;
    while let Some((member, entry)) = reader.next().with_context(|| name.clone())? {
        let size = entry.kind.data_len();
        found.take(&member, size, &mut reader.content(), session).with_context(|| name.clone())?;
    }
    reader.finish().with_context(|| name.clone())?;
    // An archive in another order has the pages before what tells where in them the command lines are.
    if found.images.lacks_cmdlines() && source.can_rewind() {
        let mut reader = source.reader_of_all()?;
        while let Some((member, entry)) = reader.next().with_context(|| name.clone())? {
            if let Member::Images(path) = member {
                found.cmdlines(&path.to_string(), entry.kind.data_len(), &mut reader.content())?;
            }
        }
    }
    session.end_stages();
    let mut out = BufWriter::new(Output::text(None)?);
    match args.output.json {
        true => writeln!(out, "{:#}", found.json())?,
        false => found.text(&mut out)?,
    }
    out.flush()?;
    Ok(Exit::Done)
}

impl Found {
    fn take(
        &mut self,
        member: &Member,
        size: u64,
        content: &mut impl Read,
        session: &Session,
    ) -> anyhow::Result<()> {
        let object = member.to_string();
        let mut document = || cli::read_document(&mut *content, &object, DOCUMENT);
        match member {
            Member::ConfigDump => self.config = ConfigDump::read(&document()?)?,
            Member::SpecDump => self.spec = SpecDump::read(&document()?)?,
            Member::NetworkStatus => {
                self.network = NetworkStatus::parse(&document()?).with_context(|| object.clone())?
            }
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
        *self.sizes.entry(sum.to_owned()).or_default() += size;
        Ok(())
    }

    fn image(
        &mut self,
        path: &TarPath,
        size: u64,
        content: &mut impl Read,
        session: &Session,
    ) -> anyhow::Result<()> {
        let name = path.to_string();
        if name.starts_with("pages-") {
            self.pages += size;
        }
        if Images::wants(&name) {
            if size > IMAGE_LIMIT {
                session.warn(format_args!("checkpoint/{name}: too large, processes are shown without it"));
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

    /// Reads the command lines from an image of pages.
    fn cmdlines(&mut self, name: &str, size: u64, content: &mut impl Read) -> anyhow::Result<()> {
        let (parts, pages) = self.images.parts(name);
        let mut ranges: Vec<_> =
            parts.iter().filter_map(|part| Some((part.range(size, pages)?, *part))).collect();
        ranges.sort_by_key(|((start, _), _)| *start);
        let mut position = 0;
        for ((start, len), part) in ranges {
            // Command lines of two processes never overlap, unless somebody made it so.
            let Some(gap) = start.checked_sub(position) else { continue };
            io::copy(&mut content.take(gap), &mut io::sink())?;
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

    fn size(&self, name: &str) -> u64 {
        self.sizes.get(name).copied().unwrap_or_default()
    }

    /// Network, interface, MAC and addresses of each interface.
    fn interfaces(&self) -> Vec<(String, String, String, Vec<String>)> {
        let networks = self.network.iter().flat_map(|status| &status.networks);
        networks
            .flat_map(|(network, block)| {
                block.interfaces.iter().map(move |(interface, data)| {
                    let addresses = data.subnets.iter().map(|s| s.ipnet.to_string()).collect();
                    let mac = data.mac_address.as_ref().map(|mac| mac.to_string()).unwrap_or_default();
                    (network.clone(), interface.clone(), mac, addresses)
                })
            })
            .collect()
    }

    /// Keys as `checkpointctl inspect --format json` has them.
    fn json(&self) -> Value {
        let interfaces = self.interfaces();
        let first = interfaces.first();
        let processes = self.images.processes();
        let mounts: Vec<_> = self
            .spec
            .mounts()
            .iter()
            .map(|m| json!({ "destination": m.destination, "type": m.kind, "source": m.source }))
            .collect();
        json!({
            "schema": 1,
            "container_name": self.config_text(&["name"]),
            "image": self.config_text(&["rootfsImageName", "rootfsImage"]),
            "image_id": self.config_text(&["rootfsImageID", "rootfsImageRef"]),
            "id": self.config_text(&["id"]),
            "runtime": self.config_text(&["runtime"]),
            "created": self.config_text(&["createdTime"]),
            "checkpointed": self.config_text(&["checkpointedTime"]),
            "engine": self.spec.engine().name(),
            "ip": first.and_then(|(_, _, _, addresses)| addresses.first()),
            "mac": first.map(|(_, _, mac, _)| mac),
            "networks": interfaces.iter().map(|(network, interface, mac, addresses)| {
                json!({ "network": network, "interface": interface, "mac": mac, "addresses": addresses })
            }).collect::<Vec<_>>(),
            "checkpoint_size": {
                "total_size": self.size("checkpoint"),
                "memory_pages_size": self.pages,
                "root_fs_diff_size": self.size("rootfs-diff.tar"),
            },
            "member_sizes": self.sizes,
            "statistics": self.stats.map(Stats::to_json),
            "process_tree": children(&processes, 0, 0),
            "mounts": mounts,
        })
    }

    fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let mut line = |name: &str, value: Option<&str>| match value {
            Some(value) => writeln!(out, "{name:<14}{}", cli::name(value)),
            None => Ok(()),
        };
        line("Container", self.config_text(&["name"]))?;
        line("ID", self.config_text(&["id"]))?;
        line("Image", self.config_text(&["rootfsImageName", "rootfsImage"]))?;
        line("Image ID", self.config_text(&["rootfsImageID", "rootfsImageRef"]))?;
        line("Engine", Some(self.spec.engine().name()))?;
        line("Runtime", self.config_text(&["runtime"]))?;
        line("Created", self.config_text(&["createdTime"]))?;
        line("Checkpointed", self.config_text(&["checkpointedTime"]))?;
        for (network, interface, mac, addresses) in self.interfaces() {
            line("Network", Some(&format!("{network}: {interface} {} {mac}", addresses.join(" "))))?;
        }
        writeln!(out, "Sizes")?;
        for (member, size) in &self.sizes {
            writeln!(out, "{size:>14} {member}")?;
        }
        writeln!(out, "{:>14} memory pages in checkpoint", self.pages)?;
        if let Some(Value::Object(figures)) = self.stats.map(Stats::to_json) {
            writeln!(out, "CRIU, times in microseconds")?;
            for (name, value) in figures {
                writeln!(out, "{:>14} {name}", value.to_string())?;
            }
        }
        writeln!(out, "Processes")?;
        let processes = self.images.processes();
        write_tree(out, &processes, 0, 1)?;
        writeln!(out, "Mounts")?;
        for mount in self.spec.mounts() {
            writeln!(
                out,
                "  {} {} {}",
                cli::name(mount.destination),
                cli::name(mount.kind),
                cli::name(mount.source)
            )?;
        }
        Ok(())
    }
}

/// Deeper than this no tree is shown: images are from other machines, and a process may claim to be its own parent.
const DEEPEST: usize = 64;

fn children(all: &[Process], parent: u32, depth: usize) -> Vec<Value> {
    let of_parent = all.iter().filter(|p| p.ppid == parent && depth < DEEPEST);
    of_parent
        .map(|p| {
            json!({
                "pid": p.pid, "command": p.command, "cmdline": p.cmdline.join(" "), "task_state": p.state,
                "threads": p.threads, "open_files": p.files, "sockets": p.sockets,
                "children": children(all, p.pid, depth + 1),
            })
        })
        .collect()
}

fn write_tree(out: &mut impl Write, all: &[Process], parent: u32, depth: usize) -> io::Result<()> {
    for p in all.iter().filter(|p| p.ppid == parent && depth < DEEPEST) {
        let command = if p.cmdline.is_empty() { p.command.clone() } else { p.cmdline.join(" ") };
        let command: String =
            command.chars().map(|c| if c.is_control() { ' ' } else { c }).take(160).collect();
        let indent = "  ".repeat(depth);
        writeln!(
            out,
            "{indent}{} {command} ({}, {} open files, {} sockets)",
            p.pid, p.state, p.files, p.sockets
        )?;
        write_tree(out, all, p.pid, depth + 1)?;
    }
    Ok(())
}
