//! A network status whose values a container can have.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::ops::Deref;

use checkpoint::network_status::{Mac, Malformed, NetAddress, NetInterface, NetworkStatus, StatusBlock};

use super::{host_address, names};

/// A status whose names, addresses, gateways and MACs have been validated.
#[derive(Clone, Debug)]
pub struct ValidStatus(NetworkStatus);

impl ValidStatus {
    /// Validates every value of `status`.
    ///
    /// # Errors
    /// Returns an error that names network, interface and value of the first invalid value.
    pub fn new(status: NetworkStatus) -> Result<ValidStatus, Malformed> {
        let mut seen = Seen::default();
        for (network, block) in &status.networks {
            check_block(network, block, &mut seen).map_err(|e| e.within(format!("network {network}")))?;
        }
        Ok(ValidStatus(status))
    }

    /// Returns the inner status, so that it can be changed. Validate the changed status again.
    pub fn into_inner(self) -> NetworkStatus {
        self.0
    }

    /// Describes values that are valid but unusual.
    pub fn oddities(&self) -> Vec<String> {
        let mut odd = Vec::new();
        for (network, block) in &self.networks {
            for (name, interface) in &block.interfaces {
                if interface.mac_address.is_none() {
                    odd.push(format!(
                        "network {network}: interface {name}: no MAC address, peers may send to the old MAC for a while"
                    ));
                }
                for NetAddress { ipnet, .. } in &interface.subnets {
                    if ipnet.prefix_len() == ipnet.max_prefix_len() {
                        odd.push(format!(
                            "network {network}: interface {name}: the subnet {ipnet} has only one address"
                        ));
                    }
                }
            }
        }
        odd
    }
}

impl Deref for ValidStatus {
    type Target = NetworkStatus;

    fn deref(&self) -> &NetworkStatus {
        &self.0
    }
}

/// Returns the interface of a network, for output formats that support only one interface.
///
/// podman itself would choose one of several interfaces at random.
///
/// # Errors
/// Returns an error if the network has no interface or several interfaces.
pub fn only_interface<'a>(
    block: &'a StatusBlock,
    format: &str,
) -> Result<(&'a str, &'a NetInterface), Malformed> {
    let mut interfaces = block.interfaces.iter();
    match (interfaces.next(), interfaces.next()) {
        (Some((name, interface)), None) => Ok((name, interface)),
        (None, _) => Err(Malformed::new("the status has no interface in this network")),
        (Some(_), Some(_)) => {
            let names: Vec<&str> = block.interfaces.keys().map(String::as_str).collect();
            Err(Malformed::new(format!(
                "several interfaces ({}), but {format} supports one for each network",
                names.join(", ")
            )))
        }
    }
}

/// The values that must be unique in a status, each with the interface that has it.
#[derive(Default)]
struct Seen {
    interfaces: BTreeMap<String, String>,
    addresses: BTreeMap<IpAddr, String>,
    macs: BTreeMap<Mac, String>,
}

fn check_unique<K: Ord + Display>(
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

fn check_block(network: &str, block: &StatusBlock, seen: &mut Seen) -> Result<(), Malformed> {
    names::check_network(network)?;
    for (name, interface) in &block.interfaces {
        names::check_interface(name)?;
        let place = format!("network {network}, interface {name}");
        check_unique(&mut seen.interfaces, name.clone(), &place)?;
        check_values(interface, &place, seen).map_err(|e| e.within(format!("interface {name}")))?;
    }
    for domain in &block.dns_search_domains {
        names::check_search_domain(domain)?;
    }
    Ok(())
}

fn check_values(interface: &NetInterface, place: &str, seen: &mut Seen) -> Result<(), Malformed> {
    if let Some(mac) = &interface.mac_address {
        host_address::check_mac(mac)?;
        check_unique(&mut seen.macs, mac.clone(), place)?;
    }
    for address in &interface.subnets {
        host_address::check_address(address)?;
        check_unique(&mut seen.addresses, address.ipnet.addr(), place)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Result<(), String> {
        let status = NetworkStatus::parse(text.as_bytes()).map_err(|e| e.to_string())?.unwrap_or_default();
        ValidStatus::new(status).map(drop).map_err(|e| e.to_string())
    }

    fn one(ipnet: &str, gateway: &str, mac: &str) -> String {
        format!(
            r#"{{"n1":{{"interfaces":{{"eth0":{{"subnets":[{{"ipnet":"{ipnet}","gateway":"{gateway}"}}],"mac_address":"{mac}"}}}}}}}}"#
        )
    }

    #[test]
    fn the_error_names_an_address_no_host_can_have() {
        for (ipnet, cause) in [
            ("10.1.0.0/24", "the address of the network itself"),
            ("10.1.0.255/24", "the broadcast address of the network"),
            ("224.0.0.1/24", "a multicast address"),
            ("127.0.0.2/8", "a loopback address"),
            ("0.0.0.0/0", "the unspecified address"),
            ("255.255.255.255/24", "the broadcast address"),
            ("10.1.0.5/0", "a prefix of length 0 contains every address"),
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
    fn a_gateway_must_be_another_host_of_the_same_family() {
        for (gateway, cause) in [
            ("fd00::1", "expected a gateway of the same address family"),
            ("10.1.0.5", "the container itself has this address"),
            ("0.0.0.0", "not a usable gateway"),
            ("10.1.0.255", "not a usable gateway"),
            ("127.0.0.1", "not a usable gateway"),
            ("224.0.0.1", "not a usable gateway"),
            ("255.255.255.255", "not a usable gateway"),
        ] {
            let message =
                format!("network n1: interface eth0: address 10.1.0.5/24: gateway {gateway}: {cause}");
            assert_eq!(verdict(&one("10.1.0.5/24", gateway, "02:00:00:00:00:05")), Err(message));
        }
    }

    #[test]
    fn group_and_zero_macs_are_errors() {
        for mac in ["01:00:5e:00:00:01", "33:33:00:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"] {
            assert!(
                verdict(&one("10.1.0.5/24", "10.1.0.1", mac)).unwrap_err().contains(&format!("MAC {mac}")),
                "{mac}"
            );
        }
    }

    #[test]
    fn duplicate_names_addresses_and_macs_are_errors() {
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
}
