//! Measures the cost of a run as CPU time and number of system calls, which do not depend on the
//! load of the machine.

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

#[test]
fn a_run_takes_less_than_ten_milliseconds() {
    const RUNS: u32 = 50;
    let (dir, args) = container();
    let script = format!(
        "i=0; while [ $i -lt {RUNS} ]; do \"$0\" \"$@\" -o config.json || exit; i=$((i + 1)); done; times"
    );
    let output = Command::new("bash")
        .args(["-c", &script, env!("CARGO_BIN_EXE_spec-gen")])
        .args(args)
        .current_dir(dir.0.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", message(&output));
    // The last line has the user and system time of the shell's children.
    let times = String::from_utf8(output.stdout).unwrap();
    let seconds = |word: &str| -> f64 {
        let (minutes, seconds) = word.trim_end_matches('s').split_once('m').unwrap();
        minutes.parse::<f64>().unwrap() * 60.0 + seconds.replace(',', ".").parse::<f64>().unwrap()
    };
    let each = times.lines().last().unwrap().split(' ').map(seconds).sum::<f64>() / f64::from(RUNS);
    assert!(each > 0.0 && each < 0.010, "{each} s");
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
