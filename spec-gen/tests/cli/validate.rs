//! Tests `--validate` with values that the runtime-spec allows and with values that no runtime
//! accepts.

use super::*;

/// Validates the default spec with `value` at `path`, whose keys are separated by dots.
fn validate(dir: &Dir, path: &str, value: Value) -> Output {
    let mut spec = dir.spec(&["--new"], "");
    let place = path.split('.').fold(&mut spec, |object, key| &mut object[key]);
    *place = value;
    dir.run(&["--validate"], &spec.to_string())
}

#[test]
fn values_that_the_runtime_spec_allows_are_valid() {
    let dir = Dir::new();
    #[rustfmt::skip]
    let cases = [
        ("process.scheduler", json!({"policy": "SCHED_RR", "priority": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_UTIL_CLAMP_MAX"]})),
        ("process.scheduler", json!({"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 2, "period": 3, "flags": ["SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_RECLAIM"]})),
        ("process.scheduler", json!({"policy": "SCHED_BATCH", "nice": -20, "flags": ["SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN"]})),
        ("process.ioPriority", json!({"class": "IOPRIO_CLASS_IDLE", "priority": 7})),
        ("process.execCPUAffinity", json!({"initial": "0, 2-3", "final": "7"})),
        ("process.oomScoreAdj", json!(-1000)),
        ("process.capabilities.bounding", json!(["CAP_CHECKPOINT_RESTORE", "CAP_BPF"])),
        ("linux.personality", json!({"domain": "LINUX32"})),
        ("linux.rootfsPropagation", json!("runbindable")),
        ("linux.memoryPolicy", json!({"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]})),
        ("linux.seccomp", json!({"defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_RISCV64", "SCMP_ARCH_SHEB"],
            "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"], "syscalls": [{"names": ["x"], "action": "SCMP_ACT_NOTIFY",
            "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_MASKED_EQ"}]}]})),
        ("linux.netDevices", json!({"eth0": {"name": "lan0"}, "eth1": {}})),
        ("linux.sysctl", json!({"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "1"})),
        ("linux.intelRdt", json!({"closID": "web", "memBwSchema": "MB:0=20", "schemata": ["L3:0=f"], "enableMonitoring": true})),
        ("linux.resources.hugepageLimits", json!([{"pageSize": "64KB", "limit": 1}, {"pageSize": "2MB", "limit": 1}, {"pageSize": "16GB", "limit": 1}])),
        ("linux.resources.cpu", json!({"cpus": "0-3,7", "mems": "0", "idle": 1, "burst": 1})),
        ("linux.resources.memory", json!({"limit": 5, "swap": 5, "swappiness": 100})),
        ("linux.resources.memory", json!({"limit": 5, "swap": -1})),
        ("linux.devices", json!([{"path": "/dev/x", "type": "u", "major": 1, "minor": 3}, {"path": "/dev/p", "type": "p"}])),
    ];
    for (path, value) in cases {
        let output = validate(&dir, path, value.clone());
        assert!(output.status.success(), "{path}: {value}: {}", message(&output));
    }
}

#[test]
fn invalid_values_are_reported_with_their_path() {
    let dir = Dir::new();
    #[rustfmt::skip]
    let cases = [
        ("process.scheduler", json!({"policy": "SCHED_RR", "flags": ["SCHED_RESET_ON_FORK"]}), "process.scheduler.flags[0]: \"SCHED_RESET_ON_FORK\" is not one of SCHED_FLAG_RESET_ON_FORK, "),
        ("process.scheduler", json!({"policy": "SCHED_FAST"}), "process.scheduler.policy: \"SCHED_FAST\" is not one of SCHED_OTHER, "),
        ("process.scheduler", json!({"priority": 5}), "process.scheduler.policy: missing"),
        ("process.scheduler", json!({"policy": "SCHED_OTHER", "priority": 5}), "process.scheduler.priority: valid only for SCHED_FIFO or SCHED_RR, not for SCHED_OTHER"),
        ("process.scheduler", json!({"policy": "SCHED_RR", "runtime": 5}), "process.scheduler.runtime: valid only for SCHED_DEADLINE"),
        ("process.scheduler", json!({"policy": "SCHED_OTHER", "nice": 20}), "process.scheduler.nice: expected a number from -20 to 19, found 20"),
        ("process.ioPriority", json!({"class": "IOPRIO_CLASS_NONE"}), "process.ioPriority.class: \"IOPRIO_CLASS_NONE\" is not one of"),
        ("process.ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 8}), "process.ioPriority.priority: expected a number from 0 to 7, found 8"),
        ("process.execCPUAffinity", json!({"initial": "a"}), "process.execCPUAffinity.initial: \"a\": expected numbers"),
        ("process.oomScoreAdj", json!(1001), "process.oomScoreAdj: expected a number from -1000 to 1000, found 1001"),
        ("process.capabilities.bounding", json!(["KILL"]), "process.capabilities.bounding[0]: \"KILL\" is not one of CAP_CHOWN, "),
        ("linux.personality", json!({"domain": "BSD"}), "linux.personality.domain: \"BSD\" is not one of LINUX, LINUX32"),
        ("linux.memoryPolicy", json!({"mode": "MPOL_NEAR"}), "linux.memoryPolicy.mode: \"MPOL_NEAR\""),
        ("linux.memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "3-1"}), "linux.memoryPolicy.nodes: \"3-1\": 3-1: the range ends before it starts"),
        ("linux.seccomp", json!({"defaultAction": "SCMP_ACT_DENY"}), "linux.seccomp.defaultAction: \"SCMP_ACT_DENY\""),
        ("linux.seccomp", json!({"defaultAction": "SCMP_ACT_LOG", "architectures": ["x86_64"]}), "linux.seccomp.architectures[0]: \"x86_64\""),
        ("linux.netDevices", json!({"a/b": {}}), "linux.netDevices.a/b: expected a valid interface name"),
        ("linux.netDevices", json!({"eth0": {"name": "a-name-of-16-byte"}}), "linux.netDevices.eth0: expected a valid interface name, found \"a-name-of-16-byte\""),
        ("linux.sysctl", json!({"kernel.core_pattern": "x"}), "linux.sysctl.kernel.core_pattern: belongs to no namespace"),
        ("linux.sysctl", json!({"user.max_user_namespaces": "1"}), "linux.sysctl.user.max_user_namespaces: needs a namespace of type user"),
        ("linux.intelRdt", json!({"closID": "a/b"}), "linux.intelRdt.closID: \"a/b\""),
        ("linux.intelRdt", json!({"memBwSchema": "L3:0=f"}), "linux.intelRdt.memBwSchema: "),
        ("linux.resources.hugepageLimits", json!([{"pageSize": "2M", "limit": 1}]), "linux.resources.hugepageLimits[0].pageSize: \"2M\" is not a page size"),
        ("linux.resources.hugepageLimits", json!([{"pageSize": "3MB", "limit": 1}]), "linux.resources.hugepageLimits[0].pageSize: \"3MB\""),
        ("linux.resources.hugepageLimits", json!([{"pageSize": "2mb", "limit": 1}]), "linux.resources.hugepageLimits[0].pageSize: \"2mb\""),
        ("linux.resources.cpu", json!({"cpus": "a"}), "linux.resources.cpu.cpus: \"a\": expected numbers"),
        ("linux.resources.memory", json!({"limit": 5, "swap": 4}), "linux.resources.memory.swap: 4 is below the memory limit 5"),
        ("linux.resources.memory", json!({"swappiness": 101}), "linux.resources.memory.swappiness: expected a number from 0 to 100, found 101"),
        ("linux.devices", json!([{"path": "/dev/x", "type": "x", "major": 1, "minor": 3}]), "linux.devices[0].type: \"x\" is not one of c, b, u, p"),
    ];
    for (path, value, fault) in cases {
        let output = validate(&dir, path, value);
        let found = message(&output);
        assert_eq!(output.status.code(), Some(1), "{fault}: {found}");
        assert!(found.contains(&format!("error: standard input: {fault}")), "{fault}: {found}");
        assert!(output.stdout.is_empty(), "{fault}");
    }
    // Without its own network namespace, the container would set the parameter of the host.
    let mut spec = dir.spec(&["--new"], "");
    spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    spec["linux"]["namespaces"] = json!([{"type": "mount"}]);
    let output = dir.run(&["--validate"], &spec.to_string());
    assert_eq!(output.status.code(), Some(1));
    assert!(message(&output).contains("linux.sysctl.net.ipv4.ip_forward: needs a namespace of type network"));
}
