//! Hooks of `--hooks-dir`: which of them apply, and where each stage goes.

mod file;
mod precreate;

use anyhow::{Context, bail};
use regex::Regex;
use serde_json::Value;

use crate::compat::Compat;
use crate::spec::Spec;

pub use file::{read, read_text};
pub use precreate::filter;

/// A hook file that was read.
pub struct Hook {
    /// The file, for messages.
    pub file: String,
    /// The runtime-spec's hook object.
    hook: Value,
    when: When,
    stages: Vec<String>,
}

#[derive(Default)]
struct When {
    always: Option<bool>,
    bind_mounts: Option<bool>,
    annotations: Vec<(Regex, Regex)>,
    commands: Vec<Regex>,
    /// The older format: one condition suffices.
    any: bool,
}

impl When {
    fn matches(&self, spec: &Spec, has_bind_mounts: bool) -> anyhow::Result<bool> {
        let mut matched = false;
        let mut conditions: Vec<bool> = Vec::new();
        conditions.extend(self.always);
        conditions.extend(self.bind_mounts.map(|wanted| wanted && has_bind_mounts));
        for (key, value) in &self.annotations {
            let mut annotations = spec.get("annotations").and_then(Value::as_object).into_iter().flatten();
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

/// What the hooks did with the spec.
#[derive(Default)]
pub struct Outcome {
    /// Programs to run on the finished spec.
    pub precreate: Vec<(String, Value)>,
    /// poststop hooks that were left to the manager.
    pub left_out: Vec<String>,
}

/// Adds the hooks that match to their stages.
///
/// # Errors
/// When a hook asks for the command and there is none.
pub fn inject(
    spec: &mut Spec,
    hooks: &[Hook],
    has_bind_mounts: bool,
    compat: Compat,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut matched = Vec::new();
    for hook in hooks {
        if hook.when.matches(spec, has_bind_mounts).with_context(|| hook.file.clone())? {
            matched.push(hook);
        }
    }
    let mut wanted: Vec<(&str, Vec<Value>)> = Vec::new();
    for hook in matched {
        spec.object("hooks");
        for stage in &hook.stages {
            let stage = match stage.as_str() {
                "precreate" => {
                    outcome.precreate.push((hook.file.clone(), hook.hook.clone()));
                    continue;
                }
                // podman runs them itself when it cleans up; a bare runtime is on its own.
                "poststop" if compat != Compat::None => {
                    outcome.left_out.push(hook.file.clone());
                    continue;
                }
                // The runtime-spec deprecates prestart; podman 5 puts it where runtimes run it anyway.
                "prestart" if compat != Compat::Podman43 => "createRuntime",
                stage => stage,
            };
            match wanted.iter_mut().find(|(there, _)| *there == stage) {
                Some((_, hooks)) => hooks.push(hook.hook.clone()),
                None => wanted.push((stage, vec![hook.hook.clone()])),
            }
        }
    }
    for (stage, hooks) in wanted {
        add(spec, stage, hooks);
    }
    Ok(outcome)
}

/// Adds hooks to a stage. One that the stage has already stands for one of them: a spec that was generated before does not
/// run its hooks twice.
pub fn add(spec: &mut Spec, stage: &str, hooks: Vec<Value>) {
    let list = spec.list_mut(&format!("hooks.{stage}"));
    let mut there = list.clone();
    for hook in hooks {
        match there.iter().position(|h| *h == hook) {
            Some(at) => {
                there.remove(at);
            }
            None => list.push(hook),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> Spec {
        Spec::new(json!({"process": {"args": ["/bin/sh"]}, "annotations": {"com.x": "yes"}}))
    }

    fn matches(hook: Value, binds: bool) -> bool {
        file::parse(hook, "h".into()).unwrap().when.matches(&spec(), binds).unwrap()
    }

    #[test]
    fn conditions_of_the_current_format_must_all_hold() {
        #[rustfmt::skip]
        let cases = [
            (json!({"always": true}), false, true),
            (json!({"always": false, "commands": ["sh$"]}), false, false),
            (json!({"hasBindMounts": true}), true, true),
            (json!({"hasBindMounts": true}), false, false),
            (json!({"hasBindMounts": false}), false, false),
            (json!({"annotations": {"^com\\.x$": "^y"}}), false, true),
            (json!({"annotations": {"^com\\.x$": "^n"}, "always": true}), false, false),
            (json!({"commands": [".*/nosuch$"], "always": true}), false, false),
            (json!({"commands": ["nosuch", "bin"]}), false, true),
        ];
        for (when, binds, expected) in cases {
            let hook = json!({"version": "1.0.0", "hook": {"path": "/bin/true"}, "when": when, "stages": ["prestart"]});
            assert_eq!(matches(hook, binds), expected, "{when}");
        }
    }

    #[test]
    fn one_condition_of_the_older_format_suffices() {
        #[rustfmt::skip]
        let cases = [
            (json!({"hook": "/bin/true", "stage": "prestart", "cmd": "nosuch", "hasbindmounts": true}), true, true),
            (json!({"hook": "/bin/true", "stages": ["prestart"], "cmds": ["sh$"], "annotations": ["no"]}), false, true),
            (json!({"hook": "/bin/true", "stages": ["prestart"], "annotations": ["no", "^yes$"]}), false, true),
            (json!({"hook": "/bin/true", "stages": ["prestart"], "annotations": ["no"]}), false, false),
        ];
        for (hook, binds, expected) in cases {
            assert_eq!(matches(hook.clone(), binds), expected, "{hook}");
        }
    }
}
