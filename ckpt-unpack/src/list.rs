//! `--list`: lists the members.

use std::io::{BufWriter, Write};

use anyhow::Context;
use cli::{Exit, Output, Session};
use serde_json::json;
use tartree::{Entry, Kind};

use crate::archive_input;
use crate::args::Args;

pub fn run(args: &Args, _: &Session) -> anyhow::Result<Exit> {
    let mut archive = archive_input::open_any(args.archive.as_deref(), args)?;
    if archive.is_pod() {
        archive = archive.as_tar();
    }
    let name = archive.name().to_owned();
    let mut out = BufWriter::new(Output::text(None)?);
    let mut members = Vec::new();
    let mut reader = archive.survey_of_all().with_context(|| name.clone())?;
    let compression = reader.compression();
    while let Some((member, entry)) = reader.next().with_context(|| name.clone())? {
        if args.output.json {
            members.push(json!({
                "name": member.to_string(), "type": kind(&entry), "size": entry.kind.len(),
                "mode": format!("{:04o}", entry.meta.mode), "mtime": entry.meta.mtime.sec,
            }));
        } else {
            let slash = if entry.kind == Kind::Dir { "/" } else { "" };
            writeln!(out, "{:>12} {}{slash}", entry.kind.len(), cli::escape(&member))?;
        }
    }
    reader.finish().with_context(|| name)?;
    if args.output.json {
        let list = json!({ "schema": 1, "compression": compression.name(), "members": members });
        writeln!(out, "{}", cli::escape_json(format_args!("{list:#}")))?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

fn kind(entry: &Entry) -> &'static str {
    match entry.kind {
        Kind::Dir => "directory",
        Kind::Symlink { .. } => "symlink",
        _ => "file",
    }
}
