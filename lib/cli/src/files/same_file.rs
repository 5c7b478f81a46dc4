//! Compares two paths by the files that they name, so that an output never overwrites an input or
//! another output.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Returns whether two outputs write to the same file. `None` and `-` mean standard output.
///
/// Different paths can name one file: by symbolic links, hard links or another spelling. Two
/// outputs to the same character device are not a conflict: data for /dev/null is meant to be
/// discarded.
pub fn same_output(a: Option<&Path>, b: Option<&Path>) -> bool {
    let named = |path: Option<&Path>| path.filter(|path| *path != Path::new("-")).map(Path::to_path_buf);
    match (named(a), named(b)) {
        (None, None) => true,
        (Some(path), None) | (None, Some(path)) => {
            let stdout = metadata_of(&io::stdout());
            let file = fs::metadata(path);
            matches!((file, stdout), (Ok(file), Ok(stdout)) if !is_device(&file) && is_same(&file, &stdout))
        }
        (Some(a), Some(b)) => match (fs::metadata(&a), fs::metadata(&b)) {
            (Ok(a), Ok(b)) => !is_device(&a) && is_same(&a, &b),
            _ => resolve_file(&a).is_some_and(|a| resolve_file(&b) == Some(a)),
        },
    }
}

/// Returns whether the input `input`, where `-` means standard input, is the file with the metadata
/// `output`.
pub fn is_input(input: &Path, output: &Metadata) -> bool {
    let input = match input == Path::new("-") {
        true => metadata_of(&io::stdin()),
        false => fs::metadata(input),
    };
    input.is_ok_and(|input| is_same(&input, output))
}

/// Resolves the symbolic links of `path`. If the file does not exist, resolves only the symbolic
/// links of its parent directory. Returns `None` if that directory does not exist either.
pub fn resolve_file(path: &Path) -> Option<PathBuf> {
    if let Ok(real) = fs::canonicalize(path) {
        return Some(real);
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(fs::canonicalize(parent).ok()?.join(path.file_name()?))
}

/// Resolves the symbolic links of the existing part of `path`, and appends the rest.
pub fn resolve(path: &Path) -> PathBuf {
    let (real, missing) = split_at_existing(path);
    if missing.as_os_str().is_empty() { real } else { real.join(missing) }
}

/// Splits a path into its existing part, made absolute and without symbolic links, and the rest.
pub(super) fn split_at_existing(path: &Path) -> (PathBuf, PathBuf) {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for existing in absolute.ancestors() {
        if let (Ok(real), Ok(missing)) = (fs::canonicalize(existing), absolute.strip_prefix(existing)) {
            return (real, missing.to_owned());
        }
    }
    (absolute, PathBuf::new())
}

fn metadata_of(file: &impl AsFd) -> io::Result<Metadata> {
    File::from(file.as_fd().try_clone_to_owned()?).metadata()
}

fn is_same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

fn is_device(file: &Metadata) -> bool {
    file.file_type().is_char_device()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_is_recognized_by_all_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("d")).unwrap();
        fs::write(at("d/file"), "").unwrap();
        fs::hard_link(at("d/file"), at("hard")).unwrap();
        std::os::unix::fs::symlink("d", at("link")).unwrap();
        for (a, b, same) in [
            ("d/file", "link/file", true),
            ("d/file", "hard", true),
            ("d/new", "link/new", true),
            ("d/new", "d/./new", true),
            ("d/file", "d/new", false),
            ("d/new", "new", false),
        ] {
            assert_eq!(same_output(Some(&at(a)), Some(&at(b))), same, "{a} {b}");
        }
        assert_eq!(resolve(&at("link/new/deep")), resolve(&at("d")).join("new/deep"));
    }

    #[test]
    fn output_to_dev_null_is_never_a_conflict() {
        let null = Some(Path::new("/dev/null"));
        assert!(!same_output(null, null));
        assert!(same_output(None, Some(Path::new("-"))));
    }
}
