//! Writes the text of `--show`: one line for each fact.

use std::io::{self, Write};

use checkpoint::process_tree::{Images, Node};
use checkpoint::stats::Stats;
use serde_json::Value;

use super::Found;

pub fn write(out: &mut impl Write, found: &Found, tree: &[Node]) -> io::Result<()> {
    let mut line = |name: &str, value: Option<&str>| match value {
        Some(value) => writeln!(out, "{name:<14}{}", cli::escape(value)),
        None => Ok(()),
    };
    let (pod, kubernetes_namespace) = found.spec.pod();
    line("Container", found.name().as_deref())?;
    line("ID", found.config.text("id"))?;
    line("Image", found.config_text(&["rootfsImageName", "rootfsImage"]))?;
    line("Image ID", found.config_text(&["rootfsImageID", "rootfsImageRef"]))?;
    line("Engine", Some(found.spec.engine().name()))?;
    line("Runtime", found.config.text("runtime"))?;
    line("Pod", pod)?;
    line("Pod namespace", kubernetes_namespace)?;
    line("Created", found.created())?;
    line("Checkpointed", found.config.text("checkpointedTime"))?;
    for i in found.interfaces() {
        let gateway = i.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
        let text = format!("{}: {} {} {}{gateway}", i.network, i.name, i.addresses.join(" "), i.mac);
        line("Network", Some(&text))?;
    }
    if found.network.is_none() {
        line("IP", found.address().as_deref())?;
    }
    let namespaces = found.spec.namespaces();
    let own: Vec<_> = namespaces.iter().filter(|(_, path)| path.is_none()).map(|(kind, _)| *kind).collect();
    line("Namespaces", Some(&own.join(" ")).filter(|own| !own.is_empty()).map(String::as_str))?;
    for (kind, path) in &namespaces {
        line("  joined", path.map(|path| format!("{kind}: {path}")).as_deref())?;
    }
    writeln!(out, "Sizes")?;
    for (member, size) in &found.sizes {
        writeln!(out, "{size:>14} {}", cli::escape(member))?;
    }
    writeln!(out, "{:>14} memory pages in checkpoint", found.pages)?;
    if let Some(Value::Object(figures)) = found.stats.map(Stats::to_json) {
        writeln!(out, "CRIU, times in microseconds")?;
        for (name, value) in figures {
            writeln!(out, "{:>14} {name}", value.to_string())?;
        }
    }
    writeln!(out, "Processes")?;
    processes(out, &found.images, tree, 1)?;
    writeln!(out, "Mounts")?;
    for mount in found.spec.mounts() {
        let [to, kind, from] = [mount.destination, mount.kind, mount.source].map(cli::escape);
        writeln!(out, "  {to} {kind} {from}")?;
    }
    Ok(())
}

fn processes(out: &mut impl Write, images: &Images, tree: &[Node], depth: usize) -> io::Result<()> {
    for node in tree {
        let p = &node.process;
        let command = if p.cmdline.is_empty() { p.command.clone() } else { p.cmdline.join(" ") };
        let command = cli::escape(command.chars().take(160).collect::<String>());
        let indent = "  ".repeat(depth);
        let state = p.state.to_ascii_lowercase();
        writeln!(
            out,
            "{indent}{} {command} ({state}, {} open files, {} sockets)",
            p.pid, p.files, p.sockets
        )?;
        for s in images.sockets(p.pid).filter(|s| s.kind == "INET") {
            let end = |address: &str, port: u32| match address.contains(':') {
                true => format!("[{address}]:{port}"),
                false => format!("{address}:{port}"),
            };
            let (source, peer) = (end(&s.source, s.source_port), end(&s.destination, s.destination_port));
            let peer = if s.destination_port == 0 { String::new() } else { format!(" to {peer}") };
            writeln!(out, "{indent}  {} {source}{peer} {}", s.protocol, s.state)?;
        }
        processes(out, images, &node.children, depth + 1)?;
    }
    Ok(())
}
