//! `rootfs-diff create --format oci`: writes the changes as one layer of an OCI image.
//!
//! image-spec 1.1, "layer.md": the deletion of NAME is an empty file `.wh.NAME` in the same
//! directory, and an empty file `.wh..wh..opq` in a directory hides all content of that directory
//! in lower layers. Each layer is unpacked into a separate directory, so the hard links of a layer
//! never lead to files outside the layer.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use cli::{Exit, Session};
use rootfs_diff::{Change, Changes, Options, compare};
use tartree::{Entry, Error, IdMaps, Kind, Notice, Plan, SourceTree, Status, Tally, TarPath};

use crate::args::Create;
use crate::create::tar_output::write_tar;
use crate::notices::{report, warn_unmatched};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

pub fn run(args: &Create, session: &Session) -> anyhow::Result<Exit> {
    if args.members || args.deleted.is_some() {
        return Err(cli::usage(
            "--members and --deleted conflict with --format oci: a layer holds its deletions as whiteouts",
        ));
    }
    if !args.inband_removals {
        return Err(cli::usage(
            "--inband-removals conflicts with --format oci: a layer holds its deletions as whiteouts",
        ));
    }
    let options = Options { self_contained: true, ..args.trees.options()? };
    let mut trees = args.trees.open()?;
    let mut tally = Tally::new(|notice: &Notice| report(session, notice));
    session.stage("comparing", None);
    let mut layer = OciLayer { plan: Plan::new(), ids: args.ids.maps()?, opaque: None, failed: None };
    compare(&mut trees, &options, &mut layer, &mut tally)?;
    warn_unmatched(session, &options, &mut |path| trees.has(path));
    if let Some(e) = layer.failed {
        return Err(e.into());
    }
    let sink = cli::tree::sink(args.output.binary()?);
    session.stage("writing the layer", Some(layer.plan.tar_size()));
    let output = write_tar(&layer.plan, &mut trees.into_new_files(), sink, &mut tally)?;
    output.into_inner().commit()?;
    Ok(if tally.changed > 0 { Exit::Changed } else { Exit::Done })
}

/// Collects the changes as the plan of a layer.
struct OciLayer {
    plan: Plan,
    ids: IdMaps,
    /// A directory that hides its content in lower layers. The opaque whiteout follows the
    /// directory's entry.
    opaque: Option<TarPath>,
    /// The first error: an entry that a layer cannot hold, or an owner that the ID maps lack.
    failed: Option<Error>,
}

impl OciLayer {
    fn keep_error(&mut self, added: Result<(), Error>) {
        added.unwrap_or_else(|e| self.fail(e));
    }

    fn fail(&mut self, e: Error) {
        self.failed.get_or_insert(e);
    }
}

impl Changes for OciLayer {
    fn entry(&mut self, mut entry: Entry, ino: u64, source_tree: SourceTree, _change: Change) {
        let is_whiteout = entry.path.split().is_some_and(|(_, name)| name.as_bytes().starts_with(WHITEOUT));
        if is_whiteout {
            let what = "a name that begins with '.wh.' means a deletion in an OCI layer".into();
            self.fail(Error::Unsupported { object: entry.path.to_string(), what });
            return;
        }
        let mapped = self.ids.map_to_container(&mut entry);
        self.keep_error(mapped);
        // image-spec, layer.md: layers SHOULD NOT have sparse files. busybox, npm's tar and the tar
        // crate extract a sparse file as a regular file GNUSparseFile.0/NAME that begins with the
        // map.
        if let Kind::File { map, .. } = &mut entry.kind {
            *map = None;
        }
        let opaque = self.opaque.take_if(|path| *path == entry.path);
        let added = self.plan.add_at(source_tree, entry, ino);
        self.keep_error(added);
        if let Some(path) = opaque {
            let added = self.plan.add_tombstone(&path.child(OPAQUE));
            self.keep_error(added);
        }
    }

    fn removed(&mut self, path: TarPath, _was: &Status) {
        if let (Some(parent), Some((_, name))) = (path.parent(), path.split()) {
            let added = self.plan.add_tombstone(&parent.child(&[WHITEOUT, OsStr::as_bytes(name)].concat()));
            self.keep_error(added);
        }
    }

    fn replaced(&mut self, path: &TarPath) {
        self.opaque = Some(path.clone());
    }
}
