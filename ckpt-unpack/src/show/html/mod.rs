//! `--show --html`: one page that describes the container, for an incident report.
//!
//! The page refers to nothing outside of itself and has no script, and its policy forbids both. All
//! texts of the archive pass through [`Escaped`].

mod charts;
mod escape;
mod tables;
mod treemap;

use std::io::{self, Write};

use checkpoint::process_tree::Node;
use cli::units::{bytes, count};

use super::found::Found;
use super::needs::makers;
use super::tree::pids;
use escape::Escaped;

/// Whether the page shows the arguments of processes, which may contain secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    Shown,
    Hidden,
}

impl Arguments {
    /// Returns `Hidden` if the user wants it.
    pub fn hidden_if(redact: bool) -> Arguments {
        if redact { Arguments::Hidden } else { Arguments::Shown }
    }
}

const STYLE: &str = include_str!("style.css");

/// The parts of the page: the ID and the heading of each.
const PARTS: [(&str, &str); 11] = [
    ("summary", "Summary"),
    ("needs", "A restore needs"),
    ("sizes", "Sizes"),
    ("dump", "Phases of the dump"),
    ("processes", "Processes"),
    ("memory", "Memory"),
    ("files", "Open files"),
    ("sockets", "Sockets"),
    ("changes", "Changed files"),
    ("mounts", "Mounts"),
    ("network", "Network"),
];

pub fn write(out: &mut impl Write, found: &Found, tree: &[Node], arguments: Arguments) -> io::Result<()> {
    let name = found.name().unwrap_or_else(|| "container".into());
    let title = Escaped(&format!("Checkpoint of {name}")).to_string();
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n<header>\n<h1>{title}</h1>\n"
    )?;
    writeln!(out, "<nav aria-label=\"Parts of this report\">\n<ul>")?;
    for (id, heading) in PARTS {
        writeln!(out, "<li><a href=\"#{id}\">{heading}</a></li>")?;
    }
    writeln!(out, "</ul>\n</nav>\n</header>\n<main>")?;
    for (id, heading) in PARTS {
        writeln!(
            out,
            "<section id=\"{id}\" aria-labelledby=\"{id}-heading\">\n<h2 id=\"{id}-heading\">{heading}</h2>"
        )?;
        match id {
            "summary" => summary(out, found, tree)?,
            "needs" => tables::needs(out, found, tree)?,
            "sizes" => charts::sizes(out, found, tree)?,
            "dump" => charts::dump(out, found)?,
            "processes" => tables::processes(out, found, tree, arguments)?,
            "memory" => tables::memory(out, found, tree)?,
            "files" => tables::files(out, found, tree)?,
            "sockets" => tables::sockets(out, found, tree)?,
            "changes" => tables::changes(out, found)?,
            "mounts" => tables::mounts(out, found)?,
            _ => tables::network(out, found)?,
        }
        writeln!(out, "</section>")?;
    }
    let hidden = match arguments {
        Arguments::Shown => "The environment and the content of the memory are omitted.",
        Arguments::Hidden => {
            "The environment, the content of the memory and the arguments of the processes are omitted."
        }
    };
    write!(
        out,
        "</main>\n<footer><p>Made by ckpt-unpack --show --html. {hidden}</p></footer>\n</body>\n</html>\n"
    )
}

fn summary(out: &mut impl Write, found: &Found, tree: &[Node]) -> io::Result<()> {
    let (pod, namespace) = found.spec.pod();
    let text = |text: Option<&str>| text.map(str::to_owned);
    let sum = count(pids(tree).len() as u64, "process");
    let facts = [
        ("Container", found.name()),
        ("ID", text(found.config.text("id"))),
        ("Image", text(found.image_name())),
        ("Image ID", text(found.config_text(&["rootfsImageID", "rootfsImageRef"]))),
        ("Engine", text(Some(found.spec.engine().name()))),
        ("Made by", Some(makers(found).join(", "))),
        ("Pod", text(pod)),
        ("Pod namespace", text(namespace)),
        ("Created", text(found.created())),
        ("Checkpointed", found.checkpointed()),
        ("Size", Some(format!("{}, {sum}, {} of memory pages", bytes(found.total()), bytes(found.pages)))),
    ];
    writeln!(out, "<dl>")?;
    for (name, value) in facts {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            writeln!(out, "<dt>{name}</dt><dd>{}</dd>", Escaped(&value))?;
        }
    }
    writeln!(out, "</dl>")
}
