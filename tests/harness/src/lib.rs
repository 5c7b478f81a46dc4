//! What the tests share.
//!
//! Nothing here uses the code under test: a comparator built on the same walk would share its blind spots.

pub mod bounded;
mod calls;
pub mod compare;
pub mod forge;
pub mod host;
pub mod manual;
pub mod tools;
pub mod watch;

pub use calls::{assert_read_ahead, calls};
pub use compare::{Options, differences};
