//! Measures the cost of a run as the number of instructions and of system calls, which do not depend
//! on the load of the machine.

use super::*;

/// Writes the config and the state of a podman container, and returns the flags that read them.
fn container() -> (Dir, [&'static str; 7]) {
    let dir = Dir::new();
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/golden/base.json");
    let case: Value = serde_json::from_str(&fs::read_to_string(recorded).unwrap()).unwrap();
    dir.write("config.dump", &case["config"].to_string());
    dir.write("state.json", &case["state"].to_string());
    (dir, ["--container", "config.dump", "--state", "state.json", "--rootfs", "rootfs", "-q"])
}

/// The number that valgrind counts for a build without optimization is 42 million. An optimized build
/// needs a fifth of it, and less than ten milliseconds.
#[ignore = "needs valgrind"]
#[test]
fn a_run_executes_few_instructions() {
    let (dir, args) = container();
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(env!("CARGO_BIN_EXE_spec-gen"))
        .args(args)
        .args(["-o", "config.json"])
        .current_dir(dir.0.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", message(&output));
    let report = String::from_utf8(output.stderr).unwrap();
    let count = report.lines().find_map(|line| line.split_once("refs:")).unwrap().1.trim();
    let count: u64 = count.replace(',', "").parse().unwrap();
    assert!((1_000_000..70_000_000).contains(&count), "{count}");
}

#[ignore = "needs strace"]
#[test]
fn a_run_makes_fewer_than_200_system_calls() {
    let (dir, args) = container();
    let output = Command::new("strace")
        .args(["-f", "-o", "calls", env!("CARGO_BIN_EXE_spec-gen")])
        .args(args)
        .current_dir(dir.0.path())
        // With cargo's value, the dynamic loader would try about a hundred paths.
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", message(&output));
    let calls = fs::read_to_string(dir.path("calls")).unwrap();
    // About 130 of the calls start the program and load its libraries. It opens about a dozen
    // files.
    assert!((40..200).contains(&calls.lines().count()), "{calls}");
    assert!(!calls.contains("clone") && !calls.contains("socket("), "{calls}");
}
