//! `--search` and `--dump-memory`: the memory of processes in CRIU's images.

pub mod dump;
mod hex;
pub mod search;
pub mod store;

use std::fmt::Display;

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::ArchiveFile;
use checkpoint::process_tree::{IMAGE_LIMIT, Images};
use cli::{Hint, Session};
use tartree::{Expanded, Kind, Skip};

use crate::xor;

/// Maximum number of bytes of images that are read, without the memory itself.
const IMAGES_LIMIT: u64 = 512 << 20;

/// Reads the images that locate the memory. The memory itself is read in a second pass, because it
/// may precede those images.
fn images(archive: &mut ArchiveFile, session: &Session) -> anyhow::Result<Images> {
    let name = archive.name().to_owned();
    require_file(archive)?;
    let (mut images, mut read) = (Images::default(), 0u64);
    session.stage("reading", None);
    each_image(archive, &mut |image, kind, content| {
        xor::refuse(image)?;
        if !Images::wants(image) {
            return Ok(());
        }
        let size = kind.len();
        read = read.saturating_add(size);
        if size > IMAGE_LIMIT || read > IMAGES_LIMIT {
            anyhow::bail!("checkpoint/{image}: too large, more than {} bytes", IMAGE_LIMIT.min(IMAGES_LIMIT));
        }
        let bytes = cli::read_document(content, image, IMAGE_LIMIT)?;
        images.add(image, &bytes).map_err(|e| anyhow::anyhow!("checkpoint/{e}"))
    })
    .with_context(|| name.clone())?;
    if images.processes().is_empty() {
        if is_round(archive).with_context(|| name.clone())? {
            return Err(round(&name));
        }
        anyhow::bail!("{name}: contains no processes: checkpoint/pstree.img is missing or empty");
    }
    Ok(images)
}

/// Returns whether the archive has only images of a pre-checkpoint.
fn is_round(archive: &mut ArchiveFile) -> anyhow::Result<bool> {
    let (mut has_images, mut has_pre_images) = (false, false);
    let mut reader = archive.survey_of_all()?;
    while let Some((member, _)) = reader.next()? {
        has_images |= matches!(member, Member::Images(_));
        has_pre_images |= matches!(member, Member::PreImages(_));
    }
    Ok(has_pre_images && !has_images)
}

/// Returns the error that the archive `name` is a round.
pub fn round(name: &str) -> anyhow::Error {
    let e = anyhow::anyhow!("{name}: a round of a pre-copy, which has no process tree");
    Hint::on(e, "give the archive of the checkpoint that followed the rounds")
}

/// Returns an error if the archive cannot be read twice.
pub fn require_file(archive: &ArchiveFile) -> anyhow::Result<()> {
    if archive.can_rewind() {
        return Ok(());
    }
    let name = archive.name();
    let error = anyhow::anyhow!("{name}: memory needs two passes, and a pipe cannot be read twice");
    Err(Hint::on(error, "write the archive to a file first"))
}

/// A function that reads an image: its name, kind and content.
type ReadImage<'f> = &'f mut dyn FnMut(&str, &Kind, &mut dyn Skip) -> anyhow::Result<()>;

/// Calls `read` for each of CRIU's images in the archive.
fn each_image(archive: &mut ArchiveFile, read: ReadImage<'_>) -> anyhow::Result<()> {
    let mut reader = archive.survey_of_all()?;
    while let Some((member, entry)) = reader.next()? {
        if let Member::Images(path) = member {
            let mut content = Expanded::new(&entry.kind, reader.content());
            read(&path.to_string(), &entry.kind, &mut content)?;
        }
    }
    Ok(reader.finish()?)
}

/// Reports the memory of the process `pid` that no image of this archive holds uncompressed.
pub fn warn_missing(images: &Images, pid: u32, compressed: u64, session: &Session) -> bool {
    let left_out = images.left_out(pid).iter().map(|range| range.end - range.start).sum::<u64>();
    if left_out > 0 {
        session.warn_with_hint(
            format_args!(
                "process {pid}: {} of memory are not read, they are in the base or pre-checkpoint",
                cli::units::bytes(left_out)
            ),
            "combine the archives first: ckpt-pack --from-archive ARCHIVE [--base FILE] --flatten -o FULL",
        );
    }
    if compressed > 0 {
        session.warn(format_args!(
            "process {pid}: {} of memory are not read, they are compressed by CRIU",
            cli::units::bytes(compressed)
        ));
    }
    // A process that has exited has no mappings, and CRIU writes a pagemap for all others.
    let is_unlocated = !images.has_pagemap(pid) && !images.mappings(pid).is_empty();
    if is_unlocated {
        session.warn(format_args!(
            "process {pid}: its memory is not read, checkpoint/pagemap-{pid}.img is not in the archive"
        ));
    }
    left_out > 0 || compressed > 0 || is_unlocated
}

/// Reports memory of `whose` in an image that is not in the archive.
fn warn_absent(image: &str, whose: impl Display, bytes: u64, session: &Session) {
    session.warn(format_args!(
        "{whose}: {} of memory are not read, checkpoint/{image} is not in the archive",
        cli::units::bytes(bytes)
    ));
}
