//! `--init`: starts the command under an init, which podman binds to the same path in every
//! container.

use std::path::{Path, PathBuf};

use cli::{Hint, usage};

use crate::args::ProcessArgs;
use crate::path;
use crate::runtime_spec::key;
use crate::runtime_spec::mounts::{self, Mount};
use crate::runtime_spec::{Spec, namespaces};

/// The path of the init in the container, as in podman.
pub const INIT: &str = "/run/podman-init";

/// The directories in which podman looks for its helpers, before $PATH.
const DIRS: [&str; 4] =
    ["/usr/local/libexec/podman", "/usr/local/lib/podman", "/usr/libexec/podman", "/usr/lib/podman"];

/// The name of podman's init program.
const PROGRAM: &str = "catatonit";

/// Puts the init before the command and adds its bind mount. Does not repeat an init that the command
/// already has.
///
/// # Errors
/// Returns an error if there is no init, or if it would not be the first process of its PID
/// namespace.
pub fn apply(spec: &mut Spec, args: &ProcessArgs) -> anyhow::Result<()> {
    let program = match &args.init_path {
        Some(path) => std::path::absolute(path)?,
        None if args.init == Some(true) => find(std::env::var_os("PATH").as_deref())?,
        None => return Ok(()),
    };
    if namespaces::find(spec, "pid").is_none_or(|n| namespaces::path(n).is_some()) {
        return Err(usage("--init: the container has no PID namespace of its own"));
    }
    let mut words = spec.args();
    if words.first().is_none_or(|first| first != INIT) {
        words.splice(0..0, [INIT.to_owned(), "--".to_owned()]);
        spec.set(key::PROCESS_ARGS, words);
    }
    mounts::put(spec, &Mount::bind(&path::utf8(program)?, INIT, &["bind", "ro", "private"]));
    spec.annotate("io.podman.annotations.init", "TRUE");
    Ok(())
}

fn find(path: Option<&std::ffi::OsStr>) -> anyhow::Result<PathBuf> {
    let in_path = path.into_iter().flat_map(std::env::split_paths).filter(|dir| dir.is_absolute());
    let mut dirs = DIRS.iter().map(PathBuf::from).chain(in_path);
    let is_program = |file: &Path| nix::unistd::access(file, nix::unistd::AccessFlags::X_OK).is_ok();
    dirs.find_map(|dir| Some(dir.join(PROGRAM)).filter(|file| is_program(file))).ok_or_else(|| {
        let error = anyhow::anyhow!("--init: no {PROGRAM} in {} or $PATH", DIRS.join(", "));
        Hint::on(error, "install it, or add --init-path FILE")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_init_program_is_found_in_the_search_path() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join(PROGRAM);
        std::fs::write(&program, "").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = std::env::join_paths([Path::new("relative"), Path::new("/nowhere"), dir.path()]).unwrap();
        // The directories of podman's helpers come first.
        let installed = DIRS.iter().map(|dir| Path::new(dir).join(PROGRAM)).find(|file| file.exists());
        assert_eq!(find(Some(path.as_os_str())).unwrap(), installed.unwrap_or(program));
    }
}
