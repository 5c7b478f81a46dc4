//! Making an interface that is not there: a veth pair into a bridge of the caller, a macvlan or an ipvlan.

use std::os::fd::{AsFd, AsRawFd};

use anyhow::{anyhow, bail};
use cli::{Hint, usage};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoVeth, IpVlanMode, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage, MacVlanMode,
};

use super::transaction::{Side, Transaction};
use crate::args::{Apply, Kind};
use crate::netns::Netns;
use crate::network_info::NetworkInfos;
use crate::restore::ip::Link as Wanted;

/// What the kernel replaces by a number that is free.
const ANY_VETH: &str = "veth%d";

pub fn check_flags(args: &Apply) -> anyhow::Result<()> {
    let veth = args.create == Some(Kind::Veth);
    let on_parent = matches!(args.create, Some(Kind::Macvlan | Kind::Ipvlan));
    if (args.bridge.is_some() || args.host_if.is_some()) && !veth {
        return Err(usage("--bridge and --host-if are for --create veth"));
    }
    if args.parent.is_some() && !on_parent {
        return Err(usage("--parent is for --create macvlan and ipvlan"));
    }
    Ok(())
}

/// Makes the interface `name` in `netns`, plugged into a bridge or parent of the caller's namespace.
///
/// # Errors
/// When the bridge or parent is not known or not there, and the kernel's.
pub fn link(
    args: &Apply,
    netns: &Netns,
    infos: &NetworkInfos,
    name: &str,
    wanted: &Wanted<'_>,
    transaction: &mut Transaction,
) -> anyhow::Result<()> {
    let kind = args.create.ok_or_else(|| anyhow!("interface {name}: not there"))?;
    let (flag, given) = match kind {
        Kind::Veth => ("--bridge", &args.bridge),
        Kind::Macvlan | Kind::Ipvlan => ("--parent", &args.parent),
    };
    let described = infos.get(wanted.network).and_then(|info| info.network_interface.clone());
    let Some(outer) = given.clone().or(described) else {
        return Err(usage(format!(
            "interface {name}: --create needs {flag}, or --network-info that names it"
        )));
    };
    let outside = transaction.outside()?;
    let Some(outer_link) = outside.link(&outer) else {
        return Err(Hint::on(
            anyhow!("interface {name}: {outer}: no such interface on this host"),
            format!("{flag} NAME"),
        ));
    };
    if kind == Kind::Veth && outer_link.kind.as_deref() != Some("bridge") {
        bail!("interface {name}: {outer}: not a bridge");
    }
    let mut inner =
        vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::NetNsFd(netns.as_fd().as_raw_fd())];
    let mac = wanted.interface.mac_address.as_ref().filter(|_| kind != Kind::Ipvlan);
    inner.extend(mac.map(|mac| LinkAttribute::Address(mac.bytes().to_vec())));
    let mut message = LinkMessage::default();
    match kind {
        Kind::Veth => {
            let mut peer = LinkMessage::default();
            peer.attributes = inner;
            let host_if = args.host_if.clone().unwrap_or_else(|| ANY_VETH.to_owned());
            message.header.flags = LinkFlags::Up;
            message.header.change_mask = LinkFlags::Up;
            message.attributes = vec![
                LinkAttribute::IfName(host_if),
                LinkAttribute::Controller(outer_link.index),
                LinkAttribute::LinkInfo(vec![
                    LinkInfo::Kind(InfoKind::Veth),
                    LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
                ]),
            ];
        }
        Kind::Macvlan | Kind::Ipvlan => {
            let (kind, data) = if kind == Kind::Macvlan {
                (InfoKind::MacVlan, InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)]))
            } else {
                (InfoKind::IpVlan, InfoData::IpVlan(vec![InfoIpVlan::Mode(IpVlanMode::L2)]))
            };
            message.attributes = inner;
            message.attributes.push(LinkAttribute::Link(outer_link.index));
            message
                .attributes
                .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(data)]));
        }
    }
    let made = match kind {
        Kind::Veth => "a veth",
        Kind::Macvlan => "a macvlan",
        Kind::Ipvlan => "an ipvlan",
    };
    let what = format!("interface {name}: making {made}");
    transaction.change(
        Side::Outside,
        &what,
        RouteNetlinkMessage::NewLink(message),
        NLM_F_CREATE | NLM_F_EXCL,
        None,
    )?;
    // Deleting one end of a pair deletes the other; the inner one has the name that is known.
    let Some(made) = transaction.inside()?.link(name).map(|link| link.index) else {
        bail!("{what}: it did not appear in {}", netns.name());
    };
    let mut gone = LinkMessage::default();
    gone.header.index = made;
    transaction.remember(Side::Inside, &what, RouteNetlinkMessage::DelLink(gone));
    Ok(())
}
