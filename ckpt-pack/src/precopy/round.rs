//! `--precopy`: one round of a migration. It packs the memory of a running container that the
//! receiver does not have, as a pre-checkpoint, and records in the page index what the receiver
//! has then.
//!
//! Processes that exit and mappings that vanish during the round are left out; the final dump sends
//! whatever a round did not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::ArchiveWriter;
use checkpoint::compress::Encoder;
use checkpoint::delta::{Base, Delta, ImagesId};
use checkpoint::host::processes;
use checkpoint::host::task_memory::{Pages, Run as PageRun, SharedMemory, TaskMemory};
use checkpoint::pagemap::{IN_PARENT, PRESENT, PagemapWriter, Run};
use checkpoint::precopy::{
    Fate, Header, Image, IndexWriter, IndexedPage, Key, Memory, MemoryReader, Origin, Page, PageFilter,
    PageIndex, Predicted, Space, has_exited, round_id,
};
use cli::{Counted, Exit, Hint, Output, Session, usage};
use nix::unistd::Pid;
use tartree::{Sink, TarPath, Timestamp};

use super::{pagemap_name, read_index, runs};
use crate::args::Args;
use crate::{documents, pack};

/// Packs one round.
pub fn run(args: &Args, session: &Session) -> anyhow::Result<Exit> {
    let settings = pack::settings(&args.compress)?;
    let Some(path) = args.precopy.page_index.as_deref() else {
        return Err(Hint::on(usage("--precopy needs a page index"), "add --page-index FILE"));
    };
    if path == Path::new("-") {
        return Err(usage("--page-index: expected a file, which the next round reads"));
    }
    if cli::same_file::same_output(Some(path), args.output.output.as_deref()) {
        return Err(usage("--page-index and --output are the same file"));
    }
    let pid = first_process(args)?;
    let origin = Origin::of(pid)?;
    let name = cli::display_path(path);
    let old = read_index(path, &origin)?;
    let header = Header {
        key: old.as_ref().map_or_else(Key::random, |old| Ok(old.header().key.clone()))?,
        origin,
        rounds: old.as_ref().map_or(0, |old| old.header().rounds).saturating_add(1),
        last: round_id()?,
    };
    let time = pack::archive_time(now())?;
    session.stage("reading memory", None);
    let output = Encoder::new(args.output.binary()?, &settings)?;
    let index_output = Output::binary(Some(path))?.synced(args.output.fsync);
    let mut round = Round {
        writer: ArchiveWriter::on(Sink::new(Counted::new(output))),
        index: Some(IndexWriter::new(io::BufWriter::new(index_output), &header)?),
        old: old.as_ref(),
        key: &header.key,
        time,
        images: 0,
        sent: 0,
        held: 0,
        session,
    };
    match round.pack(pid, &header) {
        Ok(()) => {}
        Err(e) => {
            // If the failure marker cannot be written either, the output is truncated, and readers
            // detect that.
            let _ = round.writer.spoil();
            return Err(e);
        }
    }
    // Another process may have got the PID meanwhile.
    if !Origin::of(pid).is_ok_and(|now| now == origin) {
        let _ = round.writer.spoil();
        anyhow::bail!("process {pid}: has exited during the round");
    }
    session.note(format_args!(
        "round {}: {} pages sent, {} pages unchanged",
        header.rounds, round.sent, round.held
    ));
    let Some(index) = round.index.take() else { return Ok(Exit::Failed) };
    let index = index.finish().with_context(|| name.clone())?;
    let index = index.into_inner().map_err(io::IntoInnerError::into_error).with_context(|| name)?;
    // The index gets its name last: it must not announce pages that the receiver does not have.
    round.writer.finish()?.into_inner().finish()?.commit()?;
    index.commit()?;
    Ok(Exit::Done)
}

/// Returns the PID of the container's first process.
fn first_process(args: &Args) -> anyhow::Result<u32> {
    let state = args.container.state.as_deref();
    match (args.check.existing_pid()?, state) {
        (Some(pid), None) => Ok(pid),
        (None, Some(state)) => documents::state_pid(state),
        (Some(_), Some(_)) => Err(usage("--pid and --state both name a process, give one of them")),
        (None, None) => {
            let e = usage("--precopy needs the container's first process");
            Err(Hint::on(e, "add --pid PID, or --state FILE with the output of runc state"))
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp { sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nsec: 0 }
}

struct Round<'a> {
    writer: ArchiveWriter<Counted<Encoder<Output>>>,
    /// The new index, which the filter's sink borrows while an image is packed.
    index: Option<IndexWriter<io::BufWriter<Output>>>,
    old: Option<&'a PageIndex>,
    key: &'a Key,
    time: Timestamp,
    /// The number of images so far.
    images: u32,
    sent: u64,
    held: u64,
    session: &'a Session,
}

impl Round<'_> {
    fn pack(&mut self, pid: u32, header: &Header) -> anyhow::Result<()> {
        let delta = Delta {
            encoding: None,
            id: Some(ImagesId::random(header.last)),
            base: self.old.map(|old| Base {
                id: ImagesId::random(old.header().last),
                container: None,
                checkpointed: None,
            }),
        };
        self.writer.dir(&member(""), 0o700, self.time)?;
        self.writer.small(&member("delta.json"), &delta.write(), self.time)?;
        let mut shared: BTreeMap<u64, SharedMemory> = BTreeMap::new();
        for task in processes::tree(pid)? {
            // A process that exits while its memory is read is left out.
            match self.task(task, &mut shared) {
                Err(_) if task != pid && has_exited(task) => {}
                packed => packed?,
            }
        }
        for object in shared.into_values() {
            // The process through which the memory was found may have closed it.
            let Ok(file) = File::open(&object.path) else { continue };
            let runs = runs(&|found| object.runs(found))?;
            self.image(Space::Shared(object.inode), &Memory::File(file), &runs)?;
        }
        Ok(())
    }

    /// Packs the private memory of a process, and adds its shared memory to `shared`.
    fn task(&mut self, task: u32, shared: &mut BTreeMap<u64, SharedMemory>) -> anyhow::Result<()> {
        let (memory, runs) = scan(task)?;
        for object in &memory.shared {
            shared.entry(object.inode).or_insert_with(|| object.clone());
        }
        let source = Memory::Process(Pid::from_raw(i32::try_from(task)?));
        self.image(Space::Process(memory.container_pid), &source, &runs)
    }

    /// Packs the pages of a space and its pagemap.
    fn image(&mut self, space: Space, memory: &Memory, runs: &[PageRun]) -> anyhow::Result<()> {
        self.images += 1;
        let name = pagemap_name(space);
        let Some(mut index) = self.index.take() else { return Ok(()) };
        index.space(space)?;
        let mut sink =
            RoundSink { index, pagemap: PagemapWriter::new(Vec::new(), self.images)?, sent: 0, held: 0 };
        let image = Image {
            key: self.key,
            held: self.old.map_or(&[], |old| old.space(space)),
            predicted: Predicted::new(runs),
            memory,
        };
        let source = MemoryReader::new(memory, runs, 0);
        let mut filter = PageFilter::new(image, source, |page| sink.add(page));
        let size = filter.size().with_context(|| name.clone())?;
        filter.limit(size);
        // A page that vanishes after the size is known is replaced by zeros after the last page,
        // which CRIU does not read.
        let pages = member(&format!("pages-{}.img", self.images));
        let padded = filter.by_ref().chain(io::repeat(0));
        self.writer.copy(&pages, size, pages.mode(), self.time, padded)?;
        filter.finish().with_context(|| name.clone())?;
        self.sent += sink.sent;
        self.held += sink.held;
        let RoundSink { index, pagemap, sent, held } = sink;
        self.session.detail(format_args!("{name}: {sent} pages sent, {held} pages unchanged"));
        self.writer.small(&member(&name), &pagemap.finish()?, self.time)?;
        self.index = Some(index);
        Ok(())
    }
}

/// Finds the pages of a process. While a process calls exec or exits, the files in /proc that were
/// opened before have no content any more, and the process is neither its old self nor a zombie.
fn scan(task: u32) -> io::Result<(TaskMemory, Vec<PageRun>)> {
    let once = || {
        let memory = TaskMemory::read(task, Pages::All)?;
        let runs = runs(&|found| memory.runs(found))?;
        Ok((memory, runs))
    };
    let mut scanned = once();
    for wait in 1..=20 {
        if scanned.is_ok() || has_exited(task) {
            break;
        }
        thread::sleep(Duration::from_millis(wait));
        scanned = once();
    }
    scanned
}

/// Records every page in the index and in the pagemap.
struct RoundSink {
    index: IndexWriter<io::BufWriter<Output>>,
    pagemap: PagemapWriter<Vec<u8>>,
    sent: u64,
    held: u64,
}

impl RoundSink {
    fn add(&mut self, page: Page) -> io::Result<()> {
        let flags = match page.fate {
            Fate::Sent => PRESENT,
            Fate::Held => IN_PARENT,
            Fate::Dropped => return Ok(()),
        };
        *(if page.fate == Fate::Sent { &mut self.sent } else { &mut self.held }) += 1;
        self.index.page(IndexedPage { address: page.address, digest: page.digest })?;
        self.pagemap.add(Run { vaddr: page.address, pages: 1, flags })
    }
}

fn member(name: &str) -> Member {
    let path = if name.is_empty() { TarPath::root() } else { TarPath::root().child(name.as_bytes()) };
    Member::PreImages(path)
}
