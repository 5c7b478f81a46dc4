//! Addresses as the kernel reports them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope,
};

use crate::model::extension::{AddressDetails, USER_FLAGS};

/// The IPv4 address that the kernel assigns to the loopback interface.
pub const LOOPBACK_V4: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8));

/// The IPv6 address that the kernel assigns to the loopback interface.
pub const LOOPBACK_V6: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128));

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The index of the interface.
    pub index: u32,
    pub ipnet: IpNet,
    pub scope: AddressScope,
    pub flags: AddressFlags,
    /// The other end of a point-to-point link.
    pub peer: Option<IpAddr>,
    pub broadcast: Option<Ipv4Addr>,
    pub label: Option<String>,
    /// The metric of the prefix route.
    pub metric: u32,
    /// The protocol that added the address (`IFA_PROTO`, Linux 5.18).
    pub protocol: Option<AddressProtocol>,
}

impl Address {
    /// Returns the attributes that `save --extended` saves; `interface` is the name of the
    /// interface.
    pub fn details(&self, interface: &str) -> AddressDetails {
        let user_flags = USER_FLAGS.iter().fold(AddressFlags::empty(), |all, (flag, _)| all | *flag);
        AddressDetails {
            ipnet: self.ipnet,
            peer: self.peer,
            broadcast: self.broadcast,
            label: self.label.clone().filter(|label| label != interface),
            scope: self.scope,
            metric: self.metric,
            flags: self.flags & user_flags,
        }
    }

    /// Reads a message of the kernel. Returns `None` if the message does not contain an address.
    pub fn from_message(message: &AddressMessage) -> Option<Address> {
        // IFA_LOCAL is the address of the interface. IFA_ADDRESS is the same address, or on a
        // point-to-point link the address of the peer.
        let (mut ip, mut local) = (None, None);
        let mut address = Address {
            index: message.header.index,
            ipnet: IpNet::default(),
            scope: message.header.scope,
            flags: AddressFlags::from_bits_retain(u32::from(message.header.flags.bits())),
            peer: None,
            broadcast: None,
            label: None,
            metric: 0,
            protocol: None,
        };
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Address(address) => ip = Some(*address),
                AddressAttribute::Local(address) => local = Some(*address),
                AddressAttribute::Flags(all) => address.flags = *all,
                AddressAttribute::Broadcast(ip) => address.broadcast = Some(*ip),
                AddressAttribute::Label(label) => address.label = Some(label.clone()),
                AddressAttribute::RoutePriority(metric) => address.metric = *metric,
                AddressAttribute::Protocol(protocol) => address.protocol = Some(*protocol),
                _ => {}
            }
        }
        address.ipnet = IpNet::new(local.or(ip)?, message.header.prefix_len).ok()?;
        address.peer = ip.filter(|ip| local.is_some_and(|local| local != *ip));
        Some(address)
    }
}
