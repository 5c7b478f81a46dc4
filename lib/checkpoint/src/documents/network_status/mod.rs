//! `network.status`: the addresses of a container, which podman writes next to a checkpoint.
//!
//! The format is podman's `map[string]StatusBlock` (containers/common,
//! `libnetwork/types/network.go`). It is the same in podman 4.0 to 5.8 and in netavark's answer to
//! `setup`:
//!
//! ```json
//! { "NETWORK": { "interfaces": { "eth0": { "subnets": [ { "ipnet": "10.1.0.5/24", "gateway": "10.1.0.1" } ],
//!                                          "mac_address": "02:00:00:00:00:05" } },
//!                "dns_server_ips": [ "10.1.0.1" ], "dns_search_domains": [ "dns.podman" ] } }
//! ```
//!
//! The document of a container without its own network (`--network none`, `host`, `ns:PATH`) is
//! `null`. This reader is stricter than Go's: if podman cannot read a status, it treats the status
//! as absent, logs that at level Info, and restores the container with another address. Unknown
//! keys are preserved.

mod address;
mod mac;
mod read;
mod types;
mod write;

use serde_json::Value;
use strict_json::field::unexpected;

pub use address::{address, cidr};
pub use mac::Mac;
pub use strict_json::FieldError as Malformed;
pub use strict_json::field::{kind, object, string, take_array, take_object};
pub use types::{NetAddress, NetInterface, NetworkStatus, StatusBlock};

impl NetworkStatus {
    /// Parses the bytes of a `network.status`. Returns `None` for `null`, the status of a container
    /// without a network.
    ///
    /// # Errors
    /// Returns an error if the bytes are not one JSON document with unique keys, or if a known key
    /// has a value of the wrong type. Whether an address is usable is not checked.
    pub fn parse(bytes: &[u8]) -> Result<Option<NetworkStatus>, Malformed> {
        let value = strict_json::document(bytes).map_err(|e| Malformed::new(e.to_string()))?;
        NetworkStatus::from_value(value)
    }

    /// Reads a status from a parsed document, as [`parse`](NetworkStatus::parse) does.
    ///
    /// # Errors
    /// Returns an error if a known key has a value of the wrong type.
    pub fn from_value(value: Value) -> Result<Option<NetworkStatus>, Malformed> {
        let networks = match value {
            Value::Null => return Ok(None),
            Value::Object(networks) => networks,
            other => return Err(unexpected("a network status", &other)),
        };
        let networks = networks
            .into_iter()
            .map(|(name, block)| {
                let block = read::status_block(block).map_err(|e| e.within(format!("network {name}")))?;
                Ok((name, block))
            })
            .collect::<Result<_, _>>()?;
        Ok(Some(NetworkStatus { networks }))
    }

    /// Returns the document as podman writes it: with podman's order of keys and without empty
    /// lists.
    pub fn to_value(&self) -> Value {
        let blocks = self.networks.iter().map(|(name, block)| (name.clone(), write::status_block(block)));
        Value::Object(blocks.collect())
    }
}

/// Returns the bytes that podman writes for `status`: indented by two spaces, without a newline at
/// the end.
pub fn to_bytes(status: Option<&NetworkStatus>) -> Vec<u8> {
    let value = status.map_or(Value::Null, NetworkStatus::to_value);
    format!("{value:#}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"{
  "agdn1": {
    "interfaces": {
      "eth0": {
        "subnets": [
          {
            "ipnet": "10.99.1.50/24",
            "gateway": "10.99.1.1"
          },
          {
            "ipnet": "fd99::50/64"
          }
        ],
        "mac_address": "02:99:00:00:00:50",
        "x-mtu": 9000
      }
    },
    "dns_server_ips": [
      "10.99.1.1"
    ],
    "dns_search_domains": [
      "dns.podman"
    ],
    "x-later": {}
  }
}"#;

    #[test]
    fn podmans_bytes_and_unknown_keys_are_preserved() {
        let status = NetworkStatus::parse(TWO.as_bytes()).unwrap().unwrap();
        assert_eq!(String::from_utf8(to_bytes(Some(&status))).unwrap(), TWO);
    }

    #[test]
    fn null_differs_from_an_empty_status() {
        assert_eq!(NetworkStatus::parse(b"null"), Ok(None));
        assert_eq!(to_bytes(None), b"null");
        assert_eq!(NetworkStatus::parse(b"{}"), Ok(Some(NetworkStatus::default())));
        assert_eq!(to_bytes(Some(&NetworkStatus::default())), b"{}");
    }

    #[test]
    fn netavarks_answer_is_written_in_podmans_form() {
        let netavark =
            br#"{"n":{"dns_search_domains":[],"dns_server_ips":[],"interfaces":{"eth0":{"mac_address":
            "C2-82-B5-B5-0E-FD","subnets":[{"gateway":null,"ipnet":"10.77.0.5/24"}]}}}}"#;
        let status = NetworkStatus::parse(netavark).unwrap().unwrap();
        assert_eq!(
            status.to_value().to_string(),
            r#"{"n":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.77.0.5/24"}],"mac_address":"c2:82:b5:b5:0e:fd"}}}}"#
        );
    }

    #[test]
    fn an_error_names_the_place_of_the_value() {
        for (text, message) in [
            (
                r#"{"n":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.1.0.5"}]}}}}"#,
                r#"network n: interface eth0: ipnet: "10.1.0.5": no /PREFIX after the address"#,
            ),
            (
                r#"{"n":{"interfaces":{"eth0":{"subnets":[{"gateway":"10.1.0.5"}]}}}}"#,
                "network n: interface eth0: subnets: key ipnet is missing",
            ),
            (r#"{"n":{"interfaces":[]}}"#, "network n: interfaces: expected an object, found an array"),
            (
                r#"{"n":{"dns_server_ips":["banana"]}}"#,
                r#"network n: dns_server_ips: "banana": not an IP address"#,
            ),
            (r#"{"n":5}"#, "network n: expected an object, found a number"),
            (
                r#"{"n":{"interfaces":{},"Interfaces":{"eth0":{}}}}"#,
                r#"network n: key "Interfaces": podman reads it as interfaces"#,
            ),
            (
                r#"{"n":{"interfaces":{"eth0":{"\u017fubnets":[]}}}}"#,
                "network n: interface eth0: key \"\u{17f}ubnets\": podman reads it as subnets",
            ),
            (
                r#"{"n":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.1.0.5/24","GATEWAY":"10.1.0.1"}]}}}}"#,
                r#"network n: interface eth0: subnets: key "GATEWAY": podman reads it as gateway"#,
            ),
            ("5", "expected a network status, found a number"),
        ] {
            assert_eq!(NetworkStatus::parse(text.as_bytes()).unwrap_err().to_string(), message, "{text}");
        }
    }
}
