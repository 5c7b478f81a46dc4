//! `--show`: describes the container in an archive, like `checkpointctl show` and `checkpointctl
//! inspect`.

mod changes;
pub mod found;
mod html;
mod json;
pub mod needs;
mod pod;
pub mod processes;
mod table;
mod text;
pub mod tree;

use std::io::{BufWriter, Write};

use cli::{Exit, Output, Session};

use crate::archive_input;
use crate::args::Args;
use found::{Texts, collect};
use html::Arguments;

pub fn run(args: &Args, session: &Session) -> anyhow::Result<Exit> {
    if let Some(archives) = table::archives(args)? {
        return table::run(&archives, args, session);
    }
    let mut archive = archive_input::open_any(args.archive.as_deref(), args)?;
    if archive.is_pod() {
        return pod::run(archive, args, session);
    }
    let texts = if args.inspected.env { Texts::All } else { Texts::CommandLines };
    let found = collect(&mut archive, texts, session)?;
    let (tree, lost) = found.images.tree();
    if lost > 0 {
        session.warn(format_args!(
            "checkpoint/pstree.img: {lost} processes are not shown, they do not descend from the first process"
        ));
    }
    let mut out = BufWriter::new(Output::text(None)?);
    let inspected = &args.inspected;
    if args.output.json {
        json::write(&mut out, &found, &tree, inspected.env, session)?;
    } else if inspected.html {
        html::write(&mut out, &found, &tree, Arguments::hidden_if(inspected.redact))?;
    } else {
        text::write(&mut out, &found, &tree)?;
    }
    out.flush()?;
    Ok(Exit::Done)
}
