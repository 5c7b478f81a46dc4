//! The values that runtime-spec 1.3 allows for keys with a fixed set of values.
//!
//! oci-spec's types differ from the runtime-spec for these keys: they reject
//! `SCHED_FLAG_RESET_ON_FORK` and accept capabilities without `CAP_`. Therefore this table decides,
//! and oci-spec checks a document without these values.

use serde_json::{Value, json};

use crate::runtime_spec::{names, schema};

#[rustfmt::skip]
const WORDS: &[(&str, &[&str])] = &[
    ("process.scheduler.policy", &["SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"]),
    ("process.scheduler.flags[]", &["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_KEEP_POLICY",
        "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX"]),
    ("process.ioPriority.class", &["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"]),
    ("process.rlimits[].type", &names::RLIMITS),
    ("process.capabilities.*[]", &names::CAPABILITIES),
    ("linux.personality.domain", &["LINUX", "LINUX32"]),
    ("linux.memoryPolicy.mode", &["MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE", "MPOL_PREFERRED",
        "MPOL_PREFERRED_MANY", "MPOL_LOCAL"]),
    ("linux.memoryPolicy.flags[]", &["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"]),
    ("linux.devices[].type", &["c", "b", "u", "p"]),
    ("linux.resources.devices[].type", &["a", "b", "c", ""]),
    ("linux.rootfsPropagation", &["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable", ""]),
    ("linux.seccomp.defaultAction", ACTIONS),
    ("linux.seccomp.syscalls[].action", ACTIONS),
    ("linux.seccomp.flags[]", &["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]),
    ("linux.seccomp.architectures[]", &["SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64",
        "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL",
        "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390",
        "SCMP_ARCH_S390X", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64"]),
    ("linux.seccomp.syscalls[].args[].op", &["SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT",
        "SCMP_CMP_MASKED_EQ"]),
];

const ACTIONS: &[&str] = &[
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
];

/// Reports values that the runtime-spec does not allow, and replaces all such values by values that
/// oci-spec knows.
pub fn check(spec: &mut Value, faults: &mut Vec<String>) {
    for (pattern, words) in WORDS {
        // The visitor never fails.
        let _ = schema::visit(spec, pattern, &mut String::new(), &mut |path, value| {
            let Some(value) = value.filter(|v| !v.is_null()) else { return Ok(()) };
            match value.as_str() {
                Some(word) if words.contains(&word) => {}
                Some(word) => faults.push(format!("{path}: {word:?} is not one of {}", shown(words))),
                // oci-spec reports a wrong type.
                None => return Ok(()),
            }
            *value = json!(known_to_oci_spec(pattern, words));
            Ok(())
        });
    }
}

fn known_to_oci_spec<'w>(pattern: &str, words: &[&'w str]) -> &'w str {
    match pattern {
        "process.scheduler.flags[]" => "SCHED_RESET_ON_FORK",
        _ => words.first().copied().unwrap_or_default(),
    }
}

/// Removes lists of processors, which `limits` checks: oci-spec rejects the spaces that the schema
/// allows.
pub fn remove_checked_lists(spec: &mut Value) {
    for key in ["initial", "final"] {
        if let Some(list) =
            spec.pointer_mut(&format!("/process/execCPUAffinity/{key}")).filter(|l| l.is_string())
        {
            *list = Value::Null;
        }
    }
}

/// Returns the allowed values for a message. For a long list, returns only the form of the values.
fn shown(words: &[&str]) -> String {
    let words: Vec<&str> = words.iter().copied().filter(|w| !w.is_empty()).collect();
    match words.len() {
        0..=16 => words.join(", "),
        _ => format!("{}, {}, ...", words[0], words[1]),
    }
}
