//! The subcommands, each with a function `run`.

pub mod apply;
pub mod check;
pub mod hold;
pub mod restore;
pub mod save;
pub mod show;
