//! Writes an image layout in one pass.
//!
//! The name of a blob is its hash, which is known only after its last byte. The layers are therefore
//! written first, each after reserved space for its header, and the headers are written at the end.
//! The output must be a seekable file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::Receiver;

use serde_json::{Value, json};
use tartree::{END_OF_ARCHIVE, Entry, Kind, Meta, RootName, TarPath, Timestamp, padding};

use super::error::image_error;
use super::hashing::{Hashing, sha256};
use crate::compress::{Compression, Encoder, Settings};
use crate::error::Result;

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The reserved space for the layer's header, in bytes: a PAX header with one block of records, and
/// the header itself. A layer below 8 GiB needs only the header itself, and the entry `oci-layout`
/// fills the remaining space exactly.
const RESERVED: usize = 3 * 512;

/// The properties of the image.
pub struct Description {
    /// The annotations of the manifest, by which engines recognize a checkpoint.
    pub annotations: BTreeMap<String, String>,
    /// The name of the image in the layout's index.
    pub tag: Option<String>,
    /// The architecture: `amd64`, `arm64`, … (GOARCH).
    pub architecture: String,
    /// The time of the checkpoint, in whole seconds.
    pub time: Timestamp,
}

type Layer = Hashing<Encoder<Hashing<FileAt>>>;

/// Writes a layout. The bytes that are written to it become the layer, or several layers;
/// [`finish`](LayoutWriter::finish) writes the rest.
pub struct LayoutWriter {
    /// The current layer; `None` only after an error.
    layer: Option<Layer>,
    settings: Settings,
    /// The offset of the current layer's header.
    header: u64,
    written: Vec<WrittenLayer>,
    /// The number of bytes that were written to all layers.
    position: u64,
    /// Receives the position at which each further layer starts, at the latest before the first
    /// byte of the layer.
    starts: Option<Receiver<u64>>,
    next_start: Option<u64>,
}

/// A layer that is complete, except for its header.
struct WrittenLayer {
    /// The offset of the header.
    header: u64,
    diff_id: String,
    digest: String,
    size: u64,
}

/// The output file, with the offset of the next byte.
pub(super) struct FileAt {
    file: File,
    position: u64,
}

impl Write for FileAt {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.file.write_at(buf, self.position)?;
        self.position += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a layout with several large blobs, one after another. The header of each blob is written
/// after its last byte.
pub(super) struct Layouts {
    /// The file, unless a blob is being written.
    out: Option<FileAt>,
    /// The offset of the current blob's header.
    header: u64,
    /// The small entries that still have to be written: they fill the space that is reserved for a
    /// long header.
    fillers: Vec<Vec<u8>>,
    time: Timestamp,
}

impl Layouts {
    /// Starts a layout at the offset `start` of `file`.
    pub(super) fn start(file: File, start: u64, time: Timestamp) -> Layouts {
        let mut layout = Vec::new();
        tartree::encode(&mut layout, &entry_for("oci-layout", LAYOUT.len() as u64, time), RootName::Dot);
        layout.extend_from_slice(LAYOUT);
        layout.resize(RESERVED - 512, 0);
        let fillers = vec![dirs(time), layout];
        Layouts { out: Some(FileAt { file, position: start }), header: start, fillers, time }
    }

    /// Starts a blob. Returns the file, to which the blob is written.
    ///
    /// # Errors
    /// Returns an error if another blob was not ended, or if there are more than two large blobs.
    pub(super) fn begin(&mut self) -> Result<FileAt> {
        let out = self.out.take().filter(|_| !self.fillers.is_empty());
        let mut out = out.ok_or_else(|| image_error("more than two large parts"))?;
        self.header = out.position;
        out.position += RESERVED as u64;
        Ok(out)
    }

    /// Ends a blob.
    pub(super) fn end(&mut self, mut out: FileAt, digest: &str, size: u64) -> io::Result<()> {
        out.write_all(&[0; 512][..padding(size) as usize])?;
        let filler = self.fillers.pop().unwrap_or_default();
        let mut header = Vec::new();
        tartree::encode(
            &mut header,
            &entry_for(&format!("blobs/sha256/{digest}"), size, self.time),
            RootName::Dot,
        );
        if header.len() < RESERVED {
            header = [filler, header].concat();
        } else {
            out.write_all(&filler)?;
        }
        out.file.write_all_at(&header, self.header)?;
        self.out = Some(out);
        Ok(())
    }

    fn file(&mut self) -> io::Result<&mut FileAt> {
        self.out.as_mut().ok_or_else(|| io::Error::other("a blob has no end"))
    }

    /// Writes a small blob and returns its digest and size.
    pub(super) fn blob(&mut self, bytes: &[u8]) -> io::Result<(String, u64)> {
        let digest = sha256(bytes);
        let time = self.time;
        member(self.file()?, &format!("blobs/sha256/{digest}"), bytes, time)?;
        Ok((digest, bytes.len() as u64))
    }

    /// Writes `index` as the only index of the layout, with the name `name`. Returns the file.
    pub(super) fn index(mut self, index: &Value, name: &str) -> io::Result<File> {
        let blob = self.blob(index.to_string().as_bytes())?;
        let mut entry = descriptor("application/vnd.oci.image.index.v1+json", &blob);
        entry["annotations"] = json!({
            "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name
        });
        let index = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]
        });
        let time = self.time;
        member(self.file()?, "index.json", index.to_string().as_bytes(), time)?;
        for filler in std::mem::take(&mut self.fillers) {
            self.file()?.write_all(&filler)?;
        }
        self.file()?.write_all(&END_OF_ARCHIVE)?;
        let out = self.out.ok_or_else(|| io::Error::other("a blob has no end"))?;
        out.file.set_len(out.position)?;
        Ok(out.file)
    }
}

impl LayoutWriter {
    /// Starts a layout at the offset `start` of `file`, a regular file that is not opened for
    /// appending.
    ///
    /// # Errors
    /// Returns an error if the codec rejects the settings.
    pub fn new(file: File, start: u64, settings: &Settings) -> io::Result<LayoutWriter> {
        let layer = layer(FileAt { file, position: start }, settings)?;
        Ok(LayoutWriter {
            layer: Some(layer),
            settings: settings.clone(),
            header: start,
            written: Vec::new(),
            position: 0,
            starts: None,
            next_start: None,
        })
    }

    /// Divides the bytes into several layers, each of which is a complete tar. See
    /// [`ArchiveWriter::in_layers`](crate::archive::ArchiveWriter::in_layers) for the sender of
    /// `starts`.
    pub fn divide(&mut self, starts: Receiver<u64>) {
        self.starts = Some(starts);
    }

    /// Ends the current layer. Returns the file, in which the next entry follows.
    fn end_layer(&mut self) -> io::Result<FileAt> {
        let layer = self.layer.take().ok_or_else(|| io::Error::other("the layer is not open"))?;
        let (encoder, diff_id, _) = layer.finish();
        let (mut out, digest, size) = encoder.finish()?.finish();
        out.write_all(&[0; 512][..padding(size) as usize])?;
        self.written.push(WrittenLayer { header: self.header, diff_id, digest, size });
        Ok(out)
    }

    /// Ends the current layer and its tar, and starts the next layer.
    fn next_layer(&mut self) -> io::Result<()> {
        if let Some(layer) = &mut self.layer {
            layer.write_all(&END_OF_ARCHIVE)?;
        }
        let out = self.end_layer()?;
        self.header = out.position;
        self.layer = Some(layer(out, &self.settings)?);
        Ok(())
    }

    /// Returns the number of bytes before the next layer starts, if that is known already.
    fn before_next_layer(&mut self) -> Option<u64> {
        if self.next_start.is_none() {
            self.next_start = self.starts.as_ref().and_then(|starts| starts.try_recv().ok());
        }
        self.next_start.map(|start| start.saturating_sub(self.position))
    }

    /// Writes the other blobs and the index. Returns the file, which is truncated to the end of the
    /// layout.
    ///
    /// # Errors
    /// Returns an error if writing to the file fails.
    pub fn finish(mut self, description: &Description) -> io::Result<File> {
        let mut out = self.end_layer()?;
        let time = Timestamp { nsec: 0, ..description.time };
        let created = time.to_string();
        let history = json!({ "created": created, "created_by": "ckpt-pack" });
        let diff_ids = self.written.iter().map(|layer| format!("sha256:{}", layer.diff_id));
        let config = json!({
            "created": created,
            "architecture": description.architecture,
            "os": "linux",
            "config": { "WorkingDir": "/" },
            "rootfs": { "type": "layers", "diff_ids": diff_ids.collect::<Vec<_>>() },
            "history": vec![history; self.written.len()],
        });
        let config = blob(&mut out, &config, time)?;
        let media_type = layer_type(self.settings.compression);
        let layers =
            self.written.iter().map(|layer| descriptor(media_type, &(layer.digest.clone(), layer.size)));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": layers.collect::<Vec<_>>(),
            "annotations": description.annotations,
        });
        let manifest = blob(&mut out, &manifest, time)?;
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        if let Some(tag) = &description.tag {
            entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        }
        let index = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]
        });
        member(&mut out, "index.json", index.to_string().as_bytes(), time)?;
        self.write_headers(&mut out, time)?;
        out.write_all(&END_OF_ARCHIVE)?;
        out.file.set_len(out.position)?;
        Ok(out.file)
    }

    /// Writes the headers of the layers. An entry fills the reserved space that a short header
    /// leaves: `oci-layout` before the first layer, and directories before the others.
    fn write_headers(&self, out: &mut FileAt, time: Timestamp) -> io::Result<()> {
        let mut layout = Vec::new();
        member(&mut layout, "oci-layout", LAYOUT, time)?;
        for (number, layer) in self.written.iter().enumerate() {
            let mut header = Vec::new();
            let entry = entry_for(&format!("blobs/sha256/{}", layer.digest), layer.size, time);
            tartree::encode(&mut header, &entry, RootName::Dot);
            match (header.len() < RESERVED, number) {
                (true, 0) => header = [layout.clone(), header].concat(),
                (true, _) => header = [dirs(time), header].concat(),
                (false, 0) => out.write_all(&layout)?,
                (false, _) => {}
            }
            out.file.write_all_at(&header, layer.header)?;
        }
        Ok(())
    }
}

/// Starts a layer after the space for its header.
fn layer(mut out: FileAt, settings: &Settings) -> io::Result<Layer> {
    out.position += RESERVED as u64;
    Ok(Hashing::new(Encoder::new(Hashing::new(out), settings)?))
}

/// Returns the entries of the directories of blobs.
fn dirs(time: Timestamp) -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in ["blobs", "blobs/sha256"] {
        let meta = Meta { mode: 0o755, mtime: Timestamp { nsec: 0, ..time }, ..Meta::default() };
        let path = TarPath::root().child(name.as_bytes());
        tartree::encode(&mut bytes, &Entry { path, kind: Kind::Dir, meta }, RootName::Dot);
    }
    bytes
}

impl Write for LayoutWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        while self.before_next_layer() == Some(0) {
            self.next_start = None;
            self.next_layer()?;
        }
        let until = self.before_next_layer().and_then(|left| usize::try_from(left).ok());
        let part = &buf[..buf.len().min(until.unwrap_or(usize::MAX))];
        let written = self
            .layer
            .as_mut()
            .map_or(Err(io::Error::other("the layer is not open")), |layer| layer.write(part))?;
        self.position += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.layer.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// Returns the media type of the layer. A layer can be uncompressed, gzip or zstd (image-spec,
/// layer.md).
fn layer_type(compression: Compression) -> &'static str {
    match compression {
        Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        _ => "application/vnd.oci.image.layer.v1.tar",
    }
}

pub(super) fn descriptor(media_type: &str, (digest, size): &(String, u64)) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size })
}

/// Writes a document as a blob. Returns its digest and size.
fn blob(out: &mut impl Write, document: &Value, time: Timestamp) -> io::Result<(String, u64)> {
    let bytes = document.to_string().into_bytes();
    let digest = sha256(&bytes);
    member(out, &format!("blobs/sha256/{digest}"), &bytes, time)?;
    Ok((digest, bytes.len() as u64))
}

fn member(out: &mut impl Write, name: &str, content: &[u8], time: Timestamp) -> io::Result<()> {
    let mut bytes = Vec::new();
    tartree::encode(&mut bytes, &entry_for(name, content.len() as u64, time), RootName::Dot);
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len() + padding(content.len() as u64) as usize, 0);
    out.write_all(&bytes)
}

fn entry_for(name: &str, size: u64, time: Timestamp) -> Entry {
    Entry::file(TarPath::root().child(name.as_bytes()), size, 0o644, Timestamp { nsec: 0, ..time })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::Bound;
    use crate::oci::{Blob, Layout, annotations};
    use std::io::{Read, Seek, SeekFrom};
    use tartree::Limits;

    fn layout(compression: Compression, content: &[u8]) -> File {
        let settings = Settings { compression, level: None, threads: 1 };
        let mut writer = LayoutWriter::new(tempfile::tempfile().unwrap(), 0, &settings).unwrap();
        writer.write_all(content).unwrap();
        let names = annotations("runtime.name").map(|(_, name)| (name, "runc".to_owned()));
        let description = Description {
            annotations: names.collect(),
            tag: Some("localhost/web:1".into()),
            architecture: "amd64".into(),
            time: Timestamp::default(),
        };
        writer.finish(&description).unwrap()
    }

    #[test]
    fn a_layout_is_read_back_and_follows_the_specification() {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let mut file = layout(compression, &[7; 5000]);
            let layout = Layout::of_tar(&file).unwrap();
            let mut image = layout.image(None).unwrap();
            assert_eq!(image.annotations["io.podman.annotations.checkpoint.runtime.name"], "runc");
            assert_eq!(image.name.as_deref(), Some("localhost/web:1"));
            let Blob { offset, size, .. } =
                image.take_archive(&Limits::default(), &Bound::default(), || unreachable!()).unwrap();
            file.seek(SeekFrom::Start(offset)).unwrap();
            let mut content = Vec::new();
            let layer = io::BufReader::new(Read::by_ref(&mut file).take(size));
            crate::compress::Decoder::new(layer).unwrap().read_to_end(&mut content).unwrap();
            assert_eq!(content, [7; 5000]);

            let manifest: oci_spec::image::ImageManifest = serde_json::from_slice(&image.manifest).unwrap();
            assert_eq!(manifest.layers().len(), 1);
            assert_eq!(manifest.layers()[0].media_type().to_string(), layer_type(compression));
            let config: oci_spec::image::ImageConfiguration = serde_json::from_slice(&image.config).unwrap();
            assert_eq!(config.rootfs().diff_ids(), &[format!("sha256:{}", sha256(&[7; 5000]))]);
        }
    }

    #[test]
    fn bytes_are_divided_where_each_layer_starts() {
        let settings = Settings { compression: Compression::None, level: None, threads: 1 };
        let (sender, receiver) = std::sync::mpsc::channel();
        let mut writer = LayoutWriter::new(tempfile::tempfile().unwrap(), 0, &settings).unwrap();
        writer.divide(receiver);
        writer.write_all(b"first").unwrap();
        sender.send(5).unwrap();
        sender.send(11).unwrap();
        writer.write_all(b"secondthird").unwrap();
        let (annotations, tag, architecture) = (BTreeMap::new(), None, "amd64".into());
        let description = Description { annotations, tag, architecture, time: Timestamp::default() };
        let file = writer.finish(&description).unwrap();
        let image = Layout::of_tar(&file).unwrap().image(None).unwrap();
        let crate::oci::Content::Layers(layers) = image.content else { panic!("not layers") };
        let contents = layers.iter().map(|layer| {
            let mut content = vec![0; layer.size as usize];
            layer.file.read_exact_at(&mut content, layer.offset).unwrap();
            content
        });
        let ended = |text: &[u8]| [text, &END_OF_ARCHIVE].concat();
        assert_eq!(contents.collect::<Vec<_>>(), [ended(b"first"), ended(b"second"), b"third".to_vec()]);
        let config: oci_spec::image::ImageConfiguration = serde_json::from_slice(&image.config).unwrap();
        let ids = [ended(b"first"), ended(b"second"), b"third".to_vec()].map(|bytes| sha256(&bytes));
        assert_eq!(config.rootfs().diff_ids(), &ids.map(|id| format!("sha256:{id}")));
    }

    #[test]
    fn the_header_of_any_layer_fits_the_reserved_space() {
        let mut header = Vec::new();
        tartree::encode(
            &mut header,
            &entry_for(&format!("blobs/sha256/{}", "a".repeat(64)), 8 << 30, Timestamp::default()),
            RootName::Dot,
        );
        assert_eq!(header.len(), RESERVED);
        let mut small = Vec::new();
        member(&mut small, "oci-layout", LAYOUT, Timestamp::default()).unwrap();
        assert_eq!(small.len(), RESERVED - 512);
    }

    #[test]
    fn each_compression_has_its_media_type() {
        for (compression, suffix) in
            [(Compression::Gzip, ".tar+gzip"), (Compression::Zstd, ".tar+zstd"), (Compression::None, ".tar")]
        {
            assert!(layer_type(compression).ends_with(&format!(".v1{suffix}")), "{suffix}");
        }
    }
}
