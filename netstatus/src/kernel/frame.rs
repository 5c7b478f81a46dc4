//! Encodes and decodes Ethernet frames of ARP (RFC 826, RFC 5227) and neighbor discovery (RFC
//! 4861).

use std::net::{Ipv4Addr, Ipv6Addr};

pub type EthernetAddress = [u8; 6];

const BROADCAST: EthernetAddress = [0xff; 6];
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ARP_REQUEST: u16 = 1;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
const ICMPV6: u8 = 58;
/// The hop limit of neighbor discovery. Receivers discard a message with another hop limit, since
/// it may be from another link (RFC 4861 7.1).
const HOP_LIMIT: u8 = 255;

fn ethernet(to: EthernetAddress, from: EthernetAddress, kind: u16) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes()].concat()
}

fn arp(from: EthernetAddress, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(BROADCAST, from, ETHERTYPE_ARP);
    // The hardware type is Ethernet, the protocol IPv4, and the lengths of the addresses are 6 and
    // 4.
    frame.extend([0, 1, 8, 0, 6, 4]);
    frame.extend(ARP_REQUEST.to_be_bytes());
    frame.extend(from);
    frame.extend(sender.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame
}

/// Returns an ARP announcement: a request for the address of the sender itself (RFC 5227 2.3).
pub fn arp_announcement(mac: EthernetAddress, ip: Ipv4Addr) -> Vec<u8> {
    arp(mac, ip, ip)
}

/// Returns an ARP probe, which changes no neighbor entry, because it has no sender address (RFC
/// 5227 2.1.1).
pub fn arp_probe(mac: EthernetAddress, ip: Ipv4Addr) -> Vec<u8> {
    arp(mac, Ipv4Addr::UNSPECIFIED, ip)
}

/// Returns the IP address and the MAC of the sender of an ARP frame.
pub fn arp_sender(frame: &[u8]) -> Option<(Ipv4Addr, EthernetAddress)> {
    let body = frame.get(14..42)?;
    if frame.get(12..14)? != ETHERTYPE_ARP.to_be_bytes() || body.get(..6)? != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let mac: EthernetAddress = body.get(8..14)?.try_into().ok()?;
    let ip: [u8; 4] = body.get(14..18)?.try_into().ok()?;
    Some((ip.into(), mac))
}

fn icmpv6(to: (EthernetAddress, Ipv6Addr), from: (EthernetAddress, Ipv6Addr), message: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(to.0, from.0, ETHERTYPE_IPV6);
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length.to_be_bytes());
    frame.extend([ICMPV6, HOP_LIMIT]);
    frame.extend(from.1.octets());
    frame.extend(to.1.octets());
    let sum = checksum(from.1, to.1, message);
    frame.extend(message.get(..2).unwrap_or_default());
    frame.extend(sum.to_be_bytes());
    frame.extend(message.get(4..).unwrap_or_default());
    frame
}

/// Returns the ICMPv6 checksum of a message whose checksum field is zero, with the pseudo-header of
/// RFC 8200 8.1.
fn checksum(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    let bytes = [&from.octets()[..], &to.octets(), &length, &[0, 0, 0, ICMPV6], message].concat();
    let mut sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Returns an unsolicited neighbor advertisement to all nodes, with the override flag and the MAC
/// (RFC 4861 7.2.6).
pub fn neighbor_announcement(mac: EthernetAddress, ip: Ipv6Addr) -> Vec<u8> {
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let mut message = vec![NEIGHBOR_ADVERTISEMENT, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend(ip.octets());
    message.extend([2, 1]);
    message.extend(mac);
    icmpv6((multicast(all_nodes), all_nodes), (mac, ip), &message)
}

/// Returns a neighbor solicitation for duplicate address detection, from the unspecified address
/// (RFC 4862 5.4.2).
pub fn neighbor_probe(mac: EthernetAddress, ip: Ipv6Addr) -> Vec<u8> {
    let [.., x, y, z] = ip.octets();
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(x), u16::from_be_bytes([y, z]));
    let mut message = vec![NEIGHBOR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(ip.octets());
    icmpv6((multicast(group), group), (mac, Ipv6Addr::UNSPECIFIED), &message)
}

/// Returns the target address of a neighbor advertisement, and the MAC of its sender.
pub fn advertised(frame: &[u8]) -> Option<(Ipv6Addr, EthernetAddress)> {
    let header = frame.get(..54)?;
    if header.get(12..14)? != ETHERTYPE_IPV6.to_be_bytes()
        || header.get(20) != Some(&ICMPV6)
        || header.get(21) != Some(&HOP_LIMIT)
    {
        return None;
    }
    if frame.get(54) != Some(&NEIGHBOR_ADVERTISEMENT) {
        return None;
    }
    let ip: [u8; 16] = frame.get(62..78)?.try_into().ok()?;
    Some((ip.into(), frame.get(6..12)?.try_into().ok()?))
}

/// Returns the Ethernet address of a multicast group (RFC 2464 7).
fn multicast(group: Ipv6Addr) -> EthernetAddress {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: EthernetAddress = [2, 0x77, 0, 0, 0, 5];

    #[test]
    fn an_arp_announcement_equals_that_of_arping() {
        let frame = arp_announcement(MAC, Ipv4Addr::new(10, 77, 0, 5));
        let hex: String = frame.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "ffffffffffff0277000000050806\
                         00010800060400010277000000050a4d0005\
                         0000000000000a4d0005"
        );
        assert_eq!(arp_sender(&frame), Some((Ipv4Addr::new(10, 77, 0, 5), MAC)));
        assert_eq!(
            arp_sender(&arp_probe(MAC, Ipv4Addr::new(10, 77, 0, 5))).unwrap().0,
            Ipv4Addr::UNSPECIFIED
        );
    }

    #[test]
    fn the_checksum_over_a_message_and_its_checksum_is_zero() {
        let ip: Ipv6Addr = "fd77::5".parse().unwrap();
        for frame in [neighbor_announcement(MAC, ip), neighbor_probe(MAC, ip)] {
            let from = Ipv6Addr::from(<[u8; 16]>::try_from(&frame[22..38]).unwrap());
            let to = Ipv6Addr::from(<[u8; 16]>::try_from(&frame[38..54]).unwrap());
            assert_eq!(checksum(from, to, &frame[54..]), 0);
            assert_eq!(u16::from_be_bytes([frame[18], frame[19]]) as usize, frame.len() - 54);
        }
    }

    #[test]
    fn a_neighbor_probe_is_sent_to_the_solicited_node_group() {
        let frame = neighbor_probe(MAC, "fd77::12:3456".parse().unwrap());
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
        assert_eq!(
            Ipv6Addr::from(<[u8; 16]>::try_from(&frame[38..54]).unwrap()),
            "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap()
        );
    }

    #[test]
    fn truncated_and_unrelated_frames_are_ignored() {
        let ip: Ipv6Addr = "fd77::5".parse().unwrap();
        let advertisement = neighbor_announcement(MAC, ip);
        assert_eq!(advertised(&advertisement), Some((ip, MAC)));
        let arp = arp_announcement(MAC, Ipv4Addr::new(10, 77, 0, 5));
        for length in 0..advertisement.len() {
            assert_eq!(arp_sender(&advertisement[..length]), None);
            if length < 78 {
                assert_eq!(advertised(&advertisement[..length]), None);
            }
        }
        for length in 0..arp.len() {
            assert_eq!((arp_sender(&arp[..length]), advertised(&arp[..length])), (None, None));
        }
        assert_eq!(advertised(&neighbor_probe(MAC, ip)), None);
    }
}
