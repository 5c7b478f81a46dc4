//! Reads the status of a live namespace through netlink.
//!
//! The kernel knows addresses and routes, but no network names. These come from `--network
//! IF=NAME`, from the descriptions of the host's networks, or from the bridge to which the
//! interface is attached.

mod attachment;
mod interface;
mod resolv_conf;
mod routes;
mod unsaved;

use std::collections::BTreeMap;

use anyhow::{Context, anyhow, bail};
use checkpoint::network_status::{NetworkStatus, StatusBlock};
use cli::usage;
use netlink_packet_route::address::AddressScope;

use crate::args::Save;
use crate::input::read_network_infos;
use crate::kernel::address::{LOOPBACK_V4, LOOPBACK_V6};
use crate::kernel::link::Link;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::Netns;
use crate::kernel::state::{self, State};
use crate::model::extension::{self, DEFAULT_MTU};
use attachment::Host;

/// The kinds of links that attach a container to the host. Bridges and tunnels in the container
/// belong to the container itself.
const KINDS: [&str; 5] = ["veth", "macvlan", "ipvlan", "vlan", "netkit"];

/// Reads the namespace that the arguments name. Also returns the name of the namespace in messages.
///
/// The status is `None` for the caller's own namespace, because a container in it uses the network
/// of the host.
///
/// # Errors
/// Returns an error if the namespace cannot be entered, if the network of an interface has no known
/// name, or if an interface of the caller's own namespace is requested.
pub fn status(args: &Save, warn: &mut dyn FnMut(String)) -> anyhow::Result<(String, Option<NetworkStatus>)> {
    let netns = match (&args.netns, args.pid) {
        (Some(path), _) => Netns::open(path)?,
        (None, Some(pid)) => Netns::of_process(pid)?,
        (None, None) => bail!("no namespace"),
    };
    let own = Netns::own()?;
    let mut names = given_names(args)?;
    if netns.is(&own)? {
        if let Some(interface) = names.keys().next().or(args.interface.first()) {
            bail!("{}: interface {interface}: not saved, this is the network of the host", netns.name());
        }
        return Ok((netns.name().to_owned(), None));
    }
    let infos = read_network_infos(&args.network_info)?;
    let mut netlink = Netlink::open(&netns)?;
    let inside = State::read(&mut netlink).with_context(|| netns.name().to_owned())?;
    let netnsid = state::netnsid(&mut netlink, &own).with_context(|| netns.name().to_owned())?;
    let outside = State::read_links(&mut Netlink::open(&own)?).with_context(|| own.name().to_owned())?;
    let host = Host { state: &outside, netnsid };

    let mut status = NetworkStatus::default();
    let saved = chosen_links(args, &inside, warn)?;
    let mut routes =
        if args.extended { routes::extended(&inside, &saved, warn) } else { BTreeMap::default() };
    for link in &saved {
        let mut interface = interface::interface(link, &inside, args.extended, warn);
        if args.extended {
            let routes = routes.remove(&link.name).unwrap_or_default();
            let extension = interface::extension(link, host.attached_to(link), &inside, routes);
            interface.unknown.insert(extension::KEY.into(), extension);
        }
        let network = match names.remove(&link.name) {
            Some(name) => name,
            None => host.network_of(link, &interface, &infos)?,
        };
        status
            .networks
            .entry(network)
            .or_insert_with(StatusBlock::default)
            .interfaces
            .insert(link.name.clone(), interface);
    }
    if let Some(name) = names.keys().next() {
        bail!("{}: interface {name}: named by --network, but not saved", netns.name());
    }
    if !args.extended {
        for lost in routes::beyond_podman(&inside, &status, &infos) {
            warn(format!("{lost}: left out; --extended saves it"));
        }
        for link in saved.iter().filter(|link| link.mtu != DEFAULT_MTU) {
            warn(format!("interface {}: MTU {} is left out; --extended saves it", link.name, link.mtu));
        }
    }
    for lost in unsaved::unsaved(&mut netlink, &inside, &saved).with_context(|| netns.name().to_owned())? {
        warn(format!("{lost}: left out: a status cannot express it"));
    }
    if let Some(path) = &args.resolv_conf {
        let dns = resolv_conf::read(path, args.pid)?;
        let first = first_network(&status, &inside);
        if let Some(block) = first.and_then(|name| status.networks.get_mut(&name)) {
            block.dns_server_ips = dns.servers;
            block.dns_search_domains = dns.search;
        }
    }
    Ok((netns.name().to_owned(), Some(status).filter(|status| !status.networks.is_empty())))
}

/// Returns the network names of the --network options by interface.
fn given_names(args: &Save) -> anyhow::Result<BTreeMap<String, String>> {
    let mut names = BTreeMap::new();
    for network in &args.network {
        match network.split_once('=') {
            Some((ifname, name)) if !ifname.is_empty() && !name.is_empty() => {
                if names.insert(ifname.to_owned(), name.to_owned()).is_some() {
                    return Err(usage(format!("--network {network}: interface {ifname} is named twice")));
                }
            }
            _ => return Err(usage(format!("--network {network}: expected IF=NAME for a live namespace"))),
        }
    }
    Ok(names)
}

/// Returns the links to save: the links of --interface, or all links that are up and attach the
/// container to the host.
///
/// Warns about other links that have addresses.
fn chosen_links<'a>(
    args: &Save,
    inside: &'a State,
    warn: &mut dyn FnMut(String),
) -> anyhow::Result<Vec<&'a Link>> {
    if !args.interface.is_empty() {
        let find = |name: &String| {
            inside.link(name).ok_or_else(|| anyhow!("interface {name}: not in the namespace"))
        };
        return args.interface.iter().map(find).collect();
    }
    for link in inside.links.iter().filter(|link| link.loopback) {
        for address in inside.addresses_of(link).filter(|a| a.ipnet != LOOPBACK_V4 && a.ipnet != LOOPBACK_V6)
        {
            let (name, ipnet) = (&link.name, address.ipnet);
            warn(format!("interface {name}: {ipnet} is left out: a status cannot express it"));
        }
    }
    let mut chosen = Vec::new();
    for link in inside.links.iter().filter(|link| !link.loopback) {
        let Some(reason) = reason_to_omit(link) else {
            chosen.push(link);
            continue;
        };
        if inside.addresses_of(link).any(|a| a.scope == AddressScope::Universe) {
            let name = &link.name;
            warn(format!(
                "interface {name}: has addresses but is left out ({reason}); --interface {name} saves it"
            ));
        }
    }
    Ok(chosen)
}

/// Returns why a link does not attach the container to a network of the host, or `None` if the link
/// does.
fn reason_to_omit(link: &Link) -> Option<&str> {
    match &link.kind {
        Some(kind) if !KINDS.contains(&kind.as_str()) => Some(kind),
        // These are the links of nested containers, and VLANs on the container's own interface.
        _ if link.controller.is_some() => Some("port of a bridge in the container"),
        Some(_) if link.other_end.is_some() && link.other_netnsid.is_none() => {
            Some("its other end is in the same namespace")
        }
        _ if !link.up => Some("down"),
        _ => None,
    }
}

/// Returns the network with the best default route, through which DNS servers are reached.
fn first_network(status: &NetworkStatus, inside: &State) -> Option<String> {
    let metric = |ifname: &String| {
        let link = inside.link(ifname)?;
        inside.default_routes_of(link).first().map(|reported| reported.route.metric)
    };
    let best = |block: &StatusBlock| block.interfaces.keys().filter_map(metric).min().unwrap_or(u32::MAX);
    status.networks.iter().min_by_key(|(_, block)| best(block)).map(|(name, _)| name.clone())
}
