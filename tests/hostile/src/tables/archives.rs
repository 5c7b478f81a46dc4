//! Checkpoint archives whose members have wrong names, types or content.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use harness::forge::{Header, TarForge};

use crate::Ends::{Fails, Gives, Warns};
use crate::world::World;
use crate::{Ends, Input, Written, input};

const UNPACK: &[&str] = &["--bundle", "bundle"];
const ROOTFS: &[&str] = &["--bundle", "bundle", "--rootfs", "root"];
const VOLUME: &[&str] = &["--bundle", "bundle", "--volume", "v=root"];
const SHOW: &[&str] = &["--show"];

/// Returns the mandatory members of an archive.
fn good() -> TarForge {
    TarForge::new()
        .file("config.dump", r#"{"id":"x"}"#)
        .file("spec.dump", "{}")
        .file("checkpoint/inventory.img", "inventory")
}

fn put(out: &mut dyn Write, tar: TarForge) -> io::Result<()> {
    out.write_all(&tar.end())
}

fn unpack(name: &'static str, write: Written, ends: Ends) -> Input {
    input(name, "ckpt-unpack", UNPACK, write, ends)
}

fn victim_is_whole(world: &World) -> bool {
    fs::read(world.outside().join("victim")).is_ok_and(|text| text == b"secret\n")
}

pub(super) fn inputs() -> Vec<Input> {
    let mut inputs = names();
    inputs.extend(types());
    inputs.extend(nested());
    inputs.extend(deletions());
    inputs.extend(documents());
    inputs.extend(shown());
    inputs
}

fn names() -> Vec<Input> {
    vec![
        unpack(
            "an archive with ../NAME",
            |_, out| put(out, good().file("../pwn", "")),
            Fails("../pwn: name with '..'"),
        ),
        unpack(
            "an image member with '..'",
            |_, out| put(out, good().file("checkpoint/x/../../../pwn", "")),
            Fails("name with '..'"),
        ),
        unpack(
            "a volume member with '..'",
            |_, out| put(out, good().file("volumes/../x.tar", "")),
            Fails("name with '..'"),
        ),
        unpack(
            "a member with an absolute name",
            |w, out| put(out, good().pax("path", w.out("victim")).file("x", "pwn\n")),
            Gives(|_, w| victim_is_whole(w)),
        ),
        unpack(
            "config.dump twice",
            |_, out| put(out, good().file("config.dump", "{}")),
            Fails("config.dump: occurs twice in the archive"),
        ),
        unpack(
            "config.dump twice, once as ./config.dump",
            |_, out| put(out, good().file("./config.dump", "{}")),
            Fails("config.dump: occurs twice"),
        ),
        unpack(
            "an image member twice",
            |_, out| put(out, good().file("checkpoint//inventory.img", "")),
            Fails("occurs twice"),
        ),
        unpack(
            "a file, then an entry below it",
            |_, out| put(out, good().file("artifacts/x", "").file("artifacts/x/y", "")),
            Fails("below artifacts/x, which is a file"),
        ),
        unpack(
            "an entry, then a file that is its parent",
            |_, out| put(out, good().file("artifacts/x/y", "").file("artifacts/x", "")),
            Fails("is a file, but members are below it"),
        ),
        unpack(
            "the runtime's config.json",
            |_, out| put(out, good().file("config.json", "{}")),
            Fails("config.json: "),
        ),
        unpack(
            "the runtime's root file system",
            |_, out| put(out, good().file("rootfs/etc/passwd", "")),
            Fails("rootfs/etc/passwd: "),
        ),
        unpack(
            "CRIU's restore.log",
            |_, out| put(out, good().file("restore.log", "")),
            Fails("restore.log: "),
        ),
        unpack(
            "CRIU's restore.log as a link",
            |w, out| put(out, good().symlink("restore.log", w.out("victim"))),
            Fails("restore.log: "),
        ),
        unpack("podman's attach", |_, out| put(out, good().file("attach", "")), Fails("attach: ")),
        unpack("podman's ctl", |_, out| put(out, good().file("ctl", "")), Fails("ctl: ")),
        unpack("podman's secrets", |_, out| put(out, good().file("secrets/x", "")), Fails("secrets/x: ")),
        unpack("podman's shm", |_, out| put(out, good().dir("shm/")), Fails("shm: ")),
        unpack(
            "a removal between members",
            |_, out| put(out, good().header(Header::new(b'g', "checkpoint"))),
            Fails("a removal header between members"),
        ),
        unpack("no members", |_, out| put(out, TarForge::new()), Fails("it has no members")),
        unpack("nothing", |_, _| Ok(()), Fails("standard input: is empty")),
        unpack(
            "no config.dump",
            |_, out| put(out, TarForge::new().file("checkpoint/inventory.img", "x")),
            Fails("config.dump: not in the archive"),
        ),
        unpack(
            "no CRIU images",
            |_, out| put(out, TarForge::new().file("config.dump", "{}").file("spec.dump", "{}")),
            Fails("checkpoint/inventory.img: not in the archive"),
        ),
    ]
}

fn types() -> Vec<Input> {
    const KIND: Ends = Fails("not a regular file");
    vec![
        unpack(
            "config.dump is a link to a file outside",
            |w, out| put(out, TarForge::new().symlink("config.dump", w.out("victim"))),
            KIND,
        ),
        unpack(
            "config.dump is a FIFO",
            |_, out| put(out, TarForge::new().header(Header::new(b'6', "config.dump"))),
            KIND,
        ),
        unpack("config.dump is a directory", |_, out| put(out, TarForge::new().dir("config.dump/")), KIND),
        unpack(
            "config.dump is the memory of the machine",
            |_, out| put(out, TarForge::new().header(Header::new(b'3', "config.dump").device(1, 1))),
            KIND,
        ),
        unpack(
            "spec.dump is a hard link",
            |_, out| put(out, good().hardlink("network.status", "config.dump")),
            KIND,
        ),
        unpack("deleted.files is a directory", |_, out| put(out, good().dir("deleted.files/")), KIND),
        unpack(
            "rootfs-diff.tar is a link",
            |w, out| put(out, good().symlink("rootfs-diff.tar", w.out("victim"))),
            KIND,
        ),
        unpack("checkpoint is a file", |_, out| put(out, TarForge::new().file("checkpoint", "")), KIND),
        unpack(
            "checkpoint is a link out",
            |w, out| put(out, TarForge::new().symlink("checkpoint", w.out("dir"))),
            KIND,
        ),
        unpack(
            "volumes is a link out",
            |w, out| put(out, good().symlink("volumes", w.out("dir"))),
            Fails("volumes: "),
        ),
        unpack(
            "an image is a symlink",
            |w, out| put(out, good().symlink("checkpoint/core-1.img", w.out("victim"))),
            KIND,
        ),
        unpack(
            "an image is a hard link",
            |_, out| put(out, good().hardlink("checkpoint/core-1.img", "config.dump")),
            KIND,
        ),
        unpack(
            "an image is a FIFO",
            |_, out| put(out, good().header(Header::new(b'6', "checkpoint/core-1.img"))),
            KIND,
        ),
        unpack(
            "an image is a block device",
            |_, out| put(out, good().header(Header::new(b'4', "checkpoint/core-1.img").device(8, 0))),
            KIND,
        ),
        unpack(
            "the link to the parent images has another target",
            |w, out| put(out, good().symlink("checkpoint/parent", w.out("dir"))),
            KIND,
        ),
        unpack(
            "the link to the parent images leads up",
            |_, out| put(out, good().symlink("checkpoint/parent", "../../../outside")),
            KIND,
        ),
        unpack(
            "the link to the parent images is valid and dangling",
            |_, out| put(out, good().symlink("checkpoint/parent", "../pre-checkpoint")),
            Fails("checkpoint/parent: these images need the images of a pre-checkpoint"),
        ),
        unpack(
            "the parent images have a parent",
            |_, out| put(out, good().symlink("pre-checkpoint/parent", "../pre-checkpoint")),
            KIND,
        ),
        unpack(
            "an artifact is a link",
            |w, out| put(out, good().symlink("artifacts/x", w.out("victim"))),
            KIND,
        ),
        unpack(
            "a setuid image gets mode 0600",
            |_, out| {
                put(
                    out,
                    good().header(
                        Header::new(b'0', "checkpoint/x.img").mode(0o6777).owner(b"0001750\0", b"0001750\0"),
                    ),
                )
            },
            Gives(|_, w| {
                use std::os::unix::fs::MetadataExt;
                fs::metadata(w.place().join("bundle/checkpoint/x.img")).is_ok_and(|m| m.mode() == 0o100_600)
            }),
        ),
    ]
}

fn nested() -> Vec<Input> {
    fn tar() -> TarForge {
        TarForge::new().file("x", "pwn\n")
    }
    vec![
        input(
            "a diff whose file is longer than the member",
            "ckpt-unpack",
            ROOTFS,
            |_, out| {
                let diff =
                    TarForge::new().header(Header::new(b'0', "x").size(1 << 30)).padded(b"pwn\n").end();
                put(out, good().file("rootfs-diff.tar", diff))
            },
            Fails("rootfs-diff.tar: x: the tar stream ends too early"),
        ),
        input(
            "a truncated diff",
            "ckpt-unpack",
            ROOTFS,
            |_, out| put(out, good().file("rootfs-diff.tar", tar().cut())),
            Fails("rootfs-diff.tar: "),
        ),
        input(
            "an empty diff",
            "ckpt-unpack",
            ROOTFS,
            |_, out| put(out, good().file("rootfs-diff.tar", "")),
            Fails("rootfs-diff.tar: "),
        ),
        input(
            "a diff that is not a tar",
            "ckpt-unpack",
            ROOTFS,
            |_, out| put(out, good().file("rootfs-diff.tar", [b'x'; 5000])),
            Fails("rootfs-diff.tar: expected a tar, found text that begins with \"xxx"),
        ),
        input(
            "a volume with a name that leads out",
            "ckpt-unpack",
            VOLUME,
            |w, out| {
                let volume = TarForge::new().symlink("l", w.out("")).file("l/victim", "pwn\n").end();
                put(out, good().file("volumes/v.tar", volume))
            },
            Fails("volumes/v.tar: l/victim: a parent path component is a symbolic link"),
        ),
        input(
            "shared memory with a name that leads out",
            "ckpt-unpack",
            &["--bundle", "bundle", "--shm", "root"],
            |w, out| {
                let shm = TarForge::new().symlink("l", w.out("")).file("l/victim", "pwn\n").end();
                put(out, good().file("devshm-checkpoint.tar", shm))
            },
            Fails("devshm-checkpoint.tar: l/victim: a parent path component is a symbolic link"),
        ),
        input(
            "a layer whose whiteout leads out",
            "ckpt-unpack",
            ROOTFS,
            |_, out| {
                let layer = zstd::encode_all(&TarForge::new().file("link-out/.wh.victim", "").end()[..], 1)?;
                put(out, good().file("rootfs-diff.tar", layer))
            },
            Warns("link-out/victim: deletion not set: a parent path component is a symbolic link"),
        ),
        input(
            "a layer with an opaque whiteout behind a symlink",
            "ckpt-unpack",
            ROOTFS,
            |_, out| {
                let layer =
                    zstd::encode_all(&TarForge::new().file("link-out/.wh..wh..opq", "").end()[..], 1)?;
                put(out, good().file("rootfs-diff.tar", layer))
            },
            Gives(|_, w| victim_is_whole(w) && w.root().join("dir/sub/file").exists()),
        ),
        input(
            "a layer whose whiteout is ..",
            "ckpt-unpack",
            ROOTFS,
            |_, out| {
                let layer = zstd::encode_all(&TarForge::new().file("dir/.wh...", "").end()[..], 1)?;
                put(out, good().file("rootfs-diff.tar", layer))
            },
            Gives(|_, w| victim_is_whole(w) && w.root().join("dir/sub/file").exists()),
        ),
        input(
            "a layer whose whiteout is .",
            "ckpt-unpack",
            ROOTFS,
            |_, out| {
                let layer = zstd::encode_all(&TarForge::new().file("dir/.wh..", "").end()[..], 1)?;
                put(out, good().file("rootfs-diff.tar", layer))
            },
            Gives(|_, w| victim_is_whole(w) && w.root().join("dir/sub/file").exists()),
        ),
        input(
            "a layer with a whiteout without a name",
            "ckpt-unpack",
            ROOTFS,
            |_, out| {
                let layer = zstd::encode_all(&TarForge::new().file("dir/.wh.", "").end()[..], 1)?;
                put(out, good().file("rootfs-diff.tar", layer))
            },
            Gives(|_, w| victim_is_whole(w) && w.root().join("dir/sub/file").exists()),
        ),
        input(
            "a volume without a --volume flag",
            "ckpt-unpack",
            VOLUME,
            |_, out| put(out, good().file("volumes/v.tar", tar().end()).file("volumes/w.tar", tar().end())),
            Fails("volumes/w.tar: no directory given for this volume"),
        ),
    ]
}

fn deletions() -> Vec<Input> {
    fn list(out: &mut dyn Write, json: &str) -> io::Result<()> {
        let diff = TarForge::new().file("new", "").end();
        put(out, good().file("rootfs-diff.tar", diff).file("deleted.files", json))
    }
    fn root_is_whole(root: &Path) -> bool {
        root.join("file").exists() && root.join("dir/sub/file").exists()
    }
    let rootfs = |name, write: Written, ends| input(name, "ckpt-unpack", ROOTFS, write, ends);
    vec![
        rootfs(
            "the root is deleted",
            |_, out| list(out, r#"["/"]"#),
            Fails("deleted.files: /: the root itself cannot be deleted"),
        ),
        rootfs(
            "the root is deleted as .",
            |_, out| list(out, r#"["."]"#),
            Fails("the root itself cannot be deleted"),
        ),
        rootfs(
            "the root is deleted as ///",
            |_, out| list(out, r#"["///"]"#),
            Fails("the root itself cannot be deleted"),
        ),
        rootfs("nothing is deleted", |_, out| list(out, r#"[""]"#), Fails("deleted.files: : empty name")),
        rootfs(
            "a deletion above the root",
            |_, out| list(out, r#"["/../../../outside/victim"]"#),
            Fails("name with '..'"),
        ),
        rootfs(
            "a deletion with '..' inside the path",
            |_, out| list(out, r#"["/dir/../../../outside"]"#),
            Fails("name with '..'"),
        ),
        rootfs(
            "a deletion through a link out",
            |_, out| list(out, r#"["/link-out/victim"]"#),
            Warns("link-out/victim: deletion not set"),
        ),
        rootfs(
            "a deletion of a link out",
            |_, out| list(out, r#"["/link-out"]"#),
            Gives(|_, w| !w.root().join("link-out").is_symlink() && victim_is_whole(w)),
        ),
        rootfs(
            "a deletion with a NUL byte",
            |_, out| list(out, r#"["/x\u0000/../victim"]"#),
            Fails("name with a NUL byte"),
        ),
        rootfs(
            "a deletion with a lone surrogate",
            |_, out| list(out, r#"["/\ud800"]"#),
            Fails("deleted.files: "),
        ),
        rootfs("a deletion that is a number", |_, out| list(out, "[1]"), Fails("deleted.files: ")),
        rootfs("deletions that are an object", |_, out| list(out, r#"{"/x":1}"#), Fails("deleted.files: ")),
        rootfs("deletions that end too early", |_, out| list(out, r#"["/file""#), Fails("deleted.files: ")),
        rootfs(
            "deletions and trailing characters",
            |_, out| list(out, r#"["/file"] x"#),
            Fails("deleted.files: "),
        ),
        rootfs("deletions in each other", |_, out| list(out, &"[".repeat(100_000)), Fails("deleted.files: ")),
        rootfs("deletions of nothing", |_, out| list(out, "null"), Gives(|_, w| root_is_whole(&w.root()))),
        rootfs(
            "raw deletions above the root",
            |_, out| put(out, good().file("deleted.files0", b"/x\0/../victim\0")),
            Fails("deleted.files0: /../victim: name with '..'"),
        ),
        rootfs(
            "an absolute deletion is relative to the root",
            |w, out| list(out, &format!("[\"{}\"]", w.out("victim"))),
            Gives(|_, w| victim_is_whole(w) && root_is_whole(&w.root())),
        ),
    ]
}

fn documents() -> Vec<Input> {
    fn config(out: &mut dyn Write, json: &str) -> io::Result<()> {
        put(
            out,
            TarForge::new()
                .file("config.dump", json)
                .file("spec.dump", "{}")
                .file("checkpoint/inventory.img", "x"),
        )
    }
    fn spec(out: &mut dyn Write, json: &str) -> io::Result<()> {
        put(
            out,
            TarForge::new()
                .file("config.dump", "{}")
                .file("spec.dump", json)
                .file("checkpoint/inventory.img", "x"),
        )
    }
    vec![
        unpack(
            "a configuration that is a list",
            |_, out| config(out, "[]"),
            Fails("config.dump: not a JSON object"),
        ),
        unpack("a truncated configuration", |_, out| config(out, r#"{"id":"#), Fails("config.dump: ")),
        unpack(
            "an empty configuration",
            |_, out| config(out, ""),
            Fails("config.dump: is empty, expected JSON"),
        ),
        unpack(
            "a configuration with a key twice",
            |_, out| config(out, r#"{"id":"a","id":"b"}"#),
            Fails("duplicate key \"id\""),
        ),
        unpack(
            "a configuration in UTF-16",
            |_, out| put(out, TarForge::new().file("config.dump", b"\xff\xfe{\0}\0").file("spec.dump", "{}")),
            Fails("config.dump: expected JSON, found text in UTF-16"),
        ),
        unpack(
            "a configuration with a number out of range",
            |_, out| config(out, r#"{"n":1e999}"#),
            Fails("number out of range"),
        ),
        unpack(
            "a volume whose name is a path",
            |_, out| config(out, r#"{"namedVolumes":[{"volumeName":"../x","dest":"/"}]}"#),
            Fails("config.dump: namedVolumes: ../x: "),
        ),
        unpack(
            "a volume without a name",
            |_, out| config(out, r#"{"namedVolumes":[{}]}"#),
            Fails("a volume without a name"),
        ),
        unpack(
            "volumes that are a number",
            |_, out| config(out, r#"{"namedVolumes":5}"#),
            Fails("namedVolumes: not an array"),
        ),
        unpack(
            "host paths in a configuration are not followed",
            |w, out| {
                let victim = w.out("victim");
                config(
                    out,
                    &format!(
                        r#"{{"id":"../../x","runtime":"{victim}","conmonPidFile":"{victim}","staticDir":"{victim}","logPath":"{victim}"}}"#
                    ),
                )
            },
            Gives(|_, w| victim_is_whole(w)),
        ),
        unpack(
            "a specification that is a number",
            |_, out| spec(out, "1"),
            Fails("spec.dump: not a JSON object"),
        ),
        unpack(
            "hooks in a specification are not run",
            |w, out| {
                spec(
                    out,
                    &format!(
                        r#"{{"hooks":{{"prestart":[{{"path":"/bin/rm","args":["rm","{}"]}}]}}}}"#,
                        w.out("victim")
                    ),
                )
            },
            Gives(|_, w| victim_is_whole(w)),
        ),
        unpack(
            "a network status that is not JSON",
            |_, out| put(out, good().file("network.status", "{")),
            Fails("network.status: "),
        ),
    ]
}

/// Members that only `ckpt-unpack --show` parses.
fn shown() -> Vec<Input> {
    let show = |name, write: Written, ends| input(name, "ckpt-unpack", SHOW, write, ends);
    vec![
        show(
            "statistics of two bytes",
            |_, out| put(out, good().file("stats-dump", "xx")),
            Fails("stats-dump: "),
        ),
        show(
            "statistics with a length beyond the end of the file",
            |_, out| put(out, good().file("stats-dump", b"\x40\x59\x10\x55\x53\x20\x10\x57\xff\xff\xff\xff")),
            Fails("stats-dump: the CRIU image ends too early"),
        ),
        show(
            "statistics of random bytes",
            |_, out| put(out, good().file("stats-dump", [0x5a; 100])),
            Fails("stats-dump: "),
        ),
        show(
            "a process tree of random bytes",
            |_, out| put(out, good().file("checkpoint/pstree.img", [0x5a; 999])),
            Warns("pstree.img"),
        ),
        show(
            "a process that is its own parent",
            |_, out| {
                // The common magic, the magic of pstree, and one message: pid 1, ppid 1.
                put(
                    out,
                    good().file(
                        "checkpoint/pstree.img",
                        b"\x19\x43\x56\x54\x09\x49\x26\x50\x04\0\0\0\x08\x01\x10\x01",
                    ),
                )
            },
            Warns("1 processes are not shown, they do not descend from the first process"),
        ),
        show(
            "two processes that are parents of each other",
            |_, out| {
                put(out, good().file("checkpoint/pstree.img", b"\x19\x43\x56\x54\x09\x49\x26\x50\x04\0\0\0\x08\x01\x10\x02\x04\0\0\0\x08\x02\x10\x01"))
            },
            Warns("2 processes are not shown, they do not descend from the first process"),
        ),
        show(
            "a network status with a number as interface",
            |_, out| put(out, good().file("network.status", r#"{"n":{"interfaces":{"e":5}}}"#)),
            Fails("network.status: "),
        ),
        show(
            "a container name with escape sequences",
            |_, out| {
                put(
                    out,
                    TarForge::new()
                        .file("config.dump", r#"{"id":"\u001b[2J","name":"a\nb\u001b]0;x\u0007"}"#)
                        .file("spec.dump", "{}")
                        .file("checkpoint/inventory.img", "x"),
                )
            },
            Gives(|run, _| !run.stdout.contains(&0x1b) && !run.stdout.contains(&7)),
        ),
        show(
            "a mount with escape sequences",
            |_, out| {
                put(
                    out,
                    TarForge::new()
                        .file("config.dump", "{}")
                        .file(
                            "spec.dump",
                            r#"{"mounts":[{"destination":"/\u001b[2J","type":"bind","source":"/\u009b2J"}]}"#,
                        )
                        .file("checkpoint/inventory.img", "x"),
                )
            },
            Gives(|run, _| !run.stdout.contains(&0x1b)),
        ),
        input(
            "a member name with escape sequences",
            "ckpt-unpack",
            &["--list"],
            |_, out| put(out, good().file("artifacts/\x1b[2J\nforged", "")),
            Gives(|run, _| !run.stdout.contains(&0x1b) && !run.stdout.windows(8).any(|w| w == b"\nforged\n")),
        ),
    ]
}
