//! Whether the addresses and ports of a container's sockets are free in a network namespace.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind, setsockopt, socket, sockopt,
};

use crate::criu::requirements::{BoundSocket, Protocol};

/// Binds each socket, and closes it again. Returns the sockets that the kernel refuses, with its
/// reasons. `namespace` is the path of a network namespace; `None` is that of the caller.
///
/// # Errors
/// Returns an error if the namespace cannot be entered.
pub fn refused(
    sockets: &[BoundSocket],
    namespace: Option<&Path>,
) -> io::Result<Vec<(BoundSocket, io::Error)>> {
    let refused = || sockets.iter().filter_map(|socket| Some((*socket, try_bind(socket).err()?))).collect();
    let Some(path) = namespace else { return Ok(refused()) };
    let file = File::open(path)?;
    // A thread enters the namespace, so that the caller stays in its own.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| -> io::Result<Vec<(BoundSocket, io::Error)>> {
            setns(&file, CloneFlags::CLONE_NEWNET)?;
            Ok(refused())
        });
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread failed")))
    })
}

/// Binds a socket as CRIU does, with SO_REUSEADDR (criu/sk-inet.c). It never listens, so no client
/// can connect to it.
fn try_bind(wanted: &BoundSocket) -> io::Result<()> {
    let kind = match wanted.protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
    };
    let family = match wanted.address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
    // A UDP socket with SO_REUSEADDR could be bound to the port of another one.
    if wanted.protocol == Protocol::Tcp {
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    match wanted.address {
        SocketAddr::V4(address) => bind(socket.as_raw_fd(), &SockaddrIn::from(address))?,
        SocketAddr::V6(address) => {
            setsockopt(&socket, sockopt::Ipv6V6Only, &wanted.v6only)?;
            bind(socket.as_raw_fd(), &SockaddrIn6::from(address))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn ports_in_use_and_foreign_addresses_are_refused() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = |address, protocol| BoundSocket { address, protocol, v6only: false };
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let sockets = [
            socket(tcp.local_addr().unwrap(), Protocol::Tcp),
            socket(SocketAddr::new([0, 0, 0, 0].into(), tcp.local_addr().unwrap().port()), Protocol::Tcp),
            socket(udp.local_addr().unwrap(), Protocol::Udp),
            socket("192.0.2.1:80".parse().unwrap(), Protocol::Tcp),
            socket(free, Protocol::Tcp),
        ];
        let refused: Vec<_> = refused(&sockets, None).unwrap().iter().map(|(_, e)| e.kind()).collect();
        let in_use = ErrorKind::AddrInUse;
        assert_eq!(refused, [in_use, in_use, in_use, ErrorKind::AddrNotAvailable]);
    }
}
