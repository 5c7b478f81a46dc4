//! Work on more than one thread.

pub(crate) mod ordered;
pub(crate) mod stage;
