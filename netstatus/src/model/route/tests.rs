//! Routes in JSON and as arguments of `ip route add`.

use serde_json::{Value, json};

use super::json::saved_route;
use super::{Hop, Route};

fn route(value: Value) -> Route {
    saved_route(value.clone(), "eth0").unwrap_or_else(|e| panic!("{value}: {e}")).route
}

/// Returns the keys that every saved route has, followed by `more`.
fn saved(dst: &str, gw: Option<&str>, metric: u32, more: Value) -> Value {
    let mut value = json!({"dst": dst, "gw": gw, "metric": metric, "proto": 3});
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

#[test]
fn each_key_becomes_an_argument_and_is_saved_again() {
    let v4 = |more| saved("10.0.0.0/8", None, 0, more);
    let v6 = |more| saved("fd01::/64", Some("fd00::1"), 1024, more);
    for (value, arguments) in [
        (saved("default", Some("10.1.0.1"), 7, json!({})), "default via 10.1.0.1 dev eth0 metric 7"),
        (saved("default", Some("fe80::1"), 1024, json!({})), "default via fe80::1 dev eth0 metric 1024"),
        (saved("default", None, 0, json!({"family": "inet"})), "0.0.0.0/0 dev eth0"),
        (saved("default", None, 1024, json!({"family": "inet6"})), "::/0 dev eth0 metric 1024"),
        (
            saved("default", Some("fd00::1"), 0, json!({"family": "inet"})),
            "0.0.0.0/0 via inet6 fd00::1 dev eth0",
        ),
        (v4(json!({})), "10.0.0.0/8 dev eth0"),
        (v4(json!({"type": "blackhole"})), "blackhole 10.0.0.0/8"),
        (v4(json!({"type": "unreachable"})), "unreachable 10.0.0.0/8"),
        (v4(json!({"type": "prohibit"})), "prohibit 10.0.0.0/8"),
        (v4(json!({"type": "throw"})), "throw 10.0.0.0/8"),
        (v4(json!({"type": "local"})), "local 10.0.0.0/8 dev eth0"),
        (v4(json!({"type": "multicast"})), "multicast 10.0.0.0/8 dev eth0"),
        (v4(json!({"type": "local", "scope": 253})), "local 10.0.0.0/8 dev eth0 scope 253"),
        (v4(json!({"scope": 0})), "10.0.0.0/8 dev eth0 scope 0"),
        (v6(json!({})), "fd01::/64 via fd00::1 dev eth0 metric 1024"),
        (v6(json!({"from": "fd02::/64"})), "fd01::/64 from fd02::/64 via fd00::1 dev eth0 metric 1024"),
        (v6(json!({"pref": 1})), "fd01::/64 via fd00::1 dev eth0 metric 1024 pref high"),
        (v6(json!({"pref": 3})), "fd01::/64 via fd00::1 dev eth0 metric 1024 pref low"),
        (v4(json!({"tos": 16})), "10.0.0.0/8 tos 0x10 dev eth0"),
        (v4(json!({"table": 100})), "10.0.0.0/8 dev eth0 table 100"),
        (v4(json!({"proto": 4})), "10.0.0.0/8 dev eth0 proto 4"),
        (v4(json!({"src": "10.1.0.5"})), "10.0.0.0/8 dev eth0 src 10.1.0.5"),
        (v4(json!({"congctl": "bbr"})), "10.0.0.0/8 dev eth0 congctl bbr"),
        (v4(json!({"congctl": "fifteen_bytes-a"})), "10.0.0.0/8 dev eth0 congctl fifteen_bytes-a"),
        (v4(json!({"dev": "eth1"})), "10.0.0.0/8 dev eth1"),
        (v4(json!({"dev": "lo"})), "10.0.0.0/8 dev lo"),
        (v4(json!({"onlink": true})), "10.0.0.0/8 dev eth0 onlink"),
        (v4(json!({"realm": 5})), "10.0.0.0/8 dev eth0 realm 5"),
        (v4(json!({"realm": 0x10002})), "10.0.0.0/8 dev eth0 realm 1/2"),
        (
            // 1 << 2 locks mtu. ip-route(8) has no `lock` for quickack (15) and rto_min (13).
            v4(json!({"attributes": {"lock": 4 | 1 << 13 | 1 << 15, "mtu": 1400, "advmss": 1360,
                "quickack": 1, "rto_min": 40}})),
            "10.0.0.0/8 dev eth0 advmss 1360 mtu lock 1400 quickack 1 rto_min 40",
        ),
        (v4(json!({"attributes": {"features": 1}})), "10.0.0.0/8 dev eth0 features ecn"),
        (v4(json!({"attributes": {"features": 9}})), "10.0.0.0/8 dev eth0 features ecn"),
        (v4(json!({"attributes": {"features": 8}})), "10.0.0.0/8 dev eth0"),
        (
            v4(json!({"nexthops": [{"gw": "10.1.0.1", "weight": 1},
                {"gw": "10.1.0.2", "dev": "eth1", "onlink": true, "realm": 7, "weight": 256}]})),
            "10.0.0.0/8 nexthop via 10.1.0.1 dev eth0 weight 1 \
             nexthop via 10.1.0.2 dev eth1 onlink realm 7 weight 256",
        ),
        (
            v4(json!({"nexthops": [{"gw": null, "weight": 2}, {"gw": null, "dev": "eth1", "weight": 3}]})),
            "10.0.0.0/8 nexthop dev eth0 weight 2 nexthop dev eth1 weight 3",
        ),
    ] {
        let route = route(value.clone());
        assert_eq!(route.to_string(), arguments);
        assert_eq!(route.to_json("eth0"), value);
    }
}

#[test]
fn the_limits_of_each_key_are_checked() {
    let hops = |hop: Value| json!({"nexthops": [hop, {"gw": "10.1.0.2"}]});
    let gw = "10.1.0.1";
    for (more, valid) in [
        (json!({"congctl": "fifteen_bytes-a"}), true),
        (json!({"congctl": "sixteen_bytes-ab"}), false),
        (json!({"congctl": ""}), false),
        (json!({"congctl": "a b"}), false),
        (json!({"tos": 255}), true),
        (json!({"tos": 256}), false),
        (json!({"metric": u32::MAX}), true),
        (json!({"metric": 1_u64 << 32}), false),
        (hops(json!({"gw": gw, "weight": 256})), true),
        (hops(json!({"gw": gw, "weight": 257})), false),
        (hops(json!({"gw": gw, "weight": 0})), false),
        (hops(json!({"gw": "fd00::1"})), true),
        (json!({"src": "fd00::1"}), false),
        (json!({"from": "fd00::/64"}), false),
        (json!({"from": "10.2.0.0/16"}), true),
        (json!({"dev": null, "gw": null, "onlink": null}), true),
        (json!({"dev": "a/b"}), false),
        (json!({"onlink": "true"}), false),
        (json!({"attributes": {"colour": 1}}), false),
        (json!({"attributes": {"mtu": "big"}}), false),
        (json!({"type": "teapot"}), false),
    ] {
        let value = saved("10.0.0.0/8", None, 0, more);
        assert_eq!(saved_route(value.clone(), "eth0").is_ok(), valid, "{value}");
    }
    let other_family = saved("fd01::/64", Some(gw), 0, json!({}));
    assert!(saved_route(other_family, "eth0").is_err());
    for (family, valid) in [(json!("inet"), true), (json!("inet6"), true), (json!("ipx"), false)] {
        let value = saved("default", None, 0, json!({"family": family}));
        assert_eq!(saved_route(value, "eth0").is_ok(), valid, "{family}");
    }
}

#[test]
fn version_0_1_0_saved_three_keys_of_a_route() {
    let value = json!({"dst": "default", "gw": "fd00::1", "metric": null});
    let saved = saved_route(value, "eth0").unwrap();
    let hop =
        Hop { interface: Some("eth0".into()), gateway: Some("fd00::1".parse().unwrap()), ..Hop::default() };
    assert!(!saved.exact);
    assert_eq!(saved.route, Route::plain(true, None, 1024, hop));
}

#[test]
fn podman_can_express_only_default_routes_with_a_gateway() {
    let gateway = |more| saved("default", Some("10.1.0.1"), 7, more);
    for (value, is_default, is_gateway_only) in [
        (gateway(json!({})), true, true),
        (gateway(json!({"proto": 16})), true, true),
        (gateway(json!({"pref": 1})), true, true),
        (gateway(json!({"onlink": true})), true, true),
        (gateway(json!({"src": "10.1.0.5"})), true, false),
        (gateway(json!({"scope": 200})), true, false),
        (gateway(json!({"attributes": {"mtu": 1400}})), true, false),
        (gateway(json!({"tos": 16})), false, false),
        (gateway(json!({"table": 100})), false, false),
        (gateway(json!({"type": "local"})), false, false),
        (saved("default", None, 7, json!({"family": "inet"})), true, false),
        (saved("default", None, 7, json!({"type": "blackhole"})), false, false),
        (saved("10.0.0.0/8", Some("10.1.0.1"), 7, json!({})), false, false),
        (saved("default", Some("fd00::1"), 7, json!({"from": "fd02::/64"})), false, false),
        (
            saved("default", None, 7, json!({"nexthops": [{"gw": "10.1.0.1"}, {"gw": "10.1.0.2"}]})),
            true,
            false,
        ),
    ] {
        let route = route(value.clone());
        assert_eq!((route.is_default(), route.is_gateway_only()), (is_default, is_gateway_only), "{value}");
    }
}

#[test]
fn the_key_of_a_route_has_six_parts() {
    let first = saved("default", Some("fd00::1"), 7, json!({"proto": 4}));
    for (more, same) in [
        (json!({"proto": 16}), true),
        (json!({"gw": "fd00::2"}), true),
        (json!({"gw": "10.1.0.1"}), false),
        (json!({"dst": "fd01::/64"}), false),
        (json!({"from": "fd02::/64"}), false),
        (json!({"tos": 16}), false),
        (json!({"table": 100}), false),
        (json!({"metric": 8}), false),
    ] {
        let mut second = first.clone();
        second.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(route(first.clone()).same_key(&route(second)), same, "{more}");
    }
}

#[test]
fn the_scope_follows_from_type_and_next_hops() {
    let (host, link, universe) = (254, 253, 0);
    let v4 = |gw, more| saved("10.0.0.0/8", gw, 0, more);
    let hops = json!({"nexthops": [{"gw": null}, {"gw": null, "dev": "eth1"}]});
    for (value, scope) in [
        (v4(None, json!({})), link),
        (v4(Some("10.1.0.1"), json!({})), universe),
        (v4(None, hops), universe),
        (v4(None, json!({"nexthops": [{"gw": null}]})), link),
        (v4(None, json!({"type": "local"})), host),
        (v4(None, json!({"type": "broadcast"})), link),
        (v4(None, json!({"type": "multicast"})), link),
        (v4(None, json!({"type": "anycast"})), link),
        (v4(Some("10.1.0.1"), json!({"type": "multicast"})), universe),
        (v4(None, json!({"type": "blackhole"})), universe),
        (saved("fd01::/64", None, 0, json!({})), universe),
    ] {
        assert_eq!(route(value.clone()).scope, scope, "{value}");
    }
}

#[test]
fn a_route_uses_the_interfaces_of_its_next_hops() {
    let hops = json!({"nexthops": [{"gw": "10.1.0.1"}, {"gw": "10.1.0.2", "dev": "eth1"}]});
    let route = route(saved("10.0.0.0/8", None, 0, hops));
    assert!(route.uses("eth0") && route.uses("eth1") && !route.uses("eth2"));
}
