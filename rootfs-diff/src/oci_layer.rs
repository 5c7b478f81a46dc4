//! `rootfs-diff create --format oci`: the changes as one layer of an OCI image.
//!
//! image-spec 1.1, "layer.md": a deletion is an empty file `.wh.NAME` beside where NAME was; an empty file
//! `.wh..wh..opq` in a directory hides everything that lower layers have in it. A layer is unpacked into a
//! directory of its own, so it has no links to files that are not in it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use cli::{Exit, Session};
use rootfs_diff::{Change, Changes, Options, compare};
use tartree::{Entry, Error, IdMaps, Kind, Notice, Place, Plan, Status, Tally, TarPath};

use crate::args::{Create, id_maps};
use crate::create::{sink, write_tar};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

pub fn run(args: &Create, session: &Session) -> anyhow::Result<Exit> {
    if args.members || args.deleted.is_some() {
        return Err(cli::usage(
            "an OCI layer holds its deletions: --members and --deleted do not go with --format oci",
        ));
    }
    if !args.inband_removals {
        return Err(cli::usage("--inband-removals has no effect with --format oci: a layer has whiteouts"));
    }
    let options = Options { self_contained: true, ..args.source.options()? };
    let mut source = args.source.open()?;
    let mut tally = Tally::new(|notice: &Notice| crate::tell(session, notice));
    session.stage("comparing", None);
    let mut layer = Layer { plan: Plan::new(), ids: id_maps(&args.ids)?, opaque: None, failed: None };
    compare(&mut source, &options, &mut layer, &mut tally)?;
    crate::warn_unmatched(session, &options, &mut source);
    if let Some(e) = layer.failed {
        return Err(e.into());
    }
    let sink = sink(args.output.binary()?);
    session.stage("writing the layer", Some(layer.plan.tar_size()));
    let output = write_tar(&layer.plan, &mut source.into_new(), sink, &mut tally)?;
    output.into_inner().commit()?;
    Ok(if tally.changed > 0 { Exit::Changed } else { Exit::Done })
}

struct Layer {
    plan: Plan,
    ids: IdMaps,
    /// A directory whose old content must not show through; its marker follows its entry.
    opaque: Option<TarPath>,
    /// The first thing that cannot stand in a layer.
    failed: Option<Error>,
}

impl Layer {
    fn note(&mut self, added: Result<(), Error>) {
        added.unwrap_or_else(|e| self.fail(e));
    }

    fn fail(&mut self, e: Error) {
        self.failed.get_or_insert(e);
    }
}

impl Changes for Layer {
    fn entry(&mut self, mut entry: Entry, ino: u64, place: Place, _change: Change) {
        let is_mark = entry.path.split().is_some_and(|(_, name)| name.as_bytes().starts_with(WHITEOUT));
        if is_mark {
            let what = "a name that begins with '.wh.' means a deletion in an OCI layer".into();
            self.fail(Error::Unsupported { object: entry.path.to_string(), what });
            return;
        }
        let mapped = self.ids.map_to_container(&mut entry);
        self.note(mapped);
        // image-spec, layer.md: SHOULD NOT have sparse files. busybox, npm's tar and the tar crate extract one as a regular file
        // GNUSparseFile.0/NAME, map included.
        if let Kind::File { map, .. } = &mut entry.kind {
            *map = None;
        }
        let opaque = self.opaque.take_if(|path| *path == entry.path);
        let added = self.plan.add_at(place, entry, ino);
        self.note(added);
        if let Some(path) = opaque {
            let added = self.plan.add_tombstone(&path.child(OPAQUE));
            self.note(added);
        }
    }

    fn removed(&mut self, path: TarPath, _was: &Status) {
        if let (Some(parent), Some((_, name))) = (path.parent(), path.split()) {
            let added = self.plan.add_tombstone(&parent.child(&[WHITEOUT, OsStr::as_bytes(name)].concat()));
            self.note(added);
        }
    }

    fn replaced(&mut self, path: &TarPath) {
        self.opaque = Some(path.clone());
    }
}
