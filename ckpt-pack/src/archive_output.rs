//! Writes the archive, or an image that holds the archive.

use std::fs::File;
use std::io::{self, BufReader, Seek, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};

use anyhow::Context;
use checkpoint::compress::{Compression, Encoder, Settings};
use checkpoint::oci::{Description, LayoutWriter};
use cli::{Hint, Output, usage};
use tartree::{Passage, Timestamp};

use crate::args::{ExtraFamily, Format, Image, Include, Layers};
use crate::containerd_output::{self, ContainerdOutput};

const BUFFER: usize = 256 << 10;

/// A writer for the archive's bytes.
pub enum ArchiveOutput {
    Archive(Encoder<Output>),
    Image(Box<LayoutWriter>, LayoutFile, Output),
    Containerd(Box<ContainerdOutput>),
}

/// The file into which an image is written. The name of its first entry is a hash that is known
/// last, so the file must support seeking.
pub enum LayoutFile {
    /// The output itself.
    Output,
    /// An unnamed file that is copied to the output when it is complete; has a name for messages.
    Spool(String),
}

/// Rejects flags that contradict `--format` or `--annotations`.
pub fn check_flags(image: &Image, compression: Compression, include: &Include) -> anyhow::Result<()> {
    if image.format == Format::Ctr {
        return containerd_output::check_flags(image, compression, include);
    }
    if image.annotations.is_some() && (include.pre_checkpoint || include.with_previous) {
        let e = usage("--annotations: neither CRI-O nor containerd restores images of a pre-dump");
        return Err(Hint::on(e, "pack a complete dump, without --pre-checkpoint and --with-previous"));
    }
    let for_containerd = image.annotations == Some(ExtraFamily::Containerd);
    if for_containerd && image.format == Format::Archive && compression != Compression::None {
        let e = usage("--annotations containerd: containerd reads only an uncompressed archive");
        return Err(Hint::on(e, "leave out --compress, or add --format oci"));
    }
    let given = [
        ("--tag", image.tag.is_some()),
        ("--annotation", !image.annotation.is_empty()),
        ("--layers split", image.layers == Layers::Split),
    ];
    match given.into_iter().find(|(_, given)| *given && image.format == Format::Archive) {
        Some((flag, _)) => {
            Err(Hint::on(usage(format!("{flag} has no effect without --format oci")), "add --format oci"))
        }
        None => Ok(()),
    }
}

impl ArchiveOutput {
    /// Prepares to write to `output`. An unnamed file is created in `spool_dir`, by default in
    /// `$TMPDIR` or /var/tmp. `time` is that of a checkpoint of containerd.
    pub fn new(
        output: Output,
        settings: &Settings,
        image: &Image,
        time: Timestamp,
        spool_dir: Option<&Path>,
    ) -> anyhow::Result<ArchiveOutput> {
        match image.format {
            Format::Archive => return Ok(ArchiveOutput::Archive(Encoder::new(output, settings)?)),
            Format::Ctr => {
                let output = ContainerdOutput::new(
                    output,
                    settings,
                    image,
                    time,
                    spool_dir.unwrap_or(Path::new(".")),
                )?;
                return Ok(ArchiveOutput::Containerd(Box::new(output)));
            }
            Format::Oci => {}
        }
        if matches!(settings.compression, Compression::Xz | Compression::Bzip2) {
            return Err(usage(
                "--format oci: the layers of an image can be compressed with gzip or zstd only",
            ));
        }
        let (file, start, layout_file) = match seekable(&output).with_context(|| output.name().to_owned())? {
            Some((file, start)) => (file, start, LayoutFile::Output),
            None => {
                let dir = spool_dir.map_or(String::new(), |dir| format!("{}: ", cli::display_path(dir)));
                (cli::spool(spool_dir)?, 0, LayoutFile::Spool(format!("{dir}an unnamed file")))
            }
        };
        let layout = LayoutWriter::new(file, start, settings)?;
        Ok(ArchiveOutput::Image(Box::new(layout), layout_file, output))
    }

    /// Limits the memory that a reader of the archive needs, because all archives of a chain are read
    /// at the same time.
    pub fn limit_window(&mut self) -> anyhow::Result<()> {
        match self {
            ArchiveOutput::Archive(encoder) => Ok(encoder.limit_window()?),
            _ => Ok(()),
        }
    }

    /// If the output is an image with several layers, returns the sender for the offsets at which
    /// these start.
    pub fn layer_starts(&mut self, image: &Image) -> Option<Sender<u64>> {
        match self {
            ArchiveOutput::Image(layout, ..) if image.layers == Layers::Split => {
                let (sender, receiver) = channel();
                layout.divide(receiver);
                Some(sender)
            }
            _ => None,
        }
    }

    /// Returns a way to copy bytes to the output inside the kernel, if they are neither compressed
    /// nor hashed.
    pub fn passage(&self) -> Option<Passage> {
        match self {
            ArchiveOutput::Archive(encoder) => Passage::to(encoder.plain()?.as_fd(), cli::count),
            ArchiveOutput::Containerd(output) => Passage::to(output.archive().as_fd(), cli::count),
            ArchiveOutput::Image(..) => None,
        }
    }

    /// Gives an output that is neither an image nor a checkpoint for ctr its name.
    pub fn finish_archive(self) -> anyhow::Result<()> {
        match self {
            ArchiveOutput::Archive(encoder) => encoder.finish()?.commit(),
            _ => Err(usage("--format: a pod archive is not an image")),
        }
    }

    /// If the output is an image, writes the rest of the image. Then gives the output its name.
    pub fn finish(self, describe: impl FnOnce() -> Description) -> anyhow::Result<()> {
        match self {
            ArchiveOutput::Archive(encoder) => encoder.finish()?.commit(),
            ArchiveOutput::Containerd(output) => output.finish(),
            ArchiveOutput::Image(layout, layout_file, mut output) => {
                let name = layout_file.name(&output).to_owned();
                let mut file = layout.finish(&describe()).with_context(|| name.clone())?;
                if let LayoutFile::Spool(_) = layout_file {
                    file.rewind().with_context(|| name)?;
                    io::copy(&mut BufReader::with_capacity(BUFFER, file), &mut output)?;
                }
                output.commit()
            }
        }
    }
}

impl LayoutFile {
    /// Returns the file's name for messages.
    fn name<'a>(&'a self, output: &'a Output) -> &'a str {
        match self {
            LayoutFile::Output => output.name(),
            LayoutFile::Spool(name) => name,
        }
    }
}

/// Returns the output as a file that supports seeking, and its position. Returns `None` for a pipe,
/// and for a file opened with O_APPEND, where every write goes to the end.
pub fn seekable(output: &Output) -> io::Result<Option<(File, u64)>> {
    let mut file = File::from(output.as_fd().try_clone_to_owned()?);
    let flags = nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_GETFL)?;
    if flags & libc::O_APPEND != 0 || !file.metadata()?.is_file() {
        return Ok(None);
    }
    let start = file.stream_position()?;
    Ok(Some((file, start)))
}

impl Write for ArchiveOutput {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            ArchiveOutput::Archive(encoder) => encoder.write(buf),
            ArchiveOutput::Containerd(output) => output.write(buf),
            ArchiveOutput::Image(layout, layout_file, output) => {
                let named =
                    |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", layout_file.name(output)));
                layout.write(buf).map_err(named)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            ArchiveOutput::Archive(encoder) => encoder.flush(),
            ArchiveOutput::Containerd(output) => output.flush(),
            ArchiveOutput::Image(layout, ..) => layout.flush(),
        }
    }
}
