//! The modes of namespace flags, and `--container-pid`.

use std::fmt;

use anyhow::bail;
use cli::usage;

const MODES: &str = "host, private, none, ns:PATH or container:ID";

/// The value of a namespace flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The namespace of the host. The list of namespaces has no entry of this type.
    Host,
    /// A new namespace.
    Private,
    /// The namespace at a path.
    Path(String),
    /// The namespace of another container, found by its PID.
    Container(String),
}

impl Mode {
    /// Reads `host`, `private` (also `none` and `shareable`: a new namespace), `ns:PATH` or
    /// `container:ID`. Rejects podman's networks, because configuring a network namespace is the
    /// job of another tool.
    ///
    /// # Errors
    /// Returns an error that states what was expected.
    pub fn parse(text: &str) -> Result<Mode, String> {
        match text.split_once(':') {
            Some(("ns", path)) if path.starts_with('/') => Ok(Mode::Path(path.to_owned())),
            Some(("ns", _)) => Err("expected an absolute path after ns:, such as ns:/run/netns/web".into()),
            Some(("container", "")) => Err("container: expected an ID or a PID".into()),
            Some(("container", id)) => Ok(Mode::Container(id.to_owned())),
            None if text == "host" => Ok(Mode::Host),
            None if matches!(text, "private" | "none" | "shareable") => Ok(Mode::Private),
            _ if text.starts_with('/') => Err(format!("expected {MODES}, write ns:{text}")),
            _ => Err(format!("expected {MODES}")),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mode::Host => f.write_str("host"),
            Mode::Private => f.write_str("private"),
            Mode::Path(path) => write!(f, "ns:{path}"),
            Mode::Container(id) => write!(f, "container:{id}"),
        }
    }
}

/// Another container, whose namespaces this container can join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub id: String,
    pub pid: u64,
    pub hostname: Option<String>,
}

impl Peer {
    /// Reads `ID=PID[,hostname=H]`.
    ///
    /// # Errors
    /// Returns an error that states what was expected.
    pub fn parse(arg: &str) -> Result<Peer, String> {
        const EXPECTED: &str = "expected ID=PID[,hostname=H]";
        let (id, rest) = arg.split_once('=').ok_or(EXPECTED)?;
        let (pid, hostname) = match rest.split_once(',') {
            Some((pid, name)) => (pid, Some(name.strip_prefix("hostname=").ok_or(EXPECTED)?.to_owned())),
            None => (rest, None),
        };
        match pid.parse() {
            Ok(pid) if pid > 0 && !id.is_empty() => Ok(Peer { id: id.to_owned(), pid, hostname }),
            _ => Err(EXPECTED.into()),
        }
    }

    /// Finds a container by its ID. A PID is accepted in place of the ID.
    ///
    /// # Errors
    /// Returns an error if no flag states the PID of the container.
    pub fn find(id: &str, peers: &[Peer]) -> anyhow::Result<Peer> {
        if let Some(peer) = peers.iter().find(|peer| peer.id == id) {
            return Ok(peer.clone());
        }
        match id.parse() {
            // Container IDs are long and hexadecimal, so a short number is a PID.
            Ok(pid) if id.len() <= 10 && pid > 0 => Ok(Peer { id: id.to_owned(), pid, hostname: None }),
            _ => bail!(cli::Hint::on(
                usage(format!("container {id}: its PID is not known")),
                format!("add --container-pid {id}=PID"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_parsed_as_podman_parses_them() {
        assert_eq!(Mode::parse("ns:/run/netns/web"), Ok(Mode::Path("/run/netns/web".into())));
        assert_eq!(Mode::parse("container:web"), Ok(Mode::Container("web".into())));
        for bad in ["", "ns:", "ns:rel", "container:", "slirp4netns:x", "hots"] {
            assert!(Mode::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_joined_namespace_needs_a_pid() {
        let peer = Peer::parse("web=7,hostname=w").unwrap();
        assert_eq!(Peer::find("web", std::slice::from_ref(&peer)).unwrap(), peer);
        assert_eq!(Peer::find("4711", &[]).unwrap().pid, 4711);
        assert!(Peer::find("web", &[]).is_err());
        for bad in ["", "web", "web=", "=7", "web=0", "web=7,h=x"] {
            assert!(Peer::parse(bad).is_err(), "{bad}");
        }
    }
}
