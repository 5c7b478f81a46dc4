//! The charts of the page: a treemap of sizes, and the phases of the dump. Each chart is followed by a
//! table with the same numbers.

use std::io::{self, Write};

use checkpoint::process_tree::Node;
use checkpoint::stats::Stats;
use cli::units::{bytes, microseconds};

use super::escape::Escaped;
use super::treemap::{Rect, layout};
use crate::show::found::Found;
use crate::show::tree::{amount, processes};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 420.0;
/// The number of rectangles of one kind; the rest is one rectangle.
const MOST: usize = 40;

/// An area of the treemap.
struct Area {
    /// The kind, which determines the color.
    kind: usize,
    name: String,
    size: u64,
}

/// The kinds of areas, in the order of their colors.
const KINDS: [&str; 5] =
    ["memory", "other images of CRIU", "root file system", "volumes and /dev/shm", "documents"];

pub fn sizes(out: &mut impl Write, found: &Found, tree: &[Node]) -> io::Result<()> {
    let areas = areas(found, tree);
    let total = areas.iter().map(|area| area.size).fold(0, u64::saturating_add);
    if total > 0 {
        treemap(out, &areas, total)?;
    }
    writeln!(
        out,
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Members of the archive\">\n<table>\n<caption>Members of the archive</caption>"
    )?;
    writeln!(out, "<tr><th scope=\"col\">Member</th><th scope=\"col\" class=\"number\">Size</th></tr>")?;
    for (member, size) in &found.sizes {
        writeln!(out, "<tr><td>{}</td><td class=\"number\">{}</td></tr>", Escaped(member), bytes(*size))?;
    }
    writeln!(out, "<tr><th scope=\"row\">Total</th><td class=\"number\">{}</td></tr>", bytes(found.total()))?;
    writeln!(out, "</table>\n</div>")
}

fn areas(found: &Found, tree: &[Node]) -> Vec<Area> {
    let mut areas = Vec::new();
    let mut add = |kind, name: String, size| {
        if size > 0 {
            areas.push(Area { kind, name, size });
        }
    };
    let mut memory: Vec<_> = processes(tree)
        .into_iter()
        .map(|p| (amount(&found.images, p.pid).stored, format!("{} {}", p.pid, p.command)))
        .collect();
    memory.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let rest = memory.iter().skip(MOST).map(|(size, _)| *size).fold(0, u64::saturating_add);
    memory.truncate(MOST);
    memory.into_iter().for_each(|(size, name)| add(0, name, size));
    add(0, "other processes".into(), rest);
    add(1, "images".into(), found.size("checkpoint").saturating_sub(found.pages));
    for (member, size) in &found.sizes {
        let kind = match member.as_str() {
            "checkpoint" => continue,
            "rootfs-diff.tar" => 2,
            "devshm-checkpoint.tar" => 3,
            name if name.starts_with("volumes/") => 3,
            _ => 4,
        };
        let Some(changes) = found.trees.get(member).filter(|_| kind != 4) else {
            add(kind, member.clone(), *size);
            continue;
        };
        // The largest files have their own areas.
        let files: Vec<_> = changes.largest_files().collect();
        let rest = files.iter().fold(*size, |rest, (_, size)| rest.saturating_sub(*size));
        files.into_iter().for_each(|(path, size)| add(kind, format!("/{path}"), size));
        add(kind, format!("rest of {member}"), rest);
    }
    areas.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.name.cmp(&b.name)));
    areas.truncate(400);
    areas
}

fn treemap(out: &mut impl Write, areas: &[Area], total: u64) -> io::Result<()> {
    writeln!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" aria-labelledby=\"map-title\">\n\
         <title id=\"map-title\">Treemap of the sizes in the archive, {} in total. The tables have the numbers.</title>",
        bytes(total)
    )?;
    let sizes: Vec<_> = areas.iter().map(|area| area.size).collect();
    let rects = layout(&sizes, Rect { x: 0.0, y: 0.0, width: WIDTH, height: HEIGHT });
    for (area, r) in areas.iter().zip(rects) {
        // Thinner rectangles would not be visible.
        if r.width < 0.5 || r.height < 0.5 {
            continue;
        }
        let (name, kind) =
            (Escaped(&area.name).to_string(), KINDS.get(area.kind).copied().unwrap_or_default());
        write!(
            out,
            "<g><title>{name}, {kind}: {}</title><rect class=\"m{}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
            bytes(area.size),
            area.kind,
            r.x,
            r.y,
            r.width,
            r.height
        )?;
        // A letter has about seven units.
        let letters = (r.width - 8.0) / 7.0;
        if letters >= 4.0 && r.height >= 18.0 {
            let short: String = area.name.chars().take(letters as usize).collect();
            write!(out, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", r.x + 4.0, r.y + 14.0, Escaped(&short))?;
        }
        if letters >= 9.0 && r.height >= 34.0 {
            write!(out, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", r.x + 4.0, r.y + 29.0, bytes(area.size))?;
        }
        writeln!(out, "</g>")?;
    }
    writeln!(
        out,
        "</svg>\n<p class=\"faint\">Blue: memory of processes. Orange: other images of CRIU. Green: \
        changes of the root file system. Violet: volumes and /dev/shm. Red: documents and logs.</p>"
    )
}

pub fn dump(out: &mut impl Write, found: &Found) -> io::Result<()> {
    let Some(Stats::Dump(stats)) = found.stats else {
        return writeln!(out, "<p>The archive has no statistics of CRIU.</p>");
    };
    let [freezing, frozen, collecting, writing] =
        [stats.freezing_time, stats.frozen_time, stats.memdump_time, stats.memwrite_time].map(u64::from);
    // CRIU records durations only. Collecting and writing follow each other while processes are frozen.
    let phases = [
        ("freezing the processes", 0, freezing),
        ("processes frozen", freezing, frozen),
        ("collecting the memory", freezing, collecting),
        ("writing the memory", freezing + collecting, writing),
    ];
    let end = phases.iter().map(|(_, start, time)| start + time).max().unwrap_or(0).max(1);
    writeln!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} 130\" width=\"{WIDTH}\" height=\"130\" role=\"img\" aria-labelledby=\"phases-title\">\n\
         <title id=\"phases-title\">Timeline of the dump, {} in total. The table has the numbers.</title>",
        microseconds(end)
    )?;
    for (n, (name, start, time)) in phases.iter().enumerate() {
        let (bar, label) = (660.0, 200.0);
        let at = |time: u64| time as f64 / end as f64 * bar;
        let (x, y, width) = (label + at(*start), 8.0 + n as f64 * 30.0, at(*time).max(1.0));
        writeln!(
            out,
            "<text x=\"0\" y=\"{:.1}\">{name}</text><rect class=\"m{n}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"22\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            y + 15.0,
            x + width + 4.0,
            y + 15.0,
            microseconds(*time)
        )?;
    }
    writeln!(
        out,
        "</svg>\n<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Phases of the dump\">\n<table>\n<caption>CRIU records how long each phase took, not when it started.</caption>"
    )?;
    writeln!(
        out,
        "<tr><th scope=\"col\">Phase</th><th scope=\"col\" class=\"number\">Time or number</th></tr>"
    )?;
    for (name, _, time) in phases {
        writeln!(out, "<tr><td>{name}</td><td class=\"number\">{}</td></tr>", microseconds(time))?;
    }
    for (name, pages) in [
        ("pages scanned", stats.pages_scanned),
        ("pages written", stats.pages_written),
        ("pages in the base or pre-checkpoint", stats.pages_skipped_parent),
    ] {
        writeln!(out, "<tr><td>{name}</td><td class=\"number\">{pages}</td></tr>")?;
    }
    writeln!(out, "</table>\n</div>")
}
