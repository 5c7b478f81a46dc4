//! Checks that each file that a run writes has its own path.

use std::path::{Path, PathBuf};

use cli::same_file::resolve;
use cli::usage;

use crate::actions::Action;
use crate::args::{Args, MountArgs};

/// Rejects two files with the same path: an output and the file of an action, or two actions with
/// different content.
///
/// # Errors
/// Returns an error that names the path.
pub fn check(args: &Args, actions: &[Action]) -> anyhow::Result<()> {
    let outputs = [("--output", &args.output.output), ("--actions", &args.what.actions)];
    let outputs: Vec<(&str, PathBuf)> =
        outputs.iter().filter_map(|(flag, file)| Some((*flag, resolve(file.as_deref()?)))).collect();
    let mut seen: Vec<(PathBuf, &Action)> = Vec::new();
    for action in actions {
        let path = match action {
            Action::Copy { to, .. } => to,
            Action::File { path, .. } => path,
            _ => continue,
        };
        let resolved = resolve(Path::new(path));
        if let Some((flag, _)) = outputs.iter().find(|(_, output)| *output == resolved) {
            return Err(usage(format!("{flag} {path}: an action of --apply makes this file")));
        }
        if seen.iter().any(|(other, made)| *other == resolved && !are_alike(made, action)) {
            return Err(usage(format!("{path}: two actions make this file with different content")));
        }
        seen.push((resolved, action));
    }
    Ok(())
}

/// Rejects two named volumes in one directory, because they would share their content.
///
/// # Errors
/// Returns an error that names both volumes.
pub fn check_volumes(args: &MountArgs) -> anyhow::Result<()> {
    for (i, (name, dir)) in args.volume_path.iter().enumerate() {
        let resolved = resolve(dir);
        let other = args.volume_path[..i].iter().find(|(n, d)| n != name && resolve(d) == resolved);
        if let Some((other, _)) = other {
            let dir = cli::display_path(dir);
            return Err(usage(format!("--volume-path {name}={dir}: volume {other} has the same directory")));
        }
    }
    Ok(())
}

/// Reports whether two actions for one path create the same file.
fn are_alike(a: &Action, b: &Action) -> bool {
    match (a, b) {
        (Action::File { content: a, .. }, Action::File { content: b, .. }) => a == b,
        (
            Action::Copy { from: a, mode: a_mode, uid: a_uid, gid: a_gid, .. },
            Action::Copy { from: b, mode: b_mode, uid: b_uid, gid: b_gid, .. },
        ) => (a, a_mode, a_uid, a_gid) == (b, b_mode, b_uid, b_gid),
        _ => false,
    }
}
