//! Copies the values of flags into the corresponding fields of the container config.

use cli::{Hint, usage};

use crate::args::{Args, Systemd};
use crate::input::container::Container;
use crate::notation::device::is_device_name;
use crate::notation::engine::SdNotify;
use crate::path;
use crate::rules::engine::timezone;
use crate::rules::mounts::flag_volumes;
use crate::runtime_spec::id_map::IdMaps;
use crate::runtime_spec::{Spec, mounts};

/// Copies the values of flags into the corresponding fields of the container config.
///
/// # Errors
/// Returns an error that names the invalid flag.
pub fn to_container(container: &mut Container, args: &Args, spec: &Spec) -> anyhow::Result<()> {
    // Without a container config, the mappings are in the spec.
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
    copy_engine_flags(container, args)?;
    let volumes = flag_volumes::read(args)?;
    for destination in flag_volumes::destinations(&volumes, args) {
        container.volumes.retain(|volume| path::clean(volume.destination()) != destination);
    }
    container.user_volumes.extend(volumes.iter().map(|v| v.destination().to_owned()));
    container.volumes.extend(volumes);
    container.cdi_devices.extend(args.devices.gpus.iter().map(|gpu| format!("nvidia.com/gpu={gpu}")));
    container.cdi_devices.extend(args.devices.device.iter().filter(|d| is_device_name(d)).cloned());
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
            u64::try_from(size).map_err(|_| usage("--shm-size-systemd: expected a size"))?;
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
        container.shm_dir = path::utf8(std::path::absolute(dir)?)?;
    }
    Ok(())
}

/// Copies the flags for the container engine into the config.
///
/// # Errors
/// Returns an error if a directory is not absolute.
fn copy_engine_flags(container: &mut Container, args: &Args) -> anyhow::Result<()> {
    let m = &args.engine;
    container.image_hosts = m.no_hosts.unwrap_or(container.image_hosts);
    container.image_hostname = m.no_hostname.unwrap_or(container.image_hostname);
    for dir in &m.chrootdirs {
        mounts::check_destination(dir).map_err(|e| usage(format!("--chrootdirs {e:#}")))?;
        container.chroot_dirs.push(dir.clone());
    }
    if let Some(who) = m.sdnotify {
        container.sdnotify_container = who == SdNotify::Container;
    }
    if m.tz.is_some() {
        container.timezone.clear();
        container.bind_map.remove(timezone::LOCALTIME);
    }
    Ok(())
}

/// Rejects `--privileged=false` for a privileged config, which does not state the capabilities and
/// masks of an unprivileged container.
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

/// Reports whether a command is systemd, by podman's rule.
fn is_systemd(args: &[String]) -> bool {
    let command = args.first().map_or("", String::as_str);
    matches!(command, "/sbin/init" | "/usr/sbin/init" | "/usr/local/sbin/init")
        || command.rsplit('/').next() == Some("systemd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_recognized_by_podmans_rule() {
        for (command, expected) in [
            ("/sbin/init", true),
            ("/usr/sbin/init", true),
            ("/usr/local/sbin/init", true),
            ("systemd", true),
            ("/usr/lib/systemd/systemd", true),
            ("/bin/init", false),
            ("/usr/lib/systemd/systemd-udevd", false),
            ("/systemd/sh", false),
        ] {
            assert_eq!(is_systemd(&[command.to_owned(), "systemd".to_owned()]), expected, "{command}");
        }
        assert!(!is_systemd(&[]));
    }
}
