//! What all six tools share at the edge: exit statuses, messages, input and output files.
//!
//! A tool is `main` = one call of [`run`]; its job is a function from parsed arguments and a
//! [`Session`] to an [`Exit`]. Everything a user sees on standard error goes through
//! [`message`], every result file through [`Output`], so that the contract (status 0/1/2/3,
//! nothing half-written under the final name, no binary on a terminal) is kept in one place.

pub mod args;
mod closed;
mod complete;
pub mod destinations;
mod exit;
mod findings;
mod input;
pub mod message;
mod output;
pub mod private;
mod producer;
mod progress;
mod remove;
pub mod signal;
pub mod sync;

pub use args::Common;
pub use exit::{Exit, Hint, Usage, run, run_completed, run_producer, tell, usage};
pub use findings::Finding;
pub use input::{Input, read_document};
pub use message::{Session, name, shown};
pub use output::{Output, spool};
pub use producer::Producer;
pub use progress::{Counted, When, count};
pub use remove::remove_from;
