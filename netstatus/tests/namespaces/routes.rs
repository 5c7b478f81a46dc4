//! Routes and addresses of all kinds are saved, applied and compared, or reported as left out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{MAC, Netns, attach, fails_with, host, run, stderr, success};

/// The commands that set up a container with IPv4 and IPv6.
const BASE: &str = "link set lo up
    link set eth0 up
    addr add 10.77.0.5/24 dev eth0
    addr add fd77::5/64 dev eth0 nodad";

/// Settings that `save --extended` saves completely.
const SAVED: [(&str, &str); 26] = [
    (
        "default routes with metrics",
        "route add default via 10.77.0.1 metric 50
         route add default via 10.77.0.9 metric 100
         route add default dev eth0 metric 4000",
    ),
    (
        "IPv6 default routes with metrics",
        "route add default via fd77::1 metric 50
         -6 route add default via fe80::1 dev eth0 metric 60",
    ),
    ("a gateway outside the prefix", "route add default via 192.0.2.1 dev eth0 onlink"),
    ("IPv6 onlink", "-6 route add 2001:db8::/32 via 2001:db9::1 dev eth0 onlink"),
    (
        "a gateway reached through another route",
        "route add 192.0.2.1 dev eth0 scope link
         route add default via 192.0.2.1 dev eth0
         route add 1.0.0.0/8 via 192.0.2.1",
    ),
    (
        "multipath",
        "route add 10.22.0.0/16 nexthop via 10.77.0.1 weight 3 nexthop via 10.77.0.9 weight 200",
    ),
    ("multipath default", "route add default nexthop via 10.77.0.1 nexthop via 10.77.0.9 onlink dev eth0"),
    (
        "IPv6 multipath",
        "-6 route add 2001:db8::/32 nexthop via fd77::1 weight 2 nexthop via fd77::9 nexthop via fe80::9 dev eth0",
    ),
    (
        "routes that discard packets",
        "route add blackhole 10.23.0.0/16
         route add unreachable 10.24.0.0/16 metric 7
         route add prohibit 10.25.0.0/16
         route add throw 10.26.0.0/16 table 77
         route add unreachable default metric 4278198272",
    ),
    (
        "IPv6 routes that discard packets",
        "-6 route add blackhole 2001:db8:1::/48
         -6 route add unreachable 2001:db8:2::/48
         -6 route add prohibit 2001:db8:3::/48
         -6 route add unreachable default metric 9999",
    ),
    ("a preferred source", "addr add 10.77.0.6/24 dev eth0
         route add default via 10.77.0.1 src 10.77.0.6"),
    ("an IPv6 preferred source", "addr add fd77::6/64 dev eth0 nodad
         -6 route add default via fd77::1 src fd77::6"),
    (
        "path attributes",
        "route add default via 10.77.0.1 mtu 1300 advmss 1260 window 65536 initcwnd 30 initrwnd 40 hoplimit 9
         route add 10.27.0.0/16 via 10.77.0.1 mtu lock 1200 rtt 100ms rttvar 50ms ssthresh 9 cwnd lock 8 reordering 5
         route add 10.28.0.0/16 via 10.77.0.1 rto_min 300ms quickack 1 features ecn congctl reno",
    ),
    ("IPv6 path attributes", "-6 route add default via fd77::1 mtu 1300 hoplimit 7 initcwnd 9 pref high"),
    ("protocol, scope and TOS", "route add 10.29.0.0/16 via 10.77.0.1 proto static tos 0x10 metric 5
         route add 10.29.0.0/16 via 10.77.0.1 proto 201
         route add 10.30.0.0/16 dev eth0 scope host proto bird"),
    ("an IPv4 route through an IPv6 gateway", "route add 0.0.0.0/0 via inet6 fe80::1 dev eth0
         route add 10.31.0.0/16 via inet6 fd77::1 dev eth0"),
    ("other tables", "route add default via 10.77.0.1 table 100
         route add 10.32.0.0/16 via 10.77.0.1 table 70000
         -6 route add default via fd77::1 table 100
         route add local 10.33.0.0/16 dev lo
         route add broadcast 10.34.0.0 dev eth0 table local"),
    ("IPv6 local and source routes", "-6 route add local 2001:db8:7::/48 dev lo
         -6 route add 2001:db8:8::/48 from fd77::/64 via fd77::1"),
    ("a realm", "route add 10.35.0.0/16 via 10.77.0.1 realm 3/7"),
    ("routes with the same key", "route add 10.36.0.0/16 via 10.77.0.1
         route append 10.36.0.0/16 via 10.77.0.9"),
    ("routes to halves of all addresses", "route add 0.0.0.0/1 via 10.77.0.1
         route add 128.0.0.0/1 via 10.77.0.9
         -6 route add ::/1 via fd77::1"),
    ("an address without its prefix route", "addr add 10.78.0.5/24 dev eth0 noprefixroute
         route add 10.78.0.0/24 dev eth0 proto kernel scope link src 10.78.0.5 metric 100
         addr add fd78::5/64 dev eth0 nodad noprefixroute"),
    ("a point-to-point address", "addr add 10.79.0.5 peer 10.79.0.6/32 dev eth0
         addr add fd79::5 peer fd79::6 dev eth0 nodad
         route add default via 10.79.0.6"),
    ("label, broadcast, scope and metric of addresses", "addr add 10.80.0.5/24 brd + dev eth0 label eth0:1
         addr add 10.81.0.5/24 dev eth0 scope link
         addr add 10.82.0.5/24 dev eth0 metric 77
         addr add fe80::77/64 dev eth0 nodad
         addr add fd80::5/64 dev eth0 nodad preferred_lft 0"),
    ("secondary addresses", "addr add 10.77.0.7/24 dev eth0
         addr add 10.77.0.8/32 dev eth0"),
    ("the MTU of the link", "link set eth0 mtu 1300"),
];

/// Settings that `save` leaves out, with its warning; `apply` sets the rest.
const LEFT_OUT: [(&str, &str); 11] = [
    (
        "link add d0 type veth peer name d1
      link set d1 up
      link set d0 up
      addr add 10.90.0.1/24 dev d0
      route add 10.91.0.0/16 via 10.90.0.9",
        "route 10.91.0.0/16 via 10.90.0.9 dev d0: left out: interface d0 is not saved",
    ),
    (
        "route add 10.92.0.0/16 encap ip id 7 dst 192.0.2.9 dev eth0",
        "route 10.92.0.0/16 dev eth0: left out: a status cannot express its encapsulation",
    ),
    (
        "-6 route add 2001:db8:9::/48 via fd77::1 expires 600",
        "route 2001:db8:9::/48 via fd77::1 dev eth0 metric 1024: saved without its remaining lifetime",
    ),
    (
        "nexthop add id 7 via 10.77.0.1 dev eth0
      route add 10.93.0.0/16 nhid 7",
        "route 10.93.0.0/16 via 10.77.0.1 dev eth0: saved without its reference to nexthop object 7",
    ),
    (
        "rule add from 10.77.0.5 lookup 100 priority 1000",
        "routing rule 1000: from 10.77.0.5/32 lookup 100: left out",
    ),
    ("-6 rule add iif eth0 fwmark 0x7 unreachable", "iif eth0 fwmark 0x7 unreachable (IPv6): left out"),
    (
        "neigh add 10.77.0.99 lladdr 02:00:00:00:00:99 dev eth0 nud permanent",
        "permanent neighbor 10.77.0.99 of interface eth0: left out",
    ),
    ("addr add 10.94.0.1/32 dev lo", "interface lo: 10.94.0.1/32 is left out"),
    ("addr add 127.0.0.9/8 dev lo", "interface lo: 127.0.0.9/8 is left out"),
    (
        "addr add 10.94.0.1/32 dev lo
      route add 10.95.0.0/16 via 10.77.0.1 src 10.94.0.1",
        "route 10.95.0.0/16 via 10.77.0.1 dev eth0 src 10.94.0.1: left out: its source address 10.94.0.1 is not saved",
    ),
    ("link set eth0 promisc on txqueuelen 7", "interface eth0: promisc on, txqueuelen 7: left out"),
];

/// Settings that podman's format cannot express, with the warning of `save` without `--extended`.
const BEYOND_PODMAN: [(&str, &str); 9] = [
    (
        "route add default via 10.77.0.1
      route add default via 10.77.0.9 metric 100",
        "route default via 10.77.0.9 dev eth0 metric 100: left out; --extended saves it",
    ),
    ("route add default via 10.77.0.1 mtu 1300", "route default via 10.77.0.1 dev eth0 mtu 1300: left out"),
    (
        "route add default via 10.77.0.1 src 10.77.0.5",
        "route default via 10.77.0.1 dev eth0 src 10.77.0.5: left out",
    ),
    ("route add default nexthop via 10.77.0.1 nexthop via 10.77.0.9", "route default nexthop via 10.77.0.1"),
    ("route add blackhole 10.23.0.0/16", "route blackhole 10.23.0.0/16: left out"),
    ("route add default via 10.77.0.1 table 100", "route default via 10.77.0.1 dev eth0 table 100: left out"),
    ("link set eth0 mtu 1300", "interface eth0: MTU 1300 is left out; --extended saves it"),
    ("addr add 10.79.0.5 peer 10.79.0.6/32 dev eth0", r#""peer":"10.79.0.6""#),
    (
        "addr add 10.81.0.5/24 dev eth0 scope link",
        r#"interface eth0: address {"address":"10.81.0.5/24","scope":253}: left out"#,
    ),
];

/// Creates a namespace that is attached to the bridge.
///
/// Each port has a new name, because the kernel removes the ports of earlier namespaces with a delay.
fn attached(host: &Netns, mac: &str) -> Netns {
    static PORTS: AtomicUsize = AtomicUsize::new(0);
    let container = Netns::new();
    attach(host, &container, &format!("p{}", PORTS.fetch_add(1, Ordering::Relaxed)), mac);
    container
}

fn container(host: &Netns, lines: &str) -> Netns {
    let container = attached(host, MAC);
    container.ip(BASE).ip(lines);
    container
}

/// Words in lines that always differ between two namespaces, or that appear only after duplicate
/// address detection.
const UNSTABLE: [&str; 6] =
    ["link/ether", " qlen ", "veth", "table local proto kernel", "fe80::77:ff:fe", "preferred_lft forever"];

/// Returns all routes and addresses as ip(8) prints them, without the unstable lines.
fn snapshot(netns: &Netns) -> String {
    let mut text = String::new();
    for args in ["-4 -d route show table all", "-6 -d route show table all", "-d addr show dev eth0"] {
        let output = netns.command("ip").args(args.split_whitespace()).output().unwrap();
        let mut lines: Vec<String> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .filter(|line| UNSTABLE.iter().all(|words| !line.contains(words)))
            // A restored address has nodad, so that it is usable immediately.
            .map(|line| line.replace(" nodad", "").trim().to_owned())
            .collect();
        if args.contains("-6") {
            lines.sort();
        }
        text.push_str(&lines.join("\n"));
        text.push('\n');
    }
    text
}

/// Compares two namespaces repeatedly, since the kernel adds some IPv6 routes only after duplicate
/// address detection.
#[track_caller]
fn assert_same(one: &Netns, other: &Netns, case: &str) {
    let equal = (0..40).any(|n| {
        std::thread::sleep(Duration::from_millis(n.min(1) * 50));
        snapshot(one) == snapshot(other)
    });
    assert!(equal, "{case}\n{}\n{}", snapshot(one), snapshot(other));
}

#[ignore = "needs root"]
#[test]
fn every_saved_route_is_applied_and_compared() {
    let host = host();
    for (case, lines) in SAVED {
        let first = container(&host, lines);
        let save = ["save", "--extended", "--network", "eth0=web", "--netns"];
        let output = host.netstatus(&[&save[..], &[&first.path]].concat(), "");
        assert!(
            !stderr(&output).contains("left out") && !stderr(&output).contains("saved without"),
            "{case}: {}",
            stderr(&output)
        );
        let saved = success(output);
        success(host.netstatus(&["check", "-q", "--netns", &first.path], &saved));
        let second = attached(&host, "02:77:00:00:00:98");
        let apply = || host.netstatus(&["apply", "-v", "--netns", &second.path], &saved);
        let output = apply();
        assert!(output.status.success(), "{case}: {}", stderr(&output));
        assert_same(&second, &first, &format!("{case}\n{saved}"));
        success(host.netstatus(&["check", "-q", "--netns", &second.path], &saved));
        let again = apply();
        assert!(stderr(&again).contains(" 0 changes"), "{case}: {}", stderr(&again));
        let batched = attached(&host, "02:77:00:00:00:97");
        batched.ip("link set lo up");
        let batch = success(host.netstatus(&["restore", "-q", "--to", "ip-batch"], &saved));
        success(run(batched.command("ip").args(["-batch", "-"]), &batch));
        assert_same(&batched, &first, &format!("{case}\n{batch}"));
        // `check` reports a namespace that lacks the settings.
        let bare = attached(&host, MAC);
        bare.ip(BASE);
        let output = host.netstatus(&["check", "-q", "--netns", &bare.path], &saved);
        assert_eq!(output.status.code(), Some(1), "{case}: {}", stderr(&output));
    }
}

#[ignore = "needs root"]
#[test]
fn save_reports_what_it_leaves_out() {
    let host = host();
    for (lines, words) in LEFT_OUT {
        let first = container(&host, lines);
        let output =
            host.netstatus(&["save", "--extended", "--network", "eth0=web", "--netns", &first.path], "");
        assert!(stderr(&output).contains(words), "{words}\n{}", stderr(&output));
        let saved = success(output);
        let second = attached(&host, "02:77:00:00:00:98");
        success(host.netstatus(&["apply", "--netns", &second.path], &saved));
        success(host.netstatus(&["check", "--netns", &second.path], &saved));
    }
}

#[ignore = "needs root"]
#[test]
fn save_reports_what_podmans_format_cannot_express() {
    let host = host();
    for (lines, words) in BEYOND_PODMAN {
        let first = container(&host, lines);
        let output = host.netstatus(&["save", "--network", "eth0=web", "--netns", &first.path], "");
        assert!(stderr(&output).contains(words), "{words}\n{}", stderr(&output));
        success(output);
    }
    let usual = container(
        &host,
        "route add default via 10.77.0.1 proto static metric 100
                                        -6 route add default via fd77::1 metric 100",
    );
    let output = host.netstatus(&["save", "--network", "eth0=web", "--netns", &usual.path], "");
    assert_eq!(stderr(&output), "");
    // A default route with a TOS, and an IPv4 default route through an IPv6 gateway, are not saved as
    // the gateway of an address.
    let odd = container(
        &host,
        "route add default via 10.77.0.1 tos 0x10
         route add 0.0.0.0/0 via inet6 fd77::1 dev eth0",
    );
    let output = host.netstatus(&["save", "--network", "eth0=web", "--netns", &odd.path], "");
    assert_eq!(stderr(&output).matches("left out").count(), 2, "{}", stderr(&output));
    assert!(!success(output).contains("gateway"));
}

#[ignore = "needs root"]
#[test]
fn restore_reports_what_the_format_cannot_express() {
    let status = format!(
        r#"{{"web":{{"interfaces":{{"eth0":{{"subnets":[{{"ipnet":"10.77.0.5/24","gateway":"10.77.0.1"}}],"mac_address":"{MAC}",
            "x-netstatus":{{"mtu":1400,"routes":[{{"dst":"default","gw":"10.77.0.1","metric":50,"proto":3}},
            {{"dst":"10.50.0.0/16","gw":null,"metric":0,"proto":3,"type":"blackhole"}}],
            "addresses":[{{"address":"169.254.7.7/16","scope":253}}]}}}}}}}}}}"#
    );
    let host = host();
    for format in ["podman", "cni-args", "cni"] {
        let output = host.netstatus(&["restore", "--to", format], &status);
        for words in ["interface eth0: MTU 1400", "route blackhole 10.50.0.0/16", "169.254.7.7/16"] {
            assert!(stderr(&output).contains(words), "{format}: {words}\n{}", stderr(&output));
        }
        assert!(!stderr(&output).contains("10.77.0.1"), "{}", stderr(&output));
        success(output);
    }
    for format in ["ip-batch", "status"] {
        let output = host.netstatus(&["restore", "--to", format], &status);
        assert_eq!(stderr(&output), "");
        assert!(success(output).contains("blackhole"));
    }
}

#[ignore = "needs root"]
#[test]
fn changes_of_a_restore_update_the_saved_routes() {
    let host = host();
    let status = format!(
        r#"{{"web":{{"interfaces":{{"eth0":{{"subnets":[{{"ipnet":"10.77.0.5/24","gateway":"10.77.0.1"}},{{"ipnet":"fd77::5/64"}}],
            "mac_address":"{MAC}","x-netstatus":{{"routes":[
            {{"dst":"default","gw":"10.77.0.1","metric":50,"proto":3}},
            {{"dst":"10.50.0.0/16","gw":"10.77.0.9","metric":0,"proto":3,"src":"10.77.0.5"}},
            {{"dst":"10.51.0.0/16","gw":"203.0.113.1","metric":0,"proto":3,"onlink":true}},
            {{"dst":"10.52.0.0/16","gw":null,"metric":0,"proto":3,"nexthops":[{{"gw":"10.77.0.1","weight":1}},{{"gw":"10.78.0.1","dev":"eth1","weight":1}}]}},
            {{"dst":"2001:db8::/32","gw":"fd77::1","metric":1024,"proto":3}}],
            "addresses":[{{"address":"10.77.0.5/24","label":"eth0:1"}}]}}}}}}}},
          "two":{{"interfaces":{{"eth1":{{"subnets":[{{"ipnet":"10.78.0.5/24"}}],"mac_address":"02:77:00:00:01:05"}}}}}}}}"#
    );
    let restore = |flags: &[&str]| host.netstatus(&[&["restore", "--to", "status"], flags].concat(), &status);
    for (flags, removed) in [
        (&["--ip", "web=10.77.0.6"][..], &["10.50.0.0/16"][..]),
        (&["--ip", "web=10.99.0.6/24"], &["default", "10.50.0.0/16", "10.52.0.0/16"]),
        (&["--ip", "web=fd99::6/64"], &["2001:db8::/32"]),
        (&["--ignore-static-ip"], &["default", "10.50.0.0/16", "10.52.0.0/16", "2001:db8::/32"]),
        (&["--mac", "web=02:00:00:00:00:01"], &[]),
    ] {
        let output = restore(flags);
        let lines: Vec<String> =
            stderr(&output).lines().filter(|l| l.contains("left out")).map(String::from).collect();
        assert_eq!(lines.len(), removed.len(), "{flags:?}\n{}", stderr(&output));
        let saved = success(output);
        for net in removed {
            assert!(lines.iter().any(|line| line.contains(net)), "{flags:?}: {net}\n{lines:?}");
            assert!(!saved.contains(&format!(r#""dst": "{net}""#)), "{flags:?}: {net}");
        }
        assert_eq!(saved.matches(r#""dst""#).count(), 5 - removed.len(), "{flags:?}\n{saved}");
    }
    let renamed = success(restore(&["--ifname", "two=eth9"]));
    assert!(renamed.contains(r#""dev": "eth9""#) && !renamed.contains("eth1"), "{renamed}");
    let hostile = status.replace(r#""dev":"eth1""#, r#""dev":"eth1\nset x""#);
    fails_with(
        host.netstatus(&["restore", "--to", "ip-batch"], &hostile),
        "is not allowed in an interface name",
    );
}

#[ignore = "needs root"]
#[test]
fn a_rejected_route_rolls_back_all_routes() {
    let host = host();
    let route = |rest: &str| {
        format!(
            r#"{{"web":{{"interfaces":{{"eth0":{{"subnets":[{{"ipnet":"10.77.0.5/24"}}],"mac_address":"{MAC}","x-netstatus":{{"routes":[
                {{"dst":"10.50.0.0/16","gw":"10.77.0.1","metric":0,"proto":4}},{rest}]}}}}}}}}}}"#
        )
    };
    for (rest, message) in [
        (
            r#"{"dst":"10.51.0.0/16","gw":"203.0.113.1","metric":0,"proto":3}"#,
            "eth0: route to 10.51.0.0/16: Network is unreachable",
        ),
        (
            r#"{"dst":"10.52.0.0/16","gw":null,"metric":0,"proto":3,"dev":"eth7"}"#,
            "eth0: route to 10.52.0.0/16: interface eth7: no such interface in the namespace",
        ),
        (
            r#"{"dst":"10.53.0.0/16","gw":"10.77.0.1","metric":0,"proto":3,"src":"10.99.0.1"}"#,
            "eth0: route to 10.53.0.0/16: Invalid argument",
        ),
        (
            r#"{"dst":"10.54.0.0/16","metric":0,"proto":3,"nexthops":[{"gw":"10.77.0.1","weight":1},{"gw":"203.0.113.1","weight":1}]}"#,
            "eth0: route to 10.54.0.0/16",
        ),
        (
            r#"{"dst":"10.55.0.0/16","gw":null,"metric":0,"proto":3,"type":"teapot"}"#,
            r#"type: "teapot": not a route type"#,
        ),
    ] {
        let there = container(
            &host,
            "route add default via 10.77.0.9
            route add 10.50.0.0/16 via 10.77.0.9",
        );
        let before = snapshot(&there);
        fails_with(host.netstatus(&["apply", "--netns", &there.path], &route(rest)), message);
        assert_eq!(snapshot(&there), before, "{rest}");
    }
}
