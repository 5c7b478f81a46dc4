//! The open files and sockets of a process, described as checkpointctl and crit do.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::messages::{FdinfoEntry, FileEntry, InetSocketEntry, SocketOptions};

/// An open file of a process, or one of its directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFile<'a> {
    /// CRIU's name of the kind; empty for `cwd` and `root`.
    pub kind: &'static str,
    /// The number of the descriptor, or `cwd` or `root`.
    pub fd: Cow<'static, str>,
    /// The path in the container, or a description of a file without a path.
    pub path: Cow<'a, str>,
}

/// An open socket of a process. A field that this kind of socket does not have is empty or 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Socket<'a> {
    /// The number of the descriptor.
    pub fd: u32,
    /// `INET`, `UNIX`, `PACKET` or `NETLINK`.
    pub kind: &'static str,
    /// `TCP`, `UDP`, …
    pub protocol: &'static str,
    /// `LISTEN`, `ESTABLISHED`, …
    pub state: &'static str,
    /// The path or abstract name of a UNIX socket.
    pub address: Cow<'a, str>,
    /// The local address.
    pub source: String,
    /// The local port.
    pub source_port: u32,
    /// The peer's address.
    pub destination: String,
    /// The peer's port.
    pub destination_port: u32,
    /// The size of the send buffer, in bytes.
    pub send_buffer: u32,
    /// The size of the receive buffer, in bytes.
    pub receive_buffer: u32,
}

/// Describes the file of the descriptor `fd`. `file` is its entry, if the images have an entry.
pub fn open_file<'a>(fd: &FdinfoEntry, file: Option<&'a FileEntry>) -> OpenFile<'a> {
    let kind = fd.kind_name();
    let path = match (file, kind) {
        (Some(FileEntry { reg: Some(reg), .. }), _) => String::from_utf8_lossy(&reg.name),
        (Some(FileEntry { pipe: Some(pipe), .. }), _) => format!("pipe[{}]", pipe.pipe_id).into(),
        (Some(FileEntry { unix: Some(unix), .. }), _) => {
            format!("unix[{} ({}) {}]", unix.ino, unix.peer, unix_name(&unix.name)).into()
        }
        (None, "REG") => "Unknown path".into(),
        _ => format!("{kind}.{}", fd.id).into(),
    };
    OpenFile { kind, fd: fd.fd.to_string().into(), path }
}

/// Describes a directory of a process, `cwd` or `root`.
pub fn place<'a>(fd: &'static str, file: Option<&'a FileEntry>) -> OpenFile<'a> {
    let path = file.and_then(|file| file.reg.as_ref()).map(|reg| String::from_utf8_lossy(&reg.name));
    OpenFile { kind: "", fd: fd.into(), path: path.unwrap_or("Unknown path".into()) }
}

/// Describes the socket of the descriptor `fd`. Returns `None` if the file is not a socket.
pub fn socket<'a>(fd: &FdinfoEntry, file: &'a FileEntry) -> Option<Socket<'a>> {
    let with = |kind, opts: Option<SocketOptions>| Socket {
        fd: fd.fd,
        kind,
        send_buffer: opts.unwrap_or_default().sndbuf,
        receive_buffer: opts.unwrap_or_default().rcvbuf,
        ..Socket::default()
    };
    match file {
        FileEntry { inet: Some(inet), .. } => Some(Socket {
            protocol: protocol(inet.proto),
            state: state(inet),
            source: address(&inet.src_addr),
            source_port: inet.src_port,
            destination: address(&inet.dst_addr),
            destination_port: inet.dst_port,
            ..with("INET", inet.opts)
        }),
        FileEntry { unix: Some(unix), .. } => {
            Some(Socket { address: unix_name(&unix.name), ..with("UNIX", None) })
        }
        FileEntry { packet: Some(packet), .. } => Some(with("PACKET", packet.opts)),
        FileEntry { netlink: Some(netlink), .. } => Some(with("NETLINK", netlink.opts)),
        _ => None,
    }
}

/// Returns the name of a UNIX socket. Like ss(8), replaces the leading NUL of an abstract name with
/// `@`. A path ends in NUL, which is removed.
fn unix_name(name: &[u8]) -> Cow<'_, str> {
    match name.strip_prefix(&[0]) {
        Some(abstract_name) if !abstract_name.is_empty() => {
            format!("@{}", String::from_utf8_lossy(abstract_name)).into()
        }
        _ => String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)),
    }
}

fn address(words: &[u32]) -> String {
    ip_address(words).map(|address| address.to_string()).unwrap_or_default()
}

/// Returns the address in an image: one word for IPv4, and four words for IPv6.
pub(super) fn ip_address(words: &[u32]) -> Option<IpAddr> {
    let bytes = |word: &u32| word.to_le_bytes();
    match words {
        [word] => Some(Ipv4Addr::from(bytes(word)).into()),
        [a, b, c, d] => {
            let mut all = [0; 16];
            for (to, word) in all.chunks_exact_mut(4).zip([a, b, c, d]) {
                to.copy_from_slice(&bytes(word));
            }
            Some(Ipv6Addr::from(all).into())
        }
        _ => None,
    }
}

/// Returns the name of a protocol (netinet/in.h, IPPROTO_*).
fn protocol(number: u32) -> &'static str {
    match number {
        1 => "ICMP",
        2 => "IGMP",
        6 => "TCP",
        17 => "UDP",
        58 => "ICMPV6",
        136 => "UDPLITE",
        255 => "RAW",
        _ => "",
    }
}

/// Returns the name of the state (net/tcp_states.h, TCP_*). Other protocols use these states too.
fn state(socket: &InetSocketEntry) -> &'static str {
    const STATES: [&str; 13] = [
        "",
        "ESTABLISHED",
        "SYN_SENT",
        "SYN_RECV",
        "FIN_WAIT_1",
        "FIN_WAIT_2",
        "TIME_WAIT",
        "CLOSE",
        "CLOSE_WAIT",
        "LAST_ACK",
        "LISTEN",
        "CLOSING",
        "NEW_SYN_RECV",
    ];
    usize::try_from(socket.state).ok().and_then(|state| STATES.get(state)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criu::messages::{PipeEntry, RegFileEntry, UnixSocketEntry};

    fn fd(kind: u32) -> FdinfoEntry {
        FdinfoEntry { id: 9, kind, fd: 3 }
    }

    #[test]
    fn files_are_described_as_crit_does() {
        let reg = RegFileEntry { name: b"/etc/\xff".to_vec(), ..RegFileEntry::default() };
        let reg = FileEntry { reg: Some(reg), ..FileEntry::default() };
        let pipe = FileEntry { pipe: Some(PipeEntry { pipe_id: 5 }), ..FileEntry::default() };
        let unix = UnixSocketEntry { ino: 1, peer: 2, name: b"/run/x\0".to_vec() };
        let unix = FileEntry { unix: Some(unix.into()), ..FileEntry::default() };
        for (kind, file, path) in [
            (1, Some(&reg), "/etc/\u{fffd}"),
            (2, Some(&pipe), "pipe[5]"),
            (5, Some(&unix), "unix[1 (2) /run/x]"),
            (6, None, "EVENTFD.9"),
            (1, None, "Unknown path"),
            (99, None, "UND.9"),
        ] {
            assert_eq!(open_file(&fd(kind), file).path, path);
        }
        assert_eq!(place("cwd", None).path, "Unknown path");
    }

    #[test]
    fn addresses_are_read_in_network_byte_order() {
        let inet = InetSocketEntry {
            proto: 6,
            state: 10,
            src_port: 80,
            src_addr: vec![u32::from_le_bytes([10, 88, 0, 2])],
            dst_addr: vec![0, 0, 0, u32::from_le_bytes([0, 0, 0, 1])],
            ..InetSocketEntry::default()
        };
        let file = FileEntry { inet: Some(inet.into()), ..FileEntry::default() };
        let socket = socket(&fd(4), &file).unwrap();
        assert_eq!((socket.protocol, socket.state), ("TCP", "LISTEN"));
        assert_eq!((socket.source.as_str(), socket.destination.as_str()), ("10.88.0.2", "::1"));
        assert_eq!(address(&[1, 2]), "");
    }
}
