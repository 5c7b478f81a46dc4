//! `lookup-user`: looks up a user in a root file system, with the parser that `--user` uses.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Context;
use cli::{Exit, Session};
use serde_json::json;

use crate::args::{LookUpArgs, LookUpUser, Verb, split};
use crate::input::rootfs::Rootfs;
use crate::rules::user::accounts::Accounts;
use crate::runtime_spec::Spec;

/// Looks up the user and writes the result.
///
/// # Errors
/// Returns an error if there is no such user or group, or if the files cannot be read.
pub fn run(args: LookUpArgs, session: &Session) -> anyhow::Result<Exit> {
    let Verb::LookupUser(LookUpUser { user: wanted, rootfs, mut group_add, output }) = args.verb;
    split(&mut group_add, |_| true);
    let rootfs = Rootfs::open(&rootfs)?;
    let accounts = Accounts::read(&Spec::new(json!({})), &BTreeMap::new(), &rootfs)?;
    for line in accounts.ignored() {
        session.warn(line);
    }
    let user = accounts.look_up(&wanted).with_context(|| format!("user {wanted}"))?;
    let mut groups: Vec<u32> = Vec::new();
    for group in &group_add {
        groups.push(accounts.gid_to_add(group).with_context(|| format!("group {group}"))?);
    }
    groups.extend(&user.groups);
    let mut once = Vec::new();
    groups.retain(|gid| {
        !once.contains(gid) && {
            once.push(*gid);
            true
        }
    });
    let found = Some(&user.found).filter(|found| !found.is_empty());
    let document = json!({
        "uid": user.uid, "gid": user.gid, "groups": groups, "home": user.home, "found": found
    });
    let mut output = output.text()?;
    writeln!(output, "{document:#}")?;
    output.commit()?;
    Ok(Exit::Done)
}
