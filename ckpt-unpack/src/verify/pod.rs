//! `--verify` of a pod archive: checks the archives of all containers, and the documents of the pod.

use std::io::Write;

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::{ArchiveFile, PodMember, PodPass, PodReader};
use checkpoint::network_status::NetworkStatus;
use checkpoint::pod::PodDump;
use cli::args::reject_given;
use cli::{Exit, Output, Session};
use tartree::Limits;

use super::{Contents, LeftOut, Rest, Verified, check, concerns_one_member, verify};
use crate::archive_input;
use crate::args::Args;
use crate::base::Bases;

pub fn run(archive: ArchiveFile, args: &Args, session: &Session) -> anyhow::Result<Exit> {
    let base = [("--base", !args.include.base.is_empty())];
    reject_given(&base, "with all containers of a pod, add --container NAME")?;
    let name = archive.name().to_owned();
    let limits = archive.limits().clone();
    let (mut problems, mut containers, mut documents) = (0u64, 0u64, 0u64);
    let mut problem = |e: anyhow::Error| {
        problems += 1;
        cli::report(session, &archive_input::explain(e).context(name.clone()));
    };
    let mut pod = archive.into_pod(PodPass::Complete).with_context(|| name.clone())?;
    let (mut verified, mut state) = (0u64, "complete");
    let is_complete = loop {
        let reader = pod.reader()?;
        match reader.next() {
            Ok(None) => break true,
            Ok(Some((PodMember::Document(member), _))) => {
                documents += 1;
                document(&member, reader, &limits).unwrap_or_else(&mut problem);
            }
            Ok(Some((PodMember::Container(container), _))) => {
                containers += 1;
                let Verified { problems, pages } =
                    verify(pod.container(&container), Bases::default(), Rest::Refused, session)?;
                verified += problems;
                if pages == LeftOut::Elsewhere {
                    state = "valid, but not complete by itself";
                    if !session.is_quiet() {
                        session.hint(format_args!(
                            "to check the pages, too: --verify --container {container} --base FILE"
                        ));
                    }
                }
            }
            // This member is not allowed, but the members after it can be read.
            Err(e) if concerns_one_member(&e) => problem(e.into()),
            Err(e) => {
                problem(e.into());
                break false;
            }
        }
    };
    if is_complete {
        let reader = pod.into_reader()?;
        reader.missing().into_iter().for_each(|what| problem(anyhow::anyhow!(what)));
        match reader.finish_counting() {
            Ok(rest) if rest.other > 0 => {
                problem(anyhow::anyhow!("{} bytes after the end of the archive", rest.other));
            }
            Ok(_) => {}
            Err(e) => problem(e.into()),
        }
    }
    session.end_stages();
    if problems + verified > 0 {
        return Ok(Exit::Failed);
    }
    if !session.is_quiet() {
        let name = cli::escape(&name);
        let mut out = Output::text(None)?;
        writeln!(out, "{name}: {state} (containers: {containers}, documents of the pod: {documents})")?;
    }
    Ok(Exit::Done)
}

/// Checks a document of the pod.
fn document(member: &Member, reader: &mut PodReader, limits: &Limits) -> anyhow::Result<()> {
    let bound = reader.bound();
    let name = member.to_string();
    let content = &mut reader.content();
    if *member == PodDump::member() {
        PodDump::read(&name, &cli::read_document(content, &name, PodDump::LIMIT)?)?;
    } else if *member == Member::NetworkStatus {
        let text = cli::read_document(content, &name, member.document_limit())?;
        NetworkStatus::parse(&text).context(name)?;
    } else {
        check(member, content, limits, &bound, &mut Contents::default())?;
    }
    Ok(())
}
