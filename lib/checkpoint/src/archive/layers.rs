//! Assigns the members of an archive to the layers of an image, so that a registry stores and
//! transfers only the layers that have changed since another checkpoint.

use std::sync::mpsc::Sender;

use tartree::{Entry, Timestamp};

use crate::member::Member;
use crate::volume_name::VolumeName;

/// Maximum number of layers. Engines mount the layers of an image as one overlay: podman allows 128
/// of them (containers/storage, `maxDepth`).
const LAYERS: usize = 100;

/// The part of a checkpoint that a layer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// `config.dump` and all other small members.
    Documents,
    /// CRIU's images.
    Memory,
    /// CRIU's images of an earlier dump, on which the memory is based.
    Earlier,
    /// The changes of the root file system.
    Rootfs,
    /// The content of `/dev/shm`.
    Shm,
    /// The content of a volume.
    Volume(VolumeName),
}

impl Part {
    fn of(member: &Member) -> Part {
        match member {
            Member::Images(path) if path.as_bytes().starts_with(b"parent/") => Part::Earlier,
            Member::Images(_) => Part::Memory,
            Member::PreImages(_) => Part::Earlier,
            Member::RootfsDiff | Member::DeletedFiles | Member::DeletedFiles0 => Part::Rootfs,
            Member::DevShm => Part::Shm,
            Member::Volume(name) => Part::Volume(name.clone()),
            _ => Part::Documents,
        }
    }
}

/// The layers of an archive that is being written.
pub(super) struct Layers {
    /// Receives the offset at which each layer starts, except the first layer, before the bytes of
    /// the layer are written.
    starts: Sender<u64>,
    part: Option<Part>,
    /// The offset of the current layer.
    start: u64,
    count: usize,
}

impl Layers {
    pub fn new(starts: Sender<u64>) -> Layers {
        Layers { starts, part: None, start: 0, count: 0 }
    }

    /// Returns `member`, which is written at `position`, with the offset of its header in its
    /// layer. The bytes of a layer must not depend on the time of the dump, so the member has no
    /// time.
    pub fn enter(&mut self, member: &Member, entry: &Entry, position: u64) -> (Entry, u64) {
        let part = Part::of(member);
        if self.part.as_ref() != Some(&part) && self.count < LAYERS {
            if self.part.is_some() {
                self.start = position;
                // The receiver is missing only after an error of the output, which the next write
                // reports.
                let _ = self.starts.send(position);
            }
            self.count += 1;
            self.part = Some(part);
        }
        let mut entry = entry.clone();
        entry.meta.mtime = Timestamp::default();
        (entry, position - self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use tartree::TarPath;

    #[test]
    fn a_layer_starts_where_the_part_changes() {
        let (sender, receiver) = channel();
        let mut layers = Layers::new(sender);
        let time = Timestamp { sec: 5, nsec: 0 };
        let names = [
            "config.dump",
            "spec.dump",
            "checkpoint",
            "checkpoint/pages-1.img",
            "checkpoint/parent",
            "checkpoint/parent/pages-1.img",
            "rootfs-diff.tar",
            "deleted.files",
            "volumes/a.tar",
            "volumes/b.tar",
        ];
        for (position, name) in names.iter().enumerate() {
            let path = TarPath::parse(name.as_bytes()).unwrap();
            let entry = Entry::file(path.clone(), 0, 0o600, time);
            let (entered, offset) = layers.enter(&Member::of(&path), &entry, position as u64);
            assert_eq!((entered.meta.mtime, offset), (Timestamp::default(), position as u64 - layers.start));
        }
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [2, 5, 6, 8, 9]);
    }

    #[test]
    fn the_number_of_layers_is_limited() {
        let (sender, receiver) = channel();
        let mut layers = Layers::new(sender);
        for n in 0..300 {
            let path = TarPath::parse(format!("volumes/v{n}.tar").as_bytes()).unwrap();
            let entry = Entry::file(path.clone(), 0, 0o600, Timestamp::default());
            layers.enter(&Member::of(&path), &entry, n);
        }
        assert_eq!(receiver.try_iter().count(), LAYERS - 1);
    }
}
