//! Actions that are needed on the host in addition to the spec: `--actions` lists them, `--apply`
//! performs them.
//!
//! By default, spec-gen writes nothing but its output. podman's side effects (changing the owner of
//! a volume, relabeling it, creating the directories of an overlay) are only listed.

mod apply;

use std::fmt;

use serde_json::{Value, json};

use crate::path;

/// One action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Change the owner of a tree (`U`).
    Chown { path: String, uid: u32, gid: u32 },
    /// Relabel a tree (`z`, `Z`).
    Relabel { path: String, label: String, shared: bool },
    /// Create a directory with this owner and mode or, with `like`, with the owner and mode of
    /// another directory.
    Directory { path: String, mode: u32, uid: u32, gid: u32, like: Option<String> },
    /// Copy a file and set owner and mode of the copy.
    Copy { from: String, to: String, mode: u32, uid: u32, gid: u32 },
    /// Create a file of the container engine unless it exists.
    File { path: String, content: String },
    /// Create a mount point in a directory whose content may come from an archive.
    MountPoint { directory: String, path: String, is_file: bool },
}

impl Action {
    /// Returns the action as a JSON object, one line of the output.
    pub fn to_value(&self) -> Value {
        match self {
            Action::Chown { path, uid, gid } => {
                json!({ "action": "chown", "path": path, "uid": uid, "gid": gid, "recursive": true })
            }
            Action::Relabel { path, label, shared } => {
                json!({ "action": "relabel", "path": path, "label": label, "shared": shared, "recursive": true })
            }
            Action::Directory { path, mode, uid, gid, like } => {
                json!({ "action": "mkdir", "path": path, "mode": format!("{mode:04o}"), "uid": uid, "gid": gid, "like": like })
            }
            Action::Copy { from, to, mode, uid, gid } => {
                json!({ "action": "copy", "from": from, "to": to, "mode": format!("{mode:04o}"), "uid": uid, "gid": gid })
            }
            Action::File { path, content } => json!({ "action": "create", "path": path, "content": content }),
            Action::MountPoint { directory, path, is_file: true } => {
                json!({ "action": "create", "path": format!("{directory}/{path}"), "content": "" })
            }
            Action::MountPoint { directory, path, is_file: false } => {
                json!({ "action": "mkdir", "path": format!("{directory}/{path}"), "mode": "0755", "uid": 0, "gid": 0, "like": null })
            }
        }
    }
}

impl fmt::Display for Action {
    /// Writes the action as an imperative sentence for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Chown { path, uid, gid } => {
                write!(f, "change the owner of {path} and everything below it to {uid}:{gid}")
            }
            Action::Relabel { path, label, .. } => {
                write!(f, "set the SELinux label of {path} and everything below it to {label}")
            }
            Action::Directory { path, like: Some(like), .. } => {
                write!(f, "create the directory {path} with the owner and mode of {like}")
            }
            Action::Directory { path, mode, uid, gid, like: None } => {
                write!(f, "create the directory {path} with owner {uid}:{gid} and mode {mode:04o}")
            }
            Action::Copy { from, to, mode, uid, gid } => {
                write!(f, "copy {from} to {to} with owner {uid}:{gid} and mode {mode:04o}")
            }
            Action::File { path, .. } => write!(f, "create the file {path}"),
            Action::MountPoint { directory, path, .. } => {
                write!(f, "create the mount point {directory}/{path}")
            }
        }
    }
}

/// System directories that a container user must not own. The list is podman's.
#[rustfmt::skip]
const NOT_TO_BE_GIVEN_AWAY: [&str; 24] = [
    "/", "/bin", "/boot", "/dev", "/etc", "/etc/passwd", "/etc/pki", "/etc/shadow", "/home", "/lib", "/lib64", "/media",
    "/opt", "/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var", "/var/lib", "/var/log",
];

/// Returns the action that changes the owner of a volume.
///
/// # Errors
/// Returns an error for a system directory. The error contains the command for users who intend the
/// change.
pub fn chown(path: &str, uid: u32, gid: u32) -> anyhow::Result<Action> {
    let clean = path::clean(path);
    if NOT_TO_BE_GIVEN_AWAY.contains(&clean.as_str()) {
        return Err(cli::Hint::on(
            anyhow::anyhow!("chowning host path \"{clean}\" is not allowed"),
            format!("chown -R {uid}:{gid} {clean}"),
        ));
    }
    Ok(Action::Chown { path: clean, uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changing_the_owner_of_a_system_directory_is_refused() {
        for path in ["/", "/srv", "/srv/", "/etc/../etc", "/var/log"] {
            assert!(chown(path, 1000, 1000).is_err(), "{path}");
        }
        assert!(chown("/srv/data", 1000, 1000).is_ok());
    }
}
