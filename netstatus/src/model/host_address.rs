//! Addresses, gateways and MACs that an interface of a container can have.
//!
//! netavark accepts an address outside its subnet, the address of the gateway and a multicast MAC,
//! and then fails after the first changes or does not fail at all. podman accepts `.0` and `.255`.
//! These checks reject such values before anything is configured.

use std::net::{IpAddr, Ipv4Addr};

use checkpoint::network_status::{Mac, Malformed, NetAddress};
use ipnet::IpNet;

/// Checks that an interface can have `mac`.
///
/// # Errors
/// Returns an error if the MAC is a group address or all zero.
pub fn check_mac(mac: &Mac) -> Result<(), Malformed> {
    let wrong = |cause: &str| Err(Malformed::new(cause.to_owned()).within(format!("MAC {mac}")));
    if mac.bytes().iter().all(|&b| b == 0) {
        return wrong("all zero");
    }
    // This is the group bit of IEEE 802. An InfiniBand address of 20 bytes has no such bit, since
    // it starts with a queue number.
    if mac.bytes().len() != 20 && mac.bytes().first().is_some_and(|b| b & 1 == 1) {
        return wrong("a multicast address");
    }
    Ok(())
}

/// Checks that a host can have the address and its gateway.
///
/// # Errors
/// Returns an error that names the address and the rule that it breaks.
pub fn check_address(address: &NetAddress) -> Result<(), Malformed> {
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
    if ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return wrong("the broadcast address");
    }
    if ipnet.prefix_len() == 0 {
        return wrong("a prefix of length 0 contains every address");
    }
    // A subnet of two addresses has no network and no broadcast address (RFC 3021, RFC 6164).
    if ipnet.prefix_len() + 1 < ipnet.max_prefix_len() {
        if ip == ipnet.network() {
            return wrong("the address of the network itself");
        }
        if matches!(ipnet, IpNet::V4(_)) && ip == ipnet.broadcast() {
            return wrong("the broadcast address of the network");
        }
    }
    match address.gateway {
        Some(gateway) => check_gateway(gateway, ipnet).map_err(|e| e.within(format!("address {ipnet}"))),
        None => Ok(()),
    }
}

fn check_gateway(gateway: IpAddr, ipnet: &IpNet) -> Result<(), Malformed> {
    let wrong = |cause: &str| Err(Malformed::new(cause.to_owned()).within(format!("gateway {gateway}")));
    if gateway.is_ipv4() != ipnet.addr().is_ipv4() {
        return wrong("expected a gateway of the same address family");
    }
    let is_broadcast = |ip: Ipv4Addr| {
        ip.is_broadcast() || ipnet.prefix_len() + 1 < ipnet.max_prefix_len() && ipnet.broadcast() == ip
    };
    let is_broadcast = matches!(gateway, IpAddr::V4(ip) if is_broadcast(ip));
    if gateway.is_unspecified() || gateway.is_loopback() || gateway.is_multicast() || is_broadcast {
        return wrong("not a usable gateway");
    }
    if gateway == ipnet.addr() {
        return wrong("the container itself has this address");
    }
    Ok(())
}

/// Returns whether the gateway needs an `onlink` route, because it is outside the prefix of the
/// address.
pub fn gateway_is_onlink(address: &NetAddress) -> bool {
    address.gateway.is_some_and(|gateway| !address.ipnet.contains(&gateway) && !is_link_local(gateway))
}

/// Returns whether `ip` is a link-local address, which is always on the link (RFC 4861, router
/// advertisements).
fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_outside_the_prefix_is_onlink() {
        let address = |ipnet: &str, gateway: &str| {
            NetAddress::new(ipnet.parse().unwrap(), Some(gateway.parse().unwrap()))
        };
        assert!(gateway_is_onlink(&address("192.0.2.7/32", "10.1.0.1")));
        assert!(!gateway_is_onlink(&address("10.1.0.5/24", "10.1.0.1")));
        assert!(!gateway_is_onlink(&address("fd00::5/64", "fe80::1")));
    }
}
