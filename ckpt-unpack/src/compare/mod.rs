//! `--compare A B`: reports how two checkpoints differ, usually of the same container.

mod facts;
mod memory;
mod spec;

use std::io::{self, BufWriter, Write};
use std::path::Path;

use cli::units::{bytes, count};
use cli::{Exit, Output, Session, Style};
use serde_json::{Map, Value, json};

use crate::archive_input::{self, OpenedAs};
use crate::args::Args;
use crate::memory::store::Store;
use crate::show::found::{Found, Texts, collect};

/// A checkpoint that is compared.
pub struct Side {
    name: String,
    found: Found,
    store: Store,
}

/// A fact that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub pid: Option<u32>,
    pub name: String,
    /// The value in A and in B. An environment variable has no values, since they may be secrets.
    pub values: Values,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    Added(Option<String>),
    Removed(Option<String>),
    Changed(Option<(String, String)>),
}

/// The differences of one kind.
pub struct Section {
    /// The key in the JSON document.
    pub key: &'static str,
    pub heading: &'static str,
    pub differences: Vec<Difference>,
}

/// The number of differences of one kind in the text.
const SHOWN: usize = 50;

pub fn run(args: &Args, session: &Session) -> anyhow::Result<Exit> {
    let [a, b] = args.verb.inspection.compare.as_slice() else { return Ok(Exit::Usage) };
    let (a, found) = side(a, args, session)?;
    let (b, also_found) = side(b, args, session)?;
    if args.container.is_some() && [found, also_found] == [OpenedAs::Archive; 2] {
        return Err(archive_input::without_effect(&a.name));
    }
    let sides = [a, b];
    let sections = facts::sections(&sides[0].found, &sides[1].found, session);
    session.stage("comparing memory", None);
    let memory = memory::compare(&sides[0], &sides[1], session)?;
    session.end_stages();
    let mut out = BufWriter::new(Output::text(None)?);
    match args.output.json {
        true => {
            writeln!(out, "{}", cli::escape_json(format_args!("{:#}", document(&sides, &sections, &memory))))?
        }
        false => write(&mut out, &sides, &sections, &memory)?,
    }
    out.flush()?;
    Ok(if memory.is_complete { Exit::Done } else { Exit::Changed })
}

fn side(path: &Path, args: &Args, session: &Session) -> anyhow::Result<(Side, OpenedAs)> {
    let (mut archive, kind) = archive_input::open_found(Some(path), args)?;
    crate::memory::require_file(&archive)?;
    let found = collect(&mut archive, Texts::All, session)?;
    if found.is_round() {
        return Err(crate::memory::round(archive.name()));
    }
    Ok((Side { name: archive.name().to_owned(), store: Store::open(&mut archive)?, found }, kind))
}

fn document(sides: &[Side; 2], sections: &[Section], memory: &memory::Comparison) -> Value {
    let mut document = Map::new();
    document.insert("schema".into(), 1.into());
    for (key, side) in ["a", "b"].into_iter().zip(sides) {
        document.insert(key.into(), side.name.clone().into());
    }
    for section in sections {
        let list: Vec<_> = section.differences.iter().map(Difference::to_json).collect();
        document.insert(section.key.into(), list.into());
    }
    document.insert("memory".into(), memory.to_json());
    Value::Object(document)
}

impl Difference {
    fn to_json(&self) -> Value {
        let (change, a, b) = match &self.values {
            Values::Added(value) => ("added", None, value.as_ref()),
            Values::Removed(value) => ("removed", value.as_ref(), None),
            Values::Changed(None) => ("changed", None, None),
            Values::Changed(Some((a, b))) => ("changed", Some(a), Some(b)),
        };
        json!({ "change": change, "pid": self.pid, "name": self.name, "a": a, "b": b })
    }
}

fn write(
    out: &mut impl Write,
    sides: &[Side; 2],
    sections: &[Section],
    memory: &memory::Comparison,
) -> io::Result<()> {
    let style = Style::of_stdout();
    writeln!(out, "{}", style.removed(&format!("--- {}", cli::escape(&sides[0].name))))?;
    writeln!(out, "{}", style.added(&format!("+++ {}", cli::escape(&sides[1].name))))?;
    let same: Vec<_> = sections.iter().filter(|s| s.differences.is_empty()).map(|s| s.heading).collect();
    for section in sections.iter().filter(|section| !section.differences.is_empty()) {
        writeln!(out, "{}", style.heading(section.heading))?;
        for difference in section.differences.iter().take(SHOWN) {
            line(out, style, difference)?;
        }
        let more = section.differences.len().saturating_sub(SHOWN);
        if more > 0 {
            writeln!(out, "  {}", style.faint(&format!("{more} more, see --json")))?;
        }
    }
    if !same.is_empty() {
        writeln!(out, "{} {}", style.heading("Equal:"), same.join(", "))?;
    }
    writeln!(out, "{}", style.heading("Memory"))?;
    for process in &memory.processes {
        let facts: Vec<_> = process
            .facts()
            .into_iter()
            .filter(|(_, pages)| *pages > 0)
            .map(|(name, pages)| {
                format!("{} {name} ({})", count(pages, "page"), bytes(pages * memory.page_size))
            })
            .collect();
        let facts = if facts.is_empty() { "no pages".to_owned() } else { facts.join(", ") };
        writeln!(out, "  {} {}: {facts}", process.pid, cli::escape(&process.command))?;
    }
    Ok(())
}

fn line(out: &mut impl Write, style: Style, difference: &Difference) -> io::Result<()> {
    let pid = difference.pid.map(|pid| format!("{pid} ")).unwrap_or_default();
    let name = format!("{pid}{}", cli::escape(&difference.name));
    let with = |value: &Option<String>| match value {
        Some(value) if !value.is_empty() => format!("{name}: {}", cli::escape(value)),
        _ => name.clone(),
    };
    match &difference.values {
        Values::Added(value) => writeln!(out, "  {}", style.added(&format!("+ {}", with(value)))),
        Values::Removed(value) => writeln!(out, "  {}", style.removed(&format!("- {}", with(value)))),
        Values::Changed(None) => writeln!(out, "  ~ {name}"),
        Values::Changed(Some((a, b))) => {
            let (a, b) = (style.removed(&cli::escape(a)), style.added(&cli::escape(b)));
            writeln!(out, "  ~ {name}: {a} -> {b}")
        }
    }
}
