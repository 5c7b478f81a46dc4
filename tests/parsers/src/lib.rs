//! All parsers of untrusted input, as functions of bytes. Each function asserts the invariants of
//! its parser; the fuzzer detects crashes, hangs and excessive memory itself.
//!
//! The fuzz targets in `fuzz/` call these functions. `tests/corpus.rs` replays the corpus, for
//! which no nightly compiler is needed.

#![forbid(unsafe_code)]

mod archives;
mod documents;
mod page_index;
mod tars;
mod xor;

/// A parser.
pub type Parser = fn(&[u8]);

/// All parsers, with the names of their fuzz targets, which are also directories in `fuzz/corpus`.
pub const PARSERS: &[(&str, Parser)] = &[
    ("tar", tars::tar),
    ("pax", tars::pax),
    ("sparse", tars::sparse),
    ("extract", tars::extract),
    ("stream", archives::stream),
    ("archive", archives::archive),
    ("oci_layout", archives::oci_layout),
    ("containerd", archives::containerd),
    ("images", archives::images),
    ("pagemap", archives::pagemap),
    ("delta", documents::delta),
    ("pod", documents::pod),
    ("xor", xor::xor),
    ("page_index", page_index::page_index),
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

/// Returns the parser of the fuzz target `name`.
///
/// # Panics
/// Panics if there is no such target.
pub fn parser(name: &str) -> Parser {
    match PARSERS.iter().find(|(known, _)| *known == name) {
        Some((_, parser)) => *parser,
        None => panic!("{name}: no such parser"),
    }
}
