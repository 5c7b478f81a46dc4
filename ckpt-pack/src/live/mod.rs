//! Packs a container while CRIU dumps it: freezes the container, runs the command that dumps it,
//! and passes the memory from CRIU to the archive without a file in between.
//!
//! The order is: freeze, predict the sizes of the pages images, start the command and the
//! producers, pack the pages as CRIU writes them. When CRIU has written all images, it waits
//! ([`gate`]) until the rest of the archive is packed and the archive is complete. Until then every
//! failure makes CRIU reject the dump, and the container runs on ([`rescue`]).

mod command;
mod flags;
mod gate;
mod pages;
mod producer;
mod rescue;
mod target;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use checkpoint::Member;
use checkpoint::archive::{ArchiveWriter, PagesInput};
use checkpoint::delta::Delta;
use checkpoint::host::freezer::Freezer;
use cli::{Counted, Hint, Session, usage};
use tartree::{Destination, TarPath, Timestamp};

use crate::args::{Args, Format};
use crate::criu_images::Dump;
use crate::member_stream::MemberStream;
use crate::precopy::FinalDump;
use command::Running;
pub use flags::Live as LiveFlags;
use gate::Gate;
use pages::{Event, Pipes, Prediction};
use producer::Producers;
use rescue::{Rescue, is_image};
pub use target::image_path;

/// The time that the command has to end after CRIU completed the dump.
const END: Duration = Duration::from_secs(60);

/// A dump that is packed while it is made.
pub struct Live {
    pipes: Option<Pipes>,
    prediction: Prediction,
    /// With `--page-index`: leaves out the pages that the receiver has.
    filter: Option<FinalDump>,
    producers: Producers,
    command: Arc<Running>,
    rescue: Arc<Rescue>,
    image_path: PathBuf,
    /// The size of each streamed image in bytes, without the zeros behind it.
    streamed: Vec<u64>,
    dump: Dump,
    keep_paused: bool,
}

/// Rejects flags and operands that conflict with a command.
///
/// # Errors
/// Returns a usage error with what to type instead.
pub fn check_flags(args: &Args) -> anyhow::Result<()> {
    if !args.live.is_given() {
        return Ok(());
    }
    if !args.input.streams.is_empty() {
        let e = usage(
            "MEMBERS: a stream that starts before the container is paused has other content than its memory",
        );
        return Err(Hint::on(
            e,
            "name the program that writes it: --producer 'rootfs-diff create --members --rootfs DIR'",
        ));
    }
    if args.image.format == Format::Ctr {
        let e = usage("--format ctr: needs all images before the first byte");
        return Err(Hint::on(e, "dump first, then pack without COMMAND"));
    }
    Ok(())
}

impl Live {
    /// Pauses the container and starts the command, if there is one.
    ///
    /// Call this function before other threads are started: it handles the signals that end this
    /// process.
    ///
    /// # Errors
    /// Returns an error if any step fails. The container then runs on.
    pub fn start(
        args: &Args,
        image_path: &Path,
        dump: Dump,
        session: &Session,
    ) -> anyhow::Result<Option<Live>> {
        if !args.live.is_given() {
            return Ok(None);
        }
        let pid = target::pid(args)?;
        let index = args.precopy.page_index.as_deref();
        let filter = index.map(|index| FinalDump::open(index, pid)).transpose()?;
        prepare_directory(image_path)?;
        // A pre-dump lets the container run, and pauses it only while it collects the pages.
        let freezer = match dump {
            Dump::Pre => None,
            _ => Some(Freezer::find(pid).map_err(|e| Hint::on(e, "dump first, then pack without COMMAND"))?),
        };
        let is_paused = freezer.is_some();
        let rescue = Arc::new(Rescue::new(Gate::new()?, freezer, image_path)?);
        let on_signal = Arc::clone(&rescue);
        cli::signal::on_termination(move || on_signal.resume_and_exit(drop));
        session.stage("dumping", None);
        let paused = (&rescue, pid, is_paused);
        let started = Live::start_frozen(args, image_path, dump, session, paused, filter);
        started.map(Some).map_err(|e| match rescue.resume(|| {}) {
            Ok(()) => e,
            Err(why) => e.context(format!("the container cannot be resumed: {why}")),
        })
    }

    fn start_frozen(
        args: &Args,
        image_path: &Path,
        dump: Dump,
        session: &Session,
        (rescue, pid, is_paused): (&Arc<Rescue>, u32, bool),
        mut filter: Option<FinalDump>,
    ) -> anyhow::Result<Live> {
        let timeout = args.live.stall_timeout.unwrap_or(LiveFlags::STALL_TIMEOUT);
        rescue.freeze()?;
        let previous = image_path.join("../pre-checkpoint");
        let since = match &mut filter {
            Some(filter) => filter.scan(pid).map(|()| None)?,
            None => (dump == Dump::SincePrevious).then_some(&*previous),
        };
        let prediction = Prediction::read(pid, since, is_paused)?;
        session.stage("dumping", Some(prediction.total()));
        let pipes = Pipes::new(image_path, prediction.images() + 1, rescue)?;
        let command = Arc::new(Running::start(&args.live.command, &rescue.gate)?);
        rescue.add_command(Arc::clone(&command));
        rescue::watch(Arc::clone(rescue), session.tool().to_owned(), timeout);
        let producers = Producers::start(&args.live.producer)?;
        Ok(Live {
            pipes: Some(pipes),
            prediction,
            filter,
            producers,
            command,
            rescue: Arc::clone(rescue),
            image_path: image_path.to_owned(),
            streamed: Vec::new(),
            dump,
            keep_paused: args.live.keep_paused,
        })
    }

    /// Writes the pages images to the archive while CRIU writes them, and returns when CRIU has
    /// written all images.
    ///
    /// # Errors
    /// Returns an error if the command fails, if CRIU dumps more pages than predicted, or if writing
    /// to the output fails.
    pub fn pack_pages<W: Destination>(
        &mut self,
        writer: &mut ArchiveWriter<W>,
        time: Timestamp,
        session: &Session,
    ) -> anyhow::Result<()> {
        writer.dir(&self.member(None), 0o700, time)?;
        if let Some(filter) = &self.filter {
            writer.small(&Delta::member(), &filter.delta().write(), time)?;
        }
        for number in 1.. {
            let Some(pipes) = &mut self.pipes else { break };
            match pipes.wait(number, self.rescue.gate.reached(), self.command.ended())? {
                Event::Image => self.pack_image(number, writer, time, session)?,
                Event::Dumped => break,
                Event::Ended => {
                    self.check_command()?;
                    if self.dump != Dump::Pre {
                        session.warn("COMMAND passes neither PATH nor CRIU_CONFIG_FILE on to CRIU: if packing fails now, the container is lost");
                    }
                    break;
                }
            }
        }
        if let Some(filter) = &self.filter {
            filter.mark(&self.image_path, session)?;
        }
        self.check_sizes()
    }

    fn pack_image<W: Destination>(
        &mut self,
        number: usize,
        writer: &mut ArchiveWriter<W>,
        time: Timestamp,
        session: &Session,
    ) -> anyhow::Result<()> {
        let member = self.member(Some(number));
        let Some(pipes) = &mut self.pipes else { return Ok(()) };
        let space = pipes.space(number)?;
        let size = self.prediction.size(space);
        let Some(pipe) = pipes.open(number)? else { return Ok(()) };
        let filtered = match (&mut self.filter, space) {
            (Some(filter), Some(space)) => filter.image(space, Counted::new(&mut *pipe), |size, pages| {
                Ok((writer.pages(&member, size, time, PagesInput::Filtered(pages))?, size))
            })?,
            _ => None,
        };
        let (got, size) = match filtered {
            Some(sizes) => sizes,
            None => (writer.pages(&member, size, time, PagesInput::Pipe(pipe))?, size),
        };
        if got == size && pages::has_more(pipe)? {
            let e = anyhow::anyhow!("{member}: CRIU dumps more than the predicted {size} bytes");
            return Err(Hint::on(e, "dump first, then pack without COMMAND"));
        }
        session.note(format_args!("{member}: {got} bytes of {size} predicted"));
        self.streamed.push(got);
        Ok(())
    }

    /// Replaces the link of each streamed image by a file of the same size without blocks, so that
    /// the check of the image directory compares the size with the pagemap images.
    fn check_sizes(&self) -> anyhow::Result<()> {
        let pipes = self.pipes.as_ref().map_or(0, Pipes::len);
        for number in 1..=pipes {
            let path = self.image_path.join(format!("pages-{number}.img"));
            fs::remove_file(&path).with_context(|| cli::display_path(&path))?;
            if let Some(size) = self.streamed.get(number - 1) {
                let create = || fs::File::create_new(&path)?.set_len(*size);
                create().with_context(|| cli::display_path(&path))?;
            }
        }
        Ok(())
    }

    /// Returns the member streams of the producers.
    pub fn streams(&mut self) -> Vec<MemberStream> {
        self.producers.streams()
    }

    /// Completes the dump after the archive is complete: CRIU kills the processes, or they are
    /// resumed.
    ///
    /// # Errors
    /// Returns an error if a producer or the command fails.
    pub fn complete(mut self, session: &Session) -> anyhow::Result<()> {
        self.rescue.accept()?;
        let ended = self.command.wait(END);
        let succeeded = ended.is_some_and(|status| status.success());
        self.rescue
            .complete(self.keep_paused && succeeded)
            .context("the archive is complete, but the container cannot be resumed")?;
        let left = match self.dump {
            Dump::Pre => self.empty_pages(),
            _ => rescue::remove_images(&self.image_path),
        };
        if let Err(e) = left {
            session.warn(format_args!("{}: images not removed: {e}", cli::display_path(&self.image_path)));
        }
        self.pipes = None;
        match ended {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("the archive is complete, but COMMAND failed: {status}"),
            None => bail!("the archive is complete, but COMMAND did not end within {} s", END.as_secs()),
        }
    }

    /// Checks that the producers succeeded, after their streams were read.
    ///
    /// # Errors
    /// Returns an error that names the producer that failed.
    pub fn check_producers(&mut self) -> anyhow::Result<()> {
        self.producers.check()
    }

    /// Truncates the stand-ins of the streamed images. CRIU needs the other images of a pre-dump for
    /// the dump after it, and opens the pages images without reading them.
    fn empty_pages(&self) -> std::io::Result<()> {
        let numbers = 1..=self.streamed.len();
        numbers.into_iter().try_for_each(|number| {
            let path = self.image_path.join(format!("pages-{number}.img"));
            fs::File::options().write(true).open(path)?.set_len(0)
        })
    }

    fn check_command(&self) -> anyhow::Result<()> {
        match self.command.wait(END) {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("COMMAND failed, see its error above: {status}"),
            None => bail!("COMMAND did not end"),
        }
    }

    fn member(&self, number: Option<usize>) -> Member {
        let path = match number {
            Some(number) => TarPath::root().child(format!("pages-{number}.img").as_bytes()),
            None => TarPath::root(),
        };
        if self.dump == Dump::Pre { Member::PreImages(path) } else { Member::Images(path) }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let (rescue, pipes) = (Arc::clone(&self.rescue), &mut self.pipes);
        if let Err(e) = rescue.resume(|| *pipes = None) {
            eprintln!("ckpt-pack: error: the container cannot be resumed: {e}");
        }
    }
}

/// Creates the image directory, or checks that it holds no images: CRIU would overwrite them, and
/// the names of new files tell which process an image belongs to.
fn prepare_directory(path: &Path) -> anyhow::Result<()> {
    let object = || cli::display_path(path);
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(e) => return Err(e).with_context(object),
    }
    for entry in fs::read_dir(path).with_context(object)? {
        let entry = entry.with_context(object)?;
        if is_image(&entry.file_name()) {
            let e = anyhow::anyhow!("{}: holds the images of an earlier dump", object());
            return Err(Hint::on(
                e,
                format!(
                    "remove it, or name another directory: --image-path DIR (found {})",
                    cli::display_path(entry.path())
                ),
            ));
        }
    }
    Ok(())
}
