//! `--network` options of `podman run` and `podman create` (podman >= 4.0).

use checkpoint::network_status::{Malformed, NetworkStatus};

use super::{plain, the_interface};

/// Names that podman takes for a network mode (specgen `ParseNetworkFlag`), not for a network.
const MODES: [&str; 8] = ["bridge", "default", "host", "none", "pasta", "pod", "private", "slirp4netns"];

/// One option for each network, each a word of its own, ended by `end`.
///
/// # Errors
/// When a name would be read as something else, or a network has several interfaces.
pub fn options(status: &NetworkStatus, end: char) -> Result<String, Malformed> {
    let mut out = String::new();
    for (name, block) in &status.networks {
        let of_network = |e: Malformed| e.within(format!("network {name}"));
        plain(name, "network").map_err(of_network)?;
        if MODES.contains(&name.as_str()) {
            return Err(of_network(Malformed::new("podman takes this name for a network mode")));
        }
        let (ifname, interface) = the_interface(block, "podman").map_err(of_network)?;
        plain(ifname, "interface").map_err(of_network)?;
        let mut values = Vec::new();
        for address in &interface.subnets {
            let ip = address.ipnet.addr();
            values.push(format!("{}={ip}", if ip.is_ipv4() { "ip" } else { "ip6" }));
        }
        if let Some(mac) = &interface.mac_address {
            values.push(format!("mac={mac}"));
        }
        values.push(format!("interface_name={ifname}"));
        out.push_str(&format!("--network={name}:{}{end}", values.join(",")));
    }
    Ok(out)
}
