//! `netstatus save`: writes `network.status` from the output of netavark or CNI, or from a live
//! namespace.

mod cni;
mod live;
mod netavark;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use checkpoint::Member;
use checkpoint::network_status::{Malformed, NetworkStatus, kind, to_bytes};
use checkpoint::stream::StreamWriter;
use cli::{Exit, Hint, Session, usage};
use serde_json::Value;
use tartree::Timestamp;

use crate::args::{InputFormat, Save};
use crate::input::{Document, read};
use crate::model::status::ValidStatus;

pub fn run(args: &Save, session: &Session) -> anyhow::Result<Exit> {
    let is_live = args.netns.is_some() || args.pid.is_some();
    let (name, status) = if is_live {
        live::status(args, &mut |warning| session.warn(warning))?
    } else {
        reject_live_flags(args)?;
        from_documents(args, session)?
    };
    let status = status.map(ValidStatus::new).transpose().context(name)?;
    if let Some(status) = &status {
        status.oddities().into_iter().for_each(|odd| session.warn(odd));
    }
    if args.require && status.as_ref().is_none_or(|s| s.networks.is_empty()) {
        bail!("no networks");
    }
    let mut text = to_bytes(status.as_deref());
    let output = if args.members {
        let mut stream = StreamWriter::new(args.output.binary()?, "netstatus");
        // The time is constant, so that the same status always yields the same stream.
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

fn reject_live_flags(args: &Save) -> anyhow::Result<()> {
    let given = [
        (!args.network_info.is_empty(), "--network-info"),
        (!args.interface.is_empty(), "--interface"),
        (args.resolv_conf.is_some(), "--resolv-conf"),
        (args.extended, "--extended"),
    ];
    match given.iter().find(|(given, _)| *given) {
        Some((_, flag)) => Err(usage(format!("{flag} is valid only with --netns or --pid"))),
        None => Ok(()),
    }
}

/// Reads the status from one document, or from several CNI results.
///
/// Also returns the name of the documents in messages.
fn from_documents(args: &Save, session: &Session) -> anyhow::Result<(String, Option<NetworkStatus>)> {
    let mut results = cni::Results::new(args);
    let mut inputs = Vec::new();
    for network in &args.network {
        match network.split_once('=') {
            None => results.push_name(network),
            Some(("", _) | (_, "")) => {
                return Err(usage(format!("--network {network}: expected NAME or NAME=FILE")));
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
        let Document { name, value } = read(path, "the output of netavark or CNI")?;
        let format = match args.from {
            Some(format) => format,
            None => detect_format(&value).with_context(|| name.clone())?,
        };
        if format == InputFormat::Cni {
            results
                .add(value, network, &mut |warning| session.warn(format_args!("{name}: {warning}")))
                .with_context(|| name.clone())?;
            last = name;
            continue;
        }
        for (flag, given) in [("--ifname", args.ifname.is_some()), ("--mac", args.mac.is_some())] {
            if given {
                return Err(usage(format!("{name}: {flag} is valid only for CNI results")));
            }
        }
        if several {
            return Err(usage(format!("{name}: several files are allowed only for CNI results")));
        }
        if !args.network.is_empty() {
            let wrong = usage(format!(
                "{name}: --network is valid only for CNI results; this document contains the network names"
            ));
            return Err(Hint::on(wrong, "netstatus restore --to status --rename OLD=NEW"));
        }
        let status = match format {
            InputFormat::Netavark => netavark::status(value),
            _ => NetworkStatus::from_value(value).map_err(Into::into),
        };
        return Ok((name.clone(), status.context(name)?));
    }
    let name = if several { "the CNI results".into() } else { last };
    Ok((name, results.finish()?))
}

/// Determines the format of a document from its keys.
fn detect_format(value: &Value) -> Result<InputFormat, Malformed> {
    match value {
        Value::Null => Ok(InputFormat::Status),
        Value::Object(map) => {
            let text = |key: &str| map.get(key).is_some_and(Value::is_string);
            let number = |key: &str| map.get(key).is_some_and(Value::is_number);
            if text("cniVersion") || text("kind") || (number("code") && text("msg")) {
                Ok(InputFormat::Cni)
            } else {
                // The output of netavark has the format of a network.status, or is an object with
                // an error string.
                Ok(InputFormat::Netavark)
            }
        }
        Value::Array(list) if list.iter().all(Value::is_object) => Ok(InputFormat::Cni),
        other => Err(Malformed::new(format!("expected a network status, found {}", kind(other)))),
    }
}
