//! Which addresses, MACs and names a container can really have.
//!
//! netavark takes an address outside its subnet, the gateway's own address and a multicast MAC, and fails half-way
//! or not at all; podman accepts `.0` and `.255`. Here they are errors before anything is configured.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use checkpoint::network_status::{Mac, Malformed, NetAddress, NetInterface, NetworkStatus, StatusBlock};
use ipnet::IpNet;

/// The longest name a network or a search domain may have here (that of a host name, RFC 1035).
const LONGEST_NAME: usize = 253;

/// Checks every value of `status`.
///
/// # Errors
/// Names network, interface and value of the first thing that cannot be used.
pub fn validate(status: &NetworkStatus) -> Result<(), Malformed> {
    let mut seen = Seen::default();
    for (network, block) in &status.networks {
        block_is_usable(network, block, &mut seen).map_err(|e| e.within(format!("network {network}")))?;
    }
    Ok(())
}

/// What is odd in `status`, but may be meant.
pub fn oddities(status: &NetworkStatus) -> Vec<String> {
    let mut odd = Vec::new();
    for (network, block) in &status.networks {
        for (name, interface) in &block.interfaces {
            if interface.mac_address.is_none() {
                odd.push(format!("network {network}: interface {name}: no MAC address, a peer may keep the old one for a while"));
            }
            for NetAddress { ipnet, .. } in &interface.subnets {
                if ipnet.prefix_len() == ipnet.max_prefix_len() {
                    odd.push(format!("network {network}: interface {name}: {ipnet} is a subnet of its own"));
                }
            }
        }
    }
    odd
}

/// What may stand only once in a status, and where it was seen.
#[derive(Default)]
struct Seen {
    interfaces: BTreeMap<String, String>,
    addresses: BTreeMap<IpAddr, String>,
    macs: BTreeMap<Mac, String>,
}

fn once<K: Ord + std::fmt::Display>(
    seen: &mut BTreeMap<K, String>,
    key: K,
    place: &str,
) -> Result<(), Malformed> {
    match seen.get(&key) {
        Some(first) => Err(Malformed::new(format!("{key} is given twice, first at {first}"))),
        None => {
            seen.insert(key, place.to_owned());
            Ok(())
        }
    }
}

fn block_is_usable(network: &str, block: &StatusBlock, seen: &mut Seen) -> Result<(), Malformed> {
    network_name(network)?;
    for (name, interface) in &block.interfaces {
        interface_name(name)?;
        let place = format!("network {network}, interface {name}");
        once(&mut seen.interfaces, name.clone(), &place)?;
        interface_is_usable(interface, &place, seen).map_err(|e| e.within(format!("interface {name}")))?;
    }
    for domain in &block.dns_search_domains {
        search_domain(domain)?;
    }
    Ok(())
}

fn interface_is_usable(interface: &NetInterface, place: &str, seen: &mut Seen) -> Result<(), Malformed> {
    if let Some(mac) = &interface.mac_address {
        unicast(mac)?;
        once(&mut seen.macs, mac.clone(), place)?;
    }
    for address in &interface.subnets {
        host_address(address)?;
        once(&mut seen.addresses, address.ipnet.addr(), place)?;
    }
    Ok(())
}

/// A network's name: any text without control characters.
pub fn network_name(name: &str) -> Result<(), Malformed> {
    if name.is_empty() {
        Err(Malformed::new("the name of a network is empty"))
    } else if name.len() > LONGEST_NAME {
        Err(Malformed::new(format!("the name of a network is longer than {LONGEST_NAME} bytes")))
    } else if name.chars().any(char::is_control) {
        Err(Malformed::new(format!("{name:?}: control character in the name of a network")))
    } else {
        Ok(())
    }
}

/// An interface name that the kernel takes (`dev_valid_name`) and that is not taken already.
pub fn interface_name(name: &str) -> Result<(), Malformed> {
    let wrong = |cause: &str| Err(Malformed::new(cause.to_owned()).within(format!("interface {name:?}")));
    match name {
        "" => return wrong("no name"),
        "." | ".." => return wrong("not a name for an interface"),
        "lo" => return wrong("the loopback interface is not part of a network"),
        // Directories of these names stand in /proc/sys/net already, so that the kernel refuses them.
        "all" | "default" => return wrong("a name the kernel keeps for itself"),
        _ => {}
    }
    if name.len() > 15 {
        return wrong("longer than 15 bytes");
    }
    // '%' makes the kernel choose a number: "eth%d".
    if let Some(c) =
        name.chars().find(|c| matches!(c, '/' | ':' | '%') || c.is_whitespace() || c.is_control())
    {
        return wrong(&format!("{c:?} cannot stand in the name of an interface"));
    }
    Ok(())
}

fn search_domain(domain: &str) -> Result<(), Malformed> {
    // "." is podman's way to say "no search domain" (--dns-search .).
    let bad = |c: char| c.is_control() || c.is_whitespace();
    if domain.is_empty() || domain.len() > LONGEST_NAME || domain.contains(bad) {
        return Err(Malformed::new(format!("{domain:?}: not a domain name")).within("dns_search_domains"));
    }
    Ok(())
}

/// A MAC an interface can have: neither a group address nor all zero.
pub fn unicast(mac: &Mac) -> Result<(), Malformed> {
    let wrong = |cause: &str| Err(Malformed::new(cause.to_owned()).within(format!("MAC {mac}")));
    if mac.bytes().iter().all(|&b| b == 0) {
        return wrong("all zero");
    }
    // The group bit of IEEE 802; an InfiniBand address of 20 bytes starts with a queue number instead.
    if mac.bytes().len() != 20 && mac.bytes().first().is_some_and(|b| b & 1 == 1) {
        return wrong("a multicast address");
    }
    Ok(())
}

/// An address a host can have, with a gateway it can have.
pub fn host_address(address: &NetAddress) -> Result<(), Malformed> {
    let ipnet = &address.ipnet;
    let wrong = |cause: &str| {
        Err(Malformed::new(format!("not a usable host address: {cause}")).within(format!("address {ipnet}")))
    };
    let ip = ipnet.addr();
    if ip.is_unspecified() {
        return wrong("the unspecified address");
    }
    if ip.is_loopback() {
        return wrong("a loopback address");
    }
    if ip.is_multicast() {
        return wrong("a multicast address");
    }
    if ip == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) {
        return wrong("the broadcast address");
    }
    if ipnet.prefix_len() == 0 {
        return wrong("a prefix of length 0 is the whole internet");
    }
    // RFC 3021 and RFC 6164: a subnet of two addresses has neither of these.
    if ipnet.prefix_len() + 1 < ipnet.max_prefix_len() {
        if ip == ipnet.network() {
            return wrong("the address of the network itself");
        }
        if matches!(ipnet, IpNet::V4(_)) && ip == ipnet.broadcast() {
            return wrong("the broadcast address of the network");
        }
    }
    match address.gateway {
        Some(gateway) => gateway_fits(gateway, ipnet).map_err(|e| e.within(format!("address {ipnet}"))),
        None => Ok(()),
    }
}

fn gateway_fits(gateway: IpAddr, ipnet: &IpNet) -> Result<(), Malformed> {
    let wrong = |cause: &str| Err(Malformed::new(cause.to_owned()).within(format!("gateway {gateway}")));
    if gateway.is_ipv4() != ipnet.addr().is_ipv4() {
        return wrong("the gateway is of the other family");
    }
    let is_broadcast = |ip: Ipv4Addr| {
        ip.is_broadcast() || ipnet.prefix_len() + 1 < ipnet.max_prefix_len() && ipnet.broadcast() == ip
    };
    let reaches_all = matches!(gateway, IpAddr::V4(ip) if is_broadcast(ip));
    if gateway.is_unspecified() || gateway.is_loopback() || gateway.is_multicast() || reaches_all {
        return wrong("not a usable gateway");
    }
    if gateway == ipnet.addr() {
        return wrong("the gateway's own address is given to the container");
    }
    Ok(())
}

/// Whether the gateway can only be reached as a neighbour, because it lies outside the prefix.
pub fn gateway_is_onlink(address: &NetAddress) -> bool {
    address.gateway.is_some_and(|gateway| !address.ipnet.contains(&gateway) && !is_link_local(gateway))
}

fn is_link_local(ip: IpAddr) -> bool {
    // A link-local gateway is a neighbour by definition (RFC 4861, router advertisements).
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Result<(), String> {
        let status = NetworkStatus::parse(text.as_bytes()).map_err(|e| e.to_string())?.unwrap_or_default();
        validate(&status).map_err(|e| e.to_string())
    }

    fn one(ipnet: &str, gateway: &str, mac: &str) -> String {
        format!(
            r#"{{"n1":{{"interfaces":{{"eth0":{{"subnets":[{{"ipnet":"{ipnet}","gateway":"{gateway}"}}],"mac_address":"{mac}"}}}}}}}}"#
        )
    }

    #[test]
    fn addresses_no_host_can_have_are_named() {
        for (ipnet, cause) in [
            ("10.1.0.0/24", "the address of the network itself"),
            ("10.1.0.255/24", "the broadcast address of the network"),
            ("224.0.0.1/24", "a multicast address"),
            ("127.0.0.2/8", "a loopback address"),
            ("0.0.0.0/0", "the unspecified address"),
            ("255.255.255.255/24", "the broadcast address"),
            ("10.1.0.5/0", "a prefix of length 0 is the whole internet"),
            ("ff02::1/64", "a multicast address"),
            ("::1/64", "a loopback address"),
            ("fd00::/64", "the address of the network itself"),
        ] {
            let gateway = if ipnet.contains(':') { "fd00::fe" } else { "10.1.0.1" };
            let message =
                format!("network n1: interface eth0: address {ipnet}: not a usable host address: {cause}");
            assert_eq!(verdict(&one(ipnet, gateway, "02:00:00:00:00:05")), Err(message));
        }
        for (ipnet, gateway) in [
            ("10.1.0.4/31", "10.1.0.5"),
            ("192.0.2.7/32", "10.1.0.1"),
            ("fd00::/127", "fd00::1"),
            ("fd00::5/64", "fe80::1"),
        ] {
            assert_eq!(verdict(&one(ipnet, gateway, "02:00:00:00:00:05")), Ok(()), "{ipnet}");
        }
    }

    #[test]
    fn a_gateway_must_be_another_host_of_the_family() {
        for (gateway, cause) in [
            ("fd00::1", "the gateway is of the other family"),
            ("10.1.0.5", "the gateway's own address is given to the container"),
            ("0.0.0.0", "not a usable gateway"),
            ("10.1.0.255", "not a usable gateway"),
            ("255.255.255.255", "not a usable gateway"),
        ] {
            let message =
                format!("network n1: interface eth0: address 10.1.0.5/24: gateway {gateway}: {cause}");
            assert_eq!(verdict(&one("10.1.0.5/24", gateway, "02:00:00:00:00:05")), Err(message));
        }
    }

    #[test]
    fn group_and_zero_macs_are_refused() {
        for mac in ["01:00:5e:00:00:01", "33:33:00:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"] {
            assert!(
                verdict(&one("10.1.0.5/24", "10.1.0.1", mac)).unwrap_err().contains(&format!("MAC {mac}")),
                "{mac}"
            );
        }
    }

    #[test]
    fn names_the_kernel_refuses_are_refused_here() {
        for name in [
            "",
            "sixteen-bytes-ab",
            "a/b",
            "..",
            ".",
            "lo",
            "x y",
            "a\nb",
            "a:b",
            "all",
            "default",
            "eth%d",
            "a\u{a0}b",
        ] {
            assert!(interface_name(name).is_err(), "{name:?}");
        }
        for name in ["eth0", "fifteen-bytes-a", "a;b$c", "é0"] {
            assert!(interface_name(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn nothing_may_stand_twice() {
        let two = |ip: &str, mac: &str, ifname: &str| {
            format!(
                r#"{{"a":{{"interfaces":{{"eth0":{{"subnets":[{{"ipnet":"10.1.0.5/24"}}],"mac_address":"02:00:00:00:00:05"}}}}}},
                    "b":{{"interfaces":{{"{ifname}":{{"subnets":[{{"ipnet":"{ip}"}}],"mac_address":"{mac}"}}}}}}}}"#
            )
        };
        assert_eq!(verdict(&two("10.2.0.5/24", "02:00:00:00:00:06", "eth1")), Ok(()));
        for (text, twice) in [
            (two("10.1.0.5/16", "02:00:00:00:00:06", "eth1"), "10.1.0.5"),
            (two("10.2.0.5/24", "02:00:00:00:00:05", "eth1"), "02:00:00:00:00:05"),
            (two("10.2.0.5/24", "02:00:00:00:00:06", "eth0"), "eth0"),
        ] {
            let message = verdict(&text).unwrap_err();
            assert!(
                message.ends_with(&format!("{twice} is given twice, first at network a, interface eth0")),
                "{message}"
            );
        }
    }

    #[test]
    fn a_gateway_outside_the_prefix_is_on_the_link() {
        let address = |ipnet: &str, gateway: &str| {
            NetAddress::new(ipnet.parse().unwrap(), Some(gateway.parse().unwrap()))
        };
        assert!(gateway_is_onlink(&address("192.0.2.7/32", "10.1.0.1")));
        assert!(!gateway_is_onlink(&address("10.1.0.5/24", "10.1.0.1")));
        assert!(!gateway_is_onlink(&address("fd00::5/64", "fe80::1")));
    }
}
