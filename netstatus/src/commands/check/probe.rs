//! Detection of addresses that another host uses, so that two hosts never use the same address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

use crate::kernel::frame::{self, EthernetAddress};
use crate::kernel::link::Link;
use crate::kernel::netns::Netns;
use crate::kernel::packet_socket::{EtherType, PacketSocket};

/// The number of probes for each address (RFC 5227).
const TIMES: u32 = 3;
/// The time to wait for an answer. A neighbor on a local network answers within milliseconds.
const INTERVAL: Duration = Duration::from_millis(300);

/// The addresses of one interface to probe.
pub struct ProbedInterface<'a> {
    pub link: &'a Link,
    pub addresses: Vec<IpAddr>,
}

/// Returns the addresses that another host uses, each with the MAC of that host.
///
/// # Errors
/// Returns an error if the namespace cannot be entered or a frame cannot be sent.
pub fn in_use(netns: &Netns, interfaces: &[ProbedInterface<'_>]) -> anyhow::Result<BTreeMap<IpAddr, String>> {
    let mut probes = Vec::new();
    for ProbedInterface { link, addresses } in interfaces {
        let Ok(own) = link.mac.as_slice().try_into() else { continue };
        let mac = source_mac(link, own);
        for ip in addresses {
            let (frame, kind) = match ip {
                IpAddr::V4(ip) => (frame::arp_probe(mac, *ip), EtherType::Arp),
                IpAddr::V6(ip) => (frame::neighbor_probe(mac, *ip), EtherType::Ipv6),
            };
            let socket = netns.within(|| PacketSocket::open(link.index, kind).map_err(Into::into));
            probes.push((
                *ip,
                socket.with_context(|| format!("interface {}", link.name))?,
                frame,
                &link.name,
            ));
        }
    }
    let mut found = BTreeMap::new();
    for _ in 0..TIMES {
        for (ip, socket, frame, name) in &probes {
            if !found.contains_key(ip) {
                socket.send(frame).with_context(|| format!("interface {name}"))?;
            }
        }
        let until = Instant::now() + INTERVAL;
        while let Some(left) =
            until.checked_duration_since(Instant::now()).filter(|_| found.len() < probes.len())
        {
            let mut fds: Vec<PollFd<'_>> =
                probes.iter().map(|(_, s, ..)| PollFd::new(s.as_fd(), PollFlags::POLLIN)).collect();
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            match poll(&mut fds, timeout) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(e) => return Err(e).context("poll"),
            }
            for (ip, socket, _, name) in &probes {
                while let Some(frame) = socket.receive().with_context(|| format!("interface {name}"))? {
                    if let Some(mac) = user_of(&frame, *ip) {
                        found.insert(*ip, mac);
                    }
                }
            }
        }
    }
    Ok(found)
}

/// Returns the source MAC of the probes.
///
/// The old host may still use the MAC of the restored interface. The bridge would then deliver the
/// old host's answer to the port of the old host. A veth therefore probes with another MAC. A
/// macvlan cannot use another MAC, because it receives only frames for its own MAC.
fn source_mac(link: &Link, own: EthernetAddress) -> EthernetAddress {
    let [a, b, c, d, e, f] = own;
    if link.kind.as_deref() == Some("veth") { [a | 2, b, c, d, e ^ 0x5a, f ^ 0xa5] } else { own }
}

/// Returns the MAC of the host that uses `ip`, if the frame is an ARP frame from `ip` or a neighbor
/// advertisement of `ip`.
fn user_of(bytes: &[u8], ip: IpAddr) -> Option<String> {
    let mac = match ip {
        IpAddr::V4(ip) => frame::arp_sender(bytes).filter(|(sender, _)| *sender == ip)?.1,
        IpAddr::V6(ip) => frame::advertised(bytes).filter(|(target, _)| *target == ip)?.1,
    };
    Some(mac.map(|b| format!("{b:02x}")).join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_frames_of_the_probed_address_are_answers() {
        let mac = [2, 0, 0, 0, 0, 5];
        let (a, b) = ("10.1.0.5".parse().unwrap(), "10.1.0.6".parse().unwrap());
        assert_eq!(user_of(&frame::arp_announcement(mac, a), a.into()), Some("02:00:00:00:00:05".into()));
        assert_eq!(user_of(&frame::arp_announcement(mac, b), a.into()), None);
        assert_eq!(user_of(&frame::arp_probe(mac, a), a.into()), None);
        let six = "fd00::5".parse().unwrap();
        assert!(user_of(&frame::neighbor_announcement(mac, six), six.into()).is_some());
        assert_eq!(user_of(&frame::neighbor_probe(mac, six), six.into()), None);
    }

    #[test]
    fn a_veth_probes_with_another_unicast_mac() {
        let veth = Link { kind: Some("veth".into()), ..Link::default() };
        let own = [2, 0, 0, 0, 0, 5];
        let source = source_mac(&veth, own);
        assert_ne!(source, own);
        assert_eq!(source[0] & 1, 0);
        assert_eq!(source_mac(&Link { kind: Some("macvlan".into()), ..Link::default() }, own), own);
    }
}
