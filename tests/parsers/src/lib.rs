//! Every parser of something that comes from elsewhere, as a function of bytes: what it must not do (crash, hang, ask for
//! memory) shows by itself, what it must keep is asserted here.
//!
//! `fuzz/` drives these functions with what it invents; `tests/corpus.rs` replays what was found worth keeping, with any
//! compiler and in a moment.

#![forbid(unsafe_code)]

mod archives;
mod documents;
mod tars;

/// A parser.
pub type Parser = fn(&[u8]);

/// All of them by the name of their fuzz target and directory in `fuzz/corpus`.
pub const PARSERS: &[(&str, Parser)] = &[
    ("tar", tars::tar),
    ("pax", tars::pax),
    ("sparse", tars::sparse),
    ("extract", tars::extract),
    ("stream", archives::stream),
    ("archive", archives::archive),
    ("oci_layout", archives::oci_layout),
    ("images", archives::images),
    ("deleted_files", documents::deleted_files),
    ("config_dump", documents::config_dump),
    ("spec_dump", documents::spec_dump),
    ("network_status", documents::network_status),
    ("image_config", documents::image_config),
    ("accounts", documents::accounts),
    ("cdi", documents::cdi),
    ("hooks", documents::hooks),
    ("mountinfo", documents::mountinfo),
];

/// The parser of the fuzz target `name`.
///
/// # Panics
/// When there is none.
pub fn parser(name: &str) -> Parser {
    match PARSERS.iter().find(|(known, _)| *known == name) {
        Some((_, parser)) => *parser,
        None => panic!("{name}: no such parser"),
    }
}
