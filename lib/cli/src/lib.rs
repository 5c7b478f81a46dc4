//! The command line of all six tools: exit statuses, messages, shared flags, input and output
//! files.
//!
//! The `main` of a tool is one call of [`run()`]. Its job is a function from parsed arguments and a
//! [`Session`] to an [`Exit`]. All messages on standard error are printed by the [`Session`], and
//! all results are written through [`Output`], so one crate ensures that
//!
//! - the exit status is 0, 1, 2 or 3 ([`Exit`]),
//! - no incomplete file exists under its final name,
//! - no binary data is written to a terminal.

pub mod args;
mod completions;
mod error;
mod exit;
mod files;
mod messages;
mod producer;
mod run;
pub mod signal;
#[cfg(feature = "tree")]
pub mod tree;
mod usage_error;

pub use args::Common;
pub use completions::offer;
pub use error::{Hint, Usage, usage};
pub use exit::Exit;
pub use files::incomplete::Modified;
pub use files::input::{Input, read_document};
pub use files::output::{Output, spool};
pub use files::remove::remove_from;
pub use files::temporary_dir::TemporaryDir;
pub use files::{destinations, private, same_file, sync, temporary_dir};
pub use messages::display::{
    JsonWriter, Style, display_path, escape, escape_json, is_unsafe, terminal_lines,
};
pub use messages::findings::Finding;
pub use messages::progress::{Counted, When, bytes_counted, count};
pub use messages::session::Session;
pub use messages::units;
pub use producer::Producer;
pub use run::{Tool, report, run};
pub use usage_error::Habit;
