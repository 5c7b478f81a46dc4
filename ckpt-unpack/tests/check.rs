//! Checks that `--check` names what would make a restore fail, in an archive and in a bundle. The
//! programs `criu` and `runc` are stand-ins that accept the host.

mod golden;

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use golden::{Members, golden};
use serde_json::{Value, json};
use tartree::{Entry, TarPath, Timestamp};

struct Host {
    dir: tempfile::TempDir,
}

/// The sources of the mounts that the images require.
const SOURCES: [(&str, &str); 5] = [
    ("/etc/hosts", "hosts"),
    ("/etc/hostname", "hostname"),
    ("/etc/resolv.conf", "resolv"),
    ("/run/.containerenv", "env"),
    ("/dev/shm", "shm"),
];

impl Host {
    /// Creates a host with the bundle `b`, whose restore would succeed, and the archive `a.ckpt`.
    fn new(change: impl Fn(&mut Members)) -> Host {
        let host = Host { dir: tempfile::tempdir().unwrap() };
        host.program("criu", "echo 'Version: 4.2'");
        host.program("runc", "exit 0");
        fs::write(host.path("a.ckpt"), golden(change)).unwrap();
        let run = host.run(&["--bundle", "b", "a.ckpt"]);
        assert_eq!(run.0, 0, "{}", run.1);
        fs::create_dir_all(host.path("b/rootfs/bin")).unwrap();
        let busybox = fs::File::create(host.path("b/rootfs/bin/busybox")).unwrap();
        busybox.set_len(2_024_544).unwrap();
        fs::set_permissions(host.path("b/rootfs/bin/busybox"), Permissions::from_mode(0o755)).unwrap();
        let mount = |(to, from): (&str, &str)| {
            fs::create_dir_all(host.path("b").join(from)).unwrap();
            json!({ "destination": to, "type": "bind", "source": from, "options": ["rbind"] })
        };
        let mounts: Vec<Value> = SOURCES.into_iter().map(mount).collect();
        host.config(&json!({ "root": { "path": "rootfs" }, "mounts": mounts }));
        fs::set_permissions(host.path("b/rootfs"), Permissions::from_mode(0o555)).unwrap();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self, config: &Value) {
        fs::write(self.path("b/config.json"), config.to_string()).unwrap();
    }

    fn program(&self, name: &str, script: &str) {
        fs::create_dir_all(self.path("bin")).unwrap();
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }

    fn run(&self, args: &[&str]) -> (i32, String) {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"));
        command.args(args).current_dir(self.dir.path()).env("NO_COLOR", "1").env("PATH", path);
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// Returns the findings that do not concern the host itself. The images were made with cgroups
    /// v1, and this host may have v2.
    fn check(&self, args: &[&str]) -> String {
        let host = self.run(&["--check"]).1;
        let (_, found) = self.run(&[&["--check"], args].concat());
        let cgroups = ["the container used cgroups v1", "systemd.unified_cgroup_hierarchy"];
        let of_images = |line: &&str| {
            !host.lines().any(|of_host| of_host == *line) && !cgroups.iter().any(|c| line.contains(c))
        };
        found.lines().filter(of_images).map(|line| format!("{line}\n")).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // An ordinary user can remove the files only with this mode.
        let _ = fs::set_permissions(self.path("b/rootfs"), Permissions::from_mode(0o755));
    }
}

fn writable(dir: &Path) {
    fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_restore_that_would_succeed_has_no_findings() {
    let host = Host::new(|_| ());
    assert_eq!(host.check(&["--bundle", "b"]), "");
    assert_eq!(host.check(&["a.ckpt"]), "");
    assert_eq!(host.check(&["a.ckpt", "--rootfs", "b/rootfs"]), "");
    let (_, notes) = host.run(&["-v", "--check", "a.ckpt"]);
    assert!(notes.contains("the files of processes were not compared: no --rootfs given"), "{notes}");
}

#[test]
fn broken_bundles_are_named_with_a_remedy() {
    type Break = fn(&Host);
    #[rustfmt::skip]
    let cases: &[(&str, &str, Break)] = &[
        ("b/rootfs: has neither /bin/busybox nor any other file that a process uses", "mount the root file system", |h| {
            writable(&h.path("b/rootfs"));
            fs::remove_dir_all(h.path("b/rootfs/bin")).unwrap();
            fs::set_permissions(h.path("b/rootfs"), Permissions::from_mode(0o555)).unwrap();
        }),
        ("b/rootfs: the mode is 0755, but CRIU requires 0555", "chmod 0555 b/rootfs", |h| writable(&h.path("b/rootfs"))),
        ("b/rootfs: No such file", "mount the root file system", |h| {
            writable(&h.path("b/rootfs"));
            fs::rename(h.path("b/rootfs"), h.path("b/moved")).unwrap();
        }),
        ("b/rootfs/bin/busybox: the size is 5 bytes, but CRIU requires 2024544", "use the image", |h| {
            fs::File::options().write(true).open(h.path("b/rootfs/bin/busybox")).unwrap().set_len(5).unwrap();
        }),
        ("b/rootfs/bin/busybox: the type and mode are 0100700, but CRIU requires 0100755", "chmod 0755 b/rootfs/bin/busybox", |h| {
            fs::set_permissions(h.path("b/rootfs/bin/busybox"), Permissions::from_mode(0o700)).unwrap();
        }),
        ("mount /etc/hosts: b/hosts: no such file or directory", "spec-gen --restore -v HOST_PATH:/etc/hosts", |h| {
            fs::remove_dir(h.path("b/hosts")).unwrap();
        }),
        ("mount /dev/shm: CRIU needs it, but config.json has no such mount", "-v HOST_PATH:/dev/shm", |h| {
            let mut config: Value = serde_json::from_slice(&fs::read(h.path("b/config.json")).unwrap()).unwrap();
            config["mounts"].as_array_mut().unwrap().pop();
            h.config(&config);
        }),
        ("volume data: b/vol: no such directory, the spec mounts it at /data", "vol-archive extract b/vol < b/volumes/data.tar", |h| {
            let mut config: Value = serde_json::from_slice(&fs::read(h.path("b/config.json")).unwrap()).unwrap();
            config["mounts"].as_array_mut().unwrap().push(json!({ "destination": "/data", "type": "bind", "source": "vol" }));
            h.config(&config);
            fs::write(h.path("b/config.dump"), r#"{"namedVolumes":[{"volumeName":"data","dest":"/data"}]}"#).unwrap();
            fs::create_dir(h.path("b/volumes")).unwrap();
            fs::write(h.path("b/volumes/data.tar"), "").unwrap();
        }),
        ("checkpoint/core-12.img: no such file; CRIU needs it to restore process 12", "checkpoint the container again", |h| {
            fs::remove_file(h.path("b/checkpoint/core-12.img")).unwrap();
        }),
        ("criu 4.2: is older than criu 9.1, which made the images", "install criu 9.1 or newer", |h| {
            fs::write(h.path("b/dump.log"), "(00.000031) Version: 9.1 (gitid 0)\n").unwrap();
        }),
        ("checkpoint: the processes are for s390x, and this host is ", "restore on a host with s390x", |h| {
            for name in ["core-1.img", "core-12.img"] {
                let path = h.path("b/checkpoint").join(name);
                let mut core = fs::read(&path).unwrap();
                assert_eq!(core[12], 0x08);
                core[13] = 5;
                fs::write(path, core).unwrap();
            }
        }),
    ];
    for (problem, hint, change) in cases {
        let host = Host::new(|_| ());
        change(&host);
        let found = host.check(&["--bundle", "b"]);
        let expected = format!("ckpt-unpack: error: {problem}");
        assert!(found.starts_with(&expected), "{problem}: {found}");
        let lines: Vec<_> = found.lines().collect();
        assert!(
            lines.len() == 2 && lines[1].starts_with("hint: ") && lines[1].contains(hint),
            "{hint}: {found}"
        );
        assert_eq!(host.run(&["--check", "--bundle", "b"]).0, 1);
    }
}

#[test]
fn images_of_another_runtime_are_named_with_the_conversion() {
    let host = Host::new(|_| ());
    host.program("crun", "exit 0");
    let made = "checkpoint: runc made the images, and crun cannot restore them";
    let found = host.check(&["--bundle", "b", "--runtime", "crun"]);
    assert!(found.contains(&format!("error: {made}\nhint: restore with runc, or unpack")), "{found}");
    let found = host.check(&["a.ckpt", "--runtime", "crun"]);
    let hint = "hint: ckpt-unpack --bundle DIR --runtime crun a.ckpt";
    assert!(found.contains(&format!("warning: {made}\n{hint}")), "{found}");
}

/// Returns an image: the magic numbers, then messages.
fn image(magic: u32, messages: &[&[u8]]) -> Vec<u8> {
    let mut image = [0x5456_4319, magic].map(u32::to_le_bytes).concat();
    for message in messages {
        image.extend_from_slice(&u32::try_from(message.len()).unwrap().to_le_bytes());
        image.extend_from_slice(message);
    }
    image
}

fn add(members: &mut Members, name: &str, content: &[u8]) {
    let path = TarPath::parse(name.as_bytes()).unwrap();
    members.retain(|(entry, _)| entry.path != path);
    members.push((Entry::file(path, 0, 0o600, Timestamp::default()), content.to_vec()));
}

fn find<'a>(members: &'a mut Members, name: &str) -> &'a mut Vec<u8> {
    let path = TarPath::parse(name.as_bytes()).unwrap();
    &mut members.iter_mut().find(|(entry, _)| entry.path == path).unwrap().1
}

/// Lets the container have the network of the host, and a TCP socket that listens on 127.0.0.1.
fn listening(members: &mut Members, port: u16) {
    // The IDs of the namespaces of CRIU are those of process 1.
    let ids = find(members, "checkpoint/ids-1.img")[12..].to_vec();
    let root_ids = [&[0x1a, u8::try_from(ids.len()).unwrap()][..], &ids].concat();
    let inventory = find(members, "checkpoint/inventory.img");
    let message = [&[0x08, 2, 0x10, 1][..], &root_ids, &[0x20, 1]].concat();
    *inventory = image(0x5831_3116, &[&message]);
    // The fields are proto (TCP), state (LISTEN), port and address. The numbers have seven bits per
    // byte.
    let port = [port as u8 | 0x80, (port >> 7) as u8 | 0x80, (port >> 14) as u8];
    let inet = [&[0x28, 6, 0x30, 10, 0x38][..], &port, &[0x58, 0xff, 0x80, 0x80, 0x08]].concat();
    let file = [&[0x08, 4, 0x10, 99, 0x22, u8::try_from(inet.len()).unwrap()][..], &inet].concat();
    let files = find(members, "checkpoint/files.img");
    files.extend(u32::try_from(file.len()).unwrap().to_le_bytes());
    files.extend(file);
}

#[test]
fn ports_in_use_are_named() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let host = Host::new(|members| listening(members, port));
    // The images now say that the mounts are those of the host.
    let expected = format!(
        "ckpt-unpack: error: tcp port 127.0.0.1:{port}: in use\nhint: end the program that uses it: ss -ltnp 'sport = :{port}'\n"
    );
    for args in [&["a.ckpt"][..], &["--bundle", "b"]] {
        assert_eq!(host.check(args), expected, "{args:?}");
    }
    drop(socket);
    assert_eq!(host.check(&["a.ckpt"]), "");
}

#[test]
fn images_that_only_a_newer_criu_can_read_are_named() {
    // Since CRIU 4.2, the number of pages is in another field.
    let host = Host::new(|members| {
        let pagemap = image(0x5608_4025, &[&[8, 2], &[0x08, 0x80, 0x20, 0x10, 0, 0x20, 4, 0x28, 16]]);
        add(members, "checkpoint/pagemap-12.img", &pagemap);
        find(members, "checkpoint/pages-2.img").resize(16 * 4096, 1);
    });
    assert_eq!(host.check(&["a.ckpt"]), "");
    host.program("criu", "echo 'Version: 4.1.1'");
    let found = host.check(&["a.ckpt"]);
    assert!(found.contains("criu 4.1: cannot read the images, which need 4.2 or newer"), "{found}");
}

#[test]
fn missing_parts_of_an_archive_are_named() {
    let config = r#"{"id":"x","namedVolumes":[{"volumeName":"data","dest":"/data"}]}"#;
    let with = |source: &str| {
        let spec = json!({ "mounts": [{ "destination": "/data", "type": "bind", "source": source }] });
        Host::new(move |members| {
            add(members, "config.dump", config.as_bytes());
            add(members, "spec.dump", spec.to_string().as_bytes());
            // An external mount at /data.
            let mount = b"\x08\x00\x10\x07\x3a\x05/data\x92\x01\x05/data";
            let mounts = find(members, "checkpoint/mountpoints-13.img");
            mounts.extend(u32::try_from(mount.len()).unwrap().to_le_bytes());
            mounts.extend(mount);
        })
    };
    let host = with("/nonexistent");
    let found = host.check(&["a.ckpt"]);
    let expected = "error: volume data: not in the archive, the spec mounts it at /data\nhint: use a copy of the volume: --volume data=DIR, or --ignore-volumes\n";
    assert!(found.ends_with(expected), "{found}");
    assert_eq!(host.check(&["a.ckpt", "--volume", "data=b"]), "");
    assert_eq!(host.check(&["a.ckpt", "--ignore-volumes"]), "");
    let without = golden(|members| members.retain(|(e, _)| e.path.as_bytes() != b"config.dump"));
    fs::write(host.path("a.ckpt"), without).unwrap();
    let found = host.check(&["a.ckpt"]);
    assert!(found.contains("error: config.dump: not in the archive"), "{found}");
}

#[test]
fn a_file_in_the_diff_is_compared_instead_of_that_of_the_image() {
    let host = Host::new(|members| {
        let mut busybox =
            Entry::file(TarPath::parse(b"bin/busybox").unwrap(), 3, 0o755, Timestamp::default());
        busybox.meta.mode = 0o755;
        let tar = golden::tar(&[(busybox, b"abc".to_vec())]);
        *find(members, "rootfs-diff.tar") = tar;
    });
    let found = host.check(&["a.ckpt", "--rootfs", "b/rootfs"]);
    let expected = "b/rootfs/bin/busybox: the size is 3 bytes, but CRIU requires 2024544";
    assert!(found.contains(expected), "{found}");
}

#[test]
fn flags_without_effect_on_a_check_are_rejected() {
    let host = Host::new(|_| ());
    for (args, message) in [
        (&["--check", "--bundle", "b", "a.ckpt"][..], "ARCHIVE has no effect with --check --bundle"),
        (&["--check", "--bundle", "b", "--volume", "a=b"], "--volume has no effect with --check --bundle"),
        (&["--check", "--rootfs", "b"], "--rootfs has no effect with --check and without ARCHIVE"),
        (&["--check", "a.ckpt", "--uidmap", "0:0:1"], "--uidmap has no effect with --check"),
        (&["--check", "--bundle", "b", "--print-stats"], "--print-stats"),
        (&["--check", "--list"], "cannot be used with"),
    ] {
        let (status, told) = host.run(args);
        assert_eq!(status, 2, "{args:?}: {told}");
        assert!(told.contains(message), "{args:?}: {told}");
    }
    fs::remove_file(host.path("b/config.json")).unwrap();
    let (status, told) = host.run(&["--check", "--bundle", "b"]);
    assert_eq!(status, 1);
    assert!(told.contains("b/config.json: no such file\nhint: spec-gen --restore"), "{told}");
}
