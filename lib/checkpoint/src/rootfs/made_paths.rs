//! The paths that a diff has created, which its deletions must keep.

use tartree::TarPath;

/// The paths that a tar has created. Each path takes the length of its name and a few bytes of
/// memory.
#[derive(Default)]
pub(super) struct MadePaths {
    names: Vec<u8>,
    /// The start and the length of each name in `names`.
    spans: Vec<(usize, u32)>,
}

impl MadePaths {
    pub(super) fn add(&mut self, path: &TarPath) {
        let start = self.names.len();
        self.names.extend_from_slice(path.as_bytes());
        // The cast cannot truncate: the reader limits names to one mebibyte.
        self.spans.push((start, path.as_bytes().len() as u32));
    }

    /// Sorts the paths by their components, so that the paths below a directory follow the
    /// directory.
    pub(super) fn sort(&mut self) {
        let names = &self.names;
        let name = |&(start, len): &(usize, u32)| components(&names[start..start + len as usize]);
        if !self.spans.is_sorted_by(|a, b| name(a).le(name(b))) {
            self.spans.sort_by(|a, b| name(a).cmp(name(b)));
        }
    }

    /// Returns whether `path` or a path below it was created. Call [`sort`](MadePaths::sort) first.
    pub(super) fn has_at_or_below(&self, path: &TarPath) -> bool {
        let name = |&(start, len): &(usize, u32)| &self.names[start..start + len as usize];
        let at = self.spans.partition_point(|span| components(name(span)).lt(components(path.as_bytes())));
        self.spans.get(at).is_some_and(|span| {
            name(span)
                .strip_prefix(path.as_bytes())
                .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        })
    }
}

fn components(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.split(|&b| b == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> TarPath {
        TarPath::parse(name.as_bytes()).unwrap()
    }

    #[test]
    fn created_paths_spare_only_their_parents() {
        let mut made = MadePaths::default();
        for name in ["d/n", "d.x", "d/a/b", "e"] {
            made.add(&path(name));
        }
        made.sort();
        for kept in ["d", "d/n", "d/a", "d/a/b", "d.x", "e"] {
            assert!(made.has_at_or_below(&path(kept)), "{kept}");
        }
        for gone in ["d/a/c", "d/a/b/c", "d.", "f", "d/n/x", "c"] {
            assert!(!made.has_at_or_below(&path(gone)), "{gone}");
        }
    }
}
