//! `netstatus save`: any record of a container's network to `network.status`.

mod cni;
mod netavark;
mod netns;
mod resolv;
mod routes;
mod unsaved;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use checkpoint::Member;
use checkpoint::network_status::{Malformed, NetworkStatus, kind, to_bytes};
use checkpoint::stream::StreamWriter;
use cli::{Exit, Hint, Session, usage};
use serde_json::Value;
use tartree::Timestamp;

use crate::args::{Save, Source};
use crate::document::{Document, read};
use crate::validate;

pub fn run(args: &Save, session: &Session) -> anyhow::Result<Exit> {
    let live = args.netns.is_some() || args.pid.is_some();
    let (name, status) = if live {
        netns::status(args, &mut |warning| session.warn(warning))?
    } else {
        only_live(args)?;
        from_documents(args, session)?
    };
    if let Some(status) = &status {
        validate::validate(status).context(name)?;
        validate::oddities(status).into_iter().for_each(|odd| session.warn(odd));
    }
    if args.require && status.as_ref().is_none_or(|s| s.networks.is_empty()) {
        bail!("no networks");
    }
    let mut text = to_bytes(status.as_ref());
    let output = if args.members {
        let mut stream = StreamWriter::new(args.output.binary()?, "netstatus");
        // No clock: the same status is the same stream.
        stream.small(&Member::NetworkStatus, &text, Timestamp::default())?;
        stream.finish(0)?
    } else {
        text.push(b'\n');
        let mut output = args.output.text()?;
        output.write_all(&text)?;
        output
    };
    output.commit()?;
    Ok(Exit::Done)
}

fn only_live(args: &Save) -> anyhow::Result<()> {
    let given = [
        (!args.network_info.is_empty(), "--network-info"),
        (!args.interface.is_empty(), "--interface"),
        (args.resolv_conf.is_some(), "--resolv-conf"),
        (args.extended, "--extended"),
    ];
    match given.iter().find(|(given, _)| *given) {
        Some((_, flag)) => Err(usage(format!("{flag} is for a live namespace (--netns, --pid)"))),
        None => Ok(()),
    }
}

/// One document after the other; those of CNI tell about one network each.
fn from_documents(args: &Save, session: &Session) -> anyhow::Result<(String, Option<NetworkStatus>)> {
    let mut results = cni::Results::new(args);
    let mut inputs = Vec::new();
    for network in &args.network {
        match network.split_once('=') {
            None => results.name_next(network),
            Some(("", _) | (_, "")) => {
                return Err(usage(format!("--network {network}: NAME or NAME=FILE is wanted")));
            }
            Some((name, file)) => inputs.push((Some(name), Some(Path::new(file)))),
        }
    }
    inputs.extend(args.files.iter().map(|file| (None, Some(file.as_path()))));
    if inputs.is_empty() {
        inputs.push((None, None));
    }
    let several = inputs.len() > 1;
    let mut last = String::new();
    for (network, path) in inputs {
        let Document { name, value } = read(path, "what netavark or CNI printed")?;
        let source = match args.from {
            Some(source) => source,
            None => source_of(&value).with_context(|| name.clone())?,
        };
        if source == Source::Cni {
            results
                .add(value, network, &mut |warning| session.warn(format_args!("{name}: {warning}")))
                .with_context(|| name.clone())?;
            last = name;
            continue;
        }
        for (flag, given) in [("--ifname", args.ifname.is_some()), ("--mac", args.mac.is_some())] {
            if given {
                return Err(usage(format!("{name}: {flag} is for CNI results, this document is none")));
            }
        }
        if several {
            return Err(usage(format!("{name}: several files are taken for CNI results only")));
        }
        if !args.network.is_empty() {
            let wrong = usage(format!(
                "{name}: --network names CNI results, this document names its networks itself"
            ));
            return Err(Hint::on(wrong, "netstatus restore --to status --rename OLD=NEW"));
        }
        let status = match source {
            Source::Netavark => netavark::status(value),
            _ => NetworkStatus::from_value(value).map_err(Into::into),
        };
        return Ok((name.clone(), status.context(name)?));
    }
    let name = if several { "the CNI results".into() } else { last };
    Ok((name, results.finish()?))
}

/// Tells what a document is by its keys.
fn source_of(value: &Value) -> Result<Source, Malformed> {
    match value {
        Value::Null => Ok(Source::Status),
        Value::Object(map) => {
            let text = |key: &str| map.get(key).is_some_and(Value::is_string);
            let number = |key: &str| map.get(key).is_some_and(Value::is_number);
            if text("cniVersion") || text("kind") || (number("code") && text("msg")) {
                Ok(Source::Cni)
            } else {
                // netavark's answer has the form of a network.status; its error object has a string.
                Ok(Source::Netavark)
            }
        }
        Value::Array(list) if list.iter().all(Value::is_object) => Ok(Source::Cni),
        other => Err(Malformed::new(format!("not a network status, but {}", kind(other)))),
    }
}
