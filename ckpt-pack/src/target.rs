//! What the members become: an archive, or an OCI image whose layer is one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::AsFd;

use anyhow::Context;
use checkpoint::compress::{Compression, Encoder, Settings};
use checkpoint::host::{Host, architecture};
use checkpoint::oci::{Description, LayoutWriter, annotations};
use cli::{Hint, Output, usage};
use tartree::Timestamp;

use crate::args::{Format, Image};
use crate::documents::{Documents, rfc3339};

/// Takes the archive's bytes.
pub enum Target {
    Archive(Encoder<Output>),
    Image(Box<LayoutWriter>, Output),
}

impl Target {
    pub fn new(
        output: Output,
        settings: &Settings,
        format: Format,
        time: Timestamp,
    ) -> anyhow::Result<Target> {
        if format == Format::Archive {
            return Ok(Target::Archive(Encoder::new(output, settings)?));
        }
        if matches!(settings.compression, Compression::Xz | Compression::Bzip2) {
            return Err(usage(
                "--format oci: layers of images are compressed with gzip or zstd, or not at all",
            ));
        }
        let mut file = File::from(output.as_fd().try_clone_to_owned().context("output")?);
        let appends = nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_GETFL)
            .is_ok_and(|flags| flags & libc::O_APPEND != 0);
        if appends || !file.metadata().with_context(|| output.name().to_owned())?.is_file() {
            let e = usage(format!(
                "{}: an image is written into a file only, its first name is known last",
                output.name()
            ));
            return Err(Hint::on(e, "use -o FILE"));
        }
        let start = file.stream_position().with_context(|| output.name().to_owned())?;
        Ok(Target::Image(Box::new(LayoutWriter::new(file, start, settings, time)?), output))
    }

    /// Writes what comes behind the archive and gives the output its name.
    pub fn finish(self, describe: impl FnOnce() -> Description) -> anyhow::Result<()> {
        match self {
            Target::Archive(encoder) => encoder.finish()?.commit(),
            Target::Image(layout, output) => {
                layout.finish(&describe()).with_context(|| output.name().to_owned())?;
                output.commit()
            }
        }
    }
}

impl Write for Target {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Target::Archive(encoder) => encoder.write(buf),
            Target::Image(layout, _) => layout.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Target::Archive(encoder) => encoder.flush(),
            Target::Image(layout, _) => layout.flush(),
        }
    }
}

/// What the image says of the container and of this host.
pub fn describe(
    documents: &Documents,
    image: &Image,
    criu: &str,
    runtime: Option<&str>,
    time: Timestamp,
) -> Description {
    let config = &documents.config;
    let named = config.text("runtime").unwrap_or("runc");
    // A bundle may come from another machine, so only a name that was given here, or is well known, is run.
    let run = runtime.or_else(|| ["runc", "crun"].into_iter().find(|known| *known == named));
    let mut facts = Host::ask(criu, run).facts;
    let mut add = |fact, value: Option<&str>| facts.extend(value.map(|value| (fact, value.to_owned())));
    add("engine.name", Some(documents.engine));
    add("container.name", config.text("name"));
    add("rootfsImageID", config.text("rootfsImageID"));
    add("rootfsImageName", config.text("rootfsImageName"));
    add("rawImageName", config.text("RawImageName").or(config.text("rootfsImageName")));
    add("runtime.name", Some(named));
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (fact, value) in facts {
        all.extend(annotations(fact).map(|name| (name, value.clone())));
    }
    all.extend(image.annotation.iter().cloned());
    Description {
        annotations: all,
        tag: image.tag.clone(),
        architecture: architecture().into(),
        created: rfc3339(time.sec),
    }
}
