//! The manual page and --help tell of the same options.

use std::process::Command;

const TOOL: &str = env!("CARGO_BIN_EXE_netstatus");
const VERBS: [&str; 7] = ["save", "restore", "apply", "check", "show", "hold", "release"];

#[test]
fn every_option_is_in_the_manual_page_and_none_else() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../man/netstatus.1");
    let others = ["--tcp-established", "--image-path", "--bundle"];
    harness::manual::agrees(TOOL, page.as_ref(), &VERBS, &others);
}

#[test]
fn every_verb_shows_an_example_and_names_the_page() {
    for verb in VERBS {
        let output = Command::new(TOOL).args([verb, "--help"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("Example"), "{verb}");
        assert!(text.contains("See netstatus(1)."), "{verb}");
    }
}
