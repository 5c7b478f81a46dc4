//! The networks of the host to which the interfaces of a container are attached.

use anyhow::anyhow;
use checkpoint::network_status::NetInterface;
use cli::Hint;

use crate::kernel::link::Link;
use crate::kernel::state::State;
use crate::model::network_info::{NetworkInfo, NetworkInfos};

/// The links of the host as seen from a container.
pub struct Host<'a> {
    pub state: &'a State,
    /// The ID that the container's namespace has for the namespace of the host.
    pub netnsid: Option<i32>,
}

impl Host<'_> {
    /// Returns the other end of `link` on the host: the peer of a veth, or the parent of a macvlan.
    fn other_end(&self, link: &Link) -> Option<&Link> {
        let is_on_host = link.other_netnsid.is_some() && link.other_netnsid == self.netnsid;
        link.other_end.filter(|_| is_on_host).and_then(|index| self.state.link_at(index))
    }

    /// Returns the bridge or the parent on the host to which `link` is attached.
    pub fn attached_to(&self, link: &Link) -> Option<&Link> {
        let other = self.other_end(link)?;
        match other.controller {
            Some(bridge) => self.state.link_at(bridge),
            None if link.kind.as_deref() == Some("veth") => None,
            None => Some(other),
        }
    }

    /// Returns the name of the network to which `link` is attached.
    ///
    /// This is the network whose description names the bridge or parent, or whose subnet contains
    /// an address of the interface. Without such a network, the name of the bridge or parent is
    /// returned.
    ///
    /// # Errors
    /// Returns an error if no network is found and the interface is not attached to a link of the
    /// host.
    pub fn network_of(
        &self,
        link: &Link,
        interface: &NetInterface,
        infos: &NetworkInfos,
    ) -> anyhow::Result<String> {
        let attached = self.attached_to(link).map(|link| link.name.as_str());
        let by_subnet =
            |info: &NetworkInfo| interface.subnets.iter().any(|a| info.subnet_of(a.ipnet.addr()).is_some());
        let by_parent =
            |info: &NetworkInfo| attached.is_some() && info.network_interface.as_deref() == attached;
        let described = infos
            .iter()
            .find(|(_, info)| by_parent(info))
            .or_else(|| infos.iter().find(|(_, info)| by_subnet(info)));
        match (described, attached) {
            (Some((name, _)), _) => Ok(name.clone()),
            (None, Some(name)) => Ok(name.to_owned()),
            (None, None) => Err(Hint::on(
                anyhow!("interface {}: cannot find the name of its network", link.name),
                format!("add --network {}=NAME", link.name),
            )),
        }
    }
}
