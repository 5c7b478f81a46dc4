//! Checks numbers, lists and names by the rules of runc, crun and the kernel, which types cannot
//! express.

use serde_json::Value;

use crate::runtime_spec::key::{self, Key};
use crate::runtime_spec::{Spec, cpu_list, namespaces, sysctl};

pub fn check(spec: &Spec, faults: &mut Vec<String>) {
    scheduler(spec, faults);
    ranges(spec, faults);
    lists(spec, faults);
    huge_pages(spec, faults);
    intel_rdt(spec, faults);
    sysctls(spec, faults);
    net_devices(spec, faults);
    let (limit, swap) =
        (number(spec, key::LINUX_RESOURCES_MEMORY_LIMIT), number(spec, key::LINUX_RESOURCES_MEMORY_SWAP));
    if let (Some(limit), Some(swap)) = (limit.filter(|n| *n > 0), swap.filter(|n| *n > 0)) {
        if swap < limit {
            faults.push(format!(
                "linux.resources.memory.swap: {swap} is below the memory limit {limit}; swap includes memory"
            ));
        }
    }
}

fn number(spec: &Spec, key: Key) -> Option<i64> {
    spec.get(key).and_then(Value::as_i64)
}

/// Checks which values belong to which scheduling policy, by runc's rules
/// (libcontainer/configs/validate).
fn scheduler(spec: &Spec, faults: &mut Vec<String>) {
    if spec.get(key::PROCESS_SCHEDULER).is_none() {
        return;
    }
    let policy = spec.text(key::PROCESS_SCHEDULER_POLICY).unwrap_or_default();
    if policy.is_empty() {
        faults.push("process.scheduler.policy: missing".into());
    }
    let mut belongs = |key: Key, policies: &[&str]| {
        if number(spec, key).is_some_and(|n| n != 0) && !policies.contains(&policy) {
            faults.push(format!("{key}: valid only for {}, not for {policy}", policies.join(" or ")));
        }
    };
    belongs(key::PROCESS_SCHEDULER_PRIORITY, &["SCHED_FIFO", "SCHED_RR"]);
    for key in
        [key::PROCESS_SCHEDULER_RUNTIME, key::PROCESS_SCHEDULER_DEADLINE, key::PROCESS_SCHEDULER_PERIOD]
    {
        belongs(key, &["SCHED_DEADLINE"]);
    }
}

fn ranges(spec: &Spec, faults: &mut Vec<String>) {
    let mut within = |key: Key, low: i64, high: i64| {
        if let Some(n) = number(spec, key).filter(|n| !(low..=high).contains(n)) {
            faults.push(format!("{key}: expected a number from {low} to {high}, found {n}"));
        }
    };
    within(key::PROCESS_SCHEDULER_NICE, -20, 19);
    within(key::PROCESS_SCHEDULER_PRIORITY, 0, 99);
    within(key::PROCESS_IO_PRIORITY_PRIORITY, 0, 7);
    within(key::PROCESS_OOM_SCORE_ADJ, -1000, 1000);
    within(key::LINUX_RESOURCES_MEMORY_SWAPPINESS, 0, 100);
    within(key::LINUX_RESOURCES_CPU_IDLE, 0, 1);
    // 0 means that the weight is not set.
    if number(spec, key::LINUX_RESOURCES_BLOCK_IO_WEIGHT) != Some(0) {
        within(key::LINUX_RESOURCES_BLOCK_IO_WEIGHT, 10, 1000);
    }
}

fn lists(spec: &Spec, faults: &mut Vec<String>) {
    for key in [
        key::LINUX_RESOURCES_CPU_CPUS,
        key::LINUX_RESOURCES_CPU_MEMS,
        key::LINUX_MEMORY_POLICY_NODES,
        key::PROCESS_EXEC_CPU_AFFINITY_INITIAL,
        key::PROCESS_EXEC_CPU_AFFINITY_FINAL,
    ] {
        if let Some(list) = spec.text(key) {
            if let Err(e) = cpu_list::check(list) {
                faults.push(format!("{key}: {list:?}: {e}"));
            }
        }
    }
}

/// Reports whether the text matches the pattern of the schema and is a power of two, as the
/// kernel's page sizes are.
pub fn is_page_size(size: &str) -> bool {
    let number = ["KB", "MB", "GB"].iter().find_map(|unit| size.strip_suffix(unit));
    number.is_some_and(|n| !n.starts_with(['0', '+']) && n.parse::<u32>().is_ok_and(u32::is_power_of_two))
}

fn huge_pages(spec: &Spec, faults: &mut Vec<String>) {
    for (i, limit) in spec.list(key::LINUX_RESOURCES_HUGEPAGE_LIMITS).iter().enumerate() {
        let size = limit.get("pageSize").and_then(Value::as_str).unwrap_or_default();
        if !is_page_size(size) {
            faults.push(format!(
                "linux.resources.hugepageLimits[{i}].pageSize: {size:?} is not a page size such as 64KB, 2MB or 1GB"
            ));
        }
    }
}

fn intel_rdt(spec: &Spec, faults: &mut Vec<String>) {
    if let Some(class) =
        spec.text(key::LINUX_INTEL_RDT_CLOS_ID).filter(|c| c.contains('/') || matches!(*c, "." | ".."))
    {
        faults.push(format!("linux.intelRdt.closID: {class:?} is not the name of a directory"));
    }
    if let Some(schema) = spec.text(key::LINUX_INTEL_RDT_MEM_BW_SCHEMA) {
        if !schema.starts_with("MB:") || schema.contains('\n') {
            faults
                .push(format!("linux.intelRdt.memBwSchema: {schema:?} is not one line that starts with MB:"));
        }
    }
}

fn sysctls(spec: &Spec, faults: &mut Vec<String>) {
    for key in spec.get(key::LINUX_SYSCTL).and_then(Value::as_object).into_iter().flat_map(|map| map.keys()) {
        match sysctl::namespace(key) {
            Some(kind) if namespaces::find(spec, kind).is_some() => {}
            Some(kind) => faults.push(format!("linux.sysctl.{key}: needs a namespace of type {kind}")),
            None => faults
                .push(format!("linux.sysctl.{key}: belongs to no namespace, so it would change the host")),
        }
    }
}

fn net_devices(spec: &Spec, faults: &mut Vec<String>) {
    let Some(devices) = spec.get(key::LINUX_NET_DEVICES).and_then(Value::as_object) else { return };
    if !devices.is_empty() && namespaces::find(spec, "network").is_none() {
        faults.push("linux.netDevices: needs a namespace of type network".into());
    }
    for (device, value) in devices {
        let name = value.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        for name in [Some(device.as_str()), name].into_iter().flatten() {
            // Follows dev_valid_name() of the kernel.
            let valid = !name.is_empty()
                && name.len() <= 15
                && !matches!(name, "." | "..")
                && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace());
            if !valid {
                faults.push(format!(
                    "linux.netDevices.{device}: expected a valid interface name, found {name:?}"
                ));
            }
        }
    }
}
