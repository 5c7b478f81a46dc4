//! Extracts a tar into a directory tree: creates inodes, writes contents and sets metadata.

mod dir_metadata;
mod extractor;
mod file_writer;
mod set_metadata;
mod user_namespace;

pub use extractor::{Devices, ExtractOptions, Extractor, Zeros, extract_tar};
