//! Values of the command line.

use std::net::IpAddr;

use checkpoint::network_status::{Mac, cidr};
use ipnet::IpNet;

/// An address from the command line, with or without its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Bare(IpAddr),
    WithPrefix(IpNet),
}

impl Wanted {
    pub fn addr(&self) -> IpAddr {
        match self {
            Wanted::Bare(ip) => *ip,
            Wanted::WithPrefix(net) => net.addr(),
        }
    }
}

pub fn pair(arg: &str) -> Result<(String, String), String> {
    match arg.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.into(), value.into())),
        _ => Err("NAME=VALUE is wanted".into()),
    }
}

pub fn mac(arg: &str) -> Result<Mac, String> {
    arg.parse().map_err(|_| "not a MAC address".into())
}

pub fn net_mac(arg: &str) -> Result<(String, Mac), String> {
    let (net, value) = pair(arg)?;
    Ok((net, mac(&value)?))
}

pub fn ips(arg: &str) -> Result<(String, Vec<Wanted>), String> {
    let (net, list) = pair(arg)?;
    let wanted = |text: &str| match text.parse() {
        Ok(ip) => Ok(Wanted::Bare(ip)),
        Err(_) => cidr(text).map(Wanted::WithPrefix).map_err(|e| e.to_string()),
    };
    Ok((net, list.split(',').map(wanted).collect::<Result<_, _>>()?))
}

pub fn major(arg: &str) -> Result<u32, String> {
    let first = arg.split('.').next().unwrap_or_default();
    first.parse().map_err(|_| "a version such as 1.14.0 is wanted".into())
}

/// A published port, or as many of them as `range` says, from these two on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMapping {
    /// None is every address of the host.
    pub host_ip: Option<IpAddr>,
    pub host_port: u16,
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    pub range: u16,
}

/// podman's form `[IP:]HOST:CONTAINER[/PROTOCOL]` with ranges such as `8000-8009`; an IPv6 address stands in brackets.
/// The host's port is mandatory: podman chooses one where it is missing, netavark does not.
pub fn publish(arg: &str) -> Result<PortMapping, String> {
    let wrong = || "[IP:]HOST:CONTAINER[/PROTOCOL] is wanted".to_owned();
    let (ports, protocol) = arg.rsplit_once('/').unwrap_or((arg, "tcp"));
    if !["tcp", "udp", "sctp"].contains(&protocol) {
        return Err(format!("{protocol:?}: tcp, udp or sctp is wanted"));
    }
    let (ports, container) = ports.rsplit_once(':').ok_or_else(wrong)?;
    let (ip, host) = match ports.rsplit_once(':') {
        None => (None, ports),
        Some((ip, host)) => (Some(ip), host),
    };
    let host_ip = match ip {
        None | Some("") => None,
        Some(text) => {
            // Without brackets the colons of IPv6 and of the form could not be told apart.
            let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            let ip: Option<IpAddr> = bracketed.unwrap_or(text).parse().ok();
            Some(ip.filter(|ip| ip.is_ipv6() == bracketed.is_some()).ok_or_else(wrong)?)
        }
    };
    let ((host_port, range), (container_port, same)) = (ports_of(host)?, ports_of(container)?);
    if range != same {
        return Err(format!("{range} ports of the host for {same} of the container"));
    }
    Ok(PortMapping { host_ip, host_port, container_port, protocol: protocol.into(), range })
}

/// The first port of `FIRST[-LAST]`, and how many they are.
fn ports_of(text: &str) -> Result<(u16, u16), String> {
    let port = |text: &str| match text.parse() {
        Ok(0) | Err(_) => Err(format!("{text:?}: a port is wanted")),
        Ok(port) => Ok(port),
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (port(first)?, port(last)?);
    let more =
        last.checked_sub(first).ok_or_else(|| format!("{text:?}: the last port is before the first"))?;
    // At most 65535 of them: port 0 is refused.
    Ok((first, more.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_prefix() {
        let (net, list) = ips("n1=10.1.0.9,fd00::9/64").unwrap();
        assert_eq!(net, "n1");
        assert_eq!(
            list,
            [Wanted::Bare("10.1.0.9".parse().unwrap()), Wanted::WithPrefix("fd00::9/64".parse().unwrap())]
        );
        assert!(ips("n1=10.1.0.9,").is_err());
        assert!(ips("10.1.0.9").is_err());
    }

    #[test]
    fn ports_are_read_as_podman_reads_them() {
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
