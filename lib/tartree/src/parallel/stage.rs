//! Runs a step of a pipeline: a worker thread processes batches while the submitting thread fills
//! the next batch.

use crate::parallel::policy::Policy;
use crate::parallel::sync::{JoinHandle, Receiver, SyncSender, sync_channel, thread};

/// The number of batches: one batch is being filled, one is being processed, and one waits.
const BATCHES: usize = 3;

/// The work that a [`Stage`] does with each batch.
pub(crate) trait Process: Send + 'static {
    /// The unit of submission. A processed batch returns the errors and notices to report.
    type Batch: Default + Send + 'static;

    /// Processes `batch` and empties it, so that it can be filled again.
    fn process(&mut self, batch: &mut Self::Batch);
}

/// Processes batches in the order of submission. The submitting thread processes the first `alone`
/// batches of the policy. After that, a worker thread processes them if the policy allows a thread.
pub(crate) struct Stage<P: Process> {
    policy: &'static Policy,
    /// `None` once the worker thread owns the processor.
    processor: Option<P>,
    worker: Option<Worker<P>>,
    /// The number of batches that the submitting thread still processes itself.
    alone: usize,
}

impl<P: Process> Stage<P> {
    /// Returns a stage without a worker thread.
    pub fn new(policy: &'static Policy, processor: P) -> Stage<P> {
        Stage { policy, processor: Some(processor), worker: None, alone: policy.alone }
    }

    /// Returns whether a worker thread processes the batches.
    pub fn has_thread(&self) -> bool {
        self.worker.is_some()
    }

    /// Submits the content of `batch` and replaces `batch` by an empty batch. The empty batch holds
    /// the errors and notices of an earlier batch.
    pub fn submit(&mut self, batch: &mut P::Batch) {
        if let Some(worker) = &mut self.worker {
            return worker.submit(batch);
        }
        if let Some(processor) = &mut self.processor {
            processor.process(batch);
        }
        self.alone = self.alone.saturating_sub(1);
        if self.alone == 0 {
            // The policy is consulted only once: this may cost a system call, and each batch may
            // hold only a single file.
            self.alone = usize::MAX;
            if (self.policy.allows)() {
                self.start();
            }
        }
    }

    fn start(&mut self) {
        match self.processor.take().map(|processor| Worker::start(self.policy.name, processor)) {
            Some(Ok(worker)) => self.worker = Some(worker),
            Some(Err(processor)) => self.processor = Some(processor),
            None => {}
        }
    }

    /// Waits until all batches are processed, and calls `report` with each processed batch.
    ///
    /// # Errors
    /// Returns the first error of `report`.
    pub fn wait<E>(&mut self, report: &mut dyn FnMut(&mut P::Batch) -> Result<(), E>) -> Result<(), E> {
        self.worker.as_mut().map_or(Ok(()), |worker| worker.wait(report))
    }

    /// Waits until all batches are processed, ends the thread and returns the processor. No batch
    /// may be submitted afterwards.
    pub fn finish(&mut self) -> P {
        match (self.processor.take(), self.worker.take()) {
            (Some(processor), _) => processor,
            (None, Some(worker)) => worker.finish(),
            (None, None) => unreachable!("either the stage or its thread has the processor"),
        }
    }
}

/// The worker thread, with the channels for the batches in both directions.
struct Worker<P: Process> {
    /// `None` after the last batch.
    to_thread: Option<SyncSender<P::Batch>>,
    from_thread: Receiver<P::Batch>,
    /// The number of batches that were submitted and have not come back.
    away: usize,
    /// Recycled batches, which are empty and ready for reuse.
    recycled: Vec<P::Batch>,
    /// `None` after the thread was joined.
    thread: Option<JoinHandle<Option<P>>>,
}

impl<P: Process> Worker<P> {
    /// Starts the thread. Returns `processor` as the error if the system allows no thread.
    fn start(name: &str, processor: P) -> Result<Worker<P>, P> {
        let (to_thread, batches) = sync_channel::<P::Batch>(BATCHES);
        let (done, from_thread) = sync_channel(BATCHES);
        // The processor is sent after the start: a closure that cannot be spawned is dropped with
        // all that it owns.
        let (give, given) = sync_channel::<P>(1);
        let spawned = thread::Builder::new().name(name.into()).spawn(move || {
            let mut processor = given.recv().ok()?;
            for mut batch in batches {
                processor.process(&mut batch);
                // Never fails: the receiver outlives the thread.
                let _ = done.send(batch);
            }
            Some(processor)
        });
        let Ok(thread) = spawned else { return Err(processor) };
        give.send(processor).map_err(|unsent| unsent.0)?;
        let (to_thread, thread) = (Some(to_thread), Some(thread));
        Ok(Worker { to_thread, from_thread, away: 0, recycled: Vec::new(), thread })
    }

    fn submit(&mut self, batch: &mut P::Batch) {
        let empty = match self.recycled.pop() {
            Some(recycled) => recycled,
            None if self.away + 1 < BATCHES => P::Batch::default(),
            None => self.receive(),
        };
        let full = std::mem::replace(batch, empty);
        if self.to_thread.as_ref().is_none_or(|to_thread| to_thread.send(full).is_err()) {
            self.propagate_panic();
        }
        self.away += 1;
    }

    fn wait<E>(&mut self, report: &mut dyn FnMut(&mut P::Batch) -> Result<(), E>) -> Result<(), E> {
        while self.away > 0 {
            let mut batch = self.receive();
            report(&mut batch)?;
            self.recycled.push(batch);
        }
        Ok(())
    }

    fn finish(mut self) -> P {
        self.to_thread = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Some(processor))) => processor,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            _ => unreachable!("the thread returns the processor that it was started with"),
        }
    }

    fn receive(&mut self) -> P::Batch {
        let Ok(batch) = self.from_thread.recv() else { self.propagate_panic() };
        self.away -= 1;
        batch
    }

    /// Panics with the thread's panic. The thread keeps its ends of both channels open until it
    /// ends, so a closed channel means that it has panicked.
    fn propagate_panic(&mut self) -> ! {
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            _ => unreachable!("the thread ends only after the last batch"),
        }
    }
}

/// Joins the thread, so that it writes nothing more after the `Worker` is dropped, even if an error
/// is the reason.
impl<P: Process> Drop for Worker<P> {
    fn drop(&mut self) {
        self.to_thread = None;
        if let Some(thread) = self.thread.take() {
            // If the thread panicked, the caller already receives an error or a panic.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds up the batches, and replaces each by the sum so far.
    struct Sum(u64);

    impl Process for Sum {
        type Batch = u64;

        fn process(&mut self, batch: &mut u64) {
            assert!(*batch < 1000, "more than it can take");
            self.0 += *batch;
            *batch = self.0;
        }
    }

    static WITH_THREAD: Policy = Policy { name: "sum", alone: 10, allows: || true };
    static WITHOUT_THREAD: Policy = Policy { name: "sum", alone: 10, allows: || false };
    static AT_ONCE: Policy = Policy { name: "sum", alone: 0, allows: || true };

    #[test]
    fn batches_are_processed_in_order_and_returned() {
        for (policy, has_thread) in [(&WITH_THREAD, true), (&WITHOUT_THREAD, false)] {
            let mut stage = Stage::new(policy, Sum(0));
            let mut back = Vec::new();
            for n in 1..=100 {
                let mut batch = n;
                stage.submit(&mut batch);
                back.extend(Some(batch).filter(|&batch| batch > 0));
                assert_eq!(stage.has_thread(), has_thread && n >= 10);
                if n == 50 {
                    let reported: Result<(), ()> = stage.wait(&mut |batch| {
                        back.push(std::mem::take(batch));
                        Ok(())
                    });
                    assert!(reported.is_ok() && back.len() == 50);
                }
            }
            let reported = stage.wait(&mut |batch| {
                back.push(*batch);
                if *batch == 5050 { Err("the last") } else { Ok(()) }
            });
            assert_eq!(reported.is_err(), has_thread);
            let sums: Vec<u64> = (1..=100).map(|n| n * (n + 1) / 2).collect();
            assert_eq!(back, sums);
            assert_eq!(stage.finish().0, 5050);
        }
    }

    #[test]
    #[should_panic(expected = "more than it can take")]
    fn a_panic_of_the_worker_thread_panics_the_submitter() {
        let mut stage = Stage::new(&AT_ONCE, Sum(0));
        stage.submit(&mut 1);
        stage.submit(&mut 1000);
        let _ = stage.wait(&mut |_| Ok::<(), ()>(()));
    }
}
