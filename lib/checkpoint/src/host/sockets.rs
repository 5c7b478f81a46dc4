//! Counts the sockets of a container in /proc.

use std::collections::BTreeSet;
use std::fs;
use std::io;

/// The numbers of sockets in a network namespace that processes of the container hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sockets {
    /// TCP, UDP and raw sockets, for IPv4 and IPv6.
    pub inet: usize,
    /// Connected TCP sockets.
    pub established: usize,
    /// Connected TCP sockets for IPv6.
    pub established_v6: usize,
}

impl Sockets {
    /// Counts the rows of `tcp`, `tcp6`, `udp`, … in /proc/PID/net whose socket is in `held`. Docker
    /// has sockets in the network namespaces of its containers, and CRIU does not dump them. Counts
    /// all rows if the sockets in use are not known.
    pub fn count(tables: &[(&str, String)], held: Option<&BTreeSet<u64>>) -> Sockets {
        // The state is the fourth word of a row: 01 is TCP_ESTABLISHED. A TCP socket in TIME_WAIT
        // (06) or NEW_SYN_RECV (0C) belongs to no process, so CRIU does not dump it.
        let mut sockets = Sockets::default();
        for (name, text) in tables {
            for row in text.lines().skip(1) {
                let mut words = row.split_whitespace().skip(2);
                let (peer, state) = (words.next().unwrap_or_default(), words.next());
                let inode = words.nth(5).and_then(|inode| inode.parse().ok());
                if held.is_some_and(|held| !inode.is_some_and(|inode| held.contains(&inode))) {
                    continue;
                }
                let tcp = name.starts_with("tcp");
                match state {
                    None => {}
                    Some("06" | "0C") if tcp => {}
                    Some("01") if tcp => {
                        sockets.inet += 1;
                        sockets.established += 1;
                        // CRIU treats an IPv4-mapped IPv6 address as IPv4.
                        let v6 = *name == "tcp6" && !peer.starts_with("0000000000000000FFFF0000");
                        sockets.established_v6 += usize::from(v6);
                    }
                    Some(_) => sockets.inet += 1,
                }
            }
        }
        sockets
    }
}

/// Returns the inode numbers of the sockets that the process `pid` or one of its descendants has
/// open. CRIU dumps these processes, even if other processes are in the same namespaces.
///
/// # Errors
/// Returns an error if a directory in /proc cannot be read for another reason than the end of the
/// process.
pub fn held_by(pid: u32) -> io::Result<BTreeSet<u64>> {
    let mut held = BTreeSet::new();
    let (mut seen, mut queue) = (BTreeSet::from([pid]), vec![pid]);
    while let Some(pid) = queue.pop() {
        for fd in entries(&format!("/proc/{pid}/fd"))? {
            // The descriptor may be closed by now.
            let Ok(target) = fs::read_link(format!("/proc/{pid}/fd/{fd}")) else { continue };
            let inode = target.to_str().and_then(|t| t.strip_prefix("socket:[")?.strip_suffix(']'));
            held.extend(inode.and_then(|inode| inode.parse::<u64>().ok()));
        }
        // A child belongs to the thread that created it.
        for thread in entries(&format!("/proc/{pid}/task"))? {
            let children = match fs::read_to_string(format!("/proc/{pid}/task/{thread}/children")) {
                Err(e) if has_ended(&e) => continue,
                children => children?,
            };
            let children = children.split_whitespace().filter_map(|child| child.parse().ok());
            queue.extend(children.filter(|&child: &u32| seen.insert(child)));
        }
    }
    Ok(held)
}

/// Returns the names in a directory of a process. A process that has ended has none.
fn entries(dir: &str) -> io::Result<Vec<String>> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{dir}: {e}"));
    let mut names = Vec::new();
    match fs::read_dir(dir) {
        Err(e) if has_ended(&e) => return Ok(names),
        Err(e) => return Err(named(e)),
        Ok(entries) => {
            for entry in entries {
                match entry {
                    Err(e) if has_ended(&e) => break,
                    entry => names.push(entry.map_err(named)?.file_name().to_string_lossy().into_owned()),
                }
            }
        }
    }
    Ok(names)
}

/// Returns whether an error means that the process has ended.
fn has_ended(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(nix::libc::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 00000000:0007 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n   \
        1: 05004D0A:0007 C8004D0A:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1\n   \
        2: 05004D0A:0007 C8004D0A:9C41 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0\n";
    const UDP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n  \
        0: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 3 2\n  \
        1: 00000000:0036 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 4 2\n";

    #[test]
    fn sockets_are_counted_by_their_state() {
        let tables = [("tcp", TCP.to_owned()), ("udp", UDP.to_owned()), ("tcp6", String::new())];
        let held = BTreeSet::from([1, 2, 3, 4]);
        assert_eq!(
            Sockets::count(&tables, Some(&held)),
            Sockets { inet: 4, established: 1, established_v6: 0 }
        );
        // The sockets 1 and 4 belong to a process outside of the container.
        let held = BTreeSet::from([2, 3]);
        assert_eq!(
            Sockets::count(&tables, Some(&held)),
            Sockets { inet: 2, established: 1, established_v6: 0 }
        );
        let v6 = |peer: &str| {
            let queues = "00000000:00000000 00:00000000 00000000";
            let row = format!("  0: {0}:0007 {peer}:9C40 01 {queues} 0 0 9 1\n", "0".repeat(32));
            Sockets::count(&[("tcp6", format!("sl\n{row}"))], None).established_v6
        };
        assert_eq!(v6("B80D0120000000000000000001000000"), 1);
        assert_eq!(v6("0000000000000000FFFF0000C8004D0A"), 0);
    }

    #[test]
    fn only_open_sockets_are_held() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let inode = |fd: &dyn std::os::fd::AsRawFd| {
            let link = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
            let link = link.to_str().unwrap().to_owned();
            link.trim_start_matches("socket:[").trim_end_matches(']').parse().unwrap()
        };
        let inode: u64 = inode(&socket);
        assert!(held_by(std::process::id()).unwrap().contains(&inode));
        drop(socket);
        assert!(!held_by(std::process::id()).unwrap().contains(&inode));
        assert_eq!(held_by(u32::MAX).unwrap(), BTreeSet::new());
    }

    #[test]
    fn a_missing_file_or_process_means_that_it_has_ended() {
        for (errno, ended) in [
            (nix::libc::ENOENT, true),
            (nix::libc::ESRCH, true),
            (nix::libc::EACCES, false),
            (nix::libc::EIO, false),
        ] {
            assert_eq!(has_ended(&io::Error::from_raw_os_error(errno)), ended, "{errno}");
        }
    }

    #[test]
    fn each_state_of_a_socket_counts_as_criu_dumps_it() {
        let sockets = |inet, established, established_v6| Sockets { inet, established, established_v6 };
        for (table, state, expected) in [
            ("tcp", "01", sockets(1, 1, 0)),
            ("tcp6", "01", sockets(1, 1, 1)),
            ("tcp", "0A", sockets(1, 0, 0)),
            ("tcp", "06", sockets(0, 0, 0)),
            ("tcp6", "06", sockets(0, 0, 0)),
            ("tcp6", "0C", sockets(0, 0, 0)),
            ("udp", "01", sockets(1, 0, 0)),
            ("udp6", "01", sockets(1, 0, 0)),
            ("udp", "06", sockets(1, 0, 0)),
            ("raw", "0C", sockets(1, 0, 0)),
            ("raw", "07", sockets(1, 0, 0)),
        ] {
            let row = format!("sl\n 0: 00000000:0007 C8004D0A:9C40 {state} 0:0 0:0 0 0 0 7 1\n");
            for (held, is_held) in [(None, true), (Some([7]), true), (Some([8]), false)] {
                let held = held.map(BTreeSet::from);
                let expected = if is_held { expected } else { Sockets::default() };
                let counted = Sockets::count(&[(table, row.clone())], held.as_ref());
                assert_eq!(counted, expected, "{table} {state} {held:?}");
            }
        }
    }
}
