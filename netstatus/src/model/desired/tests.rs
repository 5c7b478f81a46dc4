//! The routes and addresses that follow from a status.

use checkpoint::network_status::NetworkStatus;
use serde_json::{Value, json};

use super::{DesiredRoute, addresses, gateway_routes, interfaces, routes};
use crate::model::extension::Extension;
use crate::model::network_info::{self, NetworkInfos};
use crate::model::route::Route;
use crate::model::route::json::saved_route;

/// Returns a status with one network, whose interface `eth0` has these subnets and these routes
/// under `x-netstatus`.
fn status(subnets: Value, routes: Value) -> NetworkStatus {
    let status = json!({"n1": {"interfaces": {"eth0":
        {"subnets": subnets, "x-netstatus": {"routes": routes}}}}});
    NetworkStatus::parse(status.to_string().as_bytes()).unwrap().unwrap()
}

/// Returns the routes of a status as arguments of `ip route add`.
fn listed(status: &NetworkStatus, internal: bool) -> Vec<String> {
    let mut infos = NetworkInfos::new();
    network_info::add(&mut infos, json!({"name": "n1", "internal": internal})).unwrap();
    let interfaces = interfaces(status, &infos);
    routes(&interfaces).unwrap().iter().map(|desired| desired.route.to_string()).collect()
}

fn subnet(ipnet: &str, gateway: &str) -> Value {
    json!({"ipnet": ipnet, "gateway": gateway})
}

#[test]
fn each_gateway_has_a_default_route_with_its_own_metric() {
    for (subnets, routes, expected) in [
        (json!([]), json!([]), vec![]),
        (json!([{"ipnet": "10.1.0.5/24"}]), json!([]), vec![]),
        (
            json!([subnet("10.1.0.5/24", "10.1.0.1")]),
            json!([]),
            vec!["default via 10.1.0.1 dev eth0 metric 100"],
        ),
        (
            json!([
                subnet("10.1.0.5/24", "10.1.0.1"),
                subnet("fd00::5/64", "fd00::1"),
                subnet("10.2.0.5/24", "10.2.0.1"),
                subnet("10.1.0.6/24", "10.1.0.1"),
            ]),
            json!([]),
            vec![
                "default via 10.1.0.1 dev eth0 metric 100",
                "default via fd00::1 dev eth0 metric 100",
                "default via 10.2.0.1 dev eth0 metric 101",
            ],
        ),
        // One address whose prefix contains the gateway is enough.
        (
            json!([subnet("192.0.2.7/32", "10.1.0.1"), subnet("10.1.0.5/24", "10.1.0.1")]),
            json!([]),
            vec!["default via 10.1.0.1 dev eth0 metric 100"],
        ),
        (
            json!([subnet("192.0.2.7/32", "10.1.0.1")]),
            json!([]),
            vec!["default via 10.1.0.1 dev eth0 onlink metric 100"],
        ),
        // A saved default route through the gateway replaces the implied route.
        (
            json!([subnet("10.1.0.5/24", "10.1.0.1")]),
            json!([{"dst": "default", "gw": "10.1.0.1", "metric": 7, "proto": 3}]),
            vec!["default via 10.1.0.1 dev eth0 metric 7"],
        ),
        (
            json!([subnet("10.1.0.5/24", "10.1.0.1")]),
            json!([{"dst": "10.0.0.0/8", "gw": "10.1.0.1", "proto": 3},
                {"dst": "default", "gw": "10.1.0.2", "metric": 7, "proto": 3}]),
            vec![
                "10.0.0.0/8 via 10.1.0.1 dev eth0",
                "default via 10.1.0.2 dev eth0 metric 7",
                "default via 10.1.0.1 dev eth0 metric 100",
            ],
        ),
        // Version 0.1.0 did not save `onlink`.
        (
            json!([subnet("192.0.2.7/32", "10.1.0.1")]),
            json!([{"dst": "10.0.0.0/8", "gw": "10.1.0.1", "metric": 7},
                {"dst": "192.0.2.8/32", "gw": null, "metric": 7},
                {"dst": "172.16.0.0/12", "gw": "10.1.0.9", "metric": 7}]),
            vec![
                "10.0.0.0/8 via 10.1.0.1 dev eth0 onlink metric 7",
                "192.0.2.8/32 dev eth0 metric 7",
                "172.16.0.0/12 via 10.1.0.9 dev eth0 metric 7",
                "default via 10.1.0.1 dev eth0 onlink metric 100",
            ],
        ),
        (
            json!([subnet("10.1.0.5/24", "10.1.0.1"), subnet("192.0.2.7/32", "10.1.0.1")]),
            json!([{"dst": "10.0.0.0/8", "gw": "10.1.0.1", "metric": 7}]),
            vec!["10.0.0.0/8 via 10.1.0.1 dev eth0 metric 7", "default via 10.1.0.1 dev eth0 metric 100"],
        ),
    ] {
        assert_eq!(listed(&status(subnets, routes), false), expected);
    }
}

#[test]
fn an_internal_network_has_no_default_route() {
    let routes = json!([{"dst": "default", "gw": "10.1.0.1", "metric": 7, "proto": 3},
        {"dst": "10.0.0.0/8", "gw": "10.1.0.1", "proto": 3}]);
    let status = status(json!([subnet("10.1.0.5/24", "10.1.0.1")]), routes);
    assert_eq!(listed(&status, true), ["10.0.0.0/8 via 10.1.0.1 dev eth0"]);
}

#[test]
fn a_default_route_covers_the_gateway_it_leads_through() {
    let status = status(json!([subnet("10.1.0.5/24", "10.1.0.1")]), json!([]));
    let interfaces = interfaces(&status, &NetworkInfos::new());
    let gateway = &gateway_routes(&interfaces)[0];
    for (route, covers) in [
        (json!({"dst": "default", "gw": "10.1.0.1"}), true),
        (json!({"dst": "default", "gw": "10.1.0.2"}), false),
        (json!({"dst": "default", "gw": "10.1.0.1", "dev": "eth1"}), false),
        (json!({"dst": "10.0.0.0/8", "gw": "10.1.0.1"}), false),
        (json!({"dst": "default", "gw": null, "family": "inet"}), false),
    ] {
        assert_eq!(desired(&route, true).covers(gateway), covers, "{route}");
    }
}

fn route(value: &Value) -> Route {
    saved_route(value.clone(), "eth0").unwrap().route
}

fn desired(value: &Value, exact: bool) -> DesiredRoute<'static> {
    DesiredRoute { interface: "eth0", route: route(value), exact, saved: true }
}

#[test]
fn an_inexact_route_is_compared_by_key_and_next_hops() {
    let saved = json!({"dst": "10.0.0.0/8", "gw": "10.1.0.1", "metric": 7});
    for (change, exact, inexact) in [
        (json!({}), true, true),
        (json!({"metric": 8}), false, true),
        (json!({"src": "10.1.0.5"}), false, true),
        (json!({"onlink": true}), false, true),
        (json!({"dst": "10.0.0.0/9"}), false, false),
        (json!({"table": 100}), false, false),
        (json!({"type": "multicast"}), false, false),
        (json!({"gw": "10.1.0.2"}), false, false),
        (json!({"dev": "eth1"}), false, false),
    ] {
        let mut live = saved.clone();
        live.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(desired(&saved, true).matches(&route(&live)), exact, "exact: {change}");
        assert_eq!(desired(&saved, false).matches(&route(&live)), inexact, "inexact: {change}");
    }
}

#[test]
fn the_order_of_next_hops_does_not_matter() {
    let hops = |first: &str, second: &str| json!({"dst": "10.0.0.0/8", "gw": null, "nexthops": [{"gw": first}, {"gw": second}]});
    let saved = desired(&hops("10.1.0.1", "10.1.0.2"), true);
    assert!(saved.matches(&route(&hops("10.1.0.2", "10.1.0.1"))));
    assert!(!saved.matches(&route(&hops("10.1.0.2", "10.1.0.2"))));
}

#[test]
fn ipv6_addresses_of_a_live_interface_are_added_in_reverse() {
    let subnets = json!([{"ipnet": "fd00::1/64"}, {"ipnet": "10.1.0.5/24"}, {"ipnet": "fd00::2/64"}]);
    let list = |saved: Value| {
        let mut status = status(subnets.clone(), json!([]));
        let interface = status.networks.get_mut("n1").unwrap().interfaces.get_mut("eth0").unwrap();
        interface.unknown.insert("x-netstatus".into(), json!({"addresses": saved}));
        let ipnets = addresses(interface, &Extension::of("eth0", interface).unwrap());
        ipnets.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(list(json!([])), ["fd00::1/64", "10.1.0.5/24", "fd00::2/64"]);
    assert_eq!(
        list(json!([{"address": "fd00::1/64"}, {"address": "192.0.2.1/24", "scope": 253}])),
        ["10.1.0.5/24", "192.0.2.1/24", "fd00::2/64", "fd00::1/64"]
    );
}
