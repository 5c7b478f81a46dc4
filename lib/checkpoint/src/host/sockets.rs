//! Counts the sockets of a network namespace in /proc.

/// The numbers of sockets in a network namespace.
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
    /// Counts the rows of `tcp`, `tcp6`, `udp`, … in /proc/PID/net.
    pub fn count(tables: &[(&str, String)]) -> Sockets {
        // The state is the fourth word of a row: 01 is TCP_ESTABLISHED. A TCP socket in TIME_WAIT
        // (06) or NEW_SYN_RECV (0C) belongs to no process, so CRIU does not dump it.
        let mut sockets = Sockets::default();
        for (name, text) in tables {
            for row in text.lines().skip(1) {
                let mut words = row.split_whitespace().skip(2);
                let (peer, state) = (words.next().unwrap_or_default(), words.next());
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

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 00000000:0007 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n   \
        1: 05004D0A:0007 C8004D0A:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1\n   \
        2: 05004D0A:0007 C8004D0A:9C41 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0\n";
    const UDP: &str = "  sl  local_address rem_address   st\n  0: 00000000:0035 00000000:0000 07 0\n  1: 00000000:0036 00000000:0000 01 0\n";

    #[test]
    fn sockets_are_counted_by_their_state() {
        let tables = [("tcp", TCP.to_owned()), ("udp", UDP.to_owned()), ("tcp6", String::new())];
        assert_eq!(Sockets::count(&tables), Sockets { inet: 4, established: 1, established_v6: 0 });
        let v6 = |peer: &str| {
            let row = format!("  0: {0}:0007 {peer}:9C40 01 0\n", "0".repeat(32));
            Sockets::count(&[("tcp6", format!("sl\n{row}"))]).established_v6
        };
        assert_eq!(v6("B80D0120000000000000000001000000"), 1);
        assert_eq!(v6("0000000000000000FFFF0000C8004D0A"), 0);
    }
}
