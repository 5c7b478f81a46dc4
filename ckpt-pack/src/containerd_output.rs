//! Writes a checkpoint of containerd (`--format ctr`).

use std::fs::File;
use std::io::{self, BufReader, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use checkpoint::Member;
use checkpoint::compress::{Compression, Settings};
use checkpoint::config_dump::ConfigDump;
use checkpoint::oci::CheckpointImage;
use cli::{Hint, Output, usage};
use tartree::Timestamp;

use crate::args::{Format, Image, Include, Layers};

const BUFFER: usize = 256 << 10;

/// The output of `--format ctr`. The parts of a checkpoint of containerd are in another order than
/// the members of an archive, so the archive is first written to an unnamed file.
pub struct ContainerdOutput {
    image: CheckpointImage,
    archive: File,
    /// The directory of unnamed files.
    dir: PathBuf,
    output: Output,
}

/// Rejects flags that contradict `--format ctr`.
pub fn check_flags(image: &Image, compression: Compression, include: &Include) -> anyhow::Result<()> {
    let pre_dump = include.pre_checkpoint || include.with_previous;
    let (problem, hint) = match () {
        () if image.tag.is_none() => {
            ("--format ctr: the checkpoint needs a name", "add --tag docker.io/library/web:1")
        }
        () if !matches!(compression, Compression::None | Compression::Gzip) => (
            "--format ctr: containerd restores only a layer that is compressed with gzip",
            "leave out --compress",
        ),
        () if pre_dump => ("--format ctr: containerd restores no images of a pre-dump", "leave out --format"),
        () if image.layers == Layers::Split => {
            ("--layers split has no effect with --format ctr", "leave out --layers, or add --format oci")
        }
        () if image.annotations.is_some() => {
            ("--annotations has no effect with --format ctr", "leave out --annotations, or add --format oci")
        }
        () => return Ok(()),
    };
    Err(Hint::on(usage(problem), hint))
}

/// Checks that containerd can restore a container with this configuration.
pub fn check_config(config: &ConfigDump) -> anyhow::Result<()> {
    if config.text("rootfsImageName").is_none() {
        let e = anyhow::anyhow!(
            "config.dump: rootfsImageName: containerd needs the name of the container's image, found none"
        );
        return Err(Hint::on(e, "add --rootfs-image docker.io/library/web:1"));
    }
    if config.text("runtime") == Some("crun") {
        let e = anyhow::anyhow!("config.dump: runtime: containerd restores with runc, found \"crun\"");
        return Err(Hint::on(e, "convert the images: ckpt-unpack --runtime runc"));
    }
    Ok(())
}

/// Returns whether the output can hold `member`.
pub fn fits(member: &Member, format: Format) -> bool {
    format != Format::Ctr || CheckpointImage::can_hold(member)
}

/// Rejects a member that a checkpoint of containerd cannot hold.
pub fn check_member(member: &Member, format: Format) -> anyhow::Result<()> {
    if fits(member, format) {
        return Ok(());
    }
    let hint = match member {
        Member::DeletedFiles | Member::DeletedFiles0 => {
            return Err(checkpoint::Error::DiffForm { member: Member::RootfsDiff.to_string() }.into());
        }
        Member::Volume(_) => "add --ignore-volumes, and copy the volume with vol-archive",
        _ => "leave it out, or use --format archive",
    };
    Err(Hint::on(anyhow::anyhow!("{member}: a checkpoint of containerd cannot hold it"), hint))
}

impl ContainerdOutput {
    /// Prepares to write to `output`. The unnamed file is in `dir`.
    pub fn new(
        output: Output,
        settings: &Settings,
        image: &Image,
        time: Timestamp,
        dir: &Path,
    ) -> anyhow::Result<ContainerdOutput> {
        let image = CheckpointImage {
            name: image.tag.clone().unwrap_or_default(),
            annotations: image.annotation.iter().cloned().collect(),
            architecture: checkpoint::architecture().into(),
            time,
            settings: Settings {
                compression: Compression::Gzip,
                level: settings.level,
                threads: match settings.compression {
                    Compression::None => tartree::parallel::processors(),
                    _ => settings.threads,
                },
            },
        };
        Ok(ContainerdOutput { image, archive: cli::spool(Some(dir))?, dir: dir.to_owned(), output })
    }

    /// Returns the file with the archive.
    pub fn archive(&self) -> &File {
        &self.archive
    }

    /// Writes the layout, and gives the output its name.
    pub fn finish(mut self) -> anyhow::Result<()> {
        match crate::archive_output::seekable(&self.output).with_context(|| self.output.name().to_owned())? {
            Some((file, start)) => {
                self.image.write(&self.archive, file, start)?;
            }
            None => {
                let layout = cli::spool(Some(&self.dir))?;
                let mut layout = self.image.write(&self.archive, layout, 0)?;
                layout.rewind().with_context(|| unnamed(&self.dir))?;
                io::copy(&mut BufReader::with_capacity(BUFFER, layout), &mut self.output)?;
            }
        }
        self.output.commit()
    }
}

/// Returns the name of an unnamed file for messages.
fn unnamed(dir: &Path) -> String {
    format!("{}: an unnamed file", cli::display_path(dir))
}

impl Write for ContainerdOutput {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.archive.write(buf).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", unnamed(&self.dir))))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
