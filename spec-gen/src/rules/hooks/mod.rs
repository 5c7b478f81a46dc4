//! The hooks of `--hooks-dir`: which of them apply, and at which stage.

mod hook;
mod hook_file;
mod hook_flags;
mod precreate;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::job::Job;
use crate::notation::compat::Compat;
use crate::rules::hooks::hook::Hook;
use crate::runtime_spec::key;
use crate::runtime_spec::{Spec, hooks};

pub use hook_file::{read, read_text};
pub use precreate::filter;

/// Hooks that were not added to the spec.
#[derive(Default)]
pub struct Outcome {
    /// Programs that run on the complete spec.
    pub precreate: Vec<(String, Value)>,
    /// poststop hooks that the engine must run.
    pub left_out: Vec<String>,
}

/// Adds the hooks that match to their stages.
///
/// # Errors
/// Returns an error if a hook depends on the command and there is none.
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
        spec.object(key::HOOKS);
        for stage in &hook.stages {
            let stage = match stage.as_str() {
                "precreate" => {
                    outcome.precreate.push((hook.file.clone(), hook.hook.clone()));
                    continue;
                }
                // podman runs these hooks itself when it cleans up; without podman the runtime must
                // run them.
                "poststop" if compat != Compat::None => {
                    outcome.left_out.push(hook.file.clone());
                    continue;
                }
                // The runtime-spec deprecates prestart. podman 5 uses the stage at which runtimes
                // run these hooks.
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
        hooks::add(spec, stage, hooks);
    }
    Ok(outcome)
}

/// Adds the hooks of flags and of hook files.
pub(crate) fn apply(job: &mut Job<'_>) -> anyhow::Result<()> {
    let args = &job.args.hooks;
    hook_flags::apply(&mut job.spec, &args.hook)?;
    job.trace.because(&job.spec, || "--hook".into());
    if args.hooks_dir.is_empty() {
        return Ok(());
    }
    let (found, missing) = read(&args.hooks_dir)?;
    for text in missing {
        job.session.warn(text);
    }
    let outcome = inject(&mut job.spec, &found, !job.container.user_volumes.is_empty(), args.compat)?;
    for file in outcome.left_out {
        job.session.note(format_args!("{file}: poststop hook left to the container engine"));
    }
    job.precreate = outcome.precreate;
    job.trace.because(&job.spec, || "--hooks-dir".into());
    Ok(())
}

/// Passes the complete spec through the precreate hooks.
pub(crate) fn run_precreate(job: &mut Job<'_>) -> anyhow::Result<()> {
    for (file, hook) in std::mem::take(&mut job.precreate) {
        if job.args.hooks.no_precreate {
            job.session.note(format_args!("{file}: precreate hook not run"));
            continue;
        }
        let value = filter(&job.spec, &hook)?;
        job.spec = Spec::new(value);
        job.trace.because(&job.spec, || format!("precreate hook of {file}"));
    }
    if job.spec.get(key::OCI_VERSION).is_none() && job.container.is_libpod {
        bail!("{}: spec.ociVersion: missing, expected a string", job.name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> Spec {
        Spec::new(json!({"process": {"args": ["/bin/sh"]}, "annotations": {"com.x": "yes"}}))
    }

    fn matches(hook: Value, binds: bool) -> bool {
        hook_file::parse(hook, "h".into()).unwrap().when.matches(&spec(), binds).unwrap()
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
