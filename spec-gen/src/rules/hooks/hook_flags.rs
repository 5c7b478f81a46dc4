//! `--hook STAGE:PATH[,ARG...]`.

use cli::usage;
use serde_json::{Value, json};

use crate::runtime_spec::Spec;
use crate::runtime_spec::hooks::{self, STAGES};

/// Applies `--hook STAGE:PATH[,ARG...]`.
///
/// # Errors
/// Returns an error if the stage is unknown or the path is not absolute.
pub fn apply(spec: &mut Spec, flags: &[String]) -> anyhow::Result<()> {
    let mut wanted: Vec<(&str, Value)> = Vec::new();
    for flag in flags {
        let parsed =
            flag.split_once(':').filter(|(stage, path)| STAGES.contains(stage) && path.starts_with('/'));
        let Some((stage, command)) = parsed else {
            return Err(usage(format!(
                "--hook {flag}: expected STAGE:PATH[,ARG...], STAGE one of {}",
                STAGES.join(", ")
            )));
        };
        let words: Vec<&str> = command.split(',').collect();
        let mut hook = json!({ "path": words[0] });
        if words.len() > 1 {
            hook["args"] = json!(words);
        }
        wanted.push((stage, hook));
    }
    for stage in STAGES {
        let of_stage: Vec<Value> =
            wanted.iter().filter(|(s, _)| *s == stage).map(|(_, hook)| hook.clone()).collect();
        if !of_stage.is_empty() {
            hooks::add(spec, stage, of_stage);
        }
    }
    Ok(())
}
