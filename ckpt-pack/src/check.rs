//! `--check`: checks whether this host can checkpoint a container.

use checkpoint::preflight::{Purpose, Question, ask};
use cli::{Exit, Finding, Session};

use crate::args::Check;

pub fn run(check: &Check, runtime: Option<&str>, session: &Session) -> anyhow::Result<Exit> {
    let runtime = runtime.unwrap_or("runc");
    let purpose = Purpose::Checkpoint;
    let criu = check.criu.as_deref().unwrap_or("criu");
    let answer = ask(&Question { purpose, criu, runtime, pod: check.pod, pid: check.existing_pid()? })?;
    let findings = answer.findings.iter();
    Ok(session.findings(
        &answer.passed,
        findings.map(|f| Finding { fails: f.fails(), text: &f.text, hint: &f.hint }),
    ))
}
