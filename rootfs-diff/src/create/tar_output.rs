//! Writes the tar of a diff.

use std::os::fd::AsFd;

use cli::{Counted, Output};
use tartree::{Files, Notice, Passage, Plan, Sink, Tally};

/// Returns a sink that writes to `output`. The kernel copies large files to it directly.
pub fn sink(output: Output) -> Sink<Counted<Output>> {
    let passage = Passage::to(output.as_fd(), cli::count);
    Sink::direct(Counted::new(output), passage)
}

/// Writes the planned tar of `files`, and returns the output.
///
/// # Errors
/// Returns an error if a file cannot be read or the output cannot be written.
pub fn write_tar(
    plan: &Plan,
    files: &mut dyn Files,
    mut sink: Sink<Counted<Output>>,
    tally: &mut Tally<impl FnMut(&Notice)>,
) -> anyhow::Result<Counted<Output>> {
    plan.write(files, &mut sink, tally)?;
    Ok(sink.into_inner()?)
}
