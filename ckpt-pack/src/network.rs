//! Decides which network podman sets up for the container when it restores the archive.
//!
//! podman keeps this decision in config.dump and reads the addresses from network.status. A runtime
//! only knows the path of the network namespace. Without podman's keys, podman gives this path to
//! the runtime, which fails, or joins any namespace that has this path on the other host.

use std::io::Read;

use anyhow::{Context, anyhow, bail};
use checkpoint::Member;
use checkpoint::config_dump::ConfigDump;
use checkpoint::network_status::{NetworkStatus, StatusBlock, to_bytes};
use checkpoint::spec_dump::SpecDump;
use cli::{Hint, Session, usage};

use crate::args::{Format, Image};

/// A value of `--network`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkFlag {
    /// `none`: an empty network namespace.
    Empty,
    /// `ns:PATH`: the network namespace at this path.
    Path(String),
    /// `NAME`: this network of podman.
    Name(String),
    /// `OLD=NEW`: the network OLD of network.status is podman's network NEW.
    Renamed(String, String),
}

/// podman's modes of `--network`, which can therefore not be names of networks.
const MODES: [&str; 9] =
    ["bridge", "container", "default", "host", "ns", "pasta", "pod", "private", "slirp4netns"];

const EXPECTED: &str = "expected the name of a network of podman, OLD=NEW, none or ns:PATH";

/// Parses a value of `--network`.
pub fn parse(text: &str) -> Result<NetworkFlag, String> {
    if text == "none" {
        return Ok(NetworkFlag::Empty);
    }
    if let Some(path) = text.strip_prefix("ns:") {
        return match path.starts_with('/') {
            true => Ok(NetworkFlag::Path(path.into())),
            false => Err("expected an absolute path after ns:".into()),
        };
    }
    // Docker calls its default network "bridge", but "bridge:ip=…" is podman's notation of options.
    if text.split_once(':').is_some_and(|(mode, _)| MODES.contains(&mode)) {
        return Err(EXPECTED.into());
    }
    match text.rsplit_once('=') {
        Some(("", _)) => Err("expected OLD=NEW".into()),
        Some((old, new)) => Ok(NetworkFlag::Renamed(old.into(), network_name(new)?)),
        None => network_name(text).map(NetworkFlag::Name),
    }
}

/// Returns `text` if podman accepts it as the name of a network.
fn network_name(text: &str) -> Result<String, String> {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    match first && rest && !MODES.contains(&text) && text != "none" {
        true => Ok(text.into()),
        false => Err(EXPECTED.into()),
    }
}

/// Rejects values of `--network` that have no effect or contradict each other.
pub fn check_flags(flags: &[NetworkFlag], image: &Image) -> anyhow::Result<()> {
    let other = match image.format {
        Format::Ctr => Some("--format ctr"),
        _ => image.annotations.map(|_| "--annotations"),
    };
    if let (Some(other), false) = (other, flags.is_empty()) {
        return Err(usage(format!("--network has no effect with {other}: only podman reads it")));
    }
    let mut names = Vec::new();
    for flag in flags {
        match flag {
            NetworkFlag::Renamed(old, new) => {
                if names.iter().any(|(o, n)| o == old || n == new) {
                    return Err(usage(format!("--network: {old}={new}: this network was given before")));
                }
                names.push((old.clone(), new.clone()));
            }
            _ if flags.len() > 1 => {
                let error = usage("--network: several networks need the form OLD=NEW");
                return Err(Hint::on(error, "--network OLD=NEW for each network of network.status"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is left to do for the network once network.status is known.
#[derive(Debug)]
pub enum Plan {
    /// Nothing: config.dump is complete.
    Done,
    /// config.dump needs the networks of network.status.
    FromStatus(Vec<NetworkFlag>),
}

/// Decides on the network, as far as this is possible without network.status. `is_new` says that
/// `config` was not made by a container engine. Changes `config`, or `spec` for `ns:PATH`.
///
/// # Errors
/// Returns an error if the flags have no effect for this container.
pub fn plan(
    flags: &[NetworkFlag],
    config: &mut ConfigDump,
    spec: &mut SpecDump,
    names: (&str, &str),
    is_new: bool,
) -> anyhow::Result<Plan> {
    let (config_name, spec_name) = names;
    if flags.is_empty() && !is_new {
        return Ok(Plan::Done);
    }
    if config.has_network() {
        if flags.is_empty() {
            return Ok(Plan::Done);
        }
        let error = usage(format!("--network conflicts with {config_name}, which has the network of podman"));
        return Err(Hint::on(error, format!("edit {config_name}, or remove it to have it created")));
    }
    let Some(path) = spec.network_namespace() else {
        if flags.is_empty() {
            return Ok(Plan::Done);
        }
        let has_own = spec.namespaces().iter().any(|(kind, _)| *kind == "network");
        bail!(
            "--network: {spec_name}: {}",
            match has_own {
                true => "the network namespace has no path, so it is in CRIU's images",
                false => "the container has the network of the host",
            }
        );
    };
    match flags {
        [NetworkFlag::Empty] => config.set_networks(&NetworkStatus::default()),
        [NetworkFlag::Path(new)] => {
            if new != path {
                spec.set_network_namespace(new);
            }
            config.set("createNetNS", false);
        }
        _ => return Ok(Plan::FromStatus(flags.to_vec())),
    }
    Ok(Plan::Done)
}

/// Reads the document `network.status` from `content`, whose name is `name` in messages.
///
/// # Errors
/// Returns an error if the document cannot be read or is not a network status. podman would ignore
/// it without an error, and restore the container with another address.
pub fn read_status(content: impl Read, name: &str) -> anyhow::Result<Vec<u8>> {
    let bytes = cli::read_document(content, name, Member::NetworkStatus.document_limit())?;
    NetworkStatus::parse(&bytes).with_context(|| name.to_owned())?;
    Ok(bytes)
}

impl Plan {
    /// Reports whether config.dump needs network.status.
    pub fn needs_status(&self) -> bool {
        matches!(self, Plan::FromStatus(_))
    }

    /// Completes `config` with the networks of `status`, the content of the member network.status;
    /// `None` if there is none. Returns the member's new content.
    ///
    /// # Errors
    /// Returns an error if `status` is not a network status, or does not fit the flags.
    pub fn complete(
        &mut self,
        config: &mut ConfigDump,
        status: Option<Vec<u8>>,
        session: &Session,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let Plan::FromStatus(flags) = std::mem::replace(self, Plan::Done) else { return Ok(status) };
        let found = status.as_deref().map(NetworkStatus::parse).transpose();
        let found = found.with_context(|| Member::NetworkStatus.to_string())?.flatten().unwrap_or_default();
        let renamed = rename(&found, &flags)?;
        if status.is_none() && flags.is_empty() && config.text("rootfsImageID").is_some() {
            session
                .warn("config.dump: without network.status, podman restores the container without a network");
            session
                .hint("put netstatus save --members into the pipe, or add --network NAME or --network none");
        }
        for (name, block) in &renamed.networks {
            if block.interfaces.len() > 1 {
                let all: Vec<_> = block.interfaces.keys().map(String::as_str).collect();
                session.warn(format_args!(
                    "network.status: network {name} has the interfaces {}: podman restores one of them",
                    all.join(" ")
                ));
            }
        }
        config.set_networks(&renamed);
        // podman looks for the addresses of a network by its name, also in network.status.
        let same_names = found.networks.is_empty() || renamed.networks.keys().eq(found.networks.keys());
        Ok(if same_names { status } else { Some(to_bytes(Some(&renamed))) })
    }
}

/// Gives the networks of `found` the names of the flags.
fn rename(found: &NetworkStatus, flags: &[NetworkFlag]) -> anyhow::Result<NetworkStatus> {
    let all = || match found.networks.is_empty() {
        true => "no network".to_owned(),
        false => found.networks.keys().map(String::as_str).collect::<Vec<_>>().join(" "),
    };
    let mut renamed = NetworkStatus::default();
    if let [NetworkFlag::Name(name)] = flags {
        let mut blocks = found.networks.values();
        let block = blocks.next().cloned().unwrap_or_else(StatusBlock::default);
        if blocks.next().is_some() {
            let error = anyhow!("--network: {name}: network.status has several networks: {}", all());
            return Err(Hint::on(error, format!("--network OLD={name} for one of them")));
        }
        renamed.networks.insert(name.clone(), block);
        return Ok(renamed);
    }
    let pairs = || {
        flags.iter().filter_map(|flag| match flag {
            NetworkFlag::Renamed(old, new) => Some((old, new)),
            _ => None,
        })
    };
    if let Some((old, new)) = pairs().find(|(old, _)| !found.networks.contains_key(*old)) {
        bail!("--network: {old}={new}: network.status has {}", all());
    }
    for (name, block) in &found.networks {
        let new = pairs().find(|(old, _)| *old == name).map_or(name, |(_, new)| new);
        if renamed.networks.insert(new.clone(), block.clone()).is_some() {
            bail!("--network: two networks of network.status would get the name {new}");
        }
    }
    Ok(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_podman_accepts_are_networks() {
        let name = |text: &str| NetworkFlag::Name(text.into());
        assert_eq!(parse("lan"), Ok(name("lan")));
        assert_eq!(parse("my-net_1.x"), Ok(name("my-net_1.x")));
        assert_eq!(parse("none"), Ok(NetworkFlag::Empty));
        assert_eq!(parse("ns:/run/netns/web"), Ok(NetworkFlag::Path("/run/netns/web".into())));
        assert_eq!(parse("bridge=lan"), Ok(NetworkFlag::Renamed("bridge".into(), "lan".into())));
        assert_eq!(parse("a=b=lan"), Ok(NetworkFlag::Renamed("a=b".into(), "lan".into())));
        for text in [
            "",
            "host",
            "bridge",
            "bridge:ip=1",
            "container:x",
            "ns:",
            "ns:x",
            "a=",
            "=a",
            "a=host",
            "a=none",
            "-a",
            "a b",
            "a/b",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks_are_renamed_without_loss() {
        let status = NetworkStatus::parse(br#"{"a":{"x":1},"b":{},"c":{}}"#).unwrap().unwrap();
        let renamed = |from: &str, to: &str| NetworkFlag::Renamed(from.into(), to.into());
        let names = |flags: &[NetworkFlag]| {
            rename(&status, flags).map(|s| s.networks.into_keys().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(names(&[]).unwrap(), "a b c");
        assert_eq!(names(&[renamed("a", "z")]).unwrap(), "b c z");
        assert_eq!(names(&[renamed("a", "b"), renamed("b", "a")]).unwrap(), "a b c");
        for flags in [&[renamed("a", "b")][..], &[renamed("x", "y")], &[NetworkFlag::Name("n".into())]] {
            assert!(names(flags).is_err(), "{flags:?}");
        }
    }
}
