//! Compares the memory of the processes in two checkpoints, page by page. Needs memory for two
//! buffers, whatever the size of the processes is.

use std::collections::BTreeMap;
use std::ops::Range;

use checkpoint::pages::Piece;
use cli::Session;
use serde_json::{Value, json};

use super::Side;
use crate::memory::warn_missing;

const BUFFER: u64 = 1 << 20;

/// The memory of all processes.
pub struct Comparison {
    pub processes: Vec<Pages>,
    pub page_size: u64,
    /// Whether no memory is compressed, in a base or in a pre-checkpoint.
    pub is_complete: bool,
}

/// The numbers of pages of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    pub pid: u32,
    pub command: String,
    pub equal: u64,
    pub changed: u64,
    /// The pages that only B has.
    pub new: u64,
    /// The pages that only A has.
    pub gone: u64,
    /// The pages that only one archive has, because those of the other are in a base or in a
    /// pre-checkpoint.
    pub not_compared: u64,
}

impl Comparison {
    pub fn to_json(&self) -> Value {
        let process = |pages: &Pages| {
            json!({
                "pid": pages.pid, "command": pages.command, "equal": pages.equal, "changed": pages.changed,
                "new": pages.new, "gone": pages.gone, "not_compared": pages.not_compared,
            })
        };
        json!({
            "page_size": self.page_size, "complete": self.is_complete,
            "processes": self.processes.iter().map(process).collect::<Vec<_>>(),
        })
    }
}

impl Pages {
    pub fn facts(&self) -> [(&'static str, u64); 5] {
        [
            ("equal", self.equal),
            ("changed", self.changed),
            ("new", self.new),
            ("gone", self.gone),
            ("not compared", self.not_compared),
        ]
    }
}

pub fn compare(a: &Side, b: &Side, session: &Session) -> anyhow::Result<Comparison> {
    let page_size = a.found.images.page_size().min(b.found.images.page_size());
    let commands = |side: &Side| side.found.images.processes().into_iter().map(|p| (p.pid, p.command));
    let all: BTreeMap<u32, String> = commands(a).chain(commands(b)).collect();
    let (mut processes, mut is_complete) = (Vec::new(), true);
    for (pid, command) in all {
        let pieces = |side: &Side| {
            let (pieces, compressed) = side.found.images.pieces(pid);
            (pieces, !warn_missing(&side.found.images, pid, compressed, session))
        };
        // The pages that only one checkpoint has are counted and not read.
        let check = |side: &Side, pieces: &[Piece]| {
            let mut checked = pieces.iter().map(|piece| side.store.check(piece));
            checked.find(Result::is_err).unwrap_or(Ok(())).map_err(|e| e.context(side.name.clone()))
        };
        let ((of_a, a_complete), (of_b, b_complete)) = (pieces(a), pieces(b));
        check(a, &of_a)?;
        check(b, &of_b)?;
        is_complete &= a_complete && b_complete;
        let mut pages = Pages { pid, command, ..Pages::default() };
        let left_out = [a, b].map(|side| side.found.images.left_out(pid));
        let mut walk =
            Walk { page_size, pages: &mut pages, a, b, left_out, buffers: [Vec::new(), Vec::new()] };
        walk.all(&of_a, &of_b)?;
        processes.push(pages);
    }
    Ok(Comparison { processes, page_size, is_complete })
}

/// Walks the pieces of two processes by address.
struct Walk<'w> {
    page_size: u64,
    pages: &'w mut Pages,
    a: &'w Side,
    b: &'w Side,
    /// The addresses whose pages are not in A, and those whose pages are not in B.
    left_out: [Vec<Range<u64>>; 2],
    buffers: [Vec<u8>; 2],
}

impl Walk<'_> {
    fn all(&mut self, of_a: &[Piece], of_b: &[Piece]) -> anyhow::Result<()> {
        let (mut left, mut right) = (of_a.iter(), of_b.iter());
        let (mut a, mut b) = (left.next().cloned(), right.next().cloned());
        loop {
            let (x, y) = match (&mut a, &mut b) {
                (None, None) => return Ok(()),
                (Some(x), None) => {
                    self.only_in_a(x.address, x.len);
                    a = left.next().cloned();
                    continue;
                }
                (None, Some(y)) => {
                    self.only_in_b(y.address, y.len);
                    b = right.next().cloned();
                    continue;
                }
                (Some(x), Some(y)) => (x, y),
            };
            // Pages before the first common address are in one of the checkpoints only.
            let (start, len) = (x.address, drop_before(x, y.address));
            self.only_in_a(start, len);
            let (start, len) = (y.address, drop_before(y, x.address));
            self.only_in_b(start, len);
            let common = if x.address == y.address { x.len.min(y.len) } else { 0 };
            if common > 0 {
                self.pieces(x, y, common)?;
                drop_before(x, x.address + common);
                drop_before(y, y.address + common);
            }
            if x.len == 0 {
                a = left.next().cloned();
            }
            if y.len == 0 {
                b = right.next().cloned();
            }
        }
    }

    fn only_in_a(&mut self, start: u64, len: u64) {
        let unknown = overlap(&self.left_out[1], start, len);
        self.pages.gone += (len - unknown) / self.page_size;
        self.pages.not_compared += unknown / self.page_size;
    }

    fn only_in_b(&mut self, start: u64, len: u64) {
        let unknown = overlap(&self.left_out[0], start, len);
        self.pages.new += (len - unknown) / self.page_size;
        self.pages.not_compared += unknown / self.page_size;
    }

    /// Compares the first `len` bytes of two pieces.
    fn pieces(&mut self, x: &Piece, y: &Piece, len: u64) -> anyhow::Result<()> {
        let mut at = 0;
        while at < len {
            // Holes hold zeros in both.
            let zeros = self.a.store.hole(x, at)?.min(self.b.store.hole(y, at)?).min(len - at);
            let zeros = zeros / self.page_size * self.page_size;
            if zeros > 0 {
                self.pages.equal += zeros / self.page_size;
                at += zeros;
                continue;
            }
            let n = (len - at).min(BUFFER) as usize;
            let [of_a, of_b] = &mut self.buffers;
            of_a.resize(n, 0);
            of_b.resize(n, 0);
            self.a.store.read(x, at, of_a).map_err(|e| e.context(self.a.name.clone()))?;
            self.b.store.read(y, at, of_b).map_err(|e| e.context(self.b.name.clone()))?;
            let page = self.page_size as usize;
            for (old, new) in of_a.chunks(page).zip(of_b.chunks(page)) {
                *(if old == new { &mut self.pages.equal } else { &mut self.pages.changed }) += 1;
            }
            at += n as u64;
        }
        Ok(())
    }
}

/// Returns how many of the `len` bytes from `start` are in the sorted `ranges`.
fn overlap(ranges: &[Range<u64>], start: u64, len: u64) -> u64 {
    let end = start.saturating_add(len);
    let first = ranges.partition_point(|range| range.end <= start);
    let within = ranges[first..].iter().take_while(|range| range.start < end);
    let bytes = within.map(|range| range.end.min(end).saturating_sub(range.start.max(start)));
    // The ranges of a forged image overlap.
    bytes.fold(0, u64::saturating_add).min(len)
}

/// Removes the part of a piece before `address`, and returns the length of that part.
fn drop_before(piece: &mut Piece, address: u64) -> u64 {
    let n = address.saturating_sub(piece.address).min(piece.len);
    piece.address += n;
    piece.offset += n;
    piece.len -= n;
    n
}
