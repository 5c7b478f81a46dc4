//! The DNS servers and search domains of a resolv.conf.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use anyhow::Context;
use cli::{display_path, read_document, usage};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

/// The largest resolv.conf that is read, in bytes. This is far more than a resolver needs.
const LIMIT: u64 = 64 << 10;

/// The DNS settings of a resolv.conf.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dns {
    pub servers: Vec<IpAddr>,
    pub search: Vec<String>,
}

/// Reads the file at `path`. The word `container` means `/etc/resolv.conf` in the root file system
/// of process `pid`.
///
/// # Errors
/// Returns an error if the file cannot be read.
pub fn read(path: &Path, pid: Option<u32>) -> anyhow::Result<Dns> {
    let (file, name) = if path == Path::new("container") {
        let Some(pid) = pid else {
            return Err(usage("--resolv-conf=container needs --pid"));
        };
        let name = format!("/proc/{pid}/root/etc/resolv.conf");
        let root = File::open(format!("/proc/{pid}/root")).with_context(|| name.clone())?;
        // The container may replace the file by a symlink, which must not lead out of the
        // container's root.
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let file = openat2(&root, "etc/resolv.conf", how).with_context(|| name.clone())?;
        (File::from(file), name)
    } else {
        (File::open(path).with_context(|| display_path(path))?, display_path(path))
    };
    let mut text = String::new();
    read_document(file, &name, LIMIT)?.as_slice().read_to_string(&mut text).with_context(|| name)?;
    Ok(parse(&text))
}

/// Parses the text of a resolv.conf(5). If there are several `search` or `domain` lines, the last
/// line is used.
///
/// Ignores loopback servers, which run on the host, and everything that a resolver ignores.
pub fn parse(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                let address =
                    words.next().and_then(|word| word.split('%').next()).and_then(|word| word.parse().ok());
                dns.servers.extend(address.filter(|ip: &IpAddr| !ip.is_loopback()));
            }
            Some("search" | "domain") => dns.search = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_another_host_cannot_use_are_ignored() {
        let text = "# x\nnameserver 127.0.0.53\nnameserver 10.1.0.1\nnameserver fe80::1%eth0\nnameserver banana\nnameserver\n\
                    domain a.test\nsearch b.test c.test\noptions ndots:1\n; nameserver 10.9.9.9\n";
        let dns = parse(text);
        assert_eq!(dns.servers, ["10.1.0.1".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]);
        assert_eq!(dns.search, ["b.test", "c.test"]);
    }
}
