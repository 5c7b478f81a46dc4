//! The output of `netavark setup`: a map of StatusBlocks, or `{"error": "…"}`, both on standard
//! output.

use anyhow::bail;
use checkpoint::network_status::NetworkStatus;
use serde_json::Value;

/// Reads the output of netavark.
///
/// # Errors
/// Returns an error with netavark's own text if netavark failed, or an error if the document is
/// malformed.
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
    fn an_error_of_netavark_is_reported() {
        let error = status(json!({"error": "no static ips provided"})).unwrap_err();
        assert_eq!(error.to_string(), "netavark: no static ips provided");
    }

    #[test]
    fn a_network_may_have_the_name_error() {
        assert!(status(json!({"error": {"interfaces": {}}})).is_ok());
    }
}
