//! `--search REGEX`: finds a pattern in the memory of the processes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Read, Write};

use anyhow::Context;
use checkpoint::pages::{Owner, Segment};
use checkpoint::process_tree::{Images, Process};
use cli::{Exit, Output, Session, Style};
use regex::bytes::Regex;
use serde_json::{Value, json};
use tartree::{Kind, SparseMap};

use super::{each_image, images, warn_absent, warn_missing};
use crate::archive_input;
use crate::args::Args;
use crate::cat::reject_archive;

/// The number of bytes that are searched at once.
const WINDOW: usize = 1 << 20;
/// The longest match that is found completely.
const LONGEST: usize = 64 << 10;

pub fn run(args: &Args, session: &Session) -> anyhow::Result<Exit> {
    let Some(pattern) = &args.verb.inspection.search else { return Ok(Exit::Usage) };
    if args.archive.is_none() {
        reject_archive("--search", pattern.as_str().as_ref(), "--search REGEX ARCHIVE")?;
    }
    let mut archive = archive_input::open(args)?;
    let name = archive.name().to_owned();
    let images = images(&mut archive, session)?;
    let only = args.inspected.pid;
    let processes = images.processes();
    if let Some(pid) = only.filter(|pid| processes.iter().all(|process| process.pid != *pid)) {
        anyhow::bail!("{name}: no process {pid}");
    }
    let mut is_complete = true;
    for process in processes.iter().filter(|process| only.is_none_or(|pid| pid == process.pid)) {
        let (_, compressed) = images.pieces(process.pid);
        is_complete &= !warn_missing(&images, process.pid, compressed, session);
    }
    let out = BufWriter::new(Output::text(None)?);
    let mut report = Report::new(out, args.output.json, &images, &processes, only);
    let search = Search { pattern, context: args.inspected.context.unwrap_or(0) };
    session.stage("searching", archive.size());
    let (mut seen, mut overlapping, mut zeros) = (BTreeSet::new(), 0u64, 0u64);
    each_image(&mut archive, &mut |image, kind, content| {
        seen.insert(image.to_owned());
        let mut position = 0;
        for segment in images.stored(image).segments {
            if only.is_some_and(|pid| {
                segment.owner != Owner::Process(pid) && report.shared(&segment) != Some(pid)
            }) {
                continue;
            }
            // Only pages that belong to several processes of a forged image overlap.
            if segment.offset < position {
                overlapping = overlapping.saturating_add(segment.len);
                continue;
            }
            for part in without_holes(&segment, kind) {
                zeros += part.offset.saturating_sub(position.max(segment.offset));
                content.skip(part.offset - position)?;
                let read =
                    search.segment(&mut content.take(part.len), &mut |found| report.add(&part, &found))?;
                if read < part.len {
                    anyhow::bail!("checkpoint/{image}: ends before the memory at {:#x}", part.address + read);
                }
                position = part.offset + part.len;
            }
        }
        Ok(())
    })
    .with_context(|| name.clone())?;
    session.end_stages();
    report.end()?;
    for process in processes.iter().filter(|process| only.is_none_or(|pid| pid == process.pid)) {
        let (pieces, _) = images.pieces(process.pid);
        for absent in pieces.chunk_by(|a, b| a.image == b.image).filter(|one| !seen.contains(&one[0].image)) {
            let bytes = absent.iter().map(|piece| piece.len).fold(0, u64::saturating_add);
            warn_absent(&absent[0].image, format_args!("process {}", process.pid), bytes, session);
            is_complete = false;
        }
    }
    if overlapping > 0 {
        session.warn(format_args!(
            "{name}: {} of memory are not searched, several pagemaps claim the same part of an image",
            cli::units::bytes(overlapping)
        ));
    }
    let is_cut = zeros > 0 && pattern.is_match(&vec![0; LONGEST]);
    if is_cut {
        session.warn(format_args!(
            "{name}: {} of zeros in holes are not searched, although the pattern matches NUL bytes",
            cli::units::bytes(zeros)
        ));
    }
    Ok(if is_complete && overlapping == 0 && !is_cut { Exit::Done } else { Exit::Changed })
}

/// Returns the parts of a segment that are searched: all but the middle of large holes in the
/// image, which hold zeros only.
fn without_holes(segment: &Segment, kind: &Kind) -> Vec<Segment> {
    let (mut at, end) = (segment.offset, segment.offset + segment.len);
    let mut parts = Vec::new();
    let mut add = |from: u64, to: u64| {
        let address = segment.address + (from - segment.offset);
        parts.push(Segment { address, offset: from, len: to - from, ..*segment });
    };
    if let Kind::File { size, map: Some(SparseMap(map)) } = kind {
        let first = map.partition_point(|(offset, len)| offset + len <= at);
        let mut hole = first.checked_sub(1).map_or(0, |n| map[n].0 + map[n].1);
        for (data, len) in map[first..].iter().copied().chain([(*size, 0)]) {
            let (from, to) = (hole.max(at) + WINDOW as u64, data.min(end).saturating_sub(WINDOW as u64));
            if from < to {
                add(at, from);
                at = to;
            }
            hole = data + len;
            if hole >= end {
                break;
            }
        }
    }
    add(at, end);
    parts
}

/// A match in a segment.
struct Found<'b> {
    /// The offset in the segment.
    offset: u64,
    before: &'b [u8],
    bytes: &'b [u8],
    after: &'b [u8],
}

struct Search<'p> {
    pattern: &'p Regex,
    /// The number of bytes to show before and after a match.
    context: usize,
}

impl Search<'_> {
    /// Searches the content of a segment, with memory for one window. Returns the number of bytes
    /// that were read.
    fn segment(
        &self,
        content: &mut impl Read,
        report: &mut dyn FnMut(Found<'_>) -> io::Result<()>,
    ) -> io::Result<u64> {
        // `base` is the offset of the buffer in the segment, `from` where the next match may start.
        let (mut buffer, mut base, mut from) = (Vec::new(), 0u64, 0usize);
        loop {
            let got = content.take(WINDOW as u64).read_to_end(&mut buffer)?;
            let is_last = got < WINDOW;
            // A match that starts near the end of the buffer may continue in the next window.
            let limit =
                if is_last { buffer.len() } else { buffer.len().saturating_sub(LONGEST + self.context) };
            while let Some(found) = self.pattern.find_at(&buffer, from).filter(|found| found.start() < limit)
            {
                from = found.end().max(found.start() + 1);
                if found.is_empty() {
                    continue;
                }
                report(Found {
                    offset: base + found.start() as u64,
                    before: &buffer[found.start().saturating_sub(self.context)..found.start()],
                    bytes: found.as_bytes(),
                    after: &buffer[found.end()..found.end().saturating_add(self.context).min(buffer.len())],
                })?;
            }
            if is_last {
                return Ok(base + buffer.len() as u64);
            }
            // `^` and `\b` look at the byte before, and the context is shown.
            from = from.max(limit);
            let gone = from.saturating_sub(self.context.max(4)).min(buffer.len());
            buffer.drain(..gone);
            (base, from) = (base + gone as u64, from - gone);
        }
    }
}

/// Writes the matches.
struct Report<'i, W: Write> {
    out: W,
    json: bool,
    images: &'i Images,
    processes: BTreeMap<u32, &'i Process>,
    /// The process that the user named.
    only: Option<u32>,
    number: u64,
    style: Style,
}

impl<'i, W: Write> Report<'i, W> {
    fn new(
        out: W,
        json: bool,
        images: &'i Images,
        processes: &'i [Process],
        only: Option<u32>,
    ) -> Report<'i, W> {
        let processes = processes.iter().map(|process| (process.pid, process)).collect();
        Report { out, json, images, processes, only, number: 0, style: Style::of_stdout() }
    }

    /// Returns the process that maps the start of shared memory.
    fn shared(&self, segment: &Segment) -> Option<u32> {
        match segment.owner {
            Owner::Process(_) => None,
            Owner::Shared(id) => self.images.user_of(id, segment.address, self.only).map(|(pid, _)| pid),
        }
    }

    fn add(&mut self, segment: &Segment, found: &Found<'_>) -> io::Result<()> {
        let at = segment.address.saturating_add(found.offset);
        // The address in the process, and the mapping.
        let (pid, address) = match segment.owner {
            Owner::Process(pid) => (Some(pid), at),
            Owner::Shared(id) => match self.images.user_of(id, at, self.only) {
                Some((pid, mapping)) => (Some(pid), mapping.range.start.saturating_add(at - mapping.offset)),
                None => (None, at),
            },
        };
        let process = pid.and_then(|pid| self.processes.get(&pid));
        let command = process.map_or("", |process| process.command.as_str());
        let mapping = pid.and_then(|pid| self.images.mapping_at(pid, address)).unwrap_or_default();
        if self.json {
            return self.document(&json!({
                "pid": pid, "command": command, "address": format!("{address:#x}"), "mapping": mapping,
                "match": text(found.bytes), "before": text(found.before), "after": text(found.after),
            }));
        }
        let pid = pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let place = self.style.faint(&format!(
            "{pid} {} {address:x} {}:",
            cli::escape(command),
            cli::escape(&mapping)
        ));
        let bytes = self.style.strong(&text(found.bytes));
        self.number += 1;
        writeln!(self.out, "{place} {}{bytes}{}", text(found.before), text(found.after))
    }

    fn document(&mut self, found: &Value) -> io::Result<()> {
        let before = if self.number == 0 { "{\n  \"schema\": 1,\n  \"matches\": [\n" } else { ",\n" };
        self.number += 1;
        write!(self.out, "{before}    {}", cli::escape_json(found))
    }

    fn end(&mut self) -> io::Result<()> {
        match (self.json, self.number) {
            (true, 0) => writeln!(self.out, "{{\n  \"schema\": 1,\n  \"matches\": []\n}}")?,
            (true, _) => writeln!(self.out, "\n  ]\n}}")?,
            _ => {}
        }
        self.out.flush()
    }
}

/// Returns bytes as text: printable ASCII as it is, everything else escaped.
fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(pattern: &str, bytes: &[u8]) -> Vec<(u64, usize)> {
        let pattern = Regex::new(pattern).unwrap();
        let search = Search { pattern: &pattern, context: 3 };
        let mut found = Vec::new();
        let read = search.segment(&mut &bytes[..], &mut |one| {
            assert!(one.before.len() <= 3 && one.after.len() <= 3);
            found.push((one.offset, one.bytes.len()));
            Ok(())
        });
        assert_eq!(read.unwrap(), bytes.len() as u64);
        found
    }

    #[test]
    fn matches_across_windows_are_found_once() {
        let mut bytes = vec![b'.'; 3 * WINDOW + 100];
        let places =
            [0, WINDOW - 3, WINDOW, WINDOW + 2, 2 * WINDOW - LONGEST - 3, 2 * WINDOW - 6, 3 * WINDOW + 95];
        for at in places {
            bytes[at..at + 2].copy_from_slice(b"ab");
        }
        let expected: Vec<_> = places.iter().map(|at| (*at as u64, 2)).collect();
        assert_eq!(offsets("ab", &bytes), expected);
        bytes[WINDOW - 1000..WINDOW + 1000].fill(b'x');
        assert_eq!(offsets("x+", &bytes), [(WINDOW as u64 - 1000, 2000)]);
    }

    #[test]
    fn the_start_of_a_window_is_not_the_start_of_the_memory() {
        let bytes = vec![b'a'; 2 * WINDOW];
        assert_eq!(offsets("^a", &bytes), [(0, 1)]);
        assert_eq!(offsets(r"\b", &bytes), []);
    }
}
