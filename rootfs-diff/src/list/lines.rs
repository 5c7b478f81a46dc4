//! The changes that `list` prints: as lines, as JSON, or as a tree with sizes.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::json;
use tartree::TarPath;

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    pub path: TarPath,
    /// The letter that `podman diff` prints: `A` for added, `C` for changed, `D` for deleted.
    pub kind: char,
    /// The size of the file in bytes: the old size of a deleted file, and else the new size. `None`
    /// for inodes without content, and if the old size is not known.
    pub size: Option<u64>,
}

/// Appends one line for each change. With `null`, names are unescaped and NUL ends a line.
pub fn write_lines(text: &mut Vec<u8>, lines: &[Line], null: bool) {
    for Line { kind, path, .. } in lines {
        text.extend_from_slice(&[*kind as u8, b' ', b'/']);
        if null {
            text.extend_from_slice(path.as_bytes());
            text.push(0);
        } else {
            text.extend(path.as_bytes().escape_ascii());
            text.push(b'\n');
        }
    }
}

/// Appends the changes as a JSON document.
///
/// # Errors
/// Returns an error if the document cannot be formatted.
pub fn write_json(text: &mut Vec<u8>, lines: &[Line]) -> anyhow::Result<()> {
    let list: Vec<_> = lines.iter().map(document).collect();
    let json = serde_json::to_string_pretty(&list)?;
    text.extend_from_slice(cli::escape_json(json).as_bytes());
    text.push(b'\n');
    Ok(())
}

/// Returns a change as JSON. A path that is not UTF-8 has U+FFFD in `path`, and its bytes in
/// `path_bytes`.
fn document(Line { kind, path, .. }: &Line) -> serde_json::Value {
    let change = match kind {
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

/// Appends a tree: each directory with the sum of the new sizes below it, and each change with its
/// letter and size.
///
/// # Errors
/// Returns an error if a line cannot be formatted.
pub fn write_tree(text: &mut Vec<u8>, lines: &[Line]) -> anyhow::Result<()> {
    let sums = sums(lines);
    let mut lines: Vec<&Line> = lines.iter().collect();
    let components = |path: &TarPath| -> Vec<Vec<u8>> {
        path.as_bytes().split(|&b| b == b'/').map(<[u8]>::to_vec).collect()
    };
    // In the order of bytes, `a-b` would be between `a` and `a/b`.
    lines.sort_by_cached_key(|line| components(&line.path));
    let mut above = vec![TarPath::root()];
    writeln!(text, "{:>12}   /", sums.get(&TarPath::root()).copied().unwrap_or(0))?;
    for line in lines {
        if line.path.is_root() {
            continue;
        }
        above.retain(|dir| line.path.starts_with(dir));
        let depth = above.len();
        let mut parents: Vec<_> = std::iter::successors(line.path.parent(), TarPath::parent)
            .take_while(|parent| above.last() != Some(parent))
            .collect();
        parents.reverse();
        for (i, parent) in parents.into_iter().enumerate() {
            row(text, sums.get(&parent).copied(), ' ', &parent, depth + i, "/")?;
            above.push(parent);
        }
        // A directory of which entries below have changed too.
        let sum = sums.get(&line.path).copied();
        let slash = if sum.is_some() { "/" } else { "" };
        row(text, sum.or(line.size), line.kind, &line.path, above.len(), slash)?;
        if sum.is_some() {
            above.push(line.path.clone());
        }
    }
    Ok(())
}

/// Returns the sum of the new sizes below each directory that contains changes.
fn sums(lines: &[Line]) -> BTreeMap<TarPath, u64> {
    let mut sums = BTreeMap::new();
    for line in lines {
        let size = line.size.filter(|_| line.kind != 'D').unwrap_or(0);
        for parent in std::iter::successors(line.path.parent(), TarPath::parent) {
            let sum = sums.entry(parent).or_insert(0u64);
            *sum = sum.saturating_add(size);
        }
    }
    sums
}

fn row(
    text: &mut Vec<u8>,
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
    fn a_tree_has_each_directory_once_and_its_sum() {
        let line =
            |kind, path: &str, size| Line { path: TarPath::parse(path.as_bytes()).unwrap(), kind, size };
        let lines = [
            line('C', "a", None),
            line('A', "a-b", Some(5)),
            line('A', "a/x", Some(10)),
            line('D', "b/c/old", Some(7)),
            line('A', "b/c/\n", Some(1)),
            line('D', "gone", None),
        ];
        let mut text = Vec::new();
        write_tree(&mut text, &lines).unwrap();
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
