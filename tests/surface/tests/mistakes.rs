//! Sixty mistakes that new users make. Each error must name the file or flag and the fault, and, if
//! possible, a remedy.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use harness::tools::tool;
use tempfile::TempDir;

/// Command line, exit status, expected error, and expected help: a hint, or clap's tip or usage
/// line.
struct Mistake(&'static str, i32, &'static str, &'static str);

const VOL_ARCHIVE: &[Mistake] = &[
    Mistake("vol-archive create", 2, "no directory given", ""),
    Mistake("vol-archive create nothere", 1, "nothere: No such file or directory", ""),
    Mistake("vol-archive create text", 1, "text: Not a directory", ""),
    Mistake("vol-archive create vol other", 2, "more than one directory", "--members NAME=DIR NAME=DIR"),
    Mistake("vol-archive create --members vol", 2, "vol: with --members, expected NAME=DIR", ""),
    Mistake("vol-archive create --members a/b=vol", 2, "a/b=vol: expected a letter or digit", ""),
    Mistake("vol-archive create --members v=vol v=other", 2, "volumes/v.tar: given twice", ""),
    Mistake("vol-archive create --shm vol vol", 2, "not provided", "vol-archive create --members --shm"),
    Mistake("vol-archive create --exclude ../x vol", 2, "--exclude ../x: name with '..'", ""),
    Mistake("vol-archive creat vol", 2, "unrecognized subcommand 'creat'", "'create'"),
    Mistake("vol-archive create --member v=vol", 2, "'--member'", "'--members'"),
    Mistake("vol-archive create vol -o nodir/x", 1, "nodir/x: No such file or directory", ""),
    Mistake("vol-archive create vol -o other", 1, "other: is a directory", ""),
    Mistake("vol-archive extract other < text", 1, "standard input: expected a tar, found text", ""),
    Mistake("vol-archive extract other < twice.tar.gz", 1, "found gzip-compressed data", "gzip -dc FILE |"),
    Mistake("vol-archive extract other < vol", 1, "Is a directory", ""),
    Mistake("vol-archive extract --uidmap 0:1 other < vol.tar", 2, "'0:1'", "expected CONTAINER:HOST:SIZE"),
];

const ROOTFS_DIFF: &[Mistake] = &[
    Mistake(
        "rootfs-diff create --from vol --to other",
        2,
        "no file given for the list of deletions",
        "--members",
    ),
    Mistake("rootfs-diff create --members", 2, "no source given: --rootfs MOUNTPOINT", ""),
    Mistake(
        "rootfs-diff create --members --rootfs vol",
        1,
        "vol: expected an overlay mount",
        "--from DIR --to MOUNTPOINT",
    ),
    Mistake("rootfs-diff create --members --rootfs nothere", 1, "nothere: No such file or directory", ""),
    Mistake(
        "rootfs-diff create --members --upper vol",
        2,
        "--lower <DIR",
        "rootfs-diff create --upper <DIR> --lower",
    ),
    Mistake("rootfs-diff create --members --upper vol --lower nothere", 1, "nothere: No such file", ""),
    Mistake("rootfs-diff list --from vol", 2, "--to <DIR>", ""),
    Mistake("rootfs-diff create --format docker --from vol --to other", 2, "'docker'", "podman, oci"),
    Mistake("rootfs-diff apply < vol.tar", 2, "--rootfs <DIR>", ""),
    Mistake("rootfs-diff apply --rootfs nothere < vol.tar", 1, "nothere: No such file or directory", ""),
    Mistake("rootfs-diff apply --rootfs other < text", 1, "standard input: expected a tar, found text", ""),
    Mistake("rootfs-diff apply --rootfs other --deleted nothere < vol.tar", 1, "nothere: No such file", ""),
    Mistake(
        "rootfs-diff apply --rootfs other --deleted object.json < vol.tar",
        1,
        "object.json: deleted.files: ",
        "",
    ),
];

const CKPT_PACK: &[Mistake] = &[
    Mistake("ckpt-pack", 2, "--bundle <DIR>", "Usage: ckpt-pack"),
    Mistake("ckpt-pack bundle", 2, "--bundle <DIR>", "Usage: ckpt-pack"),
    Mistake("ckpt-pack --bundle nothere", 1, "nothere: No such file or directory", ""),
    Mistake(
        "ckpt-pack --bundle running",
        1,
        "running/checkpoint: No such file",
        "runc checkpoint --image-path running/checkpoint",
    ),
    Mistake(
        "ckpt-pack --bundle bundle -o new.ckpt",
        1,
        "rootfs-diff.tar: missing, no member stream contains it",
        "rootfs-diff create --members",
    ),
    Mistake(
        "ckpt-pack --bundle bundle nothing -o new.ckpt",
        1,
        "nothing: expected a member stream, found no data",
        "see the error above",
    ),
    Mistake("ckpt-pack --bundle bundle vol.tar -o new.ckpt", 1, "vol.tar: /: not a member", "--members"),
    Mistake(
        "vol-archive create vol | ckpt-pack --bundle bundle -o new.ckpt -",
        1,
        "standard input: /: not a member",
        "--members",
    ),
    Mistake("ckpt-pack --bundle bundle --compress lz4", 2, "'lz4'", "none, gzip, zstd, xz, bzip2"),
    Mistake(
        "ckpt-pack --bundle bundle --ignore-rootfs --compress zstd --level 99",
        2,
        "--level: expected 1 to 22 for zstd, found 99",
        "",
    ),
    Mistake(
        "ckpt-pack --bundle bundle --ignore-rootfs --level 3",
        2,
        "--level has no effect without --compress",
        "--compress zstd",
    ),
    Mistake(
        "ckpt-pack --bundle bundle --ignore-rootfs --member foo=text",
        2,
        "--member: foo: not a member",
        "FILES in ckpt-pack(1)",
    ),
    Mistake(
        "ckpt-pack --bundle bundle --ignore-rootfs --member text",
        2,
        "'--member <NAME=FILE>'",
        "expected NAME=VALUE",
    ),
    Mistake(
        "ckpt-pack --bundle bundle --ignore-rootfs --format oci --compress xz -o x",
        2,
        "--format oci: the layers of an image",
        "",
    ),
    Mistake(
        "ckpt-pack --bundle bundle --pre-checkpoint --with-previous",
        2,
        "cannot be used with '--with-previous'",
        "",
    ),
];

const CKPT_UNPACK: &[Mistake] = &[
    Mistake("ckpt-unpack", 2, "--bundle <DIR>", "Usage: ckpt-unpack"),
    Mistake("ckpt-unpack --bundle new nothere.ckpt", 1, "nothere.ckpt: No such file or directory", ""),
    Mistake("ckpt-unpack --bundle new < text", 1, "standard input: expected a tar, found text", ""),
    Mistake("ckpt-unpack --bundle new < nothing", 1, "archive: it is empty", ""),
    Mistake("ckpt-unpack --bundle new cut.ckpt", 1, "cut.ckpt: ", ""),
    Mistake("ckpt-unpack --bundle new vol", 1, "vol: image: has neither index.json nor manifest.json", ""),
    Mistake(
        "ckpt-unpack --bundle new --rootfs nothere web.ckpt",
        1,
        "nothere: No such file or directory",
        "",
    ),
    Mistake(
        "ckpt-unpack --bundle full --ignore-volumes web.ckpt",
        1,
        "full/config.dump: already exists",
        "choose another directory for --bundle",
    ),
    Mistake(
        "ckpt-unpack --bundle new --volume v1=other web.ckpt",
        1,
        "no directory given for this volume",
        "--volume ",
    ),
    Mistake(
        "ckpt-unpack --bundle new --volume v1=other --ignore-volumes web.ckpt",
        2,
        "cannot be used with",
        "",
    ),
    Mistake(
        "ckpt-unpack --bundle new --volume v1 web.ckpt",
        2,
        "'--volume <NAME=DIR>'",
        "expected NAME=VALUE",
    ),
    Mistake("ckpt-unpack --list --verify web.ckpt", 2, "'--list' cannot be used with '--verify'", ""),
    Mistake("ckpt-unpack --verify cut.ckpt", 1, "cut.ckpt: ", ""),
    Mistake("ckpt-unpack --show vol.tar", 1, "vol.tar: not a checkpoint archive", ""),
    Mistake("gzip -c web.ckpt | ckpt-unpack --list", 1, "expected a tar inside the gzip stream, found", ""),
];

const NETSTATUS: &[Mistake] = &[
    Mistake(
        "netstatus save object.json nothere",
        2,
        "object.json: several files are allowed only for CNI results",
        "",
    ),
    Mistake("netstatus save < nothing", 1, "standard input: is empty, expected JSON", ""),
    Mistake("netstatus save < cut.json", 1, "standard input: not valid JSON", ""),
    Mistake("netstatus save nothere", 1, "nothere: No such file or directory", ""),
    Mistake("netstatus save --netns nothere", 1, "nothere: No such file or directory", ""),
    Mistake(
        "netstatus restore < network.status",
        2,
        "--to <FORMAT>",
        "Usage: netstatus restore --to <FORMAT>",
    ),
    Mistake("netstatus restore --to netvark < network.status", 2, "'netvark'", "'netavark'"),
    Mistake("netstatus restore --to netavark < network.status", 2, "container_id", "--container-id"),
    Mistake("echo null | netstatus restore --to netavark", 1, "the container has no network to restore", ""),
    Mistake("netstatus hold", 2, "--netns <PATH>", "Usage: netstatus hold"),
    Mistake("netstatus hold --netns text", 1, "text: not a network namespace", ""),
    Mistake("netstatus show text", 1, "text: not valid JSON", ""),
];

const SPEC_GEN: &[Mistake] = &[
    Mistake("spec-gen < nothing", 1, "standard input: is empty, expected JSON", ""),
    Mistake("spec-gen < cut.json", 1, "standard input: not valid JSON", ""),
    Mistake("spec-gen < object.json", 1, "standard input: neither an OCI spec (key ociVersion)", "--new"),
    Mistake("spec-gen bundle/config.json", 2, "unexpected argument 'bundle/config.json'", "-i FILE"),
    Mistake("spec-gen --new sh", 2, "unexpected argument 'sh'", "[-- ARGS...]"),
    Mistake("spec-gen --new --hostnam x", 2, "'--hostnam'", "'--hostname'"),
    Mistake("spec-gen --new --restore", 2, "'--new' cannot be used with '--restore'", ""),
    Mistake("spec-gen --new --rootfs nothere", 1, "nothere: No such file or directory", ""),
    Mistake(
        "spec-gen --new --user nosuch --rootfs vol",
        1,
        "user nosuch: unable to find user nosuch",
        "--user UID:GID",
    ),
    Mistake("spec-gen --new -v data", 2, "--volume data: expected [SRC:]DST[:OPTIONS]", ""),
    Mistake(
        "spec-gen --new -v cache:/data",
        1,
        "volume cache: its directory is not known",
        "--volume-path cache=DIR",
    ),
    Mistake("spec-gen --new --memory 10X", 2, "'10X'", "a number, or one with k, m, g, t or p"),
    Mistake("spec-gen --new --cap-add NOSUCH", 2, "--cap-add NOSUCH: not a capability", ""),
    Mistake("spec-gen --new --network banana", 2, "'banana'", "host, private, none, ns:PATH"),
    Mistake("spec-gen --new --device /dev/nothere", 1, "--device /dev/nothere: No such file", ""),
    Mistake(
        "spec-gen --new --mount type=bind,src=/x",
        2,
        "--mount type=bind,src=/x: dst=PATH is missing",
        "",
    ),
    Mistake(
        "spec-gen --restore < bundle/config.json",
        1,
        "root.path: rootfs: belongs to the host on which the checkpoint was made",
        "--rootfs DIR",
    ),
];

/// Creates a directory with bundles, volumes, and complete and truncated archives.
fn workdir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for made in ["bundle/checkpoint", "running", "vol", "other", "full"] {
        fs::create_dir_all(at(made)).unwrap();
    }
    let spec = r#"{"ociVersion":"1.2.0","root":{"path":"rootfs"},"process":{"user":{"uid":0,"gid":0},"args":["sh"],"cwd":"/"},"mounts":[]}"#;
    for bundle in ["bundle", "running"] {
        fs::write(at(bundle).join("config.json"), spec).unwrap();
    }
    fs::write(at("bundle/checkpoint/inventory.img"), "x").unwrap();
    fs::write(at("full/config.dump"), "{}").unwrap();
    // Incompressible, so that the compressed archive has more than one block.
    let noise: Vec<u8> = (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 21) as u8).collect();
    fs::write(at("vol/file"), noise).unwrap();
    for (name, text) in
        [("text", "hi\n"), ("nothing", ""), ("object.json", "{\"a\": 1}"), ("cut.json", "{\"a\":")]
    {
        fs::write(at(name), text).unwrap();
    }
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let archive = fs::read(data.join("ckpt-unpack/tests/data/g04-volumes.tar.xz")).unwrap();
    fs::write(at("web.ckpt"), &archive).unwrap();
    fs::write(at("cut.ckpt"), &archive[..5000]).unwrap();
    fs::copy(data.join("netstatus/tests/data/podman/one.network.status"), at("network.status")).unwrap();
    let made = typed("vol-archive create vol > vol.tar && gzip -c vol.tar | gzip > twice.tar.gz", dir.path());
    assert!(made.status.success(), "{made:?}");
    dir
}

fn typed(line: &str, dir: &Path) -> Output {
    let bin = tool("spec-gen").parent().unwrap().to_owned();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut bash = Command::new("bash");
    bash.args(["-o", "pipefail", "-c", line]).current_dir(dir).env("PATH", path);
    bash.stdin(Stdio::null()).output().unwrap()
}

fn tree(dir: &Path) -> BTreeSet<String> {
    let listed = Command::new("find").arg(dir).args(["-printf", "%P %s %y\n"]).output().unwrap();
    String::from_utf8(listed.stdout).unwrap().lines().map(|line| line.to_owned()).collect()
}

fn judge(Mistake(line, status, error, help): &Mistake, dir: &Path) -> Result<(), String> {
    let before = tree(dir);
    let output = typed(line, dir);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let wrong = |what: &str| Err(format!("{line}\n  {what}\n{stderr}"));
    if output.status.code() != Some(*status) {
        return wrong(&format!("status {:?}, not {status}", output.status.code()));
    }
    let name = line.rsplit("| ").next().and_then(|last| last.split(' ').next()).unwrap_or_default();
    let first = stderr.lines().position(|line| line.starts_with(&format!("{name}: error: ")));
    let Some(first) = first else { return wrong("no error message with the tool's name") };
    let message: String = stderr.lines().skip(first).flat_map(|line| [line, "\n"]).collect();
    if !message.contains(error) {
        return wrong(&format!("the error lacks {error:?}"));
    }
    if !message.contains(help) {
        return wrong(&format!("the help lacks {help:?}"));
    }
    for never in ["os error", "panicked", "failed to", "Error {", "internal error", "Some("] {
        if stderr.contains(never) {
            return wrong(&format!("a message contains {never:?}"));
        }
    }
    // A producer of a member stream writes only a failure record.
    let expected = if line.contains("create --member") { &b".failed\0"[..] } else { b"" };
    if !output.stdout.starts_with(expected) || (expected.is_empty() && !output.stdout.is_empty()) {
        return wrong("unexpected output, or no failure record");
    }
    if tree(dir) != before {
        return wrong("files were changed");
    }
    Ok(())
}

fn all_have_helpful_errors(mistakes: &[Mistake]) {
    let dir = workdir();
    let wrong: Vec<String> = mistakes.iter().filter_map(|m| judge(m, dir.path()).err()).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn mistakes_with_vol_archive_have_helpful_errors() {
    all_have_helpful_errors(VOL_ARCHIVE);
}

#[test]
fn mistakes_with_rootfs_diff_have_helpful_errors() {
    all_have_helpful_errors(ROOTFS_DIFF);
}

#[test]
fn mistakes_with_ckpt_pack_have_helpful_errors() {
    all_have_helpful_errors(CKPT_PACK);
}

#[test]
fn mistakes_with_ckpt_unpack_have_helpful_errors() {
    all_have_helpful_errors(CKPT_UNPACK);
}

#[test]
fn mistakes_with_netstatus_have_helpful_errors() {
    all_have_helpful_errors(NETSTATUS);
}

#[test]
fn mistakes_with_spec_gen_have_helpful_errors() {
    all_have_helpful_errors(SPEC_GEN);
}

#[test]
fn the_tables_have_sixty_mistakes() {
    let all = [VOL_ARCHIVE, ROOTFS_DIFF, CKPT_PACK, CKPT_UNPACK, NETSTATUS, SPEC_GEN];
    let lines: BTreeSet<&str> = all.iter().flat_map(|table| table.iter().map(|m| m.0)).collect();
    assert!(lines.len() >= 60, "{}", lines.len());
}
