//! The changes that `list` prints: as lines, as JSON, or as a tree with sizes.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serializer;
use serde_json::json;
use tartree::TarPath;

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    pub path: TarPath,
    pub change: KindAndSize,
}

/// The kind of a change, and the size of the file, in eight bytes: a diff may have millions of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KindAndSize(u64);

impl KindAndSize {
    const KINDS: [char; 4] = [' ', 'A', 'C', 'D'];
    const SIZE_BITS: u32 = 62;
    const SIZE: u64 = (1 << KindAndSize::SIZE_BITS) - 1;

    /// `kind` is the letter that `podman diff` prints: `A` for added, `C` for changed, `D` for
    /// deleted; a space for a directory that is not printed. `size` is in bytes: the old size of a
    /// deleted file, and else the new size; `None` for inodes without content, and if the old size is
    /// not known. A size of more than 4 EiB, which only a forged tar has, is reduced to that.
    pub fn new(kind: char, size: Option<u64>) -> KindAndSize {
        let kind = KindAndSize::KINDS.iter().position(|known| *known == kind).unwrap_or(0) as u64;
        let size = size.map_or(0, |size| size.min(KindAndSize::SIZE - 1) + 1);
        KindAndSize((kind << KindAndSize::SIZE_BITS) | size)
    }

    pub fn kind(self) -> char {
        KindAndSize::KINDS[(self.0 >> KindAndSize::SIZE_BITS) as usize]
    }

    pub fn size(self) -> Option<u64> {
        (self.0 & KindAndSize::SIZE).checked_sub(1)
    }
}

/// A change that is printed.
pub type Row<'l> = (&'l TarPath, KindAndSize);

/// Writes one line for each change. With `null`, names are unescaped and NUL ends a line.
///
/// # Errors
/// Returns an error if writing to the output fails.
pub fn write_lines<'l>(
    out: &mut impl Write,
    rows: impl Iterator<Item = Row<'l>>,
    null: bool,
) -> io::Result<()> {
    for (path, change) in rows {
        out.write_all(&[change.kind() as u8, b' ', b'/'])?;
        if null {
            out.write_all(path.as_bytes())?;
            out.write_all(&[0])?;
        } else {
            writeln!(out, "{}", path.as_bytes().escape_ascii())?;
        }
    }
    Ok(())
}

/// Writes the changes as a JSON document.
///
/// # Errors
/// Returns an error if writing to the output fails.
pub fn write_json<'l>(out: &mut impl Write, rows: impl Iterator<Item = Row<'l>>) -> anyhow::Result<()> {
    let mut json = serde_json::Serializer::pretty(cli::JsonWriter(&mut *out));
    json.collect_seq(rows.map(document))?;
    writeln!(out)?;
    Ok(())
}

/// Returns a change as JSON. A path that is not UTF-8 has U+FFFD in `path`, and its bytes in
/// `path_bytes`.
fn document((path, change): Row<'_>) -> serde_json::Value {
    let change = match change.kind() {
        'A' => "added",
        'D' => "deleted",
        _ => "modified",
    };
    match std::str::from_utf8(path.as_bytes()) {
        Ok(path) => json!({ "change": change, "path": format!("/{path}") }),
        Err(_) => {
            let lossy = format!("/{}", String::from_utf8_lossy(path.as_bytes()));
            json!({ "change": change, "path": lossy, "path_bytes": path.as_bytes() })
        }
    }
}

/// The deepest directory that is indented; deeper paths are indented like it. Without a limit, the
/// text would be longer than the names by a factor that a hostile tar determines.
const MAX_INDENT: usize = 64;

/// Writes a tree: each directory with the sum of the new sizes below it, and each change with its
/// letter and size.
///
/// # Errors
/// Returns an error if writing to the output fails.
pub fn write_tree(text: &mut impl Write, mut rows: Vec<Row<'_>>) -> anyhow::Result<()> {
    let sums = sums(&rows);
    // In the order of bytes, `a-b` would be between `a` and `a/b`.
    rows.sort_unstable_by(|a, b| components(a.0).cmp(components(b.0)).then_with(|| a.cmp(b)));
    let mut above = vec![TarPath::root()];
    writeln!(text, "{:>12}   /", sums.get(&TarPath::root()).copied().unwrap_or(0))?;
    for (path, change) in rows {
        if path.is_root() {
            continue;
        }
        above.retain(|dir| path.starts_with(dir));
        let depth = above.len();
        let mut parents: Vec<_> = std::iter::successors(path.parent(), TarPath::parent)
            .take_while(|parent| above.last() != Some(parent))
            .collect();
        parents.reverse();
        for (i, parent) in parents.into_iter().enumerate() {
            row(text, sums.get(&parent).copied(), ' ', &parent, depth + i, "/")?;
            above.push(parent);
        }
        // A directory of which entries below have changed too.
        let sum = sums.get(path).copied();
        let slash = if sum.is_some() { "/" } else { "" };
        row(text, sum.or(change.size()), change.kind(), path, above.len(), slash)?;
        if sum.is_some() {
            above.push(path.clone());
        }
    }
    Ok(())
}

fn components(path: &TarPath) -> impl Iterator<Item = &[u8]> {
    path.as_bytes().split(|&b| b == b'/')
}

/// Returns the sum of the new sizes below each directory that contains changes.
fn sums(rows: &[Row<'_>]) -> BTreeMap<TarPath, u64> {
    let mut sums = BTreeMap::new();
    for (path, change) in rows {
        let size = change.size().filter(|_| change.kind() != 'D').unwrap_or(0);
        for parent in std::iter::successors(path.parent(), TarPath::parent) {
            let sum = sums.entry(parent).or_insert(0u64);
            *sum = sum.saturating_add(size);
        }
    }
    sums
}

fn row(
    text: &mut impl Write,
    size: Option<u64>,
    kind: char,
    path: &TarPath,
    depth: usize,
    slash: &str,
) -> anyhow::Result<()> {
    let name = path.split().map(|(_, name)| name.as_encoded_bytes().escape_ascii().to_string());
    let size = size.map_or("-".into(), |size| size.to_string());
    let indent = "  ".repeat(depth.min(MAX_INDENT));
    writeln!(text, "{size:>12} {kind} {indent}{}{slash}", name.unwrap_or_default())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_and_size_are_kept_and_ordered() {
        for kind in KindAndSize::KINDS {
            for size in [None, Some(0), Some(1), Some((1 << 62) - 2)] {
                let change = KindAndSize::new(kind, size);
                assert_eq!((change.kind(), change.size()), (kind, size));
            }
            assert_eq!(KindAndSize::new(kind, Some(u64::MAX)).kind(), kind);
        }
        assert!(KindAndSize::new('A', Some(9)) < KindAndSize::new('C', None));
        assert!(KindAndSize::new('C', None) < KindAndSize::new('C', Some(0)));
    }

    #[test]
    fn a_tree_has_each_directory_once_and_its_sum() {
        let line =
            |kind, path: &str, size| (TarPath::parse(path.as_bytes()).unwrap(), KindAndSize::new(kind, size));
        let lines = [
            line('C', "a", None),
            line('A', "a-b", Some(5)),
            line('A', "a/x", Some(10)),
            line('D', "b/c/old", Some(7)),
            line('A', "b/c/\n", Some(1)),
            line('D', "gone", None),
        ];
        let mut text = Vec::new();
        write_tree(&mut text, lines.iter().map(|(path, change)| (path, *change)).collect()).unwrap();
        let expected = "          16   /
          10 C   a/
          10 A     x
           5 A   a-b
           1     b/
           1       c/
           1 A       \\n
           7 D       old
           - D   gone
";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
