//! An image layout, as tar or directory, to the place of its layer. docker's form (`docker save`) is understood too.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tartree::{Item, Kind, Limits, Reader, TarPath};

use super::choose::{Listed, choose, listed};
use super::hex;
use crate::error::{Error, Result};

/// Bytes of an index, manifest or configuration; registries take 4 MiB.
const DOCUMENT: u64 = 4 << 20;
/// Entries of a layout that are looked at: three blobs for each image.
const ENTRIES: u64 = 100_000;

/// Whether a tar whose first entry has this name is an image and not a checkpoint archive.
pub fn is_layout(first: &TarPath) -> bool {
    matches!(first.as_bytes(), b"oci-layout" | b"index.json" | b"manifest.json" | b"repositories")
        || first.as_bytes().starts_with(b"blobs")
        // docker-archive: a layer or configuration named by its digest.
        || first.as_bytes().split(|&b| b == b'.').next().is_some_and(|stem| stem.len() == 64 && stem.iter().all(u8::is_ascii_hexdigit))
}

/// A layout that can be looked into.
pub struct Layout {
    place: Place,
}

enum Place {
    Tar { file: File, entries: BTreeMap<TarPath, (u64, u64)>, links: BTreeMap<TarPath, TarPath> },
    Dir(PathBuf),
}

/// The image of a checkpoint.
pub struct Image {
    /// Its name in the layout.
    pub name: Option<String>,
    /// Of its manifest.
    pub annotations: BTreeMap<String, String>,
    /// The manifest's bytes; empty in docker's form.
    pub manifest: Vec<u8>,
    /// The configuration's bytes.
    pub config: Vec<u8>,
    /// Its one layer, which is the archive.
    pub layer: Blob,
}

/// Where a blob lies.
#[derive(Debug)]
pub struct Blob {
    /// An open file.
    pub file: File,
    /// Where in it the blob starts.
    pub offset: u64,
    /// Its length.
    pub size: u64,
    /// Its SHA-256, where the layout names it.
    pub digest: Option<String>,
}

pub(super) fn bad(what: impl ToString) -> Error {
    Error::member("image", what)
}

impl Layout {
    /// The layout in the tar `file`, from its current position.
    ///
    /// # Errors
    /// When it is no tar, or cannot be read.
    pub fn of_tar(file: &File) -> Result<Layout> {
        let io = |e| Error::Tar(tartree::Error::Stream(e));
        let mut file = file.try_clone().map_err(io)?;
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        let limits = Limits { entries: ENTRIES, ..Limits::default() };
        let mut reader = Reader::new(BufReader::with_capacity(256 << 10, &file), limits);
        let (mut entries, mut links) = (BTreeMap::new(), BTreeMap::new());
        while let Some(item) = reader.next()? {
            let Item::Entry(entry) = item else { continue };
            match entry.kind {
                Kind::File { size, map: None } => {
                    entries.insert(entry.path, (reader.position(), size));
                }
                // docker names a layer by its own digest and links to it from the place where it used to be.
                Kind::Symlink { target } => {
                    let target =
                        target.rsplit(|&b| b == b'/').next().and_then(|name| TarPath::parse(name).ok());
                    links.extend(target.map(|target| (entry.path, target)));
                }
                _ => {}
            }
        }
        drop(reader);
        Ok(Layout { place: Place::Tar { file, entries, links } })
    }

    /// The layout in a directory.
    pub fn of_dir(dir: &Path) -> Layout {
        Layout { place: Place::Dir(dir.to_owned()) }
    }

    /// The image named `name`, or the only one. Its name is what `org.opencontainers.image.ref.name` says (image-spec,
    /// annotations), or containerd's `io.containerd.image.name`, in docker's form any of its tags. Of several for different
    /// machines it is the one for this machine.
    ///
    /// # Errors
    /// When there is none, several, or one that is no checkpoint's.
    pub fn image(&self, name: Option<&str>) -> Result<Image> {
        if let Some(index) = self.document("index.json")? {
            return self.oci(parse("index.json", &index)?, name);
        }
        match self.document("manifest.json")? {
            Some(manifest) => self.docker(&parse("manifest.json", &manifest)?, name),
            None => Err(bad("neither index.json nor manifest.json is in it")),
        }
    }

    fn oci(&self, index: Value, name: Option<&str>) -> Result<Image> {
        let all = listed(index, |descriptor| parse("index", &self.blob_document(descriptor)?))?;
        let Listed { entry, names, .. } = self.choose("index.json", &all, name, |entry| &entry["digest"])?;
        let bytes = self.blob_document(&entry)?;
        let manifest = parse("manifest", &bytes)?;
        let layer = the_layer(&manifest["layers"])?;
        let annotations = manifest["annotations"].as_object().map(|all| {
            all.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
        });
        Ok(Image {
            name: names.into_iter().next(),
            annotations: annotations.unwrap_or_default(),
            config: self.blob_document(&manifest["config"])?,
            layer: self.blob(layer)?,
            manifest: bytes,
        })
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
                identity: format!("{} {}", entry["Config"], entry["Layers"]),
                entry: entry.clone(),
            })
            .collect();
        let Listed { entry, names, .. } =
            self.choose("manifest.json", &all, name, |entry| &entry["Config"])?;
        let config = text(&entry["Config"]).ok_or_else(|| bad("manifest.json names no configuration"))?;
        let layer = text(the_layer(&entry["Layers"])?).ok_or_else(|| bad("manifest.json names no layer"))?;
        Ok(Image {
            name: names.into_iter().next(),
            annotations: BTreeMap::new(),
            manifest: Vec::new(),
            config: self.document(config)?.unwrap_or_default(),
            layer: self.find(layer)?.ok_or_else(|| Error::member(layer, "not in the image"))?,
        })
    }

    /// The image that is meant; `part` tells what must be in the layout for it to be there.
    fn choose(
        &self,
        list: &'static str,
        all: &[Listed],
        name: Option<&str>,
        part: impl Fn(&Value) -> &Value,
    ) -> Result<Listed> {
        let there = |image: &Listed| {
            let part = part(&image.entry);
            let path = digest(part).map(|digest| blob_path(&digest)).ok();
            let path = path.as_deref().or(part.as_str());
            path.is_some_and(|path| matches!(self.find(path), Ok(Some(_))))
        };
        choose(list, all, name, there, crate::architecture())
    }

    fn blob_document(&self, descriptor: &Value) -> Result<Vec<u8>> {
        let blob = self.blob(descriptor)?;
        let digest = blob.digest.clone().unwrap_or_default();
        let name = blob_path(&digest);
        let bytes = blob.document(&name)?;
        match super::sha256(&bytes) == digest {
            true => Ok(bytes),
            false => Err(Error::member(&name, "its SHA-256 is not its name")),
        }
    }

    /// A whole document, `None` where there is none.
    fn document(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.find(name)?.map(|blob| blob.document(name)).transpose()
    }

    /// What a descriptor describes, as long as it says; whether it has that digest is not looked at.
    fn blob(&self, descriptor: &Value) -> Result<Blob> {
        let digest = digest(&descriptor["digest"])?;
        let name = blob_path(&digest);
        let Some(blob) = self.find(&name)? else { return Err(Error::member(&name, "not in the image")) };
        match &descriptor["size"] {
            Value::Null => {}
            size if size.as_u64() == Some(blob.size) => {}
            size => {
                let what = format!("{} bytes, {size} are announced", blob.size);
                return Err(Error::member(&name, what));
            }
        }
        Ok(Blob { digest: Some(digest), ..blob })
    }

    fn find(&self, name: &str) -> Result<Option<Blob>> {
        let path = TarPath::parse(name.as_bytes()).map_err(tartree::Error::from)?;
        let io = |e: std::io::Error| Error::member(name, e);
        match &self.place {
            Place::Tar { file, entries, links } => {
                let path = links.get(&path).unwrap_or(&path);
                let Some(&(offset, size)) = entries.get(path) else { return Ok(None) };
                Ok(Some(Blob { file: file.try_clone().map_err(io)?, offset, size, digest: None }))
            }
            Place::Dir(dir) => {
                let mut options = File::options();
                // A link would lead out of the layout, a FIFO would wait for ever.
                options.read(true).custom_flags(NOFOLLOW_NONBLOCK);
                match options.open(dir.join(path.as_os_str())) {
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
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

/// O_NOFOLLOW and O_NONBLOCK.
const NOFOLLOW_NONBLOCK: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;

impl Blob {
    /// All of it, which is a document by this name.
    fn document(mut self, name: &str) -> Result<Vec<u8>> {
        if self.size > DOCUMENT {
            return Err(Error::member(name, format!("longer than {DOCUMENT} bytes")));
        }
        let io = |e: std::io::Error| Error::member(name, e);
        self.file.seek(SeekFrom::Start(self.offset)).map_err(io)?;
        let mut bytes = Vec::new();
        self.file.take(self.size).read_to_end(&mut bytes).map_err(io)?;
        Ok(bytes)
    }

    /// Reads all of it and compares its hash with its name.
    ///
    /// # Errors
    /// When they differ, or it is shorter than it should be.
    pub fn prove(&mut self) -> Result<()> {
        let Some(digest) = &self.digest else { return Ok(()) };
        let io = |e: std::io::Error| Error::member("layer", e);
        self.file.seek(SeekFrom::Start(self.offset)).map_err(io)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        let mut left = (&mut self.file).take(self.size);
        loop {
            match left.read(&mut buffer).map_err(io)? {
                0 => break,
                got => hash.update(&buffer[..got]),
            }
        }
        if hex(&hash.finalize()) != *digest {
            return Err(Error::member("layer", "its SHA-256 is not its name: it was changed or cut"));
        }
        Ok(())
    }
}

fn parse(name: &str, bytes: &[u8]) -> Result<Value> {
    crate::json::document(bytes).map_err(|e| Error::member(name, e))
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

/// The only layer there is.
fn the_layer(layers: &Value) -> Result<&Value> {
    match layers.as_array().map(Vec::as_slice).unwrap_or_default() {
        [layer] => Ok(layer),
        layers => Err(bad(format!("it has {} layers, a checkpoint has one", layers.len()))),
    }
}

fn blob_path(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}

/// The digits of `sha256:…`; anything else could be a path.
fn digest(value: &Value) -> Result<String> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("sha256:")).unwrap_or_default();
    match digits.len() == 64 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        true => Ok(digits.to_owned()),
        false => Err(bad(format!("{value} is not a SHA-256 digest"))),
    }
}
