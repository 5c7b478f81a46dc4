//! Writes an image layout in one pass.
//!
//! The name of a blob is its hash, which is known only after its last byte. The layer is therefore
//! written first, after reserved space for its header, and the header is written at the end. The
//! output must be a seekable file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

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

/// Writes a layout. The bytes that are written to it become the layer;
/// [`finish`](LayoutWriter::finish) writes the rest.
pub struct LayoutWriter {
    layer: Layer,
    compression: Compression,
    start: u64,
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
        let dir = |name: &str| {
            let meta = Meta { mode: 0o755, mtime: Timestamp { nsec: 0, ..time }, ..Meta::default() };
            let mut bytes = Vec::new();
            let path = TarPath::root().child(name.as_bytes());
            tartree::encode(&mut bytes, &Entry { path, kind: Kind::Dir, meta }, RootName::Dot);
            bytes
        };
        let mut layout = Vec::new();
        tartree::encode(&mut layout, &entry_for("oci-layout", LAYOUT.len() as u64, time), RootName::Dot);
        layout.extend_from_slice(LAYOUT);
        layout.resize(RESERVED - 512, 0);
        let fillers = vec![[dir("blobs"), dir("blobs/sha256")].concat(), layout];
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
        let counted = FileAt { file, position: start + RESERVED as u64 };
        let layer = Hashing::new(Encoder::new(Hashing::new(counted), settings)?);
        Ok(LayoutWriter { layer, compression: settings.compression, start })
    }

    /// Writes the other blobs and the index. Returns the file, which is truncated to the end of the
    /// layout.
    ///
    /// # Errors
    /// Returns an error if writing to the file fails.
    pub fn finish(self, description: &Description) -> io::Result<File> {
        let (encoder, diff_id, _) = self.layer.finish();
        let (mut out, layer, size) = encoder.finish()?.finish();
        out.write_all(&[0; 512][..padding(size) as usize])?;

        let time = Timestamp { nsec: 0, ..description.time };
        let created = time.to_string();
        let config = json!({
            "created": created,
            "architecture": description.architecture,
            "os": "linux",
            "config": { "WorkingDir": "/" },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
            "history": [{ "created": created, "created_by": "ckpt-pack" }],
        });
        let config = blob(&mut out, &config, time)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor(layer_type(self.compression), &(layer.clone(), size))],
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

        let mut start = Vec::new();
        let layer = entry_for(&format!("blobs/sha256/{layer}"), size, time);
        let mut header = Vec::new();
        tartree::encode(&mut header, &layer, RootName::Dot);
        if header.len() < RESERVED {
            member(&mut start, "oci-layout", LAYOUT, time)?;
        } else {
            member(&mut out, "oci-layout", LAYOUT, time)?;
        }
        start.extend(header);
        out.write_all(&END_OF_ARCHIVE)?;
        out.file.write_all_at(&start, self.start)?;
        out.file.set_len(out.position)?;
        Ok(out.file)
    }
}

impl Write for LayoutWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.layer.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.layer.flush()
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
}
