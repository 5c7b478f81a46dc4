//! Pre-copy: sends the memory of a container in rounds while it runs, so that its final dump has
//! only the pages that the receiver lacks.

mod final_dump;
mod flags;
mod round;

use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::Context;
use checkpoint::precopy::{Origin, PageIndex, PageRun, Space};
use cli::Hint;

use crate::bundle;

pub use final_dump::FinalDump;
pub use flags::{Precopy, reject_without_effect};
pub use round::run;

/// Reads the page index of the previous round. Returns `None` if it does not exist.
///
/// # Errors
/// Returns an error if the file is not a page index, was modified, or is of another container.
fn read_index(path: &Path, origin: &Origin) -> anyhow::Result<Option<PageIndex>> {
    let name = cli::display_path(path);
    let file = match bundle::open(path) {
        Err(e) if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::NotFound) => {
            return Ok(None);
        }
        file => file?,
    };
    let meta = file.metadata().with_context(|| name.clone())?;
    let index = PageIndex::read(&name, io::BufReader::with_capacity(1 << 18, file), Some(meta.len()))
        .map_err(anyhow::Error::from)
        .and_then(|index| Ok(index.check_origin(&name, origin).map(|()| index)?))
        .map_err(|e| Hint::on(e, format!("start with a first round: rm {name}")))?;
    Ok(Some(index))
}

/// Calls its argument with each run of pages.
type ListRuns<'a> = dyn Fn(&mut dyn FnMut(PageRun) -> io::Result<()>) -> io::Result<()> + 'a;

/// Collects the runs that `list` finds.
fn runs(list: &ListRuns<'_>) -> io::Result<Vec<PageRun>> {
    let mut runs = Vec::new();
    list(&mut |run| {
        runs.push(run);
        Ok(())
    })?;
    Ok(runs)
}

/// Returns the name of the pagemap of a space (criu/image-desc.c).
fn pagemap_name(space: Space) -> String {
    match space {
        Space::Process(pid) => format!("pagemap-{pid}.img"),
        Space::Shared(inode) => format!("pagemap-shmem-{inode}.img"),
    }
}
