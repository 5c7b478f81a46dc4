//! Tests live network namespaces: save, apply, check, probe and announce. Each test creates its own
//! namespaces.
//!
//! The tests need root and ip(8).

mod routes;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A network namespace that exists as long as this value.
struct Netns {
    holder: Child,
    path: String,
}

impl Netns {
    fn new() -> Netns {
        // The holder dies with this thread, even if the tests are killed and nothing is dropped.
        let mut holder = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--net", "sh", "-c", "echo; exec sleep 600"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The holder prints a line when the namespace exists.
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        let path = format!("/proc/{}/ns/net", holder.id());
        Netns { holder, path }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path)).arg("--").arg(program);
        command
    }

    /// Runs commands of ip(8) in the namespace, one for each line.
    fn ip(&self, lines: &str) -> &Netns {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let output = self.command("ip").args(line.split_whitespace()).output().unwrap();
            assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
        }
        self
    }

    fn ip_json(&self, args: &str) -> Value {
        let output = self.command("ip").arg("-j").args(args.split_whitespace()).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// Runs netstatus in this namespace, which stands for a host.
    fn netstatus(&self, args: &[&str], stdin: &str) -> Output {
        let mut command = self.command(env!("CARGO_BIN_EXE_netstatus"));
        run(command.args(args), stdin)
    }

    /// Returns links, addresses and routes, to compare them later.
    ///
    /// Omits lifetimes, and link-local addresses, which the kernel adds and removes itself.
    fn snapshot(&self) -> BTreeMap<String, Vec<String>> {
        let links = self.ip_json("addr show");
        let of_link = |link: &Value| {
            // The carrier appears with a delay after the other end of the pair is up.
            let flags = link["flags"].to_string().replace("\"NO-CARRIER\",", "").replace(",\"LOWER_UP\"", "");
            let mut facts = vec![link["address"].to_string(), link["mtu"].to_string(), flags];
            for a in link["addr_info"].as_array().unwrap().iter().filter(|a| a["scope"] != "link") {
                facts.push(format!("{}/{}", a["local"], a["prefixlen"]));
            }
            (link["ifname"].as_str().unwrap().to_owned(), facts)
        };
        let mut snapshot: BTreeMap<String, Vec<String>> =
            links.as_array().unwrap().iter().map(of_link).collect();
        snapshot.insert(
            "route".into(),
            vec![self.ip_json("route show").to_string(), self.ip_json("-6 route show default").to_string()],
        );
        snapshot
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn run(command: &mut Command, stdin: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn success(output: Output) -> String {
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn fails_with(output: Output, message: &str) {
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(message), "{text}");
    assert!(output.stdout.is_empty());
}

/// Creates a host with a bridge.
fn host() -> Netns {
    let host = Netns::new();
    host.ip("link set lo up
             link add br0 type bridge forward_delay 0
             link set br0 up
             addr add 10.77.0.1/24 dev br0");
    host
}

/// Attaches a container to the bridge of `host` through a veth called `port`.
fn attach(host: &Netns, container: &Netns, port: &str, mac: &str) {
    host.ip(&format!(
        "link add {port} type veth peer name eth0 address {mac} netns {}
         link set {port} master br0 up",
        container.pid()
    ));
}

const MAC: &str = "02:77:00:00:00:05";

/// The status that most tests apply.
const STATUS: &str = r#"{"web":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.77.0.5/24","gateway":"10.77.0.1"},
    {"ipnet":"fd77::5/64","gateway":"fd77::1"}],"mac_address":"02:77:00:00:00:05"}}}}"#;

#[ignore = "needs root"]
#[test]
fn case_48_only_the_attached_interfaces_are_saved() {
    let (host, container) = (host(), Netns::new());
    attach(&host, &container, "v0", MAC);
    host.ip(&format!(
        "link add mp0 type veth peer name mp1
         link set mp0 up
         link set mp1 up
         link add link mp0 name eth1 address 02:77:00:00:01:05 netns {} type macvlan mode bridge",
        container.pid()
    ));
    container.ip("link set lo up
                  addr add 10.77.0.5/24 dev eth0
                  addr add 10.77.0.6/24 dev eth0
                  addr add 192.0.2.7/32 dev eth0
                  addr add fd77::5/64 dev eth0 nodad
                  link set eth0 mtu 1400 up
                  route add default via 10.77.0.1 metric 100
                  route add default via fd77::1 metric 100
                  route add 198.51.100.0/24 via 10.77.0.254 metric 5
                  route add blackhole 203.0.113.0/24
                  link set eth1 up
                  addr add 10.78.0.5/24 dev eth1
                  link add br9 type bridge
                  link set br9 up
                  addr add 10.79.0.1/24 dev br9
                  link add v8 type veth peer name v9
                  addr add 10.80.0.1/24 dev v8
                  link add v6 type veth peer name v7
                  link set v6 master br9 up");
    let output =
        host.netstatus(&["save", "--netns", &container.path, "--network", "eth1=second", "--extended"], "");
    let warnings = stderr(&output);
    assert!(warnings.contains("interface br9: has addresses but is left out (bridge)"), "{warnings}");
    assert!(
        warnings
            .contains("interface v8: has addresses but is left out (its other end is in the same namespace)"),
        "{warnings}"
    );
    let status: Value = serde_json::from_str(&success(output)).unwrap();
    // The network has the name of the bridge on the host.
    let eth0 = &status["br0"]["interfaces"]["eth0"];
    let mut subnets: Vec<String> =
        eth0["subnets"].as_array().unwrap().iter().map(ToString::to_string).collect();
    subnets.sort();
    assert_eq!(
        subnets,
        [
            r#"{"ipnet":"10.77.0.5/24","gateway":"10.77.0.1"}"#,
            r#"{"ipnet":"10.77.0.6/24","gateway":"10.77.0.1"}"#,
            r#"{"ipnet":"192.0.2.7/32"}"#,
            r#"{"ipnet":"fd77::5/64","gateway":"fd77::1"}"#
        ]
    );
    assert_eq!(eth0["mac_address"], MAC);
    assert_eq!(eth0["x-netstatus"]["mtu"], 1400);
    assert_eq!(eth0["x-netstatus"]["parent"], "br0");
    let routes = eth0["x-netstatus"]["routes"].as_array().unwrap();
    assert!(
        routes.iter().any(|r| r["dst"] == "198.51.100.0/24" && r["gw"] == "10.77.0.254" && r["metric"] == 5)
    );
    assert_eq!(status["second"]["interfaces"]["eth1"]["mac_address"], "02:77:00:00:01:05");
    assert_eq!(status["second"]["interfaces"]["eth1"]["x-netstatus"]["kind"], "macvlan");
    assert_eq!(status.as_object().unwrap().len(), 2);
    // --interface saves an interface of any kind, and --pid reads the namespace of a process.
    let pid = container.pid().to_string();
    let only = success(
        host.netstatus(&["save", "-q", "--pid", &pid, "--interface", "br9", "--network", "br9=inner"], ""),
    );
    assert_eq!(
        serde_json::from_str::<Value>(&only).unwrap()["inner"]["interfaces"]["br9"]["subnets"][0]["ipnet"],
        "10.79.0.1/24"
    );
}

#[ignore = "needs root"]
#[test]
fn the_description_of_the_host_names_the_network() {
    let (host, container) = (host(), Netns::new());
    attach(&host, &container, "v0", MAC);
    container.ip("addr add 10.77.0.5/24 dev eth0
                  link set eth0 up");
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bridge: &str, subnet: &str| {
        let text = format!(
            r#"{{"name":"{name}","driver":"bridge","network_interface":"{bridge}","subnets":[{{"subnet":"{subnet}"}}]}}"#
        );
        fs::write(dir.path().join(format!("{name}.json")), text).unwrap();
    };
    let path = dir.path().to_str().unwrap();
    let name = || {
        let text = success(host.netstatus(&["save", "--netns", &container.path, "--network-info", path], ""));
        serde_json::from_str::<Value>(&text).unwrap().as_object().unwrap().keys().next().unwrap().clone()
    };
    write("other", "br7", "10.78.0.0/24");
    assert_eq!(name(), "br0");
    write("bysubnet", "br8", "10.77.0.0/24");
    assert_eq!(name(), "bysubnet");
    write("bybridge", "br0", "10.99.0.0/24");
    assert_eq!(name(), "bybridge");
    // Another namespace does not have the bridge.
    let elsewhere = Netns::new();
    fails_with(
        elsewhere.netstatus(&["save", "--netns", &container.path], ""),
        "interface eth0: cannot find the name of its network\nhint: add --network eth0=NAME",
    );
    fails_with(
        host.netstatus(&["save", "--netns", &container.path, "--network", "eth7=x"], ""),
        "interface eth7: named by --network, but not saved",
    );
    fails_with(
        host.netstatus(&["save", "--netns", &container.path, "--interface", "eth7"], ""),
        "interface eth7: not in the namespace",
    );
}

#[ignore = "needs root"]
#[test]
fn dns_settings_come_from_the_given_resolv_conf() {
    let (host, container) = (host(), Netns::new());
    attach(&host, &container, "v0", MAC);
    container.ip("addr add 10.77.0.5/24 dev eth0
                  link set eth0 up");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("resolv.conf");
    fs::write(&file, "nameserver 127.0.0.1\nnameserver 10.77.0.53\nsearch a.test b.test\n").unwrap();
    let text = success(
        host.netstatus(&["save", "--netns", &container.path, "--resolv-conf", file.to_str().unwrap()], ""),
    );
    let status: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["br0"]["dns_server_ips"], serde_json::json!(["10.77.0.53"]));
    assert_eq!(status["br0"]["dns_search_domains"], serde_json::json!(["a.test", "b.test"]));
    // The file in the container is a symlink that would lead out of its root.
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/real"), "nameserver 10.77.0.99\n").unwrap();
    std::os::unix::fs::symlink("/../../etc/real", root.join("etc/resolv.conf")).unwrap();
    let mut inside = container.command("perl");
    inside.args(["-e", "chroot shift; $| = 1; print \"\\n\"; sleep 600"]).arg(&root);
    let mut process = inside.stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let pid = process.id().to_string();
    let output = host.netstatus(&["save", "--pid", &pid, "--resolv-conf=container"], "");
    process.kill().unwrap();
    process.wait().unwrap();
    let status: Value = serde_json::from_str(&success(output)).unwrap();
    assert_eq!(status["br0"]["dns_server_ips"], serde_json::json!(["10.77.0.99"]));
}

#[ignore = "needs root"]
#[test]
fn case_49_the_network_of_the_host_is_null() {
    let host = host();
    let pid = host.pid().to_string();
    assert_eq!(success(host.netstatus(&["save", "--pid", &pid], "")), "null\n");
    assert_eq!(success(host.netstatus(&["save", "--netns", &host.path], "")), "null\n");
    fails_with(host.netstatus(&["save", "--require", "--pid", &pid], ""), "no networks");
    // The status of a namespace without a network is null, too.
    let empty = Netns::new();
    assert_eq!(success(host.netstatus(&["save", "--netns", &empty.path], "")), "null\n");
}

#[ignore = "needs root"]
#[test]
fn case_51_an_applied_status_is_saved_unchanged() {
    let (host, first, second) = (host(), Netns::new(), Netns::new());
    let apply = |to: &Netns, status: &str| {
        success(
            host.netstatus(&["apply", "--netns", &to.path, "--create", "veth", "--bridge", "br0"], status),
        )
    };
    apply(&first, STATUS);
    first.ip("addr add 10.77.0.6/24 dev eth0
              route add 198.51.100.0/24 via 10.77.0.254 dev eth0 metric 5
              link set eth0 mtu 1300");
    let saved =
        success(host.netstatus(&["save", "--netns", &first.path, "--network", "eth0=web", "--extended"], ""));
    drop(first);
    apply(&second, &saved);
    assert_eq!(
        success(
            host.netstatus(&["save", "--netns", &second.path, "--network", "eth0=web", "--extended"], "")
        ),
        saved
    );
    // The host reaches the container through both families.
    host.ip("addr add fd77::1/64 dev br0 nodad");
    for ip in ["10.77.0.5", "fd77::5"] {
        let answered = (0..20).any(|_| {
            let ping = host.command("ping").args(["-c", "1", "-W", "1", ip]).output();
            ping.is_ok_and(|output| output.status.success())
        });
        let pinging = host.command("ping").arg("-V").output().is_ok_and(|o| o.status.success());
        assert!(answered || !pinging, "{ip} does not answer");
    }
}

#[ignore = "needs root"]
#[test]
fn case_52_a_missing_interface_is_an_error_without_changes() {
    let (host, container) = (host(), Netns::new());
    attach(&host, &container, "v0", "02:77:00:00:00:99");
    let before = container.snapshot();
    let two = STATUS.replace("}}}}", r#"},"eth1":{"subnets":[{"ipnet":"10.78.0.5/24"}]}}}}"#);
    fails_with(
        host.netstatus(&["apply", "--netns", &container.path], &two),
        "interface eth1: no such interface in the namespace\nhint: to create it, add --create veth --bridge BRIDGE",
    );
    assert_eq!(container.snapshot(), before);
    fails_with(
        host.netstatus(&["apply", "--netns", &container.path, "--create", "veth", "--bridge", "br7"], &two),
        "br7: no such interface on the host",
    );
    fails_with(
        host.netstatus(&["apply", "--netns", &container.path, "--create", "veth", "--bridge", "v0"], &two),
        "v0: not a bridge",
    );
    assert_eq!(container.snapshot(), before);
}

#[ignore = "needs root"]
#[test]
fn case_53_a_second_apply_changes_nothing() {
    let (host, container) = (host(), Netns::new());
    let apply = || {
        stderr(&host.netstatus(
            &["apply", "-v", "--netns", &container.path, "--create", "veth", "--bridge", "br0"],
            STATUS,
        ))
    };
    assert!(apply().contains(" changes"));
    let before = container.snapshot();
    assert!(apply().contains(" 0 changes"));
    assert_eq!(container.snapshot(), before);
    // Removed settings are set again.
    container.ip("addr del 10.77.0.5/24 dev eth0
                  link set eth0 address 02:77:00:00:00:98");
    apply();
    assert_eq!(container.snapshot(), before);
}

#[ignore = "needs root"]
#[test]
fn a_failed_apply_is_rolled_back() {
    let (host, there, empty) = (host(), Netns::new(), Netns::new());
    attach(&host, &there, "v0", "02:77:00:00:00:99");
    there.ip("addr add 10.77.0.44/24 dev eth0
              link set eth0 up
              route add default via 10.77.0.254");
    let status = STATUS.replace(
        r#""mac_address""#,
        r#""x-netstatus":{"mtu":1400,"routes":[{"dst":"198.51.100.0/24","gw":"10.99.0.254"}]},"mac_address""#,
    );
    let before = there.snapshot();
    fails_with(
        host.netstatus(&["apply", "--flush", "--netns", &there.path], &status),
        "eth0: route to 198.51.100.0/24: Network is unreachable: Nexthop has invalid gateway",
    );
    assert_eq!(there.snapshot(), before);
    let (before, ports) = (empty.snapshot(), host.ip_json("link show").as_array().unwrap().len());
    fails_with(
        host.netstatus(&["apply", "--netns", &empty.path, "--create", "veth", "--bridge", "br0"], &status),
        "eth0: route to",
    );
    assert_eq!(empty.snapshot(), before);
    assert_eq!(host.ip_json("link show").as_array().unwrap().len(), ports, "the veth is removed");
}

#[ignore = "needs root"]
#[test]
fn flush_removes_addresses_and_apply_replaces_gateways() {
    let (host, container) = (host(), Netns::new());
    attach(&host, &container, "v0", MAC);
    container.ip("addr add 10.77.0.44/24 dev eth0
                  addr add fd77::44/64 dev eth0 nodad
                  link set eth0 up
                  route add default via 10.77.0.254");
    success(host.netstatus(&["apply", "--netns", &container.path], STATUS));
    let addresses = container.snapshot()["eth0"].join(" ");
    assert!(addresses.contains("10.77.0.44") && addresses.contains("10.77.0.5"), "{addresses}");
    let gateways = container.ip_json("route show default");
    assert_eq!(gateways.as_array().unwrap().len(), 1);
    assert_eq!(gateways[0]["gateway"], "10.77.0.1");
    success(host.netstatus(&["apply", "--flush", "--netns", &container.path], STATUS));
    let addresses = container.snapshot()["eth0"].join(" ");
    assert!(!addresses.contains("10.77.0.44") && !addresses.contains("fd77::44"), "{addresses}");
    assert!(addresses.contains("10.77.0.5") && addresses.contains("fd77::5"), "{addresses}");
}

#[ignore = "needs root"]
#[test]
fn a_macvlan_is_created_on_its_parent() {
    let (host, container) = (host(), Netns::new());
    host.ip("link add mp0 type veth peer name mp1
             link set mp0 up
             link set mp1 up");
    let apply = ["apply", "--netns", &container.path, "--create", "macvlan", "--parent", "mp0"];
    success(host.netstatus(&apply, STATUS));
    let link = container.ip_json("-d link show dev eth0");
    assert_eq!(link[0]["linkinfo"]["info_kind"], "macvlan");
    assert_eq!(link[0]["linkinfo"]["info_data"]["mode"], "bridge");
    assert_eq!(link[0]["address"], MAC);
    success(host.netstatus(&["check", "--netns", &container.path], STATUS));
}

#[ignore = "needs root"]
#[test]
fn from_if_renames_an_interface() {
    let (host, container) = (host(), Netns::new());
    attach(&host, &container, "v0", "02:77:00:00:00:99");
    container.ip("link set eth0 name tmp0
                  link set tmp0 up");
    let apply =
        |pair: &str| host.netstatus(&["apply", "-v", "--netns", &container.path, "--from-if", pair], STATUS);
    let before = container.snapshot();
    fails_with(apply("tmp7=eth0"), "interface tmp7: no such interface in the namespace");
    let output = apply("tmp0=eth7");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--from-if tmp0=eth7: the status has no interface eth7"));
    // A later step fails after the rename, so the interface gets its old name back.
    let unreachable = STATUS.replace(
        r#""mac_address""#,
        r#""x-netstatus":{"routes":[{"dst":"198.51.100.0/24","gw":"10.99.0.254"}]},"mac_address""#,
    );
    fails_with(
        host.netstatus(&["apply", "--netns", &container.path, "--from-if", "tmp0=eth0"], &unreachable),
        "eth0: route to",
    );
    assert_eq!(container.snapshot(), before);
    success(apply("tmp0=eth0"));
    success(host.netstatus(&["check", "--netns", &container.path], STATUS));
    // A second run changes nothing.
    assert!(stderr(&apply("tmp0=eth0")).contains(" 0 changes"));
    container.ip("link add tmp0 type bridge");
    fails_with(apply("tmp0=eth0"), "interface tmp0: cannot rename to eth0, which also exists");
}

#[ignore = "needs root"]
#[test]
fn case_31_a_gateway_outside_the_prefix_is_onlink() {
    let (host, container) = (host(), Netns::new());
    let status = r#"{"web":{"interfaces":{"eth0":{"subnets":[{"ipnet":"192.0.2.7/32","gateway":"10.77.0.1"}],"mac_address":"02:77:00:00:00:05"}}}}"#;
    success(
        host.netstatus(&["apply", "--netns", &container.path, "--create", "veth", "--bridge", "br0"], status),
    );
    let route = container.ip_json("route show default");
    assert_eq!((&route[0]["gateway"], &route[0]["flags"][0]), (&"10.77.0.1".into(), &"onlink".into()));
    let saved: Value =
        serde_json::from_str(&success(host.netstatus(&["save", "-q", "--netns", &container.path], "")))
            .unwrap();
    assert_eq!(
        saved["br0"]["interfaces"]["eth0"]["subnets"][0].to_string(),
        r#"{"ipnet":"192.0.2.7/32","gateway":"10.77.0.1"}"#
    );
}

#[ignore = "needs root"]
#[test]
fn case_30_the_batch_for_ip_can_run_twice() {
    let (host, container) = (host(), Netns::new());
    attach(&host, &container, "v0", "02:77:00:00:00:99");
    let batch = success(host.netstatus(&["restore", "--to", "ip-batch"], STATUS));
    for _ in 0..2 {
        success(run(container.command("ip").args(["-batch", "-"]), &batch));
        success(host.netstatus(&["check", "--netns", &container.path], STATUS));
    }
}

#[ignore = "needs root"]
#[test]
fn case_54_check_reports_every_difference() {
    let (host, container) = (host(), Netns::new());
    let check = || host.netstatus(&["check", "--netns", &container.path], STATUS);
    fails_with(check(), "standard input: interface eth0: not in the namespace");
    attach(&host, &container, "v0", "02:77:00:00:00:99");
    let text = stderr(&check());
    for part in [
        "interface eth0: is down",
        "interface eth0: MAC is 02:77:00:00:00:99, expected 02:77:00:00:00:05",
        "interface eth0: no address 10.77.0.5/24",
        "interface eth0: no default route via fd77::1",
        "6 checks failed",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    success(host.netstatus(&["apply", "--netns", &container.path], STATUS));
    assert_eq!(success(check()), "");
    container.ip("addr del 10.77.0.5/24 dev eth0
                  addr add 10.77.0.5/16 dev eth0
                  route add default via 10.77.0.1 metric 100");
    fails_with(check(), "interface eth0: address is 10.77.0.5/16, expected 10.77.0.5/24");
    // Without a carrier, duplicate address detection does not finish.
    host.ip("link set v0 down");
    container.ip("addr del fd77::5/64 dev eth0
                  addr add fd77::5/64 dev eth0");
    fails_with(check(), "interface eth0: address fd77::5/64 is tentative: sockets cannot bind to it yet");
}

#[ignore = "needs root"]
#[test]
fn probe_finds_another_host_with_the_same_mac() {
    let (host, old, new) = (host(), Netns::new(), Netns::new());
    success(host.netstatus(&["apply", "--netns", &old.path, "--create", "veth", "--bridge", "br0"], STATUS));
    attach(&host, &new, "v1", MAC);
    let probe = || host.netstatus(&["check", "--probe", "--netns", &new.path], STATUS);
    fails_with(probe(), "interface eth0: is down, cannot probe");
    new.ip("link set eth0 up");
    let output = probe();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for ip in ["10.77.0.5", "fd77::5"] {
        assert!(text.contains(&format!("{ip}: in use by another host, MAC {MAC}")), "{text}");
    }
    drop(old);
    // The kernel removes a namespace with a delay.
    assert!((0..10).any(|_| probe().status.success()), "{}", stderr(&probe()));
}

#[ignore = "needs root"]
#[test]
fn an_announcement_updates_neighbor_entries() {
    let (host, container) = (host(), Netns::new());
    success(
        host.netstatus(&["apply", "--netns", &container.path, "--create", "veth", "--bridge", "br0"], STATUS),
    );
    host.ip("addr add fd77::1/64 dev br0 nodad
             neigh replace 10.77.0.5 lladdr 02:77:00:00:00:99 dev br0 nud stale
             neigh replace fd77::5 lladdr 02:77:00:00:00:99 dev br0 nud stale");
    let neighbor_mac = |ip: &str| host.ip_json(&format!("neigh show {ip}"))[0]["lladdr"].clone();
    assert_eq!(neighbor_mac("10.77.0.5"), "02:77:00:00:00:99");
    let output = host.netstatus(&["release", "-v", "--announce", "--netns", &container.path], "");
    // The two addresses of the status and the link-local address are announced.
    assert!(stderr(&output).contains("was not held"), "{}", stderr(&output));
    assert!(stderr(&output).contains(" addresses announced"), "{}", stderr(&output));
    assert_eq!(neighbor_mac("10.77.0.5"), MAC);
    assert_eq!(neighbor_mac("fd77::5"), MAC);
}

#[ignore = "needs root"]
#[test]
fn case_58_entering_a_namespace_needs_privileges() {
    use std::os::unix::process::CommandExt;
    let container = Netns::new();
    // The test runs a copy that an ordinary user can execute, since the build directory may be
    // inaccessible.
    let dir = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let tool: PathBuf = dir.path().join("netstatus");
    // cp(1) writes the copy: a file that this process writes may be inherited by the child of
    // another test, and a file that is open for writing cannot be executed.
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_netstatus")).arg(&tool).status().unwrap().success());
    let as_nobody =
        |args: &[&str], stdin: &str| run(Command::new(&tool).args(args).uid(65534).gid(65534), stdin);
    fails_with(
        as_nobody(&["save", "--netns", &container.path], ""),
        &format!("{}: Permission denied", container.path),
    );
    assert_eq!(
        success(as_nobody(&["restore", "--to", "podman", "--ignore-static-mac"], STATUS)),
        "--network=web:ip=10.77.0.5,ip6=fd77::5,interface_name=eth0\n"
    );
}
