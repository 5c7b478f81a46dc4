//! Writes tars to an [`Output`] with progress.

use std::os::fd::AsFd;

use tartree::{Passage, Sink};

use crate::files::output::Output;
use crate::messages::progress::{Counted, count};

/// Returns a sink that writes a tar to `output` and counts its bytes for the progress of the run.
/// File content is moved within the kernel if the output allows it.
pub fn sink(output: Output) -> Sink<Counted<Output>> {
    let passage = Passage::to(output.as_fd(), count);
    Sink::direct(Counted::new(output), passage)
}
