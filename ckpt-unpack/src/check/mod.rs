//! `--check`: can this host restore a container? With an archive or a bundle, compares what the
//! images require with what the host has, before anything is written.

mod archive;
mod bundle;
mod cgroups;
mod files;
mod host;
mod mounts;
mod restore;
mod trees;

use checkpoint::criu::check::check as check_images;
use checkpoint::criu::requirements::Requirements;
use checkpoint::preflight::{Answer, Purpose, Question, ask};
use cli::{Exit, Finding, Session};

use crate::args::Args;
use crate::base::described;
use restore::{Findings, Restore};

/// The runtime that is checked by default.
const DEFAULT_RUNTIME: &str = "runc";

pub fn run(args: &Args, session: &Session) -> anyhow::Result<Exit> {
    let criu = args.host.criu.as_deref().unwrap_or("criu");
    let runtime = args.host.runtime.as_deref().unwrap_or(DEFAULT_RUNTIME);
    let purpose = Purpose::Restore;
    let answer = ask(&Question { purpose, criu, runtime, pod: args.host.pod, pid: None })?;
    let restores = match &args.verb.bundle {
        Some(bundle) => vec![bundle::read(args, bundle)?],
        None if args.archive.is_some() => archive::read(args, session)?,
        None => Vec::new(),
    };
    session.end_stages();
    let mut findings = Findings::default();
    for mut restore in restores {
        let mut found = Findings::default();
        compare(&mut restore, &answer, criu, runtime, &mut found);
        findings.add_all(found, restore.container.as_ref());
    }
    let passed = [answer.passed, findings.passed].concat();
    let found = answer.findings.iter().chain(&findings.found);
    Ok(session.findings(&passed, found.map(|f| Finding { fails: f.fails(), text: &f.text, hint: &f.hint })))
}

/// Compares what a restore requires with the host.
fn compare(restore: &mut Restore, answer: &Answer, criu: &str, runtime: &str, findings: &mut Findings) {
    for problem in std::mem::take(&mut restore.problems) {
        findings.fails(problem, "get the complete archive, or checkpoint the container again");
    }
    if let Some(base) = &restore.base {
        let hint = "unpack with --base FILE, or combine both: ckpt-pack --from-archive ARCHIVE --base FILE --flatten";
        findings.fails(format!("checkpoint/: the images need those of {}", described(base)), hint);
    }
    let report = check_images(restore.images.as_mut());
    if let Some(first) = report.unchecked.first() {
        findings.passed.push(format!("checkpoint/{first}: too large to be checked"));
    }
    for problem in report.problems {
        let text = format!("checkpoint/{problem}");
        findings.fails(text, "get the complete archive, or checkpoint the container again");
    }
    let required = Requirements::read(restore.images.as_mut());
    host::runtime(&required, restore, runtime, findings);
    host::criu(&required, restore, answer.criu, criu, findings);
    host::kernel(&required, restore, findings);
    host::cpu(&required, restore, criu, findings);
    cgroups::check(&required, restore, runtime, findings);
    host::memory(report.pages, findings);
    host::space(restore, findings);
    host::network(&required, restore, findings);
    let missing = mounts::check(&required, restore, findings);
    files::root(&required, restore, findings);
    files::check(&required, restore, &missing, findings);
    findings.finish();
}
