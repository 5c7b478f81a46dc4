//! The files that a container engine provides: the files in libpod's config and state, and the
//! files of flags.

pub mod bound_files;
mod sd_notify;
pub mod secrets;
pub mod systemd_mode;
pub mod timezone;

use anyhow::Context;
use cli::usage;

use crate::args::MountArgs;
use crate::job::Job;
use crate::path;
use crate::runtime_spec::Spec;
use crate::runtime_spec::mounts::{self, Mount};
use bound_files::Files;

/// Adds bind mounts of the files.
///
/// # Errors
/// Returns an error if the file of a flag does not exist, or if the location of a file is not
/// known.
pub fn bind_files(job: &mut Job<'_>) -> anyhow::Result<()> {
    let mut files = Files::new();
    if job.container.is_libpod && job.args.mounts.shm_dir.is_some() {
        replace_shm(&mut job.spec, &job.container.shm_dir);
    }
    if job.container.is_libpod {
        if job.container.bind_map.is_empty() {
            files = bound_files::derive(&job.spec, &job.container);
        }
    } else if !job.container.shm_dir.is_empty() {
        replace_shm(&mut job.spec, &job.container.shm_dir);
        files.insert("/dev/shm".into(), job.container.shm_dir.clone());
    }
    files.extend(job.container.bind_map.clone());
    files.retain(|destination, _| !job.container.removed.has(destination));
    let args = &job.args.engine;
    for (leave, file) in [(args.no_hosts, "/etc/hosts"), (args.no_hostname, "/etc/hostname")] {
        if leave == Some(true) {
            bound_files::remove(&mut files, file, &job.container.chroot_dirs);
        }
    }
    files.extend(flag_files(&job.args.mounts)?);
    sd_notify::apply(job, &mut files)?;
    secrets::bind(job, &mut files)?;
    let before = files.clone();
    bound_files::add_below(&mut files, &job.container.chroot_dirs);
    files.retain(|destination, _| {
        before.contains_key(destination) || !job.container.removed.names(destination)
    });
    let writable_shm = job.container.read_write_tmpfs || !job.container.is_libpod;
    bound_files::apply(&mut job.spec, &files, &job.container.shm_dir, writable_shm);
    job.trace.because(&job.spec, || "files of the container engine".into());
    if let Some(zone) = &args.tz {
        bind_zone(job, zone)?;
        job.trace.because(&job.spec, || format!("--tz {zone}"));
    }
    if args.timeout.is_some() {
        job.session
            .warn("--timeout ignored: config.json cannot express it; enforce it in the container engine");
    }
    Ok(())
}

/// Binds the file of a time zone read-only, because it belongs to the host and is shared by all
/// containers.
fn bind_zone(job: &mut Job<'_>, zone: &str) -> anyhow::Result<()> {
    let file = path::utf8(timezone::file(zone)?)?;
    if !job.container.user_volumes.iter().any(|v| path::clean(v) == timezone::LOCALTIME) {
        mounts::put(&mut job.spec, &Mount::host_file(&file, timezone::LOCALTIME));
    }
    Ok(())
}

/// Returns the files that `--bind-mount` and `--shm-dir` name, as pairs of destination and host
/// path.
///
/// # Errors
/// Returns an error if a destination is given twice or is not absolute.
pub fn flag_files(args: &MountArgs) -> anyhow::Result<Vec<(String, String)>> {
    let mut files: Vec<(String, String)> = Vec::new();
    let shm = args.shm_dir.iter().map(|dir| ("/dev/shm".to_owned(), dir.clone()));
    for (destination, source) in args.bind_mount.iter().cloned().chain(shm) {
        mounts::check_destination(&destination).map_err(|e| usage(format!("--bind-mount {e:#}")))?;
        let destination = path::clean(&destination);
        if files.iter().any(|(d, _)| *d == destination) {
            return Err(usage(format!("{destination} is bound twice")));
        }
        files.push((
            destination,
            path::utf8(std::path::absolute(&source).with_context(|| cli::display_path(&source))?)?,
        ));
    }
    Ok(files)
}

/// Replaces the tmpfs of `runc spec` on /dev/shm by a bind mount of the engine's directory.
fn replace_shm(spec: &mut Spec, dir: &str) {
    let is_tmpfs = mounts::find(spec, "/dev/shm").is_some_and(|m| mounts::kind(m) == "tmpfs");
    if is_tmpfs {
        mounts::put(spec, &Mount::bind(dir, "/dev/shm", &["bind", "rprivate", "nosuid", "noexec", "nodev"]));
    }
}
