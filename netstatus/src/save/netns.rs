//! A live namespace, read by netlink.
//!
//! The kernel knows addresses and routes but no names of networks: those come from `--network IF=NAME`, from the
//! descriptions of this host's networks, or from the bridge the interface is plugged into.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use checkpoint::network_status::{Mac, NetAddress, NetInterface, NetworkStatus, StatusBlock};
use cli::{Hint, usage};
use netlink_packet_route::address::{AddressFlags, AddressProtocol, AddressScope};
use serde_json::{Value, json};

use super::{resolv, routes, unsaved};
use crate::args::Save;
use crate::extension::{self, AddressDetails};
use crate::netlink::Netlink;
use crate::netns::Netns;
use crate::network_info::{self, NetworkInfos};
use crate::state::{self, Address, Link, State};

/// Kinds of interface that are a container's own end of something; a bridge or tunnel inside is the container's business.
const KINDS: [&str; 5] = ["veth", "macvlan", "ipvlan", "vlan", "netkit"];

/// The MTU of an Ethernet device that nobody has changed.
const USUAL_MTU: u32 = 1500;

/// Reads the namespace the arguments name; none if it is the caller's own, which is that of the host.
///
/// # Errors
/// When it cannot be entered, or an interface belongs to a network without a name.
pub fn status(args: &Save, warn: &mut dyn FnMut(String)) -> anyhow::Result<(String, Option<NetworkStatus>)> {
    let netns = match (&args.netns, args.pid) {
        (Some(path), _) => Netns::open(path)?,
        (None, Some(pid)) => Netns::of_process(pid)?,
        (None, None) => bail!("no namespace"),
    };
    let own = Netns::own()?;
    if netns.is(&own)? {
        return Ok((netns.name().to_owned(), None));
    }
    let mut names = given_names(args)?;
    let infos = network_info::load(&args.network_info)?;
    let mut netlink = Netlink::open(&netns)?;
    let inside = State::read(&mut netlink).with_context(|| netns.name().to_owned())?;
    let own_id = state::netnsid(&mut netlink, &own).with_context(|| netns.name().to_owned())?;
    let outside = State::read_links(&mut Netlink::open(&own)?).with_context(|| own.name().to_owned())?;
    let view = View { inside: &inside, outside: &outside, own_id };

    let mut status = NetworkStatus::default();
    let saved = chosen(args, &inside, warn)?;
    let mut routes =
        if args.extended { routes::extended(&inside, &saved, warn) } else { BTreeMap::default() };
    for link in &saved {
        let mut interface = interface(link, &inside, args.extended, warn);
        if args.extended {
            let routes = routes.remove(&link.name).unwrap_or_default();
            interface.unknown.insert(extension::KEY.into(), view.extension(link, routes));
        }
        let network = match names.remove(&link.name) {
            Some(name) => name,
            None => view.network_of(link, &interface, &infos)?,
        };
        status
            .networks
            .entry(network)
            .or_insert_with(StatusBlock::default)
            .interfaces
            .insert(link.name.clone(), interface);
    }
    if let Some(name) = names.keys().next() {
        bail!("{}: interface {name}: --network names it, but it is not saved", netns.name());
    }
    if !args.extended {
        for lost in routes::plain(&inside, &status, &infos) {
            warn(format!("{lost}: left out; --extended saves it"));
        }
        for link in saved.iter().filter(|link| link.mtu != USUAL_MTU) {
            warn(format!("interface {}: MTU {} is left out; --extended saves it", link.name, link.mtu));
        }
    }
    for lost in unsaved::named(&mut netlink, &inside, &saved).with_context(|| netns.name().to_owned())? {
        warn(format!("{lost}: left out: the status has no place for it"));
    }
    if let Some(path) = &args.resolv_conf {
        let dns = resolv::read(path, args.pid)?;
        let first = first_network(&status, &inside);
        if let Some(block) = first.and_then(|name| status.networks.get_mut(&name)) {
            block.dns_server_ips = dns.servers;
            block.dns_search_domains = dns.search;
        }
    }
    Ok((netns.name().to_owned(), Some(status).filter(|status| !status.networks.is_empty())))
}

fn given_names(args: &Save) -> anyhow::Result<BTreeMap<String, String>> {
    let mut names = BTreeMap::new();
    for network in &args.network {
        match network.split_once('=') {
            Some((ifname, name)) if !ifname.is_empty() && !name.is_empty() => {
                if names.insert(ifname.to_owned(), name.to_owned()).is_some() {
                    return Err(usage(format!("--network {network}: interface {ifname} is named twice")));
                }
            }
            _ => return Err(usage(format!("--network {network}: for a live namespace IF=NAME is wanted"))),
        }
    }
    Ok(names)
}

/// The interfaces to save: those asked for, or those that are up and the end of a veth, a macvlan and so on.
fn chosen<'a>(args: &Save, inside: &'a State, warn: &mut dyn FnMut(String)) -> anyhow::Result<Vec<&'a Link>> {
    if !args.interface.is_empty() {
        let find = |name: &String| {
            inside.link(name).ok_or_else(|| anyhow!("interface {name}: not in the namespace"))
        };
        return args.interface.iter().map(find).collect();
    }
    for link in inside.links.iter().filter(|link| link.loopback) {
        for address in inside.addresses_of(link).filter(|a| !a.ipnet.addr().is_loopback()) {
            let (name, ipnet) = (&link.name, address.ipnet);
            warn(format!("interface {name}: {ipnet} is left out: the status has no place for it"));
        }
    }
    let mut chosen = Vec::new();
    for link in inside.links.iter().filter(|link| !link.loopback) {
        let Some(why_not) = left_out(link) else {
            chosen.push(link);
            continue;
        };
        if inside.addresses_of(link).any(|a| a.scope == AddressScope::Universe) {
            let name = &link.name;
            warn(format!(
                "interface {name}: has addresses but is left out ({why_not}); --interface {name} saves it"
            ));
        }
    }
    Ok(chosen)
}

/// Why an interface is no part of a network of the host.
fn left_out(link: &Link) -> Option<&str> {
    match &link.kind {
        Some(kind) if !KINDS.contains(&kind.as_str()) => Some(kind),
        // A container may have containers of its own, and VLANs on its interface.
        _ if link.controller.is_some() => Some("port of a bridge inside"),
        Some(_) if link.other_end.is_some() && link.other_netnsid.is_none() => {
            Some("its other end is inside too")
        }
        _ if !link.up => Some("down"),
        _ => None,
    }
}

fn interface(link: &Link, inside: &State, extended: bool, warn: &mut dyn FnMut(String)) -> NetInterface {
    let routes = inside.default_routes_of(link);
    let mut interface = NetInterface { mac_address: Mac::from_bytes(&link.mac), ..NetInterface::default() };
    for address in inside.addresses_of(link) {
        let (ip, flags) = (address.ipnet.addr(), address.flags);
        if follows_from_mac(address, link) {
            continue;
        }
        // Temporary addresses (RFC 8981) are meant to change.
        if ip.is_ipv6() && flags.contains(AddressFlags::Secondary) {
            warn(format!("interface {}: {} is left out: it is temporary", link.name, address.ipnet));
            continue;
        }
        let details = AddressDetails::of(address, &link.name);
        if !extended && details.is_beyond_podman() {
            let (name, details) = (&link.name, details.to_json());
            warn(format!("interface {name}: address {details}: left out; --extended saves it"));
        }
        if address.scope != AddressScope::Universe {
            continue;
        }
        if flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed) {
            warn(format!(
                "interface {}: {} is left out, its uniqueness is not settled",
                link.name, address.ipnet
            ));
            continue;
        }
        if !flags.contains(AddressFlags::Permanent) {
            warn(format!(
                "interface {}: {} came by DHCP or a router and may expire",
                link.name, address.ipnet
            ));
        }
        let same_family = |gateway: &IpAddr| gateway.is_ipv4() == ip.is_ipv4();
        let gateway = routes.iter().find_map(|r| r.gateway().filter(same_family));
        let reachable = gateway.filter(|gateway| address.ipnet.contains(gateway));
        interface.subnets.push(NetAddress::new(address.ipnet, reachable));
    }
    // A gateway outside every prefix is still a gateway: it goes to the first address of its family.
    for gateway in routes.iter().filter_map(|route| route.gateway()) {
        let family = |a: &NetAddress| a.ipnet.addr().is_ipv4() == gateway.is_ipv4();
        if !interface.subnets.iter().any(|a| family(a) && a.gateway.is_some()) {
            if let Some(address) = interface.subnets.iter_mut().find(|a| family(a)) {
                address.gateway = Some(gateway);
            }
        }
    }
    interface
}

/// Whether the kernel makes the address itself, from the MAC of the link.
fn follows_from_mac(address: &Address, link: &Link) -> bool {
    let IpAddr::V6(ip) = address.ipnet.addr() else { return false };
    let [_, _, _, _, _, _, _, _, host @ ..] = ip.octets();
    let eui64 = match link.mac.as_slice() {
        [a, b, c, d, e, f] => host == [a ^ 2, *b, *c, 0xff, 0xfe, *d, *e, *f],
        _ => false,
    };
    let private = address.flags.contains(AddressFlags::StablePrivacy);
    ip.is_unicast_link_local() && (eui64 || private || address.protocol == Some(AddressProtocol::LinkLocal))
}

/// The network with the best default route, which is where a resolver's servers are asked.
fn first_network(status: &NetworkStatus, inside: &State) -> Option<String> {
    let metric = |ifname: &String| {
        let link = inside.link(ifname)?;
        inside.default_routes_of(link).first().map(|reported| reported.route.metric)
    };
    let best = |block: &StatusBlock| block.interfaces.keys().filter_map(metric).min().unwrap_or(u32::MAX);
    status.networks.iter().min_by_key(|(_, block)| best(block)).map(|(name, _)| name.clone())
}

/// The container's namespace together with that of the host.
struct View<'a> {
    inside: &'a State,
    outside: &'a State,
    /// The id the container's namespace has for the host's.
    own_id: Option<i32>,
}

impl View<'_> {
    /// The interface of the host at the other end: the peer of a veth, the parent of a macvlan.
    fn other_end(&self, link: &Link) -> Option<&Link> {
        let here = link.other_netnsid.is_some() && link.other_netnsid == self.own_id;
        link.other_end.filter(|_| here).and_then(|index| self.outside.link_at(index))
    }

    /// The bridge or parent of the host the interface hangs on.
    fn attached_to(&self, link: &Link) -> Option<&Link> {
        let other = self.other_end(link)?;
        match other.controller {
            Some(bridge) => self.outside.link_at(bridge),
            None if link.kind.as_deref() == Some("veth") => None,
            None => Some(other),
        }
    }

    fn network_of(
        &self,
        link: &Link,
        interface: &NetInterface,
        infos: &NetworkInfos,
    ) -> anyhow::Result<String> {
        let attached = self.attached_to(link).map(|link| link.name.as_str());
        let by_subnet = |info: &network_info::NetworkInfo| {
            interface.subnets.iter().any(|a| info.subnet_of(a.ipnet.addr()).is_some())
        };
        let by_parent = |info: &network_info::NetworkInfo| {
            attached.is_some() && info.network_interface.as_deref() == attached
        };
        let described = infos
            .iter()
            .find(|(_, info)| by_parent(info))
            .or_else(|| infos.iter().find(|(_, info)| by_subnet(info)));
        match (described, attached) {
            (Some((name, _)), _) => Ok(name.clone()),
            (None, Some(name)) => Ok(name.to_owned()),
            (None, None) => Err(Hint::on(
                anyhow!("interface {}: the name of its network is not known", link.name),
                format!("--network {}=NAME", link.name),
            )),
        }
    }

    /// Writes what network.status has no key for; other readers ignore it.
    fn extension(&self, link: &Link, routes: Vec<Value>) -> Value {
        let saved = |a: &&Address| {
            let temporary = a.ipnet.addr().is_ipv6() && a.flags.contains(AddressFlags::Secondary);
            !temporary && !follows_from_mac(a, link)
        };
        let addresses = self.inside.addresses_of(link).filter(saved);
        let addresses: Vec<Value> = addresses.map(|a| AddressDetails::of(a, &link.name).to_json()).collect();
        json!({
            "mtu": link.mtu,
            "kind": link.kind,
            "parent": self.attached_to(link).map(|link| &link.name),
            "routes": routes,
            "addresses": addresses,
        })
    }
}

/// Whether a path is the word for the container's own file.
pub fn is_container_word(path: &Path) -> bool {
    path == Path::new("container")
}
