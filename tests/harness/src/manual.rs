//! Checks that the manual page and `--help` of a tool document the same options.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Compares the options of `tool`, and of each of its `verbs`, with the options in its manual page.
/// `others` are options of other programs that appear in the page's examples.
///
/// # Panics
/// Panics if an option is missing in the page or in `--help`.
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
        // Descriptions may mention other options, so only lines that define an option count.
        for line in text.lines().filter(|line| line.trim_start().starts_with('-')) {
            known.extend(options(line));
        }
    }
    let mut documented = options(&page);
    // All programs have these, and not every page mentions the first two. `--help` mentions
    // --completions below the options.
    for common in ["--help", "--version", "--completions"] {
        known.remove(common);
        documented.remove(common);
    }
    let missing: Vec<_> = known.difference(&documented).collect();
    assert!(missing.is_empty(), "not in the manual page: {missing:?}");
    let extra: Vec<_> =
        documented.difference(&known).filter(|option| !others.contains(&option.as_str())).collect();
    assert!(extra.is_empty(), "in the manual page only: {extra:?}");
}

/// Returns the words of a text that have the form of a long option.
fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.starts_with("--") && word.len() > 3).map(str::to_owned).collect()
}
