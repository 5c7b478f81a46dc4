//! The types of a network status.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value};

use super::mac::Mac;

/// All networks of one container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetworkStatus {
    /// The networks, sorted by name, which is also their order in the file.
    pub networks: BTreeMap<String, StatusBlock>,
}

/// The container's part of one network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusBlock {
    /// The container's interfaces by name. Most containers have one interface per network.
    pub interfaces: BTreeMap<String, NetInterface>,
    /// The DNS servers of this network.
    pub dns_server_ips: Vec<IpAddr>,
    /// The search domains of this network.
    pub dns_search_domains: Vec<String>,
    /// The keys that this version does not know.
    pub unknown: Map<String, Value>,
}

/// One interface of the container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetInterface {
    /// The addresses of the interface.
    pub subnets: Vec<NetAddress>,
    /// The hardware address.
    pub mac_address: Option<Mac>,
    /// The keys that this version does not know.
    pub unknown: Map<String, Value>,
}

/// One address of an interface.
#[derive(Clone, Debug, PartialEq)]
pub struct NetAddress {
    /// The interface's own address (not the address of the network) with its prefix length.
    pub ipnet: IpNet,
    /// The gateway of the subnet.
    pub gateway: Option<IpAddr>,
    /// The keys that this version does not know.
    pub unknown: Map<String, Value>,
}

impl NetAddress {
    /// Returns an address as netavark or a CNI plugin reports it, without unknown keys.
    pub fn new(ipnet: IpNet, gateway: Option<IpAddr>) -> NetAddress {
        NetAddress { ipnet, gateway, unknown: Map::new() }
    }
}
