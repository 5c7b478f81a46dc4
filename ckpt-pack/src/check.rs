//! `--check`: can this host checkpoint a container?

use checkpoint::preflight::{Question, ask};
use checkpoint::preflight_net::Severity;
use cli::{Exit, Session};

use crate::args::Check;

pub fn run(check: &Check, runtime: Option<&str>, session: &Session) -> anyhow::Result<Exit> {
    let runtime = runtime.unwrap_or("runc");
    let answer = ask(&Question { criu: &check.criu, runtime, pod: check.pod, pid: check.pid })?;
    for line in &answer.good {
        session.note(line);
    }
    let mut exit = Exit::Done;
    for finding in &answer.findings {
        match finding.severity {
            Severity::Fails => {
                session.error(&finding.text);
                exit = Exit::Failed;
            }
            Severity::Needs => session.warn(&finding.text),
        }
        session.hint(&finding.hint);
    }
    Ok(exit)
}
