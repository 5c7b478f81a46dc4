//! `--dump-memory PID[:START-END]`: writes the memory of a process.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::Range;

use anyhow::Context;
use checkpoint::archive::ArchiveFile;
use checkpoint::pages::Piece;
use cli::{Exit, Hint, Output, Session, usage};

use super::hex::HexWriter;
use super::{each_image, images, warn_absent, warn_missing};
use crate::archive_input;
use crate::args::Args;

/// The largest number of passes over the archive. The memory of a process is in one image, and the
/// memory that it shares is in others; only a forged process needs more passes.
const PASSES: usize = 64;

pub fn run(args: &Args, session: &Session) -> anyhow::Result<Exit> {
    let Some(wanted) = &args.verb.inspection.dump_memory else { return Ok(Exit::Usage) };
    let hex = args.inspected.hex;
    if !hex && io::stdout().is_terminal() {
        let error = usage("refusing to write memory to a terminal");
        return Err(Hint::on(error, "redirect it, or use --hex"));
    }
    let mut archive = archive_input::open(args)?;
    let name = archive.name().to_owned();
    let images = images(&mut archive, session)?;
    let pid = wanted.pid;
    let mappings = images.mappings(pid);
    if mappings.is_empty() {
        let pids: Vec<_> =
            images.processes().iter().map(|process| process.pid.to_string()).take(20).collect();
        anyhow::bail!("{name}: no memory of process {pid}, the processes are {}", pids.join(", "));
    }
    let (mut pieces, compressed) = images.pieces(pid);
    let mut is_complete = !warn_missing(&images, pid, compressed, session);
    if let Some(range) = &wanted.range {
        let is_mapped = mappings.iter().any(|(mapping, _)| mapping.range.contains(&range.start));
        if !is_mapped {
            let error = anyhow::anyhow!("{name}: process {pid} has no mapping at {:#x}", range.start);
            return Err(Hint::on(error, "the mappings are in: --show --json"));
        }
        let mut mapped = range.start;
        for (mapping, _) in &mappings {
            if mapping.range.contains(&mapped) {
                mapped = mapping.range.end;
            }
        }
        if mapped < range.end {
            let error = anyhow::anyhow!(
                "{name}: process {pid} has no mapping at {mapped:#x}, where the mappings after {:#x} end",
                range.start
            );
            return Err(Hint::on(error, format!("--dump-memory {pid}:{:x}-{mapped:x}", range.start)));
        }
        pieces.retain_mut(|piece| clip(piece, range));
    }
    let out = BufWriter::new(Output::text(None)?);
    let mut sink = if hex { Sink::Hex(HexWriter::new(out)) } else { Sink::Raw(out) };
    let Left { gaps, absent } =
        write(&mut archive, &pieces, wanted.range.as_ref(), &mut sink).with_context(|| name.clone())?;
    session.end_stages();
    for (image, bytes) in &absent {
        warn_absent(image, format_args!("process {pid}"), *bytes, session);
        is_complete = false;
    }
    if gaps > 0 {
        session.warn(format_args!(
            "process {pid}: {gaps} bytes of the range are not in the images and are written as zeros: unmapped, unchanged pages of files, or pages that were never written"
        ));
        is_complete = false;
    }
    Ok(if is_complete { Exit::Done } else { Exit::Changed })
}

/// Limits a piece to `range`. Returns whether any byte is left.
fn clip(piece: &mut Piece, range: &Range<u64>) -> bool {
    let start = piece.address.max(range.start);
    let end = piece.address.saturating_add(piece.len).min(range.end);
    if start >= end {
        return false;
    }
    piece.offset += start - piece.address;
    (piece.address, piece.len) = (start, end - start);
    true
}

enum Sink<W: Write> {
    Raw(W),
    Hex(HexWriter<W>),
}

impl<W: Write> Sink<W> {
    fn write(&mut self, address: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Sink::Raw(out) => out.write_all(bytes),
            Sink::Hex(out) => out.write(address, bytes),
        }
    }

    fn zeros(&mut self, address: u64, mut n: u64) -> io::Result<()> {
        let zeros = [0; 4096];
        let mut at = address;
        while n > 0 {
            let len = n.min(zeros.len() as u64);
            self.write(at, &zeros[..len as usize])?;
            (at, n) = (at + len, n - len);
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        match self {
            Sink::Raw(out) => out.flush(),
            Sink::Hex(out) => out.finish(),
        }
    }
}

/// What could not be read.
#[derive(Default)]
struct Left {
    /// The number of zeros that were written instead.
    gaps: u64,
    /// The images that are not in the archive, with the number of bytes that are wanted of them.
    absent: BTreeMap<String, u64>,
}

/// Writes the pieces, and zeros for the addresses of `range` between them.
fn write(
    archive: &mut ArchiveFile,
    pieces: &[Piece],
    range: Option<&Range<u64>>,
    sink: &mut Sink<impl Write>,
) -> anyhow::Result<Left> {
    let mut absent = BTreeMap::new();
    let (mut gaps, mut at) = (0, range.map(|range| range.start));
    let mut fill = |sink: &mut Sink<_>, to: u64, next: u64| -> io::Result<()> {
        if let Some(from) = at {
            gaps += to - from;
            sink.zeros(from, to - from)?;
            at = Some(next);
        }
        Ok(())
    };
    // One pass over the archive reads consecutive pieces of one image.
    let groups: Vec<_> =
        pieces.chunk_by(|a, b| a.image == b.image && a.offset.saturating_add(a.len) <= b.offset).collect();
    if groups.len() > PASSES {
        anyhow::bail!("the memory is in more than {PASSES} places");
    }
    for group in groups {
        let mut found = false;
        each_image(archive, &mut |image, _, content| {
            if image != group[0].image {
                return Ok(());
            }
            found = true;
            let mut position = 0;
            for piece in group {
                content.skip(piece.offset - position)?;
                fill(sink, piece.address, piece.address + piece.len)?;
                copy(content, piece, sink).with_context(|| format!("checkpoint/{image}"))?;
                position = piece.offset + piece.len;
            }
            Ok(())
        })?;
        if !found {
            let bytes = group.iter().map(|piece| piece.len).fold(0, u64::saturating_add);
            let sum = absent.entry(group[0].image.clone()).or_insert(0u64);
            *sum = sum.saturating_add(bytes);
        }
    }
    if let Some(range) = range {
        fill(sink, range.end, range.end)?;
    }
    sink.end()?;
    Ok(Left { gaps, absent })
}

fn copy(content: &mut dyn tartree::Skip, piece: &Piece, sink: &mut Sink<impl Write>) -> anyhow::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut done = 0;
    while done < piece.len {
        let want = (piece.len - done).min(buffer.len() as u64) as usize;
        let got = content.read(&mut buffer[..want])?;
        if got == 0 {
            anyhow::bail!("ends before the memory at {:#x}", piece.address + done);
        }
        sink.write(piece.address + done, &buffer[..got])?;
        done += got as u64;
    }
    Ok(())
}
