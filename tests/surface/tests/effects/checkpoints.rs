//! The flags of `ckpt-pack` and `ckpt-unpack`.

use std::fs;

use tempfile::TempDir;

use crate::{Action, Row, check, data, make};

const UNPACK: &[Action] = &[
    ("bundle", "--bundle new web.ckpt"),
    ("into", "--bundle new --rootfs tree web.ckpt"),
    ("cleanup", "--cleanup --bundle done"),
    ("list", "--list web.ckpt"),
    ("verify", "--verify web.ckpt"),
    ("show", "--show web.ckpt"),
    ("cat", "--cat=config.dump web.ckpt"),
    ("search", "--search PATH web.ckpt"),
    ("dump", "--dump-memory 1 web.ckpt"),
    ("compare", "--compare web.ckpt other.ckpt"),
    ("check", "--check web.ckpt"),
    ("check-bundle", "--check --bundle done"),
    ("check-host", "--check"),
];

const READING: &str = "bundle into list verify show cat search dump compare check";

const UNPACK_FLAGS: &[Row] = &[
    ("--tag x", READING),
    ("--container x", READING),
    ("--refuse-unknown", READING),
    ("--max-size 1", READING),
    ("--max-entries 1", READING),
    ("--max-memory 1", READING),
    ("--without-config", "bundle into ~check"),
    ("--ignore-rootfs", "bundle ~check"),
    ("--ignore-volumes", "bundle into ~check"),
    ("--rootfs tree", "bundle ~check ~check-bundle"),
    ("--volume x=dir", "bundle into check"),
    ("--shm dir", "bundle into ~check"),
    ("--layer dir", "into"),
    ("--userxattr", ""),
    ("--uidmap 0:9:1", "~into"),
    ("--gidmap 0:9:1", "~into"),
    ("--no-same-owner", "~into"),
    ("--no-devices", "~into"),
    ("--cross-mounts", "~into"),
    ("--fsync", "~bundle ~into"),
    ("--mount-label x", "~bundle ~into"),
    ("--previous other.ckpt", "bundle into"),
    ("--base other.ckpt", "bundle into verify"),
    ("--print-stats", "bundle into cleanup"),
    ("--runtime x", "bundle into ~check ~check-bundle ~check-host"),
    ("--criu ./none", "~check ~check-bundle ~check-host"),
    ("--pod", "~check ~check-bundle ~check-host"),
    ("--env", "show"),
    ("--html", "show"),
    ("--redact", ""),
    ("--pid 12", "search"),
    ("--context 9", "search"),
    ("--hex", "dump"),
    ("--json", "list show search compare"),
    // Actions; all but --bundle with --check exclude each other.
    ("--bundle other", "~check-host"),
    ("--list", ""),
    ("--verify", ""),
    ("--show", ""),
    ("--cat=spec.dump", ""),
    ("--search x", ""),
    ("--dump-memory 1", ""),
    ("--compare web.ckpt other.ckpt", ""),
    ("--check", ""),
    ("--cleanup", ""),
];

const PACK: &[Action] = &[
    ("check", "--check"),
    ("prepare", "--prepare --bundle done"),
    ("cleanup", "--cleanup --bundle done"),
    ("precopy", "--precopy --page-index dir/none/index -o new"),
    ("bundle", "--bundle done --ignore-rootfs -o new"),
    ("pre-dump", "--bundle done --pre-checkpoint --image-path done/checkpoint -o new"),
    ("image", "--bundle done --ignore-rootfs --format oci -o new"),
    (
        "ctr",
        "--bundle done --ignore-rootfs --rootfs-image docker.io/a/b:1 --format ctr --tag docker.io/a/b:1 -o new",
    ),
    ("copy", "--from-archive web.ckpt -o new"),
    ("copied-image", "--from-archive web.ckpt --format oci -o new"),
    ("pod", "--pod-config pod.json --container web=web.ckpt -o new"),
    ("live", "--bundle done -o new -- ./none"),
];

const CONTAINER: &str = "bundle pre-dump image ctr copy copied-image ~live";
const DUMP: &str = "bundle pre-dump image ctr ~live";
const HIDDEN_DUMP: &str = "~bundle ~pre-dump ~image ~ctr ~live";

const PACK_FLAGS: &[Row] = &[
    ("text", "bundle pre-dump image ctr copy copied-image pod"),
    ("--member ctr.log=text", "bundle pre-dump image ctr copy copied-image ~live"),
    ("--allow-unknown", ""),
    ("--raw-members", ""),
    ("--image-path dir", DUMP),
    ("--ignore-rootfs", "~bundle ~pre-dump ~image ~ctr copy copied-image ~live"),
    ("--ignore-volumes", "~bundle ~pre-dump ~image ~ctr copy copied-image ~live"),
    ("--expect network", "~bundle ~pre-dump ~image ~ctr copy copied-image pod ~live"),
    ("--keep-zeros", "~bundle ~pre-dump ~live"),
    ("--pre-checkpoint", "bundle image ~live"),
    ("--with-previous", "~bundle ~image ~live"),
    ("--id other", "~bundle pre-dump ~image ~ctr copy copied-image ~live"),
    ("--name other", "~bundle pre-dump ~image ~ctr copy copied-image ~live"),
    ("--rootfs-image docker.io/x/y", "~bundle pre-dump ~image copy copied-image ~live"),
    ("--state none", "~precopy bundle pre-dump image ctr ~live"),
    ("--runtime crun", "~check ~bundle pre-dump ~image ~ctr copy copied-image ~live"),
    ("--volume x=/x", CONTAINER),
    ("--volume-path /x", ""),
    ("--network none", "~bundle ~image ~live"),
    ("--keep-hooks", HIDDEN_DUMP),
    ("--base other.ckpt", "bundle image"),
    ("--xor", ""),
    ("--self-contained", ""),
    ("--flatten", "~copy ~copied-image"),
    ("--compress gzip", "~precopy ~bundle pre-dump ~image ~ctr copy copied-image pod ~live"),
    ("--level 3 --compress gzip", "~precopy bundle pre-dump image ~ctr copy copied-image pod ~live"),
    ("--threads 2 --compress zstd", "~precopy bundle pre-dump image ~ctr copy copied-image pod ~live"),
    ("--layers split", "~image copied-image"),
    ("--tag x", "~image copied-image"),
    ("--annotations cri-o", "~bundle ~image copy copied-image ~live"),
    ("--annotation a=b", "~image ~ctr copied-image pod"),
    ("--print-stats", HIDDEN_DUMP),
    ("--output other", ""),
    ("--fsync", "~precopy ~bundle ~pre-dump ~image ~ctr ~copy ~copied-image ~pod ~live"),
    ("--criu ./none", "~check image"),
    ("--pod", "~check"),
    ("--pid 0", "~check ~precopy ~live"),
    ("--mount-label x", "~prepare"),
    ("--from-tag x", "copy copied-image"),
    ("--refuse-unknown", "copy copied-image"),
    ("--max-size 1", "copy copied-image pod"),
    ("--max-entries 1", "copy copied-image pod"),
    ("--max-memory 1", "copy copied-image pod"),
    ("--producer x", "~live"),
    ("--keep-paused", "~live"),
    ("--stall-timeout 9", "~live"),
    ("--page-index none", "~live"),
    ("--format oci", "~bundle pre-dump copy ~live"),
    ("--container db=other.ckpt", "pod"),
    // Actions, which exclude each other.
    ("--bundle other", ""),
    ("--from-archive web.ckpt", ""),
    ("--pod-config pod.json", ""),
    ("--check", ""),
    ("--prepare", ""),
    ("--cleanup", ""),
    ("--precopy", ""),
];

/// Creates a directory with archives and an unpacked bundle.
fn workdir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let data = data("ckpt-unpack");
    let at = |name: &str| dir.path().join(name);
    for made in ["dir", "tree"] {
        fs::create_dir(at(made)).unwrap();
    }
    fs::write(at("text"), "text").unwrap();
    fs::write(at("pod.json"), r#"{"metadata":{"name":"shop"}}"#).unwrap();
    fs::copy(data.join("g06-bridge.tar.xz"), at("other.ckpt")).unwrap();
    fs::copy(data.join("g04-volumes.tar.xz"), at("g04")).unwrap();
    for line in [
        // --refuse-unknown and --max-memory show an effect.
        "ckpt-pack --from-archive g04 --member note=text --allow-unknown --compress zstd -o web.ckpt",
        "ckpt-unpack --bundle done other.ckpt",
    ] {
        make(dir.path(), line);
    }
    fs::remove_file(at("g04")).unwrap();
    fs::remove_file(at("done/config.dump")).unwrap();
    fs::rename(at("done/spec.dump"), at("done/config.json")).unwrap();
    dir
}

#[test]
fn flags_of_ckpt_unpack_have_an_effect_or_are_rejected() {
    check(workdir().path(), "ckpt-unpack", UNPACK, UNPACK_FLAGS);
}

#[test]
fn flags_of_ckpt_pack_have_an_effect_or_are_rejected() {
    check(workdir().path(), "ckpt-pack", PACK, PACK_FLAGS);
}
