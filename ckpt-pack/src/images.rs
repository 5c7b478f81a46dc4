//! CRIU's image directory to members.

use std::path::Path;

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::{ArchiveWriter, PARENT};
use checkpoint::criu::check::problems;
use cli::{Hint, Session};
use tartree::{Destination, Kind, Notice, Notices, Root, Status, TarPath, Timestamp, Visit, Walk};

const INVENTORY: &str = "inventory.img";

/// What the images are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dump {
    /// All of a container.
    Whole,
    /// What changed since a pre-dump, whose images must be beside these when they are restored.
    SincePrevious,
    /// Memory of a container that runs on.
    Pre,
    /// Not CRIU's, but podman's own: files of other programs for the container.
    Artifacts,
}

/// How zeros are archived: the zero pages of memory images (CRIU dumps every page that was ever written to) and the holes of
/// files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeros {
    /// Both become holes of sparse members.
    Holes,
    /// Zero pages become bytes; holes of files remain holes.
    AsFound,
    /// Both become bytes. The layer of an image must not have sparse members (image-spec, layer.md: SHOULD NOT): busybox,
    /// npm's tar and the tar crate extract one as a file `GNUSparseFile.0/NAME`.
    Bytes,
}

/// An image directory that holds a dump.
pub struct Images {
    root: Root,
    name: String,
    dump: Dump,
    zeros: Zeros,
    /// When CRIU wrote its inventory, the last image of a dump.
    time: Timestamp,
}

impl Images {
    /// Opens the directory and looks for CRIU's inventory, without which nothing can be restored.
    pub fn open(path: &Path, dump: Dump, zeros: Zeros) -> anyhow::Result<Images> {
        let name = cli::display_path(path);
        let no_dump = |e: anyhow::Error| {
            let pre = if dump == Dump::Pre { "--pre-dump " } else { "" };
            Hint::on(e, format!("dump the container first: runc checkpoint {pre}--image-path {name} ID"))
        };
        let root = Root::open(path).with_context(|| name.clone()).map_err(no_dump)?;
        let time = match Status::at(root.fd(), INVENTORY.as_ref()) {
            Ok(inventory) => inventory.mtime(),
            // Only a full dump is restored by itself.
            Err(_) if matches!(dump, Dump::Pre | Dump::Artifacts) => {
                Status::at(root.fd(), "".as_ref()).with_context(|| name.clone())?.mtime()
            }
            Err(e) => return Err(no_dump(anyhow::Error::new(e).context(format!("{name}/{INVENTORY}")))),
        };
        Ok(Images { root, name, dump, zeros, time })
    }

    /// Fails if CRIU could not restore the images. Those of a pre-dump are never restored on their own.
    pub fn check(&mut self, session: &Session) -> anyhow::Result<()> {
        if matches!(self.dump, Dump::Pre | Dump::Artifacts) {
            return Ok(());
        }
        let mut problems = problems(&mut self.root);
        let Some(last) = problems.pop() else { return Ok(()) };
        for problem in problems {
            session.error(format_args!("{}/{problem}", self.name));
        }
        let e = anyhow::anyhow!("{}/{last}", self.name);
        Err(Hint::on(e, format!("dump the container again: runc checkpoint --image-path {} ID", self.name)))
    }

    /// When the dump was complete.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// How many bytes its files have, to tell how far packing is. Where they are zeros is seen when they are written.
    pub fn size(&self) -> Option<u64> {
        let mut size = 0u64;
        // A file that is left out here is not looked at any further.
        let count = |_: &TarPath, status: &Status| {
            if status.is_dir() {
                return Visit::Take;
            }
            size = size.saturating_add(status.size());
            Visit::Skip
        };
        let mut walk = Walk::new(&self.root, count).ok()?;
        // What is wrong with a file is told when it is packed.
        while walk.next(&mut |_: Notice| {}).ok()?.is_some() {}
        drop(walk);
        Some(size)
    }

    fn member(&self, path: TarPath) -> Member {
        match self.dump {
            Dump::Pre => Member::PreImages(path),
            Dump::Artifacts => Member::Artifacts(path),
            Dump::Whole | Dump::SincePrevious => Member::Images(path),
        }
    }

    /// Writes the directory, mode 0700 (0600, as podman writes it, keeps others than root out: checkpointctl #153), and
    /// what is in it. Of each file `left_out` learns how many of its bytes are holes.
    pub fn write<W: Destination>(
        mut self,
        writer: &mut ArchiveWriter<W>,
        notices: &mut dyn Notices,
        left_out: impl Fn(u64),
    ) -> anyhow::Result<()> {
        let name = self.name.clone();
        let mut walk =
            Walk::new(&self.root, |_: &TarPath, _: &Status| Visit::Take).with_context(|| name.clone())?;
        while let Some(found) = walk.next(notices).with_context(|| name.clone())? {
            let mut entry = found.entry;
            let member = self.member(entry.path.clone());
            // A second name of a file is one more file: the archive has no links.
            if let Kind::HardLink { .. } = entry.kind {
                entry.kind = Kind::File { size: found.status.size(), map: None };
            }
            match &entry.kind {
                Kind::Dir => writer.dir(&member, 0o700, entry.meta.mtime)?,
                Kind::File { .. } => {
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
                    left_out(found.status.size().saturating_sub(entry.kind.data_len()));
                    let (ino, mtime) = (found.status.identity().ino, entry.meta.mtime);
                    writer
                        .file(&member, opened, &entry, ino, mtime, notices)
                        .with_context(|| name.clone())?;
                }
                Kind::Symlink { .. } if entry.path.as_bytes() == PARENT && self.dump != Dump::Artifacts => {
                    match self.dump {
                        // Written below, relative whatever it is here: an absolute one leads nowhere on the other
                        // machine, and CRIU then restores without a word what it has (CRIU #116, #1387).
                        Dump::SincePrevious => {}
                        Dump::Pre => {
                            anyhow::bail!("{name}/parent: a chain of pre-dumps, only one can be packed")
                        }
                        Dump::Whole | Dump::Artifacts => {
                            let e = anyhow::anyhow!("{name}/parent: the dump needs the images of a pre-dump");
                            return Err(Hint::on(
                                e,
                                "pack both: with --pre-checkpoint that, with --with-previous this",
                            ));
                        }
                    }
                }
                _ => anyhow::bail!("{name}/{}: not a regular file", entry.path),
            }
        }
        if self.dump == Dump::SincePrevious {
            writer.parent(&self.member(TarPath::root().child(PARENT)), self.time)?;
        }
        Ok(())
    }
}

/// Whether an image is of nothing but pages of memory: `pages-1.img`.
fn is_memory(path: &TarPath) -> bool {
    path.as_bytes().strip_prefix(b"pages-").is_some_and(|rest| rest.ends_with(b".img"))
}
