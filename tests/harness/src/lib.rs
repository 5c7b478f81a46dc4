//! Support for the tests of all crates.
//!
//! This crate does not use the code under test: a comparator that shared code with the tools would
//! share their bugs.

pub mod bounded;
mod calls;
pub mod compare;
pub mod forge;
pub mod host;
pub mod manual;
mod random;
pub mod tools;
pub mod watch;

pub use calls::{assert_read_ahead, calls};
pub use compare::{Options, differences};
pub use random::Random;
