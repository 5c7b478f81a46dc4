//! The flags of `netstatus`.
//!
//! The network namespaces do not exist: flags are rejected before a namespace is opened.

use std::fs;

use tempfile::TempDir;

use crate::{Action, Row, check, data};

const SAVE: &[Action] =
    &[("status", "status"), ("cni", "--network n1 cni"), ("netns", "--netns none"), ("pid", "--pid 0")];

const SAVE_FLAGS: &[Row] = &[
    ("--from cni", "status ~cni"),
    ("--network n1", "~netns ~pid"),
    ("--network eth0=n1", "~status ~netns ~pid"),
    ("--ifname eth0", "~cni"),
    ("--mac 02:00:00:00:00:01", "~cni"),
    ("--require", "~status ~cni ~netns ~pid"),
    ("--netns none", ""),
    ("--pid 0", ""),
    ("--network-info networks", "~netns ~pid"),
    ("--interface eth0", "~netns ~pid"),
    ("--resolv-conf none", "~netns ~pid"),
    ("--extended", "~netns ~pid"),
    ("--members", "status cni netns pid"),
    ("--output new", "status cni ~netns ~pid"),
    ("--fsync", ""),
    ("--fsync --output new", "status cni ~netns ~pid"),
];

const RESTORE: &[Action] = &[
    ("netavark", "--to netavark --container-id a --container-name b --network-info networks status"),
    ("cni", "--to cni status"),
    ("cni-args", "--to cni-args status"),
    ("podman", "--to podman status"),
    ("ip-batch", "--to ip-batch status"),
    ("status", "--to status status"),
];

const EACH: &str = "netavark cni cni-args podman ip-batch status";

const RESTORE_FLAGS: &[Row] = &[
    ("--to podman", ""),
    // The subnets complete the addresses of --ip.
    ("--network-info networks", "~cni ~cni-args ~podman ~ip-batch ~status"),
    ("--base base", "netavark cni"),
    ("--interface eth1", "cni"),
    ("--null", "podman"),
    ("--ignore-static-ip", EACH),
    ("--ignore-static-mac", EACH),
    ("--ip aggn1=10.91.1.9/24", EACH),
    ("--mac aggn1=02:00:00:00:00:01", EACH),
    ("--ifname aggn1=eth7", "netavark cni-args podman ip-batch status"),
    ("--rename aggn1=other", "netavark ~cni ~cni-args podman ~ip-batch status"),
    ("--only other", EACH),
    ("--container-id x", ""),
    ("--container-name x", ""),
    ("--hostname x", "netavark"),
    ("--publish 80:80", "netavark"),
    ("--alias aggn1=x", "netavark"),
    ("--dns 192.0.2.1", "netavark"),
    ("--netavark-version 2", "~netavark"),
    ("--output new", EACH),
    ("--fsync", ""),
    ("--fsync --output new", EACH),
];

const APPLY: &[Action] = &[
    ("existing", "--netns none status"),
    ("veth", "--netns none --create veth status"),
    ("macvlan", "--netns none --create macvlan status"),
    ("ipvlan", "--netns none --create ipvlan status"),
];

const HIDDEN_APPLY: &str = "~existing ~veth ~macvlan ~ipvlan";

const APPLY_FLAGS: &[Row] = &[
    ("--netns other", ""),
    ("--from-if a=b", HIDDEN_APPLY),
    ("--create veth", "~existing"),
    ("--bridge br0", "~veth"),
    ("--host-if a", "~veth"),
    ("--parent eth0", "~macvlan ~ipvlan"),
    ("--flush", HIDDEN_APPLY),
    ("--network-info networks", HIDDEN_APPLY),
];

const CHECK: &[Action] = &[
    ("document", "status"),
    ("host", "--network-info networks status"),
    ("netns", "--netns none status"),
    ("probe", "--netns none --probe status"),
];

const CHECK_FLAGS: &[Row] = &[
    // Only root may compare with the host.
    ("--netns none", "document ~host"),
    ("--network-info networks", "~document ~netns ~probe"),
    ("--wait 1", "~netns"),
    ("--probe", "~netns"),
];

/// Creates a directory with a status and a CNI result.
fn workdir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let data = data("netstatus");
    fs::copy(data.join("podman/one.network.status"), dir.path().join("status")).unwrap();
    fs::copy(data.join("cni/result-1.0.0-dual.json"), dir.path().join("cni")).unwrap();
    fs::create_dir(dir.path().join("networks")).unwrap();
    fs::copy(data.join("networks/aggn1.json"), dir.path().join("networks/aggn1.json")).unwrap();
    fs::write(dir.path().join("base"), r#"{"name":"aggn1","cniVersion":"1.0.0","type":"bridge"}"#).unwrap();
    dir
}

#[test]
fn flags_of_netstatus_have_an_effect_or_are_rejected() {
    let dir = workdir();
    for (verb, actions, rows) in [
        ("save", SAVE, SAVE_FLAGS),
        ("restore", RESTORE, RESTORE_FLAGS),
        ("apply", APPLY, APPLY_FLAGS),
        ("check", CHECK, CHECK_FLAGS),
        ("show", &[("show", "status")], &[("--json", "show")]),
        ("hold", &[("hold", "--netns none")], &[("--netns other", ""), ("--silent", "~hold")]),
        (
            "release",
            &[("release", "--netns none")],
            &[("--netns other", ""), ("--announce", "~release"), ("--remove-criu-lock", "~release")],
        ),
    ] {
        check(dir.path(), &format!("netstatus {verb}"), actions, rows);
    }
}
