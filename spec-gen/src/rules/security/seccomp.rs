//! Seccomp: reads the profile of `--seccomp FILE`, in the format of the runtime-spec or of the
//! engines' default profiles, whose conditions depend on the container and the host.

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use crate::json_fields::describe;

/// The values that the conditions of a profile refer to.
pub struct Facts<'a> {
    /// The bounding set of the process.
    pub capabilities: &'a [String],
    /// Major and minor version of the kernel, if known.
    pub kernel: Option<(u32, u32)>,
}

/// Returns the profile as `linux.seccomp`.
///
/// # Errors
/// Returns an error that names the invalid key.
pub fn profile(value: &Value, facts: &Facts<'_>) -> anyhow::Result<Value> {
    let map = value.as_object().with_context(|| format!("expected an object, found {}", describe(value)))?;
    if !map.get("defaultAction").is_some_and(Value::is_string) {
        bail!("defaultAction: missing, expected a string");
    }
    let mut result = Map::new();
    for key in
        ["defaultAction", "defaultErrnoRet", "architectures", "flags", "listenerPath", "listenerMetadata"]
    {
        if let Some(value) = map.get(key).filter(|v| !v.is_null()) {
            result.insert(key.into(), value.clone());
        }
    }
    if let Some(maps) = map.get("archMap").and_then(Value::as_array) {
        if let Some(architectures) = architectures(maps) {
            result.insert("architectures".into(), architectures);
        }
    }
    let rules = match map.get("syscalls") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(rules)) => rules.as_slice(),
        Some(other) => bail!("syscalls: expected an array, found {}", describe(other)),
    };
    let mut syscalls = Vec::new();
    for (i, rule) in rules.iter().enumerate() {
        let at = || format!("syscalls[{i}]");
        let rule = rule.as_object().with_context(|| format!("{}: expected an object", at()))?;
        if applies(rule, facts).with_context(at)? {
            syscalls.push(without_conditions(rule).with_context(at)?);
        }
    }
    result.insert("syscalls".into(), Value::Array(syscalls));
    Ok(Value::Object(result))
}

/// Returns the architectures of a filter: the native one, and its sub-architectures in `archMap`.
fn architectures(maps: &[Value]) -> Option<Value> {
    let native = format!("SCMP_ARCH_{}", native_architecture());
    let entry = maps.iter().find(|m| m.get("architecture").and_then(Value::as_str) == Some(&native))?;
    let mut list = vec![json!(native)];
    list.extend(entry.get("subArchitectures").and_then(Value::as_array).into_iter().flatten().cloned());
    Some(Value::Array(list))
}

fn native_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "AARCH64",
        "arm" => "ARM",
        "powerpc64" => "PPC64LE",
        "riscv64" => "RISCV64",
        "s390x" => "S390X",
        "x86" => "X86",
        _ => "X86_64",
    }
}

/// Returns Go's name of this architecture, which profiles use.
fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        "x86" => "386",
        "x86_64" => "amd64",
        other => other,
    }
}

fn applies(rule: &Map<String, Value>, facts: &Facts<'_>) -> anyhow::Result<bool> {
    let excludes = conditions(rule, "excludes", facts)?;
    let includes = conditions(rule, "includes", facts)?;
    Ok(!excludes.into_iter().any(|hit| hit) && includes.into_iter().all(|hit| hit))
}

/// Evaluates the conditions of `includes` or `excludes`.
fn conditions(rule: &Map<String, Value>, key: &str, facts: &Facts<'_>) -> anyhow::Result<Vec<bool>> {
    let Some(map) = rule.get(key).filter(|v| !v.is_null()) else { return Ok(Vec::new()) };
    let map =
        map.as_object().with_context(|| format!("{key}: expected an object, found {}", describe(map)))?;
    let texts = |name: &str| -> Vec<&str> {
        map.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let mut all = Vec::new();
    let arches = texts("arches");
    if !arches.is_empty() {
        all.push(arches.contains(&go_architecture()));
    }
    let caps = texts("caps");
    if !caps.is_empty() {
        let has = |cap: &&str| facts.capabilities.iter().any(|c| c == cap);
        // `includes` requires all its capabilities. `excludes` applies if any of its capabilities
        // is present.
        all.push(if key == "excludes" { caps.iter().any(has) } else { caps.iter().all(has) });
    }
    if let Some(wanted) = map.get("minKernel").and_then(Value::as_str) {
        let wanted = wanted
            .split_once('.')
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let wanted: (u32, u32) = wanted.with_context(|| format!("{key}.minKernel: expected MAJOR.MINOR"))?;
        all.push(facts.kernel.is_none_or(|kernel| kernel >= wanted));
    }
    Ok(all)
}

/// Returns a rule in the format of the runtime-spec.
fn without_conditions(rule: &Map<String, Value>) -> anyhow::Result<Value> {
    let names = match (rule.get("names"), rule.get("name")) {
        (Some(names @ Value::Array(_)), _) => names.clone(),
        (_, Some(name @ Value::String(_))) => json!([name]),
        _ => bail!("names: missing, expected an array"),
    };
    let action =
        rule.get("action").filter(|a| a.is_string()).context("action: missing, expected a string")?;
    let mut result = json!({ "names": names, "action": action });
    for key in ["errnoRet", "args"] {
        match rule.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) if list.is_empty() => {}
            Some(value) => result[key] = value.clone(),
        }
    }
    Ok(result)
}

/// Returns the version of the running kernel.
pub fn kernel() -> Option<(u32, u32)> {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let mut numbers = text.split(['.', '-']).map(|n| n.trim().parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_evaluated_and_removed() {
        let value = json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
            "archMap": [{"architecture": format!("SCMP_ARCH_{}", native_architecture()), "subArchitectures": ["SCMP_ARCH_X86"]}],
            "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
                {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF"]}},
                {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "excludes": {"caps": ["CAP_BPF"]}},
                {"names": ["new"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
                {"names": ["other"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["none"]}}
            ]
        });
        let names = |caps: &[String], kernel| -> Vec<String> {
            let facts = Facts { capabilities: caps, kernel: Some(kernel) };
            let profile = profile(&value, &facts).unwrap();
            assert_eq!(profile["architectures"][1], "SCMP_ARCH_X86");
            let rules = profile["syscalls"].as_array().unwrap();
            rules.iter().map(|r| format!("{}:{}", r["names"][0], r["action"])).collect()
        };
        assert_eq!(
            names(&["CAP_BPF".into()], (6, 1)),
            [r#""read":"SCMP_ACT_ALLOW""#, r#""bpf":"SCMP_ACT_ALLOW""#, r#""new":"SCMP_ACT_ALLOW""#]
        );
        assert_eq!(names(&[], (4, 4)), [r#""read":"SCMP_ACT_ALLOW""#, r#""bpf":"SCMP_ACT_ERRNO""#]);
    }

    #[test]
    fn invalid_profiles_are_reported() {
        let facts = Facts { capabilities: &[], kernel: None };
        for (value, message) in [
            (json!([]), "expected an object, found an array"),
            (json!({}), "defaultAction: missing"),
            (json!({"defaultAction": "A", "syscalls": 5}), "syscalls: expected an array"),
            (json!({"defaultAction": "A", "syscalls": [{"names": ["x"]}]}), "syscalls[0]: action: missing"),
        ] {
            let error = format!("{:#}", profile(&value, &facts).unwrap_err());
            assert!(error.contains(message), "{error}");
        }
    }

    fn names_of(profile: &Value) -> Vec<&str> {
        let rules = profile["syscalls"].as_array().unwrap();
        rules.iter().filter_map(|rule| rule["names"][0].as_str()).collect()
    }

    #[test]
    fn every_condition_of_a_rule_decides_about_it() {
        let rule = |name: &str, key: &str, condition: Value| json!({"names": [name], "action": "SCMP_ACT_ALLOW", key: condition});
        let arches = ["386", "amd64", "arm", "arm64", "loong64", "ppc64le", "riscv64", "s390x"];
        #[rustfmt::skip]
        let value = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            rule("has", "includes", json!({"caps": ["CAP_A"]})),
            rule("has-both", "includes", json!({"caps": ["CAP_A", "CAP_B"]})),
            rule("not-one", "excludes", json!({"caps": ["CAP_A", "CAP_B"]})),
            rule("not-other", "excludes", json!({"caps": ["CAP_B"]})),
            rule("on-arch", "includes", json!({"arches": arches})),
            rule("not-on-arch", "excludes", json!({"arches": arches})),
            rule("same-kernel", "includes", json!({"minKernel": "5.10"})),
            rule("later-minor", "includes", json!({"minKernel": "5.11"})),
            rule("later-major", "includes", json!({"minKernel": "6.0"})),
            rule("one-of-two", "includes", json!({"caps": ["CAP_A"], "minKernel": "6.0"})),
            rule("null", "includes", json!(null)),
        ]});
        let facts = Facts { capabilities: &["CAP_A".into()], kernel: Some((5, 10)) };
        let found = profile(&value, &facts).unwrap();
        assert_eq!(names_of(&found), ["has", "not-other", "on-arch", "same-kernel", "null"]);
        // If the version of the kernel is not known, all rules for new kernels are kept.
        let facts = Facts { capabilities: &[], kernel: None };
        let found = profile(&value, &facts).unwrap();
        let new = ["same-kernel", "later-minor", "later-major"];
        assert!(new.iter().all(|name| names_of(&found).contains(name)), "{found}");
        assert!(!names_of(&found).contains(&"one-of-two"), "{found}");
        for version in ["5", "x.1", "5.x", "5.1.2"] {
            let value = json!({"defaultAction": "A", "syscalls": [rule("x", "includes", json!({"minKernel": version}))]});
            let error = format!("{:#}", profile(&value, &facts).unwrap_err());
            assert_eq!(error, "syscalls[0]: includes.minKernel: expected MAJOR.MINOR");
        }
    }

    #[test]
    fn arguments_and_keys_of_a_profile_are_kept() {
        let args = json!([{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]);
        let value = json!({
            "defaultAction": "A", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X32"], "flags": ["F"], "listenerPath": null, "other": 1,
            "syscalls": [
                {"names": ["a", "b"], "action": "B", "args": args, "errnoRet": 7, "comment": "c"},
                {"name": "old", "action": "B", "args": [], "errnoRet": null},
            ]
        });
        let facts = Facts { capabilities: &[], kernel: None };
        assert_eq!(
            profile(&value, &facts).unwrap(),
            json!({
                "defaultAction": "A", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X32"], "flags": ["F"],
                "syscalls": [
                    {"names": ["a", "b"], "action": "B", "args": args, "errnoRet": 7},
                    {"names": ["old"], "action": "B"},
                ]
            })
        );
        let nameless = json!({"defaultAction": "A", "syscalls": [{"action": "B"}]});
        let error = format!("{:#}", profile(&nameless, &facts).unwrap_err());
        assert_eq!(error, "syscalls[0]: names: missing, expected an array");
    }

    #[test]
    fn the_architecture_is_that_of_the_host() {
        let sub = |name: &str| json!({"architecture": format!("SCMP_ARCH_{name}"), "subArchitectures": [format!("{name}-sub")]});
        let maps = ["AARCH64", "ARM", "PPC64LE", "RISCV64", "S390X", "X86", "X86_64"].map(sub);
        let found = architectures(&maps).unwrap();
        let native = found[0].as_str().and_then(|name| name.strip_prefix("SCMP_ARCH_")).unwrap();
        assert_eq!(found, json!([format!("SCMP_ARCH_{native}"), format!("{native}-sub")]));
        if cfg!(target_arch = "x86_64") {
            assert_eq!((native, go_architecture()), ("X86_64", "amd64"));
        }
        // A map without the native architecture does not replace the list of the profile.
        assert_eq!(architectures(&[sub("NONE")]), None);
    }

    #[test]
    fn the_version_of_the_running_kernel_is_known() {
        // No older kernel can run these tests.
        assert!(kernel().is_some_and(|version| version >= (3, 10)), "{:?}", kernel());
    }
}
