//! The command line of `spec-gen lookup-user`.

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand};
use cli::args::{Common, OutputFile};

use crate::notation::user::{group, user};

/// Write an OCI runtime config.json, or look up a user in a root file system
#[derive(Debug, Parser)]
#[command(name = "spec-gen", version, mut_arg("verbose", |arg| arg.short(None)))]
pub struct LookUpArgs {
    #[command(subcommand)]
    pub verb: Verb,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Look up a user in a root file system, and print the result as JSON
    ///
    /// Prints the IDs, groups and home directory that --user would give the process. A user that
    /// does not exist is an error.
    #[command(after_help = "Examples:\n  \
        spec-gen lookup-user alice --rootfs rootfs\n  \
        spec-gen lookup-user 1000:wheel --rootfs rootfs | jq .gid")]
    LookupUser(LookUpUser),
}

#[derive(Debug, Group)]
pub struct LookUpUser {
    /// User and group, as names in the root file system or as numbers
    #[arg(value_name = "USER[:GROUP]", value_parser = user, allow_hyphen_values = true)]
    pub user: String,

    /// Look up the user in the root file system DIR
    #[arg(long, value_name = "DIR")]
    pub rootfs: PathBuf,

    /// Add a supplementary group
    #[arg(long, value_name = "GROUP", value_parser = group)]
    pub group_add: Vec<String>,

    #[command(flatten)]
    pub output: OutputFile,
}
