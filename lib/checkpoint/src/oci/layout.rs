//! Reads an image from an image layout, which is a tar or a directory. Also reads the output of
//! `docker save` and skopeo's `dir:` format.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tartree::{Item, Kind, Limits, Reader, TarPath};

use super::blob::Blob;
use super::choose::{Form, INDEX, Listed, choose, listed};
use super::containerd::{Parts, base};
use super::digest::Digest;
use super::error::image_error;
use super::hashing::sha256;
use super::image::{Content, Image};
use crate::architecture::architecture;
use crate::error::{Error, Result};

/// The most entries of a layout. Each image has about three.
const MAX_ENTRIES: u64 = 100_000;

/// Returns whether a tar is an image and not a checkpoint archive, by the name of its first entry.
pub fn is_layout(first: &TarPath) -> bool {
    matches!(first.as_bytes(), b"oci-layout" | b"index.json" | b"manifest.json" | b"repositories")
        || first.as_bytes().starts_with(b"blobs")
        // In the format of `docker save`, a layer or configuration is named by its digest.
        || first.as_bytes().split(|&b| b == b'.').next().is_some_and(|stem| stem.len() == 64 && stem.iter().all(u8::is_ascii_hexdigit))
}

/// An open image layout.
pub struct Layout {
    storage: Storage,
}

enum Storage {
    /// A tar: the offset and size of each file, and the target of each symbolic link.
    Tar { file: File, entries: BTreeMap<TarPath, (u64, u64)>, links: BTreeMap<TarPath, TarPath> },
    /// A directory.
    Dir(PathBuf),
}

impl Layout {
    /// Opens the layout in the tar `file`.
    ///
    /// # Errors
    /// Returns an error if `file` is not a tar or cannot be read.
    pub fn of_tar(file: &File) -> Result<Layout> {
        let io = |e| Error::Tar(tartree::Error::Stream(e));
        let mut file = file.try_clone().map_err(io)?;
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        let limits = Limits { entries: MAX_ENTRIES, ..Limits::default() };
        let mut reader = Reader::new(BufReader::with_capacity(256 << 10, &file), limits);
        let (mut entries, mut links) = (BTreeMap::new(), BTreeMap::new());
        while let Some(item) = reader.next()? {
            let Item::Entry(entry) = item else { continue };
            match entry.kind {
                Kind::File { size, map: None } => {
                    entries.insert(entry.path, (reader.position(), size));
                }
                // Newer versions of docker name a layer by its digest, and link to it from the path
                // that older versions used.
                Kind::Symlink { target } => {
                    let target =
                        target.rsplit(|&b| b == b'/').next().and_then(|name| TarPath::parse(name).ok());
                    links.extend(target.map(|target| (entry.path, target)));
                }
                _ => {}
            }
        }
        drop(reader);
        Ok(Layout { storage: Storage::Tar { file, entries, links } })
    }

    /// Opens the layout in a directory.
    pub fn of_dir(dir: &Path) -> Layout {
        Layout { storage: Storage::Dir(dir.to_owned()) }
    }

    /// Returns the image named `name`, or the only image if `name` is `None`. The name of an image
    /// is its annotation `org.opencontainers.image.ref.name` (image-spec, annotations.md) or
    /// containerd's `io.containerd.image.name`; in the format of `docker save`, it is any of its
    /// tags. If there are images for several architectures, returns the image for the host's
    /// architecture.
    ///
    /// # Errors
    /// Returns an error if no image or several images match, or if the image is damaged.
    pub fn image(&self, name: Option<&str>) -> Result<Image> {
        if let Some(index) = self.document("index.json")? {
            return self.oci(parse("index.json", &index)?, name);
        }
        let Some(bytes) = self.document("manifest.json")? else {
            return Err(image_error("has neither index.json nor manifest.json"));
        };
        match parse("manifest.json", &bytes)? {
            index @ Value::Object(_) if index["manifests"].is_array() => self.oci(index, name),
            Value::Object(_) => self.skopeo_dir(bytes, name),
            docker => self.docker(&docker, name),
        }
    }

    /// Reads skopeo's `dir:` format: one manifest, blobs that are named by their digests, and no
    /// name of the image.
    fn skopeo_dir(&self, bytes: Vec<u8>, name: Option<&str>) -> Result<Image> {
        let digest = format!("sha256:{}", sha256(&bytes));
        let entry = json!({ "digest": digest, "annotations": {} });
        let only = Listed {
            identity: digest.clone(),
            entry,
            names: Vec::new(),
            digests: vec![digest],
            form: Form::Manifest,
        };
        choose("manifest.json", &[only], name, |_| true, architecture())?;
        self.of_manifest(bytes, Vec::new())
    }

    fn of_manifest(&self, bytes: Vec<u8>, names: Vec<String>) -> Result<Image> {
        let manifest = parse("manifest", &bytes)?;
        Ok(Image {
            name: names.into_iter().next(),
            annotations: annotations(&manifest),
            config: self.blob_document(&manifest["config"])?,
            content: Content::Layers(
                layers(&manifest["layers"])?.iter().map(|layer| self.blob(layer)).collect::<Result<_>>()?,
            ),
            manifest: bytes,
        })
    }

    fn oci(&self, index: Value, name: Option<&str>) -> Result<Image> {
        let all = listed(index, |descriptor| parse("index", &self.blob_document(descriptor)?))?;
        let Listed { entry, names, form, .. } =
            self.choose("index.json", &all, name, |entry| &entry["digest"])?;
        let bytes = self.blob_document(&entry)?;
        match form {
            Form::Manifest => self.of_manifest(bytes, names),
            Form::Containerd => self.of_checkpoint_index(bytes, names),
        }
    }

    /// Reads a checkpoint of containerd from its index.
    fn of_checkpoint_index(&self, bytes: Vec<u8>, names: Vec<String>) -> Result<Image> {
        let index = parse("index", &bytes)?;
        // The name with the registry is longer, and the last name may be only the tag.
        let name = names.into_iter().max_by_key(String::len);
        let image_id = |index: &Value, part: &Value| self.image_id(index, &part["platform"]["architecture"]);
        let parts = Parts::find(&index, name.as_deref(), |descriptor| self.blob(descriptor), image_id)?;
        Ok(Image {
            name,
            annotations: annotations(&index),
            manifest: bytes,
            config: Vec::new(),
            content: Content::Containerd(Box::new(parts)),
        })
    }

    /// Returns the ID of the container's image: the digest of its configuration. Returns `None` if
    /// the layout has no such image, or not for `architecture`.
    fn image_id(&self, index: &Value, architecture: &Value) -> Option<String> {
        let mut document = self.linked_document(base(index, &[MANIFESTS, INDEX].concat())?)?;
        if let Some(manifests) = document["manifests"].as_array() {
            let fits = |manifest: &&Value| manifest["platform"]["architecture"] == *architecture;
            document = self.linked_document(manifests.iter().find(fits)?)?;
        }
        let digest = Digest::read(&document["config"]["digest"]).ok()?;
        digest.in_layout().strip_prefix("blobs/sha256/").map(str::to_owned)
    }

    /// Reads the document of a descriptor. Returns `None` if the document is missing or damaged.
    fn linked_document(&self, descriptor: &Value) -> Option<Value> {
        parse("manifest", &self.blob_document(descriptor).ok()?).ok()
    }

    fn docker(&self, manifest: &Value, name: Option<&str>) -> Result<Image> {
        let tags = |entry: &Value| -> Vec<String> {
            entry["RepoTags"].as_array().into_iter().flatten().filter_map(text).map(str::to_owned).collect()
        };
        let all: Vec<Listed> = manifest
            .as_array()
            .into_iter()
            .flatten()
            .map(|entry| Listed {
                names: tags(entry),
                digests: id_of(&entry["Config"]).into_iter().collect(),
                identity: format!("{} {}", entry["Config"], entry["Layers"]),
                entry: entry.clone(),
                form: Form::Manifest,
            })
            .collect();
        let Listed { entry, names, .. } =
            self.choose("manifest.json", &all, name, |entry| &entry["Config"])?;
        let config =
            text(&entry["Config"]).ok_or_else(|| image_error("manifest.json names no configuration"))?;
        let layer = |layer: &Value| {
            let layer = text(layer).ok_or_else(|| image_error("manifest.json: a layer without a name"))?;
            self.find(layer)?.ok_or_else(|| Error::member(layer, "not in the image"))
        };
        Ok(Image {
            name: names.into_iter().next(),
            annotations: BTreeMap::new(),
            manifest: Vec::new(),
            config: self.document(config)?.unwrap_or_default(),
            content: Content::Layers(layers(&entry["Layers"])?.iter().map(layer).collect::<Result<_>>()?),
        })
    }

    /// Chooses the image. `part` returns the digest or path of the blob that the layout must
    /// contain for an image to be present.
    fn choose(
        &self,
        list: &'static str,
        all: &[Listed],
        name: Option<&str>,
        part: impl Fn(&Value) -> &Value,
    ) -> Result<Listed> {
        let there = |image: &Listed| {
            let part = part(&image.entry);
            match Digest::read(part) {
                Ok(digest) => matches!(self.find_blob(&digest), Ok(Some(_))),
                Err(_) => part.as_str().is_some_and(|path| matches!(self.find(path), Ok(Some(_)))),
            }
        };
        choose(list, all, name, there, architecture())
    }

    fn blob_document(&self, descriptor: &Value) -> Result<Vec<u8>> {
        let blob = self.blob(descriptor)?;
        let Some(digest) = blob.digest.clone() else { return Err(image_error("a blob without a digest")) };
        let name = digest.in_layout();
        let bytes = blob.document(&name)?;
        let io = |e: std::io::Error| Error::member(&name, e);
        match digest.is_of(&bytes[..]).map_err(io)? {
            true => Ok(bytes),
            false => {
                Err(Error::member(&name, format!("the {} does not match the digest", digest.algorithm())))
            }
        }
    }

    /// Reads a document. Returns `None` if it does not exist.
    fn document(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.find(name)?.map(|blob| blob.document(name)).transpose()
    }

    /// Returns the blob of a descriptor after checking its size. The digest is not verified.
    fn blob(&self, descriptor: &Value) -> Result<Blob> {
        let digest = Digest::read(&descriptor["digest"])?;
        let name = digest.in_layout();
        let Some(blob) = self.find_blob(&digest)? else {
            return Err(Error::member(&name, "not in the image"));
        };
        match &descriptor["size"] {
            Value::Null => {}
            size if size.as_u64() == Some(blob.size) => {}
            size => {
                let what = format!("expected {size} bytes, found {}", blob.size);
                return Err(Error::member(&name, what));
            }
        }
        Ok(Blob { digest: Some(digest), ..blob })
    }

    /// Finds a blob by its path in a layout, or by its name in skopeo's `dir:` format.
    fn find_blob(&self, digest: &Digest) -> Result<Option<Blob>> {
        if let Some(blob) = self.find(&digest.in_layout())? {
            return Ok(Some(blob));
        }
        for name in digest.in_directory() {
            if let Some(blob) = self.find(&name)? {
                return Ok(Some(blob));
            }
        }
        Ok(None)
    }

    fn find(&self, name: &str) -> Result<Option<Blob>> {
        let path = TarPath::parse(name.as_bytes()).map_err(tartree::Error::from)?;
        let io = |e: std::io::Error| Error::member(name, e);
        match &self.storage {
            Storage::Tar { file, entries, links } => {
                let path = links.get(&path).unwrap_or(&path);
                let Some(&(offset, size)) = entries.get(path) else { return Ok(None) };
                Ok(Some(Blob { file: file.try_clone().map_err(io)?, offset, size, digest: None }))
            }
            Storage::Dir(dir) => {
                let mut options = File::options();
                // A symbolic link could lead out of the layout, and opening a FIFO would block.
                options.read(true).custom_flags(NOFOLLOW_NONBLOCK);
                let at = dir.join(path.as_os_str());
                match options.open(&at) {
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    // docker keeps a symbolic link at the path that older versions used for a
                    // layer. The link points to the layer at the top level.
                    Err(e) if e.raw_os_error() == Some(libc::ELOOP) && path.as_bytes().contains(&b'/') => {
                        let target = std::fs::read_link(&at).map_err(io)?;
                        let name = target.file_name().and_then(|name| name.to_str());
                        name.map_or(Ok(None), |name| self.find(name))
                    }
                    opened => {
                        let file = opened.map_err(io)?;
                        let meta = file.metadata().map_err(io)?;
                        if !meta.is_file() {
                            return Err(Error::member(name, "not a regular file"));
                        }
                        Ok(Some(Blob { file, offset: 0, size: meta.len(), digest: None }))
                    }
                }
            }
        }
    }
}

const NOFOLLOW_NONBLOCK: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;

/// The media types of a manifest: the type in the specification, and docker's older type.
const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/// Returns the annotations of a manifest or index that are strings.
fn annotations(document: &Value) -> BTreeMap<String, String> {
    let all = document["annotations"].as_object().into_iter().flatten();
    all.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn parse(name: &str, bytes: &[u8]) -> Result<Value> {
    strict_json::document(bytes).map_err(|e| Error::member(name, e))
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

/// The maximum number of layers in an image. A build writes at most one layer per step.
const MAX_LAYERS: usize = 128;

fn layers(layers: &Value) -> Result<&[Value]> {
    match layers.as_array().map(Vec::as_slice).unwrap_or_default() {
        [] => Err(image_error("has no layers")),
        layers if layers.len() > MAX_LAYERS => Err(image_error(format!("more than {MAX_LAYERS} layers"))),
        layers => Ok(layers),
    }
}

/// Returns the ID of an image in the format of `docker save`: the digest of its configuration,
/// which is named `HEX.json` or `blobs/sha256/HEX`.
fn id_of(config: &Value) -> Option<String> {
    let name = config.as_str()?.rsplit('/').next()?;
    let digest = json!(format!("sha256:{}", name.strip_suffix(".json").unwrap_or(name)));
    Digest::read(&digest).ok()?;
    digest.as_str().map(str::to_owned)
}
