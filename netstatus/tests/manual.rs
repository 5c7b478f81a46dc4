//! The manual page and --help must describe the same options.

use std::process::Command;

const TOOL: &str = env!("CARGO_BIN_EXE_netstatus");
const COMMANDS: [&str; 7] = ["save", "restore", "apply", "check", "show", "hold", "release"];

#[test]
fn the_manual_page_and_help_have_the_same_options() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../man/netstatus.1");
    let others = ["--tcp-established", "--image-path", "--bundle"];
    harness::manual::agrees(TOOL, page.as_ref(), &COMMANDS, &others);
}

#[test]
fn the_help_of_every_command_has_an_example() {
    for command in COMMANDS {
        let output = Command::new(TOOL).args([command, "--help"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("Example"), "{command}");
        assert!(text.contains("See netstatus(1)."), "{command}");
    }
}
