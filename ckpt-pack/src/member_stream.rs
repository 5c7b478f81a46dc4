//! Reads member streams from standard input and files.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context;
use checkpoint::Member;
use checkpoint::stream::{Ending, StreamReader};
use cli::{Hint, Input, Session};
use tartree::{Content, Entry};

const BUFFER: usize = 256 << 10;

/// One member stream of the command line.
pub struct MemberStream {
    name: String,
    reader: StreamReader<BufReader<Input>>,
    ending: Ending,
    size: Option<u64>,
}

impl MemberStream {
    /// Opens the operand `path`; `-` is standard input.
    pub fn open(path: &Path, ending: Ending) -> anyhow::Result<MemberStream> {
        let input = Input::open(Some(path), "a member stream")?;
        let name = input.name().to_owned();
        let size = input.rest();
        Ok(MemberStream {
            name,
            reader: StreamReader::new(BufReader::with_capacity(BUFFER, input), ending),
            ending,
            size,
        })
    }

    /// Reads the stream that a program writes to `output`.
    pub fn of_program(output: File, name: String) -> MemberStream {
        let input = Input::of_file(output, name.clone());
        let reader = StreamReader::new(BufReader::with_capacity(BUFFER, input), Ending::Proved);
        MemberStream { name, reader, ending: Ending::Proved, size: None }
    }

    /// Returns the stream's name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the size in bytes if the stream is a file.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Returns the next member, or `None` at the end of the stream.
    ///
    /// # Errors
    /// Returns an error if the stream is empty, has no proof of its end, or has an invalid member.
    pub fn next(&mut self) -> anyhow::Result<Option<(Member, Entry)>> {
        let next = self.reader.next().with_context(|| self.name.clone());
        match (&next, self.ending) {
            (Ok(None), _) if self.reader.streams() == 0 => {
                let e = anyhow::anyhow!("{}: expected a member stream, found no data", self.name);
                Err(Hint::on(e, "see the error above of the program that should have written it"))
            }
            (Err(e), _) if is_unknown_member(e) => next.map_err(|e| {
                Hint::on(e, "write member streams with --members of the other tools, or pack a file with --member NAME=FILE")
            }),
            (Err(e), Ending::Proved) if is_without_end(e) => next.map_err(|e| {
                Hint::on(e, "see the error above of the program that wrote it; for a tar made by hand: --raw-members")
            }),
            _ => next,
        }
    }

    /// Returns the content of the member that [`next`](MemberStream::next) returned.
    pub fn content(&mut self) -> Content<'_, BufReader<Input>> {
        self.reader.content()
    }

    /// Warns of entries that changed while a writer read them, and returns their number.
    pub fn changed(&self, session: &Session) -> u64 {
        let changed = self.reader.ends().iter().filter(|end| end.changed > 0);
        changed
            .map(|end| {
                let entries = if end.changed == 1 { "entry" } else { "entries" };
                session.warn(format_args!(
                    "{}: {} {entries} changed while {} read",
                    self.name, end.changed, end.writer
                ));
                end.changed
            })
            .sum()
    }
}

fn is_unknown_member(e: &anyhow::Error) -> bool {
    e.chain().any(|e| matches!(e.downcast_ref(), Some(checkpoint::Error::UnknownMember { .. })))
}

/// Returns whether the stream has no proof of its end.
fn is_without_end(e: &anyhow::Error) -> bool {
    e.chain().any(|e| matches!(e.downcast_ref(), Some(checkpoint::Error::Stream { .. })))
}
