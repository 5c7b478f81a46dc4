//! `--diff`: a unified diff of the pretty-printed documents.

use similar::TextDiff;

/// Returns the diff, which is empty if nothing changed.
pub fn unified(before: &str, after: &str, name: &str) -> String {
    TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(3)
        .header(name, "config.json")
        .to_string()
}
