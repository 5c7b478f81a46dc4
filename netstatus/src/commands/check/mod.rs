//! `netstatus check`: compares a status with the networks of the host or with a namespace, or
//! probes its addresses.

mod differences;
mod probe;

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use checkpoint::network_status::NetworkStatus;
use cli::{Exit, Session, usage};

use crate::args::Check;
use crate::input::{read_network_infos, read_status};
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::Netns;
use crate::kernel::state::State;
use crate::model::desired::{DesiredInterface, DesiredInterfaces, interfaces};
use crate::model::netavark;
use crate::model::network_info::NetworkInfos;
use differences::differences;
use probe::ProbedInterface;

/// The interval between comparisons with a namespace that is still being set up.
const INTERVAL: Duration = Duration::from_millis(20);

/// The oldest supported major release of netavark, which accepts the fewest networks.
const NETAVARK_MAJOR: u32 = 1;

pub fn run(args: &Check, session: &Session) -> anyhow::Result<Exit> {
    if args.probe && args.netns.is_none() {
        return Err(usage("--probe needs --netns, since the probes are sent from inside the namespace"));
    }
    if args.wait.is_some() && (args.probe || args.netns.is_none()) {
        return Err(usage("--wait needs --netns, and conflicts with --probe"));
    }
    let (name, status) = read_status(args.file.as_deref())?;
    let infos = read_network_infos(&args.network_info)?;
    let Some(status) = status else {
        session.note(format_args!("{name}: the container had no network"));
        return Ok(Exit::Done);
    };
    status.oddities().into_iter().for_each(|odd| session.warn(odd));
    let mut failures = Vec::new();
    if !args.network_info.is_empty() {
        failures.extend(unsuitable_networks(&status, &infos, &mut |w| session.warn(w)));
        let own = Netns::own()?;
        let host = State::read_links(&mut Netlink::open(&own)?).with_context(|| own.name().to_owned())?;
        failures.extend(missing_parents(&status, &infos, &host));
    }
    if let Some(path) = &args.netns {
        let netns = Netns::open(path)?;
        let state = State::read(&mut Netlink::open(&netns)?).with_context(|| netns.name().to_owned())?;
        let desired = interfaces(&status, &infos);
        if args.probe {
            failures.extend(used_addresses(&netns, &desired, &state)?);
        } else {
            let wait = Duration::from_secs(args.wait.unwrap_or(0));
            failures.extend(lasting_differences(&netns, &desired, state, wait)?);
        }
    }
    for failure in &failures {
        session.error(format_args!("{name}: {failure}"));
    }
    match failures.len() {
        0 => Ok(Exit::Done),
        1 => bail!("{name}: 1 check failed"),
        n => bail!("{name}: {n} checks failed"),
    }
}

/// Returns the reason for each network that netavark would not configure as the status describes.
fn unsuitable_networks(
    status: &NetworkStatus,
    infos: &NetworkInfos,
    warn: &mut dyn FnMut(String),
) -> Vec<String> {
    let mut failures = Vec::new();
    for (name, block) in &status.networks {
        if let Err(e) = netavark::settings(name, block, infos, NETAVARK_MAJOR, warn) {
            failures.push(format!("{e:#}"));
        }
    }
    failures
}

/// Returns the macvlan and ipvlan networks whose parent the host lacks. Bridges are not checked,
/// since netavark creates a missing bridge.
fn missing_parents(status: &NetworkStatus, infos: &NetworkInfos, host: &State) -> Vec<String> {
    let mut failures = Vec::new();
    for (name, info) in infos.iter().filter(|(name, _)| status.networks.contains_key(*name)) {
        let parent =
            info.network_interface.as_deref().filter(|_| info.driver == "macvlan" || info.driver == "ipvlan");
        if let Some(parent) = parent.filter(|parent| host.link(parent).is_none()) {
            failures.push(format!("network {name}: {}: no interface {parent} on the host", info.driver));
        }
    }
    failures
}

/// Returns the addresses that another host uses, and the interfaces from which no probe can be
/// sent.
fn used_addresses(
    netns: &Netns,
    desired: &DesiredInterfaces<'_>,
    state: &State,
) -> anyhow::Result<Vec<String>> {
    let mut failures = Vec::new();
    let mut probed = Vec::new();
    for (name, desired) in desired {
        match state.link(name) {
            Some(link) if link.up => probed.push(ProbedInterface { link, addresses: addresses(desired) }),
            Some(_) => failures.push(format!("interface {name}: is down, cannot probe")),
            None => failures.push(format!("interface {name}: not in the namespace, cannot probe")),
        }
    }
    let used = probe::in_use(netns, &probed)?;
    failures.extend(used.into_iter().map(|(ip, mac)| format!("{ip}: in use by another host, MAC {mac}")));
    Ok(failures)
}

fn addresses(desired: &DesiredInterface<'_>) -> Vec<IpAddr> {
    desired.interface.subnets.iter().map(|a| a.ipnet.addr()).collect()
}

/// Compares until there is no difference or `wait` is over. Returns the last differences.
///
/// An IPv6 address that was set by a CNI plugin, or by netavark on an ipvlan, is tentative for a
/// second or two. CRIU cannot restore a socket on a tentative address.
fn lasting_differences(
    netns: &Netns,
    desired: &DesiredInterfaces<'_>,
    mut state: State,
    wait: Duration,
) -> anyhow::Result<Vec<String>> {
    let begin = Instant::now();
    let mut netlink = Netlink::open(netns)?;
    loop {
        let differences = differences(desired, &state)?;
        if differences.is_empty() || begin.elapsed() >= wait {
            return Ok(differences);
        }
        thread::sleep(INTERVAL);
        state = State::read(&mut netlink).with_context(|| netns.name().to_owned())?;
    }
}
