//! What a run costs. Measured as the program's own processor time and calls, which a busy machine does not change.

use super::*;

/// podman's config of a container, all that spec-gen reads of it in files.
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
    // The second line: the shell's children, in user mode and in the kernel.
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
fn a_run_asks_the_kernel_little() {
    let (dir, args) = container();
    let output = Command::new("strace")
        .args(["-f", "-o", "calls", env!("CARGO_BIN_EXE_spec-gen")])
        .args(args)
        .current_dir(dir.0.path())
        // cargo's: the loader would try a hundred places.
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", message(&output));
    let calls = fs::read_to_string(dir.path("calls")).unwrap();
    // 130 of which most start the program and load its libraries; the files it looks at are a dozen.
    assert!((40..200).contains(&calls.lines().count()), "{calls}");
    assert!(!calls.contains("clone") && !calls.contains("socket("), "{calls}");
}
