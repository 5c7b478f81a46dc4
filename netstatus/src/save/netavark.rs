//! What `netavark setup` prints: the map of StatusBlocks itself, or `{"error": "…"}`, both on standard output.

use anyhow::bail;
use checkpoint::network_status::NetworkStatus;
use serde_json::Value;

/// Reads netavark's answer.
///
/// # Errors
/// When netavark reports an error, with its text; or when this is no answer of netavark.
pub fn status(value: Value) -> anyhow::Result<Option<NetworkStatus>> {
    if let Some(Value::String(error)) = value.get("error") {
        bail!("netavark: {error}");
    }
    Ok(NetworkStatus::from_value(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_error_of_netavark_is_told_as_such() {
        let error = status(json!({"error": "no static ips provided"})).unwrap_err();
        assert_eq!(error.to_string(), "netavark: no static ips provided");
    }

    #[test]
    fn a_network_may_be_called_error() {
        assert!(status(json!({"error": {"interfaces": {}}})).is_ok());
    }
}
