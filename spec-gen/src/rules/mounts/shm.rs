//! /dev/shm: from the host, of the container, from `--shm-dir` and `--shm-size`.

use cli::usage;
use serde_json::Value;

use crate::args::Args;
use crate::job::Job;
use crate::notation::mounts::volume;
use crate::notation::namespace::Mode;
use crate::path;
use crate::runtime_spec::Spec;
use crate::runtime_spec::mounts::{self, Mount};

/// The mount point of shared memory, on the host and in every container.
pub const SHM: &str = "/dev/shm";

/// Replaces the container's shared memory by the host's, because the container shares the host's
/// IPC namespace and its semaphores.
pub fn share(job: &mut Job<'_>) {
    let own = std::mem::replace(&mut job.container.shm_dir, SHM.into());
    let has_list = !job.container.bind_map.is_empty();
    forget_shm(job, &own);
    // If the container's state lists the files, the list is used unchanged and `shm_dir` is
    // ignored.
    if has_list {
        job.container.bind_map.insert(SHM.into(), SHM.into());
    }
}

/// Gives its own shared memory to a container that had the host's, because `--ipc private` must
/// separate them.
pub fn unshare(job: &mut Job<'_>) {
    if job.container.shm_dir == SHM {
        job.container.shm_dir.clear();
        forget_shm(job, SHM);
        mounts::put(&mut job.spec, &own_shm("65536k"));
    }
}

fn forget_shm(job: &mut Job<'_>, source: &str) {
    job.container.bind_map.remove(SHM);
    if !source.is_empty() && mounts::find(&job.spec, SHM).is_some_and(|m| mounts::source(m) == source) {
        mounts::remove(&mut job.spec, SHM);
    }
}

/// Returns a tmpfs for shared memory, as in `runc spec`.
fn own_shm(size: &str) -> Mount {
    let mut mount =
        volume::tmpfs(SHM, ["nosuid", "noexec", "nodev", "mode=1777"].map(str::to_owned).to_vec());
    mount.source = "shm".into();
    mount.options.push(format!("size={size}"));
    mount
}

/// Sets the size of shared memory. If libpod would bind a tmpfs that it has mounted, the container
/// mounts its own instead.
pub fn set_size(spec: &mut Spec, args: &Args, size: i64, is_libpod: bool) -> anyhow::Result<()> {
    if args.mounts.shm_dir.is_some() {
        return Err(usage("--shm-size has no effect with --shm-dir, which is a directory of the host"));
    }
    if args.namespaces.ipc == Some(Mode::Host) {
        return Err(usage("--shm-size has no effect with --ipc host: the shared memory is the host's"));
    }
    let is_shm = |m: &&mut Value| path::clean(mounts::destination(m)) == SHM && mounts::kind(m) == "tmpfs";
    if let Some(shm) = spec.mounts_mut().iter_mut().find(is_shm) {
        let mut options: Vec<String> =
            mounts::options(shm).filter(|o| !o.starts_with("size=")).map(str::to_owned).collect();
        options.push(format!("size={size}"));
        mounts::set_options(shm, options);
    } else if is_libpod {
        mounts::put(spec, &own_shm(&size.to_string()));
    } else {
        return Err(usage("--shm-size: there is no tmpfs on /dev/shm"));
    }
    Ok(())
}
