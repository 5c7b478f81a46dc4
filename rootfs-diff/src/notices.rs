//! Reports notices of the comparison to the user.

use cli::Session;
use rootfs_diff::Options;
use tartree::{Notice, TarPath};

/// Reports an excluded path as a note, since the user requested the exclusion, and every other
/// notice as a warning.
pub fn report(session: &Session, notice: &Notice) {
    match notice {
        Notice::LeftOut { .. } => session.note(notice),
        _ => session.warn(notice),
    }
}

/// Warns of each `--exclude` that left nothing out. If its pattern has a typing error, the diff
/// contains a file that the user wanted to keep on the host. `exists` returns whether an unchanged
/// file has this path.
pub fn warn_unmatched(session: &Session, options: &Options, exists: &mut dyn FnMut(&TarPath) -> bool) {
    for (pattern, path) in options.exclude.unmatched() {
        // An unchanged file may exist although the comparison has not visited it.
        if !path.is_some_and(&mut *exists) {
            session.warn(format_args!("--exclude {pattern}: matches nothing"));
        }
    }
    for pattern in options.exclude.kept_deeper() {
        session.warn(format_args!(
            "--exclude {pattern}: keeps the files deeper in the tree that end in this name; \
             --exclude '*/{pattern}' leaves them out"
        ));
    }
}
