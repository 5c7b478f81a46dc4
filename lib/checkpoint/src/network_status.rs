//! `network.status`: the addresses a container has, as podman writes them beside a checkpoint.
//!
//! The form is podman's `map[string]StatusBlock` (containers/common, `libnetwork/types/network.go`;
//! the same in podman 4.0 to 5.8 and in netavark's answer to `setup`):
//!
//! ```json
//! { "NETWORK": { "interfaces": { "eth0": { "subnets": [ { "ipnet": "10.1.0.5/24", "gateway": "10.1.0.1" } ],
//!                                          "mac_address": "02:00:00:00:00:05" } },
//!                "dns_server_ips": [ "10.1.0.1" ], "dns_search_domains": [ "dns.podman" ] } }
//! ```
//!
//! A container without a network of its own (`--network none`, `host`, `ns:PATH`) has the four bytes `null`.
//! Reading is strict where Go is lenient: podman takes a status it cannot read for no status at all, logs that
//! at level Info and restores the container with another address. Unknown keys survive.

mod mac;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value};

use crate::json;

pub use mac::Mac;

/// All networks of one container by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetworkStatus {
    /// The networks, in the order of their names, which is also the order in the file.
    pub networks: BTreeMap<String, StatusBlock>,
}

/// What a container has on one network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusBlock {
    /// The container's interfaces by name; nearly always one.
    pub interfaces: BTreeMap<String, NetInterface>,
    /// The DNS servers of this network.
    pub dns_server_ips: Vec<IpAddr>,
    /// The search domains of this network.
    pub dns_search_domains: Vec<String>,
    /// Keys this version does not know.
    pub unknown: Map<String, Value>,
}

/// One interface of the container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetInterface {
    /// Its addresses.
    pub subnets: Vec<NetAddress>,
    /// Its hardware address.
    pub mac_address: Option<Mac>,
    /// Keys this version does not know.
    pub unknown: Map<String, Value>,
}

/// One address of an interface.
#[derive(Clone, Debug, PartialEq)]
pub struct NetAddress {
    /// The interface's own address (not the network's) with the length of its prefix.
    pub ipnet: IpNet,
    /// The gateway of the subnet.
    pub gateway: Option<IpAddr>,
    /// Keys this version does not know.
    pub unknown: Map<String, Value>,
}

impl NetAddress {
    /// An address as netavark or a CNI plugin reports it.
    pub fn new(ipnet: IpNet, gateway: Option<IpAddr>) -> NetAddress {
        NetAddress { ipnet, gateway, unknown: Map::new() }
    }
}

/// A value that is no network status, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    place: Vec<String>,
    cause: String,
}

impl Malformed {
    /// A complaint about the value itself; [`within`](Malformed::within) adds where it stands.
    pub fn new(cause: impl Into<String>) -> Malformed {
        Malformed { place: Vec::new(), cause: cause.into() }
    }

    /// The same complaint, said of something inside `place`.
    #[must_use]
    pub fn within(mut self, place: impl Into<String>) -> Malformed {
        self.place.insert(0, place.into());
        self
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Malformed {}

impl NetworkStatus {
    /// Reads the bytes of a `network.status`; `None` is the `null` of a container without a network.
    ///
    /// # Errors
    /// When the bytes are not one JSON document with unique keys, or a known key has a value of the wrong kind.
    /// Whether an address can be used is not judged here.
    pub fn parse(bytes: &[u8]) -> Result<Option<NetworkStatus>, Malformed> {
        NetworkStatus::from_value(json::document(bytes).map_err(|e| Malformed::new(e.to_string()))?)
    }

    /// The same for a document that is read already.
    ///
    /// # Errors
    /// As [`parse`](NetworkStatus::parse).
    pub fn from_value(value: Value) -> Result<Option<NetworkStatus>, Malformed> {
        let networks = match value {
            Value::Null => return Ok(None),
            Value::Object(networks) => networks,
            other => return Err(Malformed::new(format!("not a network status, but {}", kind(&other)))),
        };
        let networks = networks
            .into_iter()
            .map(|(name, block)| {
                let block = status_block(block).map_err(|e| e.within(format!("network {name}")))?;
                Ok((name, block))
            })
            .collect::<Result<_, _>>()?;
        Ok(Some(NetworkStatus { networks }))
    }

    /// The document podman writes: its key order, empty lists left out.
    pub fn to_value(&self) -> Value {
        Value::Object(self.networks.iter().map(|(name, block)| (name.clone(), block.to_value())).collect())
    }
}

/// The bytes podman writes for `status`: indented by two, no newline at the end.
pub fn to_bytes(status: Option<&NetworkStatus>) -> Vec<u8> {
    let value = status.map_or(Value::Null, NetworkStatus::to_value);
    format!("{value:#}").into_bytes()
}

impl StatusBlock {
    fn to_value(&self) -> Value {
        let mut out = Map::new();
        if !self.interfaces.is_empty() {
            let interfaces = self.interfaces.iter().map(|(name, i)| (name.clone(), i.to_value())).collect();
            out.insert("interfaces".into(), Value::Object(interfaces));
        }
        if !self.dns_server_ips.is_empty() {
            let servers = self.dns_server_ips.iter().map(|ip| ip.to_string().into()).collect();
            out.insert("dns_server_ips".into(), Value::Array(servers));
        }
        if !self.dns_search_domains.is_empty() {
            out.insert("dns_search_domains".into(), self.dns_search_domains.clone().into());
        }
        out.extend(self.unknown.clone());
        Value::Object(out)
    }
}

impl NetInterface {
    fn to_value(&self) -> Value {
        let mut out = Map::new();
        if !self.subnets.is_empty() {
            out.insert("subnets".into(), self.subnets.iter().map(NetAddress::to_value).collect());
        }
        if let Some(mac) = &self.mac_address {
            out.insert("mac_address".into(), mac.to_string().into());
        }
        out.extend(self.unknown.clone());
        Value::Object(out)
    }
}

impl NetAddress {
    fn to_value(&self) -> Value {
        let mut out = Map::new();
        out.insert("ipnet".into(), self.ipnet.to_string().into());
        if let Some(gateway) = &self.gateway {
            out.insert("gateway".into(), gateway.to_string().into());
        }
        out.extend(self.unknown.clone());
        Value::Object(out)
    }
}

fn status_block(value: Value) -> Result<StatusBlock, Malformed> {
    let mut keys = object(value)?;
    let mut block = StatusBlock::default();
    for (name, value) in take_object(&mut keys, "interfaces")? {
        let interface = net_interface(value).map_err(|e| e.within(format!("interface {name}")))?;
        block.interfaces.insert(name, interface);
    }
    for value in take_array(&mut keys, "dns_server_ips")? {
        block.dns_server_ips.push(address(&value).map_err(|e| e.within("dns_server_ips"))?);
    }
    for value in take_array(&mut keys, "dns_search_domains")? {
        let domain = string(&value).map_err(|e| e.within("dns_search_domains"))?;
        block.dns_search_domains.push(domain.to_owned());
    }
    block.unknown = foreign(keys, &["interfaces", "dns_server_ips", "dns_search_domains"])?;
    Ok(block)
}

fn net_interface(value: Value) -> Result<NetInterface, Malformed> {
    let mut keys = object(value)?;
    let mut interface = NetInterface::default();
    for value in take_array(&mut keys, "subnets")? {
        interface.subnets.push(net_address(value)?);
    }
    if let Some(value) = keys.shift_remove("mac_address") {
        interface.mac_address = Mac::from_value(&value).map_err(|e| e.within("mac_address"))?;
    }
    interface.unknown = foreign(keys, &["subnets", "mac_address"])?;
    Ok(interface)
}

fn net_address(value: Value) -> Result<NetAddress, Malformed> {
    let mut keys = object(value).map_err(|e| e.within("subnets"))?;
    let Some(value) = keys.shift_remove("ipnet") else {
        return Err(Malformed::new("key ipnet is missing").within("subnets"));
    };
    let ipnet = string(&value).and_then(cidr).map_err(|e| e.within("ipnet"))?;
    let gateway = match keys.shift_remove("gateway") {
        None | Some(Value::Null) => None,
        Some(value) => Some(address(&value).map_err(|e| e.within("gateway"))?),
    };
    let unknown = foreign(keys, &["ipnet", "gateway"]).map_err(|e| e.within("subnets"))?;
    Ok(NetAddress { ipnet, gateway, unknown })
}

/// The keys that are left, if none of them is a known one in other letters: Go's reader does not tell `Interfaces` from
/// `interfaces` and takes the last of the two, so podman would configure what every check here has passed over.
///
/// # Errors
/// Names such a key.
fn foreign(keys: Map<String, Value>, known: &[&str]) -> Result<Map<String, Value>, Malformed> {
    // encoding/json folds as strings.EqualFold does: also the Kelvin sign to k, and the long s to s.
    let fold = |key: &str| key.to_lowercase().to_uppercase();
    match keys.keys().find_map(|key| Some((key, known.iter().find(|known| fold(known) == fold(key))?))) {
        Some((key, known)) => Err(Malformed::new(format!("key {key:?} would be {known} to other readers"))),
        None => Ok(keys),
    }
}

/// Reads `ADDRESS/PREFIX`: the prefix is mandatory, leading zeros, a zone and an IPv4-mapped address are refused.
///
/// # Errors
/// With the text and what is wrong with it.
pub fn cidr(text: &str) -> Result<IpNet, Malformed> {
    let wrong = |cause: &str| Malformed::new(format!("{text:?}: {cause}"));
    let Some((ip, prefix)) = text.split_once('/') else {
        return Err(wrong("no /PREFIX after the address"));
    };
    let ip: IpAddr = ip.parse().map_err(|_| wrong("not an IP address"))?;
    // ::ffff:10.1.0.5 is an IPv4 address in disguise: Go turns it into one and then has a prefix that is too long.
    if matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        return Err(wrong("an IPv4-mapped IPv6 address, write the IPv4 address"));
    }
    // u8::from_str would take "+24" too.
    let digits = prefix.bytes().all(|b| b.is_ascii_digit()) && !(prefix.len() > 1 && prefix.starts_with('0'));
    let length = prefix.parse::<u8>().ok().filter(|_| digits);
    length
        .and_then(|length| IpNet::new(ip, length).ok())
        .ok_or_else(|| wrong("not a prefix length of its family"))
}

/// Reads an address without a prefix.
///
/// # Errors
/// When `value` is not a string that holds one.
pub fn address(value: &Value) -> Result<IpAddr, Malformed> {
    let text = string(value)?;
    text.parse().map_err(|_| Malformed::new(format!("{text:?}: not an IP address")))
}

/// `value` as a string.
///
/// # Errors
/// When it is something else.
pub fn string(value: &Value) -> Result<&str, Malformed> {
    value.as_str().ok_or_else(|| Malformed::new(format!("a string is wanted, not {}", kind(value))))
}

/// `value` as an object.
///
/// # Errors
/// When it is something else.
pub fn object(value: Value) -> Result<Map<String, Value>, Malformed> {
    match value {
        Value::Object(map) => Ok(map),
        other => Err(Malformed::new(format!("an object is wanted, not {}", kind(&other)))),
    }
}

/// Takes the object under `key` out of `keys`; absent and null are empty.
///
/// # Errors
/// When it is something else.
pub fn take_object(keys: &mut Map<String, Value>, key: &str) -> Result<Map<String, Value>, Malformed> {
    match keys.shift_remove(key) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(value) => object(value).map_err(|e| e.within(key)),
    }
}

/// Takes the array under `key` out of `keys`; absent and null are empty.
///
/// # Errors
/// When it is something else.
pub fn take_array(keys: &mut Map<String, Value>, key: &str) -> Result<Vec<Value>, Malformed> {
    match keys.shift_remove(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => Ok(list),
        Some(other) => Err(Malformed::new(format!("an array is wanted, not {}", kind(&other))).within(key)),
    }
}

/// What a JSON value is, for messages.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
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
    fn what_podman_wrote_comes_out_byte_for_byte_with_unknown_keys() {
        let status = NetworkStatus::parse(TWO.as_bytes()).unwrap().unwrap();
        assert_eq!(String::from_utf8(to_bytes(Some(&status))).unwrap(), TWO);
    }

    #[test]
    fn null_is_no_network_and_not_an_empty_one() {
        assert_eq!(NetworkStatus::parse(b"null"), Ok(None));
        assert_eq!(to_bytes(None), b"null");
        assert_eq!(NetworkStatus::parse(b"{}"), Ok(Some(NetworkStatus::default())));
        assert_eq!(to_bytes(Some(&NetworkStatus::default())), b"{}");
    }

    #[test]
    fn netavarks_order_and_empty_lists_become_podmans() {
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
    fn a_bad_value_is_named_with_its_place() {
        for (text, message) in [
            (
                r#"{"n":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.1.0.5"}]}}}}"#,
                r#"network n: interface eth0: ipnet: "10.1.0.5": no /PREFIX after the address"#,
            ),
            (
                r#"{"n":{"interfaces":{"eth0":{"subnets":[{"gateway":"10.1.0.5"}]}}}}"#,
                "network n: interface eth0: subnets: key ipnet is missing",
            ),
            (r#"{"n":{"interfaces":[]}}"#, "network n: interfaces: an object is wanted, not an array"),
            (
                r#"{"n":{"dns_server_ips":["banana"]}}"#,
                r#"network n: dns_server_ips: "banana": not an IP address"#,
            ),
            (r#"{"n":5}"#, "network n: an object is wanted, not a number"),
            (
                r#"{"n":{"interfaces":{},"Interfaces":{"eth0":{}}}}"#,
                r#"network n: key "Interfaces" would be interfaces to other readers"#,
            ),
            (
                r#"{"n":{"interfaces":{"eth0":{"\u017fubnets":[]}}}}"#,
                "network n: interface eth0: key \"\u{17f}ubnets\" would be subnets to other readers",
            ),
            (
                r#"{"n":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.1.0.5/24","GATEWAY":"10.1.0.1"}]}}}}"#,
                r#"network n: interface eth0: subnets: key "GATEWAY" would be gateway to other readers"#,
            ),
            ("5", "not a network status, but a number"),
        ] {
            assert_eq!(NetworkStatus::parse(text.as_bytes()).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn prefixes_and_addresses_are_read_strictly() {
        for text in [
            "10.1.0.5/33",
            "10.1.0.5/+24",
            "10.1.0.5/024",
            "10.1.0.5/",
            "10.1.0.5/ 24",
            "010.1.0.5/24",
            "10.1.5/24",
            "fe80::1%eth0/64",
            "::ffff:10.1.0.5/120",
            "fd00::/129",
            "/24",
            "",
            "10.1.0.5/24/24",
            "10.1.0.5/256",
        ] {
            assert!(cidr(text).is_err(), "{text}");
        }
        for text in ["10.1.0.5/24", "10.1.0.5/0", "fd00::5/64", "192.0.2.7/32"] {
            assert_eq!(cidr(text).unwrap().to_string(), text);
        }
    }
}
