//! Requests to the kernel's routing netlink, one after the other.

use std::io;

use anyhow::Context;
use netlink_packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::netns::Netns;

/// How often a dump is repeated that the kernel says was cut through by a change.
const ATTEMPTS: u32 = 10;

/// A netlink socket of one network namespace.
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket in `netns`.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn open(netns: &Netns) -> anyhow::Result<Netlink> {
        let socket = netns.within(|| socket().context("netlink"))?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// All answers to `request`.
    ///
    /// # Errors
    /// The kernel's, or when its tables do not hold still.
    pub fn dump(&mut self, request: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        for _ in 0..ATTEMPTS {
            self.send(request.clone(), NLM_F_REQUEST | NLM_F_DUMP)?;
            if let (answers, false) = self.receive()? {
                return Ok(answers);
            }
        }
        Err(io::Error::other("the tables change faster than they can be read"))
    }

    /// The one answer to `request`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn get(&mut self, request: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.send(request, NLM_F_REQUEST | NLM_F_ACK)?;
        Ok(self.receive()?.0)
    }

    /// Has the kernel carry out `request`; `flags` are NLM_F_CREATE and so on.
    ///
    /// # Errors
    /// The kernel's, with its explanation if it gives one.
    pub fn change(&mut self, request: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.send(request, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        self.receive().map(|_| ())
    }

    fn send(&mut self, request: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(|_| ())
    }

    /// Reads answers up to the end of this request; true if a change came between two parts of a dump.
    fn receive(&self) -> io::Result<(Vec<RouteNetlinkMessage>, bool)> {
        let (mut answers, mut interrupted) = (Vec::new(), false);
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = datagram.as_slice();
            while let Some(bytes) = first_message(rest)? {
                rest = rest.get(bytes.len().next_multiple_of(4)..).unwrap_or_default();
                let message =
                    NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes).map_err(io::Error::other)?;
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok((answers, interrupted)),
                    NetlinkPayload::Error(error) if error.code.is_none() => {
                        return Ok((answers, interrupted));
                    }
                    NetlinkPayload::Error(error) => return Err(explained(&error)),
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    _ => {}
                }
            }
        }
    }
}

fn socket() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // Errors come with a text, and without a copy of the request. Older kernels lack this and do well enough.
    let _ = socket.set_ext_ack(true);
    let _ = socket.set_cap_ack(true);
    Ok(socket)
}

/// The first message of a datagram; an empty rest has none.
fn first_message(bytes: &[u8]) -> io::Result<Option<&[u8]>> {
    let Some(length) = bytes.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_ne_bytes(*length) as usize;
    match bytes.get(..length) {
        Some(message) if length >= 16 => Ok(Some(message)),
        _ => Err(io::Error::other("netlink: a message is cut short")),
    }
}

/// The kernel's error with its own words (NLMSGERR_ATTR_MSG), which stand behind the header of the request.
fn explained(error: &ErrorMessage) -> io::Error {
    const HEADER: usize = 16;
    const ATTR_MSG: u16 = 1;
    let plain = error.to_io();
    let mut rest = error.header.get(HEADER..).unwrap_or_default();
    while let [l0, l1, t0, t1, ..] = rest {
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let Some(text) = rest.get(4..length) else { break };
        if u16::from_ne_bytes([*t0, *t1]) & 0x3fff == ATTR_MSG {
            let text = String::from_utf8_lossy(text.strip_suffix(b"\0").unwrap_or(text)).into_owned();
            return io::Error::new(plain.kind(), Explained { text, plain });
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    plain
}

/// A kernel error with an explanation.
#[derive(Debug)]
struct Explained {
    text: String,
    plain: io::Error,
}

impl std::fmt::Display for Explained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.plain, self.text)
    }
}

impl std::error::Error for Explained {}

/// The number of a kernel error, also of one with an explanation.
pub fn errno(error: &io::Error) -> Option<i32> {
    let explained = error.get_ref().and_then(|inner| inner.downcast_ref::<Explained>());
    explained.map_or(error.raw_os_error(), |e| e.plain.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_cut_at_its_own_lengths_only() {
        assert!(first_message(&[]).unwrap().is_none());
        for bad in [&[0, 0, 0, 0][..], &[15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[255, 255, 255, 255]]
        {
            assert!(first_message(bad).is_err(), "{bad:?}");
        }
        let message = [&20u32.to_ne_bytes()[..], &[0; 20]].concat();
        assert_eq!(first_message(&message).unwrap().unwrap().len(), 20);
    }

    #[test]
    fn the_kernels_own_words_are_found_behind_the_header() {
        let mut error = ErrorMessage::default();
        error.code = std::num::NonZeroI32::new(-101);
        error.header = vec![0; 16];
        let text = b"Nexthop has invalid gateway\0";
        error.header.extend((text.len() as u16 + 4).to_ne_bytes());
        error.header.extend(1u16.to_ne_bytes());
        error.header.extend(text);
        let explained = explained(&error);
        assert_eq!(errno(&explained), Some(101));
        assert_eq!(
            explained.to_string(),
            "Network is unreachable (os error 101): Nexthop has invalid gateway"
        );
    }
}
