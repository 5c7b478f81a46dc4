//! Models of `Stage`.

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering};

use crate::Model;
use crate::parallel::policy::AT_ONCE;
use crate::parallel::stage::{Process, Stage};

pub const MODELS: &[Model] = &[
    ("stage: batches are processed in order, and all errors are returned", 3, all),
    ("stage: batches may be submitted after a wait", 3, after_wait),
    ("stage: the thread ends if the stage is dropped", 3, dropped),
    ("stage: the thread ends if an error ends the wait", 3, error_ends_wait),
];

/// Checks the order of the batches, and replaces each by an error.
struct Check(usize, Arc<AtomicUsize>);

#[derive(Default, Debug, PartialEq)]
struct Batch {
    number: usize,
    errors: Vec<usize>,
}

impl Process for Check {
    type Batch = Batch;

    fn process(&mut self, batch: &mut Batch) {
        assert_eq!(batch.number, self.0, "a batch is missing or out of order");
        assert!(batch.errors.is_empty(), "a batch was not emptied");
        self.1.fetch_add(1, Ordering::SeqCst);
        batch.errors.push(batch.number);
        batch.number = 0;
        self.0 += 1;
    }
}

/// Submits the batches `numbers`, and returns the errors that come back.
fn submit(stage: &mut Stage<Check>, numbers: std::ops::Range<usize>) -> Vec<usize> {
    let mut errors = Vec::new();
    for number in numbers {
        let mut batch = Batch { number, errors: Vec::new() };
        stage.submit(&mut batch);
        assert_eq!(batch.number, 0, "the batch that comes back is not empty");
        errors.append(&mut batch.errors);
    }
    errors
}

/// Waits for all batches, and adds the errors that come back.
fn wait(stage: &mut Stage<Check>, errors: &mut Vec<usize>) {
    let reported: Result<(), ()> = stage.wait(&mut |batch| {
        errors.append(&mut batch.errors);
        Ok(())
    });
    reported.expect("no error is reported");
}

fn stage(processed: &Arc<AtomicUsize>) -> Stage<Check> {
    Stage::new(&AT_ONCE, Check(0, Arc::clone(processed)))
}

fn all() {
    let processed = Arc::new(AtomicUsize::new(0));
    let mut stage = stage(&processed);
    let mut errors = submit(&mut stage, 0..6);
    wait(&mut stage, &mut errors);
    assert_eq!(errors, [0, 1, 2, 3, 4, 5]);
    assert_eq!(stage.finish().0, 6);
}

fn after_wait() {
    let processed = Arc::new(AtomicUsize::new(0));
    let mut stage = stage(&processed);
    let mut errors = submit(&mut stage, 0..3);
    wait(&mut stage, &mut errors);
    assert_eq!(errors, [0, 1, 2]);
    errors.append(&mut submit(&mut stage, 3..5));
    wait(&mut stage, &mut errors);
    assert_eq!(errors, [0, 1, 2, 3, 4]);
    assert_eq!(stage.finish().0, 5);
}

fn dropped() {
    let processed = Arc::new(AtomicUsize::new(0));
    let mut stage = stage(&processed);
    submit(&mut stage, 0..5);
    drop(stage);
    // The thread was joined, so nothing is processed after this.
    assert_eq!(processed.load(Ordering::SeqCst), 5);
    assert_eq!(Arc::strong_count(&processed), 1, "the thread still runs");
}

fn error_ends_wait() {
    let processed = Arc::new(AtomicUsize::new(0));
    let mut stage = stage(&processed);
    submit(&mut stage, 0..4);
    let reported = stage.wait(&mut |batch| Err(batch.errors[0]));
    assert!(reported.is_err());
    drop(stage);
    assert_eq!(processed.load(Ordering::SeqCst), 4);
}
