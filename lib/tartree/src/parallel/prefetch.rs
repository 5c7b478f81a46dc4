//! Submits hints to a worker thread that warms a cache. Hints have no results, and a lost hint
//! costs only time.

use std::io;

use crate::parallel::policy::Policy;
use crate::parallel::sync::{SyncSender, sync_channel, thread};

/// The maximum number of waiting submissions. If the queue is full, the thread is behind the
/// caller, and further hints would come too late.
const CAPACITY: usize = 4;

/// Runs hints on one worker thread, in the order of submission.
pub(crate) struct Prefetch<T> {
    policy: &'static Policy,
    worker: Worker<T>,
}

enum Worker<T> {
    NotStarted,
    /// The thread ends after this sender is dropped. It is not joined, because a read that is in
    /// progress may be slow.
    Started(SyncSender<Vec<T>>),
    /// The thread cannot be started.
    Unavailable,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Returns a `Prefetch` whose thread is not started yet.
    pub fn new(policy: &'static Policy) -> Prefetch<T> {
        Prefetch { policy, worker: Worker::NotStarted }
    }

    /// Submits `hints` to the thread, or drops the hints if the queue is full. The first call
    /// starts the thread. For each hint, the thread calls the closure that `worker` returns.
    pub fn submit<F>(&mut self, hints: Vec<T>, worker: impl FnOnce() -> io::Result<F>)
    where
        F: FnMut(T) + Send + 'static,
    {
        if let Worker::NotStarted = self.worker {
            let allowed = (self.policy.allows)();
            let started = allowed.then(|| worker().and_then(|fetch| start(self.policy.name, fetch)));
            self.worker = match started {
                Some(Ok(queue)) => Worker::Started(queue),
                _ => Worker::Unavailable,
            };
        }
        if let Worker::Started(queue) = &self.worker {
            let _ = queue.try_send(hints);
        }
    }
}

fn start<T: Send + 'static>(
    name: &str,
    fetch: impl FnMut(T) + Send + 'static,
) -> io::Result<SyncSender<Vec<T>>> {
    let (queue, hints) = sync_channel::<Vec<T>>(CAPACITY);
    thread::Builder::new().name(name.into()).spawn(move || hints.into_iter().flatten().for_each(fetch))?;
    Ok(queue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::policy::PREFETCH;
    use std::sync::mpsc::channel;

    #[test]
    fn requests_are_dropped_if_the_worker_thread_is_behind() {
        let mut prefetch = Prefetch::new(&PREFETCH);
        let (begin, may_begin) = channel::<()>();
        let (fetched, all) = channel();
        let mut worker = Some(move |n: usize| {
            may_begin.recv().unwrap();
            fetched.send(n).unwrap();
        });
        for n in 0..100 {
            prefetch.submit(vec![n], || Ok(worker.take().unwrap()));
        }
        // Lets the worker thread fetch the request that it may have taken, and the requests in the
        // queue.
        (0..100).for_each(|_| begin.send(()).unwrap_or_default());
        drop(prefetch);
        let all: Vec<usize> = all.iter().collect();
        assert!(all.len() <= CAPACITY + 1 && all.starts_with(&[0, 1, 2, 3]), "{all:?}");
    }

    #[test]
    fn a_failed_worker_creation_is_not_retried() {
        let mut prefetch = Prefetch::new(&PREFETCH);
        let mut asked = 0;
        for _ in 0..3 {
            prefetch.submit(vec![1], || {
                asked += 1;
                Err::<fn(i32), _>(io::Error::other("none"))
            });
        }
        assert_eq!(asked, 1);
    }
}
