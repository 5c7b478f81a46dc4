//! The rules in their order: what podman's `generateSpec` does to the spec of a container it is about to start.
//!
//! A container config gets every rule. A plain spec gets the rules its flags ask for and is otherwise
//! left as it is, so that spec-gen without flags changes nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::json;

use crate::args::CheckCwd;
use crate::flags;
use crate::idmap::{self, IdMap, IdMaps};
use crate::image_config::ImageConfig;
use crate::mounts;
use crate::namespaces::{self, Peer};
use crate::options::{self, Owner};
use crate::overlay::Phase;
use crate::rootfs::Rootfs;
use crate::run::Job;
use crate::selinux;
use crate::systemd::{self, Hierarchy};
use crate::{
    annotations, cdi, cgroups, devices, env, hooks, identity, manager, masks, mounting, process, resources,
    runtime_tool, secrets, security, workdir,
};

/// Applies the rules.
///
/// # Errors
/// The first rule that cannot be applied.
pub fn run(job: &mut Job<'_>, image: Option<&ImageConfig>) -> anyhow::Result<()> {
    set_root(job)?;
    if let Some(image) = image {
        image.apply(&mut job.spec, &mut job.container).with_context(|| job.name.clone())?;
        job.trace.because(&job.spec, || "--image-config".into());
    }
    // First what the config says, then the flags: each drops what it replaces.
    flags::remove_mounts(job, image)?;
    flags::apply_namespaces(job)?;
    process::apply(job)?;
    runtime_tool::set_process(job)?;
    flags::to_container(&mut job.container, job.args, &job.spec)?;
    mounting::make_anonymous(job)?;
    mounting::add_image(job, image)?;

    // A spec whose mounts nobody touches keeps their order: no flags, no change.
    let mounts_before = job.spec.mounts().to_vec();
    runtime_tool::add_mounts(job)?;
    let own = mounting::add(job, Phase::Bind)?;
    flags::apply_read_only(&mut job.spec, job.args, job.container.is_libpod)?;
    job.trace.because(&job.spec, || "mount flags".into());

    let user = identity::look_up(job)?;
    identity::set_ids(job, user.as_ref());
    security::apply(job)?;
    if job.container.all_devices {
        if job.container.rootless {
            devices::bind_all(&mut job.spec)?;
        } else {
            devices::add_all(&mut job.spec, job.container.systemd)?;
        }
        job.trace.because(&job.spec, || "privileged: every device of this host".into());
    }
    flags::apply_devices(job)?;
    set_network(job);
    translate_options(job, &own)?;
    set_labels(job)?;
    manager::bind_files(job)?;
    mounting::add(job, Phase::Overlay)?;
    mounting::add(job, Phase::Image)?;
    identity::set(job, user.as_ref())?;
    if job.container.systemd {
        // A version that was given is another host's, whose mounts nobody can ask for.
        let hierarchy = match job.args.cgroups.cgroup_version {
            Some(_) => Hierarchy::Mounted(Vec::new()),
            None => Hierarchy::of_host(),
        };
        systemd::apply(&mut job.spec, &job.container, job.cgroups, &hierarchy)?;
        job.trace.because(&job.spec, || "systemd mode".into());
    }
    identity::add_member_groups(job, user.as_ref())?;
    share_namespaces(job)?;
    set_auto_userns(job);
    fit_id_maps(job)?;
    set_hostname(job)?;
    set_annotations(job)?;
    set_cgroups_path(job)?;
    inject_cdi(job)?;
    if job.container.is_libpod || *job.spec.mounts() != *mounts_before {
        settle_mounts(job)?;
    }
    check_workdir(job)?;
    resources::apply(&mut job.spec, &job.args.resources, &mut job.trace)?;
    runtime_tool::finish(job)?;
    if job.container.rootless {
        if let Some(wanted) = resources::raise_oom_score(&mut job.spec)? {
            job.session.warn(format_args!(
                "process.oomScoreAdj: {wanted} is lower than spec-gen's own, raised to it"
            ));
        }
        job.trace.because(&job.spec, || "--rootless: an ordinary user cannot lower his score".into());
    }
    inject_hooks(job)?;
    let secret_files = secrets::env_files(&job.args.manager, &job.args.process.secret_env)?;
    secrets::apply(&mut job.spec, &job.container.secret_env, &secret_files)?;
    job.trace.because(&job.spec, || "secrets".into());
    if job.args.process.listen_fds {
        secrets::listen_fds(&mut job.spec);
        job.trace.because(&job.spec, || "--listen-fds".into());
    }
    if job.args.resources.default_rlimits {
        resources::default_rlimits(&mut job.spec)?;
        job.trace.because(&job.spec, || "--default-rlimits".into());
    }
    // With `--unmask` they were added before it, so that it shows what it names and nothing else.
    if job.container.is_libpod && job.args.security.unmask.is_empty() {
        masks::of_libpod(&mut job.spec, job.container.privileged, job.args.hooks.compat);
        job.trace.because(&job.spec, || "paths that are always masked, once".into());
    }
    run_precreate(job)
}

/// Sets `root.path` and opens the tree that users and links are looked up in.
///
/// # Errors
/// When `--rootfs` cannot be opened.
pub fn set_root(job: &mut Job<'_>) -> anyhow::Result<()> {
    let args = &job.args.input;
    if let Some(dir) = &args.rootfs {
        job.rootfs = Rootfs::open(dir)?;
        // Relative to the user, not to the bundle the runtime will start in.
        let path = std::path::absolute(dir).with_context(|| cli::name(dir))?;
        job.spec.set("root.path", flags::utf8(path)?);
    }
    if !job.container.mount_point.is_empty() {
        job.spec.set("root.path", job.container.mount_point.as_str());
    }
    if let Some(path) = &args.root_path {
        job.spec.set("root.path", path.as_str());
    }
    if args.rootfs.is_none() {
        if let Some(path) = job.spec.text("root.path") {
            let bundle = job.args.what.bundle.as_deref().unwrap_or(Path::new(""));
            job.rootfs = Rootfs::probe(&bundle.join(path));
        }
    }
    job.trace.because(&job.spec, || "where the root file system is".into());
    Ok(())
}

fn set_network(job: &mut Job<'_>) {
    if job.container.create_netns {
        let path = Some(job.container.netns.as_str()).filter(|p| !p.is_empty() && !job.container.late_netns);
        namespaces::set(&mut job.spec, "network", path);
        job.trace.because(&job.spec, || "network namespace made by the manager".into());
    }
}

/// Translates the manager's mount options: all mounts of a container config, else those of our flags.
fn translate_options(job: &mut Job<'_>, own: &[String]) -> anyhow::Result<()> {
    let (uid, gid) = mounting::process_ids(job);
    let is_libpod = job.container.is_libpod;
    if is_libpod || job.container.user.is_some() {
        idmap::process_on_host(&job.container.id_maps, uid, gid)?;
    }
    if job.spec.mounts().is_empty() {
        return Ok(());
    }
    let owner = Owner { uid, gid, maps: &job.container.id_maps, mount_label: &job.container.mount_label };
    for mount in job.spec.mounts_mut() {
        if is_libpod || own.contains(&mounts::clean(mounts::destination(mount))) {
            options::translate(mount, &owner, &mut job.actions)?;
        }
    }
    job.trace.because(&job.spec, || "mount options for the manager".into());
    Ok(())
}

/// Labels overwrite only where one is known: libpod writes an empty one over the base's.
fn set_labels(job: &mut Job<'_>) -> anyhow::Result<()> {
    for (key, label) in [
        ("process.selinuxLabel", &job.container.process_label),
        ("linux.mountLabel", &job.container.mount_label),
    ] {
        if !label.is_empty() {
            selinux::check_label(label)?;
            job.spec.set(key, label.as_str());
        }
    }
    job.trace.because(&job.spec, || "SELinux labels".into());
    Ok(())
}

/// Joins the namespaces of the containers the config names.
fn share_namespaces(job: &mut Job<'_>) -> anyhow::Result<()> {
    for (kind, id) in job.container.shared.clone() {
        let peer = Peer::find(&id, &job.args.namespaces.container_pid)?;
        namespaces::set(&mut job.spec, kind, Some(&namespaces::of_process(peer.pid, kind)));
        // A runtime wants mappings with a user namespace; those of the owner count.
        if kind == "user" && job.spec.list("linux.uidMappings").is_empty() {
            let one = IdMap { container: 0, host: 0, size: 1 }.to_value();
            job.spec.set("linux.uidMappings", json!([one]));
            job.spec.set("linux.gidMappings", json!([one]));
        }
        job.trace.because(&job.spec, || format!("{kind} namespace of container {id}"));
    }
    Ok(())
}

/// Gives the container a user namespace with the mappings the manager chose for it.
fn set_auto_userns(job: &mut Job<'_>) {
    let maps = &job.container.id_maps;
    if job.container.auto_userns && !maps.uids.is_empty() && !job.container.shares("user") {
        namespaces::set(&mut job.spec, "user", None);
        for (key, maps) in [("linux.uidMappings", &maps.uids), ("linux.gidMappings", &maps.gids)] {
            job.spec.set(key, maps.iter().copied().map(IdMap::to_value).collect::<Vec<_>>());
        }
        job.trace.because(&job.spec, || "automatic user namespace".into());
    }
}

/// Cuts an ordinary user's mappings to the ranges he has.
fn fit_id_maps(job: &mut Job<'_>) -> anyhow::Result<()> {
    let maps = IdMaps::of_spec(&job.spec);
    if !job.container.rootless || maps == IdMaps::default() {
        return Ok(());
    }
    let own = idmap::own()?;
    for (key, maps, own) in
        [("linux.uidMappings", &maps.uids, &own.uids), ("linux.gidMappings", &maps.gids, &own.gids)]
    {
        let parts = idmap::split(maps, own);
        // What is no mapping at all is the runtime's to refuse.
        if parts != *maps && maps.len() == job.spec.list(key).len() {
            job.spec.set(key, parts.into_iter().map(IdMap::to_value).collect::<Vec<_>>());
        }
    }
    job.trace.because(&job.spec, || "--rootless: the ranges of the user namespace this runs in".into());
    Ok(())
}

/// The host name and HOSTNAME: the container's own, or that of the container or host it shares the name with.
fn set_hostname(job: &mut Job<'_>) -> anyhow::Result<()> {
    flags::apply_hostname(&mut job.spec, &job.args.namespaces)?;
    job.trace.because(&job.spec, || "--hostname".into());
    if !job.container.is_libpod {
        return Ok(());
    }
    let uts = namespaces::find(&job.spec, "uts");
    let is_own = uts.is_some_and(|n| namespaces::path(n).is_none());
    let shared = job.container.shared.iter().find(|(kind, _)| *kind == "uts");
    let name = if let Some((_, id)) = shared {
        let peer = Peer::find(id, &job.args.namespaces.container_pid)?;
        peer.hostname.unwrap_or_else(|| id.get(..12).unwrap_or(id).to_owned())
    } else if is_own {
        job.spec.text("hostname").unwrap_or_else(|| job.container.short_id()).to_owned()
    } else {
        nix::unistd::gethostname()?.to_string_lossy().into_owned()
    };
    if is_own && shared.is_none() {
        job.spec.set("hostname", name.as_str());
    } else {
        job.spec.remove("hostname");
    }
    // podman sets it twice when the user has set it; the user's stays.
    env::set_default(&mut job.spec, "HOSTNAME", &name);
    job.trace.because(&job.spec, || "host name".into());
    Ok(())
}

fn set_annotations(job: &mut Job<'_>) -> anyhow::Result<()> {
    if job.container.is_libpod {
        annotations::apply_libpod(&mut job.spec, &job.container, job.args.hooks.compat);
        job.trace.because(&job.spec, || "annotations of the manager".into());
    }
    flags::set_labels_and_annotations(job)
}

/// Sets the cgroup path: as it is given, or made from id, parent and manager.
///
/// # Errors
/// When these make no sense.
pub fn set_cgroups_path(job: &mut Job<'_>) -> anyhow::Result<()> {
    let args = &job.args.cgroups;
    let made = job.container.is_libpod
        || args.cgroup_manager.is_some()
        || args.cgroup_parent.is_some()
        || args.cgroups.is_some();
    let path = match &args.cgroups_path {
        Some(path) => Some(path.clone()).filter(|p| !p.is_empty()),
        None if made => {
            let path = cgroups::path(&job.container);
            if job.container.is_libpod { path.with_context(|| job.name.clone())? } else { path? }
        }
        None => {
            let (old, id) = (job.spec.text("linux.cgroupsPath"), job.args.input.id.as_deref());
            match old.zip(id).and_then(|(old, id)| cgroups::with_id(old, id)) {
                Some(path) => Some(path),
                None => return Ok(()),
            }
        }
    };
    match path {
        Some(path) => job.spec.set("linux.cgroupsPath", path),
        None => {
            job.spec.remove("linux.cgroupsPath");
        }
    }
    job.trace.because(&job.spec, || "cgroup path".into());
    Ok(())
}

fn inject_cdi(job: &mut Job<'_>) -> anyhow::Result<()> {
    if job.container.cdi_devices.is_empty() {
        return Ok(());
    }
    let given = &job.args.devices.cdi_spec_dir;
    let dirs = if given.is_empty() { cdi::DIRS.map(PathBuf::from).to_vec() } else { given.clone() };
    let registry = cdi::Registry::read(&dirs);
    registry.inject(&mut job.spec, &job.container.cdi_devices)?;
    for fault in &registry.faults {
        job.session.warn(fault);
    }
    job.trace.because(&job.spec, || format!("CDI devices {}", job.container.cdi_devices.join(" ")));
    Ok(())
}

/// What follows from a changed list of mounts.
fn settle_mounts(job: &mut Job<'_>) -> anyhow::Result<()> {
    for destination in mounts::resolve_tmpfs(&mut job.spec, &job.rootfs)? {
        job.session.warn(format_args!("{destination}: two tmpfs end there, the later one is kept"));
    }
    job.trace.because(&job.spec, || "links in the destinations of tmpfs mounts".into());
    mounts::sort(&mut job.spec);
    job.trace.because(&job.spec, || "parents are mounted before children".into());
    mounts::root_propagation(&mut job.spec);
    job.trace.because(&job.spec, || "mount propagation".into());
    Ok(())
}

fn check_workdir(job: &Job<'_>) -> anyhow::Result<()> {
    let asked = job.container.is_libpod || job.args.process.workdir.is_some();
    if !asked || job.args.process.check_cwd == CheckCwd::Off {
        return Ok(());
    }
    match workdir::check(&job.spec, &job.rootfs, job.container.create_workdir) {
        Err(e) if job.args.process.check_cwd == CheckCwd::Warn => job.session.warn(format_args!("{e:#}")),
        checked => checked?,
    }
    Ok(())
}

fn inject_hooks(job: &mut Job<'_>) -> anyhow::Result<()> {
    let args = &job.args.hooks;
    flags::apply_hooks(&mut job.spec, &args.hook)?;
    job.trace.because(&job.spec, || "--hook".into());
    if args.hooks_dir.is_empty() {
        return Ok(());
    }
    let (found, missing) = hooks::read(&args.hooks_dir)?;
    for text in missing {
        job.session.warn(text);
    }
    let outcome = hooks::inject(&mut job.spec, &found, !job.container.user_volumes.is_empty(), args.compat)?;
    for file in outcome.left_out {
        job.session.note(format_args!("{file}: a poststop hook, which is the manager's to run"));
    }
    job.precreate = outcome.precreate;
    job.trace.because(&job.spec, || "--hooks-dir".into());
    Ok(())
}

/// Lets precreate hooks change the finished spec.
fn run_precreate(job: &mut Job<'_>) -> anyhow::Result<()> {
    for (file, hook) in std::mem::take(&mut job.precreate) {
        if job.args.hooks.no_precreate {
            job.session.note(format_args!("{file}: precreate hook not run"));
            continue;
        }
        let value = hooks::filter(&job.spec, &hook)?;
        job.spec = crate::spec::Spec::new(value);
        job.trace.because(&job.spec, || format!("precreate hook of {file}"));
    }
    if job.spec.get("ociVersion").is_none() && job.container.is_libpod {
        bail!("{}: spec.ociVersion: missing, a string is wanted", job.name);
    }
    Ok(())
}
