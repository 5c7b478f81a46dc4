//! The patterns of `--exclude`: paths, and wildcards as GNU tar matches them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::glob;
use crate::path::{Malpath, TarPath};

/// Patterns of paths that are left out, together with everything below them.
///
/// A pattern without wildcards is a path below the root. A pattern with an unescaped `*`, `?` or
/// `[` is matched as GNU tar matches `--exclude`: against the full path and against each suffix of
/// it that follows a `/`; a wildcard also matches `/`. A pattern with a leading `/` or `./` is
/// anchored at the root: it is matched against the full path only. A backslash escapes the next
/// character.
#[derive(Clone, Debug, Default)]
pub struct Exclude {
    patterns: Arc<[Pattern]>,
}

#[derive(Debug)]
struct Pattern {
    /// The pattern as the user typed it.
    text: String,
    /// The pattern as a path. The path matches even if the pattern has wildcards, because
    /// `--exclude` took all patterns literally before it supported wildcards.
    path: TarPath,
    glob: Option<Glob>,
    /// Whether the pattern has matched a path.
    matched: AtomicBool,
    /// Whether a path deeper in the tree ends with this pattern and was kept. GNU tar would leave
    /// that path out.
    kept_deeper: AtomicBool,
    /// Whether the pattern is matched against the full path only.
    anchored: bool,
}

#[derive(Debug)]
struct Glob {
    pattern: Vec<u8>,
}

/// A pattern that matches everything or cannot match anything.
#[derive(Debug, thiserror::Error)]
pub enum BadPattern {
    /// The pattern is not a path below a root.
    #[error("{0}")]
    Path(#[from] Malpath),
    /// The pattern is the root.
    #[error("{0}: nothing would be left")]
    Root(String),
}

impl Exclude {
    /// Parses the values of `--exclude`.
    ///
    /// # Errors
    /// Returns an error if a pattern is the root, is empty, or has a component `..`.
    pub fn parse<T: AsRef<OsStr>>(patterns: &[T]) -> Result<Exclude, BadPattern> {
        let patterns = patterns.iter().map(|text| Pattern::parse(text.as_ref())).collect::<Result<_, _>>()?;
        Ok(Exclude { patterns })
    }

    /// Returns whether `path` is left out, with everything below it. The root is never left out.
    pub fn matches(&self, path: &TarPath) -> bool {
        if path.is_root() {
            return false;
        }
        // All patterns are tried, because each one records whether it has matched.
        let matching = self.patterns.iter().filter(|pattern| pattern.matches(path));
        let is_left_out = matching.map(|pattern| pattern.matched.store(true, Ordering::Relaxed)).count() > 0;
        if !is_left_out {
            for pattern in self.patterns.iter().filter(|pattern| pattern.is_suffix_of(path)) {
                pattern.kept_deeper.store(true, Ordering::Relaxed);
            }
        }
        is_left_out
    }

    /// Returns the patterns without wildcards that are the end of a kept path deeper in the tree.
    pub fn kept_deeper(&self) -> impl Iterator<Item = &str> {
        let kept = self.patterns.iter().filter(|pattern| pattern.kept_deeper.load(Ordering::Relaxed));
        kept.map(|pattern| pattern.text.as_str())
    }

    /// Returns the patterns that have matched nothing so far. A pattern without wildcards comes
    /// with the path that it names.
    pub fn unmatched(&self) -> impl Iterator<Item = (&str, Option<&TarPath>)> {
        let unmatched = self.patterns.iter().filter(|pattern| !pattern.matched.load(Ordering::Relaxed));
        unmatched
            .map(|pattern| (pattern.text.as_str(), Some(&pattern.path).filter(|_| pattern.glob.is_none())))
    }
}

impl Pattern {
    fn parse(text: &OsStr) -> Result<Pattern, BadPattern> {
        let bytes = text.as_bytes();
        let path = TarPath::parse(bytes)?;
        let text = text.to_string_lossy().into_owned();
        if path.is_root() {
            return Err(BadPattern::Root(text));
        }
        let [matched, kept_deeper] = [const { AtomicBool::new(false) }; 2];
        let anchored = bytes.starts_with(b"/") || bytes.starts_with(b"./");
        if !glob::has_wildcard(path.as_bytes()) {
            let path = TarPath::parse(&glob::unescape(path.as_bytes()))?;
            return Ok(Pattern { text, path, glob: None, matched, kept_deeper, anchored });
        }
        let glob = Some(Glob { pattern: path.as_bytes().to_vec() });
        Ok(Pattern { text, path, glob, matched, kept_deeper, anchored })
    }

    fn matches(&self, path: &TarPath) -> bool {
        self.path == *path
            || self.glob.as_ref().is_some_and(|glob| glob.matches(path.as_bytes(), self.anchored))
    }

    fn is_suffix_of(&self, path: &TarPath) -> bool {
        let before = path.as_bytes().strip_suffix(self.path.as_bytes());
        self.glob.is_none() && !self.anchored && before.is_some_and(|before| before.ends_with(b"/"))
    }
}

impl Glob {
    fn matches(&self, path: &[u8], anchored: bool) -> bool {
        if glob::matches(&self.pattern, path) {
            return true;
        }
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let mut suffixes = slashes.filter_map(|at| path.get(at + 1..));
        !anchored && suffixes.any(|suffix| glob::matches(&self.pattern, suffix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_gnu_tar() {
        for (pattern, left_out, kept) in [
            ("*.key", &["a.key", "d/a.key", ".key"][..], &["a.keys", "key", "a.key/x"][..]),
            ("/*.key", &["a.key", "d/a.key"], &["a.keyx"]),
            ("/d?/x", &["d1/x", "d//x"], &["a/d1/x"]),
            ("d?/x", &["d1/x", "a/d1/x"], &["ad1/x", "a/bd1/x"]),
            ("a/*/b", &["a/x/b", "a/x/y/b", "c/a/x/b"], &["a/b"]),
            ("cache", &["cache"], &["a/cache", "cache2"]),
            ("/a/b", &["a/b"], &["b", "x/a/b"]),
            ("./a//b/", &["a/b"], &["x/a/b"]),
            (r"star\*", &["star*"], &["starx", "d/star*"]),
            (r"a\\b", &[r"a\b"], &["ab", "a\\\\b"]),
            (r"\*.*", &["*.c"], &["x.c"]),
            ("a[1].txt", &["a1.txt", "a[1].txt", "d/a1.txt"], &["d/a[1].txt"]),
            ("[!a-c]?", &["dx", "é1"], &["ax", "d"]),
            ("[[:digit:]]*", &["1", "d/2x"], &["x1"]),
            ("?", &["é", "x", "d/x"], &["xy", ""]),
            ("[x", &["[x"], &["x"]),
            ("*", &["a", "a/b"], &[""]),
        ] {
            let exclude = Exclude::parse(&[pattern]).unwrap();
            for path in left_out {
                let path = TarPath::of_clean(path.as_bytes());
                assert!(exclude.matches(&path), "{pattern} does not match {path}");
            }
            for path in kept {
                let path = TarPath::of_clean(path.as_bytes());
                assert!(!exclude.matches(&path), "{pattern} matches {path}");
            }
        }
    }

    #[test]
    fn unmatched_patterns_are_reported() {
        let exclude = Exclude::parse(&["*.key", "*.pem", "etc/x", "etc/y"]).unwrap();
        for path in ["etc/x", "a.key", "b"] {
            exclude.matches(&TarPath::of_clean(path.as_bytes()));
        }
        let unmatched: Vec<_> = exclude.unmatched().map(|(text, path)| (text, path.is_some())).collect();
        assert_eq!(unmatched, [("*.pem", false), ("etc/y", true)]);
        let exclude = Exclude::parse(&["x", "/y", "a/b", "*.c"]).unwrap();
        for path in ["d/x", "dx", "d/y", "d/a/b/c", "ca/b", "d/e.c"] {
            exclude.matches(&TarPath::of_clean(path.as_bytes()));
        }
        assert_eq!(exclude.kept_deeper().collect::<Vec<_>>(), ["x"]);
        for bad in ["/", ".", "", "a/../b", "../*"] {
            assert!(Exclude::parse(&[bad]).is_err(), "{bad}");
        }
    }
}
