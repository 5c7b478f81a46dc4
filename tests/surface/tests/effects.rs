//! Combines each flag of each tool with each action. The flag must have an effect, or be rejected by
//! name.

#[path = "effects/checkpoints.rs"]
mod checkpoints;
#[path = "effects/netstatus.rs"]
mod netstatus;
#[path = "effects/spec_gen.rs"]
mod spec_gen;
#[path = "effects/trees.rs"]
mod trees;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use harness::tools::tool;

/// A name for the action, and the arguments that request it. Flags are inserted before ` -- ` and
/// ` < FILE`.
type Action = (&'static str, &'static str);

/// A flag with a value, or with another flag, and the names of the actions on which it has an effect. With `~` in front
/// of the name, the effect is not visible with the files of this test.
type Row = (&'static str, &'static str);

/// Flags of all tools, which change only messages.
const COMMON: &[&str] = &["--help", "--version", "--verbose", "--quiet", "--progress", "--completions"];

/// Returns the directory with the test data of a tool.
fn data(tool: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(tool).join("tests/data")
}

/// Runs a command line of words that are separated by spaces, which may end with ` < FILE`.
fn run(dir: &Path, line: &str) -> Output {
    let (line, input) = line.split_once(" < ").unwrap_or((line, ""));
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let mut command = Command::new(tool(words.next().unwrap()));
    command.args(words).current_dir(dir).env("NO_COLOR", "1").env("SOURCE_DATE_EPOCH", "1");
    let input =
        if input.is_empty() { Stdio::null() } else { fs::File::open(dir.join(input)).unwrap().into() };
    command.stdin(input).output().unwrap()
}

/// Runs a command line that creates files of the test.
fn make(dir: &Path, line: &str) {
    let output = run(dir, line);
    assert!(output.status.success(), "{line}: {output:?}");
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
    let mut output = run(copy.path(), line);
    // The name of the copy is different each time.
    let name = copy.path().to_str().unwrap();
    for printed in [&mut output.stdout, &mut output.stderr] {
        if let Ok(text) = std::str::from_utf8(printed) {
            *printed = text.replace(name, "DIR").into_bytes();
        }
    }
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
fn wrong(dir: &Path, tool: &str, actions: &[Action], rows: &[Row]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (action, args) in actions {
        let end = args.find(" -- ").or(args.find(" < ")).unwrap_or(args.len());
        let (args, rest) = args.split_at(end);
        let line = |flag: &str| format!("{tool} {args} {flag}{rest}");
        let plain = outcome(dir, &line(""));
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
                true => outcome(dir, &line),
                false => Outcome::new(&run(dir, &line), BTreeMap::new()),
            };
            let message = String::from_utf8_lossy(&with.printed.1).into_owned();
            let is_rejected = with.status == Some(2) && is_without_effect(&message);
            match (is_effective, is_hidden) {
                (true, _) | (_, true) if is_rejected => wrong.push(format!("{line}: rejected: {message}")),
                (true, _) if with == plain => wrong.push(format!("{line}: no effect: {message}")),
                (false, false) if with.status != Some(2) => {
                    wrong.push(format!("{line}: accepted: {message}"));
                }
                (false, false) if is_rejected && !names(tool, &message, name) => {
                    wrong.push(format!("{line}: the message does not name the flag: {message}"));
                }
                _ => {}
            }
        }
    }
    wrong
}

/// Returns whether a message names the flag.
fn names(tool: &str, message: &str, flag: &str) -> bool {
    // The usage line of clap names the flag that needs the missing one; spec-gen has its own line.
    let is_missing = tool == "spec-gen" && message.contains("not provided");
    message.contains(flag) || is_missing || !flag.starts_with('-')
}

/// Returns whether a message says that a flag has no effect or that flags exclude each other.
fn is_without_effect(message: &str) -> bool {
    ["has no effect", "cannot be used with", "not provided", "valid only", "conflict"]
        .iter()
        .any(|words| message.contains(words))
}

fn check(dir: &Path, tool: &str, actions: &[Action], rows: &[Row]) {
    let help = run(Path::new("."), &format!("{tool} --help"));
    let help = String::from_utf8(help.stdout).unwrap();
    let flags = help.lines().filter_map(|line| {
        let line = line.trim_start();
        let flag =
            line.strip_prefix('-').and_then(|rest| rest.strip_prefix(|c: char| c.is_ascii_alphanumeric()));
        let flag = flag.and_then(|rest| rest.strip_prefix(", ")).unwrap_or(line);
        flag.starts_with("--").then(|| flag.split([' ', '=', '[', ']', '.']).next().unwrap().to_owned())
    });
    let known: BTreeSet<&str> = rows.iter().map(|(flag, _)| flag.split([' ', '=']).next().unwrap()).collect();
    let missing: Vec<String> =
        flags.filter(|flag| !known.contains(&**flag) && !COMMON.contains(&&**flag)).collect();
    assert!(missing.is_empty(), "flags without a row: {missing:?}");
    let wrong = wrong(dir, tool, actions, rows);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
