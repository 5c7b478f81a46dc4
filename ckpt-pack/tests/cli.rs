//! Runs the binary, and checks the archives, the messages and the files it leaves behind.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use checkpoint::Member;
use checkpoint::archive::{ArchiveReader, Unknown};
use checkpoint::stream::StreamWriter;
use serde_json::{Value, json};
use tartree::{Entry, TarPath, Timestamp};

struct TestDir {
    dir: tempfile::TempDir,
}

struct Run {
    status: i32,
    stdout: Vec<u8>,
    stderr: String,
}

impl TestDir {
    /// Creates a directory with a bundle `web`.
    fn new() -> TestDir {
        let test = TestDir { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(test.path("web/checkpoint")).unwrap();
        test.write("web/checkpoint/inventory.img", "inventory");
        test.write("web/checkpoint/pages-1.img", "pages");
        let spec = json!({
            "ociVersion": "1.2.0", "process": { "user": { "uid": 7, "gid": 8 } }, "root": {}, "linux": {},
            "mounts": [{ "destination": "/data", "type": "bind", "source": "/srv/data" }],
        });
        test.write("web/config.json", spec.to_string());
        test
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn run(&self, args: &[&str]) -> Run {
        self.run_with(args, b"")
    }

    fn run_with(&self, args: &[&str], input: &[u8]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-pack"));
        command.args(args).current_dir(self.dir.path()).env("NO_COLOR", "1").env_remove("SOURCE_DATE_EPOCH");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let bytes = input.to_vec();
        // The tool may end before it has read everything.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        Run { status: output.status.code().unwrap_or(-1), stdout: output.stdout, stderr }
    }

    /// Packs with these arguments; the run must succeed without messages.
    fn pack(&self, args: &[&str], input: &[u8]) -> Vec<(Member, Entry, Vec<u8>)> {
        let run = self.run_with(&[&["--bundle", "web"], args].concat(), input);
        assert_eq!((run.status, run.stderr.as_str()), (0, ""));
        members(&run.stdout)
    }
}

fn members(archive: &[u8]) -> Vec<(Member, Entry, Vec<u8>)> {
    let mut reader = ArchiveReader::new(archive, Unknown::Refuse).unwrap();
    let mut all = Vec::new();
    while let Some((member, entry)) = reader.next().unwrap() {
        let mut content = Vec::new();
        reader.content().read_to_end(&mut content).unwrap();
        all.push((member, entry, content));
    }
    reader.finish().unwrap();
    all
}

fn names(all: &[(Member, Entry, Vec<u8>)]) -> Vec<String> {
    all.iter().map(|(member, ..)| member.to_string()).collect()
}

fn json_of(all: &[(Member, Entry, Vec<u8>)], wanted: &Member) -> Value {
    serde_json::from_slice(&all.iter().find(|(member, ..)| member == wanted).unwrap().2).unwrap()
}

fn stream(members: &[(&str, &[u8])], changed: u64) -> Vec<u8> {
    let mut writer = StreamWriter::new(Vec::new(), "producer");
    for (name, content) in members {
        let member = Member::of(&TarPath::parse(name.as_bytes()).unwrap());
        writer.small(&member, content, Timestamp { sec: 5, nsec: 0 }).unwrap();
    }
    writer.finish(changed).unwrap()
}

const DIFF: (&str, &[u8]) = ("rootfs-diff.tar", b"diff");

#[test]
fn small_members_precede_images_and_images_precede_streams() {
    let test = TestDir::new();
    test.write("web/ctr.log", "log");
    test.write("web/stats-dump", "stats");
    let two =
        [stream(&[DIFF, ("deleted.files", b"[]")], 0), stream(&[("network.status", b"null")], 0)].concat();
    let all = test.pack(&["-"], &two);
    assert_eq!(
        names(&all),
        [
            "config.dump",
            "spec.dump",
            "stats-dump",
            "ctr.log",
            "checkpoint",
            "checkpoint/inventory.img",
            "checkpoint/pages-1.img",
            "rootfs-diff.tar",
            "deleted.files",
            "network.status",
        ]
    );
    assert_eq!(all[4].1.meta.mode, 0o700);
    assert_eq!(all[1].2, fs::read(test.path("web/config.json")).unwrap());
}

#[test]
fn packing_twice_yields_the_same_bytes_in_files_of_mode_0600() {
    let test = TestDir::new();
    for format in ["none", "gzip", "zstd", "xz", "bzip2"] {
        let args = ["--bundle", "web", "--compress", format, "-o", "web.ckpt", "-"];
        assert_eq!(test.run_with(&args, &stream(&[DIFF], 0)).status, 0);
        let first = fs::read(test.path("web.ckpt")).unwrap();
        let threads: &[&str] = if format == "none" { &[] } else { &["--threads", "3"] };
        assert_eq!(test.run_with(&[&args[..], threads].concat(), &stream(&[DIFF], 0)).status, 0);
        assert!(first == fs::read(test.path("web.ckpt")).unwrap(), "{format}");
        assert_eq!(members(&first).len(), 6, "{format}");
        assert_eq!(fs::metadata(test.path("web.ckpt")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_new_config_dump_has_the_keys_of_podman_and_cri_o() {
    let test = TestDir::new();
    let id = "a".repeat(64);
    test.write(
        "state.json",
        json!({ "id": "shop", "created": "2026-11-23T10:00:00Z", "pid": 1 }).to_string(),
    );
    let image = format!("localhost/web:1@sha256:{id}");
    let args = [
        "--ignore-rootfs",
        "--ignore-volumes",
        "--state",
        "state.json",
        "--rootfs-image",
        &image,
        "--volume",
        "data=/data",
    ];
    let all = test.pack(&args, b"");
    let config = json_of(&all, &Member::ConfigDump);
    let expected = json!({
        "name": "shop", "rootfsImageName": "localhost/web:1", "rootfsImage": "localhost/web:1",
        "rootfsImageID": id, "rootfsImageRef": id, "createdTime": "2026-11-23T10:00:00Z", "runtime": "runc", "user": "7:8",
        "namedVolumes": [{ "volumeName": "data", "dest": "/data", "options": ["rprivate", "rbind", "nocopy"] }],
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&config[key], value, "{key}");
    }
    assert_eq!(config["id"].as_str().unwrap().len(), 64);
    let spec = json_of(&all, &Member::SpecDump);
    assert_eq!(spec["mounts"][0]["source"], "/var/lib/containers/storage/volumes/data/_data");
    assert_eq!(spec["process"]["user"]["uid"], 7);
}

#[test]
fn the_container_id_comes_from_the_state_if_it_is_an_id() {
    let test = TestDir::new();
    let long = "ab".repeat(32);
    let id_of = |state: &str, more: &[&str]| {
        test.write("state.json", json!({ "id": state }).to_string());
        let args = [&["--ignore-rootfs", "--state", "state.json"], more].concat();
        json_of(&test.pack(&args, b""), &Member::ConfigDump)
    };
    let config = id_of(&long, &[]);
    assert_eq!((config["id"].as_str(), config["name"].as_str()), (Some(&long[..]), Some(&long[..])));
    assert_eq!(id_of(&long, &["--name", "web"])["id"], json!(long));
    assert_eq!(id_of(&long, &["--id", "x"])["id"], "x");
    for other in ["web", &long[1..], &long.to_uppercase(), &format!("sha256:{long}")] {
        let id = id_of(other, &["--name", "web"])["id"].as_str().unwrap().to_owned();
        assert!(id.len() == 64 && id != other && id != long, "{other}: {id}");
    }
}

#[test]
fn image_names_of_docker_get_their_registry() {
    let test = TestDir::new();
    let id = "ab".repeat(32);
    let name = |reference: &str| {
        let run =
            test.run(&["--bundle", "web", "--ignore-rootfs", "--rootfs-image", &format!("{reference}@{id}")]);
        assert_eq!(run.status, 0, "{}", run.stderr);
        let config = json_of(&members(&run.stdout), &Member::ConfigDump);
        assert_eq!(config["rootfsImageID"], json!(id));
        assert_eq!(config["rootfsImage"], config["rootfsImageName"]);
        (config["rootfsImageName"].as_str().unwrap().to_owned(), run.stderr)
    };
    let full = ["localhost/web", "quay.io/a/b:1", "h:5000/a", "docker.io/library/img:1"];
    for reference in full {
        assert_eq!(name(reference), (reference.to_owned(), String::new()));
    }
    let (short, stderr) = name("img:1");
    assert_eq!(short, "img:1");
    assert_eq!(
        stderr,
        "ckpt-pack: warning: --rootfs-image: img:1: podman may not find an image by a name without a registry\n\
         hint: --rootfs-image localhost/img:1@ID, or docker.io/library/img:1@ID\n"
    );
    let source = format!("/var/lib/docker/containers/{id}/hosts");
    let mounts = json!([{ "destination": "/etc/hosts", "type": "bind", "source": source }]);
    let spec = json!({ "process": {}, "root": {}, "linux": {}, "mounts": mounts });
    test.write("web/config.json", spec.to_string());
    for reference in full {
        assert_eq!(name(reference), (reference.to_owned(), String::new()));
    }
    for (short, long) in
        [("img:1", "docker.io/library/img:1"), ("a/b", "docker.io/a/b"), ("a:b", "docker.io/library/a:b")]
    {
        assert_eq!(name(short), (long.to_owned(), String::new()));
    }
}

const STATUS: &[u8] = br#"{"lan":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.88.0.5/24","gateway":"10.88.0.1"},{"ipnet":"fd99::50/64"}],"mac_address":"02:00:00:00:00:05"}}}}"#;

impl TestDir {
    /// Gives the container in `web` the network namespace `namespace`.
    fn namespace(&self, namespace: &str) {
        let namespaces: Value = serde_json::from_str(&format!("[{{\"type\":\"pid\"}}{namespace}]")).unwrap();
        let spec = json!({
            "ociVersion": "1.2.0", "process": {}, "root": {}, "mounts": [], "linux": { "namespaces": namespaces },
        });
        self.write("web/config.json", spec.to_string());
    }
}

const JOINED: &str = r#",{"type":"network","path":"/run/netns/web"}"#;

#[test]
fn podman_gets_the_networks_of_network_status() {
    let test = TestDir::new();
    test.namespace(JOINED);
    let network = json!({
        "createNetNS": true, "networkMode": "bridge",
        "newNetworks": { "lan": {
            "interface_name": "eth0", "static_ips": ["10.88.0.5", "fd99::50"], "static_mac": "02:00:00:00:00:05",
        } },
    });
    let check = |all: &[(Member, Entry, Vec<u8>)]| {
        let config = json_of(all, &Member::ConfigDump);
        for (key, value) in network.as_object().unwrap() {
            assert_eq!(&config[key], value, "{key}");
        }
        let content = |member: &Member| &all.iter().find(|(m, ..)| m == member).unwrap().2;
        assert_eq!(content(&Member::NetworkStatus), STATUS);
        assert_eq!(*content(&Member::SpecDump), fs::read(test.path("web/config.json")).unwrap());
        names(all)
    };
    // In a stream, config.dump follows network.status and precedes the volumes.
    let after = stream(&[DIFF, ("network.status", STATUS), ("volumes/v.tar", b"v")], 0);
    assert_eq!(
        check(&test.pack(&["-"], &after))[4..],
        ["rootfs-diff.tar", "network.status", "config.dump", "volumes/v.tar"]
    );
    // A status that is no part of a stream is known before everything else.
    let first = ["config.dump", "spec.dump", "network.status", "checkpoint"];
    test.write("status", STATUS);
    let args = ["--ignore-rootfs", "--member", "network.status=status"];
    assert_eq!(check(&test.pack(&args, b""))[..4], first);
    assert_eq!(check(&test.pack(&[&args[..], &["-"]].concat(), &stream(&[DIFF], 0)))[..4], first);
    test.write("web/network.status", STATUS);
    assert_eq!(check(&test.pack(&["--ignore-rootfs"], b""))[..4], first);
    // The bundle's file is older than streams, which may have another one.
    let last = check(&test.pack(&["-"], &stream(&[DIFF], 0)));
    assert_eq!(last[last.len() - 3..], ["rootfs-diff.tar", "network.status", "config.dump"]);
}

#[test]
fn network_renames_networks_for_podman() {
    let test = TestDir::new();
    test.namespace(JOINED);
    let two = br#"{"a":{"interfaces":{"eth0":{}}},"b":{"interfaces":{"eth1":{}},"x":1}}"#;
    let networks = |flags: &[&str], status: &[u8]| {
        let flags: Vec<&str> = flags.iter().flat_map(|flag| ["--network", flag]).collect();
        let args = [&["--ignore-rootfs", "-"], &flags[..]].concat();
        let all = test.pack(&args, &stream(&[("network.status", status)], 0));
        let config = json_of(&all, &Member::ConfigDump);
        assert_eq!(config["createNetNS"], true);
        // podman looks for the addresses by the new name.
        (config["newNetworks"].clone(), json_of(&all, &Member::NetworkStatus))
    };
    let (podman, status) = networks(&["net1"], STATUS);
    assert_eq!(podman["net1"]["static_ips"][0], "10.88.0.5");
    assert_eq!(status["net1"]["interfaces"]["eth0"]["subnets"][0]["gateway"], "10.88.0.1");
    let (podman, status) = networks(&["b=lan"], two);
    assert_eq!(podman, json!({ "a": { "interface_name": "eth0" }, "lan": { "interface_name": "eth1" } }));
    assert_eq!(status["lan"]["x"], 1);
    assert_eq!(networks(&["a=b", "b=a"], two).0["b"]["interface_name"], "eth0");
    // Without addresses in the status, podman chooses them.
    for empty in [&b"null"[..], b"{}"] {
        let (podman, status) = networks(&["lan"], empty);
        assert_eq!(podman, json!({ "lan": { "interface_name": "eth0" } }));
        assert_eq!(status, serde_json::from_slice::<Value>(empty).unwrap());
        assert_eq!(networks(&[], empty).0, json!({}));
    }
    assert_eq!(networks(&["none"], STATUS), (json!({}), serde_json::from_slice(STATUS).unwrap()));
}

#[test]
fn a_namespace_is_joined_only_if_network_names_it() {
    let test = TestDir::new();
    test.namespace(JOINED);
    let path = |all: &[(Member, Entry, Vec<u8>)]| {
        json_of(all, &Member::SpecDump)["linux"]["namespaces"][1]["path"].as_str().unwrap().to_owned()
    };
    for (flag, expected) in [("ns:/run/netns/web", "/run/netns/web"), ("ns:/run/netns/b", "/run/netns/b")] {
        let all = test.pack(&["--ignore-rootfs", "--network", flag], b"");
        let config = json_of(&all, &Member::ConfigDump);
        assert_eq!((&config["createNetNS"], config.get("newNetworks")), (&json!(false), None));
        assert_eq!(path(&all), expected);
    }
    // Without a status, podman creates an empty namespace instead of joining one.
    let id = format!("localhost/web:1@{}", "a".repeat(64));
    let args = ["--bundle", "web", "--ignore-rootfs", "--rootfs-image", &id];
    let run = test.run(&args);
    assert_eq!(
        (run.status, run.stderr.as_str()),
        (
            0,
            "ckpt-pack: warning: config.dump: without network.status, podman restores the container without a network\n\
             hint: put netstatus save --members into the pipe, or add --network NAME or --network none\n"
        )
    );
    let config = json_of(&members(&run.stdout), &Member::ConfigDump);
    assert_eq!((&config["createNetNS"], &config["newNetworks"]), (&json!(true), &json!({})));
    let run = test.run(&[&args[..], &["--network", "none"]].concat());
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
}

#[test]
fn other_networks_and_documents_of_engines_are_not_changed() {
    let test = TestDir::new();
    let changed =
        |config: &Value| ["createNetNS", "networkMode", "newNetworks"].map(|key| config.get(key).is_some());
    // The network of the host, and a namespace that CRIU saves and restores.
    for namespace in ["", r#",{"type":"network"}"#] {
        test.namespace(namespace);
        let all = test.pack(&["-"], &stream(&[DIFF, ("network.status", STATUS)], 0));
        assert_eq!(names(&all)[0], "config.dump");
        assert_eq!(changed(&json_of(&all, &Member::ConfigDump)), [false; 3]);
    }
    test.namespace(JOINED);
    let all = test.pack(&["--pre-checkpoint", "--image-path", "web/checkpoint"], b"");
    assert_eq!(changed(&json_of(&all, &Member::ConfigDump)), [false; 3]);
    for config in [r#"{"id":"x"}"#, r#"{"id":"x","createNetNS":false}"#] {
        test.write("web/config.dump", config);
        let all = test.pack(&["-"], &stream(&[DIFF, ("network.status", STATUS)], 0));
        assert_eq!(names(&all)[0], "config.dump");
        assert_eq!(json_of(&all, &Member::ConfigDump).get("newNetworks"), None);
    }
    // podman always writes createNetNS; another engine's document may get a network.
    test.write("web/config.dump", r#"{"id":"x"}"#);
    let all = test.pack(&["--network", "lan", "-"], &stream(&[DIFF, ("network.status", STATUS)], 0));
    assert_eq!(json_of(&all, &Member::ConfigDump)["newNetworks"]["lan"]["interface_name"], "eth0");
}

#[test]
fn a_network_that_podman_cannot_set_up_is_an_error() {
    let test = TestDir::new();
    let two = br#"{"a":{"interfaces":{"eth0":{}}},"b":{"interfaces":{"eth1":{},"eth2":{}}}}"#;
    let run = |namespace: &str, flags: &[&str], status: &[u8]| {
        test.namespace(namespace);
        let flags: Vec<&str> = flags.iter().flat_map(|flag| ["--network", flag]).collect();
        let args = [&["--bundle", "web", "--ignore-rootfs", "-o", "web.ckpt", "-"], &flags[..]].concat();
        test.run_with(&args, &stream(&[("network.status", status)], 0))
    };
    for (namespace, flags, status, message) in [
        (
            JOINED,
            &["lan"][..],
            1,
            "standard input: --network: lan: network.status has several networks: a b\nhint: --network OLD=lan",
        ),
        (JOINED, &["x=lan"], 1, "--network: x=lan: network.status has a b"),
        (JOINED, &["a=b"], 1, "two networks of network.status would get the name b"),
        (JOINED, &["a=c", "b=c"], 2, "--network: b=c: this network was given before"),
        (JOINED, &["a=c", "none"], 2, "--network: several networks need the form OLD=NEW"),
        (JOINED, &["host"], 2, "expected the name of a network of podman, OLD=NEW, none or ns:PATH"),
        ("", &["lan"], 1, "web/config.json: the container has the network of the host"),
        (r#",{"type":"network"}"#, &["lan"], 1, "web/config.json: the network namespace has no path"),
    ] {
        let run = run(namespace, flags, two);
        assert_eq!(run.status, status, "{flags:?}: {}", run.stderr);
        assert!(run.stderr.contains(message), "{flags:?}: {}", run.stderr);
        assert!(!test.path("web.ckpt").exists());
    }
    let warned = run(JOINED, &[], two);
    assert_eq!(
        (warned.status, warned.stderr.as_str()),
        (
            0,
            "ckpt-pack: warning: network.status: network b has the interfaces eth1 eth2: podman restores one of them\n"
        )
    );
    fs::remove_file(test.path("web.ckpt")).unwrap();
    for damaged in [&b"5"[..], br#"{"a":{"interfaces":{"e":{"subnets":[{"ipnet":"x"}]}}}}"#, b""] {
        let run = run(JOINED, &[], damaged);
        assert_eq!(run.status, 1, "{}", run.stderr);
        assert!(run.stderr.contains("standard input: network.status: "), "{}", run.stderr);
        assert!(!test.path("web.ckpt").exists());
    }
    test.write("web/config.dump", r#"{"id":"x","createNetNS":true}"#);
    let run = run(JOINED, &["lan"], STATUS);
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("--network conflicts with web/config.dump, which has the network of podman\nhint: edit web/config.dump"), "{}", run.stderr);
}

/// A spec with the hook that dockerd adds.
fn hooked() -> String {
    json!({
        "ociVersion": "1.2.0", "process": {}, "root": {}, "linux": {}, "mounts": [],
        "hooks": { "prestart": [{ "path": "/proc/28/exe", "args": ["libnetwork-setkey"] }], "poststop": [{ "path": "/b\n" }] },
        "annotations": { "a": "b" },
    })
    .to_string()
}

#[test]
fn hooks_are_dropped_and_named_unless_keep_hooks_is_given() {
    let test = TestDir::new();
    test.write("web/config.json", hooked());
    let run = test.run(&["--bundle", "web", "--ignore-rootfs"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert_eq!(
        run.stderr,
        "ckpt-pack: warning: web/config.json: hooks.prestart: /proc/28/exe: dropped\n\
         ckpt-pack: warning: web/config.json: hooks.poststop: /b\\n: dropped\n\
         hint: to pack the hooks: --keep-hooks\n"
    );
    let spec = json_of(&members(&run.stdout), &Member::SpecDump);
    assert_eq!((spec.get("hooks"), &spec["annotations"]["a"]), (None, &json!("b")));
    let kept = test.pack(&["--ignore-rootfs", "--keep-hooks"], b"");
    assert_eq!(kept[1].2, hooked().into_bytes());
}

#[test]
fn hooks_of_an_archive_of_another_engine_are_kept() {
    let test = TestDir::new();
    test.write("web/config.json", hooked());
    test.write("web/config.dump", r#"{"id":"x"}"#);
    assert_eq!(test.pack(&["--ignore-rootfs"], b"")[1].2, hooked().into_bytes());
}

#[test]
fn config_dump_of_the_bundle_keeps_its_values() {
    let test = TestDir::new();
    let config = r#"{"zeta":18446744073709551615,"id":"x","namedVolumes":[{"volumeName":"v","dest":"/v","options":["ro"]}],"runtime":"crun"}"#;
    test.write("web/config.dump", config);
    let all = test.pack(&["--ignore-rootfs", "--ignore-volumes"], b"");
    let written = String::from_utf8(all[0].2.clone()).unwrap();
    assert!(written.starts_with("{\n  \"zeta\": 18446744073709551615,\n  \"id\": \"x\""), "{written}");
    assert_eq!(json_of(&all, &Member::ConfigDump)["namedVolumes"][0]["options"], json!(["ro", "nocopy"]));
    let run = test.run(&["--bundle", "web", "--ignore-rootfs", "--name", "other"]);
    assert_eq!(run.status, 2);
    assert!(
        run.stderr.contains("--name conflicts with web/config.dump, which has this value"),
        "{}",
        run.stderr
    );
}

#[test]
fn named_volumes_that_are_missing_are_reported() {
    let test = TestDir::new();
    let run = test.run(&["--bundle", "web", "--volume", "data=/data", "-o", "web.ckpt"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("error: rootfs-diff.tar: missing"), "{}", run.stderr);
    assert!(run.stderr.contains("error: volumes/data.tar: missing"), "{}", run.stderr);
    assert!(run.stderr.contains("add data=DIR to vol-archive create"), "{}", run.stderr);
    assert!(!test.path("web.ckpt").exists());
    let both = stream(&[DIFF, ("volumes/data.tar", b"x")], 0);
    assert_eq!(test.run_with(&["--bundle", "web", "--volume", "data=/data", "-"], &both).status, 0);
}

#[test]
fn an_archive_on_stdout_is_unreadable_after_a_failure() {
    let test = TestDir::new();
    for format in ["none", "gzip", "zstd", "xz", "bzip2"] {
        let run = test.run(&["--bundle", "web", "--compress", format]);
        assert_eq!(run.status, 1);
        let read = ArchiveReader::new(&run.stdout[..], Unknown::Keep).and_then(|mut reader| {
            while reader.next()?.is_some() {}
            reader.finish()
        });
        assert!(read.is_err(), "{format}");
    }
    // Go and GNU tar need no end-of-archive blocks, so the archive must end in the middle of a
    // member.
    let run = test.run(&["--bundle", "web"]);
    let mut tar = Command::new("tar")
        .arg("-t")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    tar.stdin.take().unwrap().write_all(&run.stdout).unwrap();
    assert!(!tar.wait().unwrap().success());
}

#[test]
fn files_of_an_earlier_export_are_not_packed() {
    let test = TestDir::new();
    test.write("web/rootfs-diff.tar", "stale");
    test.write("web/deleted.files", "[]");
    fs::create_dir(test.path("web/volumes")).unwrap();
    test.write("web/volumes/v.tar", "stale");
    test.write("web/network.status", "null");
    let all = test.pack(&["-"], &stream(&[DIFF, ("network.status", b"{}")], 0));
    let content = |name: &str| &all.iter().find(|(m, ..)| m.to_string() == name).unwrap().2;
    assert_eq!(content("rootfs-diff.tar"), b"diff");
    assert_eq!(content("network.status"), b"{}");
    assert_eq!(all.len(), 7);
}

#[test]
fn incomplete_or_invalid_streams_are_refused() {
    let test = TestDir::new();
    let good = stream(&[DIFF], 0);
    let double = [good.clone(), stream(&[DIFF], 0)].concat();
    let unknown = stream(&[DIFF, ("surprise", b"")], 0);
    for (bytes, message) in [
        (&good[..1024], "producer"),
        (&good[..good.len() - 2048], ""),
        (b"noise", ""),
        (b"", "expected a member stream, found no data"),
        (&double, "rootfs-diff.tar: occurs twice"),
        (&unknown, "surprise: not a member"),
    ] {
        let run = test.run_with(&["--bundle", "web", "-o", "web.ckpt", "-"], bytes);
        assert_eq!(run.status, 1, "{message}");
        assert!(run.stderr.starts_with("ckpt-pack: error: standard input: "), "{}", run.stderr);
        if message != "producer" {
            assert!(run.stderr.contains(message), "{message}: {}", run.stderr);
        }
        assert!(!test.path("web.ckpt").exists());
    }
}

#[test]
fn a_change_that_a_producer_recorded_leads_to_status_3() {
    let test = TestDir::new();
    let run = test.run_with(&["--bundle", "web", "-"], &stream(&[DIFF], 2));
    assert_eq!(run.status, 3);
    assert!(run.stderr.contains("standard input: 2 entries changed while producer read"), "{}", run.stderr);
    assert_eq!(members(&run.stdout).len(), 6);
}

#[test]
fn a_pre_checkpoint_and_the_dump_after_it_are_packed() {
    let test = TestDir::new();
    fs::create_dir(test.path("web/pre-checkpoint")).unwrap();
    test.write("web/pre-checkpoint/pages-1.img", "pre");
    let all = test.pack(&["--pre-checkpoint"], b"");
    assert_eq!(names(&all)[2..], ["pre-checkpoint", "pre-checkpoint/pages-1.img"]);
    std::os::unix::fs::symlink("/somewhere/else", test.path("web/checkpoint/parent")).unwrap();
    let run = test.run(&["--bundle", "web", "--ignore-rootfs"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("--with-previous"), "{}", run.stderr);
    let all = test.pack(&["--with-previous", "--ignore-rootfs"], b"");
    let link = &all.iter().find(|(m, ..)| m.to_string() == "checkpoint/parent").unwrap().1.kind;
    assert_eq!(*link, tartree::Kind::Symlink { target: b"../pre-checkpoint".to_vec() });
}

/// `ckpt-unpack` keeps unknown members of an archive of a later version in the bundle.
#[test]
fn an_unknown_member_is_packed_with_allow_unknown() {
    let test = TestDir::new();
    test.write("new", "later");
    let run =
        test.run(&["--bundle", "web", "--ignore-rootfs", "--allow-unknown", "--member", "some/new=new"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let mut reader = ArchiveReader::new(&run.stdout[..], Unknown::Keep).unwrap();
    let mut found = Vec::new();
    while let Some((member, _)) = reader.next().unwrap() {
        if matches!(member, Member::Unknown(_)) {
            reader.content().read_to_end(&mut found).unwrap();
        }
    }
    assert_eq!(found, b"later");
}

#[test]
fn zero_pages_in_memory_images_become_holes() {
    let test = TestDir::new();
    let mut memory = vec![1; 4096];
    memory.resize(1 << 20, 0);
    memory.extend([2; 4096]);
    for name in ["pages-1.img", "other.img"] {
        fs::write(test.path("web/checkpoint").join(name), &memory).unwrap();
    }
    let sizes = |args: &[&str]| {
        let run = test.run(&[&["--bundle", "web", "--ignore-rootfs"], args].concat());
        assert_eq!(run.status, 0, "{}", run.stderr);
        let size = run.stdout.len();
        let mut reader = ArchiveReader::new(&run.stdout[..], Unknown::Refuse).unwrap();
        let mut packed = Vec::new();
        while let Some((member, entry)) = reader.next().unwrap() {
            if ["checkpoint/pages-1.img", "checkpoint/other.img"].contains(&member.to_string().as_str()) {
                let tartree::Kind::File { size, map } = entry.kind else { panic!("{member}") };
                assert_eq!(size, memory.len() as u64);
                packed.push(map.map_or(size, |map| map.data_len()));
            }
        }
        (size, packed)
    };
    let (holes, packed) = sizes(&[]);
    assert_eq!(packed, [memory.len() as u64, 8192]);
    let (bytes, packed) = sizes(&["--keep-zeros"]);
    assert_eq!(packed, [memory.len() as u64; 2]);
    assert!(holes + memory.len() - 16384 < bytes, "{holes} {bytes}");
}

#[test]
fn mistakes_are_reported_before_anything_is_written() {
    let test = TestDir::new();
    test.write("web/bad.dump", "[]");
    fs::create_dir(test.path("empty")).unwrap();
    for (args, status, message) in [
        (&["--bundle", "nowhere"][..], 1, "nowhere: No such file"),
        (&["--bundle", "empty"], 1, "empty/checkpoint: No such file"),
        (
            &["--bundle", "web/config.json"],
            1,
            "web/config.json: expected a bundle, found a file that is not a directory",
        ),
        (&["--bundle", "web", "--image-path", "empty"], 1, "empty/inventory.img: No such file"),
        (
            &["--bundle", "web", "--member", "config.dump=web/bad.dump"],
            1,
            "web/bad.dump: config.dump: not a JSON object",
        ),
        (&["--bundle", "web", "--member", "surprise=x"], 2, "surprise: not a member"),
        (
            &["--bundle", "web", "--allow-unknown", "--member", "attach=x"],
            2,
            "attach: engines keep a file of this name",
        ),
        (
            &["--bundle", "web", "--allow-unknown", "--member", "ctr.log/x=x"],
            2,
            "below a member that is a file",
        ),
        (&["--bundle", "web", "--allow-unknown", "--member", "../x=x"], 2, "--member: "),
        (&["--bundle", "web", "--allow-unknown", "--member", ".=x"], 2, "not a member"),
        (&["--bundle", "web", "--member", "checkpoint/x=x"], 2, "--image-path"),
        (&["--bundle", "web", "--volume", "v=/nowhere"], 1, "no mount at /nowhere; it has mounts at: /data"),
        (&["--bundle", "web", "--volume", "v=nowhere"], 2, "absolute path"),
        (&["--bundle", "web", "--level", "3"], 2, "--level has no effect without --compress"),
        (&["--bundle", "web", "--threads", "3"], 2, "--threads has no effect without --compress"),
        (
            &["--bundle", "web", "--compress", "gzip", "--level", "10"],
            2,
            "--level: expected 1 to 9 for gzip, found 10",
        ),
        (&["--bundle", "web", "--compress", "lz4"], 2, "possible values: none, gzip, zstd, xz, bzip2"),
        (&["--bundle", "web", "--id", "a/b"], 2, "a letter or digit"),
        (&["--bundle", "web", "--rootfs-image", "x@12"], 2, "64 hexadecimal digits"),
        (&["--bundle", "web", "--format", "oci", "--compress", "xz"], 2, "gzip or zstd"),
        (&["--bundle", "web", "--pre-checkpoint", "--with-previous"], 2, "cannot be used with"),
        (&["--bundle", "web", "--tag", "localhost/web:1"], 2, "--tag has no effect without --format oci"),
        (&["--bundle", "web", "--annotation", "a=b"], 2, "hint: add --format oci"),
        (&["--bundle", "web", "--format", "oci", "--tag", ""], 2, "--tag"),
        (
            &["--bundle", "web", "--format", "oci", "--tag", "a b"],
            2,
            "expected a name such as localhost/web:1",
        ),
        (&["--bundle", "web", "--format", "oci", "--tag", "a//b"], 2, "a name such as"),
        (&["-o", "x"], 2, "--bundle"),
    ] {
        let mut args = args.to_vec();
        if args[0] != "-o" {
            args.extend(["--ignore-rootfs", "--ignore-volumes", "--output", "web.ckpt"]);
        }
        let run = test.run(&args);
        assert_eq!(run.status, status, "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(message), "{args:?}: {}", run.stderr);
        assert!(!test.path("web.ckpt").exists(), "{args:?}");
    }
}

#[test]
fn a_container_that_depends_on_others_is_refused() {
    let test = TestDir::new();
    test.write("web/config.dump", r#"{"id":"x","Dependencies":["y"]}"#);
    let run = test.run(&["--bundle", "web", "--ignore-rootfs"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("web/config.dump: the container depends on 1 others"), "{}", run.stderr);
}

/// Returns the annotations of an image that is packed with these options.
fn annotations(test: &TestDir, more: &[&str]) -> std::collections::BTreeMap<String, String> {
    let args = ["--bundle", "web", "--ignore-rootfs", "--format", "oci", "-o", "image.tar"];
    let run = test.run(&[&args[..], more].concat());
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    let layout = checkpoint::oci::Layout::of_tar(&fs::File::open(test.path("image.tar")).unwrap()).unwrap();
    layout.image(None).unwrap().annotations
}

#[test]
fn an_image_has_annotations_of_podman_criu_and_optionally_cri_o() {
    let test = TestDir::new();
    let all = annotations(&test, &["--annotation", "note=x"]);
    for (name, value) in [
        ("io.podman.annotations.checkpoint.name", "web"),
        ("io.podman.annotations.checkpoint.runtime.name", "runc"),
        ("org.criu.checkpoint.container.name", "web"),
        ("org.criu.checkpoint.engine.name", "runtime"),
        ("note", "x"),
    ] {
        assert_eq!(all.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!all.keys().any(|name| name.starts_with("io.kubernetes.cri-o.")), "{all:?}");
    let image = format!("localhost/web:1@{}", "ab".repeat(32));
    let all = annotations(&test, &["--annotation", "note=x", "--rootfs-image", &image]);
    let more = ["--annotation", "note=x", "--rootfs-image", &image, "--annotations", "cri-o"];
    let with_cri_o = annotations(&test, &more);
    assert_eq!(with_cri_o["io.kubernetes.cri-o.annotations.checkpoint.name"], "web");
    assert!(all.iter().all(|(name, value)| with_cri_o.get(name) == Some(value)));
    assert_eq!(test.run(&["--bundle", "web", "--annotations", "docker"]).status, 2);
}

#[test]
fn an_image_has_the_pod_names_of_spec_dump() {
    let test = TestDir::new();
    let spec = json!({
        "process": {}, "root": {}, "linux": {}, "mounts": [],
        "annotations": {
            "io.container.manager": "cri-o", "io.kubernetes.pod.name": "shop", "io.kubernetes.pod.namespace": "prod",
            "io.kubernetes.pod.uid": "u-1", "io.kubernetes.cri-o.SandboxID": "s-1",
        },
    });
    test.write("web/spec.dump", spec.to_string());
    // If config.json existed, it would be packed instead of spec.dump.
    fs::remove_file(test.path("web/config.json")).unwrap();
    let all = annotations(&test, &[]);
    for (name, value) in [
        ("engine.name", "CRI-O"),
        ("pod.name", "shop"),
        ("pod.namespace", "prod"),
        ("pod.uid", "u-1"),
        ("pod.id", "s-1"),
    ] {
        assert_eq!(all[&format!("org.criu.checkpoint.{name}")], value);
    }
}

#[test]
fn every_document_of_an_image_follows_the_image_spec() {
    use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest, MediaType, OciLayout};
    let test = TestDir::new();
    for name in ["checkpoint/other.img", "checkpoint/pages-2.img", "artifacts/dump"] {
        let path = test.path("web").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(path).unwrap().set_len(1 << 20).unwrap();
    }
    for (compress, layer_type) in [
        ("none", MediaType::ImageLayer),
        ("gzip", MediaType::ImageLayerGzip),
        ("zstd", MediaType::ImageLayerZstd),
    ] {
        let image = format!("localhost/web:1@{}", "ab".repeat(32));
        let args = ["--annotations", "cri-o", "--tag", "localhost/web:1", "--compress", compress];
        let args = [&args[..], &["--rootfs-image", &image]].concat();
        annotations(&test, &args);
        let dir = test.path(compress);
        fs::create_dir(&dir).unwrap();
        let tar = Command::new("tar").arg("-C").arg(&dir).arg("-xf").arg(test.path("image.tar")).status();
        assert!(tar.unwrap().success());
        let blob = |digest: &oci_spec::image::Digest| dir.join("blobs/sha256").join(digest.digest());
        let layout = OciLayout::from_file(dir.join("oci-layout")).unwrap();
        assert_eq!(layout.image_layout_version(), "1.0.0");
        let index = ImageIndex::from_file(dir.join("index.json")).unwrap();
        let entry = &index.manifests()[0];
        assert_eq!(*entry.media_type(), MediaType::ImageManifest);
        let manifest = ImageManifest::from_file(blob(entry.digest())).unwrap();
        assert_eq!(manifest.media_type(), &Some(MediaType::ImageManifest));
        let config = ImageConfiguration::from_file(blob(manifest.config().digest())).unwrap();
        assert_eq!(config.os(), &oci_spec::image::Os::Linux);
        assert_eq!(*manifest.layers()[0].media_type(), layer_type);
        // Each blob has the size in its descriptor and the hash in its name, and there are no other
        // blobs.
        for descriptor in [entry, manifest.config(), &manifest.layers()[0]] {
            assert_eq!(fs::metadata(blob(descriptor.digest())).unwrap().len(), descriptor.size());
            let sum = Command::new("sha256sum").arg(blob(descriptor.digest())).output().unwrap();
            assert!(sum.stdout.starts_with(descriptor.digest().digest().as_bytes()));
        }
        assert_eq!(fs::read_dir(dir.join("blobs/sha256")).unwrap().count(), 3);
        // image-spec, layer.md: sparse files SHOULD NOT be used in a layer.
        let layer = fs::read(blob(manifest.layers()[0].digest())).unwrap();
        let mut reader = ArchiveReader::new(&layer[..], Unknown::Refuse).unwrap();
        while let Some((member, entry)) = reader.next().unwrap() {
            assert!(!matches!(entry.kind, tartree::Kind::File { map: Some(_), .. }), "{member} is sparse");
        }
        // The layer of the image is the archive.
        let layer = fs::read(blob(manifest.layers()[0].digest())).unwrap();
        assert_eq!(names(&members(&layer))[..2], ["config.dump", "spec.dump"]);
    }
}

#[test]
fn an_image_has_the_same_bytes_in_a_pipe_and_after_other_data() {
    let test = TestDir::new();
    let args = ["--bundle", "web", "--ignore-rootfs", "--format", "oci", "--compress", "zstd"];
    assert_eq!(test.run(&[&args[..], &["-o", "image.tar"]].concat()).status, 0);
    let image = fs::read(test.path("image.tar")).unwrap();
    let names =
        |dir: &str| fs::read_dir(test.path(dir)).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
    let before = names("web");
    let run = test.run(&args);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    assert!(run.stdout == image);
    test.write("log", "before");
    let log = fs::OpenOptions::new().append(true).open(test.path("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-pack"));
    assert!(command.args(args).current_dir(test.dir.path()).stdout(log).status().unwrap().success());
    assert!(fs::read(test.path("log")).unwrap() == [&b"before"[..], &image].concat());
    // A failed run writes nothing.
    let run = test.run(&["--bundle", "web", "--format", "oci"]);
    assert_eq!((run.status, run.stdout.len()), (1, 0));
    assert_eq!(names("web"), before);
}

#[test]
fn prepare_and_cleanup_change_only_their_files() {
    let test = TestDir::new();
    assert_eq!(test.run(&["--prepare", "--bundle", "web"]).status, 0);
    assert_eq!(fs::metadata(test.path("web/dump.log")).unwrap().permissions().mode() & 0o777, 0o600);
    for name in ["config.dump", "rootfs-diff.tar", "deleted.files", "mine"] {
        test.write(&format!("web/{name}"), "");
    }
    assert_eq!(test.run(&["--cleanup", "--bundle", "web"]).status, 0);
    let left = |dir: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(left(&test.path("web")), ["checkpoint", "config.json", "mine"]);
}

impl TestDir {
    /// Writes a program of this name, which is the shell script `body`.
    fn program(&self, name: &str, body: &str) {
        self.write(name, format!("#!/bin/sh\n{body}\n"));
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn check_reports_each_problem_with_a_hint() {
    let test = TestDir::new();
    test.program(
        "runtime",
        r#"case "$*" in "checkpoint --help") ;; *) echo "no such flag" >&2; exit 1;; esac"#,
    );
    test.program(
        "criu",
        r#"case "$*" in
            --version) echo "Version: 3.15" ;;
            check) ;;
            *seccomp_filters) echo no >&2; exit 1 ;;
            *timens) echo "Error (criu/cr-check.c:1): Unknown feature timens" >&2; exit 1 ;;
            *mem_dirty_track) echo "Dirty tracking is OFF" >&2; exit 1 ;;
        esac"#,
    );
    let args = ["--check", "-v", "--criu", "./criu", "--runtime", "./runtime"];
    let run = test.run(&args);
    for line in [
        "ckpt-pack: ./criu 3.15.0\n",
        "ckpt-pack: ./runtime: can checkpoint\n",
        "warning: seccomp filters cannot be dumped\nhint: run the container without a seccomp profile\n",
        "warning: the kernel does not track memory changes: no --pre-checkpoint and no --with-previous\nhint: checkpoint in one step\n",
        "file locks (--file-locks), ",
    ] {
        assert!(run.stderr.contains(line), "{line}: {}", run.stderr);
    }
    assert!(!run.stderr.contains("time namespaces"), "{}", run.stderr);
    // A container in a pod has more requirements on CRIU and the runtime.
    let run = test.run(&[&args[..], &["--pod"]].concat());
    assert_eq!(run.status, 1);
    for line in [
        "error: ./criu 3.15.0: a pod's container needs 3.16.0 or newer\nhint: install a newer criu\n",
        "error: ./runtime: cannot restore into a pod\nhint: use a runtime that supports restore --lsm-mount-context\n",
    ] {
        assert!(run.stderr.contains(line), "{line}: {}", run.stderr);
    }
    let run = test.run(&["--check", "--criu", "./nowhere", "--runtime", "./nowhere", "-q"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("error: ./nowhere: not found\nhint: install criu"), "{}", run.stderr);
    assert!(
        run.stderr.contains("error: ./nowhere: cannot checkpoint: not found\nhint: install it"),
        "{}",
        run.stderr
    );
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
}

/// The expectations are from traces of CRIU 4.1 and 4.2: CRIU always locks another network
/// namespace with iptables-restore, and never its own.
#[test]
fn check_requires_the_programs_that_lock_the_network() {
    let test = TestDir::new();
    test.program("criu", r#"case "$*" in --version) echo "Version: 4.2.1" ;; esac"#);
    fs::create_dir_all(test.path("bin")).unwrap();
    fs::create_dir_all(test.path("home/.criu")).unwrap();
    let check = |pid: u32, method: &str| {
        test.write("home/.criu/default.conf", format!("network-lock {method}\n"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-pack"));
        command.args(["--check", "--criu", "./criu", "--runtime", "./criu", "--pid", &pid.to_string()]);
        command.current_dir(test.dir.path()).env("PATH", test.path("bin")).env("HOME", test.path("home"));
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let lock = stderr.split_once(": not found; CRIU needs it to block the network");
        lock.map(|(before, _)| before.rsplit("error: ").next().unwrap().to_owned())
    };
    // CRIU never runs nft.
    test.program("bin/nft", "");
    let mut own = Command::new("unshare").args(["--map-root-user", "--net", "sleep", "60"]).spawn().unwrap();
    let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    while network(&own.id().to_string()) == network("self") {
        assert!(own.try_wait().unwrap().is_none(), "unshare");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let v6 = Path::new("/proc/sys/net/ipv6").exists();
    let both = if v6 { "iptables-restore, ip6tables-restore" } else { "iptables-restore" };
    assert_eq!(check(own.id(), "iptables").as_deref(), Some(both));
    assert_eq!(check(own.id(), "nftables"), None);
    assert_eq!(check(own.id(), "skip"), None);
    test.program("bin/iptables-restore", "");
    assert_eq!(check(own.id(), "iptables").as_deref(), v6.then_some("ip6tables-restore"));
    test.program("bin/ip6tables-restore", "");
    assert_eq!(check(own.id(), "iptables"), None);
    own.kill().unwrap();
    own.wait().unwrap();
    // In its own network namespace, CRIU locks each connection.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let _connection = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    fs::remove_file(test.path("bin/iptables-restore")).unwrap();
    let missing = check(std::process::id(), "iptables").unwrap_or_default();
    assert!(missing.starts_with("iptables") && !missing.contains("restore"), "{missing}");
    test.program("bin/iptables", "");
    test.program("bin/ip6tables", "");
    assert_eq!(check(std::process::id(), "iptables"), None);
}

/// dockerd has sockets for DNS in the network namespaces of its containers.
#[test]
fn check_counts_only_sockets_of_the_container() {
    let test = TestDir::new();
    test.program("criu", r#"case "$*" in --version) echo "Version: 4.2.1" ;; esac"#);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let _connection = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (_accepted, _) = listener.accept().unwrap();
    let connections = |pid: u32| {
        let args = ["--check", "--criu", "./criu", "--runtime", "./criu", "--pid", &pid.to_string()];
        test.run(&args).stderr.contains("established TCP connection")
    };
    // Descriptors are closed when a program starts.
    let mut other = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
    assert!(!connections(other.id()));
    assert!(connections(std::process::id()));
    other.kill().unwrap();
    other.wait().unwrap();
}

/// A stats-dump of CRIU 4.1.1 with freezing_time 300 and pages_written 34.
const STATS: &[u8] = b"\x40\x59\x10\x55\x06\x33\x09\x57\x11\0\0\0\x0a\x0f\x08\xac\x02\x10\x01\x18\x01\x20\x01\x28\x01\x30\0\x38\x22";

#[test]
fn statistics_have_podmans_names_and_both_durations() {
    let test = TestDir::new();
    test.write("web/stats-dump", STATS);
    test.write("web/dump.log", "(00.000001) start\n(00.271460) Dumping finished successfully\n");
    let args = ["--bundle", "web", "--ignore-rootfs", "--print-stats"];
    let stats = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
    let run = test.run(&[&args[..], &["-o", "web.ckpt"]].concat());
    let report = stats(&run.stdout);
    assert!(report["podman_checkpoint_duration"].as_u64().unwrap() > 271_460);
    let container = &report["container_statistics"][0];
    assert_eq!(container["Id"].as_str().unwrap().len(), 64);
    assert_eq!(container["runtime_checkpoint_duration"], 271_460);
    assert_eq!(container["criu_statistics"]["freezing_time"], 300);
    assert_eq!(container["criu_statistics"]["pages_written"], 34);
    // Standard output is the archive.
    let run = test.run(&args);
    assert!(!members(&run.stdout).is_empty());
    assert_eq!(
        stats(run.stderr.as_bytes())["container_statistics"][0]["runtime_checkpoint_duration"],
        271_460
    );
    fs::remove_file(test.path("web/dump.log")).unwrap();
    assert_eq!(stats(test.run(&args).stderr.as_bytes())["podman_checkpoint_duration"], Value::Null);
    fs::remove_file(test.path("web/stats-dump")).unwrap();
    let run = test.run(&args);
    assert_eq!(run.status, 1);
    assert!(
        run.stderr.contains("web/stats-dump: no such file, CRIU writes it into its --work-path"),
        "{}",
        run.stderr
    );
}

#[test]
fn the_state_of_the_runtime_may_be_a_pipe() {
    let test = TestDir::new();
    let args = ["--bundle", "web", "--ignore-rootfs", "--state", "/dev/stdin"];
    let state = br#"{"id":"shop","created":"2026-11-23T10:00:00Z"}"#;
    let run = test.run_with(&args, state);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    let config = json_of(&members(&run.stdout), &Member::ConfigDump);
    assert_eq!((&config["name"], &config["createdTime"]), (&json!("shop"), &json!("2026-11-23T10:00:00Z")));
}

#[test]
fn a_flag_without_effect_is_a_usage_error() {
    let test = TestDir::new();
    for (args, message) in [
        (&["--check", "web.ckpt"][..], "reads no archive\nhint: ckpt-unpack --verify ARCHIVE"),
        (&["--check", "--bundle", "web"], "--bundle has no effect with --check"),
        (&["--check", "--compress", "zstd"], "--compress has no effect with --check"),
        (&["--prepare", "--bundle", "web", "--tag", "x"], "--tag has no effect with --prepare"),
        (&["--prepare", "--bundle", "web", "--runtime", "crun"], "--runtime has no effect with --prepare"),
        (&["--cleanup", "--bundle", "web", "-"], "MEMBERS has no effect with --cleanup"),
        (&["--cleanup", "--bundle", "web", "-o", "x"], "--output has no effect with --cleanup"),
        (
            &["--cleanup", "--bundle", "web", "--ignore-rootfs"],
            "--ignore-rootfs has no effect with --cleanup",
        ),
    ] {
        let run = test.run(args);
        assert_eq!(run.status, 2, "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(message), "{args:?}: {}", run.stderr);
    }
}

/// Returns a tar with one file of this name.
fn tar_with(name: &str) -> Vec<u8> {
    let mut tar = Vec::new();
    let entry = Entry::file(TarPath::parse(name.as_bytes()).unwrap(), 0, 0o644, Timestamp::default());
    tartree::encode(&mut tar, &entry, tartree::RootName::Dot);
    tar.resize(tar.len() + 1024, 0);
    tar
}

#[test]
fn invalid_operands_are_rejected_before_anything_is_written() {
    let test = TestDir::new();
    test.write("m1", stream(&[DIFF], 0));
    test.write("diff.tar", tar_with("etc"));
    test.write("json", "{}");
    test.write("html", "<!DOCTYPE html><html></html>");
    test.write("empty", "");
    test.write("archive", [&tar_with("config.dump")[..512], &tar_with("spec.dump")].concat());
    test.write("web/network.status", "[]");
    test.write("web/config.dump", r#"{"id":"x"}"#);
    std::os::unix::fs::symlink("m1", test.path("link")).unwrap();
    let diff = "rootfs-diff.tar=diff.tar";
    for (args, status, message) in [
        // The output is also an input.
        (&["m1", "-o", "m1"][..], 2, "--output: m1: is an input, m1"),
        (&["m1", "-o", "./link"], 2, "is an input, m1"),
        (&["--member", diff, "-o", "diff.tar"], 2, "is an input, diff.tar"),
        (&["--ignore-rootfs", "-o", "web/config.json"], 2, "is an input, web/config.json"),
        (&["--ignore-rootfs", "-o", "web/config.dump"], 2, "is an input, web/config.dump"),
        (&["--ignore-rootfs", "-o", "web/network.status"], 2, "is an input, web/network.status"),
        (&["--ignore-rootfs", "-o", "web/checkpoint/pages-1.img"], 2, "in the directory web/checkpoint"),
        (&["--ignore-rootfs", "-o", "web/../web/checkpoint/new"], 2, "in the directory web/checkpoint"),
        // The file has the wrong kind.
        (&["--member", "rootfs-diff.tar=json"], 1, "json: "),
        (&["--member", "rootfs-diff.tar=html"], 1, "html: "),
        (&["--member", "rootfs-diff.tar=empty"], 1, "empty: "),
        (&["--member", "rootfs-diff.tar=archive"], 1, "archive: is a checkpoint archive, expected the diff"),
        (&["--member", "rootfs-diff.tar=m1"], 1, "m1: is a member stream, expected the diff"),
        (&["--member", diff, "--member", "volumes/v.tar=m1"], 1, "expected the tar of a volume"),
        (&["--member", diff, "--member", "volumes/v.tar=empty"], 1, "empty: "),
        (&["--member", diff, "--member", "devshm-checkpoint.tar=json"], 1, "json: "),
        (&["--member", diff, "--member", "network.status=diff.tar"], 1, "found a tar archive"),
        (&["--member", diff, "--member", "deleted.files=diff.tar"], 1, "found a tar archive"),
        (&["--member", diff, "--member", "deleted.files0=diff.tar"], 1, "found a tar archive"),
        // The flags contradict each other.
        (&["--ignore-rootfs", "--raw-members"], 2, "--raw-members has no effect"),
    ] {
        let names = ["m1", "diff.tar", "web/config.json", "web/config.dump", "web/network.status"];
        let contents = || names.map(|name| fs::read(test.path(name)).unwrap());
        let before = contents();
        let mut args = [&["--bundle", "web"], args].concat();
        if !args.contains(&"-o") {
            args.extend(["-o", "web.ckpt"]);
        }
        let run = test.run(&args);
        assert_eq!(run.status, status, "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(message), "{args:?}: {}", run.stderr);
        assert!(!test.path("web.ckpt").exists(), "{args:?}");
        assert!(before == contents(), "{args:?}");
    }
    // Other files of the bundle are not inputs; and a pipe or device may be input and output.
    for output in ["web/new.ckpt", "/dev/null"] {
        let run = test.run(&["--bundle", "web", "--member", diff, "-o", output]);
        assert_eq!(run.status, 0, "{output}: {}", run.stderr);
    }
}

#[test]
fn members_in_an_unpacked_bundle_that_are_not_packed_are_named() {
    let test = TestDir::new();
    test.write("web/rootfs-diff.tar", tar_with("etc"));
    test.write("web/devshm-checkpoint.tar", tar_with("x"));
    test.write("web/deleted.files", "[]");
    let diff = "rootfs-diff.tar=web/rootfs-diff.tar";
    let shm = "devshm-checkpoint.tar=web/devshm-checkpoint.tar";
    let deleted = "deleted.files=web/deleted.files";
    for (args, input, named) in [
        (&["--member", diff][..], vec![], &[shm, deleted][..]),
        (&["--member", diff, "--member", shm], vec![], &[deleted]),
        (&["--member", diff, "--member", shm, "--member", deleted], vec![], &[]),
        (&["--ignore-rootfs"], vec![], &[shm]),
        (&["-"], stream(&[DIFF], 0), &[shm]),
    ] {
        let run = test.run_with(&[&["--bundle", "web", "-o", "out"], args].concat(), &input);
        assert_eq!(run.status, 0, "{args:?}: {}", run.stderr);
        for member in [shm, deleted] {
            let hint = format!("hint: to pack it: --member {member}");
            assert_eq!(run.stderr.contains(&hint), named.contains(&member), "{args:?}: {}", run.stderr);
        }
    }
}
