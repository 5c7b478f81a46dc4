//! The tables.

mod archives;
mod bombs;
mod documents;
mod links;
mod paths;
mod pax;
mod pods;
mod sizes;
mod sparse;
mod streams;
mod types;

use crate::{Input, Row};

/// Returns all tars.
pub fn tars() -> Vec<Row> {
    [paths::rows(), links::rows(), types::rows(), sizes::rows(), pax::rows(), sparse::rows()]
        .into_iter()
        .flatten()
        .collect()
}

/// Returns all other input, each for one tool.
pub fn inputs() -> Vec<Input> {
    [archives::inputs(), pods::inputs(), streams::inputs(), documents::inputs(), bombs::inputs()]
        .into_iter()
        .flatten()
        .collect()
}
