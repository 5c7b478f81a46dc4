//! Contains all work that this library does on more than one thread.
//!
//! | type | what runs on its threads | what comes back |
//! |---|---|---|
//! | [`Ordered`] | independent tasks, on whichever thread is free | their results, in the order of submission |
//! | `Stage` | batches, one after another on one thread: the next step of a pipeline | empty batches, and the processor at the end |
//! | `Prefetch` | hints that only warm a cache | nothing; hints are dropped if the thread is behind |
//!
//! All three use the same words: `submit` passes work to a thread, `next` returns the next result,
//! and `finish` waits for the end of all work. `policy` lists the threads and decides which of them
//! are started. If a thread is not started, or cannot be (`ulimit -u`, `pids.max`), the submitting
//! thread does the work and the results are the same.

mod ordered;
pub(crate) mod policy;
pub(crate) mod prefetch;
pub(crate) mod stage;
mod sync;

pub use ordered::{Ordered, Task, Workers};
pub use policy::processors;
