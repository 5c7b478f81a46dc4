//! `netstatus restore`: `network.status` to what sets the network up again.

mod change;
mod cni;
pub mod ip;
pub mod netavark;
mod podman;

use std::io::Write;

use anyhow::{Context, bail};
use checkpoint::network_status::{Malformed, NetInterface, NetworkStatus, StatusBlock, to_bytes};
use cli::{Exit, Session, usage};

use crate::args::{Form, Netavark, Restore};
use crate::desired;
use crate::document::{read, read_status};
use crate::network_info::{self, NetworkInfos};
use crate::validate;

pub fn run(args: &Restore, session: &Session) -> anyhow::Result<Exit> {
    check_flags(args)?;
    let (name, status) = read_status(args.file.as_deref())?;
    let base = args.base.as_deref().map(|path| read(Some(path), "a document to fill in")).transpose()?;
    let mut infos = network_info::load(&args.network_info)?;
    if let (Form::Netavark, Some(base)) = (args.to, &base) {
        if let Some(own) = base.value.get("network_info") {
            network_info::add(&mut infos, own.clone()).with_context(|| base.name.clone())?;
        }
    }
    let status = match status {
        Some(status) => {
            let mut warn = |text: String| session.warn(text);
            let changed = change::apply(status, &args.change, &infos, &mut warn);
            Some(changed.with_context(|| name.clone())?)
        }
        None => None,
    };
    if let Some(status) = &status {
        validate::validate(status).with_context(|| name.clone())?;
    }
    let mut warn = |text: String| session.warn(text);
    let text = form(args, status.as_ref(), base.map(|b| b.value), &infos, &mut warn).context(name)?;
    let mut output = args.output.text()?;
    output.write_all(&text)?;
    output.commit()?;
    Ok(Exit::Done)
}

/// The forms that are lines of text, each read by another program: `--to podman`, `cni-args` and `ip-batch`.
///
/// # Errors
/// For each form, when the status does not fit into it.
pub fn texts(status: &NetworkStatus) -> [anyhow::Result<String>; 3] {
    [
        podman::options(status, '\n').map_err(Into::into),
        cni::arguments(status),
        ip::batch(status, &NetworkInfos::default()).map_err(Into::into),
    ]
}

fn form(
    args: &Restore,
    status: Option<&NetworkStatus>,
    base: Option<serde_json::Value>,
    infos: &NetworkInfos,
    warn: &mut dyn FnMut(String),
) -> anyhow::Result<Vec<u8>> {
    let empty = NetworkStatus::default();
    let networks = match status {
        Some(status) if !status.networks.is_empty() => status,
        _ => match args.to {
            Form::Status => return Ok([to_bytes(status), b"\n".to_vec()].concat()),
            // netavark itself would print {}, configure nothing and exit 0.
            Form::Netavark | Form::Cni | Form::CniArgs => bail!("the container has no network to restore"),
            Form::Podman | Form::IpBatch => {
                warn("the container had no network".into());
                &empty
            }
        },
    };
    if !matches!(args.to, Form::Status | Form::IpBatch) {
        for name in desired::beyond_podman(&ip::links(networks, infos))? {
            warn(format!("{name}: left out: only netstatus apply and --to ip-batch set it"));
        }
    }
    Ok(match args.to {
        Form::Status => [to_bytes(Some(networks)), b"\n".to_vec()].concat(),
        Form::Netavark => json(&netavark::input(networks, base, infos, &args.netavark, warn)?),
        Form::Cni => json(&cni::configuration(networks, base, args.interface.as_deref(), warn)?),
        Form::CniArgs => cni::arguments(networks)?.into_bytes(),
        Form::Podman => podman::options(networks, if args.null { '\0' } else { '\n' })?.into_bytes(),
        Form::IpBatch => ip::batch(networks, infos)?.into_bytes(),
    })
}

fn check_flags(args: &Restore) -> anyhow::Result<()> {
    let only_for = |given: bool, flag: &str, forms: &[Form], names: &str| {
        if given && !forms.contains(&args.to) {
            Err(usage(format!("{flag} is for --to {names}")))
        } else {
            Ok(())
        }
    };
    let Netavark { container_id, container_name, hostname, publish, alias, dns, .. } = &args.netavark;
    for (given, flag) in [
        (container_id.is_some(), "--container-id"),
        (container_name.is_some(), "--container-name"),
        (hostname.is_some(), "--hostname"),
        (!publish.is_empty(), "--publish"),
        (!alias.is_empty(), "--alias"),
        (!dns.is_empty(), "--dns"),
    ] {
        only_for(given, flag, &[Form::Netavark], "netavark")?;
    }
    only_for(args.netavark.netavark_version != 1, "--netavark-version", &[Form::Netavark], "netavark")?;
    only_for(args.base.is_some(), "--base", &[Form::Netavark, Form::Cni], "netavark and cni")?;
    only_for(args.interface.is_some(), "--interface", &[Form::Cni], "cni")?;
    only_for(args.null, "--null", &[Form::Podman], "podman")
}

fn json(value: &serde_json::Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// The interface of a network, for forms that hold one: podman takes a random one of several.
fn the_interface<'a>(block: &'a StatusBlock, form: &str) -> Result<(&'a str, &'a NetInterface), Malformed> {
    let mut interfaces = block.interfaces.iter();
    match (interfaces.next(), interfaces.next()) {
        (Some((name, interface)), None) => Ok((name, interface)),
        (None, _) => Err(Malformed::new("the status has no interface on it")),
        (Some(_), Some(_)) => {
            let names: Vec<&str> = block.interfaces.keys().map(String::as_str).collect();
            Err(Malformed::new(format!(
                "several interfaces ({}), {form} has one for each network",
                names.join(", ")
            )))
        }
    }
}

/// A name that needs no quoting in any command or option list: podman's own rule for networks.
fn plain(name: &str, what: &str) -> Result<(), Malformed> {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if first && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')) {
        Ok(())
    } else {
        Err(Malformed::new(format!(
            "{what} {name:?}: only letters, digits, '_', '.' and '-' can stand in this form"
        )))
    }
}
