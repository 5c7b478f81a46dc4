//! Creation of missing interfaces: a veth pair with one end in a bridge, a macvlan or an ipvlan.

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
use crate::args::{Apply, InterfaceKind};
use crate::kernel::netns::Netns;
use crate::model::desired::DesiredInterface;
use crate::model::network_info::NetworkInfos;

/// A name in which the kernel replaces `%d` by a free number.
const ANY_VETH: &str = "veth%d";

/// Checks the flags that depend on --create.
///
/// # Errors
/// Returns a usage error if a flag does not apply to the kind of interface.
pub fn check_flags(args: &Apply) -> anyhow::Result<()> {
    let veth = args.create == Some(InterfaceKind::Veth);
    let on_parent = matches!(args.create, Some(InterfaceKind::Macvlan | InterfaceKind::Ipvlan));
    if (args.bridge.is_some() || args.host_if.is_some()) && !veth {
        return Err(usage("--bridge and --host-if are valid only with --create veth"));
    }
    if args.parent.is_some() && !on_parent {
        return Err(usage("--parent is valid only with --create macvlan or ipvlan"));
    }
    Ok(())
}

/// Creates the interface `name` in `netns`, attached to a bridge or parent in the caller's
/// namespace.
///
/// # Errors
/// Returns an error if the bridge or parent is unknown or missing, or if the kernel rejects the
/// interface.
pub fn link(
    args: &Apply,
    netns: &Netns,
    infos: &NetworkInfos,
    name: &str,
    desired: &DesiredInterface<'_>,
    transaction: &mut Transaction,
) -> anyhow::Result<()> {
    let kind = args.create.ok_or_else(|| anyhow!("interface {name}: no such interface in the namespace"))?;
    let (flag, given) = match kind {
        InterfaceKind::Veth => ("--bridge", &args.bridge),
        InterfaceKind::Macvlan | InterfaceKind::Ipvlan => ("--parent", &args.parent),
    };
    let described = infos.get(desired.network).and_then(|info| info.network_interface.clone());
    let Some(outer) = given.clone().or(described) else {
        return Err(usage(format!(
            "interface {name}: --create needs {flag}, or a --network-info that names it"
        )));
    };
    let outside = transaction.outside()?;
    let Some(outer_link) = outside.link(&outer) else {
        return Err(Hint::on(
            anyhow!("interface {name}: {outer}: no such interface on the host"),
            format!("{flag} NAME"),
        ));
    };
    if kind == InterfaceKind::Veth && outer_link.kind.as_deref() != Some("bridge") {
        bail!("interface {name}: {outer}: not a bridge");
    }
    let mut inner =
        vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::NetNsFd(netns.as_fd().as_raw_fd())];
    let mac = desired.interface.mac_address.as_ref().filter(|_| kind != InterfaceKind::Ipvlan);
    inner.extend(mac.map(|mac| LinkAttribute::Address(mac.bytes().to_vec())));
    let mut message = LinkMessage::default();
    match kind {
        InterfaceKind::Veth => {
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
        InterfaceKind::Macvlan | InterfaceKind::Ipvlan => {
            let (kind, data) = if kind == InterfaceKind::Macvlan {
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
    let kind_name = match kind {
        InterfaceKind::Veth => "a veth",
        InterfaceKind::Macvlan => "a macvlan",
        InterfaceKind::Ipvlan => "an ipvlan",
    };
    let what = format!("interface {name}: create {kind_name}");
    transaction.change(
        Side::Outside,
        &what,
        RouteNetlinkMessage::NewLink(message),
        NLM_F_CREATE | NLM_F_EXCL,
        None,
    )?;
    // Deleting the inner end of a veth pair also deletes the outer end, whose name the kernel may
    // have chosen.
    let Some(index) = transaction.inside()?.link(name).map(|link| link.index) else {
        bail!("{what}: no such interface in {} afterwards", netns.name());
    };
    let mut created = LinkMessage::default();
    created.header.index = index;
    transaction.push_undo(Side::Inside, &what, RouteNetlinkMessage::DelLink(created));
    Ok(())
}
