//! What CRIU closes a container's network with while it dumps and restores it, so that no packet meets a socket that is not there.
//!
//! CRIU 4.1 and 4.2, traced: a network namespace of the container's own is closed in any case, by `iptables-restore` and, where the
//! kernel has IPv6, `ip6tables-restore`; in that of CRIU each established connection is, by `iptables` or `ip6tables`. With
//! `network-lock nftables` in its configuration it runs no program, not even nft: a library is linked into it.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::{env, fs, io};

/// How CRIU closes a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// With the programs of iptables: its default.
    #[default]
    Iptables,
    /// By itself, or not at all.
    NoProgram,
}

/// The programs that are not there, of those that [`Method::Iptables`] may run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkLock {
    /// Of those that close a namespace.
    pub namespace: Vec<&'static str>,
    /// Of that which closes a connection over IPv4.
    pub connection: Vec<&'static str>,
    /// Of that over IPv6.
    pub connection_v6: Vec<&'static str>,
}

impl NetworkLock {
    /// Looks for them in $PATH, if CRIU is not configured to run none.
    ///
    /// # Errors
    /// When its configuration cannot be read.
    pub fn of_host() -> io::Result<NetworkLock> {
        if configured()? == Method::NoProgram {
            return Ok(NetworkLock::default());
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let missing = |names: &[&'static str]| -> Vec<&'static str> {
            names.iter().copied().filter(|name| !has_program(&path, name)).collect()
        };
        // As CRIU's kerndat.c looks for it.
        let ipv6 = Path::new("/proc/sys/net/ipv6").exists();
        let namespace: &[_] =
            if ipv6 { &["iptables-restore", "ip6tables-restore"] } else { &["iptables-restore"] };
        Ok(NetworkLock {
            namespace: missing(namespace),
            connection: missing(&["iptables"]),
            connection_v6: missing(&["ip6tables"]),
        })
    }
}

/// What CRIU's own files say and those that runc and crun name to it, each more than those before.
fn configured() -> io::Result<Method> {
    let mut files = vec!["/etc/criu/default.conf".into()];
    files.extend(env::var_os("HOME").map(|home| Path::new(&home).join(".criu/default.conf")));
    files.extend(["/etc/criu/runc.conf".into(), "/etc/criu/crun.conf".into()]);
    let mut method = Method::default();
    for file in files {
        match fs::read_to_string(&file) {
            Ok(text) => method = read(&text).unwrap_or(method),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(e) => return Err(io::Error::new(e.kind(), format!("{}: {e}", file.display()))),
        }
    }
    Ok(method)
}

/// The last `network-lock` of a configuration (criu(8), CONFIGURATION FILES).
fn read(text: &str) -> Option<Method> {
    let mut words = text.lines().rev().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        Some((words.next()?, words.next()?))
    });
    words.find(|(option, _)| *option == "network-lock").map(|(_, method)| match method {
        "iptables" => Method::Iptables,
        _ => Method::NoProgram,
    })
}

fn has_program(path: &OsStr, name: &str) -> bool {
    env::split_paths(path).any(|dir| {
        fs::metadata(dir.join(name))
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_method_of_a_configuration_counts() {
        for (text, method) in [
            ("", None),
            ("tcp-established\n# network-lock skip\n", None),
            ("network-lock nftables\n", Some(Method::NoProgram)),
            ("  network-lock\tskip # none\n", Some(Method::NoProgram)),
            ("network-lock nftables\nnetwork-lock iptables\n", Some(Method::Iptables)),
            ("network-lock\n", None),
        ] {
            assert_eq!(read(text), method, "{text:?}");
        }
    }
}
