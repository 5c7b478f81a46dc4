//! A checkpoint as an OCI image: an image layout whose one layer is the archive (image-spec 1.1,
//! image-layout.md).
//!
//! An engine recognizes such an image by the annotations on its manifest; each [`Family`] of
//! engines has its own annotations.

mod annotations;
mod blob;
mod choose;
mod containerd;
mod digest;
mod error;
mod hashing;
mod image;
mod layout;
mod layout_writer;
mod merge;

pub use annotations::{ANNOTATIONS, Family, annotations, facts, has_family};
pub use blob::Blob;
pub use containerd::{CheckpointImage, Parts};
pub use digest::Digest;
pub use hashing::Hashing;
pub use image::{Content, Image};
pub use layout::{Layout, is_layout};
pub use layout_writer::{Description, LayoutWriter};
