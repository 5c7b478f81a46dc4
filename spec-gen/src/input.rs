//! The one input document and what kind it is.

use std::path::Path;

use anyhow::{Context, bail};
use cli::{Hint, Input, Session, read_document};
use serde_json::Value;

use crate::args::InputArgs;
use crate::cgroups::Version;
use crate::spec::Spec;
use crate::{default, json, shape};

/// podman's largest specs have some 100 KiB; what is longer by far is an attempt to fill the memory.
const MAX_DOCUMENT: u64 = 16 << 20;

/// The spec the rules start from, and where it came from.
pub struct Document {
    pub spec: Spec,
    /// Its name in messages.
    pub name: String,
    pub kind: Kind,
}

/// What the input is, told by its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An OCI runtime spec (`ociVersion`).
    Spec,
    /// The default spec.
    Default,
}

/// Reads the input the flags name.
///
/// # Errors
/// When it is not there, not JSON, or of no kind we know.
pub fn read(args: &InputArgs, cgroups: Version, session: &Session) -> anyhow::Result<Document> {
    if args.new {
        let mut value = default::spec(cgroups);
        if args.rootless {
            default::make_rootless(&mut value, own_uid(), own_gid());
        }
        return Ok(Document { spec: Spec::new(value), name: "default spec".into(), kind: Kind::Default });
    }
    let (value, name) = read_json(args.input.as_deref(), "a spec")?;
    if value.get("ociVersion").is_some() {
        let spec = checked(value, &name, session)?;
        return Ok(Document { spec, name, kind: Kind::Spec });
    }
    Err(Hint::on(
        anyhow::anyhow!("{name}: not an OCI spec: the key ociVersion is missing"),
        "start from a default spec with --new",
    ))
}

/// Reads a JSON document from a file or standard input.
///
/// # Errors
/// When it cannot be read or is not JSON, with line and column.
pub fn read_json(path: Option<&Path>, what: &str) -> anyhow::Result<(Value, String)> {
    let input = Input::open(path, what)?;
    let name = input.name().to_owned();
    let text = read_document(input, &name, MAX_DOCUMENT)?;
    let value = json::parse(&text).with_context(|| name.clone())?;
    if !value.is_object() {
        bail!("{name}: {what} is wanted, not {}", shape::describe(&value));
    }
    Ok((value, name))
}

/// A spec whose keys have the types of the runtime-spec.
pub fn checked(mut value: Value, name: &str, session: &Session) -> anyhow::Result<Spec> {
    for repaired in shape::check(&mut value).with_context(|| name.to_owned())? {
        session.warn(format_args!("{name}: {repaired}"));
    }
    Ok(Spec::new(value))
}

fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

fn own_gid() -> u32 {
    nix::unistd::getegid().as_raw()
}
