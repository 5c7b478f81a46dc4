//! Packs while a command dumps. A shell script takes the place of the runtime and CRIU; a pre-dump
//! needs no cgroup, so these tests need no root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use checkpoint::archive::{ArchiveReader, Unknown};

struct TestDir {
    dir: tempfile::TempDir,
}

impl TestDir {
    fn new() -> TestDir {
        let test = TestDir { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(test.path("web")).unwrap();
        fs::write(test.path("web/config.json"), r#"{"ociVersion":"1.2.0","mounts":[]}"#).unwrap();
        test
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Packs what `script` writes into the image directory, its working directory.
    fn pack(&self, options: &[&str], script: &str) -> Output {
        let mut container = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = container.id().to_string();
        let images = self.path("web/pre-checkpoint");
        let script = format!("cd {} && {{\n{script}\n}}", images.display());
        let output = Command::new(env!("CARGO_BIN_EXE_ckpt-pack"))
            .args(["--bundle", "web", "--pre-checkpoint", "--pid", &pid, "-o", "web.ckpt"])
            .args(options)
            .args(["--", "sh", "-c", &script])
            .current_dir(self.dir.path())
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        container.kill().unwrap();
        container.wait().unwrap();
        output
    }

    fn members(&self) -> Vec<(String, u64)> {
        let archive = fs::read(self.path("web.ckpt")).unwrap();
        let mut reader = ArchiveReader::new(&archive[..], Unknown::Refuse).unwrap();
        let mut members = Vec::new();
        while let Some((member, entry)) = reader.next().unwrap() {
            members.push((member.to_string(), entry.kind.data_len()));
        }
        members
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Writes two images as CRIU does: the pagemap image is created before its pages.
const DUMP: &str = "
    echo map >pagemap-1.img; printf pages >pages-1.img
    echo map >pagemap-shmem-7.img; : >pages-2.img
    echo fs >fs-1.img; echo log >dump.log; echo from the command";

#[test]
fn pages_precede_the_other_members_and_zeros_follow_them() {
    let test = TestDir::new();
    let output = test.pack(&[], DUMP);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("from the command"));
    assert!(output.stdout.is_empty());
    let members = test.members();
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    let first = ["pre-checkpoint", "pre-checkpoint/pages-1.img", "pre-checkpoint/pages-2.img", "config.dump"];
    assert_eq!(names[..4], first, "{names:?}");
    assert!(names.contains(&"pre-checkpoint/fs-1.img") && names.contains(&"pre-checkpoint/dump.log"));
    let archive = fs::read(test.path("web.ckpt")).unwrap();
    let start = archive.windows(6).position(|bytes| bytes == b"pages\0").unwrap();
    let size = usize::try_from(members[1].1).unwrap();
    assert!(archive[start + 5..start + size].iter().all(|&byte| byte == 0));
    // CRIU needs the images of a pre-dump for the dump after it, but not the pages.
    let left = names_in(&test.path("web/pre-checkpoint"));
    assert!(left.contains(&"pagemap-1.img".to_owned()), "{left:?}");
    assert_eq!(fs::metadata(test.path("web/pre-checkpoint/pages-1.img")).unwrap().len(), 0);
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_failure_leaves_no_archive_and_no_links() {
    let test = TestDir::new();
    for (options, script, message) in [
        (&[][..], "printf pages >pages-1.img; exit 7", "COMMAND failed, see its error above: exit status: 7"),
        // The script ends because its output has no reader any more.
        (&[], "echo m >pagemap-1.img; cat /dev/zero >pages-1.img", "CRIU dumps more than the predicted"),
        (
            &["--stall-timeout", "0.3"],
            "exec 3>pages-1.img; while printf x >&3; do sleep 1; done",
            "no progress for 0.3 s, dump aborted; the container runs on",
        ),
        (
            &["--producer", "exit 3"],
            "echo m >pagemap-1.img; : >pages-1.img",
            "--producer exit 3: expected a member stream",
        ),
    ] {
        let output = test.pack(options, script);
        assert_eq!(output.status.code(), Some(1), "{script}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{script}: {}", stderr(&output));
        assert!(!test.path("web.ckpt").exists());
        assert!(names_in(&test.path("web/pre-checkpoint")).is_empty(), "{script}");
    }
}

#[test]
fn images_of_an_earlier_dump_are_not_overwritten() {
    let test = TestDir::new();
    fs::create_dir(test.path("web/pre-checkpoint")).unwrap();
    fs::write(test.path("web/pre-checkpoint/core-1.img"), "old").unwrap();
    let output = test.pack(&[], DUMP);
    assert!(stderr(&output).contains("web/pre-checkpoint: holds the images of an earlier dump"));
    assert_eq!(names_in(&test.path("web/pre-checkpoint")), ["core-1.img"]);
}

#[test]
fn what_conflicts_with_a_command_is_a_usage_error() {
    let test = TestDir::new();
    for (line, message) in [
        ("--bundle web members -- runc checkpoint x", "MEMBERS: a stream that starts before"),
        ("--bundle web --format ctr -- runc checkpoint x", "--format ctr: needs all images"),
        ("--bundle web -- dump x", "the process of the container is unknown"),
        ("--bundle web --keep-paused", "--keep-paused has no effect without COMMAND"),
        ("--bundle web --producer x", "--producer has no effect without COMMAND"),
        ("--bundle web --pid 1", "--pid has no effect without --check, --precopy or COMMAND"),
        ("--bundle web --stall-timeout 0 -- runc checkpoint x", "expected a number of seconds"),
        ("--from-archive x -- runc checkpoint x", "COMMAND has no effect with --from-archive"),
        ("--check -- runc checkpoint x", "COMMAND has no effect with --check"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-pack"));
        let output = command.args(line.split(' ')).current_dir(test.dir.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{line}: {}", stderr(&output));
    }
}
