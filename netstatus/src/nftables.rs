//! What the kernel's packet filter has, asked and removed by netlink itself.
//!
//! The namespace is waiting to be released, and running nft costs it ten milliseconds each time. The tables of
//! iptables-nft are among these; those of the old iptables are not. Message types and attributes: the kernel's
//! `linux/netfilter/nfnetlink.h` and `nf_tables.h`.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const GET_TABLE: u16 = SUBSYSTEM << 8 | 1;
const DELETE_TABLE: u16 = SUBSYSTEM << 8 | 2;
const GET_CHAIN: u16 = SUBSYSTEM << 8 | 4;
/// `NFTA_TABLE_NAME` and `NFTA_CHAIN_TABLE`, which have the same number.
const TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;

/// Attribute types have two flags at the top.
const TYPE_MASK: u16 = 0x3fff;
const HEADER: usize = 16;
/// Family, version and resource, before the attributes.
const NFGENMSG: usize = 4;

/// The families a table can be of, by their numbers.
const FAMILIES: [(u8, &str); 6] =
    [(1, "inet"), (2, "ip"), (3, "arp"), (5, "netdev"), (7, "bridge"), (10, "ip6")];

/// A table: its family and name, as nft(8) writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub family: &'static str,
    pub name: String,
}

/// The socket of one network namespace.
pub struct Nftables {
    socket: Socket,
    sequence: u32,
}

impl Nftables {
    /// Opens a socket in the namespace of the calling thread.
    ///
    /// # Errors
    /// When the kernel has no netfilter at all.
    pub fn open() -> io::Result<Nftables> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Nftables { socket, sequence: 0 })
    }

    /// The tables, in the kernel's order.
    ///
    /// # Errors
    /// The kernel's; without CAP_NET_ADMIN it is refused.
    pub fn tables(&mut self) -> io::Result<Vec<Table>> {
        let named = |(family, attributes): (u8, Vec<u8>)| {
            Some(Table { family: family_name(family)?, name: text(&attributes, TABLE)? })
        };
        Ok(self.dump(GET_TABLE)?.into_iter().filter_map(named).collect())
    }

    /// The chains, each with its table.
    ///
    /// # Errors
    /// As [`tables`](Nftables::tables).
    pub fn chains(&mut self) -> io::Result<Vec<(Table, String)>> {
        let named = |(family, attributes): (u8, Vec<u8>)| {
            let table = Table { family: family_name(family)?, name: text(&attributes, TABLE)? };
            Some((table, text(&attributes, CHAIN_NAME)?))
        };
        Ok(self.dump(GET_CHAIN)?.into_iter().filter_map(named).collect())
    }

    /// Deletes tables with all that is in them, all at once or none.
    ///
    /// # Errors
    /// The kernel's, also when one is not there.
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
        // One answer for each table; an error of the batch itself comes in the place of the first.
        let mut answers = 0;
        while answers < tables.len() {
            for message in messages(&self.socket.recv_from_full()?.0) {
                if message.kind == NLMSG_ERROR && message.sequence <= first {
                    error(message.body)?;
                    answers += 1;
                }
            }
        }
        Ok(())
    }

    /// Family and attributes of everything of a kind. A kernel without nf_tables has nothing.
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
                    NLMSG_ERROR => match error(message.body) {
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

/// A string attribute, padded to a multiple of four.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len() + 1).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The string attribute `wanted`, if it is there.
fn text(mut attributes: &[u8], wanted: u16) -> Option<String> {
    while let [l0, l1, k0, k1, ..] = attributes {
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let value = attributes.get(4..length)?;
        if u16::from_ne_bytes([*k0, *k1]) & TYPE_MASK == wanted {
            let value = value.split(|byte| *byte == 0).next().unwrap_or_default();
            return Some(String::from_utf8_lossy(value).into_owned());
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

/// One message of a datagram, without its header.
struct Message<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

/// The messages of a datagram, up to one that is cut short.
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

/// The verdict of an answer: a negative error number, zero for success.
fn error(body: &[u8]) -> io::Result<()> {
    match body.first_chunk::<4>().map(|code| i32::from_ne_bytes(*code)) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        None => Err(io::Error::other("netfilter: an answer is cut short")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_found_among_its_neighbours() {
        let attributes =
            [attribute(2, b"abc"), attribute(TABLE, b"netstatus_hold"), attribute(CHAIN_NAME, b"in")]
                .concat();
        assert_eq!(text(&attributes, TABLE).unwrap(), "netstatus_hold");
        assert_eq!(text(&attributes, CHAIN_NAME).unwrap(), "in");
        assert_eq!(text(&attributes, 7), None);
    }

    #[test]
    fn what_is_cut_short_ends_without_a_panic() {
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
        // A length of zero does not stand still.
        assert!(messages(&[0; 32]).is_empty());
        assert!(error(&[1, 2]).is_err());
        assert_eq!(error(&(-2i32).to_ne_bytes()).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }
}
