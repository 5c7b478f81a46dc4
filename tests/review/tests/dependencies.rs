//! Every dependency has a licence that deny.toml allows, and none is banned or from elsewhere than the registry.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn top() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--features=selinux"])
        .args(["--filter-platform=x86_64-unknown-linux-gnu"])
        .current_dir(top())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// The quoted words of the list `name = [ … ]` of deny.toml, without its comments.
fn list(name: &str) -> Vec<String> {
    let text = fs::read_to_string(top().join("deny.toml")).unwrap();
    let (_, list) = text.split_once(&format!("\n{name} = [\n")).unwrap();
    let (list, _) = list.split_once("\n]").unwrap();
    let lines = list.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.map(|line| line.split('"').nth(1).unwrap().to_owned()).collect()
}

/// Whether an SPDX expression leaves a choice of allowed licences. `/` is how crates wrote OR in the past.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.replace(" / ", " OR ").replace('/', " OR ");
    let all_of = |terms: &str| {
        let mut terms = terms.split(" AND ").map(|term| term.trim_matches(|c| matches!(c, '(' | ')' | ' ')));
        terms.all(|term| allowed.iter().any(|licence| licence == term))
    };
    // Parentheses stand around ORs only; every part of an AND needs its own choice.
    if let Some((choice, rest)) = expression.strip_prefix('(').and_then(|e| e.split_once(") AND ")) {
        return choice.split(" OR ").any(all_of) && all_of(rest);
    }
    expression.split(" OR ").any(all_of)
}

#[test]
fn licences_are_those_of_deny_toml() {
    let allowed = list("allow");
    let refused: Vec<String> = packages()
        .iter()
        .map(|p| (p["name"].as_str().unwrap().to_owned(), p["license"].as_str().unwrap_or("none").to_owned()))
        .filter(|(_, licence)| !is_allowed(licence, &allowed))
        .map(|(name, licence)| format!("{name}: {licence}"))
        .collect();
    assert!(refused.is_empty(), "not allowed by deny.toml: {refused:?}");
}

#[test]
fn expressions_are_understood() {
    let allowed: Vec<String> = ["MIT", "Zlib"].map(str::to_owned).to_vec();
    for good in ["MIT", "GPL-3.0 OR MIT", "Apache-2.0/MIT", "MIT AND Zlib", "(GPL-2.0 OR MIT) AND Zlib"] {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-2.0", "(MIT OR Zlib) AND GPL-2.0", "none", "Apache-2.0 OR GPL-2.0"] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}

#[test]
fn nothing_banned_or_from_elsewhere_is_among_them() {
    let banned = list("deny");
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        assert!(!banned.iter().any(|crate_| crate_ == name), "{name} is banned by deny.toml");
        // A package of the workspace has no source.
        let source = package["source"].as_str().unwrap_or("registry+");
        assert!(source.starts_with("registry+"), "{name} comes from {source}");
    }
}
