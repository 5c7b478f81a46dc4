//! The account files of a container, and lookups of users and groups in them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};
use cli::Hint;
use serde_json::Value;

use crate::input::passwd::{self, Group, MAX_FILE, Passwd, Table};
use crate::input::rootfs::{Rootfs, read_host};
use crate::notation::user::{MAX_ID, as_number};
use crate::path;
use crate::runtime_spec::{Spec, mounts};

/// The two account files as the container will see them.
pub struct Accounts {
    passwd: Table<Passwd>,
    passwd_name: PathBuf,
    passwd_text: Option<Vec<u8>>,
    group: Table<Group>,
    group_name: PathBuf,
    group_text: Option<Vec<u8>>,
}

/// A resolved user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// The groups of `--group-add`.
    pub extra_groups: Vec<u32>,
    /// The groups whose member list names the user. Empty if a group was requested.
    pub groups: Vec<u32>,
    /// The home directory, or `None` if the user has no entry.
    pub home: Option<String>,
    /// The file and line of the entry, for `--explain`.
    pub found: String,
}

impl Accounts {
    /// Reads `/etc/passwd` and `/etc/group` from the path at which the container will find them:
    /// the engine's copy, a bind mount on the file, a bind mount on `/etc`, or the root file
    /// system.
    ///
    /// # Errors
    /// Returns an error if a file exists but cannot be read.
    pub fn read(
        spec: &Spec,
        bind_map: &BTreeMap<String, String>,
        rootfs: &Rootfs,
    ) -> anyhow::Result<Accounts> {
        let (passwd_name, passwd_text) = account_file(spec, bind_map, rootfs, "passwd")?;
        let (group_name, group_text) = account_file(spec, bind_map, rootfs, "group")?;
        Ok(Accounts {
            passwd: passwd::passwd(passwd_text.as_deref().unwrap_or_default(), &passwd_name),
            passwd_name,
            passwd_text,
            group: passwd::group(group_text.as_deref().unwrap_or_default(), &group_name),
            group_name,
            group_text,
        })
    }

    /// Returns a warning for each line that was ignored.
    pub fn ignored(&self) -> impl Iterator<Item = &String> {
        self.passwd.ignored.iter().chain(&self.group.ignored)
    }

    /// Resolves `USER[:GROUP]`, each a name or a number. An empty user is user ID 0.
    ///
    /// # Errors
    /// Returns an error if a name is not in its file, or if a number is out of range.
    pub fn look_up(&self, wanted: &str) -> anyhow::Result<User> {
        let mut parts = wanted.split(':');
        let (name, group) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let number = as_number(name).with_context(|| name.to_owned())?;
        let entry = match number {
            // As in moby, a number never selects a user whose name is that number.
            Some(uid) => self.passwd.entries.iter().find(|e| e.uid == uid),
            None if name.is_empty() => self.passwd.entries.iter().find(|e| e.uid == 0),
            None => Some(self.by_name(name)?),
        };
        let mut user = User { uid: number.unwrap_or_default(), ..User::default() };
        if let Some(entry) = entry {
            user.uid = entry.uid;
            user.gid = entry.gid;
            user.home = Some(entry.home.clone());
            user.found = format!("{}:{}", cli::display_path(&self.passwd_name), entry.line);
        }
        if u64::from(user.uid.max(user.gid)) > MAX_ID {
            bail!("{}: uids and gids must be in range 0-{MAX_ID}", user.found);
        }
        if !group.is_empty() {
            user.gid = self.gid_of(group)?;
        } else if let Some(entry) = entry {
            let member = |g: &&Group| g.members.contains(&entry.name);
            user.groups = self.group.entries.iter().filter(member).map(|g| g.gid).collect();
        }
        Ok(user)
    }

    fn by_name(&self, name: &str) -> anyhow::Result<&Passwd> {
        if let Some(entry) = self.passwd.entries.iter().find(|e| e.name == name) {
            return Ok(entry);
        }
        let file = cli::display_path(&self.passwd_name);
        if self.passwd_text.is_none() {
            return Err(Hint::on(
                anyhow::anyhow!("unable to find user {name}: {file} does not exist"),
                "add --rootfs DIR, or give numbers: --user UID:GID",
            ));
        }
        bail!("unable to find user {name}: no matching entries in passwd file {file}")
    }

    /// Reports whether an entry has this name or user ID.
    pub fn has_user(&self, name: &str, uid: u32) -> bool {
        self.passwd.entries.iter().any(|e| e.name == name || e.uid == uid)
    }

    /// Reports whether an entry has this group ID.
    pub fn has_gid(&self, gid: u32) -> bool {
        self.group.entries.iter().any(|g| g.gid == gid)
    }

    /// Reports whether an entry has this name or group ID.
    pub fn has_group(&self, name: &str, gid: u32) -> bool {
        self.group.entries.iter().any(|g| g.name == name || g.gid == gid)
    }

    /// Returns the content of the passwd file, which is empty if there is none.
    pub fn passwd_text(&self) -> &[u8] {
        self.passwd_text.as_deref().unwrap_or_default()
    }

    /// Returns the content of the group file, which is empty if there is none.
    pub fn group_text(&self) -> &[u8] {
        self.group_text.as_deref().unwrap_or_default()
    }

    /// Parses the accounts from the texts of both files.
    #[cfg(test)]
    pub fn of(passwd: &str, group: &str) -> Accounts {
        Accounts {
            passwd: passwd::passwd(passwd.as_bytes(), std::path::Path::new("/etc/passwd")),
            passwd_name: "/etc/passwd".into(),
            passwd_text: Some(passwd.into()),
            group: passwd::group(group.as_bytes(), std::path::Path::new("/etc/group")),
            group_name: "/etc/group".into(),
            group_text: Some(group.into()),
        }
    }

    /// Returns the group ID for `--group-add`: as in moby, the ID of the first entry whose name or
    /// number matches.
    ///
    /// # Errors
    /// Returns an error if no entry has the name, or if the number is out of range.
    pub fn gid_to_add(&self, group: &str) -> anyhow::Result<u32> {
        match self.group.entries.iter().find(|g| g.name == group || g.gid.to_string() == group) {
            Some(entry) => Ok(entry.gid),
            None => self.gid_of(group),
        }
    }

    /// Returns the ID of a group given by name or number.
    ///
    /// # Errors
    /// Returns an error if the file does not contain the name, or if the number is out of range.
    pub fn gid_of(&self, group: &str) -> anyhow::Result<u32> {
        if let Some(gid) = as_number(group).with_context(|| group.to_owned())? {
            return Ok(gid);
        }
        match self.group.entries.iter().find(|g| g.name == group) {
            Some(entry) => Ok(entry.gid),
            None => bail!(
                "unable to find group {group}: no matching entries in group file {}",
                cli::display_path(&self.group_name)
            ),
        }
    }
}

/// Returns the path of `/etc/NAME` on the host or in the root file system, and its content if it
/// exists.
fn account_file(
    spec: &Spec,
    bind_map: &BTreeMap<String, String>,
    rootfs: &Rootfs,
    file: &str,
) -> anyhow::Result<(PathBuf, Option<Vec<u8>>)> {
    let path = format!("/etc/{file}");
    if let Some(copy) = bind_map.get(&path).map(PathBuf::from) {
        if let Some(text) = read_host(&copy, MAX_FILE)? {
            return Ok((copy, Some(text)));
        }
    }
    // A tmpfs on /etc has no host path; podman then looks for the relative path "tmpfs/passwd".
    let is_host = |m: &&Value| mounts::is_bind(m) && mounts::source(m).starts_with('/');
    let on = |destination: &str| {
        let mut binds = spec.mounts().iter().rev().filter(is_host);
        binds
            .find(|m| path::clean(mounts::destination(m)) == destination)
            .map(|m| PathBuf::from(mounts::source(m)))
    };
    match on(&path).or_else(|| on("/etc").map(|dir| dir.join(file))) {
        Some(host) => {
            let text = read_host(&host, MAX_FILE)?;
            Ok((host, text))
        }
        None => Ok((rootfs.name_of(&path), rootfs.read(&path, MAX_FILE)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# comment:x:0:0::/:\nalice:x:1000:1000::/home/alice:/bin/sh\n\
        bob:x:1001:100::/home/bob:\nalice:x:2000:2000:::\n1337:x:77:77::/n:\nnohome:x:1003:1003:::\nshort:x:1002\n\
        big:x:4000000000:1::/:\n";
    const GROUP: &str =
        "root:x:0:root\nwheel:x:10:alice,bob\nusers:x:100:\naudio:x:63:alice, bob\nhigh:x:70000:alice\n";

    fn accounts() -> Accounts {
        Accounts::of(PASSWD, GROUP)
    }

    #[test]
    fn users_are_found_by_name_and_by_number() {
        #[rustfmt::skip]
        let cases = [
            ("", 0, 0, vec![0], Some("/root")),
            ("root", 0, 0, vec![0], Some("/root")),
            ("alice", 1000, 1000, vec![10, 63, 70000], Some("/home/alice")),
            ("alice:", 1000, 1000, vec![10, 63, 70000], Some("/home/alice")),
            ("1000", 1000, 1000, vec![10, 63, 70000], Some("/home/alice")),
            ("bob", 1001, 100, vec![10, 63], Some("/home/bob")),
            ("1000:10", 1000, 10, vec![], Some("/home/alice")),
            ("alice:wheel:x", 1000, 10, vec![], Some("/home/alice")),
            (":wheel", 0, 10, vec![], Some("/root")),
            ("1337", 1337, 0, vec![], None),
            ("4242", 4242, 0, vec![], None),
            ("+7:0010", 7, 10, vec![], None),
            ("nohome", 1003, 1003, vec![], Some("")),
        ];
        for (wanted, uid, gid, groups, home) in cases {
            let user = accounts().look_up(wanted).unwrap();
            assert_eq!(
                (user.uid, user.gid, user.groups, user.home.as_deref()),
                (uid, gid, groups, home),
                "{wanted}"
            );
        }
    }

    #[test]
    fn unknown_names_and_ids_out_of_range_are_errors() {
        #[rustfmt::skip]
        let cases = [
            ("nosuch", "unable to find user nosuch: no matching entries in passwd file /etc/passwd"),
            ("# comment", "unable to find user # comment"),
            ("short", "unable to find user short"),
            ("alice:nogroup", "unable to find group nogroup: no matching entries in group file /etc/group"),
            ("3000000000", "uids and gids must be in range 0-2147483647"),
            ("-5", "uids and gids must be in range 0-2147483647"),
            ("1:99999999999999999999", "uids and gids must be in range 0-2147483647"),
            ("big", "uids and gids must be in range 0-2147483647"),
        ];
        for (wanted, message) in cases {
            let error = format!("{:#}", accounts().look_up(wanted).unwrap_err());
            assert!(error.contains(message), "{wanted}: {error}");
        }
    }

    #[test]
    fn an_entry_matches_by_name_or_by_number() {
        let accounts = accounts();
        for (name, id, user, group) in [
            ("bob", 1001, true, false),
            ("bob", 4242, true, false),
            ("new", 1001, true, false),
            ("new", 4242, false, false),
            ("wheel", 10, false, true),
            ("wheel", 4242, false, true),
            ("new", 10, false, true),
        ] {
            assert_eq!(accounts.has_user(name, id), user, "{name} {id}");
            assert_eq!(accounts.has_group(name, id), group, "{name} {id}");
        }
        assert!(accounts.has_gid(63) && !accounts.has_gid(64));
        assert_eq!((accounts.passwd_text(), accounts.group_text()), (PASSWD.as_bytes(), GROUP.as_bytes()));
    }
}
