//! Models of `Prefetch`.

use std::sync::{Arc, Mutex};

use crate::Model;
use crate::parallel::policy::AT_ONCE;
use crate::parallel::prefetch::Prefetch;

pub const MODELS: &[Model] = &[
    ("prefetch: hints are fetched in order or dropped", 3, in_order),
    ("prefetch: a thread that stands still does not block the submitter", 3, not_blocked),
];

/// The capacity of the queue is 4, so some hints are dropped in some interleavings.
fn in_order() {
    let fetched = Arc::new(Mutex::new(Vec::new()));
    let mut prefetch = Prefetch::new(&AT_ONCE);
    for n in 0..6 {
        let fetched = Arc::clone(&fetched);
        prefetch.submit(vec![2 * n, 2 * n + 1], || Ok(move |hint| fetched.lock().unwrap().push(hint)));
    }
    drop(prefetch);
    // The thread is not joined.
    let fetched = fetched.lock().unwrap();
    assert!(fetched.is_sorted() && fetched.len() <= 12, "{fetched:?}");
}

/// The thread waits for a lock that the submitter holds.
fn not_blocked() {
    let held = loom::sync::Arc::new(loom::sync::Mutex::new(()));
    let guard = held.lock();
    let mut prefetch = Prefetch::new(&AT_ONCE);
    for n in 0..6 {
        let held = loom::sync::Arc::clone(&held);
        prefetch.submit(vec![n], || Ok(move |_: i32| drop(held.lock())));
    }
    drop((guard, prefetch));
}
