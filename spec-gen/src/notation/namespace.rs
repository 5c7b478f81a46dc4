//! The modes of namespace flags, and `--container-pid`.

use std::fmt;

use anyhow::bail;
use cli::usage;

/// What a namespace flag asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The host's: the namespace is left out of the list.
    Host,
    /// A new one.
    Private,
    /// The one at a path.
    Path(String),
    /// Another container's, found by its pid.
    Container(String),
}

impl Mode {
    /// Reads `host`, `private` (also `none` and `shareable`: a new namespace), `ns:PATH` or `container:ID`. podman's networks are
    /// refused: what is put in a namespace is another tool's job.
    ///
    /// # Errors
    /// With what would have been accepted.
    pub fn parse(text: &str) -> Result<Mode, String> {
        match text.split_once(':') {
            Some(("ns", path)) if path.starts_with('/') => Ok(Mode::Path(path.to_owned())),
            Some(("ns", _)) => Err("ns: wants an absolute path".into()),
            Some(("container", "")) => Err("container: wants an id or pid".into()),
            Some(("container", id)) => Ok(Mode::Container(id.to_owned())),
            None if text == "host" => Ok(Mode::Host),
            None if matches!(text, "private" | "none" | "shareable") => Ok(Mode::Private),
            _ => Err("one of host, private, none, ns:PATH, container:ID is wanted".into()),
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

/// Another container whose namespaces may be joined.
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
    /// With what would have been accepted.
    pub fn parse(arg: &str) -> Result<Peer, String> {
        const WANTED: &str = "ID=PID[,hostname=H] is wanted";
        let (id, rest) = arg.split_once('=').ok_or(WANTED)?;
        let (pid, hostname) = match rest.split_once(',') {
            Some((pid, name)) => (pid, Some(name.strip_prefix("hostname=").ok_or(WANTED)?.to_owned())),
            None => (rest, None),
        };
        match pid.parse() {
            Ok(pid) if pid > 0 && !id.is_empty() => Ok(Peer { id: id.to_owned(), pid, hostname }),
            _ => Err(WANTED.into()),
        }
    }

    /// Finds a container by its id or a pid that stands for it.
    ///
    /// # Errors
    /// When its pid was not given.
    pub fn find(id: &str, peers: &[Peer]) -> anyhow::Result<Peer> {
        if let Some(peer) = peers.iter().find(|peer| peer.id == id) {
            return Ok(peer.clone());
        }
        match id.parse() {
            // A short number can only be a pid; ids are hexadecimal and long.
            Ok(pid) if id.len() <= 10 && pid > 0 => Ok(Peer { id: id.to_owned(), pid, hostname: None }),
            _ => bail!(cli::Hint::on(
                usage(format!("container {id}: its pid is not known")),
                format!("add --container-pid {id}=PID"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_podmans() {
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
