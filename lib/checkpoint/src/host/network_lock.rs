//! The programs of CRIU's network lock. During a dump and a restore, CRIU blocks the container's
//! network. Otherwise a packet could reach a host without the container's sockets, and this host
//! would reset the connection.
//!
//! A trace of CRIU 4.1 and 4.2 shows: if the container has its own network namespace, CRIU always
//! blocks it with `iptables-restore` and, if the kernel has IPv6, `ip6tables-restore`. If the
//! container shares the network namespace of CRIU, CRIU blocks each established connection with
//! `iptables` or `ip6tables`. With `network-lock nftables` in its configuration, CRIU runs no
//! program, not even nft, since it uses a library.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::{env, fs, io};

/// How CRIU blocks a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// With the programs of iptables, the default.
    #[default]
    Iptables,
    /// Without a program, or not at all.
    NoProgram,
}

/// The programs of [`Method::Iptables`] that are not installed on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkLock {
    /// The missing programs that block a namespace.
    pub namespace: Vec<&'static str>,
    /// The missing program that blocks an IPv4 connection.
    pub connection: Vec<&'static str>,
    /// The missing program that blocks an IPv6 connection.
    pub connection_v6: Vec<&'static str>,
}

impl NetworkLock {
    /// Searches $PATH for the programs, unless CRIU's configuration selects a method without
    /// programs.
    ///
    /// # Errors
    /// Returns an error if CRIU's configuration cannot be read.
    pub fn of_host() -> io::Result<NetworkLock> {
        if configured()? == Method::NoProgram {
            return Ok(NetworkLock::default());
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let missing = |names: &[&'static str]| -> Vec<&'static str> {
            names.iter().copied().filter(|name| !has_program(&path, name)).collect()
        };
        // CRIU's kerndat.c uses the same test.
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

/// Returns the method that is selected by CRIU's own configuration files, or by the files that runc
/// and crun pass to CRIU. A later file overrides an earlier file.
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

/// Returns the last `network-lock` of a configuration file (criu(8), CONFIGURATION FILES).
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
    fn the_last_method_of_a_configuration_is_used() {
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

    #[test]
    fn a_program_is_an_executable_file_in_the_path() {
        let dir = tempfile::tempdir().unwrap();
        for (name, mode) in [("all", 0o755), ("group", 0o610), ("none", 0o644)] {
            let path = dir.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir(dir.path().join("directory")).unwrap();
        let path = env::join_paths([Path::new("/nonexistent"), dir.path()]).unwrap();
        for (name, found) in
            [("all", true), ("group", true), ("none", false), ("directory", false), ("missing", false)]
        {
            assert_eq!(has_program(&path, name), found, "{name}");
        }
    }
}
