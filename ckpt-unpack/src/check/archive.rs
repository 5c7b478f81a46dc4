//! Reads an archive for `--check`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use checkpoint::archive::{ArchiveFile, Members, PodPass, missing};
use checkpoint::config_dump::ConfigDump;
use checkpoint::criu::check::Collected;
use checkpoint::delta::{Base, Delta};
use checkpoint::spec_dump::SpecDump;
use checkpoint::{Member, VolumeName, oci};
use cli::Session;
use cli::args::reject_given;
use tartree::{Expanded, Kind, Limits};

use super::restore::{Form, MadeBy, Restore, mounts, volumes};
use super::trees::Archived;
use crate::archive_input;
use crate::args::Args;
use crate::destination::check_volumes_exist;
use crate::pod;
use crate::xor::add_undecoded;

/// Reads the archive, of which nothing is written.
///
/// # Errors
/// Returns an error if the archive cannot be read.
pub fn read(args: &Args, session: &Session) -> anyhow::Result<Vec<Restore>> {
    let mut archive = archive_input::open_any(args.archive.as_deref(), args)?;
    session.stage("reading", archive.size());
    if !archive.is_pod() {
        return Ok(vec![read_archive(&mut archive, args)?]);
    }
    let output = &args.output;
    let destinations = [
        ("--rootfs", output.rootfs.is_some()),
        ("--volume", !output.volume.is_empty()),
        ("--shm", output.shm.is_some()),
    ];
    let reason = "with all containers of a pod, add --container NAME";
    reject_given(&destinations, reason)?;
    let mut restores = Vec::new();
    pod::each_container(archive, PodPass::Headers, &mut |container, archive| {
        let restore = read_archive(archive, args)?;
        restores.push(Restore { container: Some(container.clone()), ..restore });
        Ok(())
    })?;
    Ok(restores)
}

/// Reads the archive of one container.
fn read_archive(archive: &mut ArchiveFile, args: &Args) -> anyhow::Result<Restore> {
    let name = archive.name().to_owned();
    let annotations = archive.image().map(|image| image.annotations.clone()).unwrap_or_default();
    let annotated =
        oci::annotations("criu.version").find_map(|(_, name)| annotations.get(&name)?.parse().ok());
    let mut found = Found::default();
    let limits = archive.limits().clone();
    let read = archive.survey().map_err(anyhow::Error::from);
    read.and_then(|reader| found.members(reader, args, &limits)).with_context(|| name.clone())?;
    let Found { images, spec, volumes, archived, written, made_by, base, problems } = found;
    Ok(Restore {
        container: None,
        form: Form::Archive(name),
        images: Box::new(images),
        image_path: None,
        mounts: mounts(&spec, Path::new("")),
        cgroup: spec.cgroups_path().map(str::to_owned),
        network: spec.network_namespace().map(PathBuf::from),
        volumes,
        ignores_volumes: args.include.ignore_volumes,
        rootfs: args.output.rootfs.clone(),
        volume_dirs: args.output.volume.clone(),
        archived,
        written,
        made_by: MadeBy { criu: annotated.or(made_by.criu), ..made_by },
        base,
        problems,
    })
}

#[derive(Default)]
struct Found {
    images: Collected,
    spec: SpecDump,
    volumes: BTreeMap<String, VolumeName>,
    archived: Archived,
    written: Vec<(PathBuf, u64)>,
    made_by: MadeBy,
    base: Option<Base>,
    problems: Vec<String>,
}

impl Found {
    fn members(&mut self, mut reader: Members<'_>, args: &Args, limits: &Limits) -> anyhow::Result<()> {
        let output = &args.output;
        while let Some((member, entry)) = reader.next()? {
            let bound = reader.bound();
            let size = entry.kind.len();
            let mut content = Expanded::new(&entry.kind, reader.content());
            let object = member.to_string();
            match (&member, &entry.kind) {
                (Member::Images(_), _) if member.is_delta() => {
                    let delta = cli::read_document(content, &object, member.document_limit())?;
                    // The rounds before a final dump are unpacked earlier, and are checked then.
                    self.base = Delta::read(&delta)?.base.filter(|base| base.id.is_digest());
                }
                (Member::Images(path), Kind::File { .. }) => {
                    if !add_undecoded(path, &entry.kind, &mut content, &mut self.images)? {
                        let added = self.images.add(&path.to_string(), &entry.kind, &mut content);
                        added.context(object)?;
                    }
                }
                (Member::SpecDump, _) => {
                    self.spec = SpecDump::read(&cli::read_document(content, &object, SpecDump::LIMIT)?)?;
                }
                (Member::ConfigDump, _) => {
                    let config = cli::read_document(content, &object, ConfigDump::LIMIT)?;
                    self.volumes = volumes(&ConfigDump::read(&config)?)?;
                }
                (Member::DumpLog, _) => self.made_by = MadeBy::of_log(content),
                (Member::RootfsDiff, _) if args.include.ignore_rootfs => continue,
                (Member::Volume(_), _) if args.include.ignore_volumes => continue,
                _ => {
                    self.archived.add(&member, content, limits.clone(), bound)?;
                }
            }
            let destination = match &member {
                Member::RootfsDiff => output.rootfs.as_ref(),
                Member::DevShm => output.shm.as_ref(),
                Member::Volume(name) => {
                    output.volume.iter().find(|(given, _)| given == name).map(|(_, dir)| dir)
                }
                _ => None,
            };
            self.written.extend(destination.map(|dir| (dir.clone(), size)));
        }
        self.problems = missing(reader.seen(), args.include.without_config);
        let volume = |member: &Member| match member {
            Member::Volume(name) => Some(name.clone()),
            _ => None,
        };
        // A volume that only config.dump names may have its directory on the host.
        let volumes = reader.seen().iter().filter_map(volume).chain(self.volumes.values().cloned());
        check_volumes_exist(args, &volumes.collect::<Vec<_>>())?;
        Ok(reader.finish()?)
    }
}
