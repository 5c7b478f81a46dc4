//! Finds the directory of a named volume, and names and creates the directory of an anonymous
//! volume.

use std::path::PathBuf;

use cli::{Hint, usage};

use crate::actions::Action;
use crate::job::Job;
use crate::path;
use crate::runtime_spec::id_map;

/// Returns the directory of a named volume: from a flag, or next to libpod's containers.
pub fn find(job: &Job<'_>, name: &str) -> Option<PathBuf> {
    let args = &job.args.mounts;
    // An anonymous volume of a restored container cannot be named by a flag.
    if name.is_empty() {
        return None;
    }
    let given = args.volume_path.iter().find(|(n, _)| n == name).map(|(_, dir)| dir.clone());
    let absolute = |dir: PathBuf| std::path::absolute(&dir).unwrap_or(dir);
    given
        .or_else(|| Some(args.volume_root.as_ref()?.join(name).join("_data")))
        .map(absolute)
        .or_else(|| job.container.volume_dir(name))
}

/// Returns the name of an anonymous volume. It is derived from the container's ID and the
/// destination, so it is the same in every run.
pub fn anonymous_name(id: Option<&str>, destination: &str) -> String {
    let mut name = id.unwrap_or("image").to_owned();
    for part in path::clean(destination).split('/').skip(1) {
        name.push('-');
        for byte in part.bytes() {
            if byte.is_ascii_alphanumeric() || byte == b'.' {
                name.push(char::from(byte));
            } else {
                name.push_str(&format!("_{byte:02x}"));
            }
        }
    }
    name
}

/// Adds the action that creates the directory of an anonymous volume, with owner and mode of the
/// image's directory.
///
/// # Errors
/// Returns an error if the location of the directory is not known.
pub fn make(job: &mut Job<'_>, name: &str, destination: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let Some(dir) = find(job, name) else {
        return Err(Hint::on(
            usage(format!("anonymous volume at {destination}: its directory is not known")),
            "add --volume-root DIR",
        ));
    };
    let path = path::utf8(dir)?;
    let found = job.rootfs.metadata(destination)?.filter(std::fs::Metadata::is_dir);
    let (mode, uid, gid) = match found {
        Some(meta) => (meta.mode() & 0o7777, meta.uid(), meta.gid()),
        None => {
            let (uid, gid) = id_map::process_on_host(&job.container.id_maps, 0, 0)?;
            (0o755, uid, gid)
        }
    };
    if job.rootfs.has_entries(destination)? {
        let from = cli::display_path(job.rootfs.name_of(destination));
        job.session.warn(format_args!(
            "{path}: the image's files at {destination} are not copied; run: cp -a {from}/. {path}"
        ));
    }
    job.actions.push(Action::Directory { path, mode, uid, gid, like: None });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_paths_have_different_volume_names() {
        let paths = ["/a/b", "/a-b", "/a_2db", "/a.b", "/ä", "/a/../b", "/"];
        let names: std::collections::BTreeSet<String> =
            paths.iter().map(|p| anonymous_name(None, p)).collect();
        assert_eq!(names.len(), paths.len());
        assert_eq!(anonymous_name(Some("web"), "/var/lib//my-db/"), "web-var-lib-my_2ddb");
    }
}
