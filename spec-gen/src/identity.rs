//! Who the process is, step by step: podman looks the user up first, and writes the groups last.

use anyhow::Context;

use crate::run::Job;
use crate::user::{self, Accounts, User};
use crate::{env, flags, idmap};

/// Resolves the user; `None` where nobody asks for one.
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
    let mut user = match accounts.look_up(&wanted) {
        Err(_) if container.host_users.contains(&wanted) => user::on_host(&wanted)?,
        found => found.with_context(|| format!("user {wanted}"))?,
    };
    for group in &container.groups {
        // specgen turns this word into an annotation; it is nobody's name.
        if group == "keep-groups" {
            job.spec.annotate("run.oci.keep_original_groups", "1");
            continue;
        }
        let gid = accounts.gid_of(group).with_context(|| format!("group {group}"))?;
        user.extra_groups.push(gid);
    }
    if let Some(dir) = &job.args.process.passwd_out {
        let dir = flags::utf8(std::path::absolute(dir)?)?;
        let (files, actions) = accounts.with_entries(&user, &wanted, job.spec.cwd(), &dir);
        job.container.bind_map.extend(files);
        job.actions.extend(actions);
    }
    Ok(Some(user))
}

/// The ids alone, which the rules for capabilities and owners ask for; [`set`] does the rest in its place.
pub fn set_ids(job: &mut Job<'_>, user: Option<&User>) {
    let (Some(user), Some(_)) = (user, &job.container.user) else { return };
    job.spec.set("process.user.uid", user.uid);
    job.spec.set("process.user.gid", user.gid);
    // The groups of the user before him are not his.
    job.spec.remove("process.user.additionalGids");
    let why = if user.found.is_empty() { "a number that no entry has" } else { &user.found };
    let wanted = job.container.user.as_deref().unwrap_or_default();
    job.trace.because(&job.spec, || format!("user {wanted}: {why}"));
}

/// Sets umask, HOME and the groups asked for.
///
/// # Errors
/// When the umask is no octal number.
pub fn set(job: &mut Job<'_>, user: Option<&User>) -> anyhow::Result<()> {
    if let Some(umask) = &job.container.umask {
        let value = u32::from_str_radix(umask, 8)
            .with_context(|| format!("umask {umask}: an octal number is wanted"))?;
        job.spec.set("process.user.umask", value);
        job.trace.because(&job.spec, || "umask".into());
    }
    let Some(user) = user else { return Ok(()) };
    if job.container.is_libpod || job.container.user.is_some() {
        if let Some(home) = user::home(user, &job.container, job.spec.cwd(), job.args.hooks.compat) {
            env::set_default(&mut job.spec, "HOME", &home);
        }
    }
    if job.container.user.is_some() {
        user::add_gid(&mut job.spec, user.gid);
    }
    for gid in &user.extra_groups {
        user::add_gid(&mut job.spec, *gid);
    }
    job.trace.because(&job.spec, || "user and groups".into());
    Ok(())
}

/// Adds the groups that list the user, unless a group was asked for; those outside the user namespace cannot be.
pub fn add_member_groups(job: &mut Job<'_>, user: Option<&User>) {
    let Some(user) = user else { return };
    let wanted = job.container.user.as_deref();
    if wanted.is_some_and(|w| w.contains(':')) || wanted.is_none() && !job.container.is_libpod {
        return;
    }
    for gid in &user.groups {
        if idmap::to_host(&job.container.id_maps.gids, *gid).is_some() {
            user::add_gid(&mut job.spec, *gid);
        } else {
            job.session
                .warn(format_args!("additional gid={gid} is not present in the user namespace, left out"));
        }
    }
    job.trace.because(&job.spec, || "groups that list the user".into());
}
