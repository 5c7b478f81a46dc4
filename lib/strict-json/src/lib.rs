//! Reads JSON strictly, so that no two readers can interpret a document differently.
//!
//! [`document()`] reads a document and rejects duplicate keys. The functions of [`field`] read the
//! fields of a document by type; their [`FieldError`] names the place of the field.

#![forbid(unsafe_code)]

mod document;
pub mod field;

pub use document::{DocumentError, Unique, document};
pub use field::FieldError;
