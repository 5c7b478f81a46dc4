//! Decides whether a path that is not a directory is the same in both trees.

use tartree::{Error, Result, SourceTree, Status, TarPath};

use super::content::Buffers;
use super::metadata::{same_metadata, same_status, same_xattrs};
use super::options::ContentCheck;
use crate::trees::{Trees, is_absent};

/// Returns whether nothing differs between the `old` and the `new` file at `path`. `source_tree` is
/// the tree from which the new file is read. Equal size and time prove nothing about the content,
/// so the content is also read, unless `check` trusts size and time.
///
/// # Errors
/// Returns an error if one of the files cannot be read.
pub(super) fn is_unchanged(
    trees: &mut Trees,
    path: &TarPath,
    source_tree: SourceTree,
    (old, new): (&Status, &Status),
    check: ContentCheck,
    buffers: &mut Buffers,
) -> Result<bool> {
    if trees.owners_unmapped || !same_status(new, old) {
        return Ok(false);
    }
    let io = |source| Error::Io { object: path.to_string(), source };
    if new.is_file() && new.size() > 0 && check == ContentCheck::Read {
        let mut old_file = trees.old.open(path).map_err(io)?;
        let view = trees.new_at(source_tree);
        let mut new_file = match view.open(path) {
            Err(e) if is_absent(&e) => return Ok(false),
            opened => opened.map_err(io)?,
        };
        // The xattrs are read by descriptor, which saves resolving both paths again.
        let new_xattrs = view.xattrs(&new_file).map_err(io)?;
        let same = same_xattrs(&new_xattrs, &trees.old.xattrs(&old_file).map_err(io)?);
        return Ok(same && buffers.same_content(&mut old_file, &mut new_file, new.size()).map_err(io)?);
    }
    if new.is_symlink() {
        let inodes = (trees.new.inode(path, new)?, trees.old.inode(path, old)?);
        let (Some(new), Some(old)) = inodes else { return Ok(false) };
        return Ok(same_metadata(&new, &old));
    }
    let new_xattrs = trees.new_at(source_tree).xattrs_at(path).map_err(io)?;
    Ok(same_xattrs(&new_xattrs, &trees.old.xattrs_at(path).map_err(io)?))
}
