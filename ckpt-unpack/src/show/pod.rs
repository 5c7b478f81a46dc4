//! `--show` of a pod archive: the pod, and one row for each container.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::{ArchiveFile, PodMember, PodPass, PodReader};
use checkpoint::compress::Compression;
use checkpoint::network_status::NetworkStatus;
use checkpoint::pod::{ContainerName, PodDump, PodOptions};
use cli::args::reject_given;
use cli::units::{bytes, count};
use cli::{Exit, Output, Session, Style};
use serde_json::{Map, Value, json};

use super::found::{Texts, collect};
use super::table::{self, Row};
use super::text::Text;
use crate::args::Args;
use crate::pod;

/// The facts about a pod.
pub struct PodFacts {
    compression: Compression,
    options: PodOptions,
    dump: PodDump,
    network: Option<NetworkStatus>,
    /// The sizes of the members that belong to the pod, in bytes.
    documents: BTreeMap<String, u64>,
    /// The containers, in the order of the archive.
    pub containers: Vec<ContainerFacts>,
}

/// The facts about a container of a pod.
pub struct ContainerFacts {
    name: ContainerName,
    pub row: Row,
}

pub fn run(archive: ArchiveFile, args: &Args, session: &Session) -> anyhow::Result<Exit> {
    let flags = [("--env", args.inspected.env), ("--html", args.inspected.html)];
    reject_given(&flags, "with all containers of a pod, add --container NAME")?;
    let facts = PodFacts::read(archive, session)?;
    session.end_stages();
    let mut out = BufWriter::new(Output::text(None)?);
    match args.output.json {
        true => writeln!(out, "{}", cli::escape_json(format_args!("{:#}", facts.to_json())))?,
        false => facts.write(&mut out)?,
    }
    out.flush()?;
    Ok(Exit::Done)
}

impl PodFacts {
    /// Reads a pod archive.
    ///
    /// # Errors
    /// Returns an error if the archive is damaged, or if a member is missing.
    pub fn read(archive: ArchiveFile, session: &Session) -> anyhow::Result<PodFacts> {
        let name = archive.name().to_owned();
        session.stage("reading", archive.size());
        let mut pod = archive.into_pod(PodPass::Headers).context(name)?;
        let reader = pod.reader()?;
        let mut facts = PodFacts {
            compression: reader.compression(),
            options: reader.options().clone(),
            dump: PodDump::default(),
            network: None,
            documents: BTreeMap::new(),
            containers: Vec::new(),
        };
        while let Some((member, entry)) = pod::next(&mut pod)? {
            match member {
                PodMember::Document(member) => {
                    let archive = pod.name().to_owned();
                    facts.document(&member, entry.kind.len(), pod.reader()?).context(archive)?;
                }
                PodMember::Container(name) => {
                    let found = collect(pod.container(&name), Texts::None, session)?;
                    let row = Row::new(entry.path.to_string(), &found);
                    facts.containers.push(ContainerFacts { name, row });
                }
            }
        }
        pod::finish(pod)?;
        Ok(facts)
    }

    /// Adds a document of the pod.
    fn document(&mut self, member: &Member, size: u64, reader: &mut PodReader) -> anyhow::Result<()> {
        let name = member.to_string();
        let content = reader.content();
        if *member == PodDump::member() {
            self.dump = PodDump::read(&name, &cli::read_document(content, &name, PodDump::LIMIT)?)?;
        } else if *member == Member::NetworkStatus {
            let text = cli::read_document(content, &name, member.document_limit())?;
            self.network = NetworkStatus::parse(&text).with_context(|| name.clone())?;
        }
        self.documents.insert(name, size);
        Ok(())
    }

    fn to_json(&self) -> Value {
        let containers = self.containers.iter().map(|container| {
            let mut row = Map::from_iter([("name".to_owned(), json!(container.name.as_str()))]);
            if let Value::Object(facts) = container.row.to_json() {
                row.extend(facts);
            }
            Value::Object(row)
        });
        let annotations = self.options.annotations.iter().map(|(key, value)| (key.clone(), json!(value)));
        json!({
            "schema": 1,
            "compression": self.compression.name(),
            "pod": {
                "name": self.dump.name, "namespace": self.dump.namespace, "uid": self.dump.uid,
                "hostname": self.dump.hostname, "id": self.options.annotation("pod.id"),
                "engine": self.options.annotation("engine.name"),
                "annotations": annotations.collect::<Map<_, _>>(),
            },
            "documents": self.documents,
            "containers": containers.collect::<Vec<_>>(),
        })
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut text = Text { out, style: Style::of_stdout() };
        text.line("Pod", Some(&self.dump.name))?;
        text.line("Pod namespace", self.dump.namespace.as_deref())?;
        text.line("Pod UID", self.dump.uid.as_deref())?;
        text.line("Pod ID", self.options.annotation("pod.id"))?;
        text.line("Host name", self.dump.hostname.as_deref())?;
        text.line("Engine", self.options.annotation("engine.name"))?;
        for (network, block) in self.network.iter().flat_map(|status| &status.networks) {
            for (name, data) in &block.interfaces {
                let addresses: Vec<_> = data.subnets.iter().map(|subnet| subnet.ipnet.to_string()).collect();
                text.line("Network", Some(&format!("{network}: {name} {}", addresses.join(" "))))?;
            }
        }
        let size = self.documents.values().fold(0u64, |sum, size| sum.saturating_add(*size));
        let documents = count(self.documents.len() as u64, "member");
        text.heading("Documents of the pod", &format!("{} in {documents}", bytes(size)))?;
        for (member, size) in &self.documents {
            text.sized(*size, member, "")?;
        }
        text.heading("Containers", &count(self.containers.len() as u64, "container"))?;
        let rows: Vec<_> = self.containers.iter().map(|container| &container.row).collect();
        table::write(text.out, &rows)
    }
}
