//! Reads hook files in the format of podman's oci-hooks(5): version 1.0.0, and the older format
//! without a version.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, bail};
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::json_fields::{describe, typed};
use crate::rules::hooks::hook::{Hook, When};

const STAGES: [&str; 7] =
    ["precreate", "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Current {
    #[serde(rename = "version")]
    _version: String,
    hook: Program,
    when: CurrentWhen,
    stages: Vec<String>,
}

#[derive(Deserialize)]
struct Program {
    path: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<String>,
    timeout: Option<i32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CurrentWhen {
    always: Option<bool>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    commands: Vec<String>,
    #[serde(rename = "hasBindMounts")]
    has_bind_mounts: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Old {
    #[serde(rename = "version")]
    _version: Option<String>,
    hook: String,
    #[serde(default)]
    arguments: Vec<String>,
    #[serde(default, alias = "stage")]
    stages: Vec<String>,
    #[serde(default, alias = "cmd")]
    cmds: Vec<String>,
    #[serde(default, alias = "annotation")]
    annotations: Vec<String>,
    hasbindmounts: Option<bool>,
}

/// Reads the hooks of the directories. A file in a later directory replaces one of the same name.
/// Omits a hook whose program does not exist, with a warning; podman omits it silently.
///
/// # Errors
/// Returns an error that names the file and the fault.
pub fn read(dirs: &[PathBuf]) -> anyhow::Result<(Vec<Hook>, Vec<String>)> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for dir in dirs {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e).with_context(|| cli::display_path(dir)),
        };
        for entry in entries {
            let path = entry.with_context(|| cli::display_path(dir))?.path();
            if path.extension().is_some_and(|e| e == "json") {
                files.insert(cli::display_path(path.file_name().unwrap_or_default()), path);
            }
        }
    }
    let mut named: Vec<(String, PathBuf)> = files.into_iter().collect();
    named.sort_by_key(|(name, _)| name.to_lowercase());
    let (mut hooks, mut missing) = (Vec::new(), Vec::new());
    for (_, path) in named {
        let shown = cli::display_path(&path);
        let hook = read_file(&path).with_context(|| shown.clone())?;
        let program = hook.hook["path"].as_str().unwrap_or_default();
        if Path::new(program).exists() {
            hooks.push(hook);
        } else {
            missing.push(format!("{shown}: {program}: no such file; the hook is left out"));
        }
    }
    Ok((hooks, missing))
}

fn read_file(path: &Path) -> anyhow::Result<Hook> {
    let text = cli::read_document(fs::File::open(path)?, &cli::display_path(path), 1 << 20)?;
    read_text(&text, cli::display_path(path))
}

/// Reads one hook. `file` is its name in messages.
///
/// # Errors
/// Returns an error that describes the fault.
pub fn read_text(text: &[u8], file: String) -> anyhow::Result<Hook> {
    parse(strict_json::document(text)?, file)
}

pub(super) fn parse(value: Value, file: String) -> anyhow::Result<Hook> {
    let version = match value.get("version") {
        None => "0.1.0".to_owned(),
        Some(Value::String(version)) => version.clone(),
        Some(other) => bail!("version: expected a string, found {}", describe(other)),
    };
    let (program, when, stages) = match version.as_str() {
        "1.0.0" => {
            let c: Current = typed(&value)?;
            let when = When {
                always: c.when.always,
                bind_mounts: c.when.has_bind_mounts,
                annotations: pairs(c.when.annotations.iter().map(|(k, v)| (k.as_str(), v.as_str())))?,
                commands: regexes(&c.when.commands, "when.commands")?,
                any: false,
            };
            (c.hook, when, c.stages)
        }
        "0.1.0" => old(value)?,
        other => bail!("version {other:?} is not one of 1.0.0, 0.1.0"),
    };
    if program.path.is_empty() {
        bail!("hook.path: missing");
    }
    if !program.path.starts_with('/') {
        bail!("hook.path: {}: expected an absolute path", program.path);
    }
    if stages.is_empty() {
        bail!("stages: missing");
    }
    if let Some(unknown) = stages.iter().find(|s| !STAGES.contains(&s.as_str())) {
        bail!("stages: {unknown:?} is not one of {}", STAGES.join(", "));
    }
    if when.always.is_none()
        && when.bind_mounts.is_none()
        && when.annotations.is_empty()
        && when.commands.is_empty()
    {
        bail!("when: no condition");
    }
    Ok(Hook { file, hook: program.into_value(), when, stages })
}

fn old(value: Value) -> anyhow::Result<(Program, When, Vec<String>)> {
    // In the older format, a key may hold a string or a list of strings.
    let mut value = value;
    for key in ["stage", "stages", "cmd", "cmds", "annotation", "annotations", "arguments"] {
        if let Some(one @ Value::String(_)) = value.get(key) {
            value[key] = json!([one]);
        }
    }
    let o: Old = typed(&value)?;
    let any_value = o.annotations.iter().map(|v| (".*", v.as_str()));
    let when = When {
        always: None,
        bind_mounts: o.hasbindmounts,
        annotations: pairs(any_value)?,
        commands: regexes(&o.cmds, "cmds")?,
        any: true,
    };
    let mut args = o.arguments;
    if !args.is_empty() {
        args.insert(0, o.hook.clone());
    }
    Ok((Program { path: o.hook, args, env: Vec::new(), timeout: None }, when, o.stages))
}

impl Program {
    fn into_value(self) -> Value {
        let mut hook = Map::new();
        hook.insert("path".into(), json!(self.path));
        if !self.args.is_empty() {
            hook.insert("args".into(), json!(self.args));
        }
        if !self.env.is_empty() {
            hook.insert("env".into(), json!(self.env));
        }
        if let Some(timeout) = self.timeout {
            hook.insert("timeout".into(), json!(timeout));
        }
        Value::Object(hook)
    }
}

fn regexes(patterns: &[String], key: &str) -> anyhow::Result<Vec<Regex>> {
    patterns
        .iter()
        .map(|p| Regex::new(p).with_context(|| format!("{key}: {p:?}: not a regular expression")))
        .collect()
}

fn pairs<'a>(patterns: impl Iterator<Item = (&'a str, &'a str)>) -> anyhow::Result<Vec<(Regex, Regex)>> {
    let regex =
        |p: &str| Regex::new(p).with_context(|| format!("annotations: {p:?}: not a regular expression"));
    patterns.map(|(key, value)| Ok((regex(key)?, regex(value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_hook_file_is_reported_with_its_error() {
        #[rustfmt::skip]
        let cases = [
            (json!({"version": "2.0.0"}), "version \"2.0.0\" is not one of"),
            (json!({"version": 1}), "version: expected a string"),
            (json!({"version": "1.0.0", "hook": {"path": "/x"}, "when": {"always": true}, "stages": []}), "stages: missing"),
            (json!({"version": "1.0.0", "hook": {"path": "/x"}, "when": {"always": true}, "stages": ["now"]}), "\"now\" is not one of"),
            (json!({"version": "1.0.0", "hook": {"path": "x"}, "when": {"always": true}, "stages": ["prestart"]}), "expected an absolute path"),
            (json!({"version": "1.0.0", "hook": {}, "when": {"always": true}, "stages": ["prestart"]}), "hook: missing field `path`"),
            (json!({"version": "1.0.0", "hook": {"path": "/x"}, "when": {"commands": ["("]}, "stages": ["prestart"]}), "\"(\": not a regular expression"),
            (json!({"version": "1.0.0", "hook": {"path": "/x"}, "when": {}, "stages": ["prestart"]}), "no condition"),
            (json!({"version": "1.0.0", "hook": {"path": "/x"}, "when": {"allways": true}, "stages": ["prestart"]}), "when.allways: unknown field `allways`"),
        ];
        for (hook, message) in cases {
            let error = parse(hook, "h".into()).err().map(|e| format!("{e:#}")).unwrap_or_default();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn a_missing_directory_of_hooks_is_not_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let hook = |program: &str| {
            json!({"version": "1.0.0", "hook": {"path": program}, "when": {"always": true}, "stages": ["prestart"]}).to_string()
        };
        fs::write(dir.path().join("a.json"), hook("/")).unwrap();
        fs::write(dir.path().join("b.json"), hook("/no/such/program")).unwrap();
        fs::write(dir.path().join("c.txt"), "text").unwrap();
        let (hooks, missing) = read(&[dir.path().join("missing"), dir.path().to_path_buf()]).unwrap();
        assert_eq!((hooks.len(), missing.len()), (1, 1));
        assert!(missing[0].contains("b.json: /no/such/program: no such file"), "{missing:?}");
        let error = format!("{:#}", read(&[dir.path().join("c.txt")]).err().unwrap());
        assert!(error.contains("c.txt: Not a directory"), "{error}");
    }
}
