//! Telling the neighbours where an address is now.
//!
//! With a new MAC a peer keeps its old neighbour entry for seconds and sends into the void; with the same MAC the
//! switches still send to the old port. The sysctl `arp_notify` comes too early: at link-up a bridge port does not
//! forward yet.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use anyhow::Context;

use crate::frame::{arp_announcement, neighbour_announcement};
use crate::netlink::Netlink;
use crate::netns::Netns;
use crate::packet::{EtherType, PacketSocket};
use crate::state::State;

/// RFC 5227 sends two, RFC 4861 three.
const TIMES: u32 = 3;
const INTERVAL: Duration = Duration::from_millis(100);

/// Announces every address of the interfaces that are up; returns how many there are.
///
/// # Errors
/// When the namespace cannot be entered or a frame cannot be sent.
pub fn announce(netns: &Netns) -> anyhow::Result<usize> {
    let state = State::read(&mut Netlink::open(netns)?).with_context(|| netns.name().to_owned())?;
    let mut frames = Vec::new();
    for link in state.links.iter().filter(|link| link.up && !link.loopback) {
        let Ok(mac) = link.mac.as_slice().try_into() else { continue };
        for address in state.addresses_of(link) {
            let (frame, kind) = match address.ipnet.addr() {
                IpAddr::V4(ip) => (arp_announcement(mac, ip), EtherType::Arp),
                IpAddr::V6(ip) => (neighbour_announcement(mac, ip), EtherType::Ipv6),
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
