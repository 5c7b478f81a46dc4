//! CRIU's image directory to members.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::{ArchiveWriter, PARENT};
use cli::Hint;
use tartree::{Kind, Notices, Root, Status, TarPath, Timestamp, Visit, Walk};

const INVENTORY: &str = "inventory.img";

/// An image directory that holds a dump.
pub struct Images {
    root: Root,
    name: String,
    /// When CRIU wrote its inventory, the last image of a dump.
    time: Timestamp,
}

impl Images {
    /// Opens the directory and looks for CRIU's inventory, without which nothing can be restored.
    pub fn open(path: &Path) -> anyhow::Result<Images> {
        let name = cli::name(path);
        let no_dump = |e: anyhow::Error| {
            Hint::on(e, format!("dump the container first: runc checkpoint --image-path {name} ID"))
        };
        let root = Root::open(path).with_context(|| name.clone()).map_err(no_dump)?;
        let inventory = Status::at(root.fd(), INVENTORY.as_ref())
            .with_context(|| format!("{name}/{INVENTORY}"))
            .map_err(no_dump)?;
        Ok(Images { root, name, time: inventory.mtime() })
    }

    /// When the dump was complete.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// Writes the directory, mode 0700 (0600, as podman writes it, keeps others than root out: checkpointctl #153), and
    /// what is in it.
    pub fn write<W: Write>(
        mut self,
        writer: &mut ArchiveWriter<W>,
        notices: &mut dyn Notices,
    ) -> anyhow::Result<()> {
        let name = self.name.clone();
        let mut walk =
            Walk::new(&self.root, |_: &TarPath, _: &Status| Visit::Take).with_context(|| name.clone())?;
        while let Some(found) = walk.next(notices).with_context(|| name.clone())? {
            let mut entry = found.entry;
            let member = Member::Images(entry.path.clone());
            // A second name of a file is one more file: the archive has no links.
            if let Kind::HardLink { .. } = entry.kind {
                entry.kind = Kind::File { size: found.status.size(), map: None };
            }
            match &entry.kind {
                Kind::Dir => writer.dir(&member, 0o700, entry.meta.mtime)?,
                Kind::File { .. } => {
                    let opened =
                        self.root.parent(&entry.path).and_then(|(dir, name)| tartree::open_file(dir, name));
                    let ino = found.status.identity().ino;
                    let mtime = entry.meta.mtime;
                    writer
                        .file(&member, opened, &entry, ino, mtime, notices)
                        .with_context(|| name.clone())?;
                }
                Kind::Symlink { .. } if entry.path.as_bytes() == PARENT => {
                    let e = anyhow::anyhow!("{name}/parent: the dump needs the images of a pre-dump");
                    return Err(Hint::on(e, "pack both with --with-previous, or dump without --parent-path"));
                }
                _ => anyhow::bail!("{name}/{}: not a regular file", entry.path),
            }
        }
        Ok(())
    }
}
