//! Checks whether the host can checkpoint or restore: CRIU, the runtime, and problems that neither
//! CRIU nor the runtime detects.

use std::io;

use super::criu_version::{MIN_CRIU, MIN_CRIU_POD, Version, criu_number};
use super::finding::{Finding, Severity};
use super::network::{Facts, unprivileged};
use super::program::output;

/// The operation to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Dump a container.
    Checkpoint,
    /// Restore a container.
    Restore,
}

/// The parameters of a check.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The operation.
    pub purpose: Purpose,
    /// The program of CRIU.
    pub criu: &'a str,
    /// The program of the runtime.
    pub runtime: &'a str,
    /// Whether the container shares namespaces with a pod.
    pub pod: bool,
    /// The first process of the container, if the container is running.
    pub pid: Option<u32>,
}

/// The result of a check.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The passed checks, one line each.
    pub passed: Vec<String>,
    /// The problems.
    pub findings: Vec<Finding>,
    /// The version of CRIU as podman's number, such as 40101 for 4.1.1.
    pub criu: Option<u32>,
}

impl Answer {
    fn fails(&mut self, text: String, hint: impl Into<String>) {
        self.findings.push(Finding { severity: Severity::Fails, text, hint: hint.into() });
    }

    fn needs(&mut self, text: String, hint: impl Into<String>) {
        self.findings.push(Finding { severity: Severity::Needs, text, hint: hint.into() });
    }
}

/// Checks the programs and the kernel. For an unprivileged user, reports only the missing
/// capabilities.
///
/// # Errors
/// Returns an error if /proc, the container's process or CRIU's configuration cannot be read.
pub fn ask(question: &Question<'_>) -> io::Result<Answer> {
    match unprivileged()? {
        Some(finding) => Ok(Answer { findings: vec![finding], ..Answer::default() }),
        None => ask_as_root(question),
    }
}

fn ask_as_root(question: &Question<'_>) -> io::Result<Answer> {
    let mut answer = Answer::default();
    let criu = criu(question, &mut answer);
    runtime(question, &mut answer);
    let mut facts = Facts::of_host(criu)?;
    // A restore sets SO_PASSCRED only if the dump found it set.
    facts.refuses_passcred &= question.purpose == Purpose::Checkpoint;
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
        answer.fails(format!("{name}: prints no version"), "name another program with --criu");
        return None;
    };
    answer.criu = Some(number);
    let shown = shown(number);
    let (least, what) =
        if question.pod { (MIN_CRIU_POD, "a pod's container") } else { (MIN_CRIU, "a container") };
    if number < least {
        answer.fails(
            format!("{name} {shown}: {what} needs {} or newer", self::shown(least)),
            "install a newer criu",
        );
    } else {
        answer.passed.push(format!("{name} {shown}"));
    }
    match output(name, &["check"]) {
        Ok(_) => answer.passed.push(format!("{name} check: the kernel has the features that CRIU requires")),
        Err(e) => answer
            .fails(format!("{name} check: {}", first_line(&e)), format!("run {name} check -v4 for details")),
    }
    features(question, answer);
    Some(Version { major: number / 10_000, minor: number / 100 % 100 })
}

/// A feature of the kernel and CRIU that only some containers need, so `criu check` does not check
/// it by default.
struct Feature {
    /// The name in CRIU (criu/cr-check.c: `feature_list`).
    name: &'static str,
    /// Whether a restore needs the feature too.
    restore: bool,
    /// The resources that can be dumped only with this feature.
    what: &'static str,
    /// The remedy if the feature is missing.
    hint: &'static str,
}

const fn feature(name: &'static str, restore: bool, what: &'static str, hint: &'static str) -> Feature {
    Feature { name, restore, what, hint }
}

const FEATURES: [Feature; 11] = [
    feature("mem_dirty_track", false, "--pre-checkpoint and --with-previous", "checkpoint in one step"),
    feature("seccomp_filters", false, "seccomp filters", "run the container without a seccomp profile"),
    feature(
        "fdinfo_lock",
        false,
        "file locks (--file-locks)",
        "use a newer kernel, or run a container that holds no file locks",
    ),
    feature("tcp_half_closed", false, "TCP connections that one side has closed", "use a newer kernel"),
    feature("sk_unix_file", false, "UNIX sockets in files on an overlay", "use a newer kernel"),
    feature(
        "get_rseq_conf",
        false,
        "restartable sequences, which glibc 2.35 registers",
        "use kernel 5.13 or newer",
    ),
    feature("cgroupns", true, "cgroup namespaces", "run the container in the cgroup namespace of the host"),
    feature("userns", true, "user namespaces", "run the container without --uidmap and --userns"),
    feature("timens", true, "time namespaces", "run the container without a time namespace"),
    feature("external_net_ns", true, "network namespaces that are kept at a path", "install a newer criu"),
    feature("aio_remap", true, "asynchronous I/O (io_setup)", "use kernel 3.19 or newer"),
];

fn features(question: &Question<'_>, answer: &mut Answer) {
    let mut there = Vec::new();
    for feature in &FEATURES {
        if question.purpose == Purpose::Restore && !feature.restore {
            continue;
        }
        match output(question.criu, &["check", "--feature", feature.name]) {
            Ok(_) => there.push(feature.what),
            // An older CRIU may have the feature without a name for it.
            Err(e) if e.contains("Unknown feature") => {}
            Err(_) => {
                let verb = if question.purpose == Purpose::Restore { "restored" } else { "dumped" };
                let text = match feature.name {
                    "mem_dirty_track" => format!(
                        "the kernel does not track memory changes: no {}",
                        feature.what.replace("and", "and no")
                    ),
                    _ => format!("{} cannot be {verb}", feature.what),
                };
                answer.needs(text, feature.hint);
            }
        }
    }
    if !there.is_empty() {
        answer.passed.push(format!("{}: {}", question.criu, there.join(", ")));
    }
}

/// Checks the runtime as podman does (libpod `oci_conmon_linux.go`: SupportsCheckpoint,
/// `crutils.CRRuntimeSupportsPodCheckpointRestore`).
fn runtime(question: &Question<'_>, answer: &mut Answer) {
    let name = question.runtime;
    let verb = if question.purpose == Purpose::Restore { "restore" } else { "checkpoint" };
    match output(name, &[verb, "--help"]) {
        Ok(_) => answer.passed.push(format!("{name}: can {verb}")),
        Err(e) => {
            let hint = match e.as_str() {
                "not found" => "install it, or name another runtime with --runtime",
                // A crun that is built without CRIU has no such command.
                _ => "install a runtime that is built with CRIU, or name another with --runtime",
            };
            answer.fails(format!("{name}: cannot {verb}: {}", first_line(&e)), hint);
        }
    }
    if !question.pod {
        return;
    }
    // The flag is passed without its value: a runtime that supports the flag reports the missing
    // value.
    let said = output(name, &["restore", "--lsm-mount-context"]).err().unwrap_or_default();
    if said.contains("flag needs an argument") || said.contains("requires an argument") {
        answer.passed.push(format!("{name}: can restore into a pod"));
    } else {
        answer.fails(
            format!("{name}: cannot restore into a pod"),
            "use a runtime that supports restore --lsm-mount-context",
        );
    }
}

fn shown(number: u32) -> String {
    format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100)
}

fn first_line(text: &str) -> &str {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("failed without a message").trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_programs_are_reported_with_hints() {
        let purpose = Purpose::Checkpoint;
        let question = Question { purpose, criu: "no-such-criu", runtime: "false", pod: true, pid: None };
        let answer = ask_as_root(&question).unwrap();
        let texts: Vec<_> = answer.findings.iter().map(|f| f.text.as_str()).collect();
        assert!(texts.contains(&"no-such-criu: not found"), "{texts:?}");
        assert!(texts.iter().any(|t| t.starts_with("false: cannot checkpoint")), "{texts:?}");
        assert!(texts.contains(&"false: cannot restore into a pod"), "{texts:?}");
        assert!(answer.findings.iter().all(|f| !f.hint.is_empty()));
    }

    #[test]
    fn the_version_of_criu_is_read_from_its_output() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("criu");
        let criu_of = |version: &str| {
            // Another process writes the program: a program that is open for writing, also in a
            // child of another test, cannot be run.
            let script =
                format!("printf '#!/bin/sh\\necho Version: {version}\\n' > \"$0\"; chmod 755 \"$0\"");
            output("sh", &["-c", &script, program.to_str().unwrap()]).unwrap();
            let name = program.to_str().unwrap();
            let purpose = Purpose::Restore;
            let question = Question { purpose, criu: name, runtime: "false", pod: false, pid: None };
            let mut answer = Answer::default();
            let version = criu(&question, &mut answer).unwrap();
            let fails = answer.findings.iter().any(|f| f.text.contains("needs 3.11.0 or newer"));
            (answer.criu.unwrap(), (version.major, version.minor), fails)
        };
        for (text, expected) in [
            ("4.2", (40_200, (4, 2), false)),
            ("4.12.3", (41_203, (4, 12), false)),
            ("13.1.99", (130_199, (13, 1), false)),
            ("3.11", (31_100, (3, 11), false)),
            ("3.10.9", (31_009, (3, 10), true)),
        ] {
            assert_eq!(criu_of(text), expected, "{text}");
        }
    }
}
