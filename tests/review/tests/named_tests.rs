//! Documents name tests that exist: every row of the matrix of engines in docs/interop.md names its
//! proof, a test or the issue of the engine with its limit, and every promise in docs/testing.md and
//! every fact in docs/inspect.md names its tests.

use std::fs;
use std::path::Path;

/// Returns the tests that a cell names: FILE and NAME of each `FILE` "NAME", "NAME"...
fn named_tests(cell: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut parts = cell.split('`');
    parts.next();
    while let (Some(code), Some(text)) = (parts.next(), parts.next()) {
        if code.ends_with(".bats") || code.ends_with(".rs") {
            // Every second part is between quotation marks.
            found.extend(text.split('"').skip(1).step_by(2).map(|name| (code, name)));
        }
    }
    found
}

/// Returns whether the text names an issue, such as `containers/crun#1859`.
fn names_an_issue(text: &str) -> bool {
    text.split([' ', ';', ',', '`']).any(|word| {
        let Some((repository, number)) = word.split_once('#') else { return false };
        let digits = number.trim_end_matches(['.', ':', ')']);
        repository.split('/').count() == 2 && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Returns whether the file has a test with this name.
fn exists(top: &Path, file: &str, name: &str) -> bool {
    let Ok(text) = fs::read_to_string(top.join(file)) else { return false };
    if file.ends_with(".bats") {
        text.contains(&format!("@test \"{name}\" {{"))
    } else {
        text.contains(&format!("fn {name}("))
    }
}

#[test]
fn every_row_of_the_matrix_names_its_proof() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(top.join("docs/interop.md")).unwrap();
    let (_, matrix) = text.split_once("\n## Engines\n").unwrap();
    let matrix = matrix.split("\n### Last result").next().unwrap();
    let mut rows = 0;
    for row in matrix.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| direction")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let ["", _, versions, result, proof, ""] = cells[..] else { panic!("five cells: {row}") };
        assert!(!versions.is_empty(), "no versions: {row}");
        let tests = named_tests(proof);
        for (file, name) in &tests {
            assert!(exists(&top, file, name), "{file} has no test {name:?}: {row}");
        }
        match result {
            "works" => assert!(!tests.is_empty(), "no test: {row}"),
            "fails" => assert!(names_an_issue(proof), "no issue: {row}"),
            "not tested" => assert!(!proof.is_empty(), "no reason: {row}"),
            _ => panic!("expected works, fails or not tested: {row}"),
        }
        rows += 1;
    }
    assert!(rows > 10, "{rows} rows");
}

/// Checks that each row of a table names tests, and that the tests exist.
fn check_rows<'t>(rows: impl Iterator<Item = &'t str>, least: usize) {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut number = 0;
    for row in rows {
        let tests = named_tests(row);
        assert!(!tests.is_empty(), "no test: {row}");
        for (file, name) in tests {
            assert!(exists(&top, file, name), "{file} has no test {name:?}: {row}");
        }
        number += 1;
    }
    assert!(number > least, "{number} rows");
}

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)).unwrap()
}

#[test]
fn every_promise_names_its_tests() {
    let text = document("testing.md");
    let (_, table) = text.split_once("\n## Promises\n").unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise"));
    check_rows(rows, 15);
}

#[test]
fn every_fact_about_a_checkpoint_names_its_tests() {
    let text = document("inspect.md");
    check_rows(text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fact")), 15);
}

#[test]
fn tests_and_issues_are_found_in_a_cell() {
    let cell = r#"a limit: containers/crun#1859; `a.bats` "one", "two"; `--flag`; `b/c.rs` "three""#;
    assert_eq!(named_tests(cell), [("a.bats", "one"), ("a.bats", "two"), ("b/c.rs", "three")]);
    assert!(names_an_issue(cell));
    assert!(!names_an_issue("issue #12"));
    assert!(!names_an_issue("a/b#"));
}
