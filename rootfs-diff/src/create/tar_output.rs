//! Writes the tar of a diff.

use cli::{Counted, Output};
use tartree::{Files, Notice, Plan, Sink, Tally};

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
