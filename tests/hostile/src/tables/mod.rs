//! The rows.

mod links;
mod paths;

use crate::Row;

/// All tars.
pub fn tars() -> Vec<Row> {
    [paths::rows(), links::rows()].into_iter().flatten().collect()
}
