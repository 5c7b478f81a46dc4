//! Masked and read-only paths of /proc and /sys: `--mask`, `--unmask`.

use serde_json::{Value, json};

use crate::notation::compat::Compat;
use crate::runtime_spec::Spec;
use crate::runtime_spec::key::{self, Key};

const MASKED: Key = key::LINUX_MASKED_PATHS;
const READONLY: Key = key::LINUX_READONLY_PATHS;

/// Masks more paths. Each value may hold several, separated by `:`. Returns the paths that are not
/// absolute, which podman ignores.
pub fn mask<'a>(spec: &mut Spec, values: &'a [String]) -> Vec<&'a str> {
    let paths = values.iter().flat_map(|v| v.split(':')).filter(|p| !p.is_empty());
    let (absolute, ignored): (Vec<&str>, Vec<&str>) = paths.partition(|path| path.starts_with('/'));
    for path in absolute {
        let list = spec.list_mut(MASKED);
        if !list.iter().any(|p| p == path) {
            list.push(json!(path));
        }
    }
    ignored
}

/// Unmasks paths: `ALL`, or patterns in which `*` matches any characters except slashes.
pub fn unmask(spec: &mut Spec, values: &[String]) {
    for pattern in values.iter().flat_map(|v| v.split(':')).filter(|p| !p.is_empty()) {
        for path in [MASKED, READONLY] {
            if pattern.eq_ignore_ascii_case("all") {
                spec.remove(path);
            } else if !spec.list(path).is_empty() {
                spec.list_mut(path).retain(|p| !p.as_str().is_some_and(|p| glob(pattern, p)));
                if spec.list(path).is_empty() {
                    spec.remove(path);
                }
            }
        }
    }
}

/// Masks the paths that podman masks in every container with masked paths: the energy counters,
/// which reveal what other processes compute (CVE-2020-8694). podman 5 lists the path twice. This
/// function lists it once.
pub fn of_libpod(spec: &mut Spec, privileged: bool, compat: Compat) {
    if spec.list(MASKED).is_empty() {
        return;
    }
    if !privileged && compat != Compat::Podman43 {
        spec.list_mut(MASKED).push(json!("/sys/devices/virtual/powercap"));
    }
    let mut once: Vec<Value> = Vec::new();
    for path in spec.list(MASKED) {
        if !once.contains(path) {
            once.push(path.clone());
        }
    }
    spec.set(MASKED, once);
}

/// Matches shell patterns with `*` and `?`, which do not match a slash.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // The position to return to when the last star must match one more character.
    let (mut p, mut t, mut back) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p, t));
                p += 1;
            }
            Some(c) if *c == text[t] || *c == '?' && text[t] != '/' => {
                p += 1;
                t += 1;
            }
            _ => match back {
                Some((star, taken)) if text[taken] != '/' => {
                    back = Some((star, taken + 1));
                    p = star + 1;
                    t = taken + 1;
                }
                _ => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_do_not_match_slashes() {
        #[rustfmt::skip]
        let cases = [
            ("/proc/*", "/proc/acpi", true), ("/proc/*", "/proc/a/b", false), ("/proc/k?ore", "/proc/kcore", true),
            ("/proc", "/proc/acpi", false), ("*", "", true), ("/a*c*e", "/abcde", true), ("/a*c*e", "/abcdf", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn paths_are_masked_once_and_can_be_unmasked() {
        let mut spec =
            Spec::new(json!({"linux": {"maskedPaths": ["/proc/a"], "readonlyPaths": ["/proc/b"]}}));
        assert_eq!(mask(&mut spec, &["/proc/a:/x:ALL".into()]), ["ALL"]);
        assert_eq!(spec.texts(MASKED), ["/proc/a", "/x"]);
        unmask(&mut spec, &["/proc/*".into()]);
        assert_eq!((spec.texts(MASKED), spec.texts(READONLY)), (vec!["/x".to_owned()], vec![]));
        unmask(&mut spec, &["all".into()]);
        assert_eq!(spec.get(MASKED), None);
    }
}
