//! Packet sockets, which send and receive Ethernet frames that no firewall filters.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

/// The type of the frames that a socket receives. A socket never receives frames that this host
/// sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EtherType {
    Arp = libc::ETH_P_ARP as isize,
    Ipv6 = libc::ETH_P_IPV6 as isize,
}

/// A packet socket on one interface.
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Opens a socket on the interface with this index, in the namespace of the calling thread.
    ///
    /// # Errors
    /// Returns an error if the thread lacks CAP_NET_RAW or the interface does not exist.
    pub fn open(ifindex: u32, kind: EtherType) -> io::Result<PacketSocket> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        // Protocol 0 receives nothing until the socket is bound to its interface.
        let fd = socket(AddressFamily::Packet, SockType::Raw, flags, None::<SockProtocol>)?;
        bind(fd.as_fd(), ifindex, kind as u16)?;
        Ok(PacketSocket(fd))
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// Returns an error if the link is down.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(self.0.as_raw_fd(), frame, MsgFlags::empty())?;
        Ok(())
    }

    /// Returns the next frame, or `None` if no frame has arrived.
    ///
    /// # Errors
    /// Returns an error if the link goes down or is removed.
    pub fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        let mut frame = vec![0; 1514];
        match recv(self.0.as_raw_fd(), &mut frame, MsgFlags::empty()) {
            Ok(length) => {
                frame.truncate(length);
                Ok(Some(frame))
            }
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[expect(unsafe_code, reason = "nix cannot build a link-layer address")]
fn bind(fd: BorrowedFd<'_>, ifindex: u32, ethertype: u16) -> io::Result<()> {
    let index = libc::c_int::try_from(ifindex).map_err(io::Error::other)?;
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ethertype.to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = mem::size_of_val(&address) as libc::socklen_t;
    // SAFETY: the pointer is valid during the call and points to a sockaddr_ll, whose size is
    // `length`.
    let result = unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
