//! Writes the result of a run: the spec, the diff or the explanation, and the list of actions.

mod diff;
pub mod file_conflicts;

use std::io::Write;

use cli::Output;
use serde::Serialize;
use serde_json::Value;

use crate::args::WhatArgs;
use crate::job::Job;
use crate::runtime_spec::Spec;

pub fn write(job: &Job<'_>, before: &Spec) -> anyhow::Result<()> {
    let what = &job.args.what;
    let text = if what.explain {
        job.trace.lines().iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    } else if what.diff {
        diff::unified(&pretty(before.value())?, &pretty(job.spec.value())?, &job.name)
    } else {
        render(job.spec.value(), what)?
    };
    // Opens the outputs before any action and writes them last: an output that cannot be opened is
    // reported before the host changes, and a complete output means that all actions succeeded.
    let mut output = job.args.output.text()?;
    if let Some(file) = &what.actions {
        let mut list = Output::text(Some(file))?;
        for action in &job.actions {
            writeln!(list, "{}", action.to_value())?;
        }
        list.commit()?;
    }
    if what.apply {
        for action in &job.actions {
            job.session.detail(format_args!("{action}"));
            action.apply()?;
        }
    } else if what.actions.is_none() {
        for action in &job.actions {
            job.session.warn(format_args!("not done without --apply: {action}"));
        }
    }
    output.write_all(text.as_bytes())?;
    output.commit()
}

fn render(spec: &Value, what: &WhatArgs) -> anyhow::Result<String> {
    if what.compact { Ok(format!("{spec}\n")) } else { pretty(spec) }
}

/// Formats JSON with tabs, as `runc spec` does.
fn pretty(value: &Value) -> anyhow::Result<String> {
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, format))?;
    text.push(b'\n');
    Ok(String::from_utf8(text)?)
}
