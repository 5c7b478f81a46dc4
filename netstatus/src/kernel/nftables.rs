//! Lists and deletes the tables of nf_tables through netlink.
//!
//! Running nft(8) instead would take ten milliseconds for each call, during which the namespace
//! stays held. The tables of iptables-nft are tables of nf_tables, but the tables of
//! iptables-legacy are not.
//!
//! `linux/netfilter/nfnetlink.h` and `nf_tables.h` define the message types and attributes.

use std::io;

use netlink_packet_core::{NLA_TYPE_MASK, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const GET_TABLE: u16 = SUBSYSTEM << 8 | 1;
const DELETE_TABLE: u16 = SUBSYSTEM << 8 | 2;
const GET_CHAIN: u16 = SUBSYSTEM << 8 | 4;
/// `NFTA_TABLE_NAME` and `NFTA_CHAIN_TABLE`, which have the same number.
const TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;

/// The length of the netlink header.
const HEADER: usize = 16;
/// The length of the header of nfnetlink, which contains family, version and resource.
const NFGENMSG: usize = 4;

/// The numbers of the families of tables, with their names in nft(8).
const FAMILIES: [(u8, &str); 6] =
    [(1, "inet"), (2, "ip"), (3, "arp"), (5, "netdev"), (7, "bridge"), (10, "ip6")];

/// The family and the name of a table, as nft(8) writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub family: &'static str,
    pub name: String,
}

/// A netfilter socket of one network namespace.
pub struct Nftables {
    socket: Socket,
    sequence: u32,
}

impl Nftables {
    /// Opens a socket in the namespace of the calling thread.
    ///
    /// # Errors
    /// Returns an error if the kernel has no netfilter.
    pub fn open() -> io::Result<Nftables> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Nftables { socket, sequence: 0 })
    }

    /// Returns the tables in the order of the kernel.
    ///
    /// # Errors
    /// Returns an error if the kernel rejects the request, which needs CAP_NET_ADMIN.
    pub fn tables(&mut self) -> io::Result<Vec<Table>> {
        let named = |(family, attributes): (u8, Vec<u8>)| {
            Some(Table { family: family_name(family)?, name: text(&attributes, TABLE)? })
        };
        Ok(self.dump(GET_TABLE)?.into_iter().filter_map(named).collect())
    }

    /// Returns the chains, each with its table.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`tables`](Nftables::tables).
    pub fn chains(&mut self) -> io::Result<Vec<(Table, String)>> {
        let named = |(family, attributes): (u8, Vec<u8>)| {
            let table = Table { family: family_name(family)?, name: text(&attributes, TABLE)? };
            Some((table, text(&attributes, CHAIN_NAME)?))
        };
        Ok(self.dump(GET_CHAIN)?.into_iter().filter_map(named).collect())
    }

    /// Deletes tables and their contents in one transaction.
    ///
    /// # Errors
    /// Returns an error, and deletes nothing, if one of the tables does not exist or the kernel
    /// rejects the request.
    pub fn delete(&mut self, tables: &[Table]) -> io::Result<()> {
        if tables.is_empty() {
            return Ok(());
        }
        let mut batch = self.message(BATCH_BEGIN, NLM_F_REQUEST, 0, SUBSYSTEM, &[]);
        for table in tables {
            let family =
                FAMILIES.iter().find(|(_, name)| *name == table.family).map_or(0, |(family, _)| *family);
            let name = attribute(TABLE, table.name.as_bytes());
            batch.extend(self.message(DELETE_TABLE, NLM_F_REQUEST | NLM_F_ACK, family, 0, &name));
        }
        let first = self.sequence;
        batch.extend(self.message(BATCH_END, NLM_F_REQUEST, 0, SUBSYSTEM, &[]));
        self.socket.send(&batch, 0)?;
        // The kernel answers once for each table, or with a single error for the batch.
        let mut answers = 0;
        while answers < tables.len() {
            for message in messages(&self.socket.recv_from_full()?.0) {
                if message.kind == NLMSG_ERROR && message.sequence <= first {
                    check_answer(message.body)?;
                    answers += 1;
                }
            }
        }
        Ok(())
    }

    /// Returns family and attributes of all tables or chains.
    ///
    /// Returns nothing for a kernel without nf_tables, which answers with EINVAL or EOPNOTSUPP.
    fn dump(&mut self, kind: u16) -> io::Result<Vec<(u8, Vec<u8>)>> {
        let request = self.message(kind, NLM_F_REQUEST | NLM_F_DUMP, 0, 0, &[]);
        self.socket.send(&request, 0)?;
        let mut all = Vec::new();
        loop {
            for message in messages(&self.socket.recv_from_full()?.0) {
                if message.sequence != self.sequence {
                    continue;
                }
                match message.kind {
                    NLMSG_DONE => return Ok(all),
                    NLMSG_ERROR => match check_answer(message.body) {
                        Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => {
                            return Ok(all);
                        }
                        Err(e) => return Err(e),
                        Ok(()) => {}
                    },
                    _ => {
                        if let Some((head, attributes)) = message.body.split_at_checked(NFGENMSG) {
                            all.push((head.first().copied().unwrap_or_default(), attributes.to_vec()));
                        }
                    }
                }
            }
        }
    }

    fn message(&mut self, kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = u32::try_from(HEADER + NFGENMSG + attributes.len()).unwrap_or(u32::MAX);
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(self.sequence.to_ne_bytes());
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend([family, 0]);
        bytes.extend(resource.to_be_bytes());
        bytes.extend(attributes);
        bytes
    }
}

fn family_name(family: u8) -> Option<&'static str> {
    FAMILIES.iter().find(|(number, _)| *number == family).map(|(_, name)| *name)
}

/// Encodes a string attribute, padded to a multiple of four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len() + 1).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Returns the string attribute of this type, or `None`.
fn text(mut attributes: &[u8], kind: u16) -> Option<String> {
    while let [l0, l1, k0, k1, ..] = attributes {
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let value = attributes.get(4..length)?;
        if u16::from_ne_bytes([*k0, *k1]) & NLA_TYPE_MASK == kind {
            let value = value.split(|byte| *byte == 0).next().unwrap_or_default();
            return Some(String::from_utf8_lossy(value).into_owned());
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

/// A message of a datagram without its header.
struct Message<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

/// Splits a datagram into messages. Stops at a truncated message.
fn messages(mut datagram: &[u8]) -> Vec<Message<'_>> {
    let mut messages = Vec::new();
    while let [l0, l1, l2, l3, k0, k1, _, _, s0, s1, s2, s3, ..] = datagram {
        let length = u32::from_ne_bytes([*l0, *l1, *l2, *l3]) as usize;
        let Some(body) = datagram.get(HEADER..length) else { break };
        let (kind, sequence) = (u16::from_ne_bytes([*k0, *k1]), u32::from_ne_bytes([*s0, *s1, *s2, *s3]));
        messages.push(Message { kind, sequence, body });
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

/// Reads the error code of an answer: a negative errno, or zero for success.
fn check_answer(body: &[u8]) -> io::Result<()> {
    match body.first_chunk::<4>().map(|code| i32::from_ne_bytes(*code)) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        None => Err(io::Error::other("netfilter: truncated answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_attribute_is_found_by_its_type() {
        let attributes =
            [attribute(2, b"abc"), attribute(TABLE, b"netstatus_hold"), attribute(CHAIN_NAME, b"in")]
                .concat();
        assert_eq!(text(&attributes, TABLE).unwrap(), "netstatus_hold");
        assert_eq!(text(&attributes, CHAIN_NAME).unwrap(), "in");
        assert_eq!(text(&attributes, 7), None);
    }

    #[test]
    fn truncated_messages_do_not_panic() {
        let attributes = [attribute(2, b"abc"), attribute(TABLE, b"netstatus_hold")].concat();
        for length in 0..attributes.len() {
            assert!(text(&attributes[..length], TABLE).is_none_or(|name| name == "netstatus_hold"));
        }
        let message = [&20u32.to_ne_bytes()[..], &[0; 16]].concat();
        let two = [&message[..], &message].concat();
        assert_eq!(messages(&two).len(), 2);
        for length in 0..two.len() {
            assert!(messages(&two[..length]).len() <= 1, "{length}");
        }
        // A length of zero must not cause an endless loop.
        assert!(messages(&[0; 32]).is_empty());
        assert!(check_answer(&[1, 2]).is_err());
        assert_eq!(check_answer(&(-2i32).to_ne_bytes()).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }
}
