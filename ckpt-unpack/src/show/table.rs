//! `--show` of several archives or of a directory: one table, like `checkpointctl show` and
//! `checkpointctl list`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use checkpoint::archive::ArchiveFile;
use checkpoint::oci::is_layout;
use cli::units::bytes;
use cli::{Exit, Output, Session, Style, usage};
use serde_json::{Value, json};
use tartree::TarPath;

use super::found::{Found, NotACheckpoint, Texts, collect};
use super::pod::PodFacts;
use super::tree::{amount, pids};
use crate::archive_input;
use crate::args::Args;

/// An archive of the table.
pub struct Named {
    path: PathBuf,
    /// Whether the archive was found in a directory, which may contain other files.
    in_directory: bool,
}

/// Returns the archives of the table, or `None` if the user named one archive or image.
///
/// # Errors
/// Returns an error if a directory cannot be read or is empty, and a usage error for a flag that
/// has no effect on a table.
pub fn archives(args: &Args) -> anyhow::Result<Option<Vec<Named>>> {
    let Some(first) = &args.archive else { return Ok(None) };
    let more = &args.inspected.more;
    if more.is_empty() && !is_directory(first) {
        return Ok(None);
    }
    for (flag, given) in [("--env", args.inspected.env), ("--html", args.inspected.html)] {
        if given {
            return Err(usage(format!("{flag} has no effect on a table of several archives")));
        }
    }
    let mut archives = Vec::new();
    for path in std::iter::once(first).chain(more) {
        if is_directory(path) {
            let there = archives.len();
            archives.extend(in_directory(path).with_context(|| cli::display_path(path))?);
            if archives.len() == there {
                anyhow::bail!("{}: contains no archives", cli::display_path(path));
            }
        } else {
            archives.push(Named { path: path.clone(), in_directory: false });
        }
    }
    Ok(Some(archives))
}

/// Returns whether `path` is a directory, and not an image in the form of a directory.
fn is_directory(path: &Path) -> bool {
    let Ok(mut entries) = fs::read_dir(path) else { return false };
    !entries.any(|entry| entry.is_ok_and(|entry| is_part_of_image(entry.file_name().as_bytes())))
}

fn is_part_of_image(name: &[u8]) -> bool {
    // skopeo's `dir:` layout has a manifest.json, as `docker save` has.
    TarPath::parse(name).is_ok_and(|path| is_layout(&path))
}

/// Returns the files and images in a directory by name, except hidden files.
fn in_directory(dir: &Path) -> io::Result<Vec<Named>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let path = dir.join(&name);
        let is_image =
            fs::metadata(&path).is_ok_and(|meta| meta.is_file() || meta.is_dir() && !is_directory(&path));
        if is_image && !name.as_bytes().starts_with(b".") {
            names.push(path);
        }
    }
    names.sort();
    Ok(names.into_iter().map(|path| Named { path, in_directory: true }).collect())
}

pub fn run(archives: &[Named], args: &Args, session: &Session) -> anyhow::Result<Exit> {
    let (mut rows, mut exit, mut skipped) = (Vec::new(), Exit::Done, false);
    for Named { path, in_directory } in archives {
        let name = cli::display_path(path);
        let found =
            archive_input::open_any(Some(path), args).and_then(|archive| read(archive, &name, session));
        match found {
            Ok(found) => rows.extend(found),
            Err(e) if *in_directory && is_of_another_kind(&e) => {
                skipped = true;
                session.warn(format_args!("{name}: skipped, not a checkpoint archive"));
            }
            Err(e) => {
                cli::report(session, &archive_input::explain(e));
                exit = Exit::Failed;
            }
        }
    }
    session.end_stages();
    if rows.is_empty() && skipped && exit == Exit::Done {
        let dirs: BTreeSet<_> = archives.iter().filter_map(|named| named.path.parent()).collect();
        let dirs: Vec<_> = dirs.into_iter().map(cli::display_path).collect();
        anyhow::bail!("{}: contains no archives", dirs.join(", "));
    }
    let mut out = BufWriter::new(Output::text(None)?);
    if args.output.json {
        let rows: Vec<_> = rows.iter().map(Row::to_json).collect();
        let document = json!({ "schema": 1, "archives": rows });
        writeln!(out, "{}", cli::escape_json(format_args!("{document:#}")))?;
    } else {
        write(&mut out, &rows.iter().collect::<Vec<_>>())?;
    }
    out.flush()?;
    Ok(exit)
}

/// Returns the rows of an archive: one, or one for each container of a pod.
fn read(mut archive: ArchiveFile, name: &str, session: &Session) -> anyhow::Result<Vec<Row>> {
    if archive.is_pod() {
        let containers = PodFacts::read(archive, session)?.containers;
        return Ok(containers.into_iter().map(|container| container.row.of_pod(name)).collect());
    }
    let found = collect(&mut archive, Texts::None, session)?;
    Ok(vec![Row::new(name.to_owned(), &found)])
}

/// Returns whether the file is not an archive at all.
fn is_of_another_kind(e: &anyhow::Error) -> bool {
    use checkpoint::Error;
    e.chain().any(|e| {
        e.is::<NotACheckpoint>()
            || match e.downcast_ref() {
                Some(Error::Tar(e)) => matches!(e, tartree::Error::NotATar { .. }),
                Some(Error::Member { member, .. }) => member == "archive",
                Some(Error::Empty { .. } | Error::Twice { .. }) => true,
                _ => false,
            }
    })
}

/// The facts about an archive in the table.
pub struct Row {
    archive: String,
    container: Option<String>,
    id: Option<String>,
    image: Option<String>,
    engine: &'static str,
    runtime: Option<String>,
    pod: Option<String>,
    kubernetes_namespace: Option<String>,
    created: Option<String>,
    checkpointed: Option<String>,
    size: u64,
    memory: u64,
    processes: usize,
    root_changes: Option<(u64, u64)>,
}

impl Row {
    pub fn new(archive: String, found: &Found) -> Row {
        let pids = pids(&found.images.tree().0);
        let text = |text: Option<&str>| text.map(str::to_owned);
        let (pod, kubernetes_namespace) = found.spec.pod();
        Row {
            archive,
            container: found.name(),
            id: text(found.config.text("id")),
            image: text(found.image_name()),
            engine: found.spec.engine().name(),
            runtime: text(found.config.text("runtime")),
            pod: text(pod),
            kubernetes_namespace: text(kubernetes_namespace),
            created: text(found.created()),
            checkpointed: found.checkpointed(),
            size: found.total(),
            memory: pids.iter().map(|&pid| amount(&found.images, pid).stored).fold(0, u64::saturating_add),
            processes: pids.len(),
            root_changes: found.root_changes(),
        }
    }

    /// Puts the name of a pod archive before that of the container's archive.
    fn of_pod(self, name: &str) -> Row {
        Row { archive: format!("{name}: {}", self.archive), ..self }
    }

    pub fn to_json(&self) -> Value {
        json!({
            "archive": self.archive, "container_name": self.container, "id": self.id, "image": self.image,
            "engine": self.engine, "runtime": self.runtime, "pod_name": self.pod,
            "kubernetes_namespace": self.kubernetes_namespace, "created": self.created,
            "checkpointed": self.checkpointed, "size": self.size, "memory": self.memory,
            "processes": self.processes,
            "root_fs_changes": self.root_changes.map(|(changed, deleted)| json!({ "changed": changed, "deleted": deleted })),
        })
    }

    /// Returns the cells in the order of [`HEADINGS`].
    fn cells(&self) -> [String; HEADINGS.len()] {
        let text = |text: &Option<String>| cli::escape(text.as_deref().unwrap_or("-"));
        let time = |time: &Option<String>| time.as_deref().map_or_else(|| "-".into(), seconds);
        let pod = match (&self.kubernetes_namespace, &self.pod) {
            (Some(namespace), Some(pod)) => format!("{namespace}/{pod}"),
            (_, pod) => pod.clone().unwrap_or_else(|| "-".into()),
        };
        let changes = match self.root_changes {
            Some((changed, 0)) => format!("{changed} changed"),
            Some((changed, deleted)) => format!("{changed} changed, {deleted} deleted"),
            None => "-".into(),
        };
        let id = self.id.as_deref().map_or_else(|| "-".into(), |id| id.chars().take(12).collect::<String>());
        [
            cli::escape(&self.archive),
            text(&self.container),
            cli::escape(id),
            cli::escape(pod),
            text(&self.image),
            self.engine.to_owned(),
            text(&self.runtime),
            time(&self.created),
            time(&self.checkpointed),
            bytes(self.size),
            bytes(self.memory),
            changes,
        ]
    }
}

const HEADINGS: [&str; 12] = [
    "ARCHIVE",
    "CONTAINER",
    "ID",
    "POD",
    "IMAGE",
    "ENGINE",
    "RUNTIME",
    "CREATED",
    "CHECKPOINTED",
    "SIZE",
    "MEMORY",
    "ROOT CHANGES",
];

/// Shortens a time in RFC 3339 format to seconds.
fn seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, rest)) => {
            let zone = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            cli::escape(format!("{seconds}{zone}"))
        }
        None => cli::escape(time),
    }
}

pub fn write(out: &mut impl Write, rows: &[&Row]) -> io::Result<()> {
    let cells: Vec<_> = rows.iter().map(|row| row.cells()).collect();
    // A column without any value would only make the lines longer.
    let used = |n: usize| n == 0 || cells.iter().any(|row| row[n] != "-");
    let columns: Vec<_> = (0..HEADINGS.len()).filter(|n| used(*n)).collect();
    let width = |n: usize| {
        let cells = cells.iter().map(|row| row[n].chars().count());
        cells.chain([HEADINGS[n].len()]).max().unwrap_or_default()
    };
    let widths = HEADINGS.iter().enumerate().map(|(n, _)| width(n)).collect::<Vec<_>>();
    let style = Style::of_stdout();
    let line = |row: &[String]| {
        let cells = columns.iter().map(|&n| format!("{:<width$}", row[n], width = widths[n]));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    writeln!(out, "{}", style.heading(&line(&HEADINGS.map(str::to_owned))))?;
    cells.iter().try_for_each(|row| writeln!(out, "{}", line(row)))
}
