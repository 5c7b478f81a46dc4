//! Users of the host, whose entries a container can get.

use std::path::Path;

use anyhow::Context;

use crate::input::container::Container;
use crate::input::name_service::{self, Database};
use crate::rules::namespaces::own_ids;
use crate::rules::user::accounts::User;
use crate::runtime_spec::{Spec, mounts};

/// A user of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostUser {
    /// The name or number by which the user was requested.
    pub wanted: String,
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub full_name: String,
    home: String,
    /// The name of the user's group, for the user who starts the container.
    pub group: Option<String>,
}

impl HostUser {
    /// Returns the user who starts the container, or `None` if that is root.
    ///
    /// # Errors
    /// Returns an error if the users of the host cannot be read.
    pub fn current() -> anyhow::Result<Option<HostUser>> {
        let uid = own_ids::outside("uid_map", nix::unistd::geteuid().as_raw())?;
        let gid = own_ids::outside("gid_map", nix::unistd::getegid().as_raw())?;
        let Some(mut user) = HostUser::find(&uid.to_string())?.filter(|_| uid != 0) else { return Ok(None) };
        user.gid = gid;
        if gid != 0 {
            let group = name_service::find(Database::Group, &gid.to_string())?;
            user.group = group.map(|fields| fields[0].clone());
        }
        Ok(Some(user))
    }

    /// Looks up a user of the host, first by number, as podman does for its `HostUsers`.
    ///
    /// # Errors
    /// Returns an error if the users of the host cannot be read.
    pub fn find(wanted: &str) -> anyhow::Result<Option<HostUser>> {
        let Some(fields) = name_service::find(Database::Passwd, wanted)? else { return Ok(None) };
        let [name, _password, uid, gid, full_name, home, ..] = &fields[..] else { return Ok(None) };
        Ok(Some(HostUser {
            wanted: wanted.to_owned(),
            name: name.clone(),
            uid: uid.parse().context("the UID is not a number")?,
            gid: gid.parse().context("the GID is not a number")?,
            full_name: full_name.clone(),
            home: home.clone(),
            group: None,
        }))
    }

    /// Returns the home directory in the container: the host's if a mount provides it, otherwise
    /// the working directory.
    pub fn home_in<'a>(&'a self, container: &Container, spec: &'a Spec) -> &'a str {
        let is_mount = |dir: &Path| {
            let dir = dir.to_string_lossy();
            dir != "/"
                && (mounts::find(spec, &dir).is_some() || container.user_volumes.iter().any(|v| *v == dir))
        };
        if Path::new(&self.home).ancestors().any(is_mount) { &self.home } else { spec.cwd() }
    }

    /// Returns the user that the process runs as. The home directory is the home directory in the
    /// entry that was added for this user.
    pub fn to_user(&self) -> User {
        User {
            uid: self.uid,
            gid: self.gid,
            home: Some(self.home.clone()),
            found: "this host's users".into(),
            ..User::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_home_is_the_hosts_only_below_a_mount() {
        let user = |home: &str| HostUser { home: home.into(), ..HostUser::find("0").unwrap().unwrap() };
        #[rustfmt::skip]
        let cases: [(&str, &[&str], &[&str], &str); 8] = [
            ("/home/bob", &[], &[], "/w"),
            ("/home/bob", &["/home/bob"], &[], "/home/bob"),
            ("/home/bob", &["/home"], &[], "/home/bob"),
            ("/home/bob", &["/home/bobby", "/"], &[], "/w"),
            ("/home/bob", &[], &["/home/bob"], "/home/bob"),
            ("/home/bob", &[], &["/home"], "/home/bob"),
            ("/home/bob", &[], &["/", "/srv"], "/w"),
            ("/", &["/"], &["/"], "/w"),
        ];
        for (home, mounts, volumes, expected) in cases {
            let list: Vec<Value> = mounts.iter().map(|path| json!({"destination": path})).collect();
            let spec = Spec::new(json!({"process": {"cwd": "/w"}, "mounts": list}));
            let user_volumes = volumes.iter().map(|path| (*path).to_owned()).collect();
            let container = Container { user_volumes, ..Container::default() };
            assert_eq!(user(home).home_in(&container, &spec), expected, "{home} {mounts:?} {volumes:?}");
        }
    }
}
