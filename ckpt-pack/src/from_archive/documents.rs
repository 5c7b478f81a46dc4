//! config.dump and spec.dump of an archive that is copied.

use checkpoint::Member;
use checkpoint::config_dump::ConfigDump;
use checkpoint::spec_dump::{Engine, SpecDump};
use tartree::Entry;

use crate::args::Args;
use crate::documents::{edit_config, edit_spec};
use crate::engine_documents::{fit, status_dump};

/// A document as it is in the archive, or in the file of `--member`.
pub struct Document {
    pub member: Member,
    pub entry: Entry,
    /// The headers in the archive, if the content is that of the archive.
    pub headers: Option<Vec<u8>>,
    pub bytes: Vec<u8>,
}

/// The two documents. With `--annotations`, they are kept until both are read, because the changes
/// for an engine depend on both.
#[derive(Default)]
pub struct Documents {
    config: Option<ConfigDump>,
    spec: Option<SpecDump>,
    kept: Vec<Document>,
}

impl Documents {
    /// Reads `document`, and changes it if the flags say so. Returns the documents that are ready to
    /// be written.
    ///
    /// # Errors
    /// Returns an error if the document is damaged, or if a flag cannot be applied to it.
    pub fn add(&mut self, document: Document, args: &Args) -> anyhow::Result<Vec<Document>> {
        let (flags, family) = (&args.container, args.image.annotations);
        if document.member == Member::ConfigDump {
            let mut config = ConfigDump::read(&document.bytes)?;
            edit_config(flags, family, &mut config)?;
            if flags.rootfs_image.is_some() || family.is_some() {
                config.complete_image_keys();
            }
            self.config = Some(config);
        } else {
            let mut spec = SpecDump::read(&document.bytes)?;
            edit_spec(flags, &mut spec)?;
            self.spec = Some(spec);
        }
        self.kept.push(document);
        if let Some(family) = family {
            let (Some(config), Some(spec)) = (&mut self.config, &mut self.spec) else {
                return Ok(Vec::new());
            };
            fit(family, flags.rootfs_image.as_deref(), config, spec)?;
        }
        let mut ready = std::mem::take(&mut self.kept);
        for document in &mut ready {
            let changed = match (&document.member, &self.config, &self.spec) {
                (Member::ConfigDump, Some(config), _) => {
                    (ConfigDump::read(&document.bytes)? != *config).then(|| config.write())
                }
                (_, _, Some(spec)) => (SpecDump::read(&document.bytes)? != *spec).then(|| spec.write()),
                _ => None,
            };
            if let Some(bytes) = changed {
                document.headers = None;
                document.bytes = bytes;
            }
        }
        Ok(ready)
    }

    /// Returns status.dump, which containerd needs, once both documents are read.
    pub fn status_dump(&self) -> Option<Vec<u8>> {
        Some(status_dump(self.config.as_ref()?, self.spec.as_ref()?))
    }

    /// Returns the engine that made the archive, once spec.dump is read.
    pub fn engine(&self) -> Option<Engine> {
        self.spec.as_ref().map(SpecDump::engine)
    }

    /// Returns both documents. A document that is missing is empty.
    pub fn into_both(self) -> (ConfigDump, SpecDump) {
        (self.config.unwrap_or_default(), self.spec.unwrap_or_default())
    }
}
