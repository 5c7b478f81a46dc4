//! The types of loom that replace those of `std`, and a bounded channel, which loom does not have.

use std::collections::VecDeque;
use std::sync::mpsc::{RecvError, SendError, TrySendError};

use loom::sync::Condvar;
pub use loom::sync::{Arc, Mutex, MutexGuard};
pub use loom::thread::{self, JoinHandle};

/// Stands in for `std::sync::mpsc::sync_channel`.
pub fn sync_channel<T>(capacity: usize) -> (SyncSender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel without a buffer is not modelled");
    let state = State { queue: VecDeque::new(), capacity, has_sender: true, has_receiver: true };
    let channel = Arc::new(Channel { state: Mutex::new(state), changed: Condvar::new() });
    (SyncSender(Arc::clone(&channel)), Receiver(channel))
}

struct Channel<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    queue: VecDeque<T>,
    capacity: usize,
    has_sender: bool,
    has_receiver: bool,
}

impl<T> Channel<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("loom has no poisoned mutexes")
    }

    /// Waits until the channel changes.
    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed.wait(state).expect("loom has no poisoned mutexes")
    }
}

/// The only sender of a channel: the modelled code does not clone senders.
pub struct SyncSender<T>(Arc<Channel<T>>);

impl<T> SyncSender<T> {
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        let mut state = self.0.lock();
        while state.has_receiver && state.queue.len() == state.capacity {
            state = self.0.wait(state);
        }
        if !state.has_receiver {
            return Err(SendError(item));
        }
        state.queue.push_back(item);
        self.0.changed.notify_all();
        Ok(())
    }

    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        let mut state = self.0.lock();
        if !state.has_receiver {
            return Err(TrySendError::Disconnected(item));
        }
        if state.queue.len() == state.capacity {
            return Err(TrySendError::Full(item));
        }
        state.queue.push_back(item);
        self.0.changed.notify_all();
        Ok(())
    }
}

impl<T> Drop for SyncSender<T> {
    fn drop(&mut self) {
        self.0.lock().has_sender = false;
        self.0.changed.notify_all();
    }
}

pub struct Receiver<T>(Arc<Channel<T>>);

impl<T> Receiver<T> {
    pub fn recv(&self) -> Result<T, RecvError> {
        let mut state = self.0.lock();
        loop {
            if let Some(item) = state.queue.pop_front() {
                self.0.changed.notify_all();
                return Ok(item);
            }
            if !state.has_sender {
                return Err(RecvError);
            }
            state = self.0.wait(state);
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let unreceived = {
            let mut state = self.0.lock();
            state.has_receiver = false;
            std::mem::take(&mut state.queue)
        };
        self.0.changed.notify_all();
        drop(unreceived);
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter(self)
    }
}

pub struct IntoIter<T>(Receiver<T>);

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}
