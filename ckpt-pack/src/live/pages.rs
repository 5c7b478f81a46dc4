//! The pipes that take the place of CRIU's pages images, and the sizes of these images.
//!
//! CRIU opens `pages-N.img` for writing and only splices into it, so a pipe can take the place of
//! the file. `pages-N.img` is a link to /proc/PID/fd of this process: if this process dies, CRIU
//! fails, whereas a FIFO without a reader would block CRIU while the container is frozen.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use checkpoint::PAGE;
use checkpoint::host::processes;
use checkpoint::host::task_memory::{Pages, TaskMemory};
use checkpoint::precopy::Space;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::gate::proc_path;
use super::rescue::Rescue;

/// The most pages images that are streamed. CRIU writes further images into files, which are packed
/// after the dump.
const MAX_PIPES: usize = 256;
/// The size of a pipe's buffer: the largest that needs no privilege.
const PIPE_SIZE: libc::c_int = 1 << 20;
/// The prediction may be too small by a page that CRIU itself changes.
const SLACK: u64 = 64 << 10;

/// Returns what a pagemap image belongs to.
fn space_of_pagemap(name: &OsStr) -> Option<Space> {
    let id = name.to_str()?.strip_prefix("pagemap-")?.strip_suffix(".img")?;
    match id.strip_prefix("shmem-") {
        Some(inode) => inode.parse().ok().map(Space::Shared),
        None => id.parse().ok().map(Space::Process),
    }
}

/// The predicted sizes of the pages images in bytes.
#[derive(Debug, Default)]
pub struct Prediction {
    bytes: BTreeMap<Space, u64>,
    /// Added to each size.
    slack: u64,
}

impl Prediction {
    /// Reads the memory of `pid` and its descendants. If the container is not paused, its memory may
    /// grow by an eighth until CRIU dumps it. `previous` is the directory with the images of the
    /// previous dump, if CRIU dumps only the pages that were written since.
    ///
    /// # Errors
    /// Returns an error if /proc cannot be read.
    pub fn read(pid: u32, previous: Option<&Path>, is_paused: bool) -> io::Result<Prediction> {
        let mut prediction = Prediction { slack: SLACK, ..Prediction::default() };
        for process in processes::tree(pid)? {
            match prediction.add(process, previous) {
                // Processes that are not paused may exit.
                Err(_) if !is_paused && process != pid => {}
                added => added?,
            }
        }
        if !is_paused {
            prediction.slack = (prediction.total() / 8).max(16 * SLACK);
        }
        Ok(prediction)
    }

    fn add(&mut self, process: u32, previous: Option<&Path>) -> io::Result<()> {
        let mut task = TaskMemory::read(process, Pages::All)?;
        // CRIU dumps all pages of a process that has no images in the previous dump. Before a new
        // process calls exec(2), only few of its pages are marked as written.
        let pagemap = |dir: &Path| dir.join(format!("pagemap-{}.img", task.container_pid));
        if previous.is_some_and(|dir| !dir.exists() || pagemap(dir).exists()) {
            task.pages = Pages::SoftDirty;
        }
        self.bytes.insert(Space::Process(task.container_pid), task.count()? * PAGE);
        let shared = task.shared.iter().map(|shared| (Space::Shared(shared.inode), shared.allocated));
        self.bytes.extend(shared);
        Ok(())
    }

    /// Returns the sum of all sizes.
    pub fn total(&self) -> u64 {
        self.bytes.values().sum()
    }

    /// Returns the number of images.
    pub fn images(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the size of the member for `space`. If CRIU uses another name, assumes the largest
    /// image.
    pub fn size(&self, space: Option<Space>) -> u64 {
        let known = space.and_then(|space| self.bytes.get(&space));
        let bytes = known.or(self.bytes.values().max()).copied().unwrap_or(0);
        bytes.next_multiple_of(PAGE) + self.slack
    }
}

/// The pipes of the pages images.
pub struct Pipes {
    pipes: Vec<File>,
    /// Reports the files that CRIU creates in the image directory.
    inotify: Inotify,
    /// The pagemap images, in the order in which CRIU created them. The N-th belongs to
    /// `pages-N.img` (criu/page-xfer.c, `open_page_local_xfer`).
    spaces: Vec<Option<Space>>,
}

/// What happened while CRIU was dumping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// CRIU opened the next pages image.
    Image,
    /// CRIU has written all images.
    Dumped,
    /// The command ended.
    Ended,
}

impl Pipes {
    /// Creates up to `count` pipes, and their links in the directory `dir`.
    ///
    /// # Errors
    /// Returns an error if a system call fails.
    pub fn new(dir: &Path, count: usize, rescue: &Rescue) -> anyhow::Result<Pipes> {
        let object = || cli::display_path(dir);
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        inotify.add_watch(dir, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ONLYDIR).with_context(object)?;
        let mut pipes = Vec::new();
        for number in 1..=count.min(MAX_PIPES) {
            let link = dir.join(format!("pages-{number}.img"));
            let pipe = unnamed_fifo(&link)?;
            // With a smaller buffer, CRIU only waits more often.
            let _ = fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(PIPE_SIZE));
            std::os::unix::fs::symlink(proc_path(&pipe), &link).with_context(|| cli::display_path(&link))?;
            rescue.add_pipe(pipe.as_raw_fd());
            pipes.push(pipe);
        }
        Ok(Pipes { pipes, inotify, spaces: Vec::new() })
    }

    /// Returns the number of pipes.
    pub fn len(&self) -> usize {
        self.pipes.len()
    }

    /// Waits for the next event. `number` is the number of the next pages image.
    ///
    /// # Errors
    /// Returns an error if a system call fails.
    pub fn wait(&self, number: usize, dumped: BorrowedFd<'_>, ended: BorrowedFd<'_>) -> io::Result<Event> {
        let events = PollFlags::POLLIN;
        let mut fds = vec![PollFd::new(dumped, events), PollFd::new(ended, events)];
        fds.extend(self.pipe(number).map(|pipe| PollFd::new(pipe.as_fd(), events)));
        loop {
            match poll(&mut fds, PollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
                Ok(_) => break,
            }
        }
        let has = |at: usize| fds.get(at).and_then(PollFd::any).unwrap_or(false);
        // The image comes first: CRIU may have written it before it reached the end.
        Ok(if has(2) {
            Event::Image
        } else if has(0) {
            Event::Dumped
        } else {
            Event::Ended
        })
    }

    /// Returns what the pages image `number` contains, whose first byte has arrived.
    ///
    /// # Errors
    /// Returns an error if the events of the directory cannot be read.
    pub fn space(&mut self, number: usize) -> io::Result<Option<Space>> {
        loop {
            match self.inotify.read_events() {
                Ok(events) => {
                    let names = events.iter().filter_map(|event| event.name.as_deref());
                    let pagemaps = names.filter(|name| name.as_encoded_bytes().starts_with(b"pagemap-"));
                    self.spaces.extend(pagemaps.map(space_of_pagemap));
                }
                Err(nix::errno::Errno::EAGAIN) => break,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(self.spaces.get(number - 1).copied().flatten())
    }

    /// Returns the pipe of the pages image `number`, if it is streamed. Reads of the pipe block until
    /// CRIU writes, and end when CRIU closes the image.
    ///
    /// # Errors
    /// Returns an error if a system call fails.
    pub fn open(&mut self, number: usize) -> io::Result<Option<&mut File>> {
        let Some(pipe) = self.pipes.get_mut(number - 1) else { return Ok(None) };
        fcntl(&*pipe, FcntlArg::F_SETFL(OFlag::empty()))?;
        Ok(Some(pipe))
    }

    fn pipe(&self, number: usize) -> Option<&File> {
        self.pipes.get(number - 1)
    }
}

/// Returns the reading end of a FIFO, which loses its name `path` again. poll(2) reports nothing
/// until a process has opened the FIFO for writing; for a pipe without a writer, it would report the
/// end (fs/pipe.c, `fifo_open`).
fn unnamed_fifo(path: &Path) -> anyhow::Result<File> {
    let object = || cli::display_path(path);
    mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).with_context(object)?;
    let mut options = File::options();
    let opened = options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path);
    std::fs::remove_file(path).with_context(object)?;
    opened.with_context(object)
}

/// Returns whether CRIU writes more than was read.
///
/// # Errors
/// Returns an error if the pipe cannot be read.
pub fn has_more(pipe: &mut File) -> io::Result<bool> {
    loop {
        match pipe.read(&mut [0]) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            read => return Ok(read? > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pagemap_image_names_its_memory() {
        for (name, space) in [
            ("pagemap-12.img", Some(Space::Process(12))),
            ("pagemap-shmem-1030.img", Some(Space::Shared(1030))),
            ("pagemap-x.img", None),
            ("pages-1.img", None),
        ] {
            assert_eq!(space_of_pagemap(OsStr::new(name)), space, "{name}");
        }
    }

    #[test]
    fn an_unknown_image_may_be_as_large_as_any() {
        let bytes = BTreeMap::from([(Space::Process(1), 8192), (Space::Shared(7), 512)]);
        let prediction = Prediction { bytes, slack: SLACK };
        assert_eq!(prediction.size(Some(Space::Process(1))), 8192 + SLACK);
        assert_eq!(prediction.size(Some(Space::Shared(7))), 4096 + SLACK);
        assert_eq!(prediction.size(None), 8192 + SLACK);
    }

    #[test]
    fn a_pipe_without_writer_is_silent_until_it_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = unnamed_fifo(&dir.path().join("fifo")).unwrap();
        let ready = || {
            let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::ZERO).unwrap()
        };
        assert_eq!(ready(), 0);
        drop(File::options().write(true).open(proc_path(&pipe)).unwrap());
        assert_eq!(ready(), 1);
    }
}
