//! Is an address still in use elsewhere? Asked before it is used here, so that two hosts do not fight for it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

use crate::frame::{self, EthernetAddress};
use crate::netns::Netns;
use crate::packet::{EtherType, PacketSocket};
use crate::state::Link;

/// RFC 5227 asks three times; a neighbour on a local network answers within milliseconds.
const TIMES: u32 = 3;
const INTERVAL: Duration = Duration::from_millis(300);

/// The addresses of one interface to ask for.
pub struct Question<'a> {
    pub link: &'a Link,
    pub addresses: Vec<IpAddr>,
}

/// The addresses somebody answered for, with the MAC of the answer.
///
/// # Errors
/// When the namespace cannot be entered or a frame cannot be sent.
pub fn in_use(netns: &Netns, questions: &[Question<'_>]) -> anyhow::Result<BTreeMap<IpAddr, String>> {
    let mut asked = Vec::new();
    for Question { link, addresses } in questions {
        let Ok(own) = link.mac.as_slice().try_into() else { continue };
        let mac = asking_as(link, own);
        for ip in addresses {
            let (frame, kind) = match ip {
                IpAddr::V4(ip) => (frame::arp_probe(mac, *ip), EtherType::Arp),
                IpAddr::V6(ip) => (frame::neighbour_probe(mac, *ip), EtherType::Ipv6),
            };
            let socket = netns.within(|| PacketSocket::open(link.index, kind).map_err(Into::into));
            asked.push((*ip, socket.with_context(|| format!("interface {}", link.name))?, frame, &link.name));
        }
    }
    let mut found = BTreeMap::new();
    for _ in 0..TIMES {
        for (ip, socket, frame, name) in &asked {
            if !found.contains_key(ip) {
                socket.send(frame).with_context(|| format!("interface {name}"))?;
            }
        }
        let until = Instant::now() + INTERVAL;
        while let Some(left) =
            until.checked_duration_since(Instant::now()).filter(|_| found.len() < asked.len())
        {
            let mut fds: Vec<PollFd<'_>> =
                asked.iter().map(|(_, s, ..)| PollFd::new(s.as_fd(), PollFlags::POLLIN)).collect();
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            match poll(&mut fds, timeout) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(e) => return Err(e).context("poll"),
            }
            for (ip, socket, _, name) in &asked {
                while let Some(frame) = socket.receive().with_context(|| format!("interface {name}"))? {
                    if let Some(mac) = answers(&frame, *ip) {
                        found.insert(*ip, mac);
                    }
                }
            }
        }
    }
    Ok(found)
}

/// The MAC to ask with. The old host may have the very MAC that is to come up here: its answer to that MAC would stay
/// on its own side of the bridge. So a veth asks under another one; a macvlan only receives what is for its own.
fn asking_as(link: &Link, own: EthernetAddress) -> EthernetAddress {
    let [a, b, c, d, e, f] = own;
    if link.kind.as_deref() == Some("veth") { [a | 2, b, c, d, e ^ 0x5a, f ^ 0xa5] } else { own }
}

/// Whether a frame shows that somebody has `ip`: any ARP from it, any advertisement of it.
fn answers(bytes: &[u8], ip: IpAddr) -> Option<String> {
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
    fn only_a_frame_about_the_address_is_an_answer() {
        let mac = [2, 0, 0, 0, 0, 5];
        let (a, b) = ("10.1.0.5".parse().unwrap(), "10.1.0.6".parse().unwrap());
        assert_eq!(answers(&frame::arp_announcement(mac, a), a.into()), Some("02:00:00:00:00:05".into()));
        assert_eq!(answers(&frame::arp_announcement(mac, b), a.into()), None);
        assert_eq!(answers(&frame::arp_probe(mac, a), a.into()), None);
        let six = "fd00::5".parse().unwrap();
        assert!(answers(&frame::neighbour_announcement(mac, six), six.into()).is_some());
        assert_eq!(answers(&frame::neighbour_probe(mac, six), six.into()), None);
    }

    #[test]
    fn a_veth_asks_under_a_unicast_mac_that_is_not_its_own() {
        let veth = Link { kind: Some("veth".into()), ..Link::default() };
        let own = [2, 0, 0, 0, 0, 5];
        let asked = asking_as(&veth, own);
        assert_ne!(asked, own);
        assert_eq!(asked[0] & 1, 0);
        assert_eq!(asking_as(&Link { kind: Some("macvlan".into()), ..Link::default() }, own), own);
    }
}
