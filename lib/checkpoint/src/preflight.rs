//! Whether this host can checkpoint or restore: CRIU, the runtime, and what neither of them tells.

use std::io;

use crate::host::{MIN_CRIU, MIN_CRIU_POD, criu_number, output};
use crate::preflight_net::{Facts, Finding, Severity, Version};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The program CRIU.
    pub criu: &'a str,
    /// The runtime that will checkpoint or restore.
    pub runtime: &'a str,
    /// The container shares namespaces with a pod.
    pub pod: bool,
    /// The container's first process, if there is one to look at.
    pub pid: Option<u32>,
}

/// The answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// What is there, one line each.
    pub good: Vec<String>,
    /// What stands in the way.
    pub findings: Vec<Finding>,
}

impl Answer {
    fn fails(&mut self, text: String, hint: impl Into<String>) {
        self.findings.push(Finding { severity: Severity::Fails, text, hint: hint.into() });
    }

    fn needs(&mut self, text: String, hint: impl Into<String>) {
        self.findings.push(Finding { severity: Severity::Needs, text, hint: hint.into() });
    }
}

/// Asks the programs and the kernel.
///
/// # Errors
/// When the container's process cannot be looked at.
pub fn ask(question: &Question<'_>) -> io::Result<Answer> {
    let mut answer = Answer::default();
    let criu = criu(question, &mut answer);
    runtime(question, &mut answer);
    let mut facts = Facts::of_host(criu)?;
    if let Some(pid) = question.pid {
        facts.add_process(pid)?;
    }
    answer.findings.extend(facts.findings());
    Ok(answer)
}

fn criu(question: &Question<'_>, answer: &mut Answer) -> Option<Version> {
    let name = question.criu;
    let text = match output(name, &["--version"]) {
        Ok(text) => text,
        Err(e) => {
            answer.fails(format!("{name}: {e}"), "install criu, or name it with --criu");
            return None;
        }
    };
    let Some(number) = criu_number(&text) else {
        answer.fails(format!("{name}: says no version"), "name another with --criu");
        return None;
    };
    let shown = shown(number);
    let (least, what) =
        if question.pod { (MIN_CRIU_POD, "a pod's container") } else { (MIN_CRIU, "a container") };
    if number < least {
        answer.fails(
            format!("{name} {shown}: {what} needs {} or newer", self::shown(least)),
            "install a newer criu",
        );
    } else {
        answer.good.push(format!("{name} {shown}"));
    }
    match output(name, &["check"]) {
        Ok(_) => answer.good.push(format!("{name} check: the kernel has what it needs")),
        Err(e) => {
            answer.fails(format!("{name} check: {}", first_line(&e)), format!("{name} check -v4 tells more"))
        }
    }
    if output(name, &["check", "--feature", "mem_dirty_track"]).is_err() {
        let text = "the kernel does not track memory: no --pre-checkpoint, no --with-previous";
        answer.needs(text.into(), "checkpoint in one step");
    }
    Some(Version { major: number / 10_000, minor: number / 100 % 100 })
}

/// podman's questions (libpod `oci_conmon_linux.go`: SupportsCheckpoint, `crutils.CRRuntimeSupportsPodCheckpointRestore`).
fn runtime(question: &Question<'_>, answer: &mut Answer) {
    let name = question.runtime;
    match output(name, &["checkpoint", "--help"]) {
        Ok(_) => answer.good.push(format!("{name}: can checkpoint")),
        Err(e) => answer
            .fails(format!("{name}: cannot checkpoint: {}", first_line(&e)), "name another with --runtime"),
    }
    if !question.pod {
        return;
    }
    // The flag without its value: a runtime that knows it asks for the value.
    let said = output(name, &["restore", "--lsm-mount-context"]).err().unwrap_or_default();
    if said.contains("flag needs an argument") || said.contains("requires an argument") {
        answer.good.push(format!("{name}: can restore into a pod"));
    } else {
        answer.fails(
            format!("{name}: cannot restore into a pod"),
            "a runtime with restore --lsm-mount-context is needed",
        );
    }
}

fn shown(number: u32) -> String {
    format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100)
}

fn first_line(text: &str) -> &str {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("it fails").trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_a_way_out() {
        let question = Question { criu: "no-such-criu", runtime: "false", pod: true, pid: None };
        let answer = ask(&question).unwrap();
        let texts: Vec<_> = answer.findings.iter().map(|f| f.text.as_str()).collect();
        assert!(texts.contains(&"no-such-criu: not found"), "{texts:?}");
        assert!(texts.iter().any(|t| t.starts_with("false: cannot checkpoint")), "{texts:?}");
        assert!(texts.contains(&"false: cannot restore into a pod"), "{texts:?}");
        assert!(answer.findings.iter().all(|f| !f.hint.is_empty()));
    }
}
