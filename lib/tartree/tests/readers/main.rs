//! Reads random tars with this reader, GNU tar, libarchive, Python's tarfile and the crate tar-core,
//! and compares what they find. Two readers that find different files in one tar are a way to smuggle
//! files past a check (for example CVE-2025-62518).
//!
//! SEED=N in the environment compares only the tar with that seed, TARS=N the first N tars, and
//! KEEP=DIR writes the tars to DIR.

mod random_tar;
mod rules;
mod tar_core;

use std::collections::BTreeMap;
use std::io::Read;
use std::process::Command;

use random_tar::{RandomTar, random_tar};
use rules::RULES;
use serde_json::Value;
use tartree::{Expanded, Item, Kind, Limits, Reader, TarPath};

/// An entry, as far as all readers report it.
#[derive(Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name without redundant components.
    pub name: Vec<u8>,
    pub kind: String,
    pub mode: u64,
    pub size: u64,
    /// `None` if the reader does not report the value. The same applies to the other options.
    pub mtime: Option<i64>,
    pub nsec: Option<u64>,
    pub link: Vec<u8>,
    pub xattrs: Option<BTreeMap<Vec<u8>, Vec<u8>>>,
    pub content: Option<Vec<u8>>,
}

impl std::fmt::Debug for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, link) = (self.name.escape_ascii(), self.link.escape_ascii());
        let Listed { kind, mode, size, mtime, nsec, .. } = self;
        write!(f, "{kind} '{name}' '{link}' mode {mode:o} size {size} time {mtime:?} {nsec:?}")?;
        let xattrs = self.xattrs.iter().flatten();
        xattrs
            .into_iter()
            .try_for_each(|(name, value)| write!(f, " {}={}", name.escape_ascii(), value.escape_ascii()))?;
        write!(f, " content {:?}", self.content.as_ref().map(|content| content.len()))
    }
}

/// The entries of a tar up to its end or the first error, and that error.
#[derive(Debug)]
pub struct Listing {
    pub entries: Vec<Listed>,
    pub error: Option<String>,
}

fn ours(tar: &[u8]) -> Listing {
    let mut reader = Reader::new(tar, Limits { content_bytes: 1 << 20, ..Limits::default() });
    let mut entries = Vec::new();
    loop {
        let entry = match reader.next() {
            Ok(Some(Item::Entry(entry))) => entry,
            Ok(Some(Item::Removal(_))) => continue,
            Ok(None) => return Listing { entries, error: None },
            Err(e) => return Listing { entries, error: Some(e.to_string()) },
        };
        let mut content = Vec::new();
        let expanded = Expanded::new(&entry.kind, reader.content());
        if let Err(e) = expanded.take(1 << 20).read_to_end(&mut content) {
            return Listing { entries, error: Some(e.to_string()) };
        }
        let (kind, link) = match &entry.kind {
            Kind::Dir => ("dir", &b""[..]),
            Kind::File { .. } => ("file", &b""[..]),
            Kind::Symlink { target } => ("link", &target[..]),
            Kind::HardLink { target } => ("hard", target.as_bytes()),
            Kind::Char { .. } => ("char", &b""[..]),
            Kind::Block { .. } => ("block", &b""[..]),
            Kind::Fifo => ("fifo", &b""[..]),
        };
        entries.push(Listed {
            name: entry.path.as_bytes().to_vec(),
            kind: kind.to_owned(),
            mode: u64::from(entry.meta.mode),
            size: entry.kind.len(),
            mtime: Some(entry.meta.mtime.sec),
            nsec: Some(u64::from(entry.meta.mtime.nsec)),
            link: link.to_vec(),
            xattrs: Some(entry.meta.xattrs.iter().map(|x| (x.name.clone(), x.value.clone())).collect()),
            content: (kind == "file" && content.len() < 1 << 20).then_some(content),
        });
    }
}

/// Lists the tars with the other readers. Returns a map from reader to listing for each tar.
fn others(tars: &[RandomTar]) -> Vec<BTreeMap<String, Listing>> {
    let dir = tempfile::tempdir().expect("a directory");
    for (number, tar) in tars.iter().enumerate() {
        std::fs::write(dir.path().join(format!("{number}.tar")), &tar.bytes).expect("a file");
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/readers/others.py");
    let output = Command::new("python3").arg(script).arg(dir.path()).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("JSON");
    let listings = text.lines().map(|line| {
        let readers: BTreeMap<String, Vec<Value>> = serde_json::from_str(line).expect("an object");
        readers.into_iter().map(|(reader, entries)| (reader, listing(entries))).collect()
    });
    listings.collect()
}

fn listing(entries: Vec<Value>) -> Listing {
    let mut listing = Listing { entries: Vec::new(), error: None };
    for entry in entries {
        match entry {
            Value::String(error) => listing.error = Some(error),
            entry => listing.entries.push(listed(&entry)),
        }
    }
    listing
}

fn listed(entry: &Value) -> Listed {
    let kind = entry["kind"].as_str().expect("a kind").to_owned();
    let link = bytes(&entry["link"]);
    let xattrs = entry["xattrs"].as_object().map(|xattrs| {
        xattrs.iter().map(|(name, value)| (hex(name), bytes(value))).collect::<BTreeMap<_, _>>()
    });
    Listed {
        name: clean(bytes(&entry["name"])),
        mode: entry["mode"].as_u64().expect("a mode"),
        size: entry["size"].as_u64().unwrap_or(u64::MAX),
        mtime: entry["mtime"].as_i64(),
        nsec: entry["nsec"].as_u64(),
        link: if kind == "hard" { clean(link) } else { link },
        xattrs,
        content: entry["content"].as_str().map(hex),
        kind,
    }
}

/// Removes redundant components. Returns the name unchanged if it is not a path below the root.
fn clean(name: Vec<u8>) -> Vec<u8> {
    TarPath::parse(&name).map_or(name, |path| path.as_bytes().to_vec())
}

fn bytes(value: &Value) -> Vec<u8> {
    hex(value.as_str().expect("hexadecimal bytes"))
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("a byte");
    digits.map(byte).collect()
}

/// A disagreement between this reader and another one about a tar.
pub struct Disagreement<'a> {
    pub tar: &'a RandomTar,
    pub reader: &'a str,
    pub ours: &'a Listing,
    pub theirs: &'a Listing,
    pub what: What<'a>,
}

pub enum What<'a> {
    /// A field of an entry that both have found.
    Field(&'static str, &'a Listed, &'a Listed),
    /// An entry that only this reader has found.
    OnlyHere(&'a Listed),
    /// An entry that only the other reader has found.
    OnlyThere(&'a Listed),
    /// Only this reader rejects the tar.
    RejectedHere(&'a str),
    /// Only the other reader rejects the tar.
    RejectedThere(&'a str),
}

impl std::fmt::Display for Disagreement<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {:?}: ", self.reader, self.tar.features)?;
        match &self.what {
            What::Field(field, our, their) => write!(f, "{field}:\n  here  {our:?}\n  there {their:?}"),
            What::OnlyHere(entry) => write!(f, "only here: {entry:?}"),
            What::OnlyThere(entry) => write!(f, "only there: {entry:?}"),
            What::RejectedHere(error) => write!(f, "rejected here: {error}"),
            What::RejectedThere(error) => write!(f, "rejected there: {error}"),
        }
    }
}

/// Returns the names of the fields in which two entries differ.
fn differing(ours: &Listed, theirs: &Listed) -> Vec<&'static str> {
    let fields = [
        ("name", ours.name != theirs.name),
        ("kind", ours.kind != theirs.kind),
        ("mode", ours.mode != theirs.mode),
        ("size", ours.size != theirs.size),
        ("mtime", theirs.mtime.is_some() && ours.mtime != theirs.mtime),
        ("nsec", theirs.nsec.is_some() && ours.nsec != theirs.nsec),
        ("link", ours.link != theirs.link),
        ("xattrs", theirs.xattrs.is_some() && ours.xattrs != theirs.xattrs),
        ("content", theirs.content.is_some() && ours.content != theirs.content),
    ];
    fields.into_iter().filter_map(|(field, differs)| differs.then_some(field)).collect()
}

/// Returns the disagreements about a tar. If this reader rejects the tar, only the entries before the
/// error count.
fn disagreements<'a>(
    tar: &'a RandomTar,
    ours: &'a Listing,
    reader: &'a str,
    theirs: &'a Listing,
) -> Vec<Disagreement<'a>> {
    let mut found = Vec::new();
    for (our, their) in ours.entries.iter().zip(&theirs.entries) {
        found.extend(differing(our, their).into_iter().map(|field| What::Field(field, our, their)));
    }
    let (here, there) = (ours.entries.len(), theirs.entries.len());
    match (&ours.error, &theirs.error) {
        (None, None) if here > there => found.push(What::OnlyHere(&ours.entries[there])),
        (None, None) if there > here => found.push(What::OnlyThere(&theirs.entries[here])),
        (None, Some(error)) => found.push(What::RejectedThere(error)),
        // Any reader may reject a damaged tar.
        (Some(error), None) if !tar.is_damaged => found.push(What::RejectedHere(error)),
        _ => {}
    }
    found.into_iter().map(|what| Disagreement { tar, reader, ours, theirs, what }).collect()
}

/// Compares the tars with these seeds. Returns the disagreements that no rule explains, and the
/// number of disagreements that each rule explains.
fn compare(seeds: &[u64]) -> (Vec<String>, Vec<usize>) {
    let tars: Vec<_> = seeds.iter().map(|&seed| random_tar(seed)).collect();
    let (mut unexplained, mut used) = (Vec::new(), vec![0; RULES.len()]);
    for ((seed, tar), mut others) in seeds.iter().zip(&tars).zip(others(&tars)) {
        if let Some(dir) = std::env::var_os("KEEP") {
            let file = std::path::Path::new(&dir).join(format!("{seed}.tar"));
            std::fs::write(file, &tar.bytes).expect("a file");
        }
        let ours = ours(&tar.bytes);
        others.insert("tar-core".to_owned(), tar_core::list(&tar.bytes));
        for (reader, theirs) in &others {
            for disagreement in disagreements(tar, &ours, reader, theirs) {
                match RULES.iter().position(|rule| (rule.explains)(&disagreement)) {
                    Some(rule) => used[rule] += 1,
                    None => unexplained.push(format!("SEED={seed}: {disagreement}")),
                }
            }
        }
    }
    (unexplained, used)
}

#[ignore = "needs bsdtar and python3"]
#[test]
fn random_tars_have_the_same_entries_for_all_readers() {
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seeds: Vec<u64> = match number("SEED") {
        Some(seed) => vec![seed],
        None => (0..number("TARS").unwrap_or(3000)).collect(),
    };
    let (unexplained, used) =
        seeds.chunks(500).map(compare).fold((Vec::new(), vec![0; RULES.len()]), |all, one| {
            let used = all.1.iter().zip(&one.1).map(|(all, one)| all + one).collect();
            ([all.0, one.0].concat(), used)
        });
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    for (rule, used) in RULES.iter().zip(used) {
        // Some reasons are rare.
        assert!(used > 0 || seeds.len() < 8000, "no tar needs the rule: {}", rule.reason);
        println!("{used:6} {}", rule.reason);
    }
}
