//! Flags that would have no effect next to others, which is a mistake in the command line.

use std::fs::{self, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use cli::usage;

use crate::args::Args;

/// Refuses a flag that would have no effect.
///
/// A directory in which something would be looked up (`--volume-root`, `--overlay-dir`, `--secret-root`, `--cdi-spec-dir`) is a
/// setting that scripts give whether or not it is needed, and so is `--cgroup-version`.
///
/// # Errors
/// Returns an error that names the flag and the reason.
pub fn check(args: &Args) -> anyhow::Result<()> {
    let (what, cgroups) = (&args.what, &args.cgroups);
    let instead = if what.explain { "--explain" } else { "--diff" };
    let no_spec = format!("with {instead}, which writes no spec");
    let path_is_given = "with --cgroups-path, which is the whole path";
    let (restore, no_restore) = (&args.restore, "without --restore");
    let no_cgroup = cgroups.cgroups.as_ref().is_some_and(|mode| mode == "disabled");
    for (flag, given, useless, reason) in [
        (
            "--image-volume",
            args.engine.image_volume.is_some(),
            args.input.image_config.is_none(),
            "without --image-config",
        ),
        ("--no-precreate", args.hooks.no_precreate, args.hooks.hooks_dir.is_empty(), "without --hooks-dir"),
        ("--compact", what.compact, what.explain || what.diff, no_spec.as_str()),
        ("--sort-keys", what.sort_keys, what.explain, no_spec.as_str()),
        ("--cgroup-parent", cgroups.cgroup_parent.is_some(), cgroups.cgroups_path.is_some(), path_is_given),
        ("--cgroup-manager", cgroups.cgroup_manager.is_some(), cgroups.cgroups_path.is_some(), path_is_given),
        ("--cgroups", cgroups.cgroups.is_some(), cgroups.cgroups_path.is_some(), path_is_given),
        ("--cgroup-parent", cgroups.cgroup_parent.is_some(), no_cgroup, "with --cgroups disabled"),
        // clap drops "requires" where what is required conflicts with another argument, as --restore does with --new.
        ("--trust-archive", restore.trust_archive, !restore.restore, no_restore),
        ("--manager-files", restore.manager_files.is_some(), !restore.restore, no_restore),
        ("--force", what.force, what.bundle.is_none(), "without --bundle"),
        ("--images", restore.images.is_some(), !restore.restore, no_restore),
    ] {
        if given && useless {
            return Err(usage(format!("{flag} has no effect {reason}")));
        }
    }
    if let Some(actions) = &what.actions {
        if are_one(args.output.output.as_deref(), Some(actions)) {
            return Err(usage(format!(
                "--actions {}: the result is written there too, and would be lost or mixed with the list",
                cli::name(actions)
            )));
        }
    }
    Ok(())
}

/// Returns whether two outputs end in one file; without a path or with "-" an output is standard output.
fn are_one(a: Option<&Path>, b: Option<&Path>) -> bool {
    let named = |path: Option<&Path>| path.filter(|path| *path != Path::new("-")).map(Path::to_path_buf);
    match (named(a), named(b)) {
        (None, None) => true,
        (Some(path), None) | (None, Some(path)) => is_stdout(&path),
        (Some(a), Some(b)) => is_same_file(&a, &b),
    }
}

/// What is written to /dev/null is meant to be lost.
fn is_kept(file: &Metadata) -> bool {
    !file.file_type().is_char_device()
}

fn is_stdout(path: &Path) -> bool {
    let stdout =
        std::io::stdout().as_fd().try_clone_to_owned().map(fs::File::from).and_then(|file| file.metadata());
    match (fs::metadata(path), stdout) {
        (Ok(file), Ok(stdout)) => is_kept(&file) && (file.dev(), file.ino()) == (stdout.dev(), stdout.ino()),
        _ => false,
    }
}

/// One file may have two names: another spelling, a symbolic or a hard link.
fn is_same_file(a: &Path, b: &Path) -> bool {
    if let (Ok(a), Ok(b)) = (fs::metadata(a), fs::metadata(b)) {
        return is_kept(&a) && (a.dev(), a.ino()) == (b.dev(), b.ino());
    }
    // A file that does not exist yet is its name in a directory that does.
    let place = |path: &Path| -> Option<PathBuf> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(fs::canonicalize(dir).ok()?.join(path.file_name()?))
    };
    place(a).is_some_and(|a| place(b) == Some(a))
}
