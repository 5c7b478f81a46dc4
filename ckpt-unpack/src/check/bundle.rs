//! Reads an unpacked bundle for `--check`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use checkpoint::config_dump::ConfigDump;
use checkpoint::spec_dump::SpecDump;
use cli::Hint;
use tartree::Root;

use super::restore::{Form, MadeBy, Restore, mounts, volumes};
use super::trees::Archived;
use crate::args::Args;

/// Reads the documents of the bundle, and opens its images.
///
/// # Errors
/// Returns an error if the bundle has no `config.json` or no images.
pub fn read(args: &Args, bundle: &Path) -> anyhow::Result<Restore> {
    let object = |name: &str| cli::display_path(bundle.join(name));
    let spec = document(bundle, "config.json", SpecDump::LIMIT)?.with_context(|| object("config.json"));
    let spec = spec.map_err(|_| {
        let e = anyhow::anyhow!("{}: no such file", object("config.json"));
        let (from, to) = (object("spec.dump"), object("config.json"));
        Hint::on(e, format!("spec-gen --restore --rootfs DIR < {from} > {to}"))
    })?;
    let spec = SpecDump::read(&spec).map_err(|e| anyhow::anyhow!("{}: {e}", object("config.json")))?;
    let volumes = match document(bundle, "config.dump", ConfigDump::LIMIT)? {
        Some(config) => volumes(&ConfigDump::read(&config)?)?,
        None => BTreeMap::new(),
    };
    let image_path = bundle.join("checkpoint");
    let images = Root::open(&image_path).with_context(|| object("checkpoint"))?;
    let logs = ["dump.log", "checkpoint/dump.log"];
    let log = logs.iter().find_map(|log| File::open(bundle.join(log)).ok());
    let rootfs = args.output.rootfs.clone();
    let rootfs = rootfs.or_else(|| Some(bundle.join(spec.root_path().unwrap_or("rootfs"))));
    Ok(Restore {
        container: None,
        form: Form::Bundle(bundle.to_path_buf()),
        images: Box::new(images),
        image_path: Some(image_path),
        mounts: mounts(&spec, bundle),
        cgroup: spec.cgroups_path().map(str::to_owned),
        network: spec.network_namespace().map(PathBuf::from),
        volumes,
        ignores_volumes: false,
        rootfs,
        volume_dirs: Vec::new(),
        archived: Archived::default(),
        written: Vec::new(),
        made_by: log.map(MadeBy::of_log).unwrap_or_default(),
        // The images of a bundle are checked together with those of their base.
        base: None,
        problems: Vec::new(),
    })
}

/// Reads a document, or returns `None` if it does not exist.
fn document(bundle: &Path, name: &str, limit: u64) -> anyhow::Result<Option<Vec<u8>>> {
    let path = bundle.join(name);
    let object = cli::display_path(&path);
    match File::open(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        file => Ok(Some(cli::read_document(file.with_context(|| object.clone())?, &object, limit)?)),
    }
}
