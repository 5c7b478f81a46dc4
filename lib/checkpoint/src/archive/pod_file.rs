//! Opens the archives of containers in a pod archive.

use std::io::{Seek, SeekFrom};

use super::bytes;
use super::open::{ArchiveFile, Content, of_input};
use super::pod::{PodPass, PodReader};
use crate::compress::Compression;
use crate::documents::pod::ContainerName;
use crate::error::{Error, Result};

/// A container in a pod archive.
pub(super) struct Container {
    pub pod: PodReader,
    /// The container to find again for another pass.
    name: ContainerName,
    /// Whether the rest of the pod archive is read after the container.
    pub to_end: bool,
    /// Whether the content was read.
    pub read: bool,
}

impl ArchiveFile {
    /// Returns whether the input is a pod archive. Its members are read after
    /// [`container`](ArchiveFile::container), [`into_pod`](ArchiveFile::into_pod) or
    /// [`as_tar`](ArchiveFile::as_tar); all other functions that read it return [`Error::Pod`].
    pub fn is_pod(&self) -> bool {
        matches!(self.content, Content::Pod)
    }

    /// Returns the archive of the container `wanted` in this pod archive. It is read in place if the
    /// pod archive is a file and not compressed.
    ///
    /// # Errors
    /// Returns [`Error::Container`] if the pod has no such container, and an error if the pod archive
    /// is damaged. Returns an error without the archive's name, which the caller adds.
    pub fn container(mut self, wanted: &ContainerName) -> Result<ArchiveFile> {
        let name = format!("{}: {wanted}", self.name);
        let Some(start) = self.start else {
            let pod = self.pod_reader(PodPass::Complete)?;
            return self.container_of(pod, name, wanted);
        };
        let mut pod = self.pod_reader(PodPass::Headers)?;
        if pod.compression() != Compression::None {
            pod = self.pod_reader(PodPass::Complete)?;
            return self.container_of(pod, name, wanted);
        }
        let size = pod.advance_to(wanted)?.kind.len();
        let offset =
            start.checked_add(pod.position()).ok_or_else(|| Error::member("archive", "too large"))?;
        // A truncated pod archive is rejected before anything of the container is written.
        pod.read_to_end()?;
        let content = Content::Archive { in_pod: true };
        Ok(ArchiveFile { name, start: Some(offset), size, content, ..self })
    }

    fn container_of(self, mut pod: PodReader, name: String, wanted: &ContainerName) -> Result<ArchiveFile> {
        pod.advance_to(wanted)?;
        let container = Container { pod, name: wanted.clone(), to_end: true, read: false };
        Ok(ArchiveFile { name, content: Content::Container(Box::new(container)), ..self })
    }

    /// Returns a reader of all members of this pod archive.
    ///
    /// # Errors
    /// Returns an error without the archive's name, which the caller adds.
    pub fn into_pod(mut self, pass: PodPass) -> Result<PodFile> {
        let pod = self.pod_reader(pass)?;
        let Some(name) = pod.options().containers.first().map(|first| first.name.clone()) else {
            return Err(Error::Empty { expected: "the containers of a pod" });
        };
        let container = Container { pod, name, to_end: false, read: false };
        let name = self.name.clone();
        let content = Content::Container(Box::new(container));
        Ok(PodFile { name, archive: ArchiveFile { content, start: None, ..self } })
    }

    /// Returns this pod archive as a tar whose members are listed or read by name.
    #[must_use]
    pub fn as_tar(self) -> ArchiveFile {
        ArchiveFile { content: Content::Archive { in_pod: false }, ..self }
    }

    /// Checks that the input is not a pod archive.
    ///
    /// # Errors
    /// Returns [`Error::Pod`] with the names of the containers. Returns an error without the
    /// archive's name, which the caller adds.
    pub fn require_container(&mut self) -> Result<()> {
        match self.is_pod() {
            true => Err(Error::Pod { names: self.pod_reader(PodPass::Headers)?.options().names() }),
            false => Ok(()),
        }
    }

    /// Starts to read the pod archive.
    fn pod_reader(&mut self, pass: PodPass) -> Result<PodReader> {
        if let Some(start) = self.start {
            self.file.seek(SeekFrom::Start(start)).map_err(of_input)?;
        }
        let (head, file) = (std::mem::take(&mut self.head), self.file.try_clone().map_err(of_input)?);
        let input = bytes::input(head, file, self.reading.count);
        PodReader::open(input, pass, &self.reading)
    }

    /// Finds the container in the pod archive again, if its content was read before and the pod
    /// archive can be read twice.
    pub(super) fn find_container_again(&mut self) -> Result<()> {
        if !matches!(&self.content, Content::Container(container) if container.read) || !self.can_rewind() {
            return Ok(());
        }
        let mut pod = self.pod_reader(PodPass::Complete)?;
        if let Content::Container(container) = &mut self.content {
            pod.advance_to(&container.name)?;
            container.pod = pod;
        }
        Ok(())
    }
}

/// An open pod archive, whose containers are read one after another.
pub struct PodFile {
    name: String,
    archive: ArchiveFile,
}

impl PodFile {
    /// Returns the archive's name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the reader of the members.
    ///
    /// # Errors
    /// Returns an error if this is not a pod archive, which [`into_pod`](ArchiveFile::into_pod)
    /// excludes.
    pub fn reader(&mut self) -> Result<&mut PodReader> {
        match &mut self.archive.content {
            Content::Container(container) => Ok(&mut container.pod),
            _ => Err(Error::member("archive", "not a pod archive")),
        }
    }

    /// Returns the archive of the container `name`, whose member the reader has returned last. It
    /// can be read once.
    pub fn container(&mut self, name: &ContainerName) -> &mut ArchiveFile {
        self.archive.name = format!("{}: {name}", self.name);
        &mut self.archive
    }

    /// Returns the reader of the members, for the end of the archive.
    ///
    /// # Errors
    /// Returns the errors of [`reader`](PodFile::reader).
    pub fn into_reader(self) -> Result<PodReader> {
        match self.archive.content {
            Content::Container(container) => Ok(container.pod),
            _ => Err(Error::member("archive", "not a pod archive")),
        }
    }
}
