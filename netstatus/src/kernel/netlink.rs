//! Synchronous requests to rtnetlink(7).

use std::io;

use anyhow::Context;
use netlink_packet_core::{
    ErrorMessage, NLA_TYPE_MASK, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::netns::Netns;

/// The number of attempts for a dump that is interrupted by a change of the tables.
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
    /// Returns an error if the namespace cannot be entered.
    pub fn open(netns: &Netns) -> anyhow::Result<Netlink> {
        let socket = netns.within(|| socket().context("netlink"))?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// Returns all answers to `request`.
    ///
    /// # Errors
    /// Returns an error if the kernel rejects the request, or if each attempt is interrupted by a
    /// change.
    pub fn dump(&mut self, request: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        for _ in 0..ATTEMPTS {
            self.send(request.clone(), NLM_F_REQUEST | NLM_F_DUMP)?;
            if let (answers, false) = self.receive()? {
                return Ok(answers);
            }
        }
        Err(io::Error::other("each dump was interrupted by a change of the tables"))
    }

    /// Returns the answer to a request for a single entry.
    ///
    /// # Errors
    /// Returns an error if the kernel rejects the request.
    pub fn get(&mut self, request: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.send(request, NLM_F_REQUEST | NLM_F_ACK)?;
        Ok(self.receive()?.0)
    }

    /// Sends a request that changes something; `flags` are NLM_F_CREATE and similar flags.
    ///
    /// # Errors
    /// Returns an error, with the kernel's explanation if there is one, if the kernel rejects the
    /// change.
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

    /// Reads all answers to the last request. The flag is true if a change interrupted the dump.
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
                    NetlinkPayload::Error(error) => return Err(with_explanation(&error)),
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
    // With these options, errors contain a text, but no copy of the request. Older kernels reject
    // the options, and their errors have only a number, which is sufficient.
    let _ = socket.set_ext_ack(true);
    let _ = socket.set_cap_ack(true);
    Ok(socket)
}

/// Returns the first message of a datagram, or `None` if nothing is left.
fn first_message(bytes: &[u8]) -> io::Result<Option<&[u8]>> {
    let Some(length) = bytes.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_ne_bytes(*length) as usize;
    match bytes.get(..length) {
        Some(message) if length >= 16 => Ok(Some(message)),
        _ => Err(io::Error::other("netlink: truncated message")),
    }
}

/// Returns the error with the text of the kernel (NLMSGERR_ATTR_MSG), which follows the header of
/// the request.
fn with_explanation(error: &ErrorMessage) -> io::Error {
    const HEADER: usize = 16;
    const ATTR_MSG: u16 = 1;
    let plain = error.to_io();
    let mut rest = error.header.get(HEADER..).unwrap_or_default();
    while let [l0, l1, t0, t1, ..] = rest {
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let Some(text) = rest.get(4..length) else { break };
        if u16::from_ne_bytes([*t0, *t1]) & NLA_TYPE_MASK == ATTR_MSG {
            let text = String::from_utf8_lossy(text.strip_suffix(b"\0").unwrap_or(text)).into_owned();
            return io::Error::new(plain.kind(), Explained { text, plain });
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    plain
}

/// An error of the kernel with its explanation.
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

/// Returns the errno of an error, with or without an explanation.
pub fn errno(error: &io::Error) -> Option<i32> {
    let explained = error.get_ref().and_then(|inner| inner.downcast_ref::<Explained>());
    explained.map_or(error.raw_os_error(), |e| e.plain.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_at_its_length_field() {
        assert!(first_message(&[]).unwrap().is_none());
        for bad in [&[0, 0, 0, 0][..], &[15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[255, 255, 255, 255]]
        {
            assert!(first_message(bad).is_err(), "{bad:?}");
        }
        let message = [&20u32.to_ne_bytes()[..], &[0; 20]].concat();
        assert_eq!(first_message(&message).unwrap().unwrap().len(), 20);
    }

    #[test]
    fn the_error_contains_the_message_of_the_kernel() {
        let mut error = ErrorMessage::default();
        error.code = std::num::NonZeroI32::new(-101);
        error.header = vec![0; 16];
        let text = b"Nexthop has invalid gateway\0";
        error.header.extend((text.len() as u16 + 4).to_ne_bytes());
        error.header.extend(1u16.to_ne_bytes());
        error.header.extend(text);
        let explained = with_explanation(&error);
        assert_eq!(errno(&explained), Some(101));
        assert_eq!(
            explained.to_string(),
            "Network is unreachable (os error 101): Nexthop has invalid gateway"
        );
    }
}
