//! Names the directories that a run leaves incomplete, since neither an error nor a signal reverts
//! the files that were written.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::messages::display::{display_path, escape};
use crate::messages::session::{Session, print_line};
use crate::signal;

/// The directories that a run has changed.
#[derive(Clone, Debug)]
pub struct Modified {
    dirs: Arc<Mutex<Vec<PathBuf>>>,
    state: &'static str,
}

impl Modified {
    /// Creates an empty list. If a signal ends the process, each listed directory is reported with
    /// `state`, such as "contains part of the volume, ...". Call this function before other threads
    /// are started.
    pub fn new(session: &Session, state: &'static str) -> Modified {
        let modified = Modified { dirs: Arc::default(), state };
        let (at_signal, tool) = (modified.clone(), session.tool().to_owned());
        signal::on_termination(move || {
            // Keeps the lock, so that a thread that is still running cannot start with another
            // directory.
            let Ok(dirs) = at_signal.dirs.lock() else { return };
            for message in at_signal.messages(&dirs) {
                print_line(&format!("{tool}: error: {}", escape(message)));
            }
            std::mem::forget(dirs);
        });
        modified
    }

    /// Adds `dir`. Call this function before the directory is changed.
    pub fn add(&self, dir: &Path) {
        if let Ok(mut dirs) = self.dirs.lock() {
            if dirs.last().is_none_or(|last| last != dir) {
                dirs.push(dir.to_owned());
            }
        }
    }

    /// Returns the directories.
    pub fn dirs(&self) -> Vec<PathBuf> {
        self.dirs.lock().map(|dirs| dirs.clone()).unwrap_or_default()
    }

    /// Reports each directory. Call this function after an error.
    pub fn report(&self, session: &Session) {
        for message in self.messages(&self.dirs()) {
            session.error(message);
        }
    }

    fn messages(&self, dirs: &[PathBuf]) -> Vec<String> {
        dirs.iter().map(|dir| format!("{}: {}", display_path(dir), self.state)).collect()
    }
}
