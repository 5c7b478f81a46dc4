//! Conversion of a random status to another format and back must preserve every address, MAC and
//! name.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn netstatus(args: &[&str], stdin: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_netstatus"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?} < {stdin}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// An interface with at most one address of each family.
///
/// Each address consists of a host number and of whether there is a gateway. The subnets depend on
/// the number of the network, so that no two interfaces have the same address.
#[derive(Clone, Debug)]
struct Net {
    v4: Option<(u8, bool)>,
    v6: Option<(u16, bool)>,
    mac: bool,
    dns: bool,
    ifname: String,
}

fn net() -> impl Strategy<Value = Net> {
    let v4 = prop::option::of((2u8..255, any::<bool>()));
    let v6 = prop::option::of((2u16.., any::<bool>()));
    (v4, v6, any::<bool>(), any::<bool>(), "[a-z][a-z0-9_.-]{0,10}")
        .prop_map(|(v4, v6, mac, dns, ifname)| Net { v4, v6, mac, dns, ifname })
}

/// Returns networks by name, each with a number that makes its subnets, MAC and interface name
/// unique.
fn networks() -> impl Strategy<Value = BTreeMap<String, (usize, Net)>> {
    prop::collection::btree_map("net[a-zA-Z0-9_.-]{0,12}", net(), 1..6)
        .prop_map(|nets| nets.into_iter().enumerate().map(|(i, (name, net))| (name, (i, net))).collect())
}

fn status(nets: &BTreeMap<String, (usize, Net)>) -> Value {
    let mut out = Map::new();
    for (name, (i, net)) in nets {
        let mut subnets = Vec::new();
        if let Some((host, gateway)) = net.v4 {
            let mut address = json!({"ipnet": format!("10.{i}.0.{host}/24")});
            if gateway {
                address["gateway"] = format!("10.{i}.0.1").into();
            }
            subnets.push(address);
        }
        if let Some((host, gateway)) = net.v6 {
            let mut address = json!({"ipnet": format!("fd00:{i:x}::{host:x}/64").parse::<ipnet::IpNet>().unwrap().to_string()});
            if gateway {
                address["gateway"] =
                    format!("fd00:{i:x}::1").parse::<std::net::IpAddr>().unwrap().to_string().into();
            }
            subnets.push(address);
        }
        let mut interface = Map::new();
        if !subnets.is_empty() {
            interface.insert("subnets".into(), subnets.into());
        }
        if net.mac {
            interface.insert("mac_address".into(), format!("02:00:00:00:00:{i:02x}").into());
        }
        let mut block = json!({"interfaces": {format!("{}{i}", net.ifname): interface}});
        if net.dns {
            block["dns_server_ips"] = json!([format!("10.{i}.0.1")]);
            block["dns_search_domains"] = json!(["a.test"]);
        }
        out.insert(name.clone(), block);
    }
    Value::Object(out)
}

/// Interface, MAC and addresses with prefix of each network, which a restore must preserve.
type Facts = BTreeMap<String, (String, Option<String>, Vec<String>)>;

fn facts(status: &Value) -> Facts {
    let of_network = |(name, block): (&String, &Value)| {
        let (ifname, interface) = block["interfaces"].as_object().unwrap().iter().next().unwrap();
        let mac = interface["mac_address"].as_str().map(str::to_owned);
        let subnets = interface["subnets"].as_array().cloned().unwrap_or_default();
        let ips = subnets.iter().map(|a| a["ipnet"].as_str().unwrap().to_owned()).collect();
        (name.clone(), (ifname.clone(), mac, ips))
    };
    status.as_object().unwrap().iter().map(of_network).collect()
}

fn without_prefix(facts: &Facts) -> Facts {
    let bare = |ip: &String| ip.split('/').next().unwrap().to_owned();
    facts
        .iter()
        .map(|(n, (i, m, ips))| (n.clone(), (i.clone(), m.clone(), ips.iter().map(bare).collect())))
        .collect()
}

/// Returns descriptions of networks that fit the status.
fn network_info(status: &Value) -> Value {
    let of_network = |(name, (_, _, ips)): (&String, &(String, Option<String>, Vec<String>))| {
        let subnet = |ip: &String| {
            let net: ipnet::IpNet = ip.parse().unwrap();
            let first = net.trunc().hosts().next().unwrap();
            let first = if net.addr().is_ipv4() {
                first
            } else {
                net.trunc().hosts().find(|h| h.to_string().ends_with('1')).unwrap()
            };
            json!({"subnet": net.trunc().to_string(), "gateway": first.to_string()})
        };
        let subnets: Vec<Value> = ips.iter().map(subnet).collect();
        let ipam = if subnets.is_empty() { "none" } else { "host-local" };
        (
            name.clone(),
            json!({"name": name, "id": "00", "driver": "bridge", "internal": false, "dns_enabled": false,
            "ipv6_enabled": true, "subnets": subnets, "ipam_options": {"driver": ipam}}),
        )
    };
    facts(status).iter().map(of_network).collect::<Map<String, Value>>().into()
}

/// Returns the output of netavark for this input: each address with the prefix and the gateway of
/// the subnet at the same position.
fn netavark(input: &Value) -> Value {
    let of_network = |(name, entry): (&String, &Value)| {
        let info = &input["network_info"][name];
        let ips = entry["static_ips"].as_array().cloned().unwrap_or_default();
        let subnets = info["subnets"].as_array().unwrap();
        assert_eq!(ips.len(), subnets.len(), "one address for each subnet");
        let subnet = |(ip, subnet): (&Value, &Value)| {
            let length = subnet["subnet"].as_str().unwrap().split('/').next_back().unwrap().to_owned();
            json!({"gateway": subnet["gateway"], "ipnet": format!("{}/{length}", ip.as_str().unwrap())})
        };
        let list: Vec<Value> = ips.iter().zip(subnets).map(subnet).collect();
        let mac = entry["static_mac"].as_str().unwrap_or("");
        let ifname = entry["interface_name"].as_str().unwrap();
        (
            name.clone(),
            json!({"dns_search_domains": [], "dns_server_ips": [],
            "interfaces": {ifname: {"mac_address": mac, "subnets": list}}}),
        )
    };
    input["networks"].as_object().unwrap().iter().map(of_network).collect::<Map<String, Value>>().into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn status_to_status(nets in networks()) {
        let status = status(&nets);
        let text = format!("{status:#}");
        let saved = netstatus(&["save", "-q"], &text);
        prop_assert_eq!(parse(&saved), status);
        prop_assert_eq!(&netstatus(&["save", "-q"], &saved), &saved);
        prop_assert_eq!(&netstatus(&["restore", "--to", "status"], &saved), &saved);
    }

    #[test]
    fn status_to_netavark_to_status(nets in networks()) {
        let status = status(&nets);
        let info = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(info.path(), network_info(&status).to_string()).unwrap();
        let path = info.path().to_str().unwrap();
        let input = netstatus(
            &["restore", "-q", "--to", "netavark", "--container-id", "x", "--container-name", "y", "--network-info", path],
            &status.to_string(),
        );
        let back = parse(&netstatus(&["save", "-q"], &netavark(&parse(&input)).to_string()));
        prop_assert_eq!(facts(&back), facts(&status));
    }

    #[test]
    fn status_to_cni_to_status(nets in networks()) {
        let status = status(&nets);
        let mut back = Map::new();
        for (name, (ifname, ..)) in facts(&status) {
            let args = parse(&netstatus(&["restore", "--to", "cni", "--only", &name], &status.to_string()));
            let ips: Vec<Value> =
                args["ips"].as_array().into_iter().flatten().map(|ip| json!({"interface": 1, "address": ip})).collect();
            let result = json!({"cniVersion": "1.0.0", "ips": ips, "interfaces": [
                {"name": "br0"}, {"name": ifname, "mac": args["mac"].as_str().unwrap_or(""), "sandbox": "/run/netns/x"}]});
            let saved = parse(&netstatus(&["save", "-q", "--network", &name], &result.to_string()));
            back.extend(saved.as_object().unwrap().clone());
        }
        prop_assert_eq!(facts(&back.into()), facts(&status));
    }

    #[test]
    fn status_to_podman(nets in networks()) {
        let status = status(&nets);
        let mut back = Facts::new();
        for line in netstatus(&["restore", "--to", "podman"], &status.to_string()).lines() {
            let (name, options) = line.strip_prefix("--network=").unwrap().split_once(':').unwrap();
            let (mut ifname, mut mac, mut ips) = (String::new(), None, Vec::new());
            for option in options.split(',') {
                match option.split_once('=').unwrap() {
                    ("ip" | "ip6", ip) => ips.push(ip.to_owned()),
                    ("mac", value) => mac = Some(value.to_owned()),
                    ("interface_name", value) => ifname = value.to_owned(),
                    other => panic!("{other:?}"),
                }
            }
            back.insert(name.to_owned(), (ifname, mac, ips));
        }
        prop_assert_eq!(back, without_prefix(&facts(&status)));
    }

    #[test]
    fn status_to_ip_batch(nets in networks()) {
        let status = status(&nets);
        let mut macs = BTreeMap::new();
        let mut ips: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in netstatus(&["restore", "--to", "ip-batch"], &status.to_string()).lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["link", "set", "dev", name, "address", mac] => { macs.insert(name.to_owned(), mac.to_owned()); }
                ["addr", "replace", ip, "dev", name, ..] => ips.entry(name.to_owned()).or_default().push(ip.to_owned()),
                _ => {}
            }
        }
        for (ifname, mac, expected) in facts(&status).into_values() {
            prop_assert_eq!(macs.remove(&ifname), mac);
            prop_assert_eq!(ips.remove(&ifname).unwrap_or_default(), expected);
        }
        prop_assert!(macs.is_empty() && ips.is_empty());
    }

    /// No input may cause a panic or an internal error.
    #[test]
    fn any_input_ends_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..344) {
        let valid = include_bytes!("data/podman/one.network.status");
        let mut corrupted = valid.to_vec();
        corrupted.splice(cut.min(valid.len())..(cut + bytes.len() / 8).min(valid.len()), bytes.iter().copied().take(4));
        for input in [&bytes, &corrupted] {
            let mut child = Command::new(env!("CARGO_BIN_EXE_netstatus")).arg("save")
                .stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(input).unwrap();
            let output = child.wait_with_output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            prop_assert!(matches!(output.status.code(), Some(0..=2)), "{stderr}");
            prop_assert!(!stderr.contains("internal error"), "{stderr}");
            prop_assert!(output.status.success() || output.stdout.is_empty());
        }
    }
}
