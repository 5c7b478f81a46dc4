//! Reads the input document and determines its kind.

pub mod cgroup_version;
pub mod container;
pub mod default_spec;
pub mod image_config;
pub mod lines;
pub mod name_service;
pub mod passwd;
pub mod rootfs;

use std::path::Path;

use anyhow::{Context, bail};
use cli::{Hint, Input, Session, read_document};
use nix::unistd::{getegid, geteuid};
use serde_json::{Map, Value};
use strict_json::DocumentError;

use crate::args::InputArgs;
use crate::input::cgroup_version::CgroupVersion;
use crate::input::container::Container;
use crate::input::image_config::ImageConfig;
use crate::json_fields::describe;
use crate::runtime_spec::{Spec, schema};

/// podman's largest specs are about 100 KiB long. A much longer document is an attempt to exhaust
/// memory.
const MAX_DOCUMENT: u64 = 16 << 20;

/// The spec that the rules start from, and the other values that the input contains.
pub struct Document {
    pub spec: Spec,
    pub container: Container,
    pub image: Option<ImageConfig>,
    /// The name of the document in messages.
    pub name: String,
    pub kind: InputKind,
}

/// The kind of the input, determined by its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// An OCI runtime spec (`ociVersion`).
    Spec,
    /// libpod's container config (`spec`).
    ContainerConfig,
    /// The default spec, optionally with an image config.
    Default,
}

impl InputKind {
    /// Determines the kind of a document by its keys.
    ///
    /// # Errors
    /// Returns an error if the document is neither a spec nor a container config.
    pub fn of(document: &Value, name: &str) -> anyhow::Result<InputKind> {
        if document.get("ociVersion").is_some() {
            return Ok(InputKind::Spec);
        }
        if document.get("spec").is_some_and(Value::is_object) {
            return Ok(InputKind::ContainerConfig);
        }
        bail!("{name}: neither an OCI spec (key ociVersion) nor a container config (key spec)")
    }
}

/// Reads the input that the flags name.
///
/// # Errors
/// Returns an error if the input is missing, not JSON, or of an unknown kind.
pub fn read(args: &InputArgs, cgroups: CgroupVersion, session: &Session) -> anyhow::Result<Document> {
    let mut document = match &args.image_config {
        Some(file) => {
            let (mut value, name) = read_any(Some(file), "an image config")?;
            // docker inspect and podman inspect print a list, usually with one element.
            if let Value::Array(list) = &mut value {
                if list.len() != 1 {
                    bail!("{name}: expected one image, found a list of {}", list.len());
                }
                value = list.remove(0);
            }
            if !value.is_object() {
                bail!("{name}: expected an image config, found {}", describe(&value));
            }
            let image = ImageConfig::parse(&value).with_context(|| name.clone())?;
            Document { image: Some(image), name, ..default_document(args, cgroups) }
        }
        None if args.new => default_document(args, cgroups),
        None => told_by_keys(args.container.as_deref().or(args.input.as_deref()), session)?,
    };
    if args.container.is_some() && document.kind != InputKind::ContainerConfig {
        bail!("{}: not a container config: the key spec is missing", document.name);
    }
    if let Some(file) = &args.state {
        let (value, name) = read_json(Some(file), "a container state")?;
        document.container.add_state(object(&value)?).context(name)?;
    }
    document.container.rootless = args.rootless;
    if let Some(id) = &args.id {
        document.container.id = id.clone();
    }
    Ok(document)
}

fn default_document(args: &InputArgs, cgroups: CgroupVersion) -> Document {
    let mut value = default_spec::spec(cgroups);
    if args.rootless {
        default_spec::make_rootless(&mut value, geteuid().as_raw(), getegid().as_raw());
    }
    Document {
        spec: Spec::new(value),
        container: Container::default(),
        image: None,
        name: "default spec".into(),
        kind: InputKind::Default,
    }
}

fn told_by_keys(path: Option<&Path>, session: &Session) -> anyhow::Result<Document> {
    let (mut value, name) = read_json(path, "a spec")?;
    let kind = InputKind::of(&value, &name).map_err(|e| {
        let is_image = value.get("config").is_some() || value.get("Config").is_some();
        Hint::on(
            e,
            if is_image {
                "name an image config with --image-config FILE"
            } else {
                "start from a default spec with --new"
            },
        )
    })?;
    let (spec, container) = if kind == InputKind::ContainerConfig {
        let map = value.as_object_mut().context("an object")?;
        let spec = map.shift_remove("spec").unwrap_or_default();
        let container = Container::from_libpod(map).with_context(|| name.clone())?;
        (checked(spec, &format!("{name}: spec"), session)?, container)
    } else {
        (checked(value, &name, session)?, Container::default())
    };
    Ok(Document { spec, container, image: None, name, kind })
}

fn object(value: &Value) -> anyhow::Result<&Map<String, Value>> {
    value.as_object().context("expected an object")
}

/// Reads a JSON object from a file or standard input.
///
/// # Errors
/// Returns an error if the input cannot be read or is not JSON; a JSON error states line and
/// column.
pub fn read_json(path: Option<&Path>, what: &str) -> anyhow::Result<(Value, String)> {
    let (value, name) = read_any(path, what)?;
    if !value.is_object() {
        bail!("{name}: expected {what}, found {}", describe(&value));
    }
    Ok((value, name))
}

fn read_any(path: Option<&Path>, what: &str) -> anyhow::Result<(Value, String)> {
    let input = Input::open(path, what)?;
    let name = input.name().to_owned();
    let text = read_document(input, &name, MAX_DOCUMENT)?;
    let value = strict_json::document(&text).with_context(|| name.clone()).map_err(explained)?;
    Ok((value, name))
}

/// Adds a hint if the input is empty or no JSON document.
fn explained(e: anyhow::Error) -> anyhow::Error {
    let is_archive =
        checkpoint::found_in(e.chain()).is_some_and(|found| found.is_tar() || found.is_compressed());
    let hint = match e.downcast_ref() {
        Some(DocumentError::Empty) => Some("spec-gen < config.json, or start from a default spec with --new"),
        _ if is_archive => {
            Some("unpack a checkpoint archive first: ckpt-unpack --bundle DIR FILE; then read DIR/spec.dump")
        }
        _ => checkpoint::hint_in(e.chain()),
    };
    match hint {
        Some(hint) => Hint::on(e, hint),
        None => e,
    }
}

/// Returns the spec if its keys have the types of the runtime-spec.
fn checked(mut value: Value, name: &str, session: &Session) -> anyhow::Result<Spec> {
    for repaired in schema::check(&mut value).with_context(|| name.to_owned())? {
        session.warn(format_args!("{name}: {repaired}"));
    }
    Ok(Spec::new(value))
}
