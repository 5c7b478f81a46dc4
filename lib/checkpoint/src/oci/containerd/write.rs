//! Converts a checkpoint archive to a checkpoint of containerd.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};

use serde_json::{Value, json};
use tartree::{END_OF_ARCHIVE, Entry, Item, Limits, Reader, RootName, Timestamp, padding};

use super::{CONFIG, CRIU, IMAGE, LAYERS, RUNTIME, SNAPSHOTTER, any};
use crate::archive::{ArchiveReader, Unknown};
use crate::compress::{Bound, Compression, Decoder, Encoder, Settings};
use crate::config_dump::ConfigDump;
use crate::error::{Error, Result};
use crate::member::Member;
use crate::oci::hashing::Hashing;
use crate::oci::layout_writer::{FileAt, Layouts, descriptor};
use crate::spec_dump::SpecDump;

/// The size of each buffer, in bytes.
const BUFFER: usize = 256 << 10;

/// The properties of a checkpoint of containerd.
pub struct CheckpointImage {
    /// The name of the checkpoint.
    pub name: String,
    /// Additional annotations of the index, which replace the default ones.
    pub annotations: BTreeMap<String, String>,
    /// The architecture: `amd64`, `arm64`, … (GOARCH).
    pub architecture: String,
    /// The time of all entries in the layout.
    pub time: Timestamp,
    /// The compression of the layer: gzip, because `ctr containers restore --rw` reads no other.
    pub settings: Settings,
}

impl CheckpointImage {
    /// Returns whether a checkpoint of containerd can hold `member`.
    pub fn can_hold(member: &Member) -> bool {
        matches!(member, Member::ConfigDump | Member::SpecDump | Member::Images(_) | Member::RootfsDiff)
    }

    /// Writes the uncompressed archive in `archive`, whose members are in `ckpt-pack`'s order, to
    /// `out` from the offset `start`. Returns `out`, which is truncated to the end of the layout.
    ///
    /// # Errors
    /// Returns [`Error::DiffForm`] if the diff of the root file system is in podman's form, and an
    /// error if the archive is damaged or writing fails.
    pub fn write(&self, archive: &File, out: File, start: u64) -> Result<File> {
        let mut layout = Layouts::start(out, start, self.time);
        let (mut config, mut spec, mut parts) = (ConfigDump::default(), SpecDump::default(), Vec::new());
        let mut images = None;
        let mut reader = reader(archive)?;
        while let Some((member, entry)) = reader.next()? {
            match member {
                Member::ConfigDump => {
                    config = ConfigDump::read(&document(reader.content(), ConfigDump::LIMIT)?)?;
                }
                Member::SpecDump => spec = SpecDump::read(&document(reader.content(), SpecDump::LIMIT)?)?,
                Member::Images(path) => {
                    let tar = match &mut images {
                        Some(tar) => tar,
                        None => images.insert(Hashing::new(layout.begin()?)),
                    };
                    if !path.is_root() {
                        copy(tar, &Entry { path, ..entry }, reader.content())?;
                    }
                }
                Member::RootfsDiff => {
                    if let Some(tar) = images.take() {
                        parts.push(self.end(&mut layout, CRIU, tar)?);
                    }
                    let layer = layer(reader.content(), layout.begin()?, &self.settings)?;
                    parts.insert(0, self.end(&mut layout, LAYERS[0], layer)?);
                }
                member => return Err(Error::member(member, "a checkpoint of containerd cannot hold it")),
            }
        }
        reader.finish()?;
        if let Some(tar) = images.take() {
            parts.push(self.end(&mut layout, CRIU, tar)?);
        }
        let name = config.text("name").unwrap_or("container");
        let spec = any::of_spec(fitting(spec, name).write());
        parts.push(self.part(CONFIG, &layout.blob(&spec).map_err(stream)?));
        layout.index(&self.index(&config, &parts), &self.name).map_err(stream)
    }

    /// Writes the end of a blob and returns its descriptor.
    fn end(&self, layout: &mut Layouts, kind: &str, mut blob: Hashing<FileAt>) -> Result<Value> {
        if kind == CRIU {
            blob.write_all(&END_OF_ARCHIVE).map_err(stream)?;
        }
        let (out, digest, size) = blob.finish();
        layout.end(out, &digest, size).map_err(stream)?;
        Ok(self.part(kind, &(digest, size)))
    }

    fn part(&self, kind: &str, blob: &(String, u64)) -> Value {
        let mut part = descriptor(kind, blob);
        part["platform"] = json!({ "architecture": self.architecture, "os": "linux" });
        part
    }

    /// Returns the index that lists the parts.
    fn index(&self, config: &ConfigDump, parts: &[Value]) -> Value {
        let image = config.text("rootfsImageName").unwrap_or_default();
        let defaults = [(RUNTIME, "io.containerd.runc.v2"), (SNAPSHOTTER, "overlayfs"), (IMAGE, image)];
        let mut annotations: BTreeMap<String, String> =
            defaults.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        annotations.extend(self.annotations.clone());
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": parts,
            "annotations": annotations,
        })
    }
}

/// Returns the spec with the paths that containerd gives a container: containerd mounts the root
/// file system at `rootfs` in its own bundle, and a cgroup of another engine would not exist.
fn fitting(mut spec: SpecDump, name: &str) -> SpecDump {
    spec.set("root", "path", "rootfs");
    spec.set("linux", "cgroupsPath", &format!("/default/{name}"));
    spec
}

fn reader(archive: &File) -> Result<ArchiveReader<&File>> {
    let mut start = archive;
    start.seek(SeekFrom::Start(0)).map_err(stream)?;
    // The archive was just written by this process, so its size needs no limit.
    let limits = Limits { content_bytes: u64::MAX, ..Limits::default() };
    ArchiveReader::bounded(archive, Unknown::Refuse, limits, Bound::default())
}

fn document(content: impl Read, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    content.take(limit).read_to_end(&mut bytes).map_err(stream)?;
    Ok(bytes)
}

/// Writes an entry of the tar of CRIU's images.
fn copy(tar: &mut impl Write, entry: &Entry, mut content: impl Read) -> Result<()> {
    let mut header = Vec::new();
    tartree::encode(&mut header, entry, RootName::Dot);
    tar.write_all(&header).map_err(stream)?;
    let size = io::copy(&mut content, tar).map_err(stream)?;
    tar.write_all(&[0; 512][..padding(size) as usize]).map_err(stream)
}

/// Writes a diff as a gzip layer. A diff that is compressed with gzip is copied.
fn layer(content: impl Read, out: FileAt, settings: &Settings) -> Result<Hashing<FileAt>> {
    let mut content = BufReader::with_capacity(BUFFER, content);
    let mut out = Hashing::new(out);
    if Compression::detect(content.fill_buf().map_err(stream)?) == Compression::Gzip {
        let mut copied = BufReader::with_capacity(BUFFER, Tee { input: content, out: &mut out });
        check_layer(Decoder::bounded(&mut copied, Bound::default()).map_err(stream)?)?;
        io::copy(&mut copied, &mut io::sink()).map_err(stream)?;
        return Ok(out);
    }
    let decoder = Decoder::bounded(content, Bound::default()).map_err(stream)?;
    let mut encoder = Encoder::new(out, settings).map_err(stream)?;
    check_layer(Tee { input: decoder, out: &mut encoder })?;
    encoder.finish().map_err(stream)
}

/// Reads a diff to its end.
///
/// # Errors
/// Returns an error if the diff has removal headers, which containerd ignores.
fn check_layer(diff: impl Read) -> Result<()> {
    let nested = |source| Error::Nested { member: Member::RootfsDiff.to_string(), source };
    let limits = Limits { content_bytes: u64::MAX, ..Limits::default() };
    let mut reader = Reader::new(BufReader::with_capacity(BUFFER, diff), limits);
    while let Some(item) = reader.next().map_err(nested)? {
        if let Item::Removal(_) = item {
            return Err(Error::DiffForm { member: Member::RootfsDiff.to_string() });
        }
    }
    reader.drain().map_err(nested)
}

/// A reader that also writes each byte to `out`.
struct Tee<R, W> {
    input: R,
    out: W,
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buf)?;
        self.out.write_all(&buf[..got])?;
        Ok(got)
    }
}

fn stream(e: io::Error) -> Error {
    Error::from(tartree::Error::Stream(e))
}
