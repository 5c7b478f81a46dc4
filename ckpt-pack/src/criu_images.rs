//! Writes a CRIU image directory into the archive.

use std::path::Path;

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::{ArchiveWriter, PARENT};
use checkpoint::criu::check::{check, check_parents};
use checkpoint::incremental::MemoryImage;
use cli::{Hint, Session};
use tartree::{Destination, Kind, Notice, Notices, Root, Status, TarPath, Timestamp, Visit, Walk};

use crate::increment::Increment;

const INVENTORY: &str = "inventory.img";

/// The kind of dump that an image directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dump {
    /// A complete dump of a container.
    Full,
    /// The memory that changed since a pre-dump. A restore needs the images of that pre-dump too.
    SincePrevious,
    /// A pre-dump: the memory of a container that keeps running.
    Pre,
    /// Not a dump, but podman's directory `artifacts`: files that other programs add for the
    /// container.
    Artifacts,
}

/// How to archive zero pages in memory images (CRIU dumps every page that was ever written) and
/// holes in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeros {
    /// Zero pages and the holes of the images become holes of sparse members.
    Holes,
    /// Zero pages become bytes; holes of files remain holes.
    AsFound,
    /// Zero pages and the holes of the images become zero bytes. The layer of an image must not
    /// have sparse members (image-spec, layer.md: SHOULD NOT): busybox, npm's tar and the tar crate
    /// extract a sparse member as a file `GNUSparseFile.0/NAME`.
    Bytes,
}

/// An image directory that holds a dump.
pub struct Images {
    root: Root,
    name: String,
    dump: Dump,
    zeros: Zeros,
    /// The time at which CRIU wrote its inventory, which is the last image of a dump.
    time: Timestamp,
    /// The images without the pages that a base holds.
    increment: Option<Increment>,
}

impl Images {
    /// Opens the directory.
    ///
    /// # Errors
    /// Returns an error if a dump has no inventory, because CRIU restores nothing without it.
    pub fn open(path: &Path, dump: Dump, zeros: Zeros) -> anyhow::Result<Images> {
        let name = cli::display_path(path);
        let no_dump = |e: anyhow::Error| {
            let pre = if dump == Dump::Pre { "--pre-dump " } else { "" };
            Hint::on(e, format!("dump the container first: runc checkpoint {pre}--image-path {name} ID"))
        };
        let root = Root::open(path).with_context(|| name.clone()).map_err(no_dump)?;
        let time = match Status::at(root.fd(), INVENTORY.as_ref()) {
            Ok(inventory) => inventory.mtime(),
            // A pre-dump is never restored on its own, so it needs no inventory.
            Err(_) if matches!(dump, Dump::Pre | Dump::Artifacts) => {
                Status::at(root.fd(), "".as_ref()).with_context(|| name.clone())?.mtime()
            }
            Err(e) => return Err(no_dump(anyhow::Error::new(e).context(format!("{name}/{INVENTORY}")))),
        };
        Ok(Images { root, name, dump, zeros, time, increment: None })
    }

    /// Checks that CRIU can restore the images. A pre-dump is not checked, because it is never
    /// restored on its own.
    ///
    /// # Errors
    /// Returns an error with the last problem, and reports the other problems.
    pub fn check(&mut self, session: &Session) -> anyhow::Result<()> {
        if matches!(self.dump, Dump::Pre | Dump::Artifacts) {
            return Ok(());
        }
        let mut problems = check(&mut self.root).problems;
        let other = ["parent", "delta.json"].map(|name| Status::at(self.root.fd(), name.as_ref()));
        // The images of another archive have the pages, unless `parent` is a directory.
        let is_complete = match &other {
            _ if self.dump == Dump::SincePrevious => false,
            [Ok(parent), _] => parent.is_dir(),
            [_, delta] => delta.is_err(),
        };
        if is_complete {
            problems.extend(check_parents(&mut self.root));
        }
        let hint = format!("dump the container again: runc checkpoint --image-path {} ID", self.name);
        refuse(problems, &self.name, hint, session)
    }

    /// Leaves out the pages that a base holds.
    pub fn leave_out(&mut self, increment: Increment) {
        self.increment = Some(increment);
    }

    /// Returns the time at which the dump was complete.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// Returns the size of all files in bytes, for the progress display. Zero pages are subtracted
    /// when they are written.
    pub fn size(&self) -> Option<u64> {
        let mut size = 0u64;
        // Skipping a file after its size is known keeps the walk from reading its metadata.
        let count = |_: &TarPath, status: &Status| {
            if status.is_dir() {
                return Visit::Take;
            }
            size = size.saturating_add(status.size());
            Visit::Skip
        };
        let mut walk = Walk::new(&self.root, count).ok()?;
        // Problems with a file are reported when it is packed.
        while walk.next(&mut |_: Notice| {}).ok()?.is_some() {}
        drop(walk);
        Some(size)
    }

    fn member(&self, path: TarPath) -> Member {
        match self.dump {
            Dump::Pre => Member::PreImages(path),
            Dump::Artifacts => Member::Artifacts(path),
            Dump::Full | Dump::SincePrevious => Member::Images(path),
        }
    }

    /// Writes the directory and the files in it. Calls `on_holes` for each file with the number of
    /// bytes in holes.
    ///
    /// The directory gets mode 0700. podman writes 0600, with which only root can enter it after
    /// extraction (checkpointctl #153).
    pub fn write<W: Destination>(
        mut self,
        writer: &mut ArchiveWriter<W>,
        notices: &mut dyn Notices,
        on_holes: impl Fn(u64),
    ) -> anyhow::Result<()> {
        let name = self.name.clone();
        let mut walk =
            Walk::new(&self.root, |_: &TarPath, _: &Status| Visit::Take).with_context(|| name.clone())?;
        while let Some(found) = walk.next(notices).with_context(|| name.clone())? {
            let mut entry = found.entry;
            let member = self.member(entry.path.clone());
            // The archive has no hard links, so each further name of a file becomes another file.
            if let Kind::HardLink { .. } = entry.kind {
                entry.kind = Kind::File { size: found.status.size(), map: None };
            }
            // A live dump has packed the directory and its pages before.
            if writer.written().contains(&member) {
                continue;
            }
            match &entry.kind {
                Kind::Dir => {
                    writer.dir(&member, 0o700, entry.meta.mtime)?;
                    if let (Some(increment), true) = (&self.increment, entry.path.is_root()) {
                        increment.write_delta(writer, self.time)?;
                    }
                }
                Kind::File { .. } => {
                    if let Some(increment) = &mut self.increment {
                        let stored = increment.write(&entry.path, &entry.meta, self.zeros, writer)?;
                        if let Some(stored) = stored {
                            on_holes(found.status.size().saturating_sub(stored));
                            continue;
                        }
                    }
                    let opened = self.root.open_file(&entry.path);
                    if self.zeros == Zeros::Bytes {
                        entry.kind = Kind::File { size: found.status.size(), map: None };
                    }
                    if let (Ok(file), true) = (&opened, self.zeros == Zeros::Holes && is_memory(&entry.path))
                    {
                        let size = found.status.size();
                        let map = tartree::map_of_pages(file, size)
                            .with_context(|| format!("{name}/{}", entry.path))?;
                        entry.kind = Kind::File { size, map };
                    }
                    on_holes(found.status.size().saturating_sub(entry.kind.data_len()));
                    let (ino, mtime) = (found.status.identity().ino, entry.meta.mtime);
                    writer
                        .file(&member, opened, &entry, ino, mtime, notices)
                        .with_context(|| name.clone())?;
                }
                Kind::Symlink { .. } if entry.path.as_bytes() == PARENT && self.dump != Dump::Artifacts => {
                    match self.dump {
                        // Always written below as a relative link: an absolute link dangles on
                        // another host, and CRIU then restores without the pre-dump and reports no
                        // error (CRIU #116, #1387).
                        Dump::SincePrevious => {}
                        Dump::Pre => {
                            anyhow::bail!(
                                "{name}/parent: expected a single pre-dump, found a chain of pre-dumps"
                            )
                        }
                        Dump::Full | Dump::Artifacts => {
                            let e = anyhow::anyhow!("{name}/parent: the dump needs the images of a pre-dump");
                            return Err(Hint::on(
                                e,
                                "pack the pre-dump with --pre-checkpoint, and this dump with --with-previous",
                            ));
                        }
                    }
                }
                _ => anyhow::bail!("{name}/{}: not a regular file", entry.path),
            }
        }
        if let Some(increment) = &mut self.increment {
            increment.write_parents(writer, self.zeros, self.time)?;
        }
        if self.dump == Dump::SincePrevious {
            writer.parent(&self.member(TarPath::root().child(PARENT)), self.time)?;
        }
        Ok(())
    }
}

/// Refuses images with problems. `name` is the directory of the images.
///
/// # Errors
/// Returns an error with the last problem, if there are any, and reports the other problems.
pub fn refuse(mut problems: Vec<String>, name: &str, hint: String, session: &Session) -> anyhow::Result<()> {
    let Some(last) = problems.pop() else { return Ok(()) };
    for problem in problems {
        session.error(format_args!("{name}/{problem}"));
    }
    Err(Hint::on(anyhow::anyhow!("{name}/{last}"), hint))
}

/// Returns whether an image consists of memory pages only, such as `pages-1.img`.
fn is_memory(path: &TarPath) -> bool {
    matches!(MemoryImage::of(path.as_bytes()), Some((_, MemoryImage::Pages(_))))
}
