//! Extracts a tar into a directory tree: creates inodes, writes contents and sets metadata.

mod dir_metadata;
mod extractor;
mod file_writer;
mod merged_view;
mod overlay_layer;
mod set_metadata;
mod sparse_content;
mod user_namespace;

pub use extractor::{Devices, ExtractOptions, Extractor, Zeros, extract_tar};
pub use merged_view::LayerXattrs;
