//! Checks the operands of `--pod-config` before anything is written.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use checkpoint::Member;
use checkpoint::compress::Compression;
use checkpoint::pod::{ANNOTATION, ContainerName, MAX_CONTAINERS, PodContainer, PodDump, PodOptions};
use cli::{Hint, Input, usage};
use tartree::Timestamp;

use crate::args::Args;
use crate::operands;

/// The configuration of the pod.
pub struct PodConfig {
    /// The document as it is.
    pub text: Vec<u8>,
    pub dump: PodDump,
    /// The time at which the file was written, or 1970 for a pipe.
    pub time: Timestamp,
}

impl PodConfig {
    /// Reads the file of `--pod-config`.
    pub fn read(path: &Path) -> anyhow::Result<PodConfig> {
        let mut input = Input::open(Some(path), "the configuration of a pod")?;
        let name = input.name().to_owned();
        let is_file = input.rest().is_some();
        let text = cli::read_document(input.by_ref(), &name, PodDump::LIMIT)?;
        let hint = r#"the least is: {"metadata":{"name":"NAME"}}"#;
        let dump = PodDump::read(&name, &text).map_err(|e| Hint::on(e, hint))?;
        let modified = input.into_file().metadata().context(name)?.modified().ok().filter(|_| is_file);
        let sec = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let sec = sec.and_then(|time| i64::try_from(time.as_secs()).ok()).unwrap_or_default();
        Ok(PodConfig { text, dump, time: Timestamp { sec, nsec: 0 } })
    }
}

/// Rejects operands that contradict each other.
///
/// # Errors
/// Returns a usage error, or an error if an archive does not exist.
pub fn check(args: &Args, config: &Path, files: &[(Member, PathBuf)]) -> anyhow::Result<()> {
    let containers = &args.pod.container;
    if containers.is_empty() {
        return Err(usage("--pod-config: expected at least one --container NAME=ARCHIVE"));
    }
    if containers.len() > MAX_CONTAINERS {
        return Err(usage(format!("--container: expected at most {MAX_CONTAINERS} containers")));
    }
    let mut names = BTreeSet::new();
    if let Some((name, _)) = containers.iter().find(|(name, _)| !names.insert(name)) {
        return Err(usage(format!("--container {name}: given twice")));
    }
    for (member, _) in files {
        check_member(member, containers).map_err(|e| usage(format!("--member: {e}")))?;
    }
    operands::check_flags(args)?;
    refuse_standard_input_twice(args, config)?;
    let archives = || containers.iter().map(|(_, path)| path.clone());
    operands::refuse_output(args, files, &[], archives().chain([config.to_owned()]))?;
    operands::check_kinds(files)?;
    for path in archives().filter(|path| path != Path::new("-")) {
        fs::metadata(&path).with_context(|| cli::display_path(&path))?;
    }
    Ok(())
}

/// Checks that a member belongs to a pod and not to a container.
///
/// # Errors
/// Returns an error that names the member.
pub fn check_member(member: &Member, containers: &[(ContainerName, PathBuf)]) -> anyhow::Result<()> {
    match member {
        Member::NetworkStatus | Member::DevShm | Member::Volume(_) => Ok(()),
        Member::Unknown(path) if containers.iter().any(|(name, _)| path.starts_with(&name.member())) => {
            anyhow::bail!("{member}: its directory has the name of a container's archive")
        }
        Member::Unknown(path) if !path.as_bytes().ends_with(b".tar") => Ok(()),
        _ => {
            anyhow::bail!(
                "{member}: expected a member of the pod: network.status, devshm-checkpoint.tar or volumes/NAME.tar"
            )
        }
    }
}

/// Rejects `-` for a second input: standard input is read once.
fn refuse_standard_input_twice(args: &Args, config: &Path) -> anyhow::Result<()> {
    let containers = args.pod.container.iter().map(|(_, path)| ("--container", path.as_path()));
    let streams = args.input.streams.iter().map(|path| ("MEMBERS", path.as_path()));
    let members = args.input.member.iter().map(|(_, path)| ("--member", path.as_path()));
    let inputs = containers.chain(streams).chain(members).chain([("--pod-config", config)]);
    let mut readers = inputs.filter(|(_, path)| *path == Path::new("-")).map(|(flag, _)| flag);
    match (readers.next(), readers.next()) {
        (Some(first), Some(second)) => {
            let e = usage(format!("-: standard input is already {first}, and cannot be {second}"));
            Err(Hint::on(e, "give the name of a file"))
        }
        _ => Ok(()),
    }
}

/// Returns the document that lists the containers.
///
/// # Errors
/// Returns an error if it is larger than a reader accepts.
pub fn options(args: &Args, dump: &PodDump) -> anyhow::Result<Vec<u8>> {
    let container = |name: &ContainerName| PodContainer { name: name.clone(), member: name.member() };
    let of_dump = [
        ("pod.name", Some(dump.name.as_str())),
        ("pod.namespace", dump.namespace.as_deref()),
        ("pod.uid", dump.uid.as_deref()),
    ];
    let mut annotations: Vec<(String, String)> = of_dump
        .into_iter()
        .filter_map(|(key, value)| Some((format!("{ANNOTATION}{key}"), value?.to_owned())))
        .collect();
    for (key, value) in &args.image.annotation {
        match annotations.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => old.clone_from(value),
            None => annotations.push((key.clone(), value.clone())),
        }
    }
    let containers = args.pod.container.iter().map(|(name, _)| container(name)).collect();
    let document = PodOptions { containers, annotations }.write();
    if document.len() as u64 > PodOptions::LIMIT {
        let limit = PodOptions::LIMIT;
        anyhow::bail!("{}: the annotations need more than {limit} bytes", PodOptions::member());
    }
    Ok(document)
}

/// Returns the size of the archives of containers, if all are uncompressed files.
pub fn total(args: &Args) -> Option<u64> {
    args.pod.container.iter().try_fold(0u64, |sum, (_, path)| {
        let meta = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        let mut first = [0; Compression::MAGIC];
        let got = fs::File::open(path).ok()?.read(&mut first).ok()?;
        (Compression::detect(&first[..got]) == Compression::None).then(|| sum.saturating_add(meta.len()))
    })
}
