//! Archives and extracts the tree of every overlay case of rootfs-diff, and compares the two trees.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use harness::{Options, differences, host};

const TOOL: &str = env!("CARGO_BIN_EXE_vol-archive");

fn bash(script: &str) -> String {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rootfs-diff/tests/cases.sh");
    let script = format!(". '{}'; {script}", cases.display());
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn tool(args: &[&str], input: Option<&Path>) {
    let mut command = Command::new(TOOL);
    if let Some(input) = input {
        command.stdin(File::open(input).unwrap());
    }
    let output = command.args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[ignore = "needs root"]
#[test]
fn every_tree_survives_as_a_volume() {
    host::own_mounts();
    let names = bash(r#"printf '%s\n' "${CASES[@]}""#);
    let mut failed = Vec::new();
    for name in names.lines() {
        let dir = tempfile::tempdir().unwrap();
        let case = dir.path().join("case");
        bash(&format!("cases_build {name} '{}' >/dev/null 2>&1", case.display()));
        let (tree, copy, tar) = (case.join("m"), case.join("copy"), case.join("tar"));
        tool(&["create", tree.to_str().unwrap(), "-o", tar.to_str().unwrap()], None);
        tool(&["extract", copy.to_str().unwrap()], Some(&tar));
        let options = Options { ignore: ["socket".to_owned()].into() };
        let found = differences(&tree, &copy, &options).unwrap();
        // Overlay xattrs have no meaning outside an overlay.
        let found: Vec<_> = found.into_iter().filter(|line| !line.contains("trusted.overlay.")).collect();
        if !found.is_empty() {
            failed.push(format!("{name}: {}", found.join("; ")));
        }
        bash(&format!("umount '{}'; true", tree.display()));
    }
    assert!(names.lines().count() >= 64, "cases are missing");
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}
