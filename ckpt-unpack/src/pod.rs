//! Reads the containers of a pod archive one after another.

use checkpoint::archive::{ArchiveFile, PodMember, PodPass};
use checkpoint::pod::ContainerName;

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
    let mut pod = archive.into_pod(pass)?;
    while let Some((member, _)) = pod.reader()?.next()? {
        if let PodMember::Container(name) = member {
            read(&name, pod.container(&name))?;
        }
    }
    let pod = pod.into_reader()?;
    if let Some(missing) = pod.missing().into_iter().next() {
        anyhow::bail!(missing);
    }
    pod.finish_counting()?;
    Ok(())
}
