//! The notations of `oci-runtime-tool generate`.

use serde_json::{Map, Value, json};

use crate::notation::limits::rlimit_type;
use crate::runtime_spec::namespaces::TYPES;

/// An rlimit, written `TYPE:HARD:SOFT`; podman writes the soft limit first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    pub kind: String,
    pub hard: u64,
    pub soft: u64,
}

/// A device node.
#[derive(Clone, Debug, PartialEq)]
pub struct Device(pub Value);

/// A rule of the device cgroup.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule(pub Value);

/// A limit of one block device. `None` removes the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub major: u32,
    pub minor: u32,
    pub value: Option<u64>,
}

/// Reads a JSON object.
///
/// # Errors
/// Returns an error if the text is not a JSON object.
pub fn json(text: &str) -> Result<Value, String> {
    match strict_json::document(text.as_bytes()) {
        Ok(value) if value.is_object() => Ok(value),
        Ok(_) => Err("expected a JSON object".into()),
        Err(e) => Err(e.to_string()),
    }
}

/// Reads an rlimit of the process.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn rlimit(text: &str) -> Result<Limit, String> {
    const EXPECTED: &str = "expected TYPE:HARD:SOFT, such as RLIMIT_NOFILE:2048:1024";
    let parts: Vec<&str> = text.split(':').collect();
    let [kind, hard, soft] = parts[..] else { return Err(EXPECTED.into()) };
    let number = |n: &str| if n == "-1" { Some(u64::MAX) } else { n.parse().ok() };
    match (rlimit_type(kind), number(hard), number(soft)) {
        (Some(kind), Some(hard), Some(soft)) if soft <= hard => Ok(Limit { kind, hard, soft }),
        (Some(_), Some(_), Some(_)) => Err("the soft limit is above the hard limit".into()),
        _ => Err(EXPECTED.into()),
    }
}

/// Reads `TYPE[:PATH]`, a type of namespace and its path. Without a path, the namespace is new.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn namespace(text: &str) -> Result<(&'static str, Option<String>), String> {
    let (kind, path) = text.split_once(':').map_or((text, None), |(kind, path)| (kind, Some(path)));
    match path {
        Some(path) if !path.starts_with('/') => Err("expected an absolute path after the type".into()),
        path => Ok((namespace_type(kind)?, path.map(str::to_owned))),
    }
}

/// Reads a type of namespace.
///
/// # Errors
/// Returns the list of valid types.
pub fn namespace_type(text: &str) -> Result<&'static str, String> {
    let known = TYPES.map(|(kind, _)| kind);
    match known.iter().find(|kind| **kind == text) {
        Some(kind) => Ok(kind),
        None => Err(format!("expected one of {}", known.join(", "))),
    }
}

/// Reads a device node: `TYPE:MAJOR:MINOR:PATH`, then `fileMode=`, `uid=` and `gid=`. All numbers
/// are decimal.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn device(text: &str) -> Result<Device, String> {
    const EXPECTED: &str =
        "expected TYPE:MAJOR:MINOR:PATH[:fileMode=N][:uid=N][:gid=N], TYPE one of b, c, u, p";
    let parts: Vec<&str> = text.split(':').collect();
    let [kind @ ("b" | "c" | "u" | "p"), major, minor, path, ref more @ ..] = parts[..] else {
        return Err(EXPECTED.into());
    };
    let (Ok(major), Ok(minor)) = (major.parse::<u32>(), minor.parse::<u32>()) else {
        return Err(EXPECTED.into());
    };
    if !path.starts_with('/') {
        return Err("the path of a device must be absolute".into());
    }
    let mut device = json!({ "path": path, "type": kind, "major": major, "minor": minor });
    for field in more {
        match field.split_once('=').map(|(key, value)| (key, value.parse::<u32>())) {
            Some((key @ ("fileMode" | "uid" | "gid"), Ok(number))) => device[key] = json!(number),
            _ => return Err(EXPECTED.into()),
        }
    }
    Ok(Device(device))
}

/// Reads a rule of the device cgroup. An omitted field matches every type, number or access.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn rule(text: &str) -> Result<Rule, String> {
    const EXPECTED: &str = "expected allow|deny[,type=a|b|c][,major=N][,minor=N][,access=rwm]";
    let mut fields = text.split(',');
    let allow = match fields.next() {
        Some("allow") => true,
        Some("deny") => false,
        _ => return Err(EXPECTED.into()),
    };
    let mut rule = Map::new();
    rule.insert("allow".into(), json!(allow));
    for field in fields.map(str::trim).filter(|f| !f.is_empty()) {
        let (key, value) = field.split_once('=').ok_or(EXPECTED)?;
        let value = match key {
            "type" if matches!(value, "a" | "b" | "c") => json!(value),
            "major" | "minor" => json!(value.parse::<i64>().map_err(|_| EXPECTED)?),
            "access" if !value.is_empty() && value.chars().all(|c| "rwm".contains(c)) => json!(value),
            _ => return Err(EXPECTED.into()),
        };
        rule.insert(key.into(), value);
    }
    Ok(Rule(Value::Object(rule)))
}

/// Reads `SIZE:BYTES`, the limit for huge pages of one size.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn named_amount(text: &str) -> Result<(String, u64), String> {
    let parsed = text.rsplit_once(':').and_then(|(name, amount)| Some((name, amount.parse().ok()?)));
    match parsed {
        Some((name, amount)) if !name.is_empty() => Ok((name.to_owned(), amount)),
        _ => Err("expected SIZE:BYTES, such as 2MB:4194304".into()),
    }
}

/// Reads `INTERFACE:PRIORITY`. The priority -1 removes the entry.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn priority(text: &str) -> Result<(String, Option<u32>), String> {
    match text.rsplit_once(':').filter(|(name, _)| !name.is_empty()) {
        Some((name, "-1")) => Ok((name.to_owned(), None)),
        Some((name, n)) if n.parse::<u32>().is_ok() => Ok((name.to_owned(), n.parse().ok())),
        _ => Err("expected INTERFACE:PRIORITY, or -1 as PRIORITY to remove the entry".into()),
    }
}

/// Reads `MAJOR:MINOR:WEIGHT`. The weight -1 removes the entry.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn weight(text: &str) -> Result<Change, String> {
    let change = change(text).ok_or("expected MAJOR:MINOR:WEIGHT, or -1 as WEIGHT to remove the entry")?;
    match change.value {
        Some(weight) if !(10..=1000).contains(&weight) => Err("expected a weight from 10 to 1000".into()),
        _ => Ok(change),
    }
}

/// Reads `MAJOR:MINOR:RATE`. The rate -1 removes the entry.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn rate(text: &str) -> Result<Change, String> {
    change(text).ok_or_else(|| "expected MAJOR:MINOR:RATE, or -1 as RATE to remove the entry".into())
}

fn change(text: &str) -> Option<Change> {
    let parts: Vec<&str> = text.split(':').collect();
    let [major, minor, value] = parts[..] else { return None };
    let value = if value == "-1" { None } else { Some(value.parse().ok()?) };
    Some(Change { major: major.parse().ok()?, minor: minor.parse().ok()?, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_values_are_refused() {
        for bad in ["", "NOFILE", "NOFILE:1", "FOO:1:1", "NOFILE:1:2", "NOFILE:x:1", "NOFILE:1:1:1"] {
            assert!(rlimit(bad).is_err(), "{bad}");
        }
        for bad in ["", "net", "network:", "network:x", ":/x"] {
            assert!(namespace(bad).is_err(), "{bad}");
        }
        for bad in ["", "c:1:3", "x:1:3:/a", "c:-1:3:/a", "c:1:3:a", "c:1:3:/a:mode=5", "c:1:3:/a:uid=x"] {
            assert!(device(bad).is_err(), "{bad}");
        }
        for bad in ["", "yes", "allow,type=x", "allow,major=x", "allow,access=rwx", "allow,access=", "deny,c"]
        {
            assert!(rule(bad).is_err(), "{bad}");
        }
        for bad in ["", "8:0", "8:0:9", "8:0:1001", "8:0:-2", "-8:0:100", "8:0:100:1"] {
            assert!(weight(bad).is_err(), "{bad}");
        }
        for bad in ["", "eth0", ":5", "eth0:-2", "eth0:x"] {
            assert!(priority(bad).is_err(), "{bad}");
        }
        for bad in ["", "2MB", ":5", "2MB:-1", "2MB:1m"] {
            assert!(named_amount(bad).is_err(), "{bad}");
        }
        for bad in ["", "[]", "5", "{", r#"{"a":1,"a":2}"#] {
            assert!(json(bad).is_err(), "{bad}");
        }
    }
}
