//! Runs every case of `cases.sh` on a real overlay mount. The diff must have the expected entries,
//! and must turn a copy of the old tree into the new tree.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Options, host};
use tartree::{Item, Kind, Limits, Reader};

const TOOL: &str = env!("CARGO_BIN_EXE_rootfs-diff");

/// A case that has been built and mounted.
struct Case {
    name: String,
    dir: PathBuf,
}

impl Case {
    fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Returns the lower directories in the form of the mount option.
    fn lowers(&self) -> String {
        let mut lowers = self.at("l").display().to_string();
        if self.at("l2").exists() {
            lowers += &format!(":{}", self.at("l2").display());
        }
        lowers
    }

    /// Returns a new copy of the old tree.
    fn target(&self) -> PathBuf {
        let target = self.at("t");
        let _ = fs::remove_dir_all(&target);
        fs::create_dir(&target).unwrap();
        bash(&format!(
            "cp -a --sparse=always '{0}/base/.' '{1}/' && touch -r '{0}/base' '{1}'",
            self.dir.display(),
            target.display()
        ));
        target
    }

    /// Returns the differences between the mounted tree and `target`, except sockets, which a tar
    /// cannot hold.
    fn differences(&self, target: &Path) -> Vec<String> {
        let mut options = Options::default();
        options.ignore.insert("socket".into());
        if self.name == "file_to_socket" {
            options.ignore.insert("only".into());
        }
        let found = harness::differences(&self.at("m"), target, &options).unwrap();
        found.into_iter().filter(|line| !line.contains("trusted.overlay.")).collect()
    }
}

fn bash(script: &str) -> String {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases.sh");
    let script = format!(". '{}'; {script}", cases.display());
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs the tool. Returns its standard error if it fails.
fn tool<S: AsRef<OsStr>>(args: &[S], input: Option<&Path>) -> Result<(), String> {
    let mut command = Command::new(TOOL);
    command.args(args);
    if let Some(input) = input {
        command.stdin(fs::File::open(input).unwrap());
    }
    let output = command.output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Builds every case and passes it to `check`. Reports every failure at the end.
fn each(check: impl Fn(&Case) -> Result<(), String>) {
    host::own_mounts();
    let names = bash(r#"printf '%s\n' "${CASES[@]}""#);
    let mut failed = Vec::new();
    for name in names.lines() {
        let dir = tempfile::tempdir().unwrap();
        let case = Case { name: name.into(), dir: dir.path().join("case") };
        let path = case.dir.display();
        bash(&format!("cases_build {name} '{path}' >/dev/null 2>&1 && cases_base '{path}'"));
        if let Err(why) = check(&case) {
            failed.push(format!("{name}: {why}"));
        }
        bash(&format!("umount '{path}/m' '{path}/base'; true"));
    }
    assert!(names.lines().count() >= 65, "cases are missing");
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}

/// Creates the diff with the arguments that `create` returns, applies it twice, and compares the
/// trees.
fn round_trip(create: impl Fn(&Case) -> Vec<String>) {
    each(|case| {
        let (tar, list) = (case.at("diff.tar"), case.at("deleted.files"));
        let mut args = vec!["create".to_owned()];
        args.extend(create(case));
        args.extend(["--deleted".into(), list.display().to_string(), "-o".into(), tar.display().to_string()]);
        tool(&args, None)?;
        let target = case.target();
        let apply = ["apply", "--rootfs", target.to_str().unwrap(), "--deleted", list.to_str().unwrap()];
        for time in ["once", "twice"] {
            tool(&apply, Some(&tar))?;
            let found = case.differences(&target);
            if !found.is_empty() {
                return Err(format!("applied {time}: {}", found.join("; ")));
            }
        }
        Ok(())
    });
}

#[ignore = "needs root"]
#[test]
fn a_mounted_overlay_survives() {
    round_trip(|case| vec!["--rootfs".into(), case.at("m").display().to_string()]);
}

#[ignore = "needs root"]
#[test]
fn upper_and_lower_directories_survive() {
    round_trip(|case| {
        vec!["--upper".into(), case.at("u").display().to_string(), "--lower".into(), case.lowers()]
    });
}

#[ignore = "needs root"]
#[test]
fn two_trees_survive() {
    round_trip(|case| {
        vec![
            "--from".into(),
            case.at("base").display().to_string(),
            "--to".into(),
            case.at("m").display().to_string(),
        ]
    });
}

#[ignore = "needs root"]
#[test]
fn a_diff_without_inband_removals_survives() {
    round_trip(|case| {
        vec!["--rootfs".into(), case.at("m").display().to_string(), "--inband-removals=false".into()]
    });
}

#[ignore = "needs root"]
#[test]
fn a_member_stream_survives() {
    each(|case| {
        let stream = case.at("stream");
        let (rootfs, stream_path) = (case.at("m"), stream.to_str().unwrap());
        tool(&["create", "--members", "--rootfs", rootfs.to_str().unwrap(), "-o", stream_path], None)?;
        let target = case.target();
        tool(&["apply", "--members", "--rootfs", target.to_str().unwrap()], Some(&stream))?;
        let found = case.differences(&target);
        if found.is_empty() { Ok(()) } else { Err(found.join("; ")) }
    });
}

/// Writes the diff of each case as a layer, in both forms, and compares the overlay of the layer and
/// the lower directories with the container's root file system.
#[ignore = "needs root"]
#[test]
fn an_overlay_layer_shows_the_same_tree() {
    each(|case| {
        let (stream, rootfs, base) = (case.at("stream"), case.at("m"), case.at("base"));
        let (rootfs, base) = (rootfs.to_str().unwrap(), base.to_str().unwrap());
        for (name, flag) in [("trusted", &[][..]), ("user", &["--userxattr"][..])] {
            tool(&["create", "--members", "--rootfs", rootfs, "-o", stream.to_str().unwrap()], None)?;
            let layer = case.at(name);
            let apply = ["apply", "--members", "--rootfs", base, "--layer", layer.to_str().unwrap()];
            tool(&[&apply, flag].concat(), Some(&stream))?;
            // With userxattr, the kernel ignores the xattrs of the lower directories.
            let (lowers, option) = match name {
                "user" => (base.to_owned(), ",userxattr"),
                _ => (case.lowers(), ""),
            };
            let (shown, layer) = (case.at("shown"), layer.display());
            bash(&format!(
                "mkdir -p '{0}' && mount -t overlay overlay -o 'lowerdir={layer}:{lowers}{option}' '{0}'",
                shown.display()
            ));
            let found = case.differences(&shown);
            bash(&format!("umount '{}'", shown.display()));
            if !found.is_empty() {
                return Err(format!("{name}: {}", found.join("; ")));
            }
        }
        Ok(())
    });
}

/// Each case names entries and deletions: `T path[ -> target]` and `D /path` must be in the diff,
/// `N path` must not.
#[ignore = "needs root"]
#[test]
fn the_diff_holds_what_changed_and_nothing_else() {
    each(|case| {
        let (tar, list) = (case.at("diff.tar"), case.at("deleted.files"));
        let rootfs = case.at("m");
        let args = ["create", "--rootfs", rootfs.to_str().unwrap(), "-o", tar.to_str().unwrap(), "--deleted"];
        tool(&[&args[..], &[list.to_str().unwrap()]].concat(), None)?;
        let entries = entries(&tar);
        let deleted: BTreeSet<String> = serde_json::from_slice(&fs::read(&list).unwrap()).unwrap();
        let expected = bash(&format!(r#"printf '%s\n' "$expect_{}""#, case.name));
        let mut lines: Vec<String> = Vec::new();
        for line in expected.lines().filter(|line| !line.is_empty()) {
            match (lines.last_mut(), ["T ", "D ", "N "].iter().any(|kind| line.starts_with(kind))) {
                // The previous line ends with a newline that is part of the name.
                (Some(last), false) => *last += &format!("\n{line}"),
                _ => lines.push(line.into()),
            }
        }
        let mut expected_deleted = BTreeSet::new();
        for line in &lines {
            let (kind, path) = line.split_at(2);
            match kind {
                "T " if !has(&entries, path) => {
                    return Err(format!("no entry {path}; there are {entries:?}"));
                }
                "N " if has(&entries, path) => return Err(format!("an entry {path}")),
                "D " => {
                    expected_deleted.insert(path.to_owned());
                }
                _ => {}
            }
        }
        // Names that are not UTF-8 are in the NUL-separated list.
        let names: BTreeSet<String> =
            expected_deleted.into_iter().filter(|path| !path.contains(char::REPLACEMENT_CHARACTER)).collect();
        // The case many_small has too many names for the table. The round trips compare its trees.
        if deleted == names || case.name == "many_small" {
            Ok(())
        } else {
            Err(format!("deleted {deleted:?}, expected {names:?}"))
        }
    });
}

/// Returns whether `entries` has `path`. Names that are not UTF-8 have `\xNN` in `entries`, and
/// U+FFFD in `path`.
fn has(entries: &BTreeSet<String>, path: &str) -> bool {
    entries.contains(path)
        || (path.contains(char::REPLACEMENT_CHARACTER) && entries.iter().any(|entry| entry.contains("\\x")))
}

fn entries(tar: &Path) -> BTreeSet<String> {
    let mut reader = Reader::new(fs::File::open(tar).unwrap(), Limits::default());
    let mut entries = BTreeSet::new();
    while let Some(item) = reader.next().unwrap() {
        let Item::Entry(entry) = item else { continue };
        let path = if entry.path.is_root() { ".".into() } else { entry.path.to_string() };
        match entry.kind {
            Kind::Dir if path != "." => entries.insert(format!("{path}/")),
            Kind::HardLink { target } => {
                entries.insert(format!("{path} -> {target}")) && entries.insert(path)
            }
            _ => entries.insert(path),
        };
    }
    entries
}
