//! Parsers for the values of options.

use std::net::IpAddr;

use checkpoint::network_status::{Mac, cidr};
use ipnet::IpNet;

/// An address on the command line, with or without a prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressArg {
    Bare(IpAddr),
    WithPrefix(IpNet),
}

impl AddressArg {
    pub fn addr(&self) -> IpAddr {
        match self {
            AddressArg::Bare(ip) => *ip,
            AddressArg::WithPrefix(net) => net.addr(),
        }
    }
}

/// Parses `NAME=VALUE`.
pub fn pair(arg: &str) -> Result<(String, String), String> {
    match arg.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.into(), value.into())),
        _ => Err("expected NAME=VALUE".into()),
    }
}

/// Parses a MAC.
pub fn mac(arg: &str) -> Result<Mac, String> {
    arg.parse().map_err(|_| "not a MAC address".into())
}

/// Parses `NET=MAC`.
pub fn net_mac(arg: &str) -> Result<(String, Mac), String> {
    let (net, value) = pair(arg)?;
    Ok((net, mac(&value)?))
}

/// Parses `NET=A[/P][,A…]`.
pub fn ips(arg: &str) -> Result<(String, Vec<AddressArg>), String> {
    let (net, list) = pair(arg)?;
    let address = |text: &str| match text.parse() {
        Ok(ip) => Ok(AddressArg::Bare(ip)),
        Err(_) => cidr(text).map(AddressArg::WithPrefix).map_err(|e| e.to_string()),
    };
    Ok((net, list.split(',').map(address).collect::<Result<_, _>>()?))
}

/// Parses a version such as 1.14.0, and returns its major number.
pub fn major(arg: &str) -> Result<u32, String> {
    let first = arg.split('.').next().unwrap_or_default();
    first.parse().map_err(|_| "expected a version such as 1.14.0".into())
}

/// A published port, or a range of published ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMapping {
    /// The address of the host; `None` for all addresses.
    pub host_ip: Option<IpAddr>,
    /// The first port of the host.
    pub host_port: u16,
    /// The first port of the container.
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The number of ports.
    pub range: u16,
}

/// Parses podman's format `[IP:]HOST:CONTAINER[/PROTOCOL]`.
///
/// Ports may be ranges such as `8000-8009`, and an IPv6 address must be in brackets. The port of
/// the host is mandatory, because netavark does not choose one as podman does.
pub fn publish(arg: &str) -> Result<PortMapping, String> {
    let wrong = || "expected [IP:]HOST:CONTAINER[/PROTOCOL]".to_owned();
    let (ports, protocol) = arg.rsplit_once('/').unwrap_or((arg, "tcp"));
    if !["tcp", "udp", "sctp"].contains(&protocol) {
        return Err(format!("expected tcp, udp or sctp, found {protocol:?}"));
    }
    let (ports, container) = ports.rsplit_once(':').ok_or_else(wrong)?;
    let (ip, host) = match ports.rsplit_once(':') {
        None => (None, ports),
        Some((ip, host)) => (Some(ip), host),
    };
    let host_ip = match ip {
        None | Some("") => None,
        Some(text) => {
            // Without brackets, a colon of the IPv6 address could not be distinguished from a
            // separator.
            let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            let ip: Option<IpAddr> = bracketed.unwrap_or(text).parse().ok();
            Some(ip.filter(|ip| ip.is_ipv6() == bracketed.is_some()).ok_or_else(wrong)?)
        }
    };
    let ((host_port, range), (container_port, container_range)) = (port_range(host)?, port_range(container)?);
    if range != container_range {
        return Err(format!("{range} ports of the host, but {container_range} of the container"));
    }
    Ok(PortMapping { host_ip, host_port, container_port, protocol: protocol.into(), range })
}

/// Parses `FIRST[-LAST]`, and returns the first port and the number of ports.
fn port_range(text: &str) -> Result<(u16, u16), String> {
    let port = |text: &str| match text.parse() {
        Ok(0) | Err(_) => Err(format!("expected a port, found {text:?}")),
        Ok(port) => Ok(port),
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (port(first)?, port(last)?);
    let more =
        last.checked_sub(first).ok_or_else(|| format!("{text:?}: the last port is lower than the first"))?;
    // The sum cannot saturate: port 0 is rejected, so there are at most 65535 ports.
    Ok((first, more.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_with_and_without_prefix() {
        let (net, list) = ips("n1=10.1.0.9,fd00::9/64").unwrap();
        assert_eq!(net, "n1");
        assert_eq!(
            list,
            [
                AddressArg::Bare("10.1.0.9".parse().unwrap()),
                AddressArg::WithPrefix("fd00::9/64".parse().unwrap())
            ]
        );
        assert!(ips("n1=10.1.0.9,").is_err());
        assert!(ips("10.1.0.9").is_err());
    }

    #[test]
    fn ports_are_parsed_as_podman_parses_them() {
        let mapping = |host_ip: &str, host_port, container_port, protocol: &str, range| PortMapping {
            host_ip: host_ip.parse().ok(),
            host_port,
            container_port,
            protocol: protocol.into(),
            range,
        };
        for (text, expected) in [
            ("8080:80", mapping("", 8080, 80, "tcp", 1)),
            (":8080:80", mapping("", 8080, 80, "tcp", 1)),
            ("127.0.0.1:53:5353/udp", mapping("127.0.0.1", 53, 5353, "udp", 1)),
            ("[::1]:8000-8009:9000-9009/sctp", mapping("::1", 8000, 9000, "sctp", 10)),
            ("1-65535:1-65535", mapping("", 1, 1, "tcp", 65535)),
        ] {
            assert_eq!(publish(text), Ok(expected), "{text}");
        }
        for bad in [
            "",
            "80",
            ":80",
            "80:",
            "0:80",
            "80:0",
            "65536:80",
            "-1:80",
            "80:80/icmp",
            "80:80/",
            "::1:80:80",
            "[127.0.0.1]:80:80",
            "[::1:80:80",
            "banana:80:80",
            "80-82:80-81",
            "82-80:82-80",
            "80-:80-",
            "1.2.3.4::80",
        ] {
            assert!(publish(bad).is_err(), "{bad}");
        }
    }
}
