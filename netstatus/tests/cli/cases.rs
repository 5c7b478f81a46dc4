//! The table of cases.

/// A run of the tool.
pub struct Case {
    pub name: &'static str,
    pub args: &'static [&'static str],
    /// The text, or `@FILE` for a file of the test data.
    pub stdin: &'static str,
    pub status: i32,
    pub stdout: Out,
    /// The text that standard error must contain; if empty, standard error must be empty.
    pub stderr: &'static str,
}

/// The expected standard output.
#[derive(Debug)]
pub enum Out {
    Nothing,
    Is(&'static str),
    Has(&'static str),
    /// The input, with a final newline.
    Input,
    /// This JSON document, in any layout.
    Json(&'static str),
}

use Out::{Has, Input, Is, Json, Nothing};

const fn ok(name: &'static str, args: &'static [&'static str], stdin: &'static str, stdout: Out) -> Case {
    Case { name, args, stdin, status: 0, stdout, stderr: "" }
}

/// Returns a case that succeeds with a warning on standard error.
const fn warns(
    name: &'static str,
    args: &'static [&'static str],
    stdin: &'static str,
    stdout: Out,
    stderr: &'static str,
) -> Case {
    Case { name, args, stdin, status: 0, stdout, stderr }
}

/// Returns a case with invalid input, which ends with status 1.
const fn bad(
    name: &'static str,
    args: &'static [&'static str],
    stdin: &'static str,
    stderr: &'static str,
) -> Case {
    Case { name, args, stdin, status: 1, stdout: Nothing, stderr }
}

/// Returns a case with an invalid command line, which ends with status 2.
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

/// The status that most cases use.
const A: &str = r#"{"n1":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.1.0.5/24","gateway":"10.1.0.1"}],"mac_address":"02:00:00:00:00:05"}}}}"#;

/// Returns a status with a network `n1` with these interfaces.
macro_rules! n1 {
    ($interfaces:expr) => {
        concat!(r#"{"n1":{"interfaces":{"#, $interfaces, r#"}}}"#)
    };
}

/// Returns a status with this address.
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

/// Returns a status with this MAC.
macro_rules! mac {
    ($mac:literal) => {
        n1!(concat!(r#""eth0":{"subnets":[{"ipnet":"10.1.0.5/24"}],"mac_address":"#, $mac, "}"))
    };
}

/// Returns a status with an interface of this name.
macro_rules! ifname {
    ($name:literal) => {
        n1!(concat!(
            "\"",
            $name,
            r#"":{"subnets":[{"ipnet":"10.1.0.5/24"}],"mac_address":"02:00:00:00:00:05"}"#
        ))
    };
}

/// Returns a status with a network of this name.
macro_rules! network {
    ($name:literal) => {
        concat!("{\"", $name, r#"":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.1.0.5/24"}],"mac_address":"02:00:00:00:00:05"}}}}"#)
    };
}

/// Returns a CNI result for one interface with these `ips`.
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

/// The keys of netavark's input other than networks, in the order of the flags.
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

/// Returns the arguments with this value of --publish.
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
        "2 keys have podman's order, empty lists are omitted",
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
    ok("4b a network without interfaces is kept", SAVE, r#"{"n":{}}"#, Is("{\n  \"n\": {}\n}\n")),
    bad(
        "8 an error of netavark is reported",
        SAVE,
        r#"{"error":"no static ips provided"}"#,
        "netstatus: error: standard input: netavark: no static ips provided\n",
    ),
    bad(
        "8b an error of netavark is reported with --from",
        &["save", "--from", "netavark"],
        r#"{"error":"x"}"#,
        "netavark: x",
    ),
    bad(
        "8c an error of netavark is not a status",
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
    bad("1d a missing file", &["save", "nonexistent"], "", "nonexistent: No such file or directory"),
    bad(
        "1e a directory",
        &["save", "podman"],
        "",
        "podman: expected the output of netavark or CNI, found a directory",
    ),
    usage(
        "1f several files are allowed only for CNI",
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
    usage("1h an unknown format", &["save", "--from", "banana"], A, "invalid value 'banana'"),
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
        "5d the static plugin reports its gateway in a route",
        &["save", "--network", "n"],
        "@cni/result-1.0.0-static.json",
        Json(
            r#"{"n":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.77.0.44/24","gateway":"10.77.0.1"},{"ipnet":"fd77::44/64"}],"mac_address":"02:77:00:00:00:44"}}}}"#,
        ),
    ),
    ok(
        "5e an address without index belongs to the only interface",
        &["save", "--network", "n"],
        cni!(r#"{"address":"10.1.0.5/24"}"#),
        Has("10.1.0.5/24"),
    ),
    ok(
        "5f an address of an interface of the host is ignored",
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
        "6c 0.2.0 with the missing values as options",
        &["save", "--network", "n", "--ifname", "eth0", "--mac", "02:00:00:00:00:05"],
        "@cni/result-0.2.0-ADD.json",
        Json(
            r#"{"n":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.77.0.3/24","gateway":"10.77.0.1"}],"mac_address":"02:00:00:00:00:05"}},"dns_server_ips":["10.77.0.1"],"dns_search_domains":["x.test"]}}"#,
        ),
    ),
    bad(
        "7 an error of a CNI plugin is reported",
        &["save", "--network", "n"],
        "@cni/result-1.1.0-ADD.json",
        "CNI plugin: incompatible CNI versions (1): config is",
    ),
    bad(
        "7b an error of a CNI plugin is reported without --network",
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
        "9d an address without prefix",
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
        "9f no interface has a sandbox",
        &["save", "--network", "n"],
        r#"{"cniVersion":"1.0.0","interfaces":[{"name":"br0"}]}"#,
        "no interface has a sandbox",
    ),
    bad(
        "9g an unknown CNI version",
        &["save", "--network", "n"],
        r#"{"cniVersion":"2.0.0"}"#,
        "unsupported CNI version \"2.0.0\"",
    ),
    bad(
        "9h a duplicate interface",
        &["save", "--network", "n"],
        r#"{"cniVersion":"1.0.0","interfaces":[{"name":"e","sandbox":"/a","mac":"02:00:00:00:00:05"},{"name":"e","sandbox":"/a"}]}"#,
        "interface e occurs twice",
    ),
    bad(
        "9i an address that no host can have",
        &["save", "--network", "n"],
        cni!(r#"{"interface":2,"address":"127.0.0.1/8"}"#),
        "not a usable host address",
    ),
    usage("10 no name for a network", SAVE, "@cni/result-1.0.0-dual.json", "network name missing"),
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
        "11b an unknown kind of cache file",
        SAVE,
        r#"{"kind":"cniCacheV9","result":{}}"#,
        "kind: expected \"cniCacheV1\", found \"cniCacheV9\"",
    ),
    warns(
        "11d a cache file of a plugin that reports only the interface of the host",
        SAVE,
        r#"{"kind":"cniCacheV1","containerId":"c","config":"","ifName":"eth0","networkName":"k8s-pod-network","result":
            {"cniVersion":"0.3.1","interfaces":[{"name":"cali1234"}],"ips":[{"version":"4","address":"192.0.2.5/32"}]}}"#,
        Json(r#"{"k8s-pod-network":{"interfaces":{"eth0":{"subnets":[{"ipnet":"192.0.2.5/32"}]}}}}"#),
        "interface eth0: the result has no MAC",
    ),
    ok(
        "11e a result with only the interface of the host, and options for the rest",
        &["save", "-q", "--network", "n1", "--ifname", "eth0", "--mac", "02:00:00:00:00:05"],
        r#"{"cniVersion":"1.0.0","interfaces":[{"name":"cali1234"}],"ips":[{"address":"10.1.0.5/24","gateway":"10.1.0.1"}]}"#,
        Json(A),
    ),
    warns(
        "11f all addresses belong to the host",
        &["save", "--network", "n1", "--ifname", "eth0", "--mac", "02:00:00:00:00:05"],
        r#"{"cniVersion":"1.0.0","interfaces":[{"name":"br0"}],"ips":[{"interface":0,"address":"10.1.0.1/24"}]}"#,
        Json(r#"{"n1":{"interfaces":{"eth0":{"mac_address":"02:00:00:00:00:05"}}}}"#),
        "10.1.0.1/24: assigned to interfaces of the host; the container has no address",
    ),
    bad(
        "11c a cache file without a network name",
        SAVE,
        r#"{"kind":"cniCacheV1","ifName":"eth0","result":{}}"#,
        "key networkName is missing",
    ),
    ok(
        "12 an array of podman 3",
        &["save", "--network", "podman"],
        "@podman/v3-array.json",
        Has("\"podman\": {"),
    ),
    usage(
        "13 two results but one name",
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
        "18 an address outside all subnets",
        TO_NETAVARK,
        r#"{"agdnet":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.78.0.5/24"}]}}}}"#,
        "network agdnet: 10.78.0.5 is not in a subnet of this network (10.77.0.0/24, fd77::/64)",
    ),
    bad(
        "18b the address of the gateway",
        TO_NETAVARK,
        r#"{"agdnet":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.77.0.1/24"},{"ipnet":"fd77::5/64"}]}}}}"#,
        "10.77.0.1 is the gateway of this network",
    ),
    bad(
        "18c another prefix length than the subnet",
        TO_NETAVARK,
        r#"{"agdnet":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.77.0.5/16"},{"ipnet":"fd77::5/64"}]}}}}"#,
        "10.77.0.5/16: the prefix length differs from that of subnet 10.77.0.0/24",
    ),
    warns(
        "18d another gateway than the network",
        TO_NETAVARK,
        r#"{"agdnet":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.77.0.5/24","gateway":"10.77.0.254"},{"ipnet":"fd77::5/64"}],"mac_address":"02:00:00:00:00:05"}}}}"#,
        Has("10.77.0.5"),
        "the gateway was 10.77.0.254, on the host it is 10.77.0.1",
    ),
    bad(
        "19 a network without a description",
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
        "20b --ip replaces the addresses and keeps the MAC",
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
        "21 --ignore-static-mac drops only the MAC",
        &["restore", "--to", "netavark", "--base", "netavark/dualstack.in.json", "--ignore-static-mac"],
        DUAL,
        Has("\"interface_name\": \"eth0\",\n      \"static_ips\": [\n        \"10.77.0.5\","),
    ),
    ok(
        "32 the ipam driver none has no addresses",
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
        "32b a warning names the addresses that the ipam driver does not assign",
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
        "14b netavark needs a container ID",
        &["restore", "--to", "netavark", "--network-info", "networks/aggn1.json"],
        "@podman/one.network.status",
        "netavark needs a container_id: add --container-id or --base",
    ),
    bad(
        "14c null contains nothing to restore",
        TO_NETAVARK,
        "null",
        "the container has no network to restore",
    ),
    bad(
        "14d with an empty status netavark would do nothing",
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
        "14h --base is not an object",
        &["restore", "--to", "netavark", "--base", "podman/host.network.status"],
        DUAL,
        "--base: expected an object, found null",
    ),
    ok(
        "14i options for settings that a status does not contain",
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
        "14j --publish replaces the ports of --base",
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
        "14v --alias replaces the aliases of --base",
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
        "14k a port without a port of the host",
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
    usage("14o a protocol that has no ports", &publish!("80:80/icmp"), ONE, "expected tcp, udp or sctp"),
    bad(
        "14p a port of the host that is published twice",
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
        "14q an alias for an unknown network",
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
        "14s a hostname with a command substitution",
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
        "14t --publish with --to podman",
        &["restore", "--to", "podman", "--publish", "80:80"],
        ONE,
        "--publish is valid only with --to netavark",
    ),
    usage(
        "14u --dns with a host name",
        &["restore", "--to", "netavark", "--dns", "dns.test"],
        ONE,
        "invalid value 'dns.test'",
    ),
    bad(
        "45b a known key with an upper-case letter",
        SAVE,
        r#"{"n1":{"Interfaces":{"eth0":{"mac_address":"02:00:00:00:00:05"}}}}"#,
        "network n1: key \"Interfaces\": podman reads it as interfaces",
    ),
    // restore: changes of the status
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
        "23 --ignore-static-ip and --ignore-static-mac together",
        &["restore", "--to", "podman", "--ignore-static-ip", "--ignore-static-mac"],
        A,
        Is("--network=n1:interface_name=eth0\n"),
    ),
    ok(
        "23b --ip without a prefix uses the prefix of the status",
        &["restore", "--to", "status", "--ip", "n1=10.1.0.9"],
        A,
        Has("\"ipnet\": \"10.1.0.9/24\",\n            \"gateway\": \"10.1.0.1\""),
    ),
    bad(
        "23c --ip in an unknown subnet",
        &["restore", "--to", "status", "--ip", "n1=10.9.0.9"],
        A,
        "10.9.0.9: no known subnet contains this address",
    ),
    ok(
        "23d --ip replaces only addresses of its family",
        &["restore", "--to", "podman", "--ip", "agdnet=10.77.0.9"],
        DUAL,
        Is("--network=agdnet:ip6=fd77::5,ip=10.77.0.9,mac=c2:82:b5:b5:0e:fd,interface_name=eth0\n"),
    ),
    ok(
        "23d2 two --ip options add both addresses",
        &["restore", "--to", "podman", "--ip", "n1=10.1.0.9", "--ip", "n1=10.1.0.8"],
        A,
        Is("--network=n1:ip=10.1.0.9,ip=10.1.0.8,mac=02:00:00:00:00:05,interface_name=eth0\n"),
    ),
    bad(
        "23d3 --ip with an IPv6 address in an unknown subnet",
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
        "23e --ip with the address of the network",
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
        "23g --rename of an unknown network",
        &["restore", "--to", "podman", "--rename", "nx=n2"],
        A,
        "network nx: not in the status, which has only n1",
    ),
    bad(
        "23h --rename to the name of another network",
        &["restore", "--to", "status", "--rename", "aggdual=aggn1"],
        "@podman/twoboth.network.status",
        "--rename to aggn1, which is the name of another network",
    ),
    ok(
        "23i --only keeps one network",
        &["restore", "--to", "podman", "--only", "aggn1"],
        "@podman/twoboth.network.status",
        Is("--network=aggn1:ip=10.91.1.53,mac=02:91:00:00:00:53,interface_name=eth0\n"),
    ),
    bad(
        "23j --mac with a multicast address",
        &["restore", "--to", "podman", "--mac", "n1=01:00:5e:00:00:01"],
        A,
        "a multicast address",
    ),
    usage(
        "23k --mac with an invalid value",
        &["restore", "--to", "podman", "--mac", "n1=zz"],
        A,
        "not a MAC address",
    ),
    bad(
        "23l --ip for a network with two interfaces",
        &["restore", "--to", "status", "--ip", "n1=10.1.0.9"],
        TWO_INTERFACES,
        "several interfaces (eth0, eth9)",
    ),
    usage(
        "23m --base with --to podman",
        &["restore", "--to", "podman", "--base", "none.json"],
        A,
        "--base is valid only with --to netavark or cni",
    ),
    // restore: podman, CNI, ip
    ok(
        "24 two networks with an interface name each",
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
        "25 podman supports one interface for each network",
        PODMAN,
        TWO_INTERFACES,
        "network n1: several interfaces (eth0, eth9), but podman supports one for each network",
    ),
    bad(
        "25b netavark supports one interface for each network",
        &["restore", "--to", "netavark", "--base", "netavark/dualstack.in.json", "--rename", "n1=agdnet"],
        TWO_INTERFACES,
        "several interfaces (eth0, eth9), but netavark supports one",
    ),
    ok(
        "25c ip-batch supports several interfaces",
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
        "25e --interface selects the interface of a CNI configuration",
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
        "27b CNI_ARGS without addresses",
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
        "29d a list with the capability",
        &["restore", "--to", "cni", "--base", "list.conflist", "--ignore-static-mac"],
        A,
        Json(r#"{"ips":["10.1.0.5/24"]}"#),
    ),
    usage(
        "29e several networks for a CNI configuration",
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
        "30d an internal network gets no default route",
        &["restore", "--to", "ip-batch", "--network-info", "networks/aggint.json", "--rename", "n1=aggint"],
        A,
        Is(
            "link set dev lo up\nlink set dev eth0 address 02:00:00:00:00:05\nlink set dev eth0 up\naddr replace 10.1.0.5/24 dev eth0\n",
        ),
    ),
    warns(
        "30e null with ip-batch",
        IP_BATCH,
        "null",
        Is("link set dev lo up\n"),
        "the container had no network",
    ),
    warns("30f null with podman", PODMAN, "null", Nothing, "the container had no network"),
    ok("30g null with status", STATUS, "null", Is("null\n")),
    ok(
        "31 a gateway outside the prefix",
        &["restore", "--to", "ip-batch", "-q"],
        ipnet!("192.0.2.7/32", "10.1.0.1"),
        Has("route replace default via 10.1.0.1 dev eth0 metric 100 onlink\n"),
    ),
    // hostile values
    bad(
        "33a an address without a prefix",
        SAVE,
        ipnet!("10.1.0.5"),
        "netstatus: error: standard input: network n1: interface eth0: ipnet: \"10.1.0.5\": no /PREFIX",
    ),
    bad(
        "33b an IPv4 prefix length of 33",
        SAVE,
        ipnet!("10.1.0.5/33"),
        "\"10.1.0.5/33\": not a prefix length of its family",
    ),
    bad(
        "33c an address with a leading zero",
        SAVE,
        ipnet!("010.1.0.5/24"),
        "\"010.1.0.5/24\": not an IP address",
    ),
    bad(
        "33d the address of the network",
        SAVE,
        ipnet!("10.1.0.0/24"),
        "netstatus: error: standard input: network n1: interface eth0: address 10.1.0.0/24: not a usable host address",
    ),
    bad("33e an address with a zone", SAVE, ipnet!("fe80::1%eth0/64"), "not an IP address"),
    bad("33f an IPv4-mapped address", SAVE, ipnet!("::ffff:10.1.0.5/120"), "an IPv4-mapped IPv6 address"),
    bad(
        "34a a multicast address",
        SAVE,
        ipnet!("224.0.0.1/24"),
        "not a usable host address: a multicast address",
    ),
    bad(
        "34b a loopback address",
        SAVE,
        ipnet!("127.0.0.2/8"),
        "not a usable host address: a loopback address",
    ),
    bad(
        "34c the unspecified address",
        SAVE,
        ipnet!("0.0.0.0/0"),
        "not a usable host address: the unspecified address",
    ),
    bad(
        "34d the broadcast address of the network",
        SAVE,
        ipnet!("10.1.0.255/24"),
        "not a usable host address: the broadcast address of the network",
    ),
    bad("34e a prefix length of 0", SAVE, ipnet!("10.1.0.5/0"), "a prefix of length 0"),
    bad("34f the address of an IPv6 network", SAVE, ipnet!("fd00::/64"), "the address of the network itself"),
    warns(
        "34g a subnet with one address",
        SAVE,
        ipnet!("192.0.2.7/32"),
        Has("192.0.2.7/32"),
        "the subnet 192.0.2.7/32 has only one address",
    ),
    bad(
        "35 the address of the gateway",
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
        "37a a MAC with a letter that is not hexadecimal",
        SAVE,
        mac!("\"zz:00:00:00:00:01\""),
        "mac_address: \"zz:00:00:00:00:01\": not a MAC address",
    ),
    bad("37b a MAC of five bytes", SAVE, mac!("\"02:00:00:00:01\""), "not a MAC address"),
    bad(
        "37c a multicast MAC",
        SAVE,
        mac!("\"01:00:5e:00:00:01\""),
        "MAC 01:00:5e:00:00:01: a multicast address",
    ),
    bad("37d a MAC of zeros", SAVE, mac!("\"00:00:00:00:00:00\""), "all zero"),
    ok("37e a MAC with dashes", SAVE, mac!("\"02-00-00-00-00-05\""), Has("\"02:00:00:00:00:05\"")),
    ok("37f a MAC with dots", SAVE, mac!("\"0200.0000.0005\""), Has("\"02:00:00:00:00:05\"")),
    ok("37g a MAC in base64", SAVE, mac!("\"AgAAAAAF\""), Has("\"02:00:00:00:00:05\"")),
    ok("37h a MAC as an array of bytes", SAVE, mac!("[2,0,0,0,0,5]"), Has("\"02:00:00:00:00:05\"")),
    warns(
        "38 an empty MAC",
        SAVE,
        mac!("\"\""),
        Is(
            "{\n  \"n1\": {\n    \"interfaces\": {\n      \"eth0\": {\n        \"subnets\": [\n          {\n            \"ipnet\": \"10.1.0.5/24\"\n          }\n        ]\n      }\n    }\n  }\n}\n",
        ),
        "network n1: interface eth0: no MAC address",
    ),
    bad("39a an empty interface name", SAVE, ifname!(""), "interface \"\": the name is empty"),
    bad("39b an interface name of sixteen bytes", SAVE, ifname!("abcdefghijklmnop"), "longer than 15 bytes"),
    bad(
        "39c an interface name with a slash",
        SAVE,
        ifname!("a/b"),
        "'/' is not allowed in an interface name",
    ),
    bad("39d an interface called ..", SAVE, ifname!(".."), "not a valid interface name"),
    bad("39e an interface called lo", SAVE, ifname!("lo"), "the loopback interface"),
    bad("39f an interface name with a space", SAVE, ifname!("x y"), "is not allowed in an interface name"),
    bad(
        "39g an interface name with a newline",
        SAVE,
        ifname!("a\\nb"),
        "is not allowed in an interface name",
    ),
    bad("39h an interface name that the kernel would expand", SAVE, ifname!("eth%d"), "'%' is not allowed"),
    bad(
        "39i an error escapes control characters",
        SAVE,
        ifname!("\\u001b[31m"),
        "interface \"\\u{1b}[31m\": '\\u{1b}' is not allowed",
    ),
    bad("40a a path as network name for podman", PODMAN, network!("../x"), "network \"../x\": only letters"),
    bad("40b a network name with a comma", PODMAN, network!("a,b"), "only letters"),
    bad(
        "40c a network with the name of a mode",
        PODMAN,
        network!("host"),
        "network host: podman reads this name as a network mode",
    ),
    bad("40d a network name that contains an option", PODMAN, network!("n:ip=1.2.3.4"), "only letters"),
    bad("40e a network name with a command substitution", PODMAN, network!("$(id)"), "only letters"),
    bad("40f a network name that is an option", PODMAN, network!("--foo"), "only letters"),
    bad(
        "40g an interface name with a comma",
        PODMAN,
        ifname!("e,mac=x"),
        "interface \"e,mac=x\": only letters",
    ),
    bad(
        "40h an interface name with shell characters",
        &["restore", "--to", "cni-args"],
        ifname!("a;b$c"),
        "only letters",
    ),
    bad(
        "40i an interface name with shell characters for ip-batch",
        IP_BATCH,
        ifname!("a;b$c"),
        "only letters",
    ),
    bad(
        "40j an interface name with a quote",
        &["restore", "--to", "cni-args"],
        ifname!("a'b"),
        "only letters",
    ),
    ok("40k unusual names are kept in the status", STATUS, ifname!("a;b$c"), Has("\"a;b$c\"")),
    bad(
        "40l a control character in a network's name",
        SAVE,
        network!("a\\nb"),
        "control character in the name of a network",
    ),
    bad(
        "40m --ifname is validated",
        &["restore", "--to", "status", "--ifname", "n1=a/b"],
        A,
        "'/' is not allowed",
    ),
    bad(
        "41a a duplicate address",
        SAVE,
        r#"{"a":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.1.0.5/24"}]}}},"b":{"interfaces":{"eth1":{"subnets":[{"ipnet":"10.1.0.5/16"}]}}}}"#,
        "10.1.0.5 is given twice, first at network a, interface eth0",
    ),
    bad(
        "41b a duplicate MAC",
        SAVE,
        r#"{"a":{"interfaces":{"eth0":{"mac_address":"02:00:00:00:00:05"}}},"b":{"interfaces":{"eth1":{"mac_address":"02-00-00-00-00-05"}}}}"#,
        "02:00:00:00:00:05 is given twice",
    ),
    bad(
        "41c a duplicate interface",
        SAVE,
        r#"{"a":{"interfaces":{"eth0":{}}},"b":{"interfaces":{"eth0":{}}}}"#,
        "eth0 is given twice",
    ),
    bad("42a a duplicate key of a network", SAVE, r#"{"n1":{},"n1":{}}"#, "duplicate key \"n1\""),
    bad(
        "42b a duplicate key of an interface",
        SAVE,
        r#"{"n1":{"interfaces":{"eth0":{},"eth0":{}}}}"#,
        "duplicate key \"eth0\"",
    ),
    bad(
        "42c a duplicate key ipnet",
        SAVE,
        r#"{"n1":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.1.0.5/24","ipnet":"10.1.0.6/24"}]}}}}"#,
        "duplicate key \"ipnet\"",
    ),
    bad("43a an empty document", SAVE, "", "standard input: is empty, expected JSON"),
    bad("43b trailing data", SAVE, "{} x", "not valid JSON: trailing characters"),
    bad("43c NaN", SAVE, "NaN", "not valid JSON"),
    bad("44a a string instead of a status", SAVE, "\"x\"", "expected a network status, found a string"),
    bad("44b a number instead of a status", SAVE, "5", "expected a network status, found a number"),
    bad(
        "44c an array of numbers instead of a status",
        SAVE,
        "[1,2]",
        "expected a network status, found an array",
    ),
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
        "45 unknown keys are kept",
        STATUS,
        r#"{"n1":{"interfaces":{"eth0":{"mac_address":"02:00:00:00:00:05","x":{"b":1,"a":[18446744073709551615]}}},"y":null}}"#,
        Json(
            r#"{"n1":{"interfaces":{"eth0":{"mac_address":"02:00:00:00:00:05","x":{"b":1,"a":[18446744073709551615]}}},"y":null}}"#,
        ),
    ),
    bad(
        "46 an invalid DNS server",
        SAVE,
        r#"{"n1":{"dns_server_ips":["banana"]}}"#,
        "network n1: dns_server_ips: \"banana\": not an IP address",
    ),
    ok("46b a DNS server", SAVE, r#"{"n1":{"dns_server_ips":["192.0.2.53"]}}"#, Has("192.0.2.53")),
    bad(
        "46c a search domain with a newline",
        SAVE,
        r#"{"n1":{"dns_search_domains":["a\nnameserver 10.0.0.1"]}}"#,
        "not a domain name",
    ),
    // live namespaces, without privileges
    bad(
        "50a a missing namespace",
        &["save", "--netns", "/nonexistent"],
        "",
        "/nonexistent: No such file or directory",
    ),
    bad("50b a missing process", &["save", "--pid", "0"], "", "/proc/0/ns/net: No such file or directory"),
    bad(
        "50c a regular file instead of a namespace",
        &["save", "--netns", "none.json"],
        "",
        "none.json: not a network namespace",
    ),
    bad(
        "50d a device instead of a namespace",
        &["save", "--netns", "/dev/null"],
        "",
        "/dev/null: not a network namespace",
    ),
    ok(
        "49 the status of the caller's namespace is null",
        &["save", "--netns", "/proc/self/ns/net"],
        "",
        Is("null\n"),
    ),
    bad(
        "49a an interface of the caller's namespace",
        &["save", "--netns", "/proc/self/ns/net", "--interface", "lo"],
        "",
        "/proc/self/ns/net: interface lo: not saved, this is the network of the host",
    ),
    bad(
        "49b a network of the caller's namespace",
        &["save", "--netns", "/proc/self/ns/net", "--network", "eth0=web"],
        "",
        "/proc/self/ns/net: interface eth0: not saved, this is the network of the host",
    ),
    usage(
        "49c a malformed network of the caller's namespace",
        &["save", "--netns", "/proc/self/ns/net", "--network", "web"],
        "",
        "--network web: expected IF=NAME for a live namespace",
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
    usage("50g no command", &[], "", "Usage: netstatus"),
    bad(
        "50h hold of the caller's namespace",
        &["hold", "--netns", "/proc/self/ns/net"],
        "",
        "cannot hold the namespace in which this command runs",
    ),
    usage("50i apply without a namespace", &["apply"], A, "--netns <PATH>"),
    usage(
        "50j --bridge without --create",
        &["apply", "--netns", "/proc/self/ns/net", "--bridge", "br0"],
        A,
        "--bridge and --host-if are valid only with --create veth",
    ),
    usage("50k --probe without --netns", &["check", "--probe"], A, "--probe needs --netns"),
    // check and show
    ok(
        "54 a status that fits the host",
        &["check", "--network-info", "networks/aggn1.json"],
        "@podman/one.network.status",
        Nothing,
    ),
    bad(
        "54b a status that does not fit the host",
        &["check", "--network-info", "networks/aggdual.json"],
        "@podman/one.network.status",
        "network aggn1: no description of this network; known: aggdual\nnetstatus: error: standard input: 1 check failed\n",
    ),
    bad(
        "54e the host lacks the parent of a macvlan",
        &["check", "--network-info", "none.json"],
        r#"{"agdmvnone":{"interfaces":{"eth0":{"mac_address":"7a:00:00:00:00:05"}}}}"#,
        "network agdmvnone: macvlan: no interface mp0 on the host",
    ),
    ok("54c null fits every host", &["check"], "null", Nothing),
    bad(
        "54d check validates the status",
        &["check"],
        ipnet!("10.1.0.0/24"),
        "the address of the network itself",
    ),
    ok(
        "show prints a table",
        &["show"],
        A,
        Is(
            "NETWORK  INTERFACE  MAC                ADDRESS      GATEWAY\nn1       eth0       02:00:00:00:00:05  10.1.0.5/24  10.1.0.1\n",
        ),
    ),
    ok(
        "show prints JSON",
        &["show", "--json"],
        A,
        Json(
            r#"{"schema":1,"networks":[{"name":"n1","interfaces":[{"name":"eth0","mac":"02:00:00:00:00:05","addresses":[{"address":"10.1.0.5/24","gateway":"10.1.0.1"}]}],"dns_servers":[],"dns_search":[]}]}"#,
        ),
    ),
    ok("show prints that there is no network", &["show"], "null", Is("no network\n")),
    ok("--version", &["--version"], "", Has("netstatus ")),
    ok("--help shows an example", &["save", "--help"], "", Has("netavark setup /run/netns/web")),
];

const A_WITHOUT_GATEWAY: &str = r#"{"n":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.1.0.5/24"}],"mac_address":"02:00:00:00:00:05"}}}}"#;
