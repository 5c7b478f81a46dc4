//! Runs the built binary: messages, exit statuses, listings, layers, and the files left after a
//! failure.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const TOOL: &str = env!("CARGO_BIN_EXE_rootfs-diff");

fn run(args: &[&str], input: &[u8]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("input");
    fs::write(&file, input).unwrap();
    let input = Stdio::from(fs::File::open(&file).unwrap());
    Command::new(TOOL).args(args).stdin(input).output().unwrap()
}

#[track_caller]
fn fails(output: &Output, status: i32, message: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{stderr}");
    assert!(stderr.contains(message), "{stderr}");
}

#[track_caller]
fn succeeds(output: Output) -> Vec<u8> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Two directories, `from` and `to`.
struct Trees(tempfile::TempDir);

impl Trees {
    fn new() -> Trees {
        let trees = Trees(tempfile::tempdir().unwrap());
        for tree in ["from", "to"] {
            fs::create_dir_all(trees.at(tree).join("etc")).unwrap();
            fs::create_dir_all(trees.at(tree).join("gone/deep")).unwrap();
            fs::write(trees.at(tree).join("etc/conf"), "one\ntwo\nthree\n").unwrap();
            fs::write(trees.at(tree).join("etc/same"), "same\n").unwrap();
            fs::write(trees.at(tree).join("bin"), b"\0\x01").unwrap();
        }
        // All files get the same time, so that only the changes below differ.
        let script = "find from to -depth -exec touch -h -d @1000000000.5 {} +";
        assert!(
            Command::new("sh").args(["-c", script]).current_dir(trees.0.path()).status().unwrap().success()
        );
        fs::write(trees.at("to").join("etc/conf"), "one\n2\nthree\n").unwrap();
        fs::write(trees.at("to").join("bin"), b"\0\x02").unwrap();
        fs::write(trees.at("to").join("etc/new"), "new\n").unwrap();
        fs::remove_dir_all(trees.at("to").join("gone")).unwrap();
        trees
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    fn args<'a>(&self, verb: &'a str, from: &'a str, to: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&[verb, "--from", from, "--to", to], more].concat()
    }

    fn run(&self, verb: &str, more: &[&str]) -> Output {
        run(&self.args(verb, &self.text("from"), &self.text("to"), more), b"")
    }
}

#[test]
fn usage_errors_exit_with_2_and_say_what_to_do() {
    for (args, message) in [
        (&["create", "--rootfs", "/"][..], "no file given for the list of deletions"),
        (&["create", "--members"], "no source given"),
        (&["list", "--upper", "/tmp"], "--lower"),
        (&["list", "--rootfs", "/", "--from", "/", "--to", "/"], "cannot be used with"),
        (&["list", "--rootfs", "/", "--to", "/tmp"], "cannot be used with"),
        (&["list", "--rootfs", "/", "--from", "/tmp"], "cannot be used with"),
        (&["list", "--from", "/", "--to", "/", "--upper", "/tmp"], "cannot be used with"),
        (&["list", "--from", "/", "--to", "/", "--lower", "/tmp"], "cannot be used with"),
        (&["list", "--from", "/", "--to", "/", "--userxattr"], "cannot be used with"),
        (&["create", "--members", "--deleted", "x", "--rootfs", "/"], "cannot be used with"),
        (
            &["create", "--format", "oci", "--members", "--from", "/tmp", "--to", "/tmp"],
            "holds its deletions",
        ),
        (&["list", "--from", "/tmp", "--to", "/tmp", "--exclude", "/"], "nothing would be left"),
        (&["list", "--from", "/tmp", "--to", "/tmp", "--exclude", "a/../b"], "name with '..'"),
        (&["apply"], "--rootfs"),
        (&["create", "--deleted", "-", "--rootfs", "/"], "--deleted -: the diff is written to the same file"),
        (&["create", "--deleted", "./x", "-o", "x", "--rootfs", "/"], "the diff is written to the same file"),
        (&["create", "--deleted", "x", "-o", "x0", "--rootfs", "/"], "the diff is written to the same file"),
    ] {
        fails(&run(args, b""), 2, message);
    }
}

#[test]
fn a_plain_directory_is_refused_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&["list", "--rootfs", dir.path().to_str().unwrap()], b"");
    fails(&output, 1, "expected an overlay mount");
    fails(&output, 1, "hint: name the layers");
    fails(&run(&["list", "--rootfs", "/nonexistent"], b""), 1, "/nonexistent: No such file");
    fails(&run(&["list", "--from", "/nonexistent", "--to", "/"], b""), 1, "/nonexistent: No such file");
}

#[test]
fn changes_are_listed_as_podman_diff_lists_them() {
    let trees = Trees::new();
    let text = String::from_utf8(succeeds(trees.run("list", &[]))).unwrap();
    assert_eq!(text, "C /\nC /bin\nC /etc\nC /etc/conf\nA /etc/new\nD /gone\n");
    let null = succeeds(trees.run("list", &["-0", "--exclude", "/etc"]));
    assert_eq!(null, b"C /\0C /bin\0D /gone\0");
    let json: serde_json::Value = serde_json::from_slice(&succeeds(trees.run("list", &["--json"]))).unwrap();
    assert_eq!(json[4]["change"], "added");
    assert_eq!(json[4]["path"], "/etc/new");
}

#[test]
fn exclude_takes_wildcards_and_warns_if_nothing_matches() {
    let trees = Trees::new();
    for (pattern, changes, warned) in [
        ("n*", "C /\nC /bin\nC /etc\nC /etc/conf\nD /gone\n", false),
        ("*c/*", "C /\nC /bin\nC /etc\nD /gone\n", false),
        ("/[be]*", "C /\nD /gone\n", false),
        ("gon?", "C /\nC /bin\nC /etc\nC /etc/conf\nA /etc/new\n", false),
        // The file exists, but is unchanged.
        ("/etc/same", "C /\nC /bin\nC /etc\nC /etc/conf\nA /etc/new\nD /gone\n", false),
        ("*.key", "C /\nC /bin\nC /etc\nC /etc/conf\nA /etc/new\nD /gone\n", true),
        ("same", "C /\nC /bin\nC /etc\nC /etc/conf\nA /etc/new\nD /gone\n", true),
    ] {
        let output = trees.run("list", &["--exclude", pattern]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let warning = format!("warning: --exclude {pattern}: matches nothing");
        assert_eq!(stderr.contains(&warning), warned, "{pattern}: {stderr}");
        let text = String::from_utf8(succeeds(output)).unwrap();
        assert_eq!(text, changes, "{pattern}");
    }
}

#[test]
fn a_patch_shows_what_changed_in_text_files() {
    let trees = Trees::new();
    let text = String::from_utf8(succeeds(trees.run("list", &["--patch"]))).unwrap();
    assert_eq!(
        text,
        "Binary files a/bin and b/bin differ\n\
         --- a/etc/conf\n+++ b/etc/conf\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n\
         --- /dev/null\n+++ b/etc/new\n@@ -0,0 +1 @@\n+new\n"
    );
    // The patch of equal trees is empty.
    let same = run(&trees.args("list", &trees.text("to"), &trees.text("to"), &["--patch"]), b"");
    assert!(succeeds(same).is_empty());
}

/// A removal header has no PAX extensions. A name that does not fit into the two fields of 100 and
/// 155 bytes is only in the list.
#[test]
fn a_deletion_that_is_only_in_the_list_is_reported() {
    for (name, is_reported) in [
        ("x".repeat(100), false),
        ("x".repeat(101), true),
        ("x".repeat(255), true),
        ([&*"y".repeat(60); 3].join("/"), false),
    ] {
        let trees = Trees::new();
        let gone = trees.at("from").join(&name);
        fs::create_dir_all(gone.parent().unwrap()).unwrap();
        fs::create_dir_all(trees.at("to").join(&name).parent().unwrap()).unwrap();
        fs::write(&gone, "").unwrap();
        let (from, to, list) = (trees.at("from"), trees.at("to"), trees.at("list"));
        let [from, to, list] = [&from, &to, &list].map(|path| path.to_str().unwrap());
        let output = run(&["create", "--from", from, "--to", to, "--deleted", list], b"");
        let found = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{found}");
        assert_eq!(found.contains("too long for a removal header"), is_reported, "{name}: {found}");
        succeeds(run(&["apply", "--rootfs", from, "--deleted", list], &output.stdout));
        assert!(!gone.exists(), "{name}");
    }
}

#[test]
fn a_layer_holds_its_deletions_as_whiteouts() {
    let trees = Trees::new();
    let layer = succeeds(trees.run("create", &["--format", "oci"]));
    fs::write(trees.at("layer"), layer).unwrap();
    let listing = Command::new("tar").args(["-tf", &trees.text("layer")]).output().unwrap();
    let names = String::from_utf8(listing.stdout).unwrap();
    assert_eq!(names, "./\nbin\netc/\netc/conf\netc/new\n.wh.gone\n");
    fs::write(trees.at("to").join("etc/.wh.x"), "").unwrap();
    fails(&trees.run("create", &["--format", "oci"]), 1, "etc/.wh.x: a name that begins with '.wh.'");
}

#[test]
fn a_hard_link_in_a_layer_never_leads_outside_it() {
    let trees = Trees::new();
    fs::hard_link(trees.at("to").join("etc/same"), trees.at("to").join("link")).unwrap();
    let list = |args: &[&str]| {
        let tar = succeeds(trees.run("create", args));
        fs::write(trees.at("tar"), tar).unwrap();
        let listing = Command::new("tar").args(["-tPf", &trees.text("tar")]).output().unwrap();
        String::from_utf8(listing.stdout).unwrap()
    };
    let deleted = trees.text("deleted");
    // The diff for podman links to a file of the old tree; a layer contains that file.
    assert!(!list(&["--deleted", &deleted]).contains("etc/same"));
    assert!(list(&["--format", "oci"]).contains("etc/same"));
}

#[test]
fn a_failed_create_leaves_nothing_under_the_final_name() {
    let trees = Trees::new();
    let out = trees.text("out");
    let deleted = trees.text("deleted");
    let args = ["-o", &out, "--deleted", &deleted, "--uidmap", "0:4000000000:1"];
    fails(&trees.run("create", &args), 1, "is not in the id map");
    assert!(!trees.at("out").exists() && !trees.at("deleted").exists());
}

#[test]
fn only_the_owner_can_read_the_archive() {
    let trees = Trees::new();
    succeeds(trees.run("create", &["-o", &trees.text("out"), "--deleted", &trees.text("deleted")]));
    assert_eq!(fs::metadata(trees.at("out")).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_dry_run_prints_the_steps_and_changes_nothing() {
    let trees = Trees::new();
    let stream = succeeds(trees.run("create", &["--members"]));
    let target = trees.text("from");
    let shown = succeeds(run(&["apply", "--members", "--dry-run", "--rootfs", &target], &stream));
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("remove /gone\n") && shown.contains("set /etc/new\n"), "{shown}");
    assert!(trees.at("from").join("gone/deep").exists() && !trees.at("from").join("etc/new").exists());
}

#[test]
fn malformed_input_is_refused_by_name() {
    let trees = Trees::new();
    let stream = succeeds(trees.run("create", &["--members"]));
    let target = trees.text("from");
    let apply = ["apply", "--members", "--rootfs", &target];
    fails(
        &run(&apply, b"not a tar"),
        1,
        "standard input: expected a tar, found text that begins with \"not a tar\"",
    );
    fails(&run(&apply, &[b'x'; 2048]), 1, "expected a tar, found text");
    fails(&run(&apply, b""), 1, "standard input: is empty, expected a tar");
    fails(&run(&apply, &stream[..stream.len() - 1024]), 1, "ends too early");
    fails(&run(&["apply", "--rootfs", "/nonexistent"], &stream), 1, "/nonexistent: No such file");
    let list = trees.text("list");
    for (json, message) in [
        (r#"["/../etc"]"#, "'..'"),
        (r#"["/"]"#, "the root itself"),
        ("{", "invalid type: map"),
        ("[", "EOF"),
        ("[1]", "invalid type"),
    ] {
        fs::write(trees.at("list"), json).unwrap();
        fails(&run(&["apply", "--rootfs", &target, "--deleted", &list], b""), 1, message);
    }
}

#[test]
fn nothing_is_written_through_a_symbolic_link() {
    let trees = Trees::new();
    let (target, outside) = (trees.at("from"), trees.at("outside"));
    fs::create_dir(&outside).unwrap();
    fs::create_dir(trees.at("to").join("d")).unwrap();
    fs::write(trees.at("to").join("d/f"), "x").unwrap();
    let stream = succeeds(trees.run("create", &["--members", "--exclude", "d"]));
    succeeds(run(&["apply", "--members", "--rootfs", target.to_str().unwrap()], &stream));
    let stream =
        succeeds(run(&trees.args("create", &trees.text("from"), &trees.text("to"), &["--members"]), b""));
    // The entry of the directory replaces the link, and the next entry goes into the new directory.
    symlink(&outside, target.join("d")).unwrap();
    succeeds(run(&["apply", "--members", "--rootfs", target.to_str().unwrap()], &stream));
    assert!(target.join("d/f").exists());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[ignore = "needs root"]
#[test]
fn apply_works_on_directories_without_permissions() {
    let trees = Trees::new();
    let etc = trees.at("from").join("etc");
    fs::set_permissions(etc.join("conf"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::set_permissions(&etc, fs::Permissions::from_mode(0o0)).unwrap();
    let stream = succeeds(trees.run("create", &["--members"]));
    succeeds(run(&["apply", "--members", "--rootfs", &trees.text("from")], &stream));
    assert_eq!(fs::read(etc.join("conf")).unwrap(), b"one\n2\nthree\n");
    assert_eq!(fs::metadata(&etc).unwrap().mode() & 0o777, 0o755);
}

#[test]
fn files_below_mount_destinations_are_skipped() {
    let trees = Trees::new();
    fs::create_dir(trees.at("to").join("data")).unwrap();
    fs::write(trees.at("to").join("data/hidden"), "").unwrap();
    fs::write(trees.at("config.json"), r#"{"mounts":[{"destination":"/data","type":"bind"}]}"#).unwrap();
    let text =
        String::from_utf8(succeeds(trees.run("list", &["--config", &trees.text("config.json")]))).unwrap();
    assert!(text.contains("A /data\n") && !text.contains("hidden"), "{text}");
    fs::write(trees.at("config.json"), r#"{"mounts":[{"type":"bind"}]}"#).unwrap();
    fails(&trees.run("list", &["--config", &trees.text("config.json")]), 1, "a mount without a destination");
    assert!(Path::new(&trees.text("config.json")).exists());
}

#[test]
fn a_write_that_keeps_the_mtime_is_seen_unless_trusted() {
    let trees = Trees::new();
    fs::write(trees.at("to").join("etc/same"), "SAME\n").unwrap();
    xattr::set(trees.at("to").join("etc/conf"), "user.note", b"1").unwrap();
    fs::write(trees.at("to").join("etc/conf"), "one\ntwo\nthree\n").unwrap();
    let script = "find to -depth -exec touch -h -d @1000000000.5 {} +";
    assert!(Command::new("sh").args(["-c", script]).current_dir(trees.0.path()).status().unwrap().success());
    let list = |more: &[&str]| String::from_utf8(succeeds(trees.run("list", more))).unwrap();
    assert_eq!(list(&[]), "C /bin\nC /etc/conf\nA /etc/new\nC /etc/same\nD /gone\n");
    // Xattrs are still compared.
    assert_eq!(list(&["--trust-mtime"]), "C /etc/conf\nA /etc/new\nD /gone\n");
    // A difference of one nanosecond counts.
    let script = "touch -d @1000000000.500000001 to/bin";
    assert!(Command::new("sh").args(["-c", script]).current_dir(trees.0.path()).status().unwrap().success());
    assert_eq!(list(&["--trust-mtime"]), "C /bin\nC /etc/conf\nA /etc/new\nD /gone\n");
}

#[test]
fn a_removed_xattr_of_the_root_directory_is_reported() {
    let trees = Trees::new();
    xattr::set(trees.at("from"), "user.note", b"x").unwrap();
    let warning = "/: the removal of an extended attribute of the root directory, not archived";
    fails(&trees.run("create", &["--members"]), 0, warning);
    xattr::set(trees.at("to"), "user.note", b"y").unwrap();
    let created = trees.run("create", &["--members"]);
    assert!(created.stderr.is_empty(), "{}", String::from_utf8_lossy(&created.stderr));
}

/// A file that vanishes is reported like a file that shrinks, and everything else is archived.
#[test]
fn a_file_that_vanishes_is_reported_and_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["old", "new"] {
        fs::create_dir(at(name)).unwrap();
    }
    fs::write(at("new/stays"), "").unwrap();
    let stop = AtomicBool::new(false);
    let runs: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                for i in 0..20 {
                    fs::create_dir_all(at(&format!("new/d{i}/e"))).unwrap();
                }
                for i in 0..20 {
                    fs::remove_dir_all(at(&format!("new/d{i}"))).unwrap();
                }
            }
        });
        let args = ["create", "--members", "--from", "old", "--to", "new"];
        let run = |_| Command::new(TOOL).args(args).current_dir(dir.path()).output();
        let runs = (0..200).map(run).collect();
        stop.store(true, Relaxed);
        runs
    });
    for run in runs {
        let run = run.unwrap();
        let stderr = String::from_utf8_lossy(&run.stderr);
        assert!(matches!(run.status.code(), Some(0 | 3)), "{stderr}");
        assert_eq!(run.status.code() == Some(3), stderr.contains("vanished while it was read"), "{stderr}");
        assert!(run.stdout.windows(5).any(|bytes| bytes == b"stays"));
    }
}

#[test]
fn a_member_stream_without_members_is_refused() {
    let trees = Trees::new();
    let stream = succeeds(trees.run("create", &["--members"]));
    let before = fs::read_dir(trees.at("from")).unwrap().count();
    let applied = run(&["apply", "--rootfs", trees.at("from").to_str().unwrap()], &stream);
    fails(&applied, 1, "standard input: is a member stream, expected the changes of a root file system");
    fails(&applied, 1, "hint: a member stream is applied with --members");
    assert_eq!(fs::read_dir(trees.at("from")).unwrap().count(), before);
}
