//! Expands patterns of file names by the rules of Go's `filepath.Glob`, which podman uses for
//! `--mount type=glob`: `*`, `?`, `[a-z]` and `[^a-z]` match within one name, and `\` makes the
//! next character literal. Wildcards also match a leading dot.

use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::str::Chars;
use std::{fs, io};

use anyhow::{Context, bail};
use regex::Regex;

use crate::path;

/// A pattern of absolute paths.
#[derive(Debug)]
pub struct Pattern(Vec<Part>);

#[derive(Debug)]
enum Part {
    Name(String),
    Names(Regex),
}

impl Pattern {
    /// Reads a pattern. A relative pattern is relative to the working directory.
    ///
    /// # Errors
    /// Returns an error if the pattern is not valid.
    pub fn parse(text: &str) -> anyhow::Result<Pattern> {
        let path = std::path::absolute(text).with_context(|| text.to_owned())?;
        let path = path.to_str().context("not UTF-8")?;
        path.split('/').filter(|name| !name.is_empty()).map(part).collect::<anyhow::Result<_>>().map(Pattern)
    }

    /// Returns the paths that match, in byte order.
    ///
    /// # Errors
    /// Returns an error if a directory cannot be read or a path is not UTF-8.
    pub fn paths(&self) -> anyhow::Result<Vec<String>> {
        let mut found = vec![PathBuf::from("/")];
        for part in &self.0 {
            let mut below = Vec::new();
            for dir in &found {
                match part {
                    Part::Name(name) => below.push(dir.join(name)),
                    Part::Names(names) => below.extend(matches(dir, names)?),
                }
            }
            found = below;
        }
        found.retain(|path| path.symlink_metadata().is_ok());
        found.into_iter().map(path::utf8).collect()
    }
}

/// Returns the paths in a directory whose names match. Returns an empty list if `dir` is missing or
/// not a directory.
fn matches(dir: &Path, names: &Regex) -> anyhow::Result<Vec<PathBuf>> {
    let list = || -> io::Result<Vec<PathBuf>> { fs::read_dir(dir)?.map(|e| Ok(e?.path())).collect() };
    let mut paths = match list() {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Vec::new(),
        list => list.with_context(|| cli::display_path(dir))?,
    };
    paths.retain(|path| path.file_name().is_some_and(|name| names.is_match(&name.to_string_lossy())));
    paths.sort_unstable();
    Ok(paths)
}

fn part(text: &str) -> anyhow::Result<Part> {
    if !text.contains(['*', '?', '[', '\\']) {
        return Ok(Part::Name(text.to_owned()));
    }
    let mut names = String::from(r"(?s)\A");
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => names.push_str(".*"),
            '?' => names.push('.'),
            '[' => names.push_str(&class(&mut chars).with_context(|| format!("{text}: not a pattern"))?),
            '\\' => {
                names.push_str(&one(chars.next().context("a character is missing after the last '\\'")?))
            }
            c => names.push_str(&one(c)),
        }
    }
    names.push_str(r"\z");
    Ok(Part::Names(Regex::new(&names)?))
}

/// Returns the regular expression that matches one literal character.
fn one(c: char) -> String {
    regex::escape(c.encode_utf8(&mut [0; 4]))
}

/// Reads the rest of a class such as `[a-z]` and returns its regular expression.
fn class(chars: &mut Peekable<Chars<'_>>) -> anyhow::Result<String> {
    let mut class = String::from("[");
    if chars.next_if_eq(&'^').is_some() {
        class.push('^');
    }
    let none = class.len();
    while class.len() == none || chars.next_if_eq(&']').is_none() {
        let first = member(chars)?;
        let last = if chars.next_if_eq(&'-').is_some() { member(chars)? } else { first };
        if first > last {
            bail!("{first}-{last}: the range ends before it starts");
        }
        class.push_str(&format!(r"\x{{{:x}}}-\x{{{:x}}}", u32::from(first), u32::from(last)));
    }
    class.push(']');
    Ok(class)
}

fn member(chars: &mut Peekable<Chars<'_>>) -> anyhow::Result<char> {
    match chars.next() {
        Some('\\') => chars.next(),
        Some('-' | ']') => None,
        other => other,
    }
    .context("'[' without ']', or an empty class")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_gos_filepath_glob() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a1", "a2", "b*", ".a", "ä", "a.b", "ab"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("d1")).unwrap();
        fs::write(dir.path().join("d1/a"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("l")).unwrap();
        let root = dir.path().to_str().unwrap();
        #[rustfmt::skip]
        let cases: &[(&str, &[&str])] = &[
            ("a1", &["a1"]), ("nothing", &[]), ("a*", &["a.b", "a1", "a2", "ab"]), ("*a", &[".a"]), ("a?", &["a1", "a2", "ab"]),
            ("?", &["l", "ä"]), ("a[0-9]", &["a1", "a2"]), ("a[^0-9]", &["ab"]), ("a[1b]", &["a1", "ab"]),
            (r"b\*", &["b*"]), ("a.?", &["a.b"]), (r"[\a-b]1", &["a1"]), ("*/a", &["d1/a"]), ("d?/*", &["d1/a"]), ("a1/*", &[]),
            ("none/*", &[]), ("l", &["l"]), ("d1/../a1", &["d1/../a1"]),
        ];
        for (pattern, expected) in cases {
            let found = Pattern::parse(&format!("{root}/{pattern}")).unwrap().paths().unwrap();
            let expected: Vec<String> = expected.iter().map(|name| format!("{root}/{name}")).collect();
            assert_eq!(found, expected, "{pattern}");
        }
        for pattern in ["[", "[]", "[a", "[^]", "[a-", "[-a]", "[b-a]", r"a\"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
