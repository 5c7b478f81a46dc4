//! A hook of a file, and the conditions under which it applies.

use anyhow::bail;
use regex::Regex;
use serde_json::Value;

use crate::runtime_spec::Spec;
use crate::runtime_spec::key;

/// A hook from a hook file.
pub struct Hook {
    /// The file, for messages.
    pub file: String,
    /// The hook in the format of the runtime-spec.
    pub(super) hook: Value,
    pub(super) when: When,
    pub(super) stages: Vec<String>,
}

#[derive(Default)]
pub struct When {
    pub(super) always: Option<bool>,
    pub(super) bind_mounts: Option<bool>,
    pub(super) annotations: Vec<(Regex, Regex)>,
    pub(super) commands: Vec<Regex>,
    /// Whether one condition suffices, as in the older format.
    pub(super) any: bool,
}

impl When {
    pub fn matches(&self, spec: &Spec, has_bind_mounts: bool) -> anyhow::Result<bool> {
        let mut matched = false;
        let mut conditions: Vec<bool> = Vec::new();
        conditions.extend(self.always);
        conditions.extend(self.bind_mounts.map(|wanted| wanted && has_bind_mounts));
        for (key, value) in &self.annotations {
            let mut annotations = spec.get(key::ANNOTATIONS).and_then(Value::as_object).into_iter().flatten();
            let hit =
                |(k, v): (&String, &Value)| key.is_match(k) && v.as_str().is_some_and(|v| value.is_match(v));
            conditions.push(annotations.any(hit));
        }
        for condition in conditions {
            match (condition, self.any) {
                (true, true) => return Ok(true),
                (true, false) => matched = true,
                (false, false) => return Ok(false),
                (false, true) => {}
            }
        }
        if self.commands.is_empty() {
            return Ok(matched);
        }
        let args = spec.args();
        let Some(command) = args.first() else {
            bail!("process.args: empty, and the hook asks for the command");
        };
        Ok(self.commands.iter().any(|c| c.is_match(command)))
    }
}
