//! Two outputs must not share one destination: each would be mixed with the other, or overwrite it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::{name, usage};

/// A directory that is written to, and the flag or operand that names it.
#[derive(Debug)]
pub struct Destination<'a> {
    /// Such as `--volume data=`, in front of the directory.
    pub flag: String,
    /// The directory, which need not be there yet.
    pub dir: &'a Path,
    /// Whether other destinations may be below it, as a root file system is below its bundle.
    pub holds_others: bool,
}

/// Rejects destinations that are the same directory, or one inside the other, also by way of symbolic links and bind
/// mounts.
///
/// # Errors
/// Returns a usage error that names both.
pub fn distinct(destinations: &[Destination<'_>]) -> anyhow::Result<()> {
    let located: Vec<Located> = destinations.iter().map(|d| Located::of(d.dir)).collect();
    for (n, one) in destinations.iter().enumerate() {
        for (m, other) in destinations.iter().enumerate().skip(n + 1) {
            let (Some(at), Some(of_other)) = (located.get(n), located.get(m)) else { continue };
            let shown = |d: &Destination<'_>| format!("{}{}", d.flag, name(d.dir));
            if at.is(of_other) {
                return Err(usage(format!(
                    "{}: the same directory as {}; each output needs its own",
                    shown(other),
                    shown(one)
                )));
            }
            for (inner, outer, inside) in
                [(other, one, of_other.is_below(at)), (one, other, at.is_below(of_other))]
            {
                if inside && !outer.holds_others {
                    return Err(usage(format!(
                        "{}: is inside {}; each output needs its own directory",
                        shown(inner),
                        shown(outer)
                    )));
                }
            }
        }
    }
    Ok(())
}

/// The nearest directory that is there, as the kernel identifies it, and what follows it.
#[derive(Debug)]
struct Located {
    /// Identities of that directory and of all above it, nearest first.
    above: Vec<(u64, u64)>,
    missing: PathBuf,
}

impl Located {
    fn of(dir: &Path) -> Located {
        let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let mut there = absolute.as_path();
        let real = loop {
            match (fs::canonicalize(there), there.parent()) {
                (Ok(real), _) => break real,
                (Err(_), Some(parent)) => there = parent,
                (Err(_), None) => break absolute.clone(),
            }
        };
        let missing = absolute.strip_prefix(there).unwrap_or(Path::new("")).to_owned();
        let identity = |dir: &Path| fs::metadata(dir).ok().map(|meta| (meta.dev(), meta.ino()));
        Located { above: real.ancestors().filter_map(identity).collect(), missing }
    }

    fn is(&self, other: &Located) -> bool {
        self.above.first() == other.above.first() && self.missing == other.missing
    }

    /// Whether this directory is below `other`.
    fn is_below(&self, other: &Located) -> bool {
        let Some(top) = other.above.first() else { return false };
        if other.missing.as_os_str().is_empty() {
            let deeper = !self.missing.as_os_str().is_empty();
            return self.above.iter().skip(usize::from(!deeper)).any(|identity| identity == top);
        }
        self.above.first() == Some(top)
            && self.missing != other.missing
            && self.missing.starts_with(&other.missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_directory_is_known_by_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        std::os::unix::fs::symlink("a", at("link")).unwrap();
        let verdict = |one: &str, other: &str, holds_others: bool| {
            let (one, other) = (at(one), at(other));
            let destination = |dir, holds_others| Destination { flag: String::new(), dir, holds_others };
            distinct(&[destination(&one, holds_others), destination(&other, false)]).is_ok()
        };
        for (one, other, fine) in [
            ("a", "a", false),
            ("a", "a/./", false),
            ("a", "link", false),
            ("a/b", "link/b/", false),
            ("a", "a/b", false),
            ("a", "a/new", false),
            ("link", "a/b/new/deep", false),
            ("new", "new", false),
            ("new", "new/x", false),
            ("a/new", "link/new", false),
            ("new", "newer", true),
            ("a/b", "a/c", true),
            ("a/new", "a/b", true),
        ] {
            assert_eq!(verdict(one, other, false), fine, "{one} {other}");
            assert_eq!(verdict(other, one, false), fine, "{other} {one}");
        }
        assert!(verdict("a", "a/b", true) && verdict("a", "a/new", true));
        assert!(!verdict("a", "link", true) && !verdict("a/b", "a", true));
    }
}
