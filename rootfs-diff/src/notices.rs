//! Reports notices of the comparison to the user.

use cli::Session;
use rootfs_diff::{Options, Trees};
use tartree::Notice;

/// Reports `notice` as a note if the user asked for what it says, and otherwise as a warning.
pub fn report(session: &Session, notice: &Notice) {
    match notice {
        Notice::LeftOut { .. } => session.note(notice),
        _ => session.warn(notice),
    }
}

/// Warns of each `--exclude` that left nothing out: after a typing error, a file that should stay
/// on the host would be in the diff.
pub fn warn_unmatched(session: &Session, options: &Options, trees: &mut Trees) {
    for (pattern, path) in options.exclude.unmatched() {
        // An unchanged file may exist although the comparison never visited it.
        if !path.is_some_and(|path| trees.has(path)) {
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
