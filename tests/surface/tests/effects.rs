//! Combines each flag of `ckpt-pack` and `ckpt-unpack` with each action. The flag must have an
//! effect, or be rejected by name.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use harness::tools::tool;
use tempfile::TempDir;

/// A name for the action, and the arguments that request it.
type Action = (&'static str, &'static str);

/// A flag with a value, and the names of the actions on which it has an effect. With `~` in front
/// of the name, the effect is not visible with the files of this test.
type Row = (&'static str, &'static str);

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

/// Flags of all tools, which change only messages.
const COMMON: &[&str] = &["--help", "--version", "--verbose", "--quiet", "--progress", "--completions"];

/// Creates a directory with archives and an unpacked bundle.
fn workdir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ckpt-unpack/tests/data");
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
        let output = run(dir.path(), line);
        assert!(output.status.success(), "{line}: {output:?}");
    }
    fs::remove_file(at("g04")).unwrap();
    fs::remove_file(at("done/config.dump")).unwrap();
    fs::rename(at("done/spec.dump"), at("done/config.json")).unwrap();
    dir
}

fn run(dir: &Path, line: &str) -> Output {
    let mut words = line.split(' ');
    let mut command = Command::new(tool(words.next().unwrap()));
    command.args(words).current_dir(dir).env("NO_COLOR", "1").env("SOURCE_DATE_EPOCH", "1");
    command.stdin(Stdio::null()).output().unwrap()
}

/// What a run of a tool prints and leaves behind.
#[derive(PartialEq)]
struct Outcome {
    status: Option<i32>,
    printed: (Vec<u8>, Vec<u8>),
    /// Hashes of the files.
    files: BTreeMap<String, u64>,
}

impl Outcome {
    fn new(output: &Output, files: BTreeMap<String, u64>) -> Outcome {
        let printed = (output.stdout.clone(), output.stderr.clone());
        Outcome { status: output.status.code(), printed, files }
    }
}

/// Runs `line` in a copy of `dir`.
fn outcome(dir: &Path, line: &str) -> Outcome {
    let copy = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-a").arg(dir.join(".")).arg(copy.path()).status().unwrap();
    assert!(copied.success());
    let output = run(copy.path(), line);
    let mut files = BTreeMap::new();
    add_files(copy.path(), "", &mut files);
    Outcome::new(&output, files)
}

fn add_files(dir: &Path, path: &str, files: &mut BTreeMap<String, u64>) {
    for entry in fs::read_dir(dir.join(path)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{path}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().unwrap();
        let mut hash = DefaultHasher::new();
        if kind.is_dir() {
            add_files(dir, &format!("{path}/"), files);
        } else if kind.is_file() {
            fs::read(entry.path()).unwrap().hash(&mut hash);
        }
        files.insert(path, hash.finish());
    }
}

/// Returns the wrong pairs.
fn wrong(tool: &str, actions: &[Action], rows: &[Row]) -> Vec<String> {
    let dir = workdir();
    let mut wrong = Vec::new();
    for (action, args) in actions {
        let (args, command) = args.split_once(" -- ").unwrap_or((args, ""));
        let line = |flag: &str| {
            let line = [tool, args, flag].join(" ").trim_end().to_owned();
            if command.is_empty() { line } else { format!("{line} -- {command}") }
        };
        let plain = outcome(dir.path(), &line(""));
        for (flag, effective) in rows {
            let name = flag.split([' ', '=']).next().unwrap();
            if args.split([' ', '=']).any(|arg| arg == name) {
                continue;
            }
            let line = line(flag);
            let is_effective = effective.split(' ').any(|word| word == *action);
            let is_hidden = effective.split(' ').any(|word| word.strip_prefix('~') == Some(action));
            // A rejected command changes nothing, so that it needs no copy of the files.
            let with = match is_effective || is_hidden {
                true => outcome(dir.path(), &line),
                false => Outcome::new(&run(dir.path(), &line), BTreeMap::new()),
            };
            let message = String::from_utf8_lossy(&with.printed.1).into_owned();
            let is_rejected = with.status == Some(2) && is_without_effect(&message);
            match (is_effective, is_hidden) {
                (true, _) | (_, true) if is_rejected => wrong.push(format!("{line}: rejected: {message}")),
                (true, _) if with == plain => wrong.push(format!("{line}: no effect: {message}")),
                (false, false) if with.status != Some(2) => {
                    wrong.push(format!("{line}: accepted: {message}"));
                }
                (false, false) if is_rejected && !message.contains(name) && name.starts_with('-') => {
                    wrong.push(format!("{line}: the message does not name the flag: {message}"));
                }
                _ => {}
            }
        }
    }
    wrong
}

/// Returns whether a message says that a flag has no effect or that flags exclude each other.
fn is_without_effect(message: &str) -> bool {
    ["has no effect", "cannot be used with", "not provided"].iter().any(|words| message.contains(words))
}

fn check(tool: &str, actions: &[Action], rows: &[Row]) {
    let help = run(Path::new("."), &format!("{tool} --help"));
    let help = String::from_utf8(help.stdout).unwrap();
    let flags = help.lines().filter_map(|line| {
        let line = line.trim_start();
        let flag =
            line.strip_prefix('-').and_then(|rest| rest.strip_prefix(|c: char| c.is_ascii_alphabetic()));
        let flag = flag.and_then(|rest| rest.strip_prefix(", ")).unwrap_or(line);
        flag.starts_with("--").then(|| flag.split([' ', '=', '[', '.']).next().unwrap().to_owned())
    });
    let known: BTreeSet<&str> = rows.iter().map(|(flag, _)| flag.split([' ', '=']).next().unwrap()).collect();
    let missing: Vec<String> =
        flags.filter(|flag| !known.contains(&**flag) && !COMMON.contains(&&**flag)).collect();
    assert!(missing.is_empty(), "flags without a row: {missing:?}");
    let wrong = wrong(tool, actions, rows);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn flags_of_ckpt_unpack_have_an_effect_or_are_rejected() {
    check("ckpt-unpack", UNPACK, UNPACK_FLAGS);
}

#[test]
fn flags_of_ckpt_pack_have_an_effect_or_are_rejected() {
    check("ckpt-pack", PACK, PACK_FLAGS);
}
