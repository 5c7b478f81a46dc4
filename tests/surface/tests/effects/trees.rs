//! The flags of `rootfs-diff` and `vol-archive`.

use std::fs::{self, File};
use std::time::SystemTime;

use tempfile::TempDir;

use crate::{Action, Row, check, data, make};

const CREATE: &[Action] = &[
    ("trees", "--from from --to to --deleted d"),
    ("members", "--from from --to to --members"),
    ("oci", "--from from --to to --format oci"),
    // The kernel merges the layers only for root.
    ("overlay", "--upper up --lower low --members"),
];

const EACH_DIFF: &str = "trees members oci ~overlay";

const CREATE_FLAGS: &[Row] = &[
    ("--rootfs root", "~overlay"),
    ("--upper up", ""),
    ("--lower low", ""),
    ("--userxattr", "~overlay"),
    ("--image-layers 1", "~overlay"),
    ("--from from", ""),
    ("--to to", ""),
    ("--trust-mtime", EACH_DIFF),
    ("--exclude a", EACH_DIFF),
    ("--config config.json", EACH_DIFF),
    ("--format podman", "~trees ~members ~overlay"),
    ("--format oci", ""),
    ("--members", ""),
    ("--deleted other", ""),
    ("--inband-removals false", "trees members ~overlay"),
    ("--uidmap 9:9:1", EACH_DIFF),
    ("--gidmap 9:9:1", EACH_DIFF),
    ("--output new", EACH_DIFF),
    ("--fsync", ""),
    ("--fsync --output new", EACH_DIFF),
];

const LIST: &[Action] = &[
    ("trees", "--from from --to to"),
    ("overlay", "--upper up --lower low"),
    ("archive", "--archive web.ckpt"),
    ("image", "--archive web.ckpt --rootfs root"),
];

const EACH_LIST: &str = "trees ~overlay archive image";

const LIST_FLAGS: &[Row] = &[
    ("--rootfs root", "~overlay archive"),
    ("--upper up", ""),
    ("--lower low", ""),
    ("--userxattr", "~overlay"),
    ("--image-layers 1", "~overlay"),
    ("--from from", ""),
    ("--to to", ""),
    ("--archive web.ckpt", ""),
    ("--tag x", "archive image"),
    ("--trust-mtime", "trees ~overlay"),
    ("--exclude a", EACH_LIST),
    ("--config config.json", "trees ~overlay ~archive ~image"),
    ("--json", EACH_LIST),
    ("--null", EACH_LIST),
    ("--tree", EACH_LIST),
    ("--patch", "trees ~overlay image"),
];

const APPLY: &[Action] = &[
    ("tar", "--rootfs root < diff.tar"),
    ("listed", "--rootfs root --deleted deleted < diff.tar"),
    ("members", "--rootfs root --members < diff.members"),
    // Only root may write a layer.
    ("layer", "--rootfs root --layer new < diff.tar"),
    ("dry-run", "--rootfs root --dry-run < diff.tar"),
];

/// A dry run accepts the flags of the run that it previews.
const HIDDEN_APPLY: &str = "~tar ~listed ~members ~layer ~dry-run";
const EACH_APPLY: &str = "tar listed members ~layer dry-run";

const APPLY_FLAGS: &[Row] = &[
    ("--rootfs other", ""),
    ("--layer new", "~tar ~listed ~members"),
    ("--userxattr", "~layer"),
    ("--cross-mounts", "~tar ~listed ~members ~dry-run"),
    ("--dry-run", "tar listed members"),
    ("--fsync", HIDDEN_APPLY),
    ("--members", "tar ~layer dry-run"),
    ("--deleted deleted", "~tar ~layer dry-run"),
    ("--format oci", HIDDEN_APPLY),
    ("--any-tar", "~tar ~listed ~layer ~dry-run"),
    ("--no-same-owner", HIDDEN_APPLY),
    ("--uidmap 9:9:1", HIDDEN_APPLY),
    ("--gidmap 9:9:1", HIDDEN_APPLY),
    ("--no-devices", HIDDEN_APPLY),
    ("--max-size 1", EACH_APPLY),
    ("--max-entries 1", EACH_APPLY),
];

const ARCHIVE: &[Action] = &[("tar", "from"), ("members", "--members data=from")];

const ARCHIVE_FLAGS: &[Row] = &[
    ("--members", "tar"),
    ("--shm to", "members"),
    ("--exclude a", "tar members"),
    ("--one-file-system", "~tar ~members"),
    ("--uidmap 9:9:1", "tar members"),
    ("--gidmap 9:9:1", "tar members"),
    ("--output new", "tar members"),
    ("--fsync", ""),
    ("--fsync --output new", "tar members"),
];

const EXTRACT: &[Action] = &[
    ("tar", "new < data.tar"),
    ("any-tar", "--any-tar new < data.tar"),
    ("members", "--members data=new < data.members"),
];

const HIDDEN_EXTRACT: &str = "~tar ~any-tar ~members";

const EXTRACT_FLAGS: &[Row] = &[
    ("--members", "tar"),
    ("--shm other", "members"),
    ("--any-tar", "~tar"),
    ("--replace", HIDDEN_EXTRACT),
    ("--cross-mounts", HIDDEN_EXTRACT),
    ("--fsync", HIDDEN_EXTRACT),
    ("--no-same-owner", HIDDEN_EXTRACT),
    ("--uidmap 9:9:1", HIDDEN_EXTRACT),
    ("--gidmap 9:9:1", HIDDEN_EXTRACT),
    ("--no-devices", HIDDEN_EXTRACT),
    ("--max-size 1", "tar any-tar members"),
    ("--max-entries 1", "tar any-tar members"),
];

const ENTRIES: &[Action] = &[("tar", "data.tar")];

const ENTRIES_FLAGS: &[Row] = &[("--json", "tar"), ("--max-size 1", "tar"), ("--max-entries 1", "tar")];

/// Creates a directory with trees, and with the diffs and archives of these trees.
fn workdir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for made in ["from", "to/mount", "up", "low", "root"] {
        fs::create_dir_all(at(made)).unwrap();
    }
    for (file, text) in [("from/a", "old"), ("from/gone", "x"), ("to/a", "new"), ("to/mount/b", "x")] {
        fs::write(at(file), text).unwrap();
    }
    // --trust-mtime shows an effect.
    for file in ["from/a", "to/a"] {
        File::options().write(true).open(at(file)).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    fs::write(at("config.json"), r#"{"mounts":[{"destination":"/mount"}]}"#).unwrap();
    fs::copy(data("ckpt-unpack").join("g12-diff-deletes.tar.xz"), at("web.ckpt")).unwrap();
    for line in [
        "rootfs-diff create --from from --to to --deleted deleted -o diff.tar",
        "rootfs-diff create --from from --to to --members -o diff.members",
        "vol-archive create from -o data.tar",
        "vol-archive create --members data=from -o data.members",
    ] {
        make(dir.path(), line);
    }
    dir
}

#[test]
fn flags_of_rootfs_diff_have_an_effect_or_are_rejected() {
    let dir = workdir();
    check(dir.path(), "rootfs-diff create", CREATE, CREATE_FLAGS);
    check(dir.path(), "rootfs-diff list", LIST, LIST_FLAGS);
    check(dir.path(), "rootfs-diff apply", APPLY, APPLY_FLAGS);
}

#[test]
fn flags_of_vol_archive_have_an_effect_or_are_rejected() {
    let dir = workdir();
    check(dir.path(), "vol-archive create", ARCHIVE, ARCHIVE_FLAGS);
    check(dir.path(), "vol-archive extract", EXTRACT, EXTRACT_FLAGS);
    check(dir.path(), "vol-archive list", ENTRIES, ENTRIES_FLAGS);
}
