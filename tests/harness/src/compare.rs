//! Compares two trees in all metadata and content.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::{Whence, lseek};

/// Kinds of differences to ignore. The kind is the first word of a line of [`differences`].
#[derive(Default)]
pub struct Options {
    /// `mtime`, `owner`, `sparse`, `socket`, `xattr:user.x`, …
    pub ignore: BTreeSet<String>,
}

/// Returns all differences of two trees, each as `KIND PATH: A | B`.
///
/// # Errors
/// Returns an error if an inode cannot be read.
pub fn differences(a: &Path, b: &Path, options: &Options) -> io::Result<Vec<String>> {
    let (left, right) = (Tree::read(a)?, Tree::read(b)?);
    let mut found = Vec::new();
    let mut tell = |kind: &str, path: &Path, a: &dyn std::fmt::Debug, b: &dyn std::fmt::Debug| {
        if !options.ignore.contains(kind) {
            found.push(format!("{kind} {}: {a:?} | {b:?}", path.display()));
        }
    };
    let paths: BTreeSet<&PathBuf> = left.objects.keys().chain(right.objects.keys()).collect();
    for path in paths {
        let (Some(x), Some(y)) = (left.objects.get(path), right.objects.get(path)) else {
            let only = left.objects.get(path).or_else(|| right.objects.get(path));
            let kind = if only.is_some_and(|o| o.kind == "socket") { "socket" } else { "only" };
            tell(
                kind,
                path,
                &left.objects.get(path).map(|o| o.kind),
                &right.objects.get(path).map(|o| o.kind),
            );
            continue;
        };
        if x.kind != y.kind {
            tell("type", path, &x.kind, &y.kind);
            continue;
        }
        if x.kind != "symlink" && x.mode != y.mode {
            tell("mode", path, &format!("{:o}", x.mode), &format!("{:o}", y.mode));
        }
        for (kind, a, b) in [
            ("owner", format!("{}:{}", x.uid, x.gid), format!("{}:{}", y.uid, y.gid)),
            ("mtime", format!("{}.{:09}", x.mtime.0, x.mtime.1), format!("{}.{:09}", y.mtime.0, y.mtime.1)),
            ("size", x.size.to_string(), y.size.to_string()),
            ("device", x.rdev.to_string(), y.rdev.to_string()),
        ] {
            if a != b {
                tell(kind, path, &a, &b);
            }
        }
        if x.target != y.target {
            tell("target", path, &x.target, &y.target);
        }
        if x.kind == "file" && x.size == y.size && !same_bytes(&a.join(path), &b.join(path))? {
            tell("content", path, &"…", &"…");
        }
        if x.has_holes != y.has_holes {
            tell("sparse", path, &x.has_holes, &y.has_holes);
        }
        let names: BTreeSet<&OsString> = x.xattrs.keys().chain(y.xattrs.keys()).collect();
        for name in names {
            let (a, b) = (x.xattrs.get(name), y.xattrs.get(name));
            let kind = format!("xattr:{}", name.to_string_lossy());
            if a != b && !options.ignore.contains(&kind) {
                tell("xattr", path, &(name, a), &(name, b));
            }
        }
        if left.group(x) != right.group(y) {
            tell("links", path, &left.group(x), &right.group(y));
        }
    }
    Ok(found)
}

struct Object {
    kind: &'static str,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: (i64, i64),
    size: u64,
    rdev: u64,
    target: Option<PathBuf>,
    xattrs: BTreeMap<OsString, Vec<u8>>,
    has_holes: bool,
    inode: (u64, u64),
}

struct Tree {
    objects: BTreeMap<PathBuf, Object>,
    groups: BTreeMap<(u64, u64), BTreeSet<PathBuf>>,
}

impl Tree {
    fn read(root: &Path) -> io::Result<Tree> {
        let mut tree = Tree { objects: BTreeMap::new(), groups: BTreeMap::new() };
        let mut left = vec![PathBuf::new()];
        while let Some(path) = left.pop() {
            let full = if path.as_os_str().is_empty() { root.to_path_buf() } else { root.join(&path) };
            let meta = fs::symlink_metadata(&full)?;
            if meta.is_dir() {
                for entry in fs::read_dir(&full)? {
                    left.push(path.join(entry?.file_name()));
                }
            } else {
                tree.groups.entry((meta.dev(), meta.ino())).or_default().insert(path.clone());
            }
            tree.objects.insert(path, Object::read(&full, &meta)?);
        }
        Ok(tree)
    }

    /// Returns the hard links of an entry with several names.
    fn group(&self, object: &Object) -> Option<&BTreeSet<PathBuf>> {
        self.groups.get(&object.inode).filter(|group| group.len() > 1)
    }
}

impl Object {
    fn read(path: &Path, meta: &Metadata) -> io::Result<Object> {
        let kind = meta.file_type();
        let is_device = kind.is_char_device() || kind.is_block_device();
        let mut xattrs = BTreeMap::new();
        match xattr::list(path) {
            Ok(names) => {
                for name in names {
                    if let Some(value) = xattr::get(path, &name)? {
                        xattrs.insert(name, value);
                    }
                }
            }
            Err(e) if e.raw_os_error() == Some(nix::errno::Errno::EOPNOTSUPP as i32) => {}
            Err(e) => return Err(e),
        }
        Ok(Object {
            kind: match () {
                () if kind.is_dir() => "directory",
                () if kind.is_file() => "file",
                () if kind.is_symlink() => "symlink",
                () if kind.is_fifo() => "fifo",
                () if kind.is_socket() => "socket",
                () if kind.is_char_device() => "char",
                () => "block",
            },
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            size: if kind.is_file() { meta.size() } else { 0 },
            rdev: if is_device { meta.rdev() } else { 0 },
            target: if kind.is_symlink() { Some(fs::read_link(path)?) } else { None },
            xattrs,
            has_holes: kind.is_file() && has_holes(path, meta.size())?,
            inode: (meta.dev(), meta.ino()),
        })
    }
}

fn has_holes(path: &Path, size: u64) -> io::Result<bool> {
    if size == 0 {
        return Ok(false);
    }
    let hole = lseek(&File::open(path)?, 0, Whence::SeekHole)?;
    Ok((hole as u64) < size)
}

fn same_bytes(a: &Path, b: &Path) -> io::Result<bool> {
    let (mut a, mut b) = (File::open(a)?, File::open(b)?);
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let n = a.read(&mut left)?;
        if n == 0 {
            return Ok(b.read(&mut right)? == 0);
        }
        if b.read_exact(&mut right[..n]).is_err() || left[..n] != right[..n] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command;

    fn plant(dir: &Path) {
        fs::create_dir(dir.join("d")).unwrap();
        fs::write(dir.join("d/f"), "content").unwrap();
        fs::write(dir.join("d/g"), "content").unwrap();
        fs::hard_link(dir.join("d/f"), dir.join("h")).unwrap();
        symlink("f", dir.join("l")).unwrap();
        File::create(dir.join("s")).unwrap().set_len(1 << 20).unwrap();
        // Everything of one age, or no two trees would ever be equal.
        assert!(
            Command::new("find")
                .arg(dir)
                .args(["-depth", "-exec", "touch", "-h", "-d", "@1.5", "{}", "+"])
                .status()
                .unwrap()
                .success()
        );
    }

    fn found(change: impl Fn(&Path)) -> Vec<String> {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        plant(a.path());
        plant(b.path());
        change(b.path());
        let lines = differences(a.path(), b.path(), &Options::default()).unwrap();
        lines.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    }

    fn touch(path: PathBuf) {
        assert!(Command::new("touch").args(["-h", "-d", "@1.5"]).arg(path).status().unwrap().success());
    }

    #[test]
    fn equal_trees_are_equal() {
        assert!(found(|_| ()).is_empty());
    }

    #[test]
    fn every_single_difference_is_seen() {
        assert_eq!(
            found(|d| fs::set_permissions(d.join("d"), fs::Permissions::from_mode(0o700)).unwrap()),
            ["mode"]
        );
        assert_eq!(
            found(|d| assert!(
                Command::new("touch")
                    .args(["-d", "@1.500000001"])
                    .arg(d.join("d"))
                    .status()
                    .unwrap()
                    .success()
            )),
            ["mtime"]
        );
        assert_eq!(
            found(|d| {
                fs::write(d.join("d/g"), "CONTENT").unwrap();
                touch(d.join("d/g"))
            }),
            ["content"]
        );
        assert_eq!(
            found(|d| {
                fs::write(d.join("d/g"), "longer content").unwrap();
                touch(d.join("d/g"))
            }),
            ["size"]
        );
        assert_eq!(
            found(|d| {
                fs::remove_file(d.join("l")).unwrap();
                symlink("g", d.join("l")).unwrap();
                touch(d.join("l"));
                touch(d.into())
            }),
            ["target"]
        );
        assert_eq!(
            found(|d| {
                fs::remove_file(d.join("l")).unwrap();
                touch(d.into())
            }),
            ["only"]
        );
        assert_eq!(
            found(|d| {
                fs::remove_file(d.join("l")).unwrap();
                fs::write(d.join("l"), "").unwrap();
                touch(d.into())
            }),
            ["type"]
        );
        assert_eq!(
            found(|d| {
                fs::remove_file(d.join("h")).unwrap();
                fs::copy(d.join("d/f"), d.join("h")).unwrap();
                touch(d.join("h"));
                touch(d.into())
            }),
            ["links", "links"]
        );
        assert_eq!(
            found(|d| {
                fs::write(d.join("s"), vec![0; 1 << 20]).unwrap();
                touch(d.join("s"))
            }),
            ["sparse"]
        );
        assert_eq!(found(|d| xattr::set(d.join("d/g"), "user.x", b"1").unwrap()), ["xattr"]);
    }
}
