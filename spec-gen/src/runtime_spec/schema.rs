//! The types of the runtime-spec's keys, checked before any rule runs.
//!
//! The table has one row for each key that a rule reads, or whose wrong type a runtime would
//! reject. Other keys are not checked, because keys of a newer runtime-spec or of a vendor must be
//! preserved.

use anyhow::bail;
use serde_json::{Number, Value};

use crate::json_fields::describe;

/// The type of a key. A key may be absent or `null` unless its type is [`NeededText`]. An array
/// element must never be `null`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Object,
    Array,
    Text,
    /// A string that must be present, such as the destination of a mount.
    NeededText,
    Bool,
    U32,
    U64,
    I64,
    Int,
}
use Expected::{Array, Bool, I64, Int, NeededText, Object, Text, U32, U64};

/// The types by path. `[]` means every element of an array, and `*` every value of an object.
#[rustfmt::skip]
const SCHEMA: &[(&str, Expected)] = &[
    ("ociVersion", Text), ("hostname", Text), ("domainname", Text),
    ("root", Object), ("root.path", Text), ("root.readonly", Bool),
    ("process", Object), ("process.terminal", Bool), ("process.cwd", Text),
    ("process.args", Array), ("process.args[]", NeededText), ("process.env", Array), ("process.env[]", NeededText),
    ("process.user", Object), ("process.user.uid", U32), ("process.user.gid", U32), ("process.user.umask", U32),
    ("process.user.additionalGids", Array), ("process.user.additionalGids[]", U32), ("process.user.username", Text),
    ("process.consoleSize", Object), ("process.consoleSize.height", U64), ("process.consoleSize.width", U64),
    ("process.capabilities", Object), ("process.capabilities.*", Array), ("process.capabilities.*[]", NeededText),
    ("process.rlimits", Array), ("process.rlimits[]", Object), ("process.rlimits[].type", NeededText),
    ("process.rlimits[].soft", U64), ("process.rlimits[].hard", U64),
    ("process.noNewPrivileges", Bool), ("process.apparmorProfile", Text), ("process.selinuxLabel", Text),
    ("process.oomScoreAdj", Int), ("process.scheduler", Object), ("process.ioPriority", Object),
    ("mounts", Array), ("mounts[]", Object), ("mounts[].destination", NeededText), ("mounts[].type", Text),
    ("mounts[].source", Text), ("mounts[].options", Array), ("mounts[].options[]", NeededText),
    ("mounts[].uidMappings", Array), ("mounts[].uidMappings[]", Object),
    ("mounts[].gidMappings", Array), ("mounts[].gidMappings[]", Object),
    ("mounts[].uidMappings[].containerID", U32), ("mounts[].uidMappings[].hostID", U32), ("mounts[].uidMappings[].size", U32),
    ("mounts[].gidMappings[].containerID", U32), ("mounts[].gidMappings[].hostID", U32), ("mounts[].gidMappings[].size", U32),
    ("annotations", Object), ("annotations.*", NeededText),
    ("hooks", Object), ("hooks.*", Array), ("hooks.*[]", Object), ("hooks.*[].path", NeededText),
    ("hooks.*[].args", Array), ("hooks.*[].args[]", NeededText), ("hooks.*[].env", Array), ("hooks.*[].env[]", NeededText),
    ("hooks.*[].timeout", Int),
    ("linux", Object), ("linux.cgroupsPath", Text), ("linux.rootfsPropagation", Text), ("linux.mountLabel", Text),
    ("linux.maskedPaths", Array), ("linux.maskedPaths[]", NeededText),
    ("linux.readonlyPaths", Array), ("linux.readonlyPaths[]", NeededText),
    ("linux.sysctl", Object), ("linux.sysctl.*", NeededText),
    ("linux.namespaces", Array), ("linux.namespaces[]", Object), ("linux.namespaces[].type", NeededText),
    ("linux.namespaces[].path", Text),
    ("linux.uidMappings", Array), ("linux.uidMappings[]", Object), ("linux.gidMappings", Array), ("linux.gidMappings[]", Object),
    ("linux.uidMappings[].containerID", U32), ("linux.uidMappings[].hostID", U32), ("linux.uidMappings[].size", U32),
    ("linux.gidMappings[].containerID", U32), ("linux.gidMappings[].hostID", U32), ("linux.gidMappings[].size", U32),
    ("linux.devices", Array), ("linux.devices[]", Object), ("linux.devices[].path", NeededText), ("linux.devices[].type", NeededText),
    ("linux.devices[].major", I64), ("linux.devices[].minor", I64), ("linux.devices[].fileMode", U32),
    ("linux.devices[].uid", U32), ("linux.devices[].gid", U32),
    ("linux.seccomp", Object), ("linux.seccomp.defaultAction", Text), ("linux.seccomp.syscalls", Array),
    ("linux.seccomp.syscalls[]", Object), ("linux.seccomp.syscalls[].names", Array), ("linux.seccomp.syscalls[].names[]", NeededText),
    ("linux.seccomp.syscalls[].action", NeededText), ("linux.seccomp.syscalls[].args", Array),
    ("linux.seccomp.architectures", Array), ("linux.seccomp.architectures[]", NeededText),
    ("linux.intelRdt", Object), ("linux.personality", Object), ("linux.personality.domain", NeededText),
    ("linux.timeOffsets", Object),
    ("linux.resources", Object), ("linux.resources.devices", Array), ("linux.resources.devices[]", Object),
    ("linux.resources.devices[].allow", Bool), ("linux.resources.devices[].type", Text),
    ("linux.resources.devices[].major", I64), ("linux.resources.devices[].minor", I64), ("linux.resources.devices[].access", Text),
    ("linux.resources.memory", Object), ("linux.resources.memory.limit", I64), ("linux.resources.memory.reservation", I64),
    ("linux.resources.memory.swap", I64), ("linux.resources.memory.swappiness", U64), ("linux.resources.memory.disableOOMKiller", Bool),
    ("linux.resources.cpu", Object), ("linux.resources.cpu.shares", U64), ("linux.resources.cpu.quota", I64),
    ("linux.resources.cpu.period", U64), ("linux.resources.cpu.realtimeRuntime", I64), ("linux.resources.cpu.realtimePeriod", U64),
    ("linux.resources.cpu.cpus", Text), ("linux.resources.cpu.mems", Text),
    ("linux.resources.pids", Object), ("linux.resources.pids.limit", I64),
    ("linux.resources.blockIO", Object), ("linux.resources.blockIO.weight", U32),
    ("linux.resources.hugepageLimits", Array), ("linux.resources.hugepageLimits[]", Object),
    ("linux.resources.network", Object), ("linux.resources.unified", Object), ("linux.resources.unified.*", NeededText),
];

/// Checks `spec`, and converts whole numbers written as floats to integers.
///
/// jq up to 1.6 writes the u64 of `RLIM_INFINITY` as 18446744073709552000, and Go's encoders write
/// large numbers as `1e+06`. Runtimes reject both forms. Returns a warning for each converted
/// number.
///
/// # Errors
/// Returns an error that names the JSON path and the value.
pub fn check(spec: &mut Value) -> anyhow::Result<Vec<String>> {
    if !spec.is_object() {
        bail!("expected an object, found {}", describe(spec));
    }
    let mut repaired = Vec::new();
    for (pattern, want) in SCHEMA {
        visit(spec, pattern, &mut String::new(), &mut |path, value| {
            check_one(path, value, *want, &mut repaired)
        })?;
    }
    Ok(repaired)
}

pub type Visitor<'a> = dyn FnMut(&str, Option<&mut Value>) -> anyhow::Result<()> + 'a;

/// Calls `f` for every value that `pattern` matches below `at`, with `None` for a key that its
/// object lacks.
pub fn visit(at: &mut Value, pattern: &str, path: &mut String, f: &mut Visitor<'_>) -> anyhow::Result<()> {
    let end = pattern.find(['.', '[']).unwrap_or(pattern.len());
    let (key, rest) = pattern.split_at(end);
    let length = path.len();
    let mut step = |name: &str, value: Option<&mut Value>, path: &mut String| {
        path.push_str(name);
        let result = match value {
            value if rest.is_empty() => f(path, value),
            Some(value) => descend(value, rest, path, f),
            None => Ok(()),
        };
        path.truncate(length);
        result
    };
    let dot = if path.is_empty() { "" } else { "." };
    match at {
        Value::Object(map) if key == "*" => {
            for (name, value) in map {
                step(&format!("{dot}{name}"), Some(value), path)?;
            }
            Ok(())
        }
        Value::Object(map) => step(&format!("{dot}{key}"), map.get_mut(key), path),
        _ => Ok(()),
    }
}

fn descend(value: &mut Value, rest: &str, path: &mut String, f: &mut Visitor<'_>) -> anyhow::Result<()> {
    if let Some(rest) = rest.strip_prefix("[]") {
        let Value::Array(list) = value else { return Ok(()) };
        let length = path.len();
        for (i, value) in list.iter_mut().enumerate() {
            path.push_str(&format!("[{i}]"));
            match rest.strip_prefix('.') {
                Some(rest) => visit(value, rest, path, f)?,
                None => f(path, Some(value))?,
            }
            path.truncate(length);
        }
        return Ok(());
    }
    visit(value, rest.strip_prefix('.').unwrap_or(rest), path, f)
}

fn check_one(
    path: &str,
    value: Option<&mut Value>,
    want: Expected,
    repaired: &mut Vec<String>,
) -> anyhow::Result<()> {
    let wanted = match want {
        Object => "an object",
        Array => "an array",
        Text | NeededText => "a string",
        Bool => "true or false",
        U32 => "an integer from 0 to 4294967295",
        U64 => "an integer from 0 to 18446744073709551615",
        I64 | Int => "an integer",
    };
    let value = match value {
        Some(Value::Null) | None if want != NeededText && !path.ends_with(']') => return Ok(()),
        None => bail!("{path}: missing, expected {wanted}"),
        Some(value) => value,
    };
    if matches!(want, U32 | U64 | I64 | Int) {
        if let Some(integer) = value.as_f64().filter(|_| value.is_f64()).and_then(whole) {
            repaired.push(format!("{path}: {value} read as {integer}"));
            *value = Value::Number(integer);
        }
    }
    let fits = match want {
        Object => value.is_object(),
        Array => value.is_array(),
        Text | NeededText => value.is_string(),
        Bool => value.is_boolean(),
        U32 => value.as_u64().is_some_and(|n| u32::try_from(n).is_ok()),
        U64 => value.is_u64(),
        I64 => value.is_i64(),
        Int => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
    };
    if !fits {
        bail!("{path}: expected {wanted}, found {}", describe(value));
    }
    Ok(())
}

/// Returns the integer that a float represents. Beyond 2^53, where floats are not exact, only
/// `u64::MAX` is recognized.
fn whole(float: f64) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if float.fract() != 0.0 {
        return None;
    }
    if float == 18_446_744_073_709_551_616.0 {
        return Some(Number::from(u64::MAX));
    }
    // Below 2^53 every whole float is exactly one integer, and the cast does not truncate.
    (float.abs() <= EXACT).then(|| Number::from(float as i64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wrong_type_is_reported_with_its_path() {
        #[rustfmt::skip]
        let cases = [
            (json!([]), "expected an object, found an array"),
            (json!({"process": 5}), "process: expected an object, found the number 5"),
            (json!({"process": {"env": ["A=1", 7]}}), "process.env[1]: expected a string, found the number 7"),
            (json!({"process": {"user": {"uid": -1}}}), "process.user.uid: expected an integer from 0 to 4294967295, found the number -1"),
            (json!({"process": {"user": {"uid": 4294967296u64}}}), "process.user.uid: expected an integer from 0 to 4294967295, found the number 4294967296"),
            (json!({"mounts": [{"destination": "/a"}, {}]}), "mounts[1].destination: missing, expected a string"),
            (json!({"mounts": [null]}), "mounts[0]: expected an object, found null"),
            (json!({"hooks": {"prestart": [{"path": 1}]}}), "hooks.prestart[0].path: expected a string, found the number 1"),
            (json!({"annotations": {"a.b": 1}}), "annotations.a.b: expected a string, found the number 1"),
            (json!({"linux": {"namespaces": [{"type": null}]}}), "linux.namespaces[0].type: expected a string, found null"),
            (json!({"process": {"rlimits": [{"type": "RLIMIT_CORE", "soft": 1.5}]}}), "process.rlimits[0].soft: expected an integer from 0 to 18446744073709551615, found the number 1.5"),
        ];
        for (mut spec, message) in cases {
            assert_eq!(check(&mut spec).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn null_values_and_unknown_keys_are_accepted() {
        let mut spec = json!({"mounts": null, "process": {"env": null}, "linux": {"x-vendor": [1.5]}});
        assert!(check(&mut spec).unwrap().is_empty());
    }

    #[test]
    fn floats_written_by_jq_are_converted_to_integers() {
        let mut spec: Value = serde_json::from_str(
            r#"{"process":{"rlimits":[{"type":"RLIMIT_CORE","soft":18446744073709552000,"hard":1e6}]}}"#,
        )
        .unwrap();
        assert_eq!(check(&mut spec).unwrap().len(), 2);
        assert_eq!(spec["process"]["rlimits"][0]["soft"], json!(u64::MAX));
        assert_eq!(spec["process"]["rlimits"][0]["hard"], json!(1_000_000));
    }
}
