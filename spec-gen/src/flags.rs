//! What podman does when a container is created: flags become parts of the spec or of the container's config.

use anyhow::bail;
use cli::{Hint, usage};
use serde_json::{Value, json};

use crate::args::{Args, NamespaceArgs, Systemd};
use crate::container::Container;
use crate::devices::{self, Wanted};
use crate::idmap::notation::{Kind as Ids, resolve};
use crate::idmap::{self, IdMap, IdMaps};
use crate::image_config::ImageConfig;
use crate::mounts::{self, Mount};
use crate::namespaces::{self, Mode};
use crate::run::Job;
use crate::spec::Spec;
use crate::userns::UserNs;
use crate::volumes::{self, Kind};
use crate::{annotations, apparmor, bindmap, cdi, env, hooks, manager, mounting, selinux, subids};

/// Puts into the container's config what flags say that the config says too.
///
/// # Errors
/// Names the flag that makes no sense.
pub fn to_container(container: &mut Container, args: &Args, spec: &Spec) -> anyhow::Result<()> {
    // A spec has its mappings in itself alone.
    if !container.is_libpod && container.id_maps == IdMaps::default() {
        container.id_maps = IdMaps::of_spec(spec);
    }
    let p = &args.process;
    if let Some(user) = &p.user {
        if container.is_libpod {
            container.user_before = Some(container.user.take().unwrap_or_default());
        }
        container.user = Some(user.clone());
    }
    container.groups.extend(p.group_add.iter().cloned());
    container.host_users.extend(p.hostuser.iter().cloned());
    container.passwd = p.passwd.unwrap_or(container.passwd);
    set(&mut container.passwd_entry, p.passwd_entry.as_ref());
    set(&mut container.group_entry, p.group_entry.as_ref());
    if let Some(umask) = &p.umask {
        container.umask = Some(umask.clone());
    }
    if p.workdir.is_some() {
        container.create_workdir = false;
    }
    manager::to_container(container, args)?;
    let volumes = mounting::of_flags(args)?;
    for destination in mounting::destinations(&volumes, args) {
        container.volumes.retain(|volume| mounts::clean(volume.destination()) != destination);
    }
    container.user_volumes.extend(volumes.iter().map(|v| v.destination().to_owned()));
    container.volumes.extend(volumes);
    container.cdi_devices.extend(args.devices.gpus.iter().map(|gpu| format!("nvidia.com/gpu={gpu}")));
    container.cdi_devices.extend(args.devices.device.iter().filter(|d| cdi::is_device_name(d)).cloned());
    set_privileged(container, args)?;
    set(&mut container.cgroup_manager, args.cgroups.cgroup_manager.as_ref());
    set(&mut container.cgroup_parent, args.cgroups.cgroup_parent.as_ref());
    set(&mut container.cgroups_mode, args.cgroups.cgroups.as_ref());
    container.systemd = match args.cgroups.systemd {
        None => container.systemd,
        Some(Systemd::Always) => true,
        Some(Systemd::False) => false,
        Some(Systemd::True) => is_systemd(&spec.args()),
    };
    if args.cgroups.shm_size_systemd.is_some() && args.cgroups.systemd.is_none() && !container.systemd {
        return Err(usage("--shm-size-systemd has no effect without --systemd"));
    }
    if let Some(size) = args.cgroups.shm_size_systemd {
        container.shm_size_systemd =
            u64::try_from(size).map_err(|_| usage("--shm-size-systemd: a size is wanted"))?;
    }
    set(&mut container.process_label, args.security.selinux_label.as_ref());
    set(&mut container.mount_label, args.security.mount_label.as_ref());
    if let Some(signal) = args.hooks.stop_signal {
        container.stop_signal = signal;
    }
    if let Some(timeout) = args.hooks.stop_timeout {
        container.stop_timeout = timeout;
    }
    if let Some(writable) = args.mounts.writable_tmpfs() {
        container.read_write_tmpfs = writable;
    }
    if let Some(dir) = &args.mounts.shm_dir {
        container.shm_dir = utf8(std::path::absolute(dir)?)?;
    }
    Ok(())
}

/// A config cannot be made unprivileged: it does not say which capabilities and masks the container would have had.
fn set_privileged(container: &mut Container, args: &Args) -> anyhow::Result<()> {
    match args.security.privileged {
        Some(false) if container.privileged => {
            let error = usage(
                "--privileged=false: the container config does not say what the container may do without",
            );
            Err(Hint::on(error, "name it: --cap-drop ALL --cap-add ... --seccomp FILE --mask PATH"))
        }
        Some(true) => {
            container.all_devices = true;
            Ok(())
        }
        _ => Ok(()),
    }
}

fn set(field: &mut String, flag: Option<&String>) {
    if let Some(value) = flag {
        field.clone_from(value);
    }
}

/// Whether a command is systemd by podman's rule.
fn is_systemd(args: &[String]) -> bool {
    let command = args.first().map_or("", String::as_str);
    matches!(command, "/sbin/init" | "/usr/sbin/init" | "/usr/local/sbin/init")
        || command.rsplit('/').next() == Some("systemd")
}

/// The namespace flags and the types they set, in podman's order.
pub fn namespaces(args: &NamespaceArgs) -> Vec<(&'static str, Option<Mode>)> {
    let subids = args.subuidname.is_some() || args.subgidname.is_some();
    let own_maps = subids || !args.uidmap.is_empty() || !args.gidmap.is_empty();
    let user = args.userns.as_ref().map(UserNs::mode).or(own_maps.then_some(Mode::Private));
    let plain = [
        ("ipc", &args.ipc),
        ("network", &args.network),
        ("pid", &args.pid),
        ("uts", &args.uts),
        ("cgroup", &args.cgroupns),
        ("time", &args.time),
    ];
    std::iter::once(("user", user)).chain(plain.map(|(kind, mode)| (kind, mode.clone()))).collect()
}

/// The flag that sets a namespace of this type.
pub fn namespace_flag(kind: &str) -> &str {
    match kind {
        "user" => "userns",
        "cgroup" => "cgroupns",
        kind => kind,
    }
}

/// Applies the namespace flags and id mappings.
///
/// # Errors
/// When a container's pid is not known, or mappings and namespace contradict each other.
pub fn apply_namespaces(job: &mut Job<'_>) -> anyhow::Result<()> {
    let args = &job.args.namespaces;
    for (kind, mode) in namespaces(args) {
        let Some(mode) = mode else { continue };
        job.container.forget_namespace(kind);
        let dropped = namespaces::apply(&mut job.spec, kind, &mode, &args.container_pid)?;
        namespaces::warn_of_dropped(job.session, kind, dropped);
        match (kind, &mode) {
            ("ipc", Mode::Host) => share_shm(job),
            ("ipc", Mode::Private) => unshare_shm(job),
            ("user", Mode::Host) => job.container.id_maps = IdMaps::default(),
            _ => {}
        }
        job.trace.because(&job.spec, || format!("--{} {mode}", namespace_flag(kind)));
    }
    set_id_maps(job)
}

/// Where shared memory is, of the host and of every container.
const SHM: &str = "/dev/shm";

/// Gives the container the shared memory of the host, whose semaphores it has, in place of its own.
fn share_shm(job: &mut Job<'_>) {
    let own = std::mem::replace(&mut job.container.shm_dir, SHM.into());
    let has_list = !job.container.bind_map.is_empty();
    forget_shm(job, &own);
    // The list of the container's state is used as it is: nothing is derived from `shm_dir` next to it.
    if has_list {
        job.container.bind_map.insert(SHM.into(), SHM.into());
    }
}

/// Gives a container that had the host's shared memory its own: what `--ipc private` is to keep apart is in it.
fn unshare_shm(job: &mut Job<'_>) {
    if job.container.shm_dir == SHM {
        job.container.shm_dir.clear();
        forget_shm(job, SHM);
        mounts::put(&mut job.spec, &own_shm("65536k"));
    }
}

fn forget_shm(job: &mut Job<'_>, source: &str) {
    job.container.bind_map.remove(SHM);
    if !source.is_empty() && mounts::find(&job.spec, SHM).is_some_and(|m| mounts::source(m) == source) {
        mounts::remove(&mut job.spec, SHM);
    }
}

/// Returns a tmpfs for shared memory, as `runc spec` has it.
fn own_shm(size: &str) -> Mount {
    let mut mount =
        volumes::tmpfs(SHM, ["nosuid", "noexec", "nodev", "mode=1777"].map(str::to_owned).to_vec());
    mount.source = "shm".into();
    mount.options.push(format!("size={size}"));
    mount
}

/// Sets the mappings of a user namespace that a flag makes.
fn set_id_maps(job: &mut Job<'_>) -> anyhow::Result<()> {
    let args = &job.args.namespaces;
    let given = !args.uidmap.is_empty() || !args.gidmap.is_empty();
    if given && !matches!(args.userns, None | Some(UserNs::Mode(Mode::Private))) {
        return Err(usage("--uidmap and --gidmap make a user namespace of their own: --userns says another"));
    }
    let subids = subids::maps(args.subuidname.as_deref(), args.subgidname.as_deref())?;
    let maps = if let Some((maps, ignored)) = subids {
        for line in ignored {
            job.session.warn(line);
        }
        maps
    } else if given {
        let maps = given_maps(args)?;
        for (ids, maps) in [("user", &maps.uids), ("group", &maps.gids)] {
            if maps.is_empty() {
                job.session
                    .warn(format_args!("--uidmap, --gidmap: no {ids} ID is mapped, runtimes need both maps"));
            }
        }
        maps
    } else {
        let Some((maps, user)) = args.userns.as_ref().map(UserNs::maps).transpose()?.flatten() else {
            return Ok(());
        };
        let is_root = job.spec.get("process.user.uid").is_none_or(|uid| *uid == 0);
        if job.container.user.is_none() && is_root {
            job.container.user = user;
        }
        maps
    };
    for (key, maps) in [("linux.uidMappings", &maps.uids), ("linux.gidMappings", &maps.gids)] {
        job.spec.remove(key);
        if !maps.is_empty() {
            job.spec.set(key, maps.iter().copied().map(IdMap::to_value).collect::<Vec<_>>());
        }
    }
    job.container.id_maps = maps;
    // The device cgroup cannot be set from inside a user namespace.
    job.spec.remove("linux.resources.devices");
    job.trace.because(&job.spec, || "id mappings".into());
    Ok(())
}

/// Makes the mappings of `--uidmap` and `--gidmap`; each counts for both where the other is not given.
fn given_maps(args: &NamespaceArgs) -> anyhow::Result<IdMaps> {
    let uids = if args.uidmap.is_empty() { &args.gidmap } else { &args.uidmap };
    let gids = if args.gidmap.is_empty() { &args.uidmap } else { &args.gidmap };
    let needs_parent = uids.iter().chain(gids).any(|ranges| ranges.needs_parent());
    let parent = if needs_parent { idmap::own()? } else { IdMaps::default() };
    let maps = IdMaps {
        uids: resolve(uids, Ids::Users, &parent.uids).map_err(|e| usage(format!("--uidmap: {e:#}")))?,
        gids: resolve(gids, Ids::Groups, &parent.gids).map_err(|e| usage(format!("--gidmap: {e:#}")))?,
    };
    if maps == IdMaps::default() {
        return Err(usage("--uidmap, --gidmap: no ID is mapped"));
    }
    Ok(maps)
}

/// Applies `--read-only` and the tmpfs mounts that come with it, `--shm-size`.
///
/// # Errors
/// When there is no tmpfs on /dev/shm to size.
pub fn apply_read_only(spec: &mut Spec, all: &Args, is_libpod: bool) -> anyhow::Result<()> {
    let args = &all.mounts;
    if let Some(read_only) = args.read_only {
        spec.set("root.readonly", read_only);
    }
    match args.writable_tmpfs() {
        Some(true) if spec.is_true("root.readonly") => {
            for destination in ["/run", "/tmp", "/var/tmp"] {
                if mounts::find(spec, destination).is_none() {
                    mounts::put(
                        spec,
                        &volumes::tmpfs(destination, volumes::complete(Vec::new(), Kind::Tmpfs)?),
                    );
                }
            }
        }
        Some(false) if spec.is_true("root.readonly") => {
            if let Some(dev) =
                spec.mounts_mut().iter_mut().find(|m| mounts::clean(mounts::destination(m)) == "/dev")
            {
                let mut options: Vec<String> = mounts::options(dev).map(str::to_owned).collect();
                if !options.iter().any(|o| o == "ro") {
                    options.push("ro".into());
                    mounts::set_options(dev, options);
                }
            }
        }
        _ => {}
    }
    if let Some(size) = args.shm_size {
        set_shm_size(spec, all, size, is_libpod)?;
    }
    if let Some(propagation) = &args.rootfs_propagation {
        const MODES: [&str; 8] =
            ["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"];
        if !MODES.contains(&propagation.as_str()) {
            return Err(usage(format!(
                "--rootfs-propagation {propagation}: one of {} is wanted",
                MODES.join(", ")
            )));
        }
        spec.set("linux.rootfsPropagation", propagation.as_str());
    }
    Ok(())
}

/// Sets the size of shared memory. Where libpod would bind a tmpfs that it has mounted itself, the container mounts one.
fn set_shm_size(spec: &mut Spec, args: &Args, size: i64, is_libpod: bool) -> anyhow::Result<()> {
    if args.mounts.shm_dir.is_some() {
        return Err(usage("--shm-size has no effect with --shm-dir, which is a directory of the host"));
    }
    if args.namespaces.ipc == Some(Mode::Host) {
        return Err(usage("--shm-size has no effect with --ipc host: the shared memory is the host's"));
    }
    let is_shm = |m: &&mut Value| mounts::clean(mounts::destination(m)) == SHM && mounts::kind(m) == "tmpfs";
    if let Some(shm) = spec.mounts_mut().iter_mut().find(is_shm) {
        let mut options: Vec<String> =
            mounts::options(shm).filter(|o| !o.starts_with("size=")).map(str::to_owned).collect();
        options.push(format!("size={size}"));
        mounts::set_options(shm, options);
    } else if is_libpod {
        mounts::put(spec, &own_shm(&size.to_string()));
    } else {
        return Err(usage("--shm-size: there is no tmpfs on /dev/shm"));
    }
    Ok(())
}

/// Sets the host name, and HOSTNAME where the environment has the one before; another is what somebody asked for.
///
/// # Errors
/// Without a UTS namespace of the container's own.
pub fn apply_hostname(spec: &mut Spec, args: &NamespaceArgs) -> anyhow::Result<()> {
    for (key, value) in [("hostname", &args.hostname), ("domainname", &args.domainname)] {
        let Some(value) = value else { continue };
        if namespaces::find(spec, "uts").is_none_or(|n| namespaces::path(n).is_some()) {
            return Err(Hint::on(
                usage(format!("--{key} needs a UTS namespace of the container's own")),
                "add --uts private",
            ));
        }
        let generated =
            key == "hostname" && spec.text(key).is_some() && env::value(spec, "HOSTNAME") == spec.text(key);
        spec.set(key, value.as_str());
        if generated {
            env::set(spec, "HOSTNAME", value);
        }
    }
    Ok(())
}

/// Applies the flags that a restored container's spec takes too: labels of this machine, annotations, version.
///
/// # Errors
/// Names the flag that makes no sense.
pub fn set_labels_and_annotations(job: &mut Job<'_>) -> anyhow::Result<()> {
    let Job { spec, trace, args, session, .. } = job;
    let s = &args.security;
    for (key, flag, value) in [
        ("process.apparmorProfile", "--apparmor", &s.apparmor),
        ("process.selinuxLabel", "--selinux-label", &s.selinux_label),
        ("linux.mountLabel", "--mount-label", &s.mount_label),
        ("ociVersion", "--oci-version", &args.input.oci_version),
    ] {
        match value.as_deref() {
            None => {}
            Some("") => {
                spec.remove(key);
            }
            Some(value) => spec.set(key, value),
        }
        trace.because(spec, || flag.to_owned());
    }
    for (field, value) in &s.label_fields {
        if !selinux::set_field(spec, field, value)? {
            session
                .warn(format_args!("--security-opt label={field}:{value} ignored: the host has no SELinux"));
        }
        trace.because(spec, || format!("--security-opt label={field}:{value}"));
    }
    annotations::apply_flags(spec, trace, &args.hooks)?;
    if let Some(signal) = args.hooks.stop_signal {
        spec.annotate("org.opencontainers.image.stopSignal", signal.to_string());
        spec.annotate("org.systemd.property.KillSignal", signal.to_string());
    }
    if let Some(timeout) = args.hooks.stop_timeout {
        const TIMEOUT: &str = "org.systemd.property.TimeoutStopUSec";
        match timeout.saturating_mul(1_000_000) {
            // systemd's own default, as podman has it.
            0 => {
                spec.remove_annotation(TIMEOUT);
            }
            micros => spec.annotate(TIMEOUT, format!("uint64 {micros}")),
        }
    }
    trace.because(spec, || "--stop-signal, --stop-timeout".into());
    apparmor::settle(job)
}

/// Applies `--device` and its rules.
///
/// # Errors
/// When a device is not there.
pub fn apply_devices(job: &mut Job<'_>) -> anyhow::Result<()> {
    let args = &job.args.devices;
    let with_rule = namespaces::find(&job.spec, "user").is_none();
    for flag in args.device.iter().filter(|d| !cdi::is_device_name(d)) {
        let wanted = Wanted::parse(flag)?;
        if job.container.rootless {
            devices::bind(&mut job.spec, &wanted)?;
        } else {
            devices::add(&mut job.spec, &wanted, with_rule)?;
        }
    }
    for rule in &args.device_cgroup_rule {
        devices::add_rule(&mut job.spec, rule)?;
    }
    job.trace.because(&job.spec, || "--device".into());
    Ok(())
}

/// Removes mounts as the flags say.
///
/// # Errors
/// When there is no mount to remove.
pub fn remove_mounts(job: &mut Job<'_>, image: Option<&ImageConfig>) -> anyhow::Result<()> {
    if job.args.mounts.mount_remove_all == Some(true) {
        job.spec.set("mounts", json!([]));
        job.container.remove_all_mounts();
        job.trace.because(&job.spec, || "--mount-remove-all".into());
    }
    for destination in &job.args.mounts.mount_remove {
        let at = mounts::clean(destination);
        let of_engine = job.container.is_libpod && {
            let mut files = bindmap::derive(&job.spec, &job.container);
            files.extend(job.container.bind_map.clone());
            bindmap::add_below(&mut files, &job.container.chroot_dirs);
            files.contains_key(&at)
        };
        let of_image = image.is_some_and(|image| image.volumes.contains(&at));
        let of_config = job.container.remove_mount(destination);
        if !(mounts::remove(&mut job.spec, destination) || of_config || of_engine || of_image) {
            bail!("--mount-remove {destination}: there is no mount");
        }
        job.trace.because(&job.spec, || format!("--mount-remove {destination}"));
    }
    Ok(())
}

/// `--hook STAGE:PATH[,ARG...]`.
///
/// # Errors
/// When the stage is unknown or the path not absolute.
pub fn apply_hooks(spec: &mut Spec, flags: &[String]) -> anyhow::Result<()> {
    const STAGES: [&str; 6] =
        ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    let mut wanted: Vec<(&str, Value)> = Vec::new();
    for flag in flags {
        let parsed =
            flag.split_once(':').filter(|(stage, path)| STAGES.contains(stage) && path.starts_with('/'));
        let Some((stage, command)) = parsed else {
            return Err(usage(format!(
                "--hook {flag}: STAGE:PATH[,ARG...] is wanted, STAGE one of {}",
                STAGES.join(", ")
            )));
        };
        let words: Vec<&str> = command.split(',').collect();
        let mut hook = json!({ "path": words[0] });
        if words.len() > 1 {
            hook["args"] = json!(words);
        }
        wanted.push((stage, hook));
    }
    for stage in STAGES {
        let of_stage: Vec<Value> =
            wanted.iter().filter(|(s, _)| *s == stage).map(|(_, hook)| hook.clone()).collect();
        if !of_stage.is_empty() {
            hooks::add(spec, stage, of_stage);
        }
    }
    Ok(())
}

/// A path as config.json can hold it.
///
/// # Errors
/// When it is not UTF-8.
pub fn utf8(path: impl Into<std::path::PathBuf>) -> anyhow::Result<String> {
    let path = path.into().into_os_string();
    path.into_string()
        .map_err(|p| anyhow::anyhow!("{}: not UTF-8, which config.json cannot hold", cli::name(p)))
}
