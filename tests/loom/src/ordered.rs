//! Models of `Ordered`.

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering};

use crate::Model;
use crate::parallel::ordered::{Ordered, Task, Workers};

pub const MODELS: &[Model] = &[
    ("ordered: a helper and the submitter run each task once, in order", 3, || all(1, 2, true, 4)),
    ("ordered: two threads run each task once, in order", 2, || all(2, 1, false, 3)),
    ("ordered: two threads and the submitter run each task once, in order", 2, || all(2, 1, true, 3)),
    ("ordered: the threads end if results are not taken", 2, dropped),
];

/// Squares a number, and counts how often this is done.
struct Square(usize, Arc<AtomicUsize>);

impl Task for Square {
    type Output = usize;

    fn run(self) -> usize {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0 * self.0
    }
}

fn workers(threads: usize, tasks_per_thread: usize, submitter_helps: bool) -> Workers {
    Workers { name: "model", threads, tasks_per_thread, submitter_helps }
}

fn all(threads: usize, tasks_per_thread: usize, submitter_helps: bool, tasks: usize) {
    let runs = Arc::new(AtomicUsize::new(0));
    let mut ordered = Ordered::new();
    ordered.start(&workers(threads, tasks_per_thread, submitter_helps));
    let mut results = Vec::new();
    for n in 0..tasks {
        if ordered.is_full() {
            results.extend(ordered.next());
        }
        ordered.submit(Square(n, Arc::clone(&runs)));
    }
    while let Some(square) = ordered.next() {
        results.push(square);
    }
    assert!(results.into_iter().eq((0..tasks).map(|n| n * n)));
    assert_eq!(runs.load(Ordering::SeqCst), tasks);
}

fn dropped() {
    let runs = Arc::new(AtomicUsize::new(0));
    let mut ordered = Ordered::new();
    ordered.start(&workers(2, 1, true));
    for n in 0..2 {
        ordered.submit(Square(n, Arc::clone(&runs)));
    }
    assert_eq!(ordered.next(), Some(0));
    drop(ordered);
}
