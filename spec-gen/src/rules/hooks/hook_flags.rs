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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_added_to_their_stage_in_the_order_of_the_flags() {
        let flags = ["poststop:/b,-x,y", "prestart:/a", "poststop:/c"].map(str::to_owned);
        let mut spec = Spec::new(json!({}));
        apply(&mut spec, &flags).unwrap();
        let (first, second) = (json!({"path": "/b", "args": ["/b", "-x", "y"]}), json!({"path": "/c"}));
        assert_eq!(
            spec.value(),
            &json!({"hooks": {"prestart": [{"path": "/a"}], "poststop": [first, second]}})
        );
        for bad in ["/a", "never:/a", "prestart:a", "prestart:", "prestart"] {
            let error = apply(&mut spec, &[bad.to_owned()]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--hook {bad}: expected STAGE:PATH")), "{error}");
        }
    }
}
