//! Everything that a tool prints on standard error.

pub(crate) mod display;
pub(crate) mod findings;
pub(crate) mod progress;
pub(crate) mod session;
pub mod units;
