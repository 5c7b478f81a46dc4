//! Names the types of `std` with which threads communicate. `tests/loom` compiles the other modules
//! of this folder with a `sync` module of its own, whose types explore all interleavings of threads.

pub(super) use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
pub(super) use std::sync::{Arc, Mutex, MutexGuard};
pub(super) use std::thread::{self, JoinHandle};
