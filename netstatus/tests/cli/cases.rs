//! The cases, one after the other.

/// One run of the tool.
pub struct Case {
    pub name: &'static str,
    pub args: &'static [&'static str],
    /// The text itself, or `@FILE` of the test data.
    pub stdin: &'static str,
    pub status: i32,
    pub stdout: Out,
    /// What standard error holds; nothing if empty.
    pub stderr: &'static str,
}

/// What standard output is.
#[derive(Debug)]
pub enum Out {
    Nothing,
    Is(&'static str),
    Has(&'static str),
    /// The input, with a newline at the end.
    Input,
    /// This document, whatever its layout.
    Json(&'static str),
}

use Out::{Has, Input, Is, Json, Nothing};

const fn ok(name: &'static str, args: &'static [&'static str], stdin: &'static str, stdout: Out) -> Case {
    Case { name, args, stdin, status: 0, stdout, stderr: "" }
}

/// A success with a warning.
const fn warns(
    name: &'static str,
    args: &'static [&'static str],
    stdin: &'static str,
    stdout: Out,
    stderr: &'static str,
) -> Case {
    Case { name, args, stdin, status: 0, stdout, stderr }
}

/// Bad input: status 1.
const fn bad(
    name: &'static str,
    args: &'static [&'static str],
    stdin: &'static str,
    stderr: &'static str,
) -> Case {
    Case { name, args, stdin, status: 1, stdout: Nothing, stderr }
}

/// A bad command line: status 2.
const fn usage(
    name: &'static str,
    args: &'static [&'static str],
    stdin: &'static str,
    stderr: &'static str,
) -> Case {
    Case { name, args, stdin, status: 2, stdout: Nothing, stderr }
}

const SAVE: &[&str] = &["save"];
const PODMAN: &[&str] = &["restore", "--to", "podman"];
const IP_BATCH: &[&str] = &["restore", "--to", "ip-batch"];
const STATUS: &[&str] = &["restore", "--to", "status"];

/// The status most cases start from.
const A: &str = r#"{"n1":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.1.0.5/24","gateway":"10.1.0.1"}],"mac_address":"02:00:00:00:00:05"}}}}"#;

/// A status of one network `n1` with these interfaces.
macro_rules! n1 {
    ($interfaces:expr) => {
        concat!(r#"{"n1":{"interfaces":{"#, $interfaces, r#"}}}"#)
    };
}

/// A status with one address.
macro_rules! ipnet {
    ($ipnet:literal) => {
        n1!(concat!(r#""eth0":{"subnets":[{"ipnet":""#, $ipnet, r#""}],"mac_address":"02:00:00:00:00:05"}"#))
    };
    ($ipnet:literal, $gateway:literal) => {
        n1!(concat!(
            r#""eth0":{"subnets":[{"ipnet":""#,
            $ipnet,
            r#"","gateway":""#,
            $gateway,
            r#""}],"mac_address":"02:00:00:00:00:05"}"#
        ))
    };
}

/// A status with one MAC.
macro_rules! mac {
    ($mac:literal) => {
        n1!(concat!(r#""eth0":{"subnets":[{"ipnet":"10.1.0.5/24"}],"mac_address":"#, $mac, "}"))
    };
}

/// A status with one interface of this name.
macro_rules! ifname {
    ($name:literal) => {
        n1!(concat!(
            "\"",
            $name,
            r#"":{"subnets":[{"ipnet":"10.1.0.5/24"}],"mac_address":"02:00:00:00:00:05"}"#
        ))
    };
}

/// A status with a network of this name.
macro_rules! network {
    ($name:literal) => {
        concat!("{\"", $name, r#"":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.1.0.5/24"}],"mac_address":"02:00:00:00:00:05"}}}}"#)
    };
}

/// A CNI result of one interface with these `ips`.
macro_rules! cni {
    ($ips:literal) => {
        concat!(
            r#"{"cniVersion":"1.0.0","interfaces":[{"name":"br0"},{"name":"v0","mac":"02:00:00:00:00:99"},"#,
            r#"{"name":"eth0","mac":"02:00:00:00:00:05","sandbox":"/run/netns/a"}],"ips":["#,
            $ips,
            "]}"
        )
    };
}

const TWO_INTERFACES: &str = r#"{"n1":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.1.0.5/24"}],"mac_address":"02:00:00:00:00:05"},
    "eth9":{"subnets":[{"ipnet":"10.1.0.6/24"}],"mac_address":"02:00:00:00:00:06"}}}}"#;

const ONE: &str = "@podman/one.network.status";

/// What netavark is told besides networks, in the order of the flags.
const ABOUT_ONE: &str = r#"{
  "container_id": "x",
  "container_name": "y",
  "container_hostname": "web-1.test",
  "port_mappings": [
    {
      "container_port": 80,
      "host_ip": "",
      "host_port": 8080,
      "protocol": "tcp",
      "range": 1
    },
    {
      "container_port": 53,
      "host_ip": "::1",
      "host_port": 5300,
      "protocol": "udp",
      "range": 2
    }
  ],
  "dns_servers": [
    "192.0.2.53",
    "2001:db8::53"
  ],
  "networks": {"#;

const PORT_REPLACED: &str = r#""port_mappings": [
    {
      "container_port": 90,
      "host_ip": "127.0.0.1",
      "host_port": 9000,
      "protocol": "sctp",
      "range": 1
    }
  ],"#;

/// --publish with this value.
macro_rules! publish {
    ($value:literal) => {
        ["restore", "--to", "netavark", "--publish", $value]
    };
}

const DUAL: &str = "@netavark/dualstack.status.json";
const TO_NETAVARK: &[&str] = &["restore", "--to", "netavark", "--base", "netavark/dualstack.in.json"];

pub const CASES: &[Case] = &[
    // save: network.status and netavark
    ok(
        "2 podman's key order, empty lists dropped",
        SAVE,
        DUAL,
        Is("{
  \"agdnet\": {
    \"interfaces\": {
      \"eth0\": {
        \"subnets\": [
          {
            \"ipnet\": \"10.77.0.5/24\",
            \"gateway\": \"10.77.0.1\"
          },
          {
            \"ipnet\": \"fd77::5/64\",
            \"gateway\": \"fd77::1\"
          }
        ],
        \"mac_address\": \"c2:82:b5:b5:0e:fd\"
      }
    }
  }
}
"),
    ),
    ok("3 null stays null", SAVE, "null", Is("null\n")),
    bad("3b null with --require", &["save", "--require"], "null", "netstatus: error: no networks\n"),
    bad("3c {} with --require", &["save", "--require"], "{}", "no networks"),
    ok("4 {} stays {}", SAVE, "{}", Is("{}\n")),
    ok("4b a network without interfaces", SAVE, r#"{"n":{}}"#, Is("{\n  \"n\": {}\n}\n")),
    bad(
        "8 netavark's error",
        SAVE,
        r#"{"error":"no static ips provided"}"#,
        "netstatus: error: standard input: netavark: no static ips provided\n",
    ),
    bad(
        "8b netavark's error with --from",
        &["save", "--from", "netavark"],
        r#"{"error":"x"}"#,
        "netavark: x",
    ),
    bad(
        "8c an error is no status",
        &["save", "--from", "status"],
        r#"{"error":"x"}"#,
        "network error: expected an object, found a string",
    ),
    ok("1 --from status", &["save", "--from", "status"], "@podman/one.network.status", Input),
    ok(
        "1b FILE instead of standard input",
        &["save", "podman/v6only.network.status"],
        "",
        Has("\"fd91:8::2/64\""),
    ),
    ok("1c - is standard input", &["save", "-"], "@podman/one.network.status", Input),
    bad(
        "1d a file that is not there",
        &["save", "nonexistent"],
        "",
        "nonexistent: No such file or directory",
    ),
    bad("1e a directory", &["save", "podman"], "", "podman: is a directory"),
    usage(
        "1f several files are for CNI",
        &["save", "podman/one.network.status", "podman/port.network.status"],
        "",
        "several files are allowed only for CNI results",
    ),
    usage(
        "1g --network does not rename",
        &["save", "--network", "x"],
        A,
        "this document contains the network names",
    ),
    usage("1h an unknown kind", &["save", "--from", "banana"], A, "invalid value 'banana'"),
    // save: CNI
    ok(
        "5 dual stack 0.4.0",
        &["save", "--network", "agdcni"],
        "@cni/result-0.4.0-dual.json",
        Json(
            r#"{"agdcni":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.77.0.10/24","gateway":"10.77.0.1"},{"ipnet":"fd77::2/64","gateway":"fd77::1"}],"mac_address":"06:10:d4:fa:22:f6"}}}}"#,
        ),
    ),
    ok(
        "5b dual stack 1.0.0",
        &["save", "--network", "agdcni"],
        "@cni/result-1.0.0-dual.json",
        Has("\"46:61:12:6d:c0:23\""),
    ),
    ok(
        "5c 0.3.1 with DNS",
        &["save", "--network", "n"],
        "@cni/result-0.3.1-ADD.json",
        Json(
            r#"{"n":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.77.0.2/24","gateway":"10.77.0.1"}],"mac_address":"6e:1d:1d:27:a0:d2"}},"dns_server_ips":["10.77.0.1"],"dns_search_domains":["x.test"]}}"#,
        ),
    ),
    ok(
        "5d the static plugin's gateway stands in a route",
        &["save", "--network", "n"],
        "@cni/result-1.0.0-static.json",
        Json(
            r#"{"n":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.77.0.44/24","gateway":"10.77.0.1"},{"ipnet":"fd77::44/64"}],"mac_address":"02:77:00:00:00:44"}}}}"#,
        ),
    ),
    ok(
        "5e an ip without index goes to the only interface",
        &["save", "--network", "n"],
        cni!(r#"{"address":"10.1.0.5/24"}"#),
        Has("10.1.0.5/24"),
    ),
    ok(
        "5f an ip of the host's side is not the container's",
        &["save", "--network", "n"],
        cni!(r#"{"interface":2,"address":"10.1.0.5/24"},{"interface":0,"address":"10.1.0.1/24"}"#),
        Json(A_WITHOUT_GATEWAY),
    ),
    ok(
        "5g CNI 1.1.0",
        &["save", "--network", "n1"],
        r#"{"cniVersion":"1.1.0","interfaces":[{"name":"eth0","mac":"02:00:00:00:00:05","mtu":1500,"sandbox":"/a","socketPath":"","pciID":""}],"ips":[{"interface":0,"address":"10.1.0.5/24","gateway":"10.1.0.1"}],"routes":[{"dst":"0.0.0.0/0","mtu":1400,"priority":5}]}"#,
        Json(A),
    ),
    warns(
        "5h a result without a MAC",
        &["save", "--network", "n"],
        r#"{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/a"}],"ips":[{"interface":0,"address":"10.1.0.5/24"}]}"#,
        Has("10.1.0.5/24"),
        "interface eth0: the result has no MAC",
    ),
    usage(
        "6 0.2.0 does not name the interface",
        &["save", "--network", "n"],
        "@cni/result-0.2.0-ADD.json",
        "add --ifname IF",
    ),
    bad(
        "6b 0.2.0 has no MAC",
        &["save", "--network", "n", "--ifname", "eth0"],
        "@cni/result-0.2.0-ADD.json",
        "a result of CNI 0.2.0 has no MAC",
    ),
    ok(
        "6c 0.2.0 with what it lacks",
        &["save", "--network", "n", "--ifname", "eth0", "--mac", "02:00:00:00:00:05"],
        "@cni/result-0.2.0-ADD.json",
        Json(
            r#"{"n":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.77.0.3/24","gateway":"10.77.0.1"}],"mac_address":"02:00:00:00:00:05"}},"dns_server_ips":["10.77.0.1"],"dns_search_domains":["x.test"]}}"#,
        ),
    ),
    bad(
        "7 CNI's error",
        &["save", "--network", "n"],
        "@cni/result-1.1.0-ADD.json",
        "CNI plugin: incompatible CNI versions (1): config is",
    ),
    bad(
        "7b CNI's error without a name",
        SAVE,
        r#"{"code":999,"msg":"no addresses"}"#,
        "CNI plugin: no addresses (999)\n",
    ),
    bad(
        "9 an index out of range",
        &["save", "--network", "n"],
        cni!(r#"{"interface":7,"address":"10.1.0.5/24"}"#),
        "ips[0]: interface index 7 out of range",
    ),
    bad(
        "9b a negative index",
        &["save", "--network", "n"],
        cni!(r#"{"interface":-1,"address":"10.1.0.5/24"}"#),
        "interface index -1 out of range",
    ),
    bad(
        "9c an index of 2^63",
        &["save", "--network", "n"],
        cni!(r#"{"interface":9223372036854775808,"address":"10.1.0.5/24"}"#),
        "out of range",
    ),
    bad(
        "9d an ip without prefix",
        &["save", "--network", "n"],
        cni!(r#"{"interface":2,"address":"10.1.0.5"}"#),
        "ips[0]: address: \"10.1.0.5\": no /PREFIX",
    ),
    bad(
        "9e version and address disagree",
        &["save", "--network", "n"],
        cni!(r#"{"interface":2,"version":"6","address":"10.1.0.5/24"}"#),
        "version is \"6\", but the address is 10.1.0.5/24",
    ),
    bad(
        "9f nothing in a sandbox",
        &["save", "--network", "n"],
        r#"{"cniVersion":"1.0.0","interfaces":[{"name":"br0"}]}"#,
        "no interface has a sandbox",
    ),
    bad(
        "9g a CNI version from the future",
        &["save", "--network", "n"],
        r#"{"cniVersion":"2.0.0"}"#,
        "unsupported CNI version \"2.0.0\"",
    ),
    bad(
        "9h an interface twice",
        &["save", "--network", "n"],
        r#"{"cniVersion":"1.0.0","interfaces":[{"name":"e","sandbox":"/a","mac":"02:00:00:00:00:05"},{"name":"e","sandbox":"/a"}]}"#,
        "interface e occurs twice",
    ),
    bad(
        "9i an ip nobody can have",
        &["save", "--network", "n"],
        cni!(r#"{"interface":2,"address":"127.0.0.1/8"}"#),
        "not a usable host address",
    ),
    usage("10 no name for the network", SAVE, "@cni/result-1.0.0-dual.json", "network name missing"),
    usage(
        "10b two names for one result",
        &["save", "--network", "a", "--network", "b"],
        "@cni/result-1.0.0-dual.json",
        "1 CNI result without a network name, but 2 network names",
    ),
    ok("10c NAME=FILE", &["save", "--network", "agdcni=cni/result-1.0.0-dual.json"], "", Has("\"agdcni\"")),
    ok(
        "11 a libcni cache file names its network",
        SAVE,
        r#"{"kind":"cniCacheV1","containerId":"c","config":"","ifName":"eth0","networkName":"n1","netns":"/a","result":{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","mac":"02:00:00:00:00:05","sandbox":"/a"}],"ips":[{"interface":0,"address":"10.1.0.5/24","gateway":"10.1.0.1"}]}}"#,
        Json(A),
    ),
    bad(
        "11b another kind",
        SAVE,
        r#"{"kind":"cniCacheV9","result":{}}"#,
        "kind: expected \"cniCacheV1\", found \"cniCacheV9\"",
    ),
    warns(
        "11d a cache file of a plugin that tells the host's side only",
        SAVE,
        r#"{"kind":"cniCacheV1","containerId":"c","config":"","ifName":"eth0","networkName":"k8s-pod-network","result":
            {"cniVersion":"0.3.1","interfaces":[{"name":"cali1234"}],"ips":[{"version":"4","address":"192.0.2.5/32"}]}}"#,
        Json(r#"{"k8s-pod-network":{"interfaces":{"eth0":{"subnets":[{"ipnet":"192.0.2.5/32"}]}}}}"#),
        "interface eth0: the result has no MAC",
    ),
    ok(
        "11e such a result alone, with what it lacks",
        &["save", "-q", "--network", "n1", "--ifname", "eth0", "--mac", "02:00:00:00:00:05"],
        r#"{"cniVersion":"1.0.0","interfaces":[{"name":"cali1234"}],"ips":[{"address":"10.1.0.5/24","gateway":"10.1.0.1"}]}"#,
        Json(A),
    ),
    warns(
        "11f every address is the host's",
        &["save", "--network", "n1", "--ifname", "eth0", "--mac", "02:00:00:00:00:05"],
        r#"{"cniVersion":"1.0.0","interfaces":[{"name":"br0"}],"ips":[{"interface":0,"address":"10.1.0.1/24"}]}"#,
        Json(r#"{"n1":{"interfaces":{"eth0":{"mac_address":"02:00:00:00:00:05"}}}}"#),
        "10.1.0.1/24: assigned to interfaces of the host; the container has no address",
    ),
    bad(
        "11c a cache file without its network",
        SAVE,
        r#"{"kind":"cniCacheV1","ifName":"eth0","result":{}}"#,
        "key networkName is missing",
    ),
    ok(
        "12 podman 3's array",
        &["save", "--network", "podman"],
        "@podman/v3-array.json",
        Has("\"podman\": {"),
    ),
    usage(
        "13 two results, one name",
        &["save", "--network", "a"],
        r#"[{"cniVersion":"0.4.0","interfaces":[{"name":"eth0","mac":"02:00:00:00:00:05","sandbox":"/a"}]},{"cniVersion":"0.4.0","interfaces":[{"name":"eth1","mac":"02:00:00:00:00:06","sandbox":"/a"}]}]"#,
        "2 CNI results without a network name, but 1 network name\n",
    ),
    ok("13b an empty array of podman 3", SAVE, "[]", Is("null\n")),
    // restore: netavark
    bad(
        "16 no address for a subnet",
        TO_NETAVARK,
        r#"{"agdnet":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.77.0.5/24"}]}}}}"#,
        "network agdnet: no address for subnet fd77::/64",
    ),
    ok(
        "15 addresses in the order of the subnets",
        &["restore", "--to", "netavark", "--base", "netavark/dualstack.in.json", "-q"],
        r#"{"agdnet":{"interfaces":{"eth0":{"subnets":[{"ipnet":"fd77::5/64"},{"ipnet":"10.77.0.5/24"}],"mac_address":"02:00:00:00:00:05"}}}}"#,
        Has("\"static_ips\": [\n        \"10.77.0.5\",\n        \"fd77::5\"\n      ]"),
    ),
    bad(
        "17 two addresses in one subnet",
        TO_NETAVARK,
        r#"{"agdnet":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.77.0.5/24"},{"ipnet":"10.77.0.6/24"},{"ipnet":"fd77::5/64"}]}}}}"#,
        "2 addresses in subnet 10.77.0.0/24; netavark before 2.0 sets only one",
    ),
    ok(
        "17b two addresses for netavark 2",
        &[
            "restore",
            "--to",
            "netavark",
            "--base",
            "netavark/dualstack.in.json",
            "--netavark-version",
            "2.0.0",
            "-q",
        ],
        r#"{"agdnet":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.77.0.5/24"},{"ipnet":"10.77.0.6/24"},{"ipnet":"fd77::5/64"}]}}}}"#,
        Has("\"10.77.0.6\""),
    ),
    bad(
        "18 an address in no subnet",
        TO_NETAVARK,
        r#"{"agdnet":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.78.0.5/24"}]}}}}"#,
        "network agdnet: 10.78.0.5 is not in a subnet of this network (10.77.0.0/24, fd77::/64)",
    ),
    bad(
        "18b the gateway's own address",
        TO_NETAVARK,
        r#"{"agdnet":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.77.0.1/24"},{"ipnet":"fd77::5/64"}]}}}}"#,
        "10.77.0.1 is the gateway of this network",
    ),
    bad(
        "18c another prefix",
        TO_NETAVARK,
        r#"{"agdnet":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.77.0.5/16"},{"ipnet":"fd77::5/64"}]}}}}"#,
        "10.77.0.5/16: the prefix length differs from that of subnet 10.77.0.0/24",
    ),
    warns(
        "18d another gateway",
        TO_NETAVARK,
        r#"{"agdnet":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.77.0.5/24","gateway":"10.77.0.254"},{"ipnet":"fd77::5/64"}],"mac_address":"02:00:00:00:00:05"}}}}"#,
        Has("10.77.0.5"),
        "the gateway was 10.77.0.254, on the host it is 10.77.0.1",
    ),
    bad(
        "19 a network without description",
        TO_NETAVARK,
        A,
        "network n1: no description of this network; known: agdnet",
    ),
    bad(
        "20 netavark assigns no addresses",
        &["restore", "--to", "netavark", "--base", "netavark/dualstack.in.json", "--ignore-static-ip"],
        DUAL,
        "the status has no address, and netavark does not assign one",
    ),
    ok(
        "20b addresses of the command line, MAC kept",
        &[
            "restore",
            "--to",
            "netavark",
            "--base",
            "netavark/dualstack.in.json",
            "--ignore-static-ip",
            "--ip",
            "agdnet=10.77.0.9,fd77::9",
        ],
        DUAL,
        Has(
            "\"static_mac\": \"c2:82:b5:b5:0e:fd\",\n      \"static_ips\": [\n        \"10.77.0.9\",\n        \"fd77::9\"",
        ),
    ),
    ok(
        "21 --ignore-static-mac drops the MAC and nothing else",
        &["restore", "--to", "netavark", "--base", "netavark/dualstack.in.json", "--ignore-static-mac"],
        DUAL,
        Has("\"interface_name\": \"eth0\",\n      \"static_ips\": [\n        \"10.77.0.5\","),
    ),
    ok(
        "32 ipam none has no addresses",
        &[
            "restore",
            "--to",
            "netavark",
            "--container-id",
            "x",
            "--container-name",
            "y",
            "--network-info",
            "none.json",
        ],
        r#"{"agdmvnone":{"interfaces":{"eth0":{"mac_address":"7a:00:00:00:00:05"}}}}"#,
        Json(
            r#"{"container_id":"x","container_name":"y","networks":{"agdmvnone":{"interface_name":"eth0","static_mac":"7a:00:00:00:00:05"}},"network_info":{"agdmvnone":{"name":"agdmvnone","id":"00","driver":"macvlan","network_interface":"mp0","internal":false,"dns_enabled":false,"ipv6_enabled":false,"ipam_options":{"driver":"none"}}}}"#,
        ),
    ),
    warns(
        "32b addresses of another ipam are left out, and said",
        &[
            "restore",
            "--to",
            "netavark",
            "--container-id",
            "x",
            "--container-name",
            "y",
            "--network-info",
            "none.json",
        ],
        r#"{"agdmvnone":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.1.0.5/24"}],"mac_address":"7a:00:00:00:00:05"}}}}"#,
        Has("static_mac"),
        "network agdmvnone: 10.1.0.5/24 left out: addresses come from the ipam driver none",
    ),
    usage(
        "14b netavark needs an id",
        &["restore", "--to", "netavark", "--network-info", "networks/aggn1.json"],
        "@podman/one.network.status",
        "netavark needs a container_id: add --container-id or --base",
    ),
    bad("14c null has nothing to restore", TO_NETAVARK, "null", "the container has no network to restore"),
    bad(
        "14d an empty status would make netavark do nothing",
        TO_NETAVARK,
        "{}",
        "the container has no network to restore",
    ),
    bad(
        "14e a network without an interface",
        TO_NETAVARK,
        r#"{"agdnet":{}}"#,
        "network agdnet: the status has no interface in this network",
    ),
    bad(
        "14f a MAC of 20 bytes",
        TO_NETAVARK,
        r#"{"agdnet":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.77.0.5/24"},{"ipnet":"fd77::5/64"}],"mac_address":"80:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:05"}}}}"#,
        "netavark supports only MACs of six bytes",
    ),
    warns(
        "14g a network of --base that is not in the status",
        &["restore", "--to", "netavark", "--base", "podman/twoboth.netavark-setup.in.json"],
        "@podman/one.network.status",
        Has("aggn1"),
        "network aggdual: left out: it is in --base, but not in the status",
    ),
    bad(
        "14h --base is no object",
        &["restore", "--to", "netavark", "--base", "podman/host.network.status"],
        DUAL,
        "--base: expected an object, found null",
    ),
    ok(
        "14i what no status knows, from the command line",
        &[
            "restore",
            "--to",
            "netavark",
            "--network-info",
            "networks/aggn1.json",
            "--container-id",
            "x",
            "--container-name",
            "y",
            "--hostname",
            "web-1.test",
            "--publish",
            "8080:80",
            "--publish",
            "[::1]:5300-5301:53-54/udp",
            "--alias",
            "aggn1=db",
            "--alias",
            "aggn1=cache",
            "--dns",
            "192.0.2.53",
            "--dns",
            "2001:db8::53",
        ],
        ONE,
        Has(ABOUT_ONE),
    ),
    ok(
        "14j the command line takes the place of --base",
        &[
            "restore",
            "--to",
            "netavark",
            "--base",
            "podman/port.netavark-setup.in.json",
            "--publish",
            "127.0.0.1:9000:90/sctp",
            "--alias",
            "aggn1=only",
        ],
        "@podman/port.network.status",
        Has(PORT_REPLACED),
    ),
    ok(
        "14v an alias too",
        &[
            "restore",
            "--to",
            "netavark",
            "--base",
            "podman/port.netavark-setup.in.json",
            "--alias",
            "aggn1=only",
        ],
        "@podman/port.network.status",
        Has("\"aliases\": [\n        \"only\"\n      ]"),
    ),
    usage(
        "14k a port without that of the host",
        &publish!("80"),
        ONE,
        "expected [IP:]HOST:CONTAINER[/PROTOCOL]",
    ),
    usage("14l port 0", &publish!("0:80"), ONE, "expected a port, found \"0\""),
    usage(
        "14m ranges of different lengths",
        &publish!("80-82:80-81"),
        ONE,
        "3 ports of the host, but 2 of the container",
    ),
    usage("14n an IPv6 address without brackets", &publish!("::1:80:80"), ONE, "expected [IP:]HOST"),
    usage("14o a protocol without ports", &publish!("80:80/icmp"), ONE, "expected tcp, udp or sctp"),
    bad(
        "14p a port of the host twice",
        &[
            "restore",
            "--to",
            "netavark",
            "--base",
            "podman/one.netavark-setup.in.json",
            "--publish",
            "80-90:80-90",
            "--publish",
            "127.0.0.1:85:1",
        ],
        ONE,
        "--publish: port 85/tcp of the host is given twice",
    ),
    bad(
        "14q an alias for a network that is not there",
        &["restore", "--to", "netavark", "--base", "podman/one.netavark-setup.in.json", "--alias", "n7=db"],
        ONE,
        "network n7: named by --alias, but not in the status",
    ),
    bad(
        "14r an alias with a space",
        &[
            "restore",
            "--to",
            "netavark",
            "--base",
            "podman/one.netavark-setup.in.json",
            "--alias",
            "aggn1=a b",
        ],
        ONE,
        "only letters, digits",
    ),
    bad(
        "14s a hostname for the shell",
        &[
            "restore",
            "--to",
            "netavark",
            "--base",
            "podman/one.netavark-setup.in.json",
            "--hostname",
            "$(id)",
        ],
        ONE,
        "only letters, digits",
    ),
    usage(
        "14t --publish for podman",
        &["restore", "--to", "podman", "--publish", "80:80"],
        ONE,
        "--publish is valid only with --to netavark",
    ),
    usage(
        "14u --dns is no name",
        &["restore", "--to", "netavark", "--dns", "dns.test"],
        ONE,
        "invalid value 'dns.test'",
    ),
    bad(
        "45b a known key in other letters",
        SAVE,
        r#"{"n1":{"Interfaces":{"eth0":{"mac_address":"02:00:00:00:00:05"}}}}"#,
        "network n1: key \"Interfaces\": podman reads it as interfaces",
    ),
    // restore: what is changed
    ok(
        "22 --ignore-static-ip keeps MAC and interface",
        &["restore", "--to", "podman", "--ignore-static-ip"],
        A,
        Is("--network=n1:mac=02:00:00:00:00:05,interface_name=eth0\n"),
    ),
    ok(
        "22b --ignore-static-mac keeps the address",
        &["restore", "--to", "podman", "--ignore-static-mac"],
        A,
        Is("--network=n1:ip=10.1.0.5,interface_name=eth0\n"),
    ),
    ok(
        "23 both flags",
        &["restore", "--to", "podman", "--ignore-static-ip", "--ignore-static-mac"],
        A,
        Is("--network=n1:interface_name=eth0\n"),
    ),
    ok(
        "23b --ip without a prefix takes that of the status",
        &["restore", "--to", "status", "--ip", "n1=10.1.0.9"],
        A,
        Has("\"ipnet\": \"10.1.0.9/24\",\n            \"gateway\": \"10.1.0.1\""),
    ),
    bad(
        "23c --ip in a subnet nobody knows",
        &["restore", "--to", "status", "--ip", "n1=10.9.0.9"],
        A,
        "10.9.0.9: no known subnet contains this address",
    ),
    ok(
        "23d --ip replaces its own family only",
        &["restore", "--to", "podman", "--ip", "agdnet=10.77.0.9"],
        DUAL,
        Is("--network=agdnet:ip6=fd77::5,ip=10.77.0.9,mac=c2:82:b5:b5:0e:fd,interface_name=eth0\n"),
    ),
    ok(
        "23d2 --ip given twice gives both addresses",
        &["restore", "--to", "podman", "--ip", "n1=10.1.0.9", "--ip", "n1=10.1.0.8"],
        A,
        Is("--network=n1:ip=10.1.0.9,ip=10.1.0.8,mac=02:00:00:00:00:05,interface_name=eth0\n"),
    ),
    bad(
        "23d3 --ip of IPv6 in a subnet nobody knows",
        &["restore", "--to", "status", "--ip", "n1=fd00::9"],
        A,
        "add the prefix length: fd00::9/64",
    ),
    usage(
        "23d4 two names for one network",
        &["restore", "--to", "status", "--rename", "n1=a", "--rename", "n1=b"],
        A,
        "--rename n1: given twice",
    ),
    usage(
        "23d5 two MACs for one network",
        &["restore", "--to", "status", "--mac", "n1=02:00:00:00:00:01", "--mac", "n1=02:00:00:00:00:02"],
        A,
        "--mac n1: given twice",
    ),
    bad(
        "23e --ip of the network's own address",
        &["restore", "--to", "podman", "--ip", "n1=10.1.0.0/24"],
        A,
        "the address of the network itself",
    ),
    ok(
        "23f --mac, --ifname and --rename",
        &[
            "restore",
            "--to",
            "podman",
            "--mac",
            "n1=02-00-00-00-00-09",
            "--ifname",
            "n1=data0",
            "--rename",
            "n1=n2",
        ],
        A,
        Is("--network=n2:ip=10.1.0.5,mac=02:00:00:00:00:09,interface_name=data0\n"),
    ),
    bad(
        "23g a network that is not there",
        &["restore", "--to", "podman", "--rename", "nx=n2"],
        A,
        "network nx: not in the status, which has only n1",
    ),
    bad(
        "23h two networks of one name",
        &["restore", "--to", "status", "--rename", "aggdual=aggn1"],
        "@podman/twoboth.network.status",
        "--rename to aggn1, which is the name of another network",
    ),
    ok(
        "23i --only",
        &["restore", "--to", "podman", "--only", "aggn1"],
        "@podman/twoboth.network.status",
        Is("--network=aggn1:ip=10.91.1.53,mac=02:91:00:00:00:53,interface_name=eth0\n"),
    ),
    bad(
        "23j --mac of a group",
        &["restore", "--to", "podman", "--mac", "n1=01:00:5e:00:00:01"],
        A,
        "a multicast address",
    ),
    usage("23k --mac that is none", &["restore", "--to", "podman", "--mac", "n1=zz"], A, "not a MAC address"),
    bad(
        "23l --ip for a network with two interfaces",
        &["restore", "--to", "status", "--ip", "n1=10.1.0.9"],
        TWO_INTERFACES,
        "several interfaces (eth0, eth9)",
    ),
    usage(
        "23m --base for podman",
        &["restore", "--to", "podman", "--base", "none.json"],
        A,
        "--base is valid only with --to netavark or cni",
    ),
    // restore: podman, CNI, ip
    ok(
        "24 two networks, an interface name each",
        PODMAN,
        "@podman/twoboth.network.status",
        Is(
            "--network=aggdual:ip=10.91.2.6,ip6=fd91:2::6,mac=ba:60:6e:3a:c8:29,interface_name=eth1\n--network=aggn1:ip=10.91.1.53,mac=02:91:00:00:00:53,interface_name=eth0\n",
        ),
    ),
    ok(
        "24b NUL instead of newline",
        &["restore", "--to", "podman", "-0"],
        A,
        Is("--network=n1:ip=10.1.0.5,mac=02:00:00:00:00:05,interface_name=eth0\0"),
    ),
    bad(
        "25 podman would take one of two interfaces",
        PODMAN,
        TWO_INTERFACES,
        "network n1: several interfaces (eth0, eth9), but podman supports one for each network",
    ),
    bad(
        "25b so would netavark",
        &["restore", "--to", "netavark", "--base", "netavark/dualstack.in.json", "--rename", "n1=agdnet"],
        TWO_INTERFACES,
        "several interfaces (eth0, eth9), but netavark supports one",
    ),
    ok(
        "25c ip has both",
        &["restore", "--to", "ip-batch", "-q"],
        TWO_INTERFACES,
        Is(
            "link set dev lo up\nlink set dev eth0 address 02:00:00:00:00:05\nlink set dev eth0 up\naddr replace 10.1.0.5/24 dev eth0\nlink set dev eth9 address 02:00:00:00:00:06\nlink set dev eth9 up\naddr replace 10.1.0.6/24 dev eth9\n",
        ),
    ),
    bad(
        "25d a CNI configuration is for one interface",
        &["restore", "--to", "cni"],
        TWO_INTERFACES,
        "several interfaces (eth0, eth9), but a CNI configuration is for one interface",
    ),
    ok(
        "25e which is chosen",
        &["restore", "--to", "cni", "--interface", "eth9"],
        TWO_INTERFACES,
        Json(r#"{"mac":"02:00:00:00:00:06","ips":["10.1.0.6/24"]}"#),
    ),
    ok(
        "26 CNI_ARGS",
        &["restore", "--to", "cni-args"],
        A,
        Is("CNI_IFNAME=eth0 CNI_ARGS='IgnoreUnknown=1;IP=10.1.0.5;MAC=02:00:00:00:00:05'\n"),
    ),
    bad(
        "27 CNI_ARGS holds one address",
        &["restore", "--to", "cni-args"],
        DUAL,
        "CNI_ARGS holds one address, found 2",
    ),
    ok(
        "27b without the address there is room",
        &["restore", "--to", "cni-args", "--ignore-static-ip"],
        DUAL,
        Is("CNI_IFNAME=eth0 CNI_ARGS='IgnoreUnknown=1;MAC=c2:82:b5:b5:0e:fd'\n"),
    ),
    warns(
        "29 a plugin without capabilities",
        &["restore", "--to", "cni", "--base", "plain.conf"],
        A,
        Json(
            r#"{"cniVersion":"1.0.0","name":"n1","type":"bridge","args":{"cni":{"mac":"02:00:00:00:00:05","ips":["10.1.0.5/24"]}},"runtimeConfig":{}}"#,
        ),
        "--base does not declare the capability \"ips\"",
    ),
    bad(
        "29b a configuration of another network",
        &["restore", "--to", "cni", "--base", "cni/conf-1.0.0-dual.json"],
        A,
        "network agdcni: named by --base, but the status has only n1",
    ),
    bad(
        "29c a list without the capability",
        &["restore", "--to", "cni", "--base", "list.conflist"],
        A,
        "network n1: no plugin of the list has the capability \"mac\"",
    ),
    ok(
        "29d a list with it",
        &["restore", "--to", "cni", "--base", "list.conflist", "--ignore-static-mac"],
        A,
        Json(r#"{"ips":["10.1.0.5/24"]}"#),
    ),
    usage(
        "29e which network",
        &["restore", "--to", "cni"],
        "@podman/twoboth.network.status",
        "several networks (aggdual, aggn1): select one with --only",
    ),
    ok(
        "30 ip -batch",
        IP_BATCH,
        A,
        Is(
            "link set dev lo up\nlink set dev eth0 address 02:00:00:00:00:05\nlink set dev eth0 up\naddr replace 10.1.0.5/24 dev eth0\nroute replace default via 10.1.0.1 dev eth0 metric 100\n",
        ),
    ),
    ok(
        "30b IPv6 without duplicate address detection",
        IP_BATCH,
        DUAL,
        Has("addr replace fd77::5/64 dev eth0 nodad\n"),
    ),
    ok(
        "30c the second default route does not replace the first",
        IP_BATCH,
        "@podman/twoboth.network.status",
        Has(
            "route replace default via 10.91.1.1 dev eth0 metric 100\nroute replace default via 10.91.2.1 dev eth1 metric 101\nroute replace default via fd91:2::1 dev eth1 metric 100\n",
        ),
    ),
    ok(
        "30d an internal network has no way out",
        &["restore", "--to", "ip-batch", "--network-info", "networks/aggint.json", "--rename", "n1=aggint"],
        A,
        Is(
            "link set dev lo up\nlink set dev eth0 address 02:00:00:00:00:05\nlink set dev eth0 up\naddr replace 10.1.0.5/24 dev eth0\n",
        ),
    ),
    warns("30e null", IP_BATCH, "null", Is("link set dev lo up\n"), "the container had no network"),
    warns("30f null for podman", PODMAN, "null", Nothing, "the container had no network"),
    ok("30g null as status", STATUS, "null", Is("null\n")),
    ok(
        "31 a gateway outside the prefix",
        &["restore", "--to", "ip-batch", "-q"],
        ipnet!("192.0.2.7/32", "10.1.0.1"),
        Has("route replace default via 10.1.0.1 dev eth0 metric 100 onlink\n"),
    ),
    // hostile values
    bad(
        "33a no prefix",
        SAVE,
        ipnet!("10.1.0.5"),
        "netstatus: error: standard input: network n1: interface eth0: ipnet: \"10.1.0.5\": no /PREFIX",
    ),
    bad("33b prefix 33", SAVE, ipnet!("10.1.0.5/33"), "\"10.1.0.5/33\": not a prefix length of its family"),
    bad("33c a leading zero", SAVE, ipnet!("010.1.0.5/24"), "\"010.1.0.5/24\": not an IP address"),
    bad(
        "33d the network",
        SAVE,
        ipnet!("10.1.0.0/24"),
        "netstatus: error: standard input: network n1: interface eth0: address 10.1.0.0/24: not a usable host address",
    ),
    bad("33e a zone", SAVE, ipnet!("fe80::1%eth0/64"), "not an IP address"),
    bad("33f an IPv4-mapped address", SAVE, ipnet!("::ffff:10.1.0.5/120"), "an IPv4-mapped IPv6 address"),
    bad("34a multicast", SAVE, ipnet!("224.0.0.1/24"), "not a usable host address: a multicast address"),
    bad("34b loopback", SAVE, ipnet!("127.0.0.2/8"), "not a usable host address: a loopback address"),
    bad("34c unspecified", SAVE, ipnet!("0.0.0.0/0"), "not a usable host address: the unspecified address"),
    bad(
        "34d broadcast",
        SAVE,
        ipnet!("10.1.0.255/24"),
        "not a usable host address: the broadcast address of the network",
    ),
    bad("34e prefix 0", SAVE, ipnet!("10.1.0.5/0"), "a prefix of length 0"),
    bad("34f the IPv6 network", SAVE, ipnet!("fd00::/64"), "the address of the network itself"),
    warns(
        "34g a subnet of its own",
        SAVE,
        ipnet!("192.0.2.7/32"),
        Has("192.0.2.7/32"),
        "the subnet 192.0.2.7/32 has only one address",
    ),
    bad(
        "35 the gateway's own address",
        SAVE,
        ipnet!("10.1.0.1/24", "10.1.0.1"),
        "the container itself has this address",
    ),
    bad(
        "36 a gateway of the other family",
        SAVE,
        ipnet!("10.1.0.5/24", "fd00::1"),
        "gateway fd00::1: expected a gateway of the same address family",
    ),
    bad(
        "36b a gateway with a prefix",
        SAVE,
        ipnet!("10.1.0.5/24", "10.1.0.1/24"),
        "gateway: \"10.1.0.1/24\": not an IP address",
    ),
    bad(
        "37a no hex",
        SAVE,
        mac!("\"zz:00:00:00:00:01\""),
        "mac_address: \"zz:00:00:00:00:01\": not a MAC address",
    ),
    bad("37b five bytes", SAVE, mac!("\"02:00:00:00:01\""), "not a MAC address"),
    bad("37c multicast", SAVE, mac!("\"01:00:5e:00:00:01\""), "MAC 01:00:5e:00:00:01: a multicast address"),
    bad("37d zero", SAVE, mac!("\"00:00:00:00:00:00\""), "all zero"),
    ok("37e dashes", SAVE, mac!("\"02-00-00-00-00-05\""), Has("\"02:00:00:00:00:05\"")),
    ok("37f dots", SAVE, mac!("\"0200.0000.0005\""), Has("\"02:00:00:00:00:05\"")),
    ok("37g base64", SAVE, mac!("\"AgAAAAAF\""), Has("\"02:00:00:00:00:05\"")),
    ok("37h an array of bytes", SAVE, mac!("[2,0,0,0,0,5]"), Has("\"02:00:00:00:00:05\"")),
    warns(
        "38 an empty MAC",
        SAVE,
        mac!("\"\""),
        Is(
            "{\n  \"n1\": {\n    \"interfaces\": {\n      \"eth0\": {\n        \"subnets\": [\n          {\n            \"ipnet\": \"10.1.0.5/24\"\n          }\n        ]\n      }\n    }\n  }\n}\n",
        ),
        "network n1: interface eth0: no MAC address",
    ),
    bad("39a no interface name", SAVE, ifname!(""), "interface \"\": the name is empty"),
    bad("39b sixteen bytes", SAVE, ifname!("abcdefghijklmnop"), "longer than 15 bytes"),
    bad("39c a slash", SAVE, ifname!("a/b"), "'/' is not allowed in an interface name"),
    bad("39d ..", SAVE, ifname!(".."), "not a valid interface name"),
    bad("39e lo", SAVE, ifname!("lo"), "the loopback interface"),
    bad("39f a space", SAVE, ifname!("x y"), "is not allowed in an interface name"),
    bad("39g a newline", SAVE, ifname!("a\\nb"), "is not allowed in an interface name"),
    bad("39h a template of the kernel", SAVE, ifname!("eth%d"), "'%' is not allowed"),
    bad(
        "39i escape sequences do not reach the terminal",
        SAVE,
        ifname!("\\u001b[31m"),
        "interface \"\\u{1b}[31m\": '\\u{1b}' is not allowed",
    ),
    bad("40a a path as network for podman", PODMAN, network!("../x"), "network \"../x\": only letters"),
    bad("40b a comma", PODMAN, network!("a,b"), "only letters"),
    bad(
        "40c a network mode",
        PODMAN,
        network!("host"),
        "network host: podman reads this name as a network mode",
    ),
    bad("40d an option within a name", PODMAN, network!("n:ip=1.2.3.4"), "only letters"),
    bad("40e a command substitution", PODMAN, network!("$(id)"), "only letters"),
    bad("40f an option", PODMAN, network!("--foo"), "only letters"),
    bad(
        "40g an interface name with a comma",
        PODMAN,
        ifname!("e,mac=x"),
        "interface \"e,mac=x\": only letters",
    ),
    bad(
        "40h an interface name for the shell",
        &["restore", "--to", "cni-args"],
        ifname!("a;b$c"),
        "only letters",
    ),
    bad("40i an interface name for ip", IP_BATCH, ifname!("a;b$c"), "only letters"),
    bad("40j a quote for the shell", &["restore", "--to", "cni-args"], ifname!("a'b"), "only letters"),
    ok("40k strange names live on in the status", STATUS, ifname!("a;b$c"), Has("\"a;b$c\"")),
    bad(
        "40l a control character in a network's name",
        SAVE,
        network!("a\\nb"),
        "control character in the name of a network",
    ),
    bad(
        "40m --ifname is checked like the rest",
        &["restore", "--to", "status", "--ifname", "n1=a/b"],
        A,
        "'/' is not allowed",
    ),
    bad(
        "41a one IP twice",
        SAVE,
        r#"{"a":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.1.0.5/24"}]}}},"b":{"interfaces":{"eth1":{"subnets":[{"ipnet":"10.1.0.5/16"}]}}}}"#,
        "10.1.0.5 is given twice, first at network a, interface eth0",
    ),
    bad(
        "41b one MAC twice",
        SAVE,
        r#"{"a":{"interfaces":{"eth0":{"mac_address":"02:00:00:00:00:05"}}},"b":{"interfaces":{"eth1":{"mac_address":"02-00-00-00-00-05"}}}}"#,
        "02:00:00:00:00:05 is given twice",
    ),
    bad(
        "41c one interface twice",
        SAVE,
        r#"{"a":{"interfaces":{"eth0":{}}},"b":{"interfaces":{"eth0":{}}}}"#,
        "eth0 is given twice",
    ),
    bad("42a a network twice", SAVE, r#"{"n1":{},"n1":{}}"#, "duplicate key \"n1\""),
    bad(
        "42b an interface twice",
        SAVE,
        r#"{"n1":{"interfaces":{"eth0":{},"eth0":{}}}}"#,
        "duplicate key \"eth0\"",
    ),
    bad(
        "42c an ipnet twice",
        SAVE,
        r#"{"n1":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.1.0.5/24","ipnet":"10.1.0.6/24"}]}}}}"#,
        "duplicate key \"ipnet\"",
    ),
    bad("43a empty", SAVE, "", "standard input: is empty, expected JSON"),
    bad("43b trailing data", SAVE, "{} x", "not valid JSON: trailing characters"),
    bad("43c NaN", SAVE, "NaN", "not valid JSON"),
    bad("44a a string", SAVE, "\"x\"", "expected a network status, found a string"),
    bad("44b a number", SAVE, "5", "expected a network status, found a number"),
    bad("44c an array of numbers", SAVE, "[1,2]", "expected a network status, found an array"),
    bad(
        "44d interfaces is an array",
        SAVE,
        r#"{"n1":{"interfaces":[]}}"#,
        "network n1: interfaces: expected an object, found an array",
    ),
    bad(
        "44e subnets is an object",
        SAVE,
        r#"{"n1":{"interfaces":{"eth0":{"subnets":{}}}}}"#,
        "subnets: expected an array, found an object",
    ),
    bad(
        "44f ipnet is a number",
        SAVE,
        r#"{"n1":{"interfaces":{"eth0":{"subnets":[{"ipnet":5}]}}}}"#,
        "ipnet: expected a string, found a number",
    ),
    ok(
        "45 unknown keys live on",
        STATUS,
        r#"{"n1":{"interfaces":{"eth0":{"mac_address":"02:00:00:00:00:05","x":{"b":1,"a":[18446744073709551615]}}},"y":null}}"#,
        Json(
            r#"{"n1":{"interfaces":{"eth0":{"mac_address":"02:00:00:00:00:05","x":{"b":1,"a":[18446744073709551615]}}},"y":null}}"#,
        ),
    ),
    bad(
        "46 a resolver that is none",
        SAVE,
        r#"{"n1":{"dns_server_ips":["banana"]}}"#,
        "network n1: dns_server_ips: \"banana\": not an IP address",
    ),
    ok("46b a resolver", SAVE, r#"{"n1":{"dns_server_ips":["192.0.2.53"]}}"#, Has("192.0.2.53")),
    bad(
        "46c a search domain with a newline",
        SAVE,
        r#"{"n1":{"dns_search_domains":["a\nnameserver 10.0.0.1"]}}"#,
        "not a domain name",
    ),
    // live, without privilege
    bad(
        "50a no namespace there",
        &["save", "--netns", "/nonexistent"],
        "",
        "/nonexistent: No such file or directory",
    ),
    bad("50b no process 0", &["save", "--pid", "0"], "", "/proc/0/ns/net: No such file or directory"),
    bad("50c a regular file", &["save", "--netns", "none.json"], "", "none.json: not a network namespace"),
    bad("50d a device", &["save", "--netns", "/dev/null"], "", "/dev/null: not a network namespace"),
    ok(
        "49 the host's own namespace is no network",
        &["save", "--netns", "/proc/self/ns/net"],
        "",
        Is("null\n"),
    ),
    usage(
        "50e --netns and a file",
        &["save", "--netns", "/proc/self/ns/net", "none.json"],
        "",
        "cannot be used with",
    ),
    usage(
        "50f --extended needs a live namespace",
        &["save", "--extended"],
        A,
        "--extended is valid only with --netns or --pid",
    ),
    usage("50g no verb", &[], "", "Usage: netstatus"),
    bad(
        "50h hold of the own namespace",
        &["hold", "--netns", "/proc/self/ns/net"],
        "",
        "cannot hold the namespace in which this command runs",
    ),
    usage("50i apply without a namespace", &["apply"], A, "--netns <PATH>"),
    usage(
        "50j a bridge for nothing",
        &["apply", "--netns", "/proc/self/ns/net", "--bridge", "br0"],
        A,
        "--bridge and --host-if are valid only with --create veth",
    ),
    usage("50k --probe from nowhere", &["check", "--probe"], A, "--probe needs --netns"),
    // check and show
    ok(
        "54 a status that fits this host",
        &["check", "--network-info", "networks/aggn1.json"],
        "@podman/one.network.status",
        Nothing,
    ),
    bad(
        "54b one that does not",
        &["check", "--network-info", "networks/aggdual.json"],
        "@podman/one.network.status",
        "network aggn1: no description of this network; known: aggdual\nnetstatus: error: standard input: 1 check failed\n",
    ),
    bad(
        "54e the parent of a macvlan is not on this host",
        &["check", "--network-info", "none.json"],
        r#"{"agdmvnone":{"interfaces":{"eth0":{"mac_address":"7a:00:00:00:00:05"}}}}"#,
        "network agdmvnone: macvlan: no interface mp0 on the host",
    ),
    ok("54c null fits everywhere", &["check"], "null", Nothing),
    bad(
        "54d check reads as strictly",
        &["check"],
        ipnet!("10.1.0.0/24"),
        "the address of the network itself",
    ),
    ok(
        "show a table",
        &["show"],
        A,
        Is(
            "NETWORK  INTERFACE  MAC                ADDRESS      GATEWAY\nn1       eth0       02:00:00:00:00:05  10.1.0.5/24  10.1.0.1\n",
        ),
    ),
    ok(
        "show JSON",
        &["show", "--json"],
        A,
        Json(
            r#"{"schema":1,"networks":[{"name":"n1","interfaces":[{"name":"eth0","mac":"02:00:00:00:00:05","addresses":[{"address":"10.1.0.5/24","gateway":"10.1.0.1"}]}],"dns_servers":[],"dns_search":[]}]}"#,
        ),
    ),
    ok("show null", &["show"], "null", Is("no network\n")),
    ok("--version", &["--version"], "", Has("netstatus ")),
    ok("--help shows an example", &["save", "--help"], "", Has("netavark setup /run/netns/web")),
];

const A_WITHOUT_GATEWAY: &str = r#"{"n":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.1.0.5/24"}],"mac_address":"02:00:00:00:00:05"}}}}"#;
