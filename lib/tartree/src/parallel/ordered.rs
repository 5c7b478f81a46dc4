//! Runs independent tasks on several threads, and returns the results in the order of submission.
//!
//! The first thread that reaches a task runs the task under the task's lock, and every later thread
//! finds the task done. So a thread waits only for tasks that are running, and the order does not
//! depend on which thread is faster.

use std::collections::VecDeque;
use std::sync::TryLockError;

use crate::parallel::policy::Policy;
use crate::parallel::sync::{Arc, Mutex, MutexGuard, Receiver, SyncSender, sync_channel, thread};

/// The number of tasks in flight with one helper thread.
const HELPER_TASKS: usize = 8;

/// One piece of work that does not depend on other tasks.
pub trait Task: Send + 'static {
    /// The result.
    type Output: Send + 'static;

    /// Does the work.
    fn run(self) -> Self::Output;
}

/// The threads of an [`Ordered`].
#[derive(Clone, Copy, Debug)]
pub struct Workers {
    /// The name of each thread, as `ps -L` prints it.
    pub name: &'static str,
    /// The number of threads to start.
    pub threads: usize,
    /// The number of tasks in flight for each thread. More tasks keep the threads busy while a
    /// result is awaited, but use more memory.
    pub tasks_per_thread: usize,
    /// Whether the submitting thread runs tasks while it waits for the next result. If not, the
    /// submitting thread runs a task only if it needs the result and no thread has begun the task,
    /// so about `threads` processors are busy.
    pub submitter_helps: bool,
}

/// Runs tasks and returns their results in the order of submission. Without threads, each task runs
/// when the caller requests its result.
///
/// ```
/// use tartree::parallel::{Ordered, Task, Workers};
///
/// struct Square(u64);
///
/// impl Task for Square {
///     type Output = u64;
///     fn run(self) -> u64 {
///         self.0 * self.0
///     }
/// }
///
/// let mut squares = Ordered::new();
/// squares.start(&Workers {
///     name: "squares",
///     threads: 2,
///     tasks_per_thread: 4,
///     submitter_helps: true,
/// });
/// let mut results = Vec::new();
/// for n in 0..100 {
///     if squares.is_full() {
///         results.extend(squares.next());
///     }
///     squares.submit(Square(n));
/// }
/// while let Some(square) = squares.next() {
///     results.push(square);
/// }
/// assert!(results.into_iter().eq((0..100).map(|n| n * n)));
/// ```
pub struct Ordered<T: Task> {
    in_flight: VecDeque<Arc<Mutex<State<T>>>>,
    /// The maximum number of tasks in flight.
    capacity: usize,
    /// The threads end after this sender is dropped. They are not joined, because at that time the
    /// caller either has all results or does not need them.
    queue: Option<SyncSender<Arc<Mutex<State<T>>>>>,
    submitter_helps: bool,
}

enum State<T: Task> {
    Submitted(T),
    /// The task is running, has panicked, or its result was taken.
    Empty,
    Done(T::Output),
}

impl<T: Task> State<T> {
    /// Runs the task unless a thread has run it already.
    fn run(&mut self) {
        *self = match std::mem::replace(self, State::Empty) {
            State::Submitted(task) => State::Done(task.run()),
            state => state,
        };
    }
}

impl<T: Task> Default for Ordered<T> {
    fn default() -> Ordered<T> {
        Ordered::new()
    }
}

impl<T: Task> Ordered<T> {
    /// Creates an `Ordered` without threads.
    pub fn new() -> Ordered<T> {
        Ordered { in_flight: VecDeque::new(), capacity: 1, queue: None, submitter_helps: true }
    }

    /// Starts `workers`, or as many threads as the system allows. Call this function only once.
    pub fn start(&mut self, workers: &Workers) {
        let (queue, tasks) = sync_channel::<Arc<Mutex<State<T>>>>(workers.threads * workers.tasks_per_thread);
        let tasks = Arc::new(Mutex::new(tasks));
        let started = (0..workers.threads).take_while(|_| {
            let tasks = Arc::clone(&tasks);
            let work = move || {
                while let Some(task) = receive(&tasks) {
                    lock(&task).run();
                }
            };
            thread::Builder::new().name(workers.name.into()).spawn(work).is_ok()
        });
        let started = started.count();
        if started > 0 {
            self.capacity = started * workers.tasks_per_thread;
            self.queue = Some(queue);
            self.submitter_helps = workers.submitter_helps;
        }
    }

    /// Starts one thread that runs tasks in addition to the submitting thread, if `policy` allows
    /// it.
    pub(crate) fn start_helper(&mut self, policy: &Policy) {
        if (policy.allows)() {
            let tasks_per_thread = HELPER_TASKS;
            self.start(&Workers { name: policy.name, threads: 1, tasks_per_thread, submitter_helps: true });
        }
    }

    /// Returns whether the maximum number of tasks is in flight. If so, call `next` before you
    /// submit another task.
    pub fn is_full(&self) -> bool {
        self.in_flight.len() >= self.capacity
    }

    /// Submits a task.
    pub fn submit(&mut self, task: T) {
        let task = Arc::new(Mutex::new(State::Submitted(task)));
        if let Some(queue) = &self.queue {
            // The queue is full only if the threads are so far behind that the submitting thread
            // reaches the task first.
            let _ = queue.try_send(Arc::clone(&task));
        }
        self.in_flight.push_back(task);
    }

    /// Waits for the result of the oldest task in flight and returns it. Returns `None` if no task
    /// is in flight.
    ///
    /// # Panics
    /// Panics if a task has panicked.
    #[expect(clippy::should_implement_trait, reason = "more tasks may be submitted after `None`")]
    pub fn next(&mut self) -> Option<T::Output> {
        let first = self.in_flight.pop_front()?;
        if self.submitter_helps {
            if let Err(TryLockError::WouldBlock) = first.try_lock() {
                // Instead of waiting, runs the task that the other threads would reach last.
                let mut from_end = self.in_flight.iter().rev().filter_map(|task| task.try_lock().ok());
                if let Some(mut task) = from_end.find(|task| matches!(**task, State::Submitted(_))) {
                    task.run();
                }
            }
        }
        let mut first = lock(&first);
        first.run();
        match std::mem::replace(&mut *first, State::Empty) {
            State::Done(output) => Some(output),
            State::Submitted(_) | State::Empty => unreachable!("`run` leaves the result"),
        }
    }
}

/// Waits for the next task of the queue. Returns `None` after the submitting thread has dropped the
/// sender.
fn receive<T>(queue: &Mutex<Receiver<T>>) -> Option<T> {
    queue.lock().ok()?.recv().ok()
}

/// Locks a task. The result of a task that panicked is lost, which must not go unnoticed.
fn lock<T>(task: &Mutex<T>) -> MutexGuard<'_, T> {
    task.lock().expect("a task does not panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Squares a number; a multiple of 7 takes longer.
    struct Square(u64);

    impl Task for Square {
        type Output = u64;

        fn run(self) -> u64 {
            if self.0 % 7 == 0 {
                thread::sleep(std::time::Duration::from_micros(300));
            }
            self.0 * self.0
        }
    }

    #[test]
    fn results_are_returned_in_the_order_of_submission() {
        for threads in 0..4 {
            for submitter_helps in [true, false] {
                let mut ordered = Ordered::new();
                ordered.start(&Workers { name: "squares", threads, tasks_per_thread: 4, submitter_helps });
                assert_eq!(ordered.capacity, if threads == 0 { 1 } else { 4 * threads });
                let mut results = Vec::new();
                for n in 0..500 {
                    if ordered.is_full() {
                        results.extend(ordered.next());
                    }
                    ordered.submit(Square(n));
                }
                while let Some(square) = ordered.next() {
                    results.push(square);
                }
                assert_eq!(results, (0..500).map(|n| n * n).collect::<Vec<u64>>());
                ordered.submit(Square(3));
                assert_eq!((ordered.next(), ordered.next()), (Some(9), None));
            }
        }
    }

    #[test]
    #[should_panic(expected = "does not panic")]
    fn a_panic_of_a_worker_thread_panics_the_submitter() {
        struct Panics;
        impl Task for Panics {
            type Output = ();
            fn run(self) {
                panic!("the task");
            }
        }
        let mut ordered = Ordered::new();
        ordered.start(&Workers { name: "panics", threads: 1, tasks_per_thread: 8, submitter_helps: true });
        ordered.submit(Panics);
        let first = Arc::clone(&ordered.in_flight[0]);
        while !first.is_poisoned() {
            thread::yield_now();
        }
        ordered.next();
    }
}
