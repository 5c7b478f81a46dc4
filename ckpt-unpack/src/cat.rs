//! `--cat`: writes a member, or a file in the tar of a member, to standard output.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufReader, ErrorKind, IsTerminal, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::ArchiveFile;
use checkpoint::compress::{Bound, Decoder};
use checkpoint::tar_input::TarInput;
use cli::{Exit, Hint, Output, Session, usage};
use tartree::{Entry, Expanded, Item, Kind, Limits, Reader, Skip, TarPath};

use crate::archive_input;
use crate::args::Args;

const BUFFER: usize = 256 << 10;

pub fn run(args: &Args, _: &Session) -> anyhow::Result<Exit> {
    let request = Request::of(args)?;
    let mut archive = archive_input::open_any(request.archive, args)?;
    let hint = match archive.is_pod() {
        true => "for a member of a container, add --container NAME; --list prints the members of the pod",
        false => "--list prints the members",
    };
    if archive.is_pod() {
        // The documents of the pod and the archives of its containers are members of the pod archive.
        archive = archive.as_tar();
    }
    let name = archive.name().to_owned();
    let mut out = Plain::new(Output::text(None)?);
    let first = write(&mut archive, &request.member, request.path.as_ref(), &mut out, hint);
    match first.with_context(|| name.clone())? {
        Found::Written => {}
        // The content of the file precedes the link, so it is read in a second pass.
        Found::Link(target) if archive.can_rewind() => {
            match write(&mut archive, &request.member, Some(&target), &mut out, hint).context(name)? {
                Found::Written => {}
                Found::Link(_) => anyhow::bail!("{}: {target}: a hard link to a hard link", request.member),
            }
        }
        Found::Link(target) => {
            let path = request.path.unwrap_or_else(TarPath::root);
            let e = anyhow::anyhow!("{name}: {}: {path}: a hard link to {target}", request.member);
            return Err(Hint::on(e, format!("--cat {} {target}", request.member)));
        }
    }
    Ok(Exit::Done)
}

/// What to write.
struct Request<'a> {
    member: Member,
    path: Option<TarPath>,
    archive: Option<&'a Path>,
}

impl<'a> Request<'a> {
    /// Reads `--cat MEMBER [PATH] [ARCHIVE]`. A word after MEMBER is ARCHIVE, if MEMBER is not a
    /// tar or a file of this name exists.
    fn of(args: &'a Args) -> anyhow::Result<Request<'a>> {
        let words = &args.verb.inspection.cat;
        let path = |word: &OsStr| {
            TarPath::parse(word.as_bytes())
                .map_err(|e| usage(format!("--cat {}: {e}", cli::display_path(word))))
        };
        if let ([word], None) = (words.as_slice(), &args.archive) {
            reject_archive("--cat", word, "--cat MEMBER [PATH] ARCHIVE")?;
        }
        let member = Member::of(&path(words.first().map_or(OsStr::new(""), |word| word))?);
        let archive = args.archive.as_deref();
        let Some(word) = words.get(1) else { return Ok(Request { member, path: None, archive }) };
        let is_archive = !is_tar(&member) || word == "-" || Path::new(word).exists();
        match archive {
            Some(_) if !is_tar(&member) => {
                Err(usage(format!("--cat {member} {}: {member} is not a tar", cli::display_path(word))))
            }
            None if is_archive => Ok(Request { member, path: None, archive: Some(Path::new(word)) }),
            archive => Ok(Request { member, path: Some(path(word)?), archive }),
        }
    }
}

/// Rejects a file as the first value of a flag: the archive comes last, and would otherwise be read
/// from standard input. A pipe or file as standard input may be an archive.
pub fn reject_archive(flag: &str, word: &OsStr, order: &str) -> anyhow::Result<()> {
    let stdin = fs::metadata("/proc/self/fd/0").map(|meta| meta.file_type());
    let is_device = stdin.is_ok_and(|kind| kind.is_char_device());
    if !is_device || !Path::new(word).is_file() {
        return Ok(());
    }
    let e = usage(format!("{flag} {}: is a file, and no ARCHIVE is given", cli::display_path(word)));
    Err(Hint::on(e, format!("the archive comes last: {order}")))
}

/// Returns whether `member` is a tar, which may be compressed.
fn is_tar(member: &Member) -> bool {
    match member {
        Member::RootfsDiff | Member::DevShm | Member::Volume(_) => true,
        Member::Images(path) | Member::PreImages(path) | Member::Artifacts(path) | Member::Unknown(path) => {
            let name = path.as_bytes().rsplit(|&b| b == b'/').next().unwrap_or_default();
            name.windows(4).any(|part| part == b".tar")
        }
        _ => false,
    }
}

/// The result of a pass over the archive.
enum Found {
    Written,
    /// The file is another name of this file.
    Link(TarPath),
}

/// Writes `wanted`, or the file `path` in it, and reads the archive to its end, where it may have a
/// checksum. `hint` is for a member that is not in the archive.
fn write(
    archive: &mut ArchiveFile,
    wanted: &Member,
    path: Option<&TarPath>,
    out: &mut impl Write,
    hint: &str,
) -> anyhow::Result<Found> {
    let limits = archive.limits().clone();
    let mut reader = archive.survey_of_all()?;
    let mut found = None;
    while let Some((member, entry)) = reader.next()? {
        if member != *wanted {
            continue;
        }
        let bound = reader.bound();
        let content = Expanded::new(&entry.kind, reader.content());
        let written = match path {
            Some(path) => file_in_tar(content, path, limits.clone(), bound, out),
            None => complete_member(&member, &entry, content, bound, out).map(|()| Found::Written),
        };
        found = Some(written.with_context(|| member.to_string())?);
    }
    reader.finish()?;
    match found {
        Some(found) => Ok(found),
        None => Err(Hint::on(anyhow::anyhow!("{wanted}: not in the archive"), hint)),
    }
}

fn complete_member(
    member: &Member,
    entry: &Entry,
    content: impl Read,
    bound: Bound,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    only_file(entry)?;
    if is_tar(member) {
        copy(&mut Decoder::bounded(BufReader::with_capacity(BUFFER, content), bound)?, out)
    } else {
        copy(&mut { content }, out)
    }
}

fn file_in_tar(
    content: impl Skip,
    wanted: &TarPath,
    limits: Limits,
    bound: Bound,
    out: &mut impl Write,
) -> anyhow::Result<Found> {
    let mut tar = Reader::skipping(TarInput::skipping(content, bound)?, limits);
    let mut found = None;
    while let Some(item) = tar.next()? {
        let Item::Entry(entry) = item else { continue };
        if entry.path != *wanted {
            continue;
        }
        if found.is_some() {
            anyhow::bail!("{wanted}: occurs twice");
        }
        if let Kind::HardLink { target } = entry.kind {
            found = Some(Found::Link(target));
            continue;
        }
        only_file(&entry).with_context(|| wanted.to_string())?;
        copy(&mut Expanded::new(&entry.kind, tar.content()), out).with_context(|| wanted.to_string())?;
        found = Some(Found::Written);
    }
    tar.drain()?;
    found.with_context(|| format!("{wanted}: not in the tar"))
}

/// Checks that the entry has content.
fn only_file(entry: &Entry) -> anyhow::Result<()> {
    match &entry.kind {
        Kind::File { .. } => Ok(()),
        Kind::Dir => anyhow::bail!("is a directory"),
        Kind::Symlink { target } => {
            anyhow::bail!("is a symbolic link to {}", cli::display_path(OsStr::from_bytes(target)))
        }
        _ => anyhow::bail!("not a regular file"),
    }
}

fn copy(content: &mut impl Read, out: &mut impl Write) -> anyhow::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(got) => out.write_all(&buffer[..got])?,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Standard output. A terminal gets no control characters from the archive, because they could
/// forge messages or run commands of the terminal.
struct Plain {
    out: Output,
    is_terminal: bool,
    /// The first bytes of a character whose other bytes were not written yet.
    start: Vec<u8>,
}

impl Plain {
    fn new(out: Output) -> Plain {
        Plain { out, is_terminal: io::stdout().is_terminal(), start: Vec::new() }
    }

    /// Returns whether the next bytes of the content have control characters.
    fn has_controls(&mut self, bytes: &[u8]) -> bool {
        self.start.extend_from_slice(bytes);
        let text = std::mem::take(&mut self.start);
        let mut chunks = text.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            let is_control = |c: char| cli::is_unsafe(c) && !matches!(c, '\n' | '\t');
            let invalid = chunk.invalid();
            if chunk.valid().chars().any(is_control) {
                return true;
            }
            if chunks.peek().is_none() && std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none())
            {
                self.start = invalid.to_vec();
            } else if invalid.iter().any(|byte| (0x80..0xa0).contains(byte)) {
                // A terminal without UTF-8 has control characters there.
                return true;
            }
        }
        false
    }
}

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_terminal && self.has_controls(bytes) {
            return Err(io::Error::other(
                "not written to a terminal, as it has control characters; redirect it",
            ));
        }
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
