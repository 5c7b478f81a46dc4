//! Checks of the source code. This crate has only tests.

#![forbid(unsafe_code)]
