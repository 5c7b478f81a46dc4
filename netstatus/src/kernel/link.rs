//! Network interfaces as the kernel reports them.

use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage, Prop};

/// The initial queue length of Ethernet devices (`DEFAULT_TX_QUEUE_LEN`).
const DEFAULT_QUEUE_LENGTH: u32 = 1000;

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub mac: Vec<u8>,
    pub mtu: u32,
    pub up: bool,
    pub loopback: bool,
    /// `veth`, `macvlan`, …; `None` for hardware.
    pub kind: Option<String>,
    /// The index of the peer of a veth, or of the parent of a macvlan.
    pub other_end: Option<u32>,
    /// The ID of the namespace of `other_end`; `None` for the namespace of this link.
    pub other_netnsid: Option<i32>,
    /// The index of the bridge of which this link is a port.
    pub controller: Option<u32>,
    /// The settings that a status cannot express, as ip-link(8) writes them.
    pub unsaved: Vec<String>,
}

impl Link {
    /// Returns whether the link always has the MAC of its parent.
    pub fn shares_mac(&self) -> bool {
        self.kind.as_deref() == Some("ipvlan")
    }

    /// Reads a message of the kernel.
    pub fn from_message(message: LinkMessage) -> Link {
        let mut link = Link {
            index: message.header.index,
            up: message.header.flags.contains(LinkFlags::Up),
            loopback: message.header.flags.contains(LinkFlags::Loopback),
            ..Link::default()
        };
        let flags = message.header.flags;
        for (is_set, word) in [
            (flags.contains(LinkFlags::Promisc), "promisc on"),
            (flags.contains(LinkFlags::Allmulti), "allmulticast on"),
            (flags.contains(LinkFlags::Noarp) && !flags.contains(LinkFlags::Pointopoint), "arp off"),
        ] {
            if is_set {
                link.unsaved.push(word.into());
            }
        }
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfAlias(alias) => link.unsaved.push(format!("alias {alias:?}")),
                LinkAttribute::PropList(names) => {
                    link.unsaved.extend(names.iter().filter_map(|name| match name {
                        Prop::AltIfName(name) => Some(format!("altname {name}")),
                        _ => None,
                    }));
                }
                LinkAttribute::TxQueueLen(n) if n != DEFAULT_QUEUE_LENGTH => {
                    link.unsaved.push(format!("txqueuelen {n}"))
                }
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Address(mac) => link.mac = mac,
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::Link(index) => link.other_end = Some(index),
                LinkAttribute::LinkNetNsId(id) => link.other_netnsid = Some(id),
                LinkAttribute::Controller(index) => link.controller = Some(index),
                LinkAttribute::LinkInfo(infos) => {
                    let kind = infos
                        .iter()
                        .find_map(|i| if let LinkInfo::Kind(kind) = i { Some(kind) } else { None });
                    link.kind = kind.map(ToString::to_string);
                }
                _ => {}
            }
        }
        link
    }
}
