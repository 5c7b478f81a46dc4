//! `--sdnotify`: which process reports to systemd that the container is ready.

use anyhow::Context;
use cli::{Hint, usage};

use crate::actions::Action;
use crate::job::Job;
use crate::notation::engine::SdNotify;
use crate::path;
use crate::rules::engine::bound_files::Files;
use crate::runtime_spec::key;
use crate::runtime_spec::{env, mounts};

/// podman's directory for the socket, and the socket.
const DIR: &str = "/run/notify";

const SOCKET: &str = "/run/notify/notify.sock";

/// Adds the bind mount of the directory and the variable with the socket. Removes both if the
/// container does not notify systemd.
///
/// podman requires a NOTIFY_SOCKET in its own environment. Here only the flag decides.
///
/// # Errors
/// Returns an error if the engine's directory is not known.
pub fn apply(job: &mut Job<'_>, files: &mut Files) -> anyhow::Result<()> {
    let asked = job.args.engine.sdnotify;
    if asked.is_some_and(|who| who != SdNotify::Container) {
        files.remove(DIR);
        if job
            .spec
            .texts(key::PROCESS_ENV)
            .iter()
            .any(|e| e.split_once('=') == Some(("NOTIFY_SOCKET", SOCKET)))
        {
            env::unset(&mut job.spec, "NOTIFY_SOCKET");
            mounts::remove(&mut job.spec, DIR);
        }
        return Ok(());
    }
    if !job.container.sdnotify_container {
        return Ok(());
    }
    let is_known = files.contains_key(DIR) || mounts::find(&job.spec, DIR).is_some();
    if asked.is_some() && !is_known {
        let Some(bundle) = &job.args.what.bundle else {
            return Err(Hint::on(
                usage("--sdnotify container: the directory of the socket is not known"),
                format!("add --bind-mount {DIR}=DIR, or --bundle DIR for DIR/notify"),
            ));
        };
        let dir = std::path::absolute(bundle.join("notify")).with_context(|| cli::display_path(bundle))?;
        let path = path::utf8(dir)?;
        job.actions.push(Action::Directory { path: path.clone(), mode: 0o755, uid: 0, gid: 0, like: None });
        files.insert(DIR.into(), path);
    }
    env::set(&mut job.spec, "NOTIFY_SOCKET", SOCKET);
    Ok(())
}
