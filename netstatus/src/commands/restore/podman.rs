//! `--network` options of `podman run` and `podman create` (podman >= 4.0).

use checkpoint::network_status::{Malformed, NetworkStatus};

use crate::model::names::check_unquoted;
use crate::model::status::only_interface;

/// Names that podman reads as network modes, not as networks (`ParseNetworkFlag` in specgen).
const MODES: [&str; 8] = ["bridge", "default", "host", "none", "pasta", "pod", "private", "slirp4netns"];

/// Returns one option for each network, each without spaces and followed by `terminator`.
///
/// # Errors
/// Returns an error if podman would misread a name, or if a network has several interfaces.
pub fn options(status: &NetworkStatus, terminator: char) -> Result<String, Malformed> {
    let mut out = String::new();
    for (name, block) in &status.networks {
        let of_network = |e: Malformed| e.within(format!("network {name}"));
        check_unquoted(name, "network").map_err(of_network)?;
        if MODES.contains(&name.as_str()) {
            return Err(of_network(Malformed::new("podman reads this name as a network mode")));
        }
        let (ifname, interface) = only_interface(block, "podman").map_err(of_network)?;
        check_unquoted(ifname, "interface").map_err(of_network)?;
        let mut values = Vec::new();
        for address in &interface.subnets {
            let ip = address.ipnet.addr();
            values.push(format!("{}={ip}", if ip.is_ipv4() { "ip" } else { "ip6" }));
        }
        if let Some(mac) = &interface.mac_address {
            values.push(format!("mac={mac}"));
        }
        values.push(format!("interface_name={ifname}"));
        out.push_str(&format!("--network={name}:{}{terminator}", values.join(",")));
    }
    Ok(out)
}
