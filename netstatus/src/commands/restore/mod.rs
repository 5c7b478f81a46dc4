//! `netstatus restore`: converts `network.status` to the input of a program that sets the network
//! up.

mod change;
mod cni;
mod ip_batch;
mod netavark;
mod podman;
mod unexpressed;

use std::io::Write;

use anyhow::{Context, bail};
use checkpoint::network_status::{NetworkStatus, to_bytes};
use cli::args::reject_given;
use cli::{Exit, Hint, Session, usage};

use crate::args::{NetavarkOptions, OutputFormat, Restore};
use crate::input::{read, read_network_infos, read_status};
use crate::model::desired::interfaces;
use crate::model::network_info::{self, NetworkInfos};
use crate::model::status::ValidStatus;

pub fn run(args: &Restore, session: &Session) -> anyhow::Result<Exit> {
    check_flags(args)?;
    let (name, status) = read_status(args.file.as_deref())?;
    let base = args.base.as_deref().map(|path| read(Some(path), "a document to fill in")).transpose()?;
    let mut infos = read_network_infos(&args.network_info)?;
    if let (OutputFormat::Netavark, Some(base)) = (args.to, &base) {
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
    let mut warn = |text: String| session.warn(text);
    let text = convert(args, status.as_deref(), base.map(|b| b.value), &infos, &mut warn).context(name)?;
    let mut output = args.output.text()?;
    output.write_all(&text)?;
    output.commit()?;
    Ok(Exit::Done)
}

/// Converts a status to each output format that consists of lines: `podman`, `cni-args` and
/// `ip-batch`.
///
/// # Errors
/// Each result is an error if that format cannot express the status.
pub fn line_formats(status: &ValidStatus) -> [anyhow::Result<String>; 3] {
    [
        podman::options(status, '\n').map_err(Into::into),
        cni::arguments(status),
        ip_batch::batch(status, &NetworkInfos::default()).map_err(Into::into),
    ]
}

fn convert(
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
            OutputFormat::Status => return Ok([to_bytes(status), b"\n".to_vec()].concat()),
            // netavark would print {}, configure nothing and exit with 0.
            OutputFormat::Netavark | OutputFormat::Cni | OutputFormat::CniArgs => {
                bail!("the container has no network to restore")
            }
            OutputFormat::Podman | OutputFormat::IpBatch => {
                warn("the container had no network".into());
                &empty
            }
        },
    };
    if !matches!(args.to, OutputFormat::Status | OutputFormat::IpBatch) {
        for setting in unexpressed::unexpressed(&interfaces(networks, infos))? {
            warn(format!("{setting}: left out: only netstatus apply and --to ip-batch restore it"));
        }
    }
    Ok(match args.to {
        OutputFormat::Status => [to_bytes(Some(networks)), b"\n".to_vec()].concat(),
        OutputFormat::Netavark => json(&netavark::input(networks, base, infos, &args.netavark, warn)?),
        OutputFormat::Cni => json(&cni::configuration(networks, base, args.interface.as_deref(), warn)?),
        OutputFormat::CniArgs => cni::arguments(networks)?.into_bytes(),
        OutputFormat::Podman => podman::options(networks, if args.null { '\0' } else { '\n' })?.into_bytes(),
        OutputFormat::IpBatch => ip_batch::batch(networks, infos)?.into_bytes(),
    })
}

fn check_flags(args: &Restore) -> anyhow::Result<()> {
    let only_for = |given: bool, flag: &str, formats: &[OutputFormat], format_names: &str| {
        if given && !formats.contains(&args.to) {
            Err(usage(format!("{flag} is valid only with --to {format_names}")))
        } else {
            Ok(())
        }
    };
    let NetavarkOptions { container_id, container_name, hostname, publish, alias, dns, .. } = &args.netavark;
    for (given, flag) in [
        (container_id.is_some(), "--container-id"),
        (container_name.is_some(), "--container-name"),
        (hostname.is_some(), "--hostname"),
        (!publish.is_empty(), "--publish"),
        (!alias.is_empty(), "--alias"),
        (!dns.is_empty(), "--dns"),
    ] {
        only_for(given, flag, &[OutputFormat::Netavark], "netavark")?;
    }
    only_for(
        args.netavark.netavark_version != 1,
        "--netavark-version",
        &[OutputFormat::Netavark],
        "netavark",
    )?;
    if args.to == OutputFormat::Cni {
        // A plugin reads the name from the environment.
        let ifname = ("--ifname", !args.change.ifname.is_empty());
        reject_given(&[ifname], "with --to cni, which names no interface")
            .map_err(|e| Hint::on(e, "run the plugin with CNI_IFNAME=IF"))?;
    }
    only_for(args.base.is_some(), "--base", &[OutputFormat::Netavark, OutputFormat::Cni], "netavark or cni")?;
    only_for(args.interface.is_some(), "--interface", &[OutputFormat::Cni], "cni")?;
    only_for(args.null, "--null", &[OutputFormat::Podman], "podman")
}

fn json(value: &serde_json::Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}
