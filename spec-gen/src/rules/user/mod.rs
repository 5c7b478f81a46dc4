//! Determines the user of the process in podman's order: the lookup comes first, the groups are set
//! last.

mod account_entries;
pub mod accounts;
mod host_user;

use anyhow::Context;
use cli::usage;
use serde_json::Value;

use crate::job::Job;
use crate::notation::compat::Compat;
use crate::path;
use crate::rules::namespaces::own_ids;
use crate::rules::security::capabilities;
use crate::rules::user::account_entries::Entries;
use crate::rules::user::accounts::{Accounts, User};
use crate::rules::user::host_user::HostUser;
use crate::runtime_spec::env;
use crate::runtime_spec::id_map::{self, IdMap};
use crate::runtime_spec::key;

/// The value of `--group-add` that keeps the groups of the user who starts the container. Only crun
/// supports it.
const KEEP_GROUPS: &str = "keep-groups";

/// Resolves the user, or returns `None` if no user is requested.
pub fn look_up(job: &mut Job<'_>) -> anyhow::Result<Option<User>> {
    let container = &job.container;
    if !container.is_libpod && container.user.is_none() && container.groups.is_empty() {
        return Ok(None);
    }
    let accounts = Accounts::read(&job.spec, &container.bind_map, &job.rootfs)?;
    for line in accounts.ignored() {
        job.session.warn(line);
    }
    let wanted = container.user.clone().unwrap_or_default();
    let host = host_users(job)?;
    let found = accounts.look_up(&wanted);
    let mut user = match host.iter().find(|h| h.wanted == wanted) {
        Some(known) if found.is_err() => known.to_user(),
        _ => found.with_context(|| format!("user {wanted}"))?,
    };
    if let (true, Some(other)) = (
        container.groups.iter().any(|g| g == KEEP_GROUPS),
        container.groups.iter().find(|g| *g != KEEP_GROUPS),
    ) {
        return Err(usage(format!("--group-add {other} conflicts with --group-add {KEEP_GROUPS}")));
    }
    for group in &container.groups {
        // podman turns this word into an annotation; it is not the name of a group.
        if group == KEEP_GROUPS {
            job.spec.annotate("run.oci.keep_original_groups", "1");
            continue;
        }
        let gid = accounts.gid_to_add(group).with_context(|| format!("group {group}"))?;
        user.extra_groups.push(gid);
    }
    let is_root = |name: &String| accounts.look_up(name).is_ok_and(|user| user.uid == 0);
    job.container.was_root = container.user_before.as_ref().map(is_root);
    add_entries(job, &accounts, &mut user, &host)?;
    move_home(job, &accounts, &user);
    Ok(Some(user))
}

/// Sets HOME in a plain spec to the home directory of the new user, if HOME is the home directory of the
/// previous user and no flag sets it.
fn move_home(job: &mut Job<'_>, accounts: &Accounts, user: &User) {
    if job.container.is_libpod || job.container.user.is_none() || job.container.home_is_given {
        return;
    }
    let before = job.spec.get(key::PROCESS_USER_UID).and_then(Value::as_u64).unwrap_or(0).to_string();
    let old = accounts.look_up(&before).ok().and_then(|user| user.home);
    if let (Some(old), Some(home)) = (old, home(user, job.args.hooks.compat)) {
        if env::value(&job.spec, "HOME") == Some(old.as_str()) {
            env::set(&mut job.spec, "HOME", &home);
        }
    }
}

/// Returns the users of the host whose entries the container gets.
fn host_users(job: &Job<'_>) -> anyhow::Result<Vec<HostUser>> {
    let mut found = Vec::new();
    for name in &job.container.host_users {
        match HostUser::find(name).with_context(|| format!("user {name}"))? {
            Some(user) => found.push(user),
            None => job.session.warn(format_args!("user {name}: no such user on the host")),
        }
    }
    if job.container.add_current_user {
        found.extend(HostUser::current()?);
    }
    Ok(found)
}

/// Adds entries for a user that the image does not know, as libpod does, and sets the home
/// directory that they name.
fn add_entries(
    job: &mut Job<'_>,
    accounts: &Accounts,
    user: &mut User,
    host: &[HostUser],
) -> anyhow::Result<()> {
    let p = &job.args.process;
    let templates = p.passwd_entry.is_some() || p.group_entry.is_some();
    if p.passwd == Some(false) {
        if templates || p.passwd_out.is_some() {
            return Err(usage(
                "--passwd=false conflicts with --passwd-out, --passwd-entry and --group-entry",
            ));
        }
        return Ok(());
    }
    let by_libpod = job.container.is_libpod && job.container.passwd;
    if !(by_libpod || templates || p.passwd_out.is_some() || !host.is_empty()) {
        return Ok(());
    }
    let entries = Entries::generate(accounts, user, host, &job.container, &job.spec)?;
    let (home, nonsense) = entries.home(user.uid);
    for line in nonsense {
        job.session.warn(line);
    }
    // podman before 4.6 determined HOME before it wrote the entry.
    if home.is_some() && job.args.hooks.compat != Compat::Podman43 {
        user.home = home;
    }
    if let Some(dir) = &p.passwd_out {
        let dir = path::utf8(std::path::absolute(dir)?)?;
        let (files, actions) = entries.copies(accounts, &dir);
        job.container.bind_map.extend(files);
        job.actions.extend(actions);
    } else if templates {
        job.session.warn("--passwd-entry, --group-entry: without --passwd-out DIR they change only HOME");
    }
    Ok(())
}

/// Sets only the IDs, which the rules for capabilities and owners need. [`set`] does the rest
/// later.
pub fn set_ids(job: &mut Job<'_>, user: Option<&User>) {
    let (Some(user), Some(_)) = (user, &job.container.user) else { return };
    let was_root = job.container.was_root.unwrap_or_else(|| capabilities::is_root(&job.spec));
    job.spec.set(key::PROCESS_USER_UID, user.uid);
    job.spec.set(key::PROCESS_USER_GID, user.gid);
    // The supplementary groups belong to the previous user.
    job.spec.remove(key::PROCESS_USER_ADDITIONAL_GIDS);
    // The capabilities in a config of libpod are already those of its user. They change only if a flag
    // names another user.
    match job.container.was_root {
        Some(false) if user.uid == 0 => capabilities::give_all_to_root(&mut job.spec),
        None if job.container.is_libpod => {}
        _ => capabilities::follow_user(&mut job.spec, was_root),
    }
    let why = if user.found.is_empty() { "a number without an entry" } else { &user.found };
    let wanted = job.container.user.as_deref().unwrap_or_default();
    job.trace.because(&job.spec, || format!("user {wanted}: {why}"));
}

/// Sets umask, HOME and the requested groups.
///
/// # Errors
/// Returns an error if the umask is not an octal number.
pub fn set(job: &mut Job<'_>, user: Option<&User>) -> anyhow::Result<()> {
    if let Some(umask) = &job.container.umask {
        let value = u32::from_str_radix(umask, 8).ok().filter(|mode| *mode <= 0o7777);
        let value =
            value.with_context(|| format!("{}: umask: {umask:?}: expected an octal number", job.name))?;
        job.spec.set(key::PROCESS_USER_UMASK, value);
        job.trace.because(&job.spec, || "umask".into());
    }
    let Some(user) = user else { return Ok(()) };
    if job.container.is_libpod || job.container.user.is_some() {
        if let Some(home) = home(user, job.args.hooks.compat) {
            env::set_default(&mut job.spec, "HOME", &home);
        }
    }
    if job.container.user.is_some() {
        job.spec.add_gid(user.gid);
    }
    let available = available_gids(job)?;
    for gid in &user.extra_groups {
        job.spec.add_gid(*gid);
        if id_map::to_host(&available, *gid).is_none() {
            job.session.warn(format_args!(
                "--group-add {gid}: not mapped in the user namespace, setgroups(2) will fail"
            ));
        }
    }
    job.trace.because(&job.spec, || "user and groups".into());
    Ok(())
}

/// Returns the value of HOME for a user, if no flag sets it.
fn home(user: &User, compat: Compat) -> Option<String> {
    match (user.home.clone().filter(|h| !h.is_empty()), compat) {
        (Some(home), _) => Some(home),
        (None, Compat::None) => Some("/".into()),
        (None, Compat::Podman54) => Some(String::new()),
        (None, Compat::Podman43) => None,
    }
}

/// Adds the groups that list the user, unless a group was requested. Omits groups that the user
/// namespace does not map.
///
/// # Errors
/// Returns an error if the GID map of spec-gen's user namespace cannot be read.
pub fn add_member_groups(job: &mut Job<'_>, user: Option<&User>) -> anyhow::Result<()> {
    let Some(user) = user else { return Ok(()) };
    let wanted = job.container.user.as_deref();
    if wanted.is_some_and(|w| w.contains(':')) || wanted.is_none() && !job.container.is_libpod {
        return Ok(());
    }
    let available = available_gids(job)?;
    for gid in &user.groups {
        if id_map::to_host(&available, *gid).is_some() {
            job.spec.add_gid(*gid);
        } else {
            job.session
                .warn(format_args!("group {gid} of the user skipped: not mapped in the user namespace"));
        }
    }
    job.trace.because(&job.spec, || "groups that list the user".into());
    Ok(())
}

/// Returns the group IDs that the container can have: the group IDs of its user namespace, or all
/// group IDs. Rootless podman runs in its own user namespace, whose group IDs a container without
/// user namespace has.
fn available_gids(job: &Job<'_>) -> anyhow::Result<Vec<IdMap>> {
    let maps = &job.container.id_maps.gids;
    if maps.is_empty() && job.container.rootless { own_ids::gids() } else { Ok(maps.clone()) }
}
