//! Writes the text of `--show`: one line for each fact, then tables.

use std::io::{self, Write};

use checkpoint::process_tree::Node;
use checkpoint::stats::{DumpStats, Stats};
use cli::Style;
use cli::units::{bytes, count, microseconds};

use super::changes::Changes;
use super::found::Found;
use super::needs::{makers, needs};
use super::processes;
use super::tree::{amount, pids};

/// A text output with its style.
pub struct Text<'w, W> {
    pub out: &'w mut W,
    pub style: Style,
}

impl<W: Write> Text<'_, W> {
    /// Writes a fact, unless it is missing.
    pub fn line(&mut self, name: &str, value: Option<&str>) -> io::Result<()> {
        match value {
            Some(value) => {
                let name = self.style.heading(&format!("{name:<14}"));
                writeln!(self.out, "{name}{}", cli::escape(value))
            }
            None => Ok(()),
        }
    }

    /// Writes the heading of a table, with a summary.
    pub fn heading(&mut self, name: &str, summary: &str) -> io::Result<()> {
        let name = self.style.heading(name);
        let space = if summary.is_empty() { "" } else { ": " };
        writeln!(self.out, "{name}{space}{summary}")
    }

    /// Writes a row with a number of bytes.
    pub fn sized(&mut self, size: u64, text: &str, detail: &str) -> io::Result<()> {
        let size = self.style.strong(&format!("{:>12}", bytes(size)));
        let detail = if detail.is_empty() { String::new() } else { self.style.faint(&format!("  {detail}")) };
        writeln!(self.out, "{size}  {}{detail}", cli::escape(text))
    }

    /// Writes how many rows are missing.
    pub fn more(&mut self, indent: &str, n: usize) -> io::Result<()> {
        if n > 0 {
            writeln!(self.out, "{indent}{}", self.style.faint(&format!("{n} more, see --json")))
        } else {
            Ok(())
        }
    }
}

pub fn write(out: &mut impl Write, found: &Found, tree: &[Node]) -> io::Result<()> {
    let mut text = Text { out, style: Style::of_stdout() };
    container(&mut text, found)?;
    network(&mut text, found)?;
    sizes(&mut text, found, tree)?;
    for (member, changes) in
        found.trees.iter().filter(|(_, changes)| changes.files > 0 || changes.deleted > 0)
    {
        contents(&mut text, member, changes, found)?;
    }
    if let Some(Stats::Dump(stats)) = found.stats {
        statistics(&mut text, &stats)?;
    }
    processes::write(&mut text, found, tree)?;
    mounts(&mut text, found)?;
    requirements(&mut text, found, tree)
}

fn container(text: &mut Text<'_, impl Write>, found: &Found) -> io::Result<()> {
    let (pod, kubernetes_namespace) = found.spec.pod();
    let has_spec = found.sizes.contains_key("spec.dump");
    text.line("Kind", found.is_round().then_some("round of a pre-copy (pre-checkpoint)"))?;
    text.line("Container", found.name().as_deref())?;
    text.line("ID", found.config.text("id"))?;
    text.line("Image", found.image_name())?;
    text.line("Image ID", found.config_text(&["rootfsImageID", "rootfsImageRef"]))?;
    text.line("Engine", Some(found.spec.engine().name()).filter(|_| has_spec || !found.is_round()))?;
    text.line("Runtime", found.config.text("runtime"))?;
    text.line("Made by", Some(makers(found).join(", ").as_str()).filter(|makers| !makers.is_empty()))?;
    text.line("Pod", pod)?;
    text.line("Pod namespace", kubernetes_namespace)?;
    text.line("Created", found.created())?;
    text.line("Checkpointed", found.config.text("checkpointedTime"))?;
    let base = found.base.as_ref();
    text.line("Base", base.and_then(|base| base.checkpointed.as_deref()))?;
    text.line("Base ID", base.map(|base| base.id.as_str()))?;
    text.line("Page encoding", found.encoding.map(|_| "XOR with the base"))
}

fn network(text: &mut Text<'_, impl Write>, found: &Found) -> io::Result<()> {
    for i in found.interfaces() {
        let gateway = i.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
        let line = format!("{}: {} {} {}{gateway}", i.network, i.name, i.addresses.join(" "), i.mac);
        text.line("Network", Some(&line))?;
    }
    if found.network.is_none() {
        text.line("IP", found.address().as_deref())?;
    }
    let namespaces = found.spec.namespaces();
    let own: Vec<_> = namespaces.iter().filter(|(_, path)| path.is_none()).map(|(kind, _)| *kind).collect();
    text.line("Namespaces", Some(own.join(" ")).filter(|own| !own.is_empty()).as_deref())?;
    for (kind, path) in &namespaces {
        text.line("  joined", path.map(|path| format!("{kind}: {path}")).as_deref())?;
    }
    Ok(())
}

fn sizes(text: &mut Text<'_, impl Write>, found: &Found, tree: &[Node]) -> io::Result<()> {
    text.heading(
        "Sizes",
        &format!("{} in {}", bytes(found.total()), count(found.sizes.len() as u64, "member")),
    )?;
    for (member, &size) in &found.sizes {
        let detail = match member.as_str() {
            "checkpoint" => format!("{} of memory pages", bytes(found.pages)),
            member => found.trees.get(member).map(summary).unwrap_or_default(),
        };
        text.sized(size, member, &detail)?;
    }
    if found.gpu_pages > 0 {
        text.sized(found.gpu_pages, "memory pages of GPUs in checkpoint", "")?;
    }
    let memory = pids(tree).into_iter().fold((0u64, 0u64), |(stored, parent), pid| {
        let amount = amount(&found.images, pid);
        (stored.saturating_add(amount.stored), parent.saturating_add(amount.in_parent))
    });
    if memory.1 > 0 {
        text.sized(memory.1, "memory pages in the base or pre-checkpoint", "")?;
    }
    Ok(())
}

/// Returns the number of entries in a tar.
fn summary(changes: &Changes) -> String {
    let mut parts = vec![count(changes.files, "file")];
    let counted = [(changes.directories, "directory"), (changes.others, "other entry")];
    parts.extend(counted.into_iter().filter(|(n, _)| *n > 0).map(|(n, noun)| count(n, noun)));
    parts.join(", ")
}

/// Writes the largest files and directories of a tar.
fn contents(
    text: &mut Text<'_, impl Write>,
    member: &str,
    changes: &Changes,
    found: &Found,
) -> io::Result<()> {
    let name = match member {
        "rootfs-diff.tar" => "Changes of the root file system".to_owned(),
        "devshm-checkpoint.tar" => "Files in /dev/shm".to_owned(),
        _ => format!("Files in {member}"),
    };
    let mut line = format!("{}, {}", summary(changes), bytes(changes.bytes));
    let deleted = found.deleted.unwrap_or(changes.deleted);
    if member == "rootfs-diff.tar" && deleted > 0 {
        line.push_str(&format!(", {} deleted", count(deleted, "path")));
    }
    text.heading(&cli::escape(name), &line)?;
    for (path, size) in changes.largest_files() {
        text.sized(size, &format!("/{path}"), "")?;
    }
    for (path, size) in changes.largest_directories() {
        text.sized(size, &format!("/{path}/"), "directory")?;
    }
    Ok(())
}

fn statistics(text: &mut Text<'_, impl Write>, stats: &DumpStats) -> io::Result<()> {
    let frozen = format!("the processes were frozen for {}", microseconds(stats.frozen_time.into()));
    text.heading("Dump", &frozen)?;
    for (time, what) in [
        (stats.freezing_time, "freezing the processes"),
        (stats.memdump_time, "collecting the memory"),
        (stats.memwrite_time, "writing the memory"),
    ] {
        let time = text.style.strong(&format!("{:>12}", microseconds(time.into())));
        writeln!(text.out, "{time}  {what}")?;
    }
    for (pages, what) in [
        (stats.pages_scanned, "pages scanned"),
        (stats.pages_written, "pages written"),
        (stats.pages_skipped_parent, "pages in the base or pre-checkpoint"),
    ] {
        let pages = text.style.strong(&format!("{pages:>12}"));
        writeln!(text.out, "{pages}  {what}")?;
    }
    Ok(())
}

fn mounts(text: &mut Text<'_, impl Write>, found: &Found) -> io::Result<()> {
    let mounts = found.spec.mounts();
    if mounts.is_empty() && found.is_round() {
        return Ok(());
    }
    text.heading("Mounts", &count(mounts.len() as u64, "mount"))?;
    for mount in mounts {
        let [to, kind, from] = [mount.destination, mount.kind, mount.source].map(cli::escape);
        writeln!(text.out, "  {to} {kind} {}", text.style.faint(&from))?;
    }
    Ok(())
}

fn requirements(text: &mut Text<'_, impl Write>, found: &Found, tree: &[Node]) -> io::Result<()> {
    let needs = needs(found, tree);
    if needs.is_empty() {
        return Ok(());
    }
    text.heading("A restore needs", "")?;
    for need in needs {
        let hint = need.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        let (kind, hint) = (text.style.strong(&format!("{:<16}", need.kind)), text.style.faint(&hint));
        writeln!(text.out, "  {kind}{}{hint}", cli::escape(need.text))?;
    }
    Ok(())
}
