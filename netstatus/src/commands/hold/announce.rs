//! Announcement of the new location of addresses to neighbors.
//!
//! If the MAC has changed, peers would send to the old MAC for seconds, until their neighbor
//! entries expire. If the MAC is the same, switches would send to the old port. The sysctl
//! `arp_notify` announces too early, when the link comes up, because a bridge port does not forward
//! frames at that time.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use anyhow::Context;

use crate::kernel::frame::{arp_announcement, neighbor_announcement};
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::Netns;
use crate::kernel::packet_socket::{EtherType, PacketSocket};
use crate::kernel::state::State;

/// The number of announcements of each address: two in RFC 5227, three in RFC 4861.
const TIMES: u32 = 3;
const INTERVAL: Duration = Duration::from_millis(100);

/// Announces every address of the interfaces that are up. Returns the number of addresses.
///
/// # Errors
/// Returns an error if the namespace cannot be entered or a frame cannot be sent.
pub fn announce(netns: &Netns) -> anyhow::Result<usize> {
    let state = State::read(&mut Netlink::open(netns)?).with_context(|| netns.name().to_owned())?;
    let mut frames = Vec::new();
    for link in state.links.iter().filter(|link| link.up && !link.loopback) {
        let Ok(mac) = link.mac.as_slice().try_into() else { continue };
        for address in state.addresses_of(link) {
            let (frame, kind) = match address.ipnet.addr() {
                IpAddr::V4(ip) => (arp_announcement(mac, ip), EtherType::Arp),
                IpAddr::V6(ip) => (neighbor_announcement(mac, ip), EtherType::Ipv6),
            };
            let open = || PacketSocket::open(link.index, kind).with_context(|| link.name.clone());
            frames.push((link, netns.within(open)?, frame));
        }
    }
    for round in 0..TIMES {
        if round > 0 {
            thread::sleep(INTERVAL);
        }
        for (link, socket, frame) in &frames {
            socket.send(frame).with_context(|| format!("{}: {}", netns.name(), link.name))?;
        }
    }
    Ok(frames.len())
}
