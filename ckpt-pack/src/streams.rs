//! Member streams from standard input and files.

use std::io::BufReader;
use std::path::Path;

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::UNKNOWN;
use checkpoint::stream::{Ending, StreamReader};
use cli::{Hint, Input, Session};
use tartree::{Content, Entry};

const BUFFER: usize = 256 << 10;

/// One operand.
pub struct Stream {
    name: String,
    reader: StreamReader<BufReader<Input>>,
    ending: Ending,
    rest: Option<u64>,
}

impl Stream {
    /// Opens the operand `path`; `-` is standard input.
    pub fn open(path: &Path, ending: Ending) -> anyhow::Result<Stream> {
        let input = Input::open(Some(path), "a member stream")?;
        let name = input.name().to_owned();
        let rest = input.rest();
        Ok(Stream {
            name,
            reader: StreamReader::new(BufReader::with_capacity(BUFFER, input), ending),
            ending,
            rest,
        })
    }

    /// The name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes are to come, where that is known: of a file.
    pub fn rest(&self) -> Option<u64> {
        self.rest
    }

    /// The next member.
    pub fn next(&mut self) -> anyhow::Result<Option<(Member, Entry)>> {
        let next = self.reader.next().with_context(|| self.name.clone());
        match (&next, self.ending) {
            (Ok(None), _) if self.reader.streams() == 0 => {
                let e = anyhow::anyhow!("{}: no member stream, it is empty", self.name);
                Err(Hint::on(e, "look above for the error of the program that should have written it"))
            }
            (Err(e), _) if format!("{e:#}").ends_with(UNKNOWN) => next.map_err(|e| {
                Hint::on(e, "the other tools write members with --members; a file becomes one with --member NAME=FILE")
            }),
            (Err(_), Ending::Proved) if is_without_end(&next) => next.map_err(|e| {
                Hint::on(e, "look above for the error of the program that wrote it; for a tar made by hand use --raw-members")
            }),
            _ => next,
        }
    }

    /// The bytes of the member.
    pub fn content(&mut self) -> Content<'_, BufReader<Input>> {
        self.reader.content()
    }

    /// Names the writers that saw something change; gives how many objects.
    pub fn changed(&self, session: &Session) -> u64 {
        let changed = self.reader.ends().iter().filter(|end| end.changed > 0);
        changed
            .map(|end| {
                let objects = if end.changed == 1 { "object" } else { "objects" };
                session.warn(format_args!(
                    "{}: {} {objects} changed while {} read",
                    self.name, end.changed, end.writer
                ));
                end.changed
            })
            .sum()
    }
}

fn is_without_end<T>(next: &anyhow::Result<T>) -> bool {
    let is_stream = |e: &(dyn std::error::Error + 'static)| {
        matches!(e.downcast_ref(), Some(checkpoint::Error::Stream { .. }))
    };
    next.as_ref().is_err_and(|e| e.chain().any(is_stream))
}
