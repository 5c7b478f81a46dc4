//! The manual page and `--help` of a tool tell of the same options.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Compares the options of `tool` (with each of its verbs, if it has any) with those in its page.
/// `others` are options of other programs in the page's examples.
///
/// # Panics
/// When one of the two has an option that the other has not.
pub fn agrees(tool: &str, page: &Path, verbs: &[&str], others: &[&str]) {
    let page =
        fs::read_to_string(page).unwrap_or_else(|e| panic!("{}: {e}", page.display())).replace("\\-", "-");
    let mut known = BTreeSet::new();
    let calls: Vec<Vec<&str>> = if verbs.is_empty() {
        vec![vec!["--help"]]
    } else {
        verbs.iter().map(|verb| vec![*verb, "--help"]).collect()
    };
    for call in calls {
        let output = Command::new(tool).args(&call).output().expect("the tool runs");
        assert!(output.status.success(), "{call:?}");
        let text = String::from_utf8(output.stdout).expect("help is text");
        // Only the lines that define an option, not what is said of it.
        for line in text.lines().filter(|line| line.trim_start().starts_with('-')) {
            known.extend(options(line));
        }
    }
    let mut told = options(&page);
    // Of every program, and not in every page.
    for common in ["--help", "--version"] {
        known.remove(common);
        told.remove(common);
    }
    let missing: Vec<_> = known.difference(&told).collect();
    assert!(missing.is_empty(), "not in the manual page: {missing:?}");
    let extra: Vec<_> = told.difference(&known).filter(|option| !others.contains(&option.as_str())).collect();
    assert!(extra.is_empty(), "in the manual page only: {extra:?}");
}

/// The words of a text that look like long options.
fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.starts_with("--") && word.len() > 3).map(str::to_owned).collect()
}
