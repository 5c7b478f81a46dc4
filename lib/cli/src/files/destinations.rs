//! Rejects output directories that are the same or nested: their files would mix or overwrite each
//! other.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::same_file::split_at_existing;
use crate::error::usage;
use crate::messages::display::display_path;

/// An output directory, with the flag or operand that names it.
#[derive(Debug)]
pub struct Destination<'a> {
    /// The text before the directory on the command line, such as `--volume data=`.
    pub flag: String,
    /// The directory, which need not exist yet.
    pub dir: &'a Path,
    /// Whether other destinations may be below this one, such as a root file system below its
    /// bundle.
    pub holds_others: bool,
}

/// Rejects two destinations if they are the same directory or one of them contains the other.
/// Symbolic links and bind mounts are resolved.
///
/// # Errors
/// Returns a usage error that names both destinations.
pub fn distinct(destinations: &[Destination<'_>]) -> anyhow::Result<()> {
    let located: Vec<Located> = destinations.iter().map(|d| Located::of(d.dir)).collect();
    for (n, one) in destinations.iter().enumerate() {
        for (m, other) in destinations.iter().enumerate().skip(n + 1) {
            let (Some(at), Some(of_other)) = (located.get(n), located.get(m)) else { continue };
            let shown = |d: &Destination<'_>| format!("{}{}", d.flag, display_path(d.dir));
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

/// A path, resolved to the device and inode numbers of its nearest existing directory.
#[derive(Debug)]
struct Located {
    /// The device and inode numbers of the nearest existing directory and of its parents, innermost
    /// first.
    existing: Vec<(u64, u64)>,
    /// The rest of the path, which does not exist.
    missing: PathBuf,
}

impl Located {
    fn of(dir: &Path) -> Located {
        let (real, missing) = split_at_existing(dir);
        let identity = |dir: &Path| fs::metadata(dir).ok().map(|meta| (meta.dev(), meta.ino()));
        Located { existing: real.ancestors().filter_map(identity).collect(), missing }
    }

    fn is(&self, other: &Located) -> bool {
        self.existing.first() == other.existing.first() && self.missing == other.missing
    }

    /// Returns whether this directory is below `other`.
    fn is_below(&self, other: &Located) -> bool {
        let Some(top) = other.existing.first() else { return false };
        if other.missing.as_os_str().is_empty() {
            let deeper = !self.missing.as_os_str().is_empty();
            return self.existing.iter().skip(usize::from(!deeper)).any(|identity| identity == top);
        }
        self.existing.first() == Some(top)
            && self.missing != other.missing
            && self.missing.starts_with(&other.missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_recognized_by_all_its_names() {
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
