//! Applies the flags of `oci-runtime-tool generate` that have their own notation, in the steps of
//! [`create`](crate::rules::create).
//!
//! As in oci-runtime-tool, flags that remove all values come before flags that add values, and
//! flags that remove one value come after them. Unlike oci-runtime-tool, leaving a namespace to the
//! host also removes the values with which no runtime would start the container.

use cli::{Hint, usage};
use serde_json::{Value, json};

use crate::args::RuntimeToolArgs;
use crate::job::Job;
use crate::notation::namespace::Mode;
use crate::notation::oci_runtime_tool::Change;
use crate::rules::devices;
use crate::rules::namespaces::modes;
use crate::rules::resources::{self, rlimits};
use crate::rules::security::capabilities;
use crate::runtime_spec::explain::Trace;
use crate::runtime_spec::key::{self, Key};
use crate::runtime_spec::namespaces::TYPES;
use crate::runtime_spec::{Spec, hooks, mounts, schema};

/// Sets the command, the user and the namespaces, which other rules read.
///
/// # Errors
/// Returns an error for ID mappings, whose order of fields differs from spec-gen's order.
pub fn set_process(job: &mut Job<'_>) -> anyhow::Result<()> {
    let (args, peers) = (&job.args.runtime_tool, &job.args.namespaces.container_pid);
    let Job { spec, trace, session, .. } = job;
    refuse_mappings(args)?;
    if !args.words.is_empty() {
        spec.set(key::PROCESS_ARGS, args.words.clone());
    }
    for (key, id) in [(key::PROCESS_USER_UID, args.process_uid), (key::PROCESS_USER_GID, args.process_gid)] {
        if let Some(id) = id {
            spec.set(key, id);
        }
    }
    trace.because(spec, || "--args, --process-uid, --process-gid".into());
    if let Some(read_only) = args.rootfs_readonly {
        spec.set(key::ROOT_READONLY, read_only);
        trace.because(spec, || "--rootfs-readonly".into());
    }
    if args.linux_namespace_remove_all == Some(true) {
        for (kind, _) in TYPES {
            let dropped = modes::apply(spec, kind, &Mode::Host, peers)?;
            modes::warn_of_dropped(session, kind, dropped);
        }
        trace.because(spec, || "--linux-namespace-remove-all".into());
    }
    for (kind, path) in &args.linux_namespace_add {
        let mode = path.clone().map_or(Mode::Private, Mode::Path);
        let dropped = modes::apply(spec, kind, &mode, peers)?;
        modes::warn_of_dropped(session, kind, dropped);
        trace.because(spec, || format!("--linux-namespace-add {kind}"));
    }
    for kind in &args.linux_namespace_remove {
        let dropped = modes::apply(spec, kind, &Mode::Host, peers)?;
        modes::warn_of_dropped(session, kind, dropped);
        trace.because(spec, || format!("--linux-namespace-remove {kind}"));
    }
    Ok(())
}

/// Rejects ID mappings. oci-runtime-tool writes the host ID first, podman the container ID. If the
/// two IDs were confused, the container would own files of other users.
fn refuse_mappings(args: &RuntimeToolArgs) -> anyhow::Result<()> {
    for (theirs, ours, maps) in [
        ("--linux-uidmappings", "--uidmap", &args.linux_uidmappings),
        ("--linux-gidmappings", "--gidmap", &args.linux_gidmappings),
    ] {
        let Some(map) = maps.first() else { continue };
        let hint = match map.split(':').collect::<Vec<_>>()[..] {
            [host, container, size] => format!("write {ours} {container}:{host}:{size}"),
            _ => format!("write {ours} CONTAINER:HOST:SIZE"),
        };
        return Err(Hint::on(
            usage(format!("{theirs} {map}: the host ID comes first, which spec-gen does not support")),
            hint,
        ));
    }
    Ok(())
}

/// Adds mounts, which are written as in the runtime-spec.
///
/// # Errors
/// Returns an error if one is not a mount.
pub fn add_mounts(job: &mut Job<'_>) -> anyhow::Result<()> {
    for mount in &job.args.runtime_tool.mounts_add {
        let flag = || format!("--mounts-add {mount}");
        checked(flag, json!({ "mounts": [mount] }))?;
        mounts::check_destination(mounts::destination(mount)).map_err(|e| senseless(flag, &e))?;
        mounts::put_value(&mut job.spec, mount.clone());
        job.container.user_volumes.push(mounts::destination(mount).to_owned());
        job.trace.because(&job.spec, flag);
    }
    Ok(())
}

/// Sets capabilities, limits, devices and hooks, which no other rule reads.
///
/// # Errors
/// Returns an error that names the invalid flag.
pub fn finish(job: &mut Job<'_>) -> anyhow::Result<()> {
    let args = &job.args.runtime_tool;
    let Job { spec, trace, .. } = job;
    set_capabilities(spec, args)?;
    trace.because(spec, || "--process-cap-*".into());
    set_rlimits(spec, args);
    trace.because(spec, || "--process-rlimits-*".into());
    add_readonly_paths(spec, &args.linux_readonly_paths);
    trace.because(spec, || "--linux-readonly-paths".into());
    set_devices(spec, args);
    trace.because(spec, || "--linux-device-*".into());
    set_resources(spec, args, trace);
    add_hooks(spec, args)?;
    trace.because(spec, || "--hooks-*".into());
    Ok(())
}

fn set_capabilities(spec: &mut Spec, args: &RuntimeToolArgs) -> anyhow::Result<()> {
    if args.process_cap_drop_all == Some(true) {
        spec.set(key::PROCESS_CAPABILITIES, json!({}));
    }
    for (set, add, drop) in [
        (key::PROCESS_CAPABILITIES_AMBIENT, &args.process_cap_add_ambient, &args.process_cap_drop_ambient),
        (key::PROCESS_CAPABILITIES_BOUNDING, &args.process_cap_add_bounding, &args.process_cap_drop_bounding),
        (
            key::PROCESS_CAPABILITIES_EFFECTIVE,
            &args.process_cap_add_effective,
            &args.process_cap_drop_effective,
        ),
        (
            key::PROCESS_CAPABILITIES_INHERITABLE,
            &args.process_cap_add_inheritable,
            &args.process_cap_drop_inheritable,
        ),
        (
            key::PROCESS_CAPABILITIES_PERMITTED,
            &args.process_cap_add_permitted,
            &args.process_cap_drop_permitted,
        ),
    ] {
        capabilities::change_set(spec, set, add, drop)?;
    }
    Ok(())
}

fn set_rlimits(spec: &mut Spec, args: &RuntimeToolArgs) {
    if args.process_rlimits_remove_all == Some(true) {
        spec.remove(key::PROCESS_RLIMITS);
    }
    for limit in &args.process_rlimits_add {
        rlimits::put(spec, &limit.kind, limit.soft, limit.hard);
    }
    for kind in &args.process_rlimits_remove {
        drop_from(spec, key::PROCESS_RLIMITS, |l| l["type"] == kind.as_str());
    }
}

fn add_readonly_paths(spec: &mut Spec, paths: &[String]) {
    for path in paths {
        let list = spec.list_mut(key::LINUX_READONLY_PATHS);
        if !list.iter().any(|p| p == path) {
            list.push(json!(path));
        }
    }
}

fn set_devices(spec: &mut Spec, args: &RuntimeToolArgs) {
    const RULES: Key = key::LINUX_RESOURCES_DEVICES;
    if args.linux_device_remove_all == Some(true) {
        spec.remove(key::LINUX_DEVICES);
    }
    for device in &args.linux_device_add {
        devices::put_value(spec, device.0.clone());
    }
    for path in &args.linux_device_remove {
        drop_from(spec, key::LINUX_DEVICES, |d| d["path"] == path.as_str());
    }
    for rule in &args.linux_device_cgroup_add {
        // The order of the rules matters, so an equal rule may be repeated.
        spec.list_mut(RULES).push(rule.0.clone());
    }
    for rule in &args.linux_device_cgroup_remove {
        drop_from(spec, RULES, |r| *r == rule.0);
    }
}

fn set_resources(spec: &mut Spec, args: &RuntimeToolArgs, trace: &mut Trace) {
    let numbers = [
        (key::LINUX_RESOURCES_MEMORY_LIMIT, "--linux-mem-limit", args.linux_mem_limit),
        (key::LINUX_RESOURCES_MEMORY_KERNEL, "--linux-mem-kernel-limit", args.linux_mem_kernel_limit),
        (key::LINUX_RESOURCES_MEMORY_KERNEL_TCP, "--linux-mem-kernel-tcp", args.linux_mem_kernel_tcp),
        (
            key::LINUX_RESOURCES_NETWORK_CLASS_ID,
            "--linux-network-classid",
            args.linux_network_classid.map(i64::from),
        ),
        (
            key::LINUX_RESOURCES_BLOCK_IO_LEAF_WEIGHT,
            "--linux-blkio-leaf-weight",
            args.linux_blkio_leaf_weight.map(i64::from),
        ),
    ];
    for (key, flag, number) in numbers {
        if let Some(number) = number {
            spec.set(key, number);
            trace.because(spec, || flag.into());
        }
    }
    for (size, limit) in &args.linux_hugepage_limits_add {
        resources::put_hugepage_limit(spec, size, *limit);
    }
    for size in &args.linux_hugepage_limits_drop {
        drop_from(spec, key::LINUX_RESOURCES_HUGEPAGE_LIMITS, |l| l["pageSize"] == size.as_str());
    }
    trace.because(spec, || "--linux-hugepage-limits-*".into());
    for (name, priority) in &args.linux_network_priorities {
        const PRIORITIES: Key = key::LINUX_RESOURCES_NETWORK_PRIORITIES;
        drop_from(spec, PRIORITIES, |p| p["name"] == name.as_str());
        if let Some(priority) = priority {
            spec.list_mut(PRIORITIES).push(json!({ "name": name, "priority": priority }));
        }
    }
    trace.because(spec, || "--linux-network-priorities".into());
    for (list, limit, changes) in [
        (key::LINUX_RESOURCES_BLOCK_IO_WEIGHT_DEVICE, "weight", &args.linux_blkio_weight_device),
        (key::LINUX_RESOURCES_BLOCK_IO_WEIGHT_DEVICE, "leafWeight", &args.linux_blkio_leaf_weight_device),
        (key::LINUX_RESOURCES_BLOCK_IO_THROTTLE_READ_BPS_DEVICE, "rate", &args.linux_blkio_read_bps_device),
        (key::LINUX_RESOURCES_BLOCK_IO_THROTTLE_WRITE_BPS_DEVICE, "rate", &args.linux_blkio_write_bps_device),
        (key::LINUX_RESOURCES_BLOCK_IO_THROTTLE_READ_IOPS_DEVICE, "rate", &args.linux_blkio_read_iops_device),
        (
            key::LINUX_RESOURCES_BLOCK_IO_THROTTLE_WRITE_IOPS_DEVICE,
            "rate",
            &args.linux_blkio_write_iops_device,
        ),
    ] {
        for change in changes {
            set_block_io(spec, list, limit, change);
        }
    }
    trace.because(spec, || "--linux-blkio-*".into());
    if let Some(schema) = &args.linux_intel_rdt_l3_cache_schema {
        spec.set(key::LINUX_INTEL_RDT_L3_CACHE_SCHEMA, schema.as_str());
        trace.because(spec, || "--linux-intelRdt-l3CacheSchema".into());
    }
}

/// Sets or removes the limit of one device. A weight and a leaf weight share an entry, which is
/// removed together with its last value.
fn set_block_io(spec: &mut Spec, list: Key, limit: &str, change: &Change) {
    let is_device = |entry: &Value| entry["major"] == change.major && entry["minor"] == change.minor;
    let Some(value) = change.value else {
        for entry in entries(spec, list).iter_mut().filter(|e| is_device(e)) {
            if let Some(entry) = entry.as_object_mut() {
                entry.shift_remove(limit);
            }
        }
        return drop_from(spec, list, |e| is_device(e) && e.as_object().is_some_and(|e| e.len() == 2));
    };
    let list = spec.list_mut(list);
    match list.iter_mut().find(|e| is_device(e)) {
        Some(entry) => entry[limit] = json!(value),
        None => list.push(json!({ "major": change.major, "minor": change.minor, limit: value })),
    }
}

fn add_hooks(spec: &mut Spec, args: &RuntimeToolArgs) -> anyhow::Result<()> {
    for (stage, key, remove_all, added) in [
        ("prestart", key::HOOKS_PRESTART, args.hooks_prestart_remove_all, &args.hooks_prestart_add),
        ("poststart", key::HOOKS_POSTSTART, args.hooks_poststart_remove_all, &args.hooks_poststart_add),
        ("poststop", key::HOOKS_POSTSTOP, args.hooks_poststop_remove_all, &args.hooks_poststop_add),
    ] {
        if remove_all == Some(true) {
            spec.remove(key);
        }
        for hook in added {
            let flag = || format!("--hooks-{stage}-add {hook}");
            checked(flag, json!({ "hooks": { stage: [hook] } }))?;
            if !hook["path"].as_str().is_some_and(|path| path.starts_with('/')) {
                return Err(usage(format!("{}: expected an absolute path", flag())));
            }
        }
        if !added.is_empty() {
            hooks::add(spec, stage, added.clone());
        }
    }
    Ok(())
}

/// Checks the JSON types in `part`, a part of a spec that a flag holds.
fn checked(flag: impl FnOnce() -> String, mut part: Value) -> anyhow::Result<()> {
    schema::check(&mut part).map(|_| ()).map_err(|e| senseless(flag, &e))
}

fn senseless(flag: impl FnOnce() -> String, e: &anyhow::Error) -> anyhow::Error {
    usage(format!("{}: {e:#}", flag()))
}

/// Returns the entries of a list, or none if the list does not exist. Does not create the list.
fn entries(spec: &mut Spec, key: Key) -> &mut [Value] {
    if spec.list(key).is_empty() { &mut [] } else { spec.list_mut(key) }
}

/// Removes the entries that match. Removes the list if none is left.
fn drop_from(spec: &mut Spec, key: Key, matches: impl Fn(&Value) -> bool) {
    if spec.list(key).iter().any(&matches) {
        spec.list_mut(key).retain(|entry| !matches(entry));
        if spec.list(key).is_empty() {
            spec.remove(key);
        }
    }
}
