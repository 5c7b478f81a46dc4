//! SECURITY.md lists every function with `unsafe` code and the reason for it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Adds the Rust sources below `dir` to `found`, except generated sources in `target`.
fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// Returns the functions that are unsafe or contain an `unsafe` block.
fn unsafe_functions(text: &str) -> BTreeSet<String> {
    let mut function = String::from("(no function)");
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let code = line.split("//").next().unwrap_or_default();
        if let Some((_, rest)) = code.split_once("fn ") {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !name.is_empty() {
                function = name;
            }
        }
        // Concatenated, so that the test does not match its own source.
        let word = concat!("un", "safe");
        if ["{", "fn", "impl", "extern"].iter().any(|next| code.contains(&format!("{word} {next}"))) {
            found.insert(function.clone());
        }
    }
    found
}

#[test]
fn security_md_lists_every_function_with_unsafe_code() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let mut files = Vec::new();
    sources(&top, &mut files);
    assert!(files.len() > 100, "{} sources in {}", files.len(), top.display());
    let mut in_sources = BTreeSet::new();
    for file in files {
        let name = file.strip_prefix(&top).unwrap().to_str().unwrap().to_owned();
        let functions = unsafe_functions(&fs::read_to_string(&file).unwrap());
        in_sources.extend(functions.into_iter().map(|function| (name.clone(), function)));
    }
    let security = fs::read_to_string(top.join("SECURITY.md")).unwrap();
    let (_, table) = security.split_once("## Unsafe code\n").unwrap();
    let mut listed = BTreeSet::new();
    for row in
        table.lines().take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| `"))
    {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, file, functions, reason, ..] = cells[..] else {
            panic!("{row}: expected FILE, FUNCTIONS and REASON")
        };
        assert!(reason.len() > 20, "{row}: the reason is missing");
        for function in functions.split(',') {
            listed.insert((file.trim_matches('`').to_owned(), function.trim().trim_matches('`').to_owned()));
        }
    }
    assert_eq!(in_sources, listed, "left: the sources, right: the table in SECURITY.md");
}
