//! The passwd and group entries that an engine adds for a user that the image does not know:
//! `--passwd-entry`, `--group-entry`.
//!
//! The rules are libpod's (`generatePasswdAndGroup`). libpod writes into the image's files, or into
//! copies if the root file system is read-only, and takes HOME from the entry. spec-gen writes only
//! copies, and only with `--passwd-out`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::bail;

use crate::actions::Action;
use crate::input::container::Container;
use crate::input::passwd;
use crate::rules::user::accounts::{Accounts, User};
use crate::rules::user::host_user::HostUser;
use crate::runtime_spec::{Spec, mounts};

/// The lines that are added to each file; empty if there are none.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Entries {
    passwd: String,
    group: String,
}

impl Entries {
    /// Builds the entries. Adds none to a file that a mount of the user provides.
    ///
    /// # Errors
    /// Returns an error if a value contains a separator: an image with a newline in its working
    /// directory could otherwise add a line to the file.
    pub fn generate(
        accounts: &Accounts,
        user: &User,
        host: &[HostUser],
        container: &Container,
        spec: &Spec,
    ) -> anyhow::Result<Entries> {
        let mut entries = Entries::default();
        if mounts::find(spec, "/etc/passwd").is_none() {
            entries.passwd = passwd_lines(accounts, user, host, container, spec)?;
        }
        if mounts::find(spec, "/etc/group").is_none() {
            entries.group = group_lines(accounts, host, container)?;
        }
        Ok(entries)
    }

    /// Returns the home directory that the added entries give a user, as the container will find
    /// it, and a message for each invalid entry.
    pub fn home(&self, uid: u32) -> (Option<String>, Vec<String>) {
        let table = passwd::passwd(self.passwd.as_bytes(), Path::new("passwd entry"));
        let home = table.entries.into_iter().find(|e| e.uid == uid).map(|e| e.home);
        (home, table.ignored)
    }

    /// Returns copies of the files with their new entries in `dir`: the sources by destination, and
    /// the actions that write the copies.
    pub fn copies(&self, accounts: &Accounts, dir: &str) -> (BTreeMap<String, String>, Vec<Action>) {
        let (mut files, mut actions) = (BTreeMap::new(), Vec::new());
        for (file, lines, text) in
            [("passwd", &self.passwd, accounts.passwd_text()), ("group", &self.group, accounts.group_text())]
        {
            if lines.is_empty() {
                continue;
            }
            let mut content = String::from_utf8_lossy(text).into_owned();
            if !content.is_empty() && !content.ends_with('\n') {
                content.push('\n');
            }
            content.push_str(lines);
            files.insert(format!("/etc/{file}"), format!("{dir}/{file}"));
            actions.push(Action::File { path: format!("{dir}/{file}"), content });
        }
        (files, actions)
    }
}

fn passwd_lines(
    accounts: &Accounts,
    user: &User,
    host: &[HostUser],
    container: &Container,
    spec: &Spec,
) -> anyhow::Result<String> {
    let template = match container.passwd_entry.as_str() {
        "" => "$USERNAME:*:$UID:$GID:$NAME:$HOME:/bin/sh",
        template => template,
    };
    let mut lines = String::new();
    let mut add = |name: &str, uid: u32, gid: u32, full_name: &str, home: &str| -> anyhow::Result<()> {
        let (uid, gid) = (uid.to_string(), gid.to_string());
        let values = [("USERNAME", name), ("UID", &uid), ("GID", &gid), ("NAME", full_name), ("HOME", home)];
        lines.push_str(&fill(template, &values)?);
        lines.push('\n');
        Ok(())
    };
    for known in host.iter().filter(|h| !accounts.has_user(&h.name, h.uid)) {
        add(&known.name, known.uid, known.gid, &known.full_name, known.home_in(container, spec))?;
    }
    let wanted = container.user.as_deref().unwrap_or_default();
    let name = wanted.split(':').next().unwrap_or_default();
    if is_number(name) && user.home.is_none() && !host.iter().any(|h| h.uid == user.uid) {
        let uid = user.uid.to_string();
        add(&uid, user.uid, user.gid, "container user", spec.cwd())?;
    }
    Ok(lines)
}

/// Returns the group of the user who starts the container, and the group requested by number, or
/// else a group named like the user.
fn group_lines(accounts: &Accounts, host: &[HostUser], container: &Container) -> anyhow::Result<String> {
    let mut lines = String::new();
    let mut added = None;
    for user in host {
        let Some(group) = user.group.as_ref().filter(|g| !accounts.has_group(g, user.gid)) else { continue };
        lines.push_str(&format!("{group}:x:{}:{}\n", user.gid, user.name));
        added = Some(user.gid);
    }

    let wanted = container.user.as_deref().unwrap_or_default();
    let (user, group) = wanted.split_once(':').unwrap_or((wanted, wanted));
    let gid = if is_number(group) { group.parse::<u32>().ok() } else { None };
    let Some(gid) = gid.filter(|gid| !accounts.has_gid(*gid) && added != Some(*gid)) else {
        return Ok(lines);
    };
    let template = match container.group_entry.as_str() {
        "" => "$GROUPNAME:x:$GID:$USERLIST",
        template => template,
    };
    let gid = gid.to_string();
    let values = [("GROUPNAME", gid.as_str()), ("GID", gid.as_str()), ("USERLIST", user)];
    Ok(lines + &fill(template, &values)? + "\n")
}

/// Returns the template with its variables replaced in one pass, so that variables in values are
/// not replaced.
fn fill(template: &str, values: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        match values.iter().find(|(name, _)| after.starts_with(name)) {
            Some((name, value)) => {
                if value.contains([':', '\n', '\r']) {
                    bail!("${name}: {value:?} not allowed in an entry of passwd or group");
                }
                text.push_str(value);
                rest = &after[name.len()..];
            }
            None => {
                text.push('$');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    Ok(text)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn generated(user: &str, passwd_entry: &str, group_entry: &str, cwd: &str) -> anyhow::Result<Entries> {
        let accounts = Accounts::of("root:x:0:0::/root:\nalice:x:1000:1000::/home/alice:\n", "wheel:x:10:\n");
        let container = Container {
            user: Some(user.into()),
            passwd_entry: passwd_entry.into(),
            group_entry: group_entry.into(),
            ..Container::default()
        };
        let spec = Spec::new(json!({ "process": { "cwd": cwd } }));
        Entries::generate(&accounts, &accounts.look_up(user)?, &[], &container, &spec)
    }

    #[test]
    fn an_unknown_id_gets_entries_with_the_cwd_as_home() {
        #[rustfmt::skip]
        let cases = [
            ("4242", "4242:*:4242:0:container user:/data:/bin/sh\n", "4242:x:4242:4242\n", Some("/data")),
            ("4242:4343", "4242:*:4242:4343:container user:/data:/bin/sh\n", "4343:x:4343:4242\n", Some("/data")),
            ("4242:wheel", "4242:*:4242:10:container user:/data:/bin/sh\n", "", Some("/data")),
            ("4242:10", "4242:*:4242:10:container user:/data:/bin/sh\n", "", Some("/data")),
            ("1000", "", "1000:x:1000:1000\n", None),
            ("alice", "", "", None),
            ("", "", "", None),
        ];
        for (user, passwd, group, home) in cases {
            let entries = generated(user, "", "", "/data").unwrap();
            assert_eq!((entries.passwd.as_str(), entries.group.as_str()), (passwd, group), "{user}");
            assert_eq!(entries.home(4242).0.as_deref(), home, "{user}");
        }
    }

    #[test]
    fn templates_are_filled_in_and_determine_home() {
        let passwd = "x$USERNAME:p:$UID:$GID:$NAME$:$HOME/sub:/bin/$SHELL";
        let entries = generated("7:8", passwd, "g$GROUPNAME:!:$GID:$USERLIST,$USERNAME", "/w").unwrap();
        assert_eq!(entries.passwd, "x7:p:7:8:container user$:/w/sub:/bin/$SHELL\n");
        assert_eq!(entries.group, "g8:!:8:7,$USERNAME\n");
        assert_eq!(entries.home(7).0.as_deref(), Some("/w/sub"));
        let entries = generated("7", "nonsense", "", "/w").unwrap();
        assert_eq!(entries.home(7), (None, vec!["passwd entry:1: fewer than 4 fields, line ignored".into()]));
    }

    #[test]
    fn a_working_directory_cannot_inject_a_line() {
        for cwd in ["/a:b", "/a\nroot2:x:0:0::/:"] {
            let error = generated("7", "", "", cwd).unwrap_err().to_string();
            assert!(error.starts_with("$HOME: "), "{error}");
        }
    }

    fn host_user(name: &str, uid: u32, gid: u32, group: Option<&str>) -> HostUser {
        let mut user = HostUser::find("0").unwrap().unwrap();
        (user.name, user.uid, user.gid, user.full_name) = (name.into(), uid, gid, "Full".into());
        user.group = group.map(str::to_owned);
        user
    }

    #[test]
    fn users_of_the_host_get_entries_unless_the_image_has_them() {
        let accounts = Accounts::of("root:x:0:0::/root:\nalice:x:1000:1000::/h:\n", "wheel:x:10:\n");
        let spec = Spec::new(json!({"process": {"cwd": "/w"}}));
        let numeric = "4242:*:4242:0:container user:/w:/bin/sh\n";
        // The user that the container runs as, the user of the host, and the added entries.
        #[rustfmt::skip]
        let cases = [
            ("root", host_user("bob", 7, 8, Some("staff")), "bob:*:7:8:Full:/w:/bin/sh\n".to_owned(), "staff:x:8:bob\n"),
            ("root", host_user("bob", 7, 8, None), "bob:*:7:8:Full:/w:/bin/sh\n".into(), ""),
            ("root", host_user("alice", 7, 8, Some("wheel")), String::new(), ""),
            ("root", host_user("bob", 1000, 10, Some("staff")), String::new(), ""),
            ("4242", host_user("bob", 4242, 4242, Some("staff")), "bob:*:4242:4242:Full:/w:/bin/sh\n".into(), "staff:x:4242:bob\n"),
            ("4242", host_user("bob", 7, 8, Some("staff")), format!("bob:*:7:8:Full:/w:/bin/sh\n{numeric}"), "staff:x:8:bob\n4242:x:4242:4242\n"),
        ];
        for (user, host, passwd, group) in cases {
            let container = Container { user: Some(user.into()), ..Container::default() };
            let known = accounts.look_up(user).unwrap();
            let shown = format!("{user} {host:?}");
            let entries = Entries::generate(&accounts, &known, &[host], &container, &spec).unwrap();
            assert_eq!((entries.passwd, entries.group.as_str()), (passwd, group), "{shown}");
        }
        for (text, expected) in
            [("", false), ("7", true), ("007", true), ("7a", false), ("-7", false), ("a", false)]
        {
            assert_eq!(is_number(text), expected, "{text}");
        }
    }
}
