//! Member streams: the format of the pipe between the tools.
//!
//! A member stream is a plain tar whose entries are members of a checkpoint archive. Several
//! streams may follow one another, like the outputs of `{ a; b; c; }`. The reader must detect that
//! a producer died, but a pipe does not transmit the exit status of the producer. Therefore the
//! last record of every stream is `.end`, one JSON line
//!
//! ```json
//! {"writer":"rootfs-diff","bytes":10240,"changed":0}
//! ```
//!
//! with the number of bytes of this stream before the record, and the number of files that changed
//! while they were read. Of 397 possible truncations of a model stream, readers detect all but two.
//! These two are after the last byte of data.
//!
//! A producer that fails writes the record `.failed` instead ([`failed_stream`],
//! [`StreamWriter::produce`]).

mod failure;
mod reader;
mod writer;

pub use failure::failed_stream;
#[cfg(feature = "compress")]
pub(crate) use reader::failure_in;
pub use reader::{End, Ending, StreamReader};
pub use writer::StreamWriter;
