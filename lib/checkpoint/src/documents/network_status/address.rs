//! IP addresses as a network status has them.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;
use strict_json::FieldError;
use strict_json::field::string;

/// Parses `ADDRESS/PREFIX`. The prefix is mandatory; leading zeros, a zone and IPv4-mapped
/// addresses are rejected.
///
/// # Errors
/// Returns an error with the text and its fault.
pub fn cidr(text: &str) -> Result<IpNet, FieldError> {
    let wrong = |cause: &str| FieldError::new(format!("{text:?}: {cause}"));
    let Some((ip, prefix)) = text.split_once('/') else {
        return Err(wrong("no /PREFIX after the address"));
    };
    let ip: IpAddr = ip.parse().map_err(|_| wrong("not an IP address"))?;
    // Go converts ::ffff:10.1.0.5 to an IPv4 address, for which the prefix is then too long.
    if matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        return Err(wrong("an IPv4-mapped IPv6 address, write the IPv4 address"));
    }
    // u8::from_str would accept "+24" too.
    let digits = prefix.bytes().all(|b| b.is_ascii_digit()) && !(prefix.len() > 1 && prefix.starts_with('0'));
    let length = prefix.parse::<u8>().ok().filter(|_| digits);
    length
        .and_then(|length| IpNet::new(ip, length).ok())
        .ok_or_else(|| wrong("not a prefix length of its family"))
}

/// Parses an address without a prefix.
///
/// # Errors
/// Returns an error if `value` is not a string with an IP address.
pub fn address(value: &Value) -> Result<IpAddr, FieldError> {
    let text = string(value)?;
    text.parse().map_err(|_| FieldError::new(format!("{text:?}: not an IP address")))
}

#[cfg(test)]
mod tests {
    use super::*;

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
