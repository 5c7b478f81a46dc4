//! The manual page and --help tell of the same options.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

const VERBS: [&str; 7] = ["save", "restore", "apply", "check", "show", "hold", "release"];

fn help(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_netstatus")).args(args).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The words of a text that look like long options.
fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.starts_with("--") && word.len() > 3).map(str::to_owned).collect()
}

#[test]
fn every_option_is_in_the_manual_page_and_none_else() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../man/netstatus.1"))
        .unwrap()
        .replace("\\-", "-");
    let mut known = BTreeSet::new();
    for verb in VERBS {
        assert!(page.contains(&format!("netstatus {verb}")), "{verb}");
        // Only the lines that define an option, not the examples.
        let text: String = help(&[verb, "-h"])
            .lines()
            .filter(|line| line.trim_start().starts_with('-'))
            .collect::<Vec<_>>()
            .join("\n");
        known.extend(options(&text));
    }
    let told = options(&page);
    let missing: Vec<_> = known.difference(&told).collect();
    assert!(missing.is_empty(), "not in the manual page: {missing:?}");
    // Options of other programs in the examples.
    let others =
        BTreeSet::from(["--tcp-established", "--image-path", "--bundle", "--version"].map(str::to_owned));
    let extra: Vec<_> = told.difference(&known).filter(|option| !others.contains(*option)).collect();
    assert!(extra.is_empty(), "in the manual page only: {extra:?}");
}

#[test]
fn every_verb_shows_an_example_and_names_the_page() {
    for verb in VERBS {
        let text = help(&[verb, "--help"]);
        assert!(text.contains("Example"), "{verb}");
        assert!(text.contains("See netstatus(1)."), "{verb}");
    }
}
