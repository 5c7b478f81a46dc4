//! Problems of a dump that `criu check` does not detect. For example, `criu check` prints "Looks
//! good." on a kernel on which no TCP socket can be dumped.
//!
//! [`Facts::of_host`] and [`Facts::add_process`] read the facts from the kernel;
//! [`Facts::findings`] applies the rules to them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, socket, sockopt};

use super::criu_version::Version;
use super::finding::{Finding, Severity};
use super::network_lock::NetworkLock;
use super::processes::{read, read_at_most};
use super::sockets::{self, Sockets};

/// The largest table of sockets that is read, in bytes. 64 MiB hold half a million sockets.
const MAX_TABLE: u64 = 64 << 20;

/// The oldest CRIU that dumps INET sockets on Linux 6.16 and later, which no longer supports
/// SO_PASSCRED for these sockets (criu 4b7398595).
const CRIU_FOR_6_16: Version = Version { major: 4, minor: 2 };

/// The capabilities that a checkpoint needs: for the network lock, for mounting, and for dumping a
/// process.
const CAPABILITIES: [(u32, &str); 3] =
    [(12, "CAP_NET_ADMIN"), (CAP_SYS_ADMIN, "CAP_SYS_ADMIN"), (40, "CAP_CHECKPOINT_RESTORE")];

const CAP_SYS_ADMIN: u32 = 21;

/// Returns the problem that stops all other checks: CRIU and the runtimes report each step that an
/// unprivileged user cannot take as a missing feature.
///
/// # Errors
/// Returns an error if /proc cannot be read.
pub fn unprivileged() -> io::Result<Option<Finding>> {
    let own = capabilities(&read("/proc/self/status")?);
    Ok(missing_capabilities(own).filter(|_| own >> CAP_SYS_ADMIN & 1 == 0))
}

/// Returns the problem of a process with the capabilities in the mask `own`, if some are missing.
fn missing_capabilities(own: u64) -> Option<Finding> {
    let missing: Vec<&str> =
        CAPABILITIES.iter().filter(|(bit, _)| own >> bit & 1 == 0).map(|(_, name)| *name).collect();
    let text = format!("{} missing", missing.join(", "));
    (!missing.is_empty()).then(|| Finding { severity: Severity::Fails, text, hint: "run as root".into() })
}

/// The facts about the host and the container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The effective capabilities, as a mask (/proc/self/status).
    pub capabilities: u64,
    /// The version of CRIU, if it is installed.
    pub criu: Option<Version>,
    /// Whether the kernel rejects SO_PASSCRED on an INET socket, as it does since 6.16.
    pub refuses_passcred: bool,
    /// The missing programs of CRIU's network lock.
    pub lock: NetworkLock,
    /// Whether the container has its own network namespace; `None` if there is no container.
    pub own_network: Option<bool>,
    /// The container's sockets; `None` if there is no container.
    pub sockets: Option<Sockets>,
    /// The standard streams of the container that are files of the host: descriptor and path.
    pub host_stdio: Vec<(u32, String)>,
}

impl Facts {
    /// Reads the facts about the host.
    ///
    /// # Errors
    /// Returns an error if /proc cannot be read.
    pub fn of_host(criu: Option<Version>) -> io::Result<Facts> {
        Ok(Facts {
            capabilities: capabilities(&read("/proc/self/status")?),
            criu,
            refuses_passcred: refuses_passcred()?,
            lock: NetworkLock::of_host()?,
            ..Facts::default()
        })
    }

    /// Adds the facts about the container with the first process `pid`.
    ///
    /// # Errors
    /// Returns an error if the process does not exist or its files in /proc cannot be read.
    pub fn add_process(&mut self, pid: u32) -> io::Result<()> {
        let mut tables = Vec::new();
        for name in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "icmp", "icmp6"] {
            match read_at_most(format!("/proc/{pid}/net/{name}"), MAX_TABLE) {
                Ok(text) => tables.push((name, text)),
                // A kernel without IPv6 has no such table.
                Err(e) if e.kind() == io::ErrorKind::NotFound && !tables.is_empty() => {}
                Err(e) => return Err(e),
            }
        }
        let held = match sockets::held_by(pid) {
            // An ordinary user cannot list the descriptors of another user's process.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => None,
            held => Some(held?),
        };
        self.sockets = Some(Sockets::count(&tables, held.as_ref()));
        let network = |process: &str| fs::read_link(format!("/proc/{process}/ns/net"));
        self.own_network = Some(network(&pid.to_string())? != network("self")?);
        let mounts = mount_ids(&read(format!("/proc/{pid}/mountinfo"))?);
        for fd in 0..3 {
            let Ok(kind) = fs::metadata(format!("/proc/{pid}/fd/{fd}")) else { continue };
            let kind = kind.file_type();
            // A pipe, socket or character device is not on a mount of the container either, but
            // CRIU can dump it.
            if kind.is_fifo() || kind.is_socket() || kind.is_char_device() {
                continue;
            }
            let info = read(format!("/proc/{pid}/fdinfo/{fd}"))?;
            let path = fs::read_link(format!("/proc/{pid}/fd/{fd}"))?;
            if has_path(&path) && mount_id(&info).is_some_and(|id| !mounts.contains(&id)) {
                self.host_stdio.push((fd, path.display().to_string()));
            }
        }
        Ok(())
    }

    /// Returns the missing programs that CRIU needs for its network lock.
    fn missing_lock_programs(&self) -> Vec<&'static str> {
        let sockets = self.sockets.unwrap_or_default();
        if self.own_network != Some(false) {
            return self.lock.namespace.clone();
        }
        let mut missing = Vec::new();
        if sockets.established > sockets.established_v6 {
            missing.extend(&self.lock.connection);
        }
        if sockets.established_v6 > 0 {
            missing.extend(&self.lock.connection_v6);
        }
        missing
    }

    /// Returns the problems. Problems that make the dump fail come first.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        findings.extend(missing_capabilities(self.capabilities));
        let mut add =
            |severity, text: String, hint: &str| findings.push(Finding { severity, text, hint: hint.into() });
        let uses_sockets = self.sockets.is_none_or(|s| s.inet > 0);
        if let Some(criu) =
            self.criu.filter(|criu| *criu < CRIU_FOR_6_16 && self.refuses_passcred && uses_sockets)
        {
            let text = match self.sockets {
                Some(sockets) => format!(
                    "criu {criu} cannot dump the container's {} INET sockets on a kernel since 6.16",
                    sockets.inet
                ),
                None => format!("criu {criu} cannot dump INET sockets on a kernel since 6.16"),
            };
            // Without a container, it is not known whether the problem occurs.
            let severity = if self.sockets.is_some() { Severity::Fails } else { Severity::Needs };
            add(severity, text, "install criu 4.2 or newer");
        }
        for (fd, path) in &self.host_stdio {
            let text = format!("descriptor {fd} of the container is {path}, a file outside the container");
            add(
                Severity::Fails,
                text,
                "start the container with /dev/null, a pipe or a terminal as that descriptor",
            );
        }
        let established = self.sockets.map_or(0, |s| s.established);
        let missing = self.missing_lock_programs();
        if !missing.is_empty() {
            let text = format!("{}: not found; CRIU needs it to block the network", missing.join(", "));
            // Without a container, it is not known whether the problem occurs.
            let severity = if self.own_network.is_some() { Severity::Fails } else { Severity::Needs };
            // Before CRIU 4.2, a restore with nftables fails because CRIU's own lock still exists.
            let hint = match self.criu {
                Some(criu) if criu >= CRIU_FOR_6_16 => {
                    "install iptables, or add network-lock nftables to /etc/criu/default.conf"
                }
                _ => "install iptables",
            };
            add(severity, text, hint);
        }
        if established > 0 {
            let connections = if established == 1 { "connection" } else { "connections" };
            let hint = "pass --tcp-established to runc checkpoint and to runc restore";
            add(Severity::Needs, format!("{established} established TCP {connections}"), hint);
        }
        findings.sort_by_key(|finding| finding.severity == Severity::Needs);
        findings
    }
}

fn capabilities(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Returns the mount IDs in a mountinfo file: the first word of each line.
fn mount_ids(mountinfo: &str) -> BTreeSet<u64> {
    mountinfo.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect()
}

/// Returns the mount ID in a fdinfo file.
fn mount_id(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
}

/// Returns whether a descriptor whose link in /proc is `link` was opened by a path. CRIU dumps a
/// memfd, an eventfd and the like without a path; they are on mounts that no container has.
fn has_path(link: &Path) -> bool {
    link.is_absolute() && !link.as_os_str().as_encoded_bytes().starts_with(b"/memfd:")
}

/// Returns whether the kernel rejects SO_PASSCRED on INET sockets. CRIU reads this option of every
/// socket that it dumps, but since Linux 6.16 it exists only for UNIX, netlink and Bluetooth
/// sockets.
fn refuses_passcred() -> io::Result<bool> {
    let fd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    match getsockopt(&fd, sockopt::PassCred) {
        Ok(_) => Ok(false),
        Err(nix::errno::Errno::EOPNOTSUPP) => Ok(true),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts { capabilities: u64::MAX, criu: Some(Version { major: 4, minor: 2 }), ..Facts::default() }
    }

    #[test]
    fn a_good_host_has_no_findings() {
        assert_eq!(good().findings(), []);
        assert_eq!(
            Facts { sockets: Some(Sockets { inet: 3, ..Sockets::default() }), ..good() }.findings(),
            []
        );
    }

    #[test]
    fn an_old_criu_on_a_new_kernel_fails_only_if_there_are_sockets() {
        let old = Facts { criu: Some(Version { major: 4, minor: 1 }), refuses_passcred: true, ..good() };
        let with = |inet| Facts { sockets: Some(Sockets { inet, ..Sockets::default() }), ..old.clone() };
        assert_eq!(with(0).findings(), []);
        let findings = with(2).findings();
        assert_eq!(findings[0].severity, Severity::Fails);
        assert_eq!(
            findings[0].text,
            "criu 4.1 cannot dump the container's 2 INET sockets on a kernel since 6.16"
        );
        assert_eq!(old.findings()[0].severity, Severity::Needs);
        assert_eq!(Facts { refuses_passcred: false, ..with(2) }.findings(), []);
    }

    #[test]
    fn connections_need_the_flag_and_a_lock() {
        let connected =
            Facts { sockets: Some(Sockets { inet: 2, established: 1, established_v6: 0 }), ..good() };
        assert_eq!(connected.findings().len(), 1);
        assert_eq!(connected.findings()[0].text, "1 established TCP connection");
        let lock = NetworkLock { connection: vec!["iptables"], ..NetworkLock::default() };
        let findings = Facts { lock, own_network: Some(false), ..connected }.findings();
        assert_eq!((findings[0].severity, findings[1].severity), (Severity::Fails, Severity::Needs));
    }

    #[test]
    fn the_lock_needs_programs_for_what_it_blocks() {
        let lock = NetworkLock {
            namespace: vec!["ip6tables-restore"],
            connection: vec!["iptables"],
            connection_v6: vec!["ip6tables"],
        };
        let texts = |own_network, established, established_v6| {
            let sockets = Some(Sockets { inet: established, established, established_v6 });
            let facts = Facts { own_network, sockets, lock: lock.clone(), ..good() };
            let lines = facts.findings().into_iter().filter(|f| f.text.contains("to block the network"));
            lines.map(|f| (f.fails(), f.text.split(": ").next().unwrap().to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(texts(Some(true), 0, 0), [(true, "ip6tables-restore".to_owned())]);
        assert_eq!(texts(None, 0, 0), [(false, "ip6tables-restore".to_owned())]);
        assert_eq!(texts(Some(false), 0, 0), []);
        assert_eq!(texts(Some(false), 2, 0), [(true, "iptables".to_owned())]);
        assert_eq!(texts(Some(false), 2, 2), [(true, "ip6tables".to_owned())]);
        assert_eq!(texts(Some(false), 3, 2), [(true, "iptables, ip6tables".to_owned())]);
    }

    #[test]
    fn missing_capabilities_and_host_files_are_named() {
        let facts = Facts { capabilities: 1 << 21, host_stdio: vec![(1, "/var/log/x".into())], ..good() };
        let texts: Vec<String> = facts.findings().into_iter().map(|f| f.text).collect();
        assert_eq!(texts[0], "CAP_NET_ADMIN, CAP_CHECKPOINT_RESTORE missing");
        assert_eq!(texts[1], "descriptor 1 of the container is /var/log/x, a file outside the container");
    }

    #[test]
    fn a_descriptor_belongs_to_the_container_if_its_mount_does() {
        let mounts = mount_ids("22 1 0:21 / / rw - overlay o rw\n30 22 0:5 / /proc rw - proc p rw\n");
        assert_eq!(mount_id("pos:\t0\nflags:\t02\nmnt_id:\t22\n"), Some(22));
        assert!(mounts.contains(&22) && !mounts.contains(&23));
        assert_eq!(capabilities("Name:\tx\nCapEff:\t000001ffffffffff\n"), 0x1ff_ffff_ffff);
    }

    #[test]
    fn this_host_and_process_can_be_read() {
        let mut facts = Facts::of_host(None).unwrap();
        facts.add_process(std::process::id()).unwrap();
        assert!(facts.sockets.is_some());
        assert!(Facts::default().add_process(u32::MAX).is_err());
    }

    #[test]
    fn the_hint_for_the_lock_depends_on_the_version_of_criu() {
        let lock = NetworkLock { namespace: vec!["iptables-restore"], ..NetworkLock::default() };
        let hint = |criu| Facts { criu, lock: lock.clone(), ..good() }.findings()[0].hint.clone();
        for (criu, nftables) in
            [(Some((4, 1)), false), (Some((4, 2)), true), (Some((5, 0)), true), (None, false)]
        {
            let criu = criu.map(|(major, minor)| Version { major, minor });
            assert_eq!(hint(criu).contains("nftables"), nftables, "{criu:?}");
        }
    }

    #[test]
    fn the_facts_of_this_host_are_those_of_the_kernel() {
        let criu = Some(Version { major: 4, minor: 1 });
        let facts = Facts::of_host(criu).unwrap();
        assert_eq!((facts.criu, facts.refuses_passcred), (criu, refuses_passcred().unwrap()));
        let own = capabilities(&read("/proc/self/status").unwrap());
        assert_eq!(facts.capabilities, own);
        assert_eq!(unprivileged().unwrap().is_some(), own >> CAP_SYS_ADMIN & 1 == 0);
        let error = Facts::default().add_process(u32::MAX).unwrap_err().to_string();
        assert!(error.contains("/net/tcp: "), "{error}");
    }

    #[test]
    fn only_files_with_a_path_can_be_on_the_host() {
        for (link, expected) in [
            ("/var/log/x", true),
            ("/var/log/x (deleted)", true),
            ("/memfd", true),
            ("/memfd:name (deleted)", false),
            ("anon_inode:[eventfd]", false),
            ("net:[4026531840]", false),
        ] {
            assert_eq!(has_path(link.as_ref()), expected, "{link}");
        }
    }

    #[test]
    #[ignore = "needs root"]
    fn a_standard_stream_on_a_mount_of_the_host_is_found() {
        use std::process::{Command, Stdio};
        let log = tempfile::NamedTempFile::new().unwrap();
        let file = || log.reopen().unwrap();
        let memory = || {
            fs::File::from(nix::sys::memfd::memfd_create(c"m", nix::sys::memfd::MFdFlags::empty()).unwrap())
        };
        let host_mounts = &["--ipc", "--mount", "--net"][..];
        for (arguments, stdout, host_stdio, own_network) in [
            (&["--ipc"][..], file(), vec![], Some(false)),
            (host_mounts, file(), vec![(1, log.path().display().to_string())], Some(true)),
            (host_mounts, memory(), vec![], Some(true)),
        ] {
            // After the mounts are unshared, the file is on a mount that the process does not have.
            let mut child = Command::new("unshare")
                .args(arguments)
                .args(["sh", "-c", "echo ready >&2; exec sleep 60"])
                .stdin(Stdio::null())
                .stdout(stdout)
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            io::Read::read_exact(child.stderr.as_mut().unwrap(), &mut [0; 6]).unwrap();
            let mut facts = Facts::default();
            let added = facts.add_process(child.id());
            child.kill().unwrap();
            child.wait().unwrap();
            added.unwrap();
            assert_eq!((facts.host_stdio, facts.own_network), (host_stdio, own_network));
        }
    }
}
