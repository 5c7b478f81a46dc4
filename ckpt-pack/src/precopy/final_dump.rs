//! The final dump with a page index: leaves out the pages that the receiver has, while CRIU writes
//! them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::Context;
use checkpoint::delta::{Base, Delta, ImagesId};
use checkpoint::host::processes;
use checkpoint::host::task_memory::{Pages, TaskMemory};
use checkpoint::precopy::{
    Decisions, Fate, Image, ImageSource, Memory, Origin, Page, PageFilter, PageIndex, PageRun, Predicted,
    Space, mark_held,
};
use cli::{Hint, Session};
use nix::unistd::Pid;

use super::{pagemap_name, read_index, runs};

/// Added to a size that was computed beforehand: CRIU changes a page of each process.
const SLACK: u64 = 64 << 10;

/// What the receiver has, and which pages were left out so far.
pub struct FinalDump {
    index: PageIndex,
    scanned: BTreeMap<Space, (Memory, Vec<PageRun>)>,
    decisions: BTreeMap<Space, Decisions>,
}

impl FinalDump {
    /// Reads the page index of the container whose first process is `pid`. Call this function
    /// before the container is paused.
    ///
    /// # Errors
    /// Returns an error if there is no index, or if it is not of this container.
    pub fn open(path: &Path, pid: u32) -> anyhow::Result<FinalDump> {
        let Some(index) = read_index(path, &Origin::of(pid)?)? else {
            let e = anyhow::anyhow!("{}: no such file", cli::display_path(path));
            let round = format!("ckpt-pack --precopy --pid {pid} --page-index {}", cli::display_path(path));
            return Err(Hint::on(e, format!("send a first round: {round}")));
        };
        Ok(FinalDump { index, scanned: BTreeMap::new(), decisions: BTreeMap::new() })
    }

    /// Lists the pages of the paused container.
    ///
    /// # Errors
    /// Returns an error if /proc cannot be read.
    pub fn scan(&mut self, pid: u32) -> anyhow::Result<()> {
        for process in processes::tree(pid)? {
            let task = TaskMemory::read(process, Pages::All)?;
            let memory = Memory::Process(Pid::from_raw(i32::try_from(process)?));
            let private = (memory, runs(&|found| task.runs(found))?);
            self.scanned.insert(Space::Process(task.container_pid), private);
            for shared in &task.shared {
                if let Entry::Vacant(entry) = self.scanned.entry(Space::Shared(shared.inode)) {
                    let file = File::open(&shared.path).with_context(|| cli::display_path(&shared.path))?;
                    entry.insert((Memory::File(file), runs(&|found| shared.runs(found))?));
                }
            }
        }
        Ok(())
    }

    /// Returns the document that binds the archive to the last round.
    pub fn delta(&self) -> Delta {
        let id = ImagesId::random(self.index.header().last);
        Delta { base: Some(Base { id, container: None, checkpointed: None }), ..Delta::default() }
    }

    /// Reads the pages of `space` from `image` while CRIU writes them, and calls `write` with the
    /// size of the pages to send and a reader of these pages. Returns the result of `write`.
    ///
    /// If the space was not scanned, returns `None` and reads nothing: all pages are sent then.
    ///
    /// # Errors
    /// Returns an error if the pages cannot be read, or the error of `write`.
    pub fn image<T>(
        &mut self,
        space: Space,
        image: impl Read,
        write: impl FnOnce(u64, &mut dyn Read) -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        let Some((memory, runs)) = self.scanned.get(&space) else { return Ok(None) };
        let mut decisions = Decisions::default();
        let predicted = Predicted::new(runs);
        let image_pages =
            Image { key: &self.index.header().key, held: self.index.space(space), predicted, memory };
        let mut filter = PageFilter::new(image_pages, ImageSource(image), |page: Page| {
            decisions.add(page);
            Ok(())
        });
        let size = filter.size()?;
        let size = if filter.is_complete() { size } else { size.saturating_add(SLACK) };
        let written = write(size, &mut filter)?;
        filter.finish()?;
        self.decisions.insert(space, decisions);
        Ok(Some(written))
    }

    /// Changes the pagemaps in the image directory, after CRIU has written all images: pages that
    /// the receiver has are marked as being in the parent.
    ///
    /// # Errors
    /// Returns an error if a page was left out that the receiver does not have. The dump must then
    /// be rejected.
    pub fn mark(&self, dir: &Path, session: &Session) -> anyhow::Result<()> {
        for (space, decisions) in &self.decisions {
            let Some((_, runs)) = self.scanned.get(space) else { continue };
            let name = pagemap_name(*space);
            let path = dir.join(&name);
            let object = || cli::display_path(&path);
            let pagemap = BufReader::new(File::open(&path).with_context(object)?);
            let (pages, predicted) = (self.index.space(*space), Predicted::new(runs));
            let marked = mark_held(&name, pagemap, decisions, pages, &predicted, Vec::new())?;
            fs::write(&path, marked).with_context(object)?;
            let [sent, held] = [Fate::Sent, Fate::Held].map(|fate| decisions.count(fate));
            session.note(format_args!("{name}: {sent} pages sent, {held} pages unchanged"));
        }
        Ok(())
    }
}
