//! `netstatus check`: can the status be restored here, is it in place, is it free?

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use checkpoint::network_status::NetworkStatus;
use cli::{Exit, Session, usage};
use netlink_packet_route::address::AddressFlags;

use crate::apply::addresses::all;
use crate::args::{Check, Netavark};
use crate::desired::{Desired, routes};
use crate::document::read_status;
use crate::extension::{AddressDetails, Extension};
use crate::netlink::Netlink;
use crate::netns::Netns;
use crate::network_info::{self, NetworkInfos};
use crate::probe::{self, Question};
use crate::restore::ip::{Link as Wanted, links};
use crate::restore::netavark;
use crate::state::{Link, State};
use crate::validate;

/// How often a namespace is looked at while it settles.
const INTERVAL: Duration = Duration::from_millis(20);

pub fn run(args: &Check, session: &Session) -> anyhow::Result<Exit> {
    if args.probe && args.netns.is_none() {
        return Err(usage("--probe needs --netns: the question is asked from inside"));
    }
    if args.wait.is_some() && (args.probe || args.netns.is_none()) {
        return Err(usage("--wait is for comparing with --netns"));
    }
    let (name, status) = read_status(args.file.as_deref())?;
    let infos = network_info::load(&args.network_info)?;
    let Some(status) = status else {
        session.note(format_args!("{name}: the container had no network"));
        return Ok(Exit::Done);
    };
    validate::oddities(&status).into_iter().for_each(|odd| session.warn(odd));
    let mut wrong = Vec::new();
    if !args.network_info.is_empty() {
        wrong.extend(unsuitable(&status, &infos, &mut |w| session.warn(w)));
        let own = Netns::own()?;
        let host = State::read_links(&mut Netlink::open(&own)?).with_context(|| own.name().to_owned())?;
        wrong.extend(parents_missing(&status, &infos, &host));
    }
    if let Some(path) = &args.netns {
        let netns = Netns::open(path)?;
        let state = State::read(&mut Netlink::open(&netns)?).with_context(|| netns.name().to_owned())?;
        let wanted = links(&status, &infos);
        if args.probe {
            let mut questions = Vec::new();
            for (name, wanted) in &wanted {
                match state.link(name) {
                    Some(link) if link.up => questions.push(Question { link, addresses: addresses(wanted) }),
                    Some(_) => wrong.push(format!("interface {name}: is down, nothing can be asked")),
                    None => wrong.push(format!("interface {name}: not there, nothing can be asked")),
                }
            }
            let used = probe::in_use(&netns, &questions)?;
            wrong.extend(used.into_iter().map(|(ip, mac)| format!("{ip}: in use elsewhere, by {mac}")));
        } else {
            wrong.extend(settled(&netns, &wanted, state, Duration::from_secs(args.wait.unwrap_or(0)))?);
        }
    }
    for text in &wrong {
        session.error(format_args!("{name}: {text}"));
    }
    match wrong.len() {
        0 => Ok(Exit::Done),
        1 => bail!("{name}: does not fit"),
        n => bail!("{name}: does not fit, for {n} reasons"),
    }
}

fn addresses(wanted: &Wanted<'_>) -> Vec<IpAddr> {
    wanted.interface.subnets.iter().map(|a| a.ipnet.addr()).collect()
}

/// What netavark would stumble over, for each network.
fn unsuitable(status: &NetworkStatus, infos: &NetworkInfos, warn: &mut dyn FnMut(String)) -> Vec<String> {
    let options = Netavark {
        container_id: Some("-".into()),
        container_name: Some("-".into()),
        netavark_version: 1,
        ..Netavark::default()
    };
    let mut wrong = Vec::new();
    for (name, block) in &status.networks {
        let one = NetworkStatus { networks: [(name.clone(), block.clone())].into() };
        if let Err(e) = netavark::input(&one, None, infos, &options, warn) {
            wrong.push(format!("{e:#}"));
        }
    }
    wrong
}

/// The parents of macvlan and ipvlan networks that this host does not have; a bridge is made by netavark.
fn parents_missing(status: &NetworkStatus, infos: &NetworkInfos, host: &State) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, info) in infos.iter().filter(|(name, _)| status.networks.contains_key(*name)) {
        let parent =
            info.network_interface.as_deref().filter(|_| info.driver == "macvlan" || info.driver == "ipvlan");
        if let Some(parent) = parent.filter(|parent| host.link(parent).is_none()) {
            wrong.push(format!("network {name}: {}: no interface {parent} on this host", info.driver));
        }
    }
    wrong
}

/// The differences that are left when there are none, or the time is over: an IPv6 address is tentative for a second or
/// two after a CNI plugin has set it, or netavark on an ipvlan, and no socket can be restored on it till then.
fn settled(
    netns: &Netns,
    wanted: &BTreeMap<&str, Wanted<'_>>,
    mut state: State,
    wait: Duration,
) -> anyhow::Result<Vec<String>> {
    let begin = Instant::now();
    let mut netlink = Netlink::open(netns)?;
    loop {
        let wrong = differences(wanted, &state)?;
        if wrong.is_empty() || begin.elapsed() >= wait {
            return Ok(wrong);
        }
        thread::sleep(INTERVAL);
        state = State::read(&mut netlink).with_context(|| netns.name().to_owned())?;
    }
}

/// Lists what a namespace lacks of what the status says.
fn differences(wanted: &BTreeMap<&str, Wanted<'_>>, state: &State) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (name, wanted) in wanted {
        match state.link(name) {
            None => wrong.push(format!("interface {name}: not there")),
            Some(link) => {
                let of_link = of_interface(link, wanted, state)?;
                wrong.extend(of_link.into_iter().map(|text| format!("interface {name}: {text}")));
            }
        }
    }
    let desired = routes(wanted)?;
    for Desired { interface, route, .. } in
        desired.iter().filter(|d| !state.routes.iter().any(|live| d.is(live)))
    {
        if state.link(interface).is_none() {
            continue;
        }
        let gateway = route.hops.first().and_then(|hop| hop.gateway).filter(|_| route.hops.len() == 1);
        let same = |live: &&crate::state::Reported| live.route.same_key(route) && !live.automatic;
        wrong.push(match (gateway, state.routes.iter().find(same)) {
            (_, Some(live)) => {
                format!("interface {interface}: the route is {}, the status says {route}", live.route)
            }
            (Some(gateway), None) if route.is_default() => {
                format!("interface {interface}: no default route via {gateway}")
            }
            (_, None) => format!("interface {interface}: the route {route} is not there"),
        });
    }
    // A default route more can take the traffic of the ones that were saved.
    let complete = |name: &str| desired.iter().any(|d| d.exact && d.interface == name);
    for live in state.routes.iter().filter(|live| live.route.is_default() && !live.automatic) {
        let of_status = wanted.keys().find(|name| live.route.uses(name) && complete(name));
        if let Some(name) = of_status.filter(|_| !desired.iter().any(|d| d.is(live))) {
            wrong.push(format!("interface {name}: the status does not have the route {}", live.route));
        }
    }
    Ok(wrong)
}

fn of_interface(link: &Link, wanted: &Wanted<'_>, state: &State) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    let extension = Extension::of(&link.name, wanted.interface)?;
    if let Some(mtu) = extension.mtu.filter(|mtu| *mtu != link.mtu) {
        wrong.push(format!("MTU is {}, the status says {mtu}", link.mtu));
    }
    if !link.up {
        wrong.push("is down".to_owned());
    }
    let mac = wanted.interface.mac_address.as_ref().filter(|_| !link.shares_mac());
    if let Some(mac) = mac.filter(|mac| mac.bytes() != link.mac) {
        let is = checkpoint::network_status::Mac::from_bytes(&link.mac)
            .map_or("none".into(), |mac| mac.to_string());
        wrong.push(format!("MAC is {is}, the status says {mac}"));
    }
    for ipnet in all(wanted.interface, &extension) {
        let same_ip = |a: &&crate::state::Address| a.ipnet.addr() == ipnet.addr();
        match state.addresses_of(link).find(same_ip) {
            None => wrong.push(format!("address {ipnet} is not there")),
            Some(there) if there.ipnet != ipnet => {
                wrong.push(format!("address is {}, the status says {ipnet}", there.ipnet))
            }
            Some(there) if there.flags.contains(AddressFlags::Dadfailed) => {
                wrong.push(format!("address {ipnet}: another host has it (duplicate address detection)"));
            }
            Some(there) if there.flags.contains(AddressFlags::Tentative) => {
                wrong.push(format!("address {ipnet} is tentative, no socket can be bound to it yet"));
            }
            Some(there) => {
                let is = AddressDetails::of(there, &link.name);
                if let Some(details) = extension.details(ipnet).filter(|details| **details != is) {
                    wrong.push(format!(
                        "address {ipnet} is {}, the status says {}",
                        is.to_json(),
                        details.to_json()
                    ));
                }
            }
        }
    }
    Ok(wrong)
}
