//! The hooks in a spec.

use serde_json::Value;

use crate::runtime_spec::Spec;

/// The stages of hooks, in the order of the runtime-spec.
pub const STAGES: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Adds hooks to a stage. Skips hooks that the stage already has, so that a spec that is generated
/// twice does not run its hooks twice.
pub fn add(spec: &mut Spec, stage: &str, hooks: Vec<Value>) {
    let list = spec.hooks_mut(stage);
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
