//! Settings that only `netstatus apply` and `--to ip-batch` restore.

use checkpoint::network_status::Malformed;

use crate::model::desired::{DesiredInterfaces, gateway_routes, routes};
use crate::model::extension::{DEFAULT_MTU, Extension};

/// Lists the MTUs, address details and routes under `x-netstatus` that the other output formats
/// cannot express.
///
/// # Errors
/// Returns an error if an extension is malformed.
pub fn unexpressed(interfaces: &DesiredInterfaces<'_>) -> Result<Vec<String>, Malformed> {
    let mut settings = Vec::new();
    for (name, desired) in interfaces {
        let extension = Extension::of(name, desired.interface)?;
        if let Some(mtu) = extension.mtu.filter(|mtu| *mtu != DEFAULT_MTU) {
            settings.push(format!("interface {name}: MTU {mtu}"));
        }
        for details in extension.addresses.iter().filter(|details| details.is_beyond_podman()) {
            settings.push(format!("interface {name}: address {}", details.to_json()));
        }
    }
    let implied = gateway_routes(interfaces);
    for saved in routes(interfaces)?.iter().filter(|route| route.saved) {
        if !(saved.route.is_gateway_only() && implied.iter().any(|implied| saved.covers(implied))) {
            settings.push(format!("route {}", saved.route));
        }
    }
    Ok(settings)
}
