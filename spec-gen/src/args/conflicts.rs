//! Rejects flags that would have no effect in combination with other flags.

use cli::args::{Ineffective, reject_ineffective};
use cli::same_file::same_output;
use cli::{Hint, usage};

use crate::args::{Args, Systemd};
use crate::notation::compat::Compat;

/// Returns an error if a flag would have no effect.
///
/// Accepts flags that only name a directory or a process for lookups (`--volume-root`,
/// `--volume-path`, `--image-mount`, `--overlay-dir`, `--secret-root`, `--secret-copies`,
/// `--cdi-spec-dir`, `--container-pid`), and `--cgroup-version`, because scripts pass them whether or
/// not they are needed. Accepts a flag that requests what another flag already does, such as
/// `--cap-add` with `--privileged`.
///
/// # Errors
/// Returns an error that names the flag and the reason.
pub fn check(args: &Args) -> anyhow::Result<()> {
    let (what, cgroups) = (&args.what, &args.cgroups);
    let instead = if what.explain { "--explain" } else { "--diff" };
    let no_spec = format!("with {instead}, which writes no spec");
    let path_is_given = "with --cgroups-path, which is the complete path";
    let (restore, no_restore) = (&args.restore, "without --restore");
    let cgroups_mode = |name: &str| cgroups.cgroups.as_ref().is_some_and(|mode| mode == name);
    let without_systemd = matches!(cgroups.systemd, Some(Systemd::False));
    let flags = [
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
        (
            "--cgroup-parent",
            cgroups.cgroup_parent.is_some(),
            cgroups_mode("disabled"),
            "with --cgroups disabled",
        ),
        (
            "--cgroup-parent",
            cgroups.cgroup_parent.is_some(),
            cgroups_mode("split"),
            "with --cgroups split, whose parent is spec-gen's own cgroup",
        ),
        ("--shm-size-systemd", cgroups.shm_size_systemd.is_some(), without_systemd, "with --systemd=false"),
        ("--compat", args.hooks.compat != Compat::None, restore.restore, "with --restore"),
        // clap drops `requires` for the following flags; see `reject_ineffective`.
        ("--trust-archive", restore.trust_archive, !restore.restore, no_restore),
        ("--manager-files", restore.manager_files.is_some(), !restore.restore, no_restore),
        ("--force", what.force, what.bundle.is_none(), "without --bundle"),
        ("--images", restore.images.is_some(), !restore.restore, no_restore),
    ];
    let ineffective = |(flag, given, ineffective, reason)| Ineffective { flag, given, ineffective, reason };
    reject_ineffective(flags.map(ineffective))?;
    if let Some(actions) = &what.actions {
        if same_output(args.output.output.as_deref(), Some(actions)) {
            let error = usage(format!(
                "--actions {}: the result is written to the same file and would be lost or mixed with the list",
                cli::display_path(actions)
            ));
            return Err(Hint::on(error, "write the result to another file: -o config.json"));
        }
    }
    Ok(())
}
