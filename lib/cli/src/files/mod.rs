//! The files of a run: opens input and output, and rejects files that conflict.

mod closed_stdout;
pub mod destinations;
pub(crate) mod incomplete;
pub(crate) mod input;
pub(crate) mod output;
pub mod private;
pub(crate) mod remove;
pub mod same_file;
pub mod sync;
pub mod temporary_dir;

pub(crate) use closed_stdout::is_closed as stdout_is_closed;
