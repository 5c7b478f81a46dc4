//! Checks that ckpt-pack rejects images that CRIU could not restore, and a spec.dump of another
//! container.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use checkpoint::Member;
use checkpoint::archive::{ArchiveReader, Unknown};

const ARCHIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ckpt-unpack/tests/data/g06-bridge.tar.xz");

/// The spec of the container, whose network namespace podman made.
const SPEC: &str = r#"{"process":{"args":["ran"]},"root":{},"mounts":[],"linux":{"namespaces":[{"type":"network","path":"/run/netns/x"}]}}"#;

/// Returns a bundle with the images of a real checkpoint: processes 1 and 12, each with pages.
fn bundle() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("checkpoint")).unwrap();
    let archive = fs::read(ARCHIVE).unwrap();
    let mut reader = ArchiveReader::new(&archive[..], Unknown::Refuse).unwrap();
    while let Some((member, _)) = reader.next().unwrap() {
        if matches!(&member, Member::Images(path) if !path.is_root()) {
            let mut content = Vec::new();
            reader.content().read_to_end(&mut content).unwrap();
            fs::write(dir.path().join(member.to_string()), content).unwrap();
        }
    }
    fs::write(dir.path().join("config.json"), SPEC).unwrap();
    dir
}

fn pack(dir: &Path, args: &[&str]) -> (Output, PathBuf) {
    let out = dir.join("out");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-pack"));
    command.args(["--bundle", ".", "--ignore-rootfs", "-o", "out"]).args(args).current_dir(dir);
    (command.env("NO_COLOR", "1").output().unwrap(), out)
}

type Change = fn(&Path);

fn remove(dir: &Path, name: &str) {
    fs::remove_file(dir.join(name)).unwrap();
}

fn truncate(dir: &Path, name: &str, by: u64) {
    let file = fs::OpenOptions::new().write(true).open(dir.join(name)).unwrap();
    file.set_len(file.metadata().unwrap().len() - by).unwrap();
}

fn truncate_to(dir: &Path, name: &str, size: u64) {
    fs::OpenOptions::new().write(true).open(dir.join(name)).unwrap().set_len(size).unwrap();
}

/// Returns an image: the magic number of its kind, then messages.
fn image(magic: u32, messages: &[&[u8]]) -> Vec<u8> {
    let mut image = [0x5456_4319u32.to_le_bytes(), magic.to_le_bytes()].concat();
    for message in messages {
        image.extend_from_slice(&u32::try_from(message.len()).unwrap().to_le_bytes());
        image.extend_from_slice(message);
    }
    image
}

const PSTREE: u32 = 0x5027_3030;
const CORE: u32 = 0x5505_3847;
const FS: u32 = 0x5140_3912;
const FILES: u32 = 0x5630_3138;
const FDINFO: u32 = 0x5621_3732;

#[test]
fn images_that_criu_cannot_restore_are_rejected() {
    let changes: &[(&str, Change)] = &[
        ("checkpoint/core-12.img: no such file", |d| remove(d, "core-12.img")),
        ("checkpoint/core-1.img: no such file", |d| remove(d, "core-1.img")),
        ("checkpoint/core-1.img: ", |d| truncate(d, "core-1.img", 1)),
        ("checkpoint/core-1.img: ", |d| fs::write(d.join("core-1.img"), "").unwrap()),
        ("checkpoint/core-1.img: empty file", |d| fs::write(d.join("core-1.img"), image(CORE, &[])).unwrap()),
        ("checkpoint/core-1.img: ", |d| {
            fs::copy(d.join("mm-1.img"), d.join("core-1.img")).unwrap();
        }),
        ("checkpoint/mm-12.img: no such file", |d| remove(d, "mm-12.img")),
        ("checkpoint/mm-1.img: ", |d| truncate(d, "mm-1.img", 5)),
        ("checkpoint/pagemap-1.img: no such file", |d| remove(d, "pagemap-1.img")),
        ("checkpoint/pagemap-12.img: ", |d| truncate(d, "pagemap-12.img", 1)),
        ("checkpoint/pages-2.img: ", |d| remove(d, "pages-2.img")),
        ("checkpoint/pages-1.img: ", |d| truncate(d, "pages-1.img", 4096)),
        ("checkpoint/pages-1.img: ", |d| truncate(d, "pages-1.img", 1)),
        ("checkpoint/pages-1.img: ", |d| {
            let mut pages = fs::read(d.join("pages-1.img")).unwrap();
            pages.extend_from_slice(b"data after the pages");
            fs::write(d.join("pages-1.img"), pages).unwrap();
        }),
        ("checkpoint/pstree.img: no such file", |d| remove(d, "pstree.img")),
        ("checkpoint/pstree.img: ", |d| truncate(d, "pstree.img", 3)),
        ("checkpoint/pstree.img: ", |d| fs::write(d.join("pstree.img"), [0; 100]).unwrap()),
        ("checkpoint/pstree.img: holds no process", |d| {
            fs::write(d.join("pstree.img"), image(PSTREE, &[])).unwrap()
        }),
        ("checkpoint/inventory.img: ", |d| truncate(d, "inventory.img", 1)),
        ("checkpoint/inventory.img: ", |d| fs::write(d.join("inventory.img"), "").unwrap()),
        // Process 1 has a second thread, 7.
        ("checkpoint/core-7.img: no such file", |d| {
            fs::write(
                d.join("pstree.img"),
                image(PSTREE, &[b"\x08\x01\x10\0\x18\x01\x20\x01\x28\x01\x28\x07"]),
            )
            .unwrap();
        }),
        // Process 99 was not dumped.
        ("checkpoint/core-99.img: no such file", |d| {
            let mut tree = fs::read(d.join("pstree.img")).unwrap();
            tree.extend_from_slice(b"\x04\0\0\0\x08\x63\x10\x01");
            fs::write(d.join("pstree.img"), tree).unwrap();
        }),
        // Images of a process other than its memory.
        ("checkpoint/fs-1.img: no such file", |d| remove(d, "fs-1.img")),
        ("checkpoint/fs-12.img: ", |d| truncate(d, "fs-12.img", 1)),
        ("checkpoint/fs-12.img: empty file", |d| fs::write(d.join("fs-12.img"), image(FS, &[])).unwrap()),
        ("checkpoint/ids-1.img: no such file", |d| remove(d, "ids-1.img")),
        ("checkpoint/ids-12.img: ", |d| fs::write(d.join("ids-12.img"), "").unwrap()),
        ("checkpoint/fdinfo-2.img: no such file", |d| remove(d, "fdinfo-2.img")),
        ("checkpoint/fdinfo-3.img: no such file", |d| remove(d, "fdinfo-3.img")),
        ("checkpoint/fdinfo-3.img: ", |d| truncate(d, "fdinfo-3.img", 2)),
        ("checkpoint/files.img: no such file", |d| remove(d, "files.img")),
        ("checkpoint/files.img: ", |d| truncate(d, "files.img", 7)),
        ("checkpoint/files.img: lacks a file that fdinfo-2.img refers to", |d| {
            fs::write(d.join("files.img"), image(FILES, &[])).unwrap();
        }),
        ("checkpoint/mountpoints-13.img: no such file", |d| remove(d, "mountpoints-13.img")),
        ("checkpoint/mountpoints-13.img: ", |d| truncate(d, "mountpoints-13.img", 1)),
        ("checkpoint/mountpoints-13.img: holds no mount", |d| truncate_to(d, "mountpoints-13.img", 8)),
        // Images that exist once for the complete dump.
        ("checkpoint/cgroup.img: ", |d| fs::write(d.join("cgroup.img"), "").unwrap()),
        ("checkpoint/netns-10.img: ", |d| truncate(d, "netns-10.img", 1)),
        ("checkpoint/utsns-12.img: ", |d| fs::write(d.join("utsns-12.img"), "{}").unwrap()),
        ("checkpoint/tmpfs-dev-46.tar.gz.img: not compressed with gzip", |d| {
            fs::write(d.join("tmpfs-dev-46.tar.gz.img"), "").unwrap();
        }),
    ];
    for (words, change) in changes {
        let dir = bundle();
        fs::write(dir.path().join("out"), "earlier").unwrap();
        change(&dir.path().join("checkpoint"));
        let (output, out) = pack(dir.path(), &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words}: {stderr}");
        assert!(stderr.contains(words), "{words}: {stderr}");
        assert_eq!(fs::read(out).unwrap(), b"earlier", "{words}");
    }
}

#[test]
fn images_that_criu_can_restore_are_packed() {
    let changes: &[(&str, &[&str], Change)] = &[
        ("as they are", &[], |_| ()),
        ("a dump without a tree that is no dump of CRIU's", &[], |d| {
            fs::remove_dir_all(d).unwrap();
            fs::create_dir(d).unwrap();
            fs::write(d.join("inventory.img"), "").unwrap();
        }),
        // A zombie has a core image and nothing else; its state is field 1 of field 3.
        ("a zombie", &[], |d| {
            fs::write(d.join("core-12.img"), image(CORE, &[b"\x1a\x02\x08\x02"])).unwrap();
            for kind in ["mm", "pagemap", "ids", "fs"] {
                remove(d, &format!("{kind}-12.img"));
            }
        }),
        ("an image of an earlier process", &[], |d| fs::write(d.join("core-77.img"), "old").unwrap()),
        ("an older image of a process that ended since, where the container ran on", &[], |d| {
            fs::copy(d.join("core-12.img"), d.join("core-77.img")).unwrap();
            let core = fs::File::options().write(true).open(d.join("core-77.img")).unwrap();
            core.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1)).unwrap();
        }),
        ("a process without open files, for which CRIU writes no image", &[], |d| {
            fs::write(d.join("fdinfo-3.img"), image(FDINFO, &[])).unwrap();
        }),
        ("images of which only the program that wrote them knows the form", &[], |d| {
            for name in ["iptables-10.img", "route-10.img", "netns-ct-10.img", "new-kind.img"] {
                fs::write(d.join(name), "").unwrap();
            }
        }),
        ("zeros after the pages", &[], |d| {
            let size = fs::metadata(d.join("pages-1.img")).unwrap().len();
            truncate_to(d, "pages-1.img", size + 100_000);
        }),
        ("a pre-dump", &["--pre-checkpoint", "--image-path", "checkpoint"], |d| {
            for name in ["core-1.img", "core-12.img", "inventory.img", "pstree.img"] {
                remove(d, name);
            }
        }),
        ("what a pre-dump precedes", &["--with-previous"], |_| ()),
    ];
    for (what, args, change) in changes {
        let dir = bundle();
        change(&dir.path().join("checkpoint"));
        let (output, _) = pack(dir.path(), args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{what}");
    }
}

#[test]
fn namespaces_that_a_restore_will_not_join_are_named() {
    let own = "will restore it without the network in network.status: after the restore, run netstatus apply --netns /proc/PID/ns/net";
    let external = "CRIU dumped the network namespace as external, but it has no path in the spec";
    let pathless = SPEC.replace(r#","path":"/run/netns/x""#, "");
    for (what, spec, image, status, expected) in [
        ("external", SPEC, true, true, None),
        ("external, without a path", &pathless, true, true, Some(external)),
        ("the container's own", &pathless, false, true, Some(own)),
        ("the container's own, without a network", &pathless, false, false, None),
    ] {
        let dir = bundle();
        fs::write(dir.path().join("config.json"), spec).unwrap();
        if !image {
            remove(&dir.path().join("checkpoint"), "netns-10.img");
        }
        if status {
            fs::write(dir.path().join("network.status"), "{}").unwrap();
        }
        let (output, _) = pack(dir.path(), &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{what}: {stderr}");
        match expected {
            Some(text) => assert!(stderr.contains(text), "{what}: {stderr}"),
            None => assert_eq!(stderr, "", "{what}"),
        }
    }
}

#[test]
fn config_json_is_preferred_to_a_stale_spec_dump() {
    let ran = SPEC;
    let same = &*SPEC.replace(":", " : ");
    let stale = &*SPEC.replace("ran", "stale");
    let unknown = &*SPEC.replacen('{', r#"{"x":1, "#, 1);
    let given = &["--member", "spec.dump=spec.dump"][..];
    for (what, spec_dump, config, args, packed, warns) in [
        ("an earlier archive was unpacked there", Some(stale), Some(ran), &[][..], ran, true),
        ("podman wrote it while it exported", Some(same), Some(ran), &[], ran, false),
        ("white space and an unknown key", Some(unknown), Some(ran), &[], ran, true),
        ("no container ran there", Some(stale), None, &[], stale, false),
        ("there is none", None, Some(ran), &[], ran, false),
        ("it was given", Some(stale), Some(ran), given, stale, false),
    ] {
        let dir = bundle();
        let put = |name: &str, content: Option<&str>| match content {
            Some(content) => fs::write(dir.path().join(name), content).unwrap(),
            None => drop(fs::remove_file(dir.path().join(name))),
        };
        put("spec.dump", spec_dump);
        put("config.json", config);
        let (output, out) = pack(dir.path(), args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{what}: {stderr}");
        assert_eq!(
            stderr.contains("spec.dump: ignored, it differs from ./config.json"),
            warns,
            "{what}: {stderr}"
        );
        assert!(warns || stderr.is_empty(), "{what}: {stderr}");
        let archive = fs::read(out).unwrap();
        let mut reader = ArchiveReader::new(&archive[..], Unknown::Refuse).unwrap();
        let mut found = String::new();
        while let Some((member, _)) = reader.next().unwrap() {
            if member == Member::SpecDump {
                reader.content().read_to_string(&mut found).unwrap();
            }
        }
        assert_eq!(found, packed, "{what}");
    }
}

/// Packs the bundle, and returns the archive without the member `name`.
fn archive_without(name: &str) -> tempfile::TempDir {
    let dir = bundle();
    let (output, out) = pack(dir.path(), &["--name", "web"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::write(dir.path().join("pod.json"), r#"{"metadata":{"name":"shop"}}"#).unwrap();
    if !name.is_empty() {
        let status = Command::new("tar").args(["--delete", "-f"]).arg(&out).arg(name).status().unwrap();
        assert!(status.success(), "{name}");
    }
    dir
}

/// Copies the archive `out` in each way. Expects `status`, and `words` in the messages.
fn copy_in_each_way(dir: &Path, status: i32, words: &str) {
    for args in [
        "--from-archive out -o copy",
        "--from-archive - -o copy",
        "--from-archive out --format oci -o copy",
        "--from-archive out --compress zstd -o copy",
        "--pod-config pod.json --container web=out -o copy",
        "--pod-config pod.json --container web=- -o copy",
    ] {
        run_for_copy(dir, args, status, words);
    }
}

/// Runs the tool, which writes the file `copy` if and only if it succeeds.
fn run_for_copy(dir: &Path, args: &str, status: i32, words: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-pack"));
    command.args(args.split(' ')).current_dir(dir).env("NO_COLOR", "1");
    let output = command.stdin(fs::File::open(dir.join("out")).unwrap()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let copy = dir.join("copy");
    assert_eq!(output.status.code(), Some(status), "{words}: {args}: {stderr}");
    assert!(stderr.contains(words), "{words}: {args}: {stderr}");
    assert_eq!(copy.exists(), status == 0, "{words}: {args}");
    drop(fs::remove_file(copy));
}

#[test]
fn archives_without_needed_images_are_not_copied() {
    for name in ["pstree.img", "core-12.img", "mm-1.img", "pagemap-12.img", "pages-2.img", "files.img", ""] {
        let name = if name.is_empty() { String::new() } else { format!("checkpoint/{name}") };
        let dir = archive_without(&name);
        copy_in_each_way(dir.path(), i32::from(!name.is_empty()), &name);
    }
}

#[test]
fn archives_with_data_after_the_pages_are_not_copied() {
    let name = "checkpoint/pages-1.img";
    // The bytes after the pages, and an option of tar.
    for (after, option, status) in [
        (&b"data"[..], "--no-recursion", 1),
        (b"\0\0data\0\0", "--no-recursion", 1),
        (b"data", "--sparse", 1),
        (b"", "--no-recursion", 0),
        (b"\0\0", "--no-recursion", 0),
        (b"\0\0", "--sparse", 0),
    ] {
        let dir = archive_without(name);
        let pages = dir.path().join(name);
        let size = fs::metadata(&pages).unwrap().len();
        if !after.is_empty() {
            // The hole before the last bytes makes the file sparse.
            truncate_to(dir.path(), name, size + 100_000);
            fs::File::options().append(true).open(&pages).unwrap().write_all(after).unwrap();
        }
        let append = ["--append", "-f", "out", option, name];
        assert!(Command::new("tar").args(append).current_dir(dir.path()).status().unwrap().success());
        let words = if status == 0 { "" } else { "checkpoint/pages-1.img: expected" };
        copy_in_each_way(dir.path(), status, words);
    }
}

/// podman ignores an invalid network.status, and restores the container with another address.
#[test]
fn an_invalid_network_status_is_rejected() {
    let dir = archive_without("");
    fs::create_dir(dir.path().join("given")).unwrap();
    for (content, status) in [
        ("", 1),
        ("text", 1),
        ("5", 1),
        (r#"{"a":5}"#, 1),
        (r#"{"a":{},"a":{}}"#, 1),
        ("null", 0),
        ("{}", 0),
        (r#"{"a":{"interfaces":{"eth0":{}}}}"#, 0),
    ] {
        fs::write(dir.path().join("given/network.status"), content).unwrap();
        let tar = ["-cf", "members", "-C", "given", "network.status"];
        assert!(Command::new("tar").args(tar).current_dir(dir.path()).status().unwrap().success());
        for source in
            ["--bundle . --ignore-rootfs", "--bundle . --ignore-rootfs --network none", "--from-archive out"]
        {
            for given in ["--raw-members members", "--member network.status=given/network.status"] {
                let words = if status == 0 { "" } else { "network.status: " };
                run_for_copy(dir.path(), &format!("{source} -o copy {given}"), status, words);
            }
        }
    }
}
