//! Reads the containers of a pod archive one after another.

use anyhow::Context;
use checkpoint::archive::{ArchiveFile, PodFile, PodMember, PodPass};
use checkpoint::pod::ContainerName;
use tartree::Entry;

/// A function that reads the archive of a container.
pub type ReadContainer<'f> = dyn FnMut(&ContainerName, &mut ArchiveFile) -> anyhow::Result<()> + 'f;

/// Calls `read` for the archive of each container, in the order of the pod archive.
///
/// # Errors
/// Returns an error if the pod archive is damaged, or if a container is missing.
pub fn each_container(
    archive: ArchiveFile,
    pass: PodPass,
    read: &mut ReadContainer<'_>,
) -> anyhow::Result<()> {
    let name = archive.name().to_owned();
    let mut pod = archive.into_pod(pass).context(name)?;
    while let Some((member, _)) = next(&mut pod)? {
        if let PodMember::Container(name) = member {
            read(&name, pod.container(&name))?;
        }
    }
    finish(pod)
}

/// Returns the next member of a pod archive.
///
/// # Errors
/// Returns an error with the name of the archive.
pub fn next(pod: &mut PodFile) -> anyhow::Result<Option<(PodMember, Entry)>> {
    let name = pod.name().to_owned();
    pod.reader().and_then(|reader| reader.next()).context(name)
}

/// Checks that no member is missing, and reads the pod archive to its end.
///
/// # Errors
/// Returns an error with the name of the archive.
pub fn finish(pod: PodFile) -> anyhow::Result<()> {
    let name = pod.name().to_owned();
    let reader = pod.into_reader()?;
    if let Some(missing) = reader.missing().into_iter().next() {
        anyhow::bail!("{name}: {missing}");
    }
    reader.finish_counting().context(name)?;
    Ok(())
}
