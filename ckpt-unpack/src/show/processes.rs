//! Writes the process tree of `--show` as text, and the memory, files and sockets of each process.

use std::io::{self, Write};

use checkpoint::open_files::Socket;
use checkpoint::process_tree::{Node, Process};
use cli::units::{bytes, count};

use super::found::Found;
use super::text::Text;
use super::tree::{Row, amount, command, each, largest, processes};

/// The number of mappings, files and sockets of a process that are written.
const MAPPINGS: usize = 5;
const FILES: usize = 20;
/// The number of processes whose memory and files are written.
const PROCESSES: usize = 100;
/// The number of characters of a command line that are written.
const COMMAND: usize = 160;

pub fn write(text: &mut Text<'_, impl Write>, found: &Found, tree: &[Node]) -> io::Result<()> {
    let processes = processes(tree);
    if processes.is_empty() && found.is_round() {
        return Ok(());
    }
    let threads: usize = processes.iter().map(|process| process.threads).sum();
    let sizes = processes.iter().map(|process| amount(&found.images, process.pid).stored);
    let sum = bytes(sizes.fold(0, u64::saturating_add));
    let counted = count(processes.len() as u64, "process");
    text.heading("Processes", &format!("{counted}, {}, {sum} of memory", count(threads as u64, "thread")))?;
    each(tree, &mut |row| line(text, found, &row))?;
    let with_memory = processes.iter().filter(|process| found.images.memory(process.pid).is_some());
    list(text, "Memory", with_memory.copied().collect(), &mut |text, process| memory(text, found, process))?;
    let with_files = processes.iter().filter(|process| found.images.open_files(process.pid).next().is_some());
    list(text, "Open files", with_files.copied().collect(), &mut |text, process| {
        files(text, found, process)
    })?;
    let with_sockets = processes.iter().filter(|process| found.images.sockets(process.pid).next().is_some());
    list(text, "Sockets", with_sockets.copied().collect(), &mut |text, process| sockets(text, found, process))
}

/// Writes a table with a part for each process.
fn list<W: Write>(
    text: &mut Text<'_, W>,
    name: &str,
    processes: Vec<&Process>,
    part: &mut dyn FnMut(&mut Text<'_, W>, &Process) -> io::Result<()>,
) -> io::Result<()> {
    if processes.is_empty() {
        return Ok(());
    }
    text.heading(name, "")?;
    processes.iter().take(PROCESSES).try_for_each(|process| part(text, process))?;
    text.more("  ", processes.len().saturating_sub(PROCESSES))
}

/// Returns the PID and the name of a process in the kernel.
fn name_of(process: &Process) -> String {
    format!("{} {}", process.pid, cli::escape(&process.command))
}

fn line(text: &mut Text<'_, impl Write>, found: &Found, row: &Row<'_>) -> io::Result<()> {
    let p = row.process;
    let facts = [
        p.state.to_ascii_lowercase(),
        count(p.threads as u64, "thread"),
        bytes(amount(&found.images, p.pid).stored),
        count(p.files as u64, "open file"),
        count(p.sockets as u64, "socket"),
    ];
    let facts = text.style.faint(&format!("({})", facts.join(", ")));
    let command: String = command(p).chars().take(COMMAND).collect();
    let (lines, command) = (text.style.faint(&row.lines), cli::escape(command));
    writeln!(text.out, "  {lines}{} {command} {facts}", p.pid)?;
    for variable in found.images.environment(p.pid) {
        writeln!(text.out, "  {}    {}", text.style.faint(&row.below), cli::escape(variable))?;
    }
    Ok(())
}

fn memory(text: &mut Text<'_, impl Write>, found: &Found, process: &Process) -> io::Result<()> {
    let sum = amount(&found.images, process.pid);
    let parent = match sum.in_parent {
        0 => String::new(),
        n => format!(", {} in the base or pre-checkpoint", bytes(n)),
    };
    let amount = format!("{} of {} mapped{parent}", bytes(sum.stored), bytes(sum.mapped));
    writeln!(text.out, "  {}: {amount}", name_of(process))?;
    for (mapping, amount) in largest(&found.images, process.pid, MAPPINGS) {
        let range = format!("{:x}-{:x} {}", mapping.range.start, mapping.range.end, mapping.permissions());
        let name = found.images.mapping_name(process.pid, mapping);
        text.sized(amount.stored.saturating_add(amount.in_parent), format!("{range} {name}").trim_end(), "")?;
    }
    Ok(())
}

fn files(text: &mut Text<'_, impl Write>, found: &Found, process: &Process) -> io::Result<()> {
    writeln!(text.out, "  {}", name_of(process))?;
    let mut files = found.images.open_files(process.pid);
    for file in files.by_ref().take(FILES) {
        let line = format!("{:>4} {:<9} {}", file.fd, file.kind, file.path);
        writeln!(text.out, "  {}", cli::escape(line))?;
    }
    text.more("    ", files.count())
}

fn sockets(text: &mut Text<'_, impl Write>, found: &Found, process: &Process) -> io::Result<()> {
    writeln!(text.out, "  {}", name_of(process))?;
    let mut sockets = found.images.sockets(process.pid);
    for socket in sockets.by_ref().take(FILES) {
        writeln!(text.out, "  {}", cli::escape(format!("{:>4} {}", socket.fd, description(&socket))))?;
    }
    text.more("    ", sockets.count())
}

/// Returns the addresses and the state of a socket.
pub fn description(s: &Socket<'_>) -> String {
    let end = |address: &str, port: u32| match address.contains(':') {
        true => format!("[{address}]:{port}"),
        false => format!("{address}:{port}"),
    };
    if s.kind == "UNIX" {
        return format!("UNIX {}", s.address).trim_end().to_owned();
    }
    if s.kind != "INET" {
        return s.kind.to_owned();
    }
    let peer = match s.destination_port {
        0 => String::new(),
        port => format!(" to {}", end(&s.destination, port)),
    };
    format!("{} {}{peer} {}", s.protocol, end(&s.source, s.source_port), s.state)
}
