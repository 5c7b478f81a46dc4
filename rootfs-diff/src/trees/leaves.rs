//! Walks everything in a tree that is not a directory.

use std::ffi::CString;

use tartree::{Result, Status, TarPath};

use super::tree::Tree;

/// The files below a directory that are not directories, in byte order of their names.
pub(crate) struct Leaves {
    /// A directory that has not been listed yet.
    next: Option<TarPath>,
    /// The directories from the start to the current directory, each with its remaining names in
    /// reverse order.
    rest: Vec<(TarPath, Vec<CString>)>,
}

impl Leaves {
    pub fn below(dir: TarPath) -> Leaves {
        Leaves { next: Some(dir), rest: Vec::new() }
    }

    /// Returns the path of the next file, and its status in `tree`.
    ///
    /// # Errors
    /// Returns an error if a directory or the status of a file cannot be read.
    pub fn next(&mut self, tree: &mut Tree) -> Result<Option<(TarPath, Status)>> {
        loop {
            if let Some(dir) = self.next.take() {
                let names = tree.names(&dir)?;
                self.rest.push((dir, names));
            }
            let Some((dir, names)) = self.rest.last_mut() else { return Ok(None) };
            let Some(name) = names.pop() else {
                self.rest.pop();
                continue;
            };
            let path = dir.child(name.to_bytes());
            match tree.status(&path)? {
                Some(status) if status.is_dir() => self.next = Some(path),
                Some(status) => return Ok(Some((path, status))),
                None => {}
            }
        }
    }
}
