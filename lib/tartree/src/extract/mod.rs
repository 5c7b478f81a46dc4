//! From a tar to a directory tree: create inodes, write contents, set metadata.

mod dir_metadata;
mod extractor;
mod file_writer;
mod set_metadata;
mod user_namespace;

pub use extractor::{Devices, ExtractOptions, Extractor, Zeros, extract_tar};
