//! Tasks that two threads do in any order and whose results are taken in the order in which they were given.
//!
//! Whichever thread comes to a task first does it under its lock, and the other one finds it done: neither waits for a task that
//! nobody works on, and it does not matter which of the two is faster.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::thread;

/// Tasks that may be on their way, once there is a second thread.
const AHEAD: usize = 8;

/// Something to do.
pub(crate) trait Task: Default + Send + 'static {
    /// Whether there is nothing to do, or nothing any more.
    fn is_done(&self) -> bool;

    /// Does it, if it is not done.
    fn work(&mut self);
}

/// The tasks on their way.
pub(crate) struct Ahead<T: Task> {
    tasks: VecDeque<Arc<Mutex<T>>>,
    /// The thread ends when this is gone. Nobody waits for that: all that was given is taken by then, or nobody wants it.
    second: Option<SyncSender<Arc<Mutex<T>>>>,
}

impl<T: Task> Default for Ahead<T> {
    fn default() -> Ahead<T> {
        Ahead { tasks: VecDeque::new(), second: None }
    }
}

impl<T: Task> Ahead<T> {
    /// Starts a second thread by this name, if one can be had.
    pub fn start(&mut self, name: &str) {
        self.second = start(name).ok();
    }

    /// Whether so many tasks are on their way that the next result should be taken before another is given.
    pub fn is_full(&self) -> bool {
        self.tasks.len() >= if self.second.is_some() { AHEAD } else { 1 }
    }

    /// Gives a task.
    pub fn put(&mut self, task: T) {
        let task = Arc::new(Mutex::new(task));
        if let Some(second) = &self.second {
            // If it is so far behind, it need not be told.
            let _ = second.try_send(Arc::clone(&task));
        }
        self.tasks.push_back(task);
    }

    /// The first task that was not taken yet, done; `None` when all are.
    pub fn take(&mut self) -> Option<T> {
        let first = self.tasks.pop_front()?;
        if let Err(TryLockError::WouldBlock) = first.try_lock() {
            // Rather than wait, one does what the other would come to last.
            let mut last = self.tasks.iter().rev().filter_map(|task| task.try_lock().ok());
            if let Some(mut task) = last.find(|task| !task.is_done()) {
                task.work();
            }
        }
        let mut first = lock(&first);
        first.work();
        Some(std::mem::take(&mut *first))
    }
}

fn start<T: Task>(name: &str) -> io::Result<SyncSender<Arc<Mutex<T>>>> {
    let (to, tasks) = sync_channel::<Arc<Mutex<T>>>(AHEAD);
    thread::Builder::new().name(name.into()).spawn(move || {
        for task in tasks {
            lock(&task).work();
        }
    })?;
    Ok(to)
}

/// A task whose work panicked is lost, which must not go unnoticed.
fn lock<T>(task: &Mutex<T>) -> MutexGuard<'_, T> {
    task.lock().expect("work on a task does not panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Squares a number; a multiple of 7 takes its time.
    #[derive(Default)]
    enum Square {
        #[default]
        Nothing,
        Of(u64),
        Is(u64),
    }

    impl Task for Square {
        fn is_done(&self) -> bool {
            !matches!(self, Square::Of(_))
        }

        fn work(&mut self) {
            if let Square::Of(n) = *self {
                if n % 7 == 0 {
                    thread::sleep(std::time::Duration::from_micros(300));
                }
                *self = Square::Is(n * n);
            }
        }
    }

    #[test]
    fn results_come_in_the_order_of_the_tasks_whoever_does_them() {
        for threads in [1, 2] {
            let mut ahead = Ahead::default();
            if threads == 2 {
                ahead.start("squares");
            }
            let mut results = Vec::new();
            let mut take = |ahead: &mut Ahead<Square>| match ahead.take() {
                Some(Square::Is(n)) => results.push(n),
                Some(_) => panic!("a task that is not done"),
                None => assert_eq!(results.len(), 500),
            };
            for n in 0..500 {
                if ahead.is_full() {
                    take(&mut ahead);
                }
                ahead.put(Square::Of(n));
            }
            while !ahead.tasks.is_empty() {
                take(&mut ahead);
            }
            take(&mut ahead);
            assert_eq!(results, (0..500).map(|n| n * n).collect::<Vec<u64>>());
        }
    }

    #[test]
    #[should_panic(expected = "does not panic")]
    fn a_panic_of_the_thread_is_a_panic() {
        #[derive(Default)]
        struct Panics(bool);
        impl Task for Panics {
            fn is_done(&self) -> bool {
                self.0
            }
            fn work(&mut self) {
                assert!(self.0, "the task");
            }
        }
        let mut ahead = Ahead::default();
        ahead.start("panics");
        ahead.put(Panics(false));
        let first = Arc::clone(&ahead.tasks[0]);
        while !first.is_poisoned() {
            thread::yield_now();
        }
        ahead.take();
    }
}
