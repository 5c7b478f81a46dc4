//! What the tests share.
//!
//! Nothing here uses the code under test: a comparator built on the same walk would share its blind spots.

pub mod compare;
pub mod host;
pub mod manual;

pub use compare::{Options, differences};
