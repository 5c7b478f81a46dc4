//! The tables of the page.

use std::io::{self, Write};

use checkpoint::process_tree::{Node, Process};
use cli::units::{bytes, count};

use super::Arguments;
use super::escape::Escaped;
use crate::show::found::Found;
use crate::show::processes::description;
use crate::show::tree::{amount, command, each, largest, processes as in_order};

/// The numbers of processes, and of rows of a process, on the page.
const PROCESSES: usize = 500;
const ROWS: usize = 50;

/// Writes a table. A cell of `numbers` is aligned to the right.
struct Table<'w, W: Write> {
    out: &'w mut W,
    numbers: &'static [usize],
}

impl<'w, W: Write> Table<'w, W> {
    fn new(
        out: &'w mut W,
        caption: &str,
        columns: &[&str],
        numbers: &'static [usize],
    ) -> io::Result<Table<'w, W>> {
        writeln!(
            out,
            "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\">\n<table>\n\
             <caption>{0}</caption>\n<tr>",
            Escaped(caption)
        )?;
        for (n, column) in columns.iter().enumerate() {
            let class = if numbers.contains(&n) { " class=\"number\"" } else { "" };
            write!(out, "<th scope=\"col\"{class}>{}</th>", Escaped(column))?;
        }
        writeln!(out, "</tr>")?;
        Ok(Table { out, numbers })
    }

    fn row(&mut self, cells: &[&str]) -> io::Result<()> {
        write!(self.out, "<tr>")?;
        for (n, cell) in cells.iter().enumerate() {
            let class = if self.numbers.contains(&n) { "number" } else { "code" };
            write!(self.out, "<td class=\"{class}\">{}</td>", Escaped(cell))?;
        }
        writeln!(self.out, "</tr>")
    }

    fn end(self, more: usize) -> io::Result<()> {
        writeln!(self.out, "</table>\n</div>")?;
        if more > 0 {
            writeln!(self.out, "<p class=\"faint\">{more} more: ckpt-unpack --show --json</p>")
        } else {
            Ok(())
        }
    }
}

pub fn needs(out: &mut impl Write, found: &Found, tree: &[Node]) -> io::Result<()> {
    let mut table = Table::new(out, "As far as the archive shows", &["What", "Which", "What to type"], &[])?;
    for need in crate::show::needs::needs(found, tree) {
        table.row(&[need.kind, &need.text, need.hint.unwrap_or_default()])?;
    }
    table.end(0)
}

pub fn processes(out: &mut impl Write, found: &Found, tree: &[Node], arguments: Arguments) -> io::Result<()> {
    let caption = count(in_order(tree).len() as u64, "process");
    let columns = ["Process", "State", "Threads", "Memory", "Files", "Sockets"];
    let mut table = Table::new(out, &caption, &columns, &[2, 3, 4, 5])?;
    let mut number = 0;
    each(tree, &mut |row| {
        number += 1;
        if number > PROCESSES {
            return Ok(());
        }
        let p = row.process;
        let text = match arguments {
            Arguments::Shown => command(p).chars().take(1000).collect(),
            Arguments::Hidden => p.command.clone(),
        };
        table.row(&[
            &format!("{}{} {text}", row.lines, p.pid),
            p.state,
            &p.threads.to_string(),
            &bytes(amount(&found.images, p.pid).stored),
            &p.files.to_string(),
            &p.sockets.to_string(),
        ])
    })?;
    table.end(number.saturating_sub(PROCESSES))
}

/// Writes the rows of each process in a part that the reader can open.
fn per_process<W: Write>(
    out: &mut W,
    tree: &[Node],
    summary: &dyn Fn(&Process) -> Option<String>,
    part: &mut dyn FnMut(&mut W, &Process) -> io::Result<()>,
) -> io::Result<()> {
    let all: Vec<_> = in_order(tree).into_iter().filter_map(|p| Some((p, summary(p)?))).collect();
    if all.is_empty() {
        return writeln!(out, "<p>None.</p>");
    }
    for (n, (process, summary)) in all.iter().take(PROCESSES).enumerate() {
        let open = if n < 3 { " open" } else { "" };
        let name = format!("{} {}: {summary}", process.pid, process.command);
        writeln!(out, "<details{open}>\n<summary>{}</summary>", Escaped(&name))?;
        part(out, process)?;
        writeln!(out, "</details>")?;
    }
    match all.len().saturating_sub(PROCESSES) {
        0 => Ok(()),
        more => writeln!(out, "<p class=\"faint\">{more} more processes: ckpt-unpack --show --json</p>"),
    }
}

pub fn memory(out: &mut impl Write, found: &Found, tree: &[Node]) -> io::Result<()> {
    let summary = |p: &Process| {
        found.images.memory(p.pid)?;
        let sum = amount(&found.images, p.pid);
        Some(format!("{} of {} mapped", bytes(sum.stored), bytes(sum.mapped)))
    };
    per_process(out, tree, &summary, &mut |out, p| {
        let columns = ["Addresses", "Permissions", "Name", "In the images", "In the base or pre-checkpoint"];
        let mut table = Table::new(out, "The largest mappings", &columns, &[3, 4])?;
        for (mapping, amount) in largest(&found.images, p.pid, 20) {
            table.row(&[
                &format!("{:x}-{:x}", mapping.range.start, mapping.range.end),
                &mapping.permissions(),
                &found.images.mapping_name(p.pid, mapping),
                &bytes(amount.stored),
                &bytes(amount.in_parent),
            ])?;
        }
        table.end(0)
    })
}

pub fn files(out: &mut impl Write, found: &Found, tree: &[Node]) -> io::Result<()> {
    let summary = |p: &Process| {
        found.images.open_files(p.pid).next()?;
        Some(count(p.files as u64, "open file"))
    };
    per_process(out, tree, &summary, &mut |out, p| {
        let mut table =
            Table::new(out, "With the working and the root directory", &["Descriptor", "Kind", "Path"], &[])?;
        let mut files = found.images.open_files(p.pid);
        for file in files.by_ref().take(ROWS) {
            table.row(&[&file.fd, file.kind, &file.path])?;
        }
        table.end(files.count())
    })
}

pub fn sockets(out: &mut impl Write, found: &Found, tree: &[Node]) -> io::Result<()> {
    let summary = |p: &Process| {
        found.images.sockets(p.pid).next()?;
        Some(count(found.images.sockets(p.pid).count() as u64, "socket"))
    };
    per_process(out, tree, &summary, &mut |out, p| {
        let mut table = Table::new(out, "Addresses and states", &["Descriptor", "Socket"], &[])?;
        let mut sockets = found.images.sockets(p.pid);
        for socket in sockets.by_ref().take(ROWS) {
            table.row(&[&socket.fd.to_string(), &description(&socket)])?;
        }
        table.end(sockets.count())
    })
}

pub fn changes(out: &mut impl Write, found: &Found) -> io::Result<()> {
    if found.trees.is_empty() {
        return writeln!(out, "<p>None.</p>");
    }
    for (member, changes) in &found.trees {
        let mut caption = format!("{member}: {}, {}", count(changes.files, "file"), bytes(changes.bytes));
        if member == "rootfs-diff.tar" {
            let deleted = found.deleted.unwrap_or(changes.deleted);
            caption.push_str(&format!(", {} deleted", count(deleted, "path")));
        }
        let mut table = Table::new(out, &caption, &["Largest files and directories", "Size"], &[1])?;
        for (path, size) in changes.largest_files() {
            table.row(&[&format!("/{path}"), &bytes(size)])?;
        }
        for (path, size) in changes.largest_directories() {
            table.row(&[&format!("/{path}/"), &bytes(size)])?;
        }
        table.end(0)?;
    }
    Ok(())
}

pub fn mounts(out: &mut impl Write, found: &Found) -> io::Result<()> {
    let mounts = found.spec.mounts();
    let mut table =
        Table::new(out, &count(mounts.len() as u64, "mount"), &["Destination", "Type", "Source"], &[])?;
    for mount in mounts.iter().take(PROCESSES) {
        table.row(&[mount.destination, mount.kind, mount.source])?;
    }
    table.end(mounts.len().saturating_sub(PROCESSES))
}

pub fn network(out: &mut impl Write, found: &Found) -> io::Result<()> {
    let mut table =
        Table::new(out, "Interfaces", &["Network", "Interface", "Addresses", "MAC", "Gateway"], &[])?;
    for i in found.interfaces() {
        table.row(&[i.network, i.name, &i.addresses.join(" "), &i.mac, &i.gateway.unwrap_or_default()])?;
    }
    if found.network.is_none() {
        let address = found.address();
        address.iter().try_for_each(|address| table.row(&["", "", address, "", ""]))?;
    }
    table.end(0)?;
    let mut table = Table::new(out, "Namespaces", &["Kind", "Joined"], &[])?;
    for (kind, path) in found.spec.namespaces() {
        table.row(&[kind, path.unwrap_or("its own")])?;
    }
    table.end(0)
}
