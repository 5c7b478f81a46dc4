//! A second thread that works on batches while the first one fills the next.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use nix::sys::resource::{Resource, getrlimit};

/// Batches there are: one that is filled, one that is worked on, and one between them.
pub(crate) const BATCHES: usize = 3;
/// Descriptors a process must be allowed for a thread that takes many.
const DESCRIPTORS: u64 = 256;

/// What the thread does.
pub(crate) trait Work: Send + 'static {
    /// What is handed over at once, and on the way back what is to be told of it.
    type Batch: Default + Send + 'static;

    /// Works on `batch` and makes it ready to be filled again.
    fn work(&mut self, batch: &mut Self::Batch);
}

/// Does the work: on the thread that asks, until there was enough of it for another to be worth starting.
pub(crate) struct Worker<T: Work> {
    name: &'static str,
    own: Option<T>,
    second: Option<Second<T>>,
    /// Batches that are left for the first thread.
    alone: usize,
}

/// Whether there is a processor for a second thread.
pub(crate) fn processors() -> bool {
    static MORE_THAN_ONE: OnceLock<bool> = OnceLock::new();
    *MORE_THAN_ONE
        .get_or_init(|| thread::available_parallelism().is_ok_and(|processors| processors.get() > 1))
}

/// As [`processors`], for a thread that holds up to a hundred descriptors more, where a process may have so many.
pub(crate) fn processors_and_descriptors() -> bool {
    processors() && getrlimit(Resource::RLIMIT_NOFILE).is_ok_and(|(soft, _)| soft >= DESCRIPTORS)
}

impl<T: Work> Worker<T> {
    /// One that does `work` alone for the first `alone` batches; `name` is its thread's.
    pub fn new(name: &'static str, work: T, alone: usize) -> Worker<T> {
        Worker { name, own: Some(work), second: None, alone }
    }

    /// Whether there is a second thread.
    pub fn is_behind(&self) -> bool {
        self.second.is_some()
    }

    /// Takes what is in `batch`, and gives an empty one for it, with what is to be told of an earlier one. When it is time for a
    /// second thread, there is one if `is_worth_it` and one can be had.
    pub fn take(&mut self, batch: &mut T::Batch, is_worth_it: fn() -> bool) {
        if let Some(second) = &mut self.second {
            return second.take(batch);
        }
        if let Some(own) = &mut self.own {
            own.work(batch);
        }
        self.alone = self.alone.saturating_sub(1);
        if self.alone > 0 {
            return;
        }
        // Asked once: it may cost a call, and each batch may hold a single file.
        self.alone = usize::MAX;
        if is_worth_it() {
            match self.own.take().map(|own| Second::start(self.name, own)) {
                Some(Ok(second)) => self.second = Some(second),
                Some(Err(own)) => self.own = Some(own),
                None => {}
            }
        }
    }

    /// Waits until all that was taken is done; `tell` gets each batch that comes back.
    ///
    /// # Errors
    /// The first that `tell` gives.
    pub fn wait<E>(&mut self, tell: &mut dyn FnMut(&mut T::Batch) -> Result<(), E>) -> Result<(), E> {
        self.second.as_mut().map_or(Ok(()), |second| second.wait(tell))
    }

    /// What did the work, when all is done; nobody does any after that.
    pub fn finish(&mut self) -> T {
        match (self.own.take(), self.second.take()) {
            (Some(own), _) => own,
            (None, Some(second)) => second.finish(),
            (None, None) => unreachable!("the work is with one of the two"),
        }
    }
}

/// The thread, and the batches on their way to it and back.
struct Second<T: Work> {
    /// `None` once there is nothing more to do.
    to: Option<SyncSender<T::Batch>>,
    back: Receiver<T::Batch>,
    /// Batches that were handed over and are not back yet.
    away: usize,
    /// Batches that are back, and empty.
    idle: Vec<T::Batch>,
    /// `None` once it has ended.
    thread: Option<JoinHandle<Option<T>>>,
}

impl<T: Work> Second<T> {
    /// Where no thread can be had, `work` comes back.
    fn start(name: &str, work: T) -> Result<Second<T>, T> {
        let (to, batches) = sync_channel::<T::Batch>(BATCHES);
        let (done, back) = sync_channel(BATCHES);
        // What a thread is started with is lost if it cannot be.
        let (give, given) = sync_channel::<T>(1);
        let started = thread::Builder::new().name(name.into()).spawn(move || {
            let mut work = given.recv().ok()?;
            for mut batch in batches {
                work.work(&mut batch);
                // The receiver is there until this thread has ended.
                let _ = done.send(batch);
            }
            Some(work)
        });
        let Ok(thread) = started else { return Err(work) };
        give.send(work).map_err(|back| back.0)?;
        Ok(Second { to: Some(to), back, away: 0, idle: Vec::new(), thread: Some(thread) })
    }

    fn take(&mut self, batch: &mut T::Batch) {
        let next = match self.idle.pop() {
            Some(idle) => idle,
            None if self.away + 1 < BATCHES => T::Batch::default(),
            None => self.returned(),
        };
        let full = std::mem::replace(batch, next);
        if self.to.as_ref().is_none_or(|to| to.send(full).is_err()) {
            self.panicked();
        }
        self.away += 1;
    }

    fn wait<E>(&mut self, tell: &mut dyn FnMut(&mut T::Batch) -> Result<(), E>) -> Result<(), E> {
        while self.away > 0 {
            let mut batch = self.returned();
            tell(&mut batch)?;
            self.idle.push(batch);
        }
        Ok(())
    }

    fn finish(mut self) -> T {
        self.to = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Some(work))) => work,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            _ => unreachable!("the thread has its work from the beginning to the end"),
        }
    }

    fn returned(&mut self) -> T::Batch {
        let Ok(batch) = self.back.recv() else { self.panicked() };
        self.away -= 1;
        batch
    }

    /// Both ends of the channels are held until the thread ends, so that one of them is gone tells that it panicked.
    fn panicked(&mut self) -> ! {
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            _ => unreachable!("the thread ends when nothing more can come"),
        }
    }
}

/// After an error too, nothing is done any more once this is gone.
impl<T: Work> Drop for Second<T> {
    fn drop(&mut self) {
        self.to = None;
        if let Some(thread) = self.thread.take() {
            // An error is on its way to the caller already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds up what it is given, and gives back how much it has by then.
    struct Sum(u64);

    impl Work for Sum {
        type Batch = u64;

        fn work(&mut self, batch: &mut u64) {
            assert!(*batch < 1000, "more than it can take");
            self.0 += *batch;
            *batch = self.0;
        }
    }

    #[test]
    fn all_is_worked_on_in_order_and_comes_back() {
        for is_worth_it in [|| true, || false] {
            let mut worker = Worker::new("sum", Sum(0), 10);
            let mut back = Vec::new();
            for n in 1..=100 {
                let mut batch = n;
                worker.take(&mut batch, is_worth_it);
                back.extend(Some(batch).filter(|&batch| batch > 0));
                assert_eq!(worker.is_behind(), is_worth_it() && n >= 10);
                if n == 50 {
                    let told: Result<(), ()> = worker.wait(&mut |batch| {
                        back.push(std::mem::take(batch));
                        Ok(())
                    });
                    assert!(told.is_ok() && back.len() == 50);
                }
            }
            let told = worker.wait(&mut |batch| {
                back.push(*batch);
                if *batch == 5050 { Err("the last") } else { Ok(()) }
            });
            assert_eq!(told.is_err(), is_worth_it());
            let sums: Vec<u64> = (1..=100).map(|n| n * (n + 1) / 2).collect();
            assert_eq!(back, sums);
            assert_eq!(worker.finish().0, 5050);
        }
    }

    #[test]
    #[should_panic(expected = "more than it can take")]
    fn a_panic_of_the_thread_is_a_panic() {
        let mut worker = Worker::new("sum", Sum(0), 0);
        worker.take(&mut 1, || true);
        worker.take(&mut 1000, || true);
        let _ = worker.wait(&mut |_| Ok::<(), ()>(()));
    }
}
