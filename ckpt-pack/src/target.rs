//! What the members become: an archive, or an OCI image whose layer is one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Seek, Write};
use std::os::fd::AsFd;

use anyhow::Context;
use checkpoint::compress::{Compression, Encoder, Settings};
use checkpoint::host::Host;
use checkpoint::oci::{Description, Family, LayoutWriter, annotations};
use cli::{Hint, Output, usage};
use tartree::{Passage, Timestamp};

use crate::args::{Also, Format, Image};
use crate::bundle::Bundle;
use crate::documents::Documents;

const BUFFER: usize = 256 << 10;

/// Takes the archive's bytes.
pub enum Target {
    Archive(Encoder<Output>),
    Image(Box<LayoutWriter>, Place, Output),
}

/// Where an image is written: its first name is known last, so it must be a file that can be sought.
pub enum Place {
    /// The output itself.
    Output,
    /// An unnamed file in the bundle, copied to the output when it is whole; its name for messages.
    Spool(String),
}

/// What only an image can have is not asked of an archive.
pub fn check(image: &Image) -> anyhow::Result<()> {
    let asked = [
        ("--tag", image.tag.is_some()),
        ("--annotations", image.annotations.is_some()),
        ("--annotation", !image.annotation.is_empty()),
    ];
    match asked.into_iter().find(|(_, given)| *given && image.format == Format::Archive) {
        Some((flag, _)) => {
            Err(Hint::on(usage(format!("{flag}: only an image has such a thing")), "add --format oci"))
        }
        None => Ok(()),
    }
}

impl Target {
    pub fn new(
        output: Output,
        settings: &Settings,
        format: Format,
        time: Timestamp,
        bundle: &Bundle,
    ) -> anyhow::Result<Target> {
        if format == Format::Archive {
            return Ok(Target::Archive(Encoder::new(output, settings)?));
        }
        if matches!(settings.compression, Compression::Xz | Compression::Bzip2) {
            return Err(usage(
                "--format oci: layers of images are compressed with gzip or zstd, or not at all",
            ));
        }
        let (file, start, place) = match seekable(&output).with_context(|| output.name().to_owned())? {
            Some((file, start)) => (file, start, Place::Output),
            None => {
                let name = format!("{}: an unnamed file", cli::display_path(bundle.dir()));
                (cli::spool(Some(bundle.dir()))?, 0, Place::Spool(name))
            }
        };
        Ok(Target::Image(Box::new(LayoutWriter::new(file, start, settings, time)?), place, output))
    }

    /// The way past our memory for bytes to which nothing is done.
    pub fn passage(&self) -> Option<Passage> {
        match self {
            Target::Archive(encoder) => Passage::to(encoder.plain()?.as_fd(), cli::count),
            Target::Image(..) => None,
        }
    }

    /// Writes what comes behind the archive and gives the output its name.
    pub fn finish(self, describe: impl FnOnce() -> Description) -> anyhow::Result<()> {
        match self {
            Target::Archive(encoder) => encoder.finish()?.commit(),
            Target::Image(layout, place, mut output) => {
                let name = place.name(&output).to_owned();
                let mut file = layout.finish(&describe()).with_context(|| name.clone())?;
                if let Place::Spool(_) = place {
                    file.rewind().with_context(|| name)?;
                    io::copy(&mut BufReader::with_capacity(BUFFER, file), &mut output)?;
                }
                output.commit()
            }
        }
    }
}

impl Place {
    fn name<'a>(&'a self, output: &'a Output) -> &'a str {
        match self {
            Place::Output => output.name(),
            Place::Spool(name) => name,
        }
    }
}

/// The output as a file that can be written anywhere, and its position; none for a pipe, and none for a file opened to append,
/// whose every write goes to its end.
fn seekable(output: &Output) -> io::Result<Option<(File, u64)>> {
    let mut file = File::from(output.as_fd().try_clone_to_owned()?);
    let flags = nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_GETFL)?;
    if flags & libc::O_APPEND != 0 || !file.metadata()?.is_file() {
        return Ok(None);
    }
    let start = file.stream_position()?;
    Ok(Some((file, start)))
}

impl Write for Target {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Target::Archive(encoder) => encoder.write(buf),
            Target::Image(layout, place, output) => {
                let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", place.name(output)));
                layout.write(buf).map_err(named)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Target::Archive(encoder) => encoder.flush(),
            Target::Image(layout, ..) => layout.flush(),
        }
    }
}

/// Annotations by which spec.dump tells of the pod: those of CRI-O and the kubelet, then containerd's.
const POD: [(&str, &[&str]); 4] = [
    ("pod.name", &["io.kubernetes.pod.name", "io.kubernetes.cri.sandbox-name"]),
    ("pod.namespace", &["io.kubernetes.pod.namespace", "io.kubernetes.cri.sandbox-namespace"]),
    ("pod.id", &["io.kubernetes.cri-o.SandboxID", "io.kubernetes.cri.sandbox-id"]),
    ("pod.uid", &["io.kubernetes.pod.uid", "io.kubernetes.cri.sandbox-uid"]),
];

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
    add("engine.name", Some(documents.spec.engine().name()));
    add("container.name", config.text("name"));
    add("rootfsImageID", config.text("rootfsImageID"));
    add("rootfsImageName", config.text("rootfsImageName"));
    add("rawImageName", config.text("RawImageName").or(config.text("rootfsImageName")));
    add("runtime.name", Some(named));
    for (fact, keys) in POD {
        add(fact, keys.iter().find_map(|key| documents.spec.annotation(key)));
    }
    let for_cri_o = image.annotations == Some(Also::CriO);
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (fact, value) in facts {
        let wanted = annotations(fact).filter(|(family, _)| *family != Family::CriO || for_cri_o);
        all.extend(wanted.map(|(_, name)| (name, value.clone())));
    }
    all.extend(image.annotation.iter().cloned());
    Description {
        annotations: all,
        tag: image.tag.clone(),
        architecture: checkpoint::architecture().into(),
        created: Timestamp { nsec: 0, ..time }.to_string(),
    }
}
