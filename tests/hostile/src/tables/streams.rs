//! Input of the packing side: member streams, bundles and overlay layers.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::process::Command;

use harness::forge::{Header, TarForge};

use crate::Ends::{Done, Fails, Gives};
use crate::world::World;
use crate::{Ends, Input, Written, input};

const PACK: &[&str] = &["--bundle", "bundle", "--ignore-rootfs", "-o", "web.ckpt", "-"];
const RAW: &[&str] = &["--bundle", "bundle", "--ignore-rootfs", "--raw-members", "-o", "web.ckpt", "-"];
const ALONE: &[&str] = &["--bundle", "bundle", "--ignore-rootfs", "-o", "web.ckpt"];
const APPLY: &[&str] = &["apply", "--members", "--rootfs", "root"];
const EXTRACT: &[&str] = &["extract", "--members", "v=root"];

/// Creates a valid bundle.
fn bundle(world: &World) -> io::Result<()> {
    let dir = world.place().join("bundle");
    fs::create_dir_all(dir.join("checkpoint"))?;
    fs::write(
        dir.join("config.json"),
        r#"{"ociVersion":"1.2.0","process":{},"root":{},"mounts":[],"linux":{}}"#,
    )?;
    fs::write(dir.join("checkpoint/inventory.img"), "inventory")
}

/// Completes a member stream with the `.end` member that the tools write.
fn proved(tar: TarForge) -> Vec<u8> {
    let bytes = tar.clone().cut().len();
    tar.file(".end", format!("{{\"writer\":\"x\",\"bytes\":{bytes},\"changed\":0}}\n")).end()
}

fn status() -> TarForge {
    TarForge::new().file("network.status", "null")
}

pub(super) fn inputs() -> Vec<Input> {
    let mut inputs = ends();
    inputs.extend(members());
    inputs.extend(bundles());
    inputs.extend(layers());
    inputs
}

fn ends() -> Vec<Input> {
    let pack = |name, write: Written, ends| input(name, "ckpt-pack", PACK, write, ends);
    vec![
        pack(
            "a failure record",
            |w, out| {
                bundle(w)?;
                let record = r#"{"writer":"x","member":"volumes/v.tar","error":"a\n\u001b[2Jb"}"#;
                out.write_all(&status().file(".failed", record).end())
            },
            Fails("x failed: volumes/v.tar: a\\n\\x1b[2Jb"),
        ),
        pack(
            "an invalid failure record",
            |w, out| {
                bundle(w)?;
                out.write_all(&status().file(".failed", "[1,2").end())
            },
            Fails("a producer failed; its record .failed: "),
        ),
        pack(
            "an empty failure record",
            |w, out| {
                bundle(w)?;
                out.write_all(&status().file(".failed", "{}").end())
            },
            Fails("a producer failed: no reason given"),
        ),
        pack(
            "a failure record that is a link, in a complete stream",
            |w, out| {
                bundle(w)?;
                out.write_all(&proved(status().symlink(".failed", w.out("victim"))))
            },
            Fails("its record .failed is not a short file"),
        ),
        pack(
            "a failure record of a megabyte",
            |w, out| {
                bundle(w)?;
                out.write_all(&status().file(".failed", vec![b' '; 1 << 20]).end())
            },
            Fails("its record .failed is not a short file"),
        ),
        pack(
            "a stream without .end",
            |w, out| {
                bundle(w)?;
                out.write_all(&status().end())
            },
            Fails("it ends without .end"),
        ),
        pack(
            "a truncated stream",
            |w, out| {
                bundle(w)?;
                let stream = proved(status());
                out.write_all(&stream[..stream.len() - 1600])
            },
            Fails("ends too early"),
        ),
        pack(
            "a .end with a wrong number of bytes",
            |w, out| {
                bundle(w)?;
                out.write_all(&status().file(".end", r#"{"writer":"x","bytes":5,"changed":0}"#).end())
            },
            Fails("x wrote 5 bytes, 1024 arrived"),
        ),
        pack(
            "a .end that is not JSON",
            |w, out| {
                bundle(w)?;
                out.write_all(&status().file(".end", "end").end())
            },
            Fails(".end: "),
        ),
        pack(
            "a .end with a negative number",
            |w, out| {
                bundle(w)?;
                out.write_all(&status().file(".end", r#"{"writer":"x","bytes":-1,"changed":0}"#).end())
            },
            Fails(".end: "),
        ),
        pack(
            "a .end of a mebibyte",
            |w, out| {
                bundle(w)?;
                out.write_all(&status().file(".end", vec![b' '; 1 << 20]).end())
            },
            Fails(".end is not a short file"),
        ),
        pack(
            "a .end that is a link",
            |w, out| {
                bundle(w)?;
                out.write_all(&status().symlink(".end", "x").end())
            },
            Fails(".end is not a short file"),
        ),
        pack(
            "a .end whose writer has escape sequences",
            |w, out| {
                bundle(w)?;
                out.write_all(&status().file(".end", r#"{"writer":"\u001b[2J","bytes":5,"changed":0}"#).end())
            },
            Fails("\\x1b[2J wrote 5 bytes"),
        ),
        pack(
            "a member after .end",
            |w, out| {
                bundle(w)?;
                let stream = status().file(".end", r#"{"writer":"x","bytes":1024,"changed":0}"#);
                out.write_all(&stream.file("ctr.log", "").end())
            },
            Fails("members after .end"),
        ),
        pack(
            "an empty stream",
            |w, _| bundle(w),
            Fails("standard input: expected a member stream, found no data"),
        ),
        pack(
            "text instead of a stream",
            |w, out| {
                bundle(w)?;
                out.write_all(&b"text\n".repeat(500))
            },
            Fails("expected a tar, found text that begins with \"text\""),
        ),
    ]
}

fn members() -> Vec<Input> {
    let pack = |name, write: Written, ends| input(name, "ckpt-pack", PACK, write, ends);
    vec![
        pack(
            "a member of the same name in two streams",
            |w, out| {
                bundle(w)?;
                out.write_all(&proved(status()))?;
                out.write_all(&proved(status()))
            },
            Fails("network.status: occurs twice"),
        ),
        pack(
            "a member that is a link to a file outside",
            |w, out| {
                bundle(w)?;
                out.write_all(&proved(TarForge::new().symlink("network.status", w.out("victim"))))
            },
            Fails("network.status: not a regular file"),
        ),
        pack(
            "a member that is a FIFO",
            |w, out| {
                bundle(w)?;
                out.write_all(&proved(TarForge::new().header(Header::new(b'6', "ctr.log"))))
            },
            Fails("ctr.log: not a regular file"),
        ),
        pack(
            "a member with '..'",
            |w, out| {
                bundle(w)?;
                out.write_all(&proved(TarForge::new().file("../pwn", "")))
            },
            Fails("../pwn: name with '..'"),
        ),
        pack(
            "a removal among members",
            |w, out| {
                bundle(w)?;
                out.write_all(&proved(TarForge::new().header(Header::new(b'g', "x"))))
            },
            Fails("a removal header between members"),
        ),
        pack(
            "image members that the bundle already has",
            |w, out| {
                bundle(w)?;
                out.write_all(&proved(TarForge::new().file("checkpoint/inventory.img", "pwn")))
            },
            Fails("checkpoint/inventory.img: "),
        ),
        input(
            "a hand-made tar with a link",
            "ckpt-pack",
            RAW,
            |w, out| {
                bundle(w)?;
                out.write_all(&TarForge::new().symlink("rootfs-diff.tar", w.out("victim")).end())
            },
            Fails("not a regular file"),
        ),
        input(
            "a truncated hand-made tar",
            "ckpt-pack",
            RAW,
            |w, out| {
                bundle(w)?;
                out.write_all(
                    &TarForge::new().header(Header::new(b'0', "ctr.log").size(1 << 30)).padded(b"x").cut(),
                )
            },
            Fails("ends too early"),
        ),
        input(
            "a diff in a stream with '..' in a name",
            "rootfs-diff",
            APPLY,
            |w, out| {
                let diff = TarForge::new().symlink("l", w.out("")).file("l/victim", "pwn").end();
                out.write_all(&proved(TarForge::new().file("rootfs-diff.tar", diff)))
            },
            Fails("l/victim: a parent path component is a symbolic link"),
        ),
        input(
            "deletions in a stream with '..'",
            "rootfs-diff",
            APPLY,
            |_, out| {
                let diff = TarForge::new().file("x", "").end();
                out.write_all(&proved(
                    TarForge::new().file("rootfs-diff.tar", diff).file("deleted.files", r#"["/../x"]"#),
                ))
            },
            Fails("name with '..'"),
        ),
        input(
            "a stream without a diff",
            "rootfs-diff",
            APPLY,
            |_, out| out.write_all(&proved(status())),
            Fails("rootfs-diff.tar: not in the stream"),
        ),
        input(
            "a volume in a stream with '..' in a name",
            "vol-archive",
            EXTRACT,
            |w, out| {
                let volume = TarForge::new().symlink("l", w.out("")).file("l/victim", "pwn").end();
                out.write_all(&proved(TarForge::new().file("volumes/v.tar", volume)))
            },
            Fails("volumes/v.tar: "),
        ),
        input(
            "a volume in a stream that is longer than its member",
            "vol-archive",
            EXTRACT,
            |_, out| {
                let volume =
                    TarForge::new().header(Header::new(b'0', "x").size(1 << 20)).padded(b"pwn").end();
                out.write_all(&proved(TarForge::new().file("volumes/v.tar", volume)))
            },
            Fails("the tar stream ends too early"),
        ),
        input(
            "a stream without the volume",
            "vol-archive",
            EXTRACT,
            |_, out| out.write_all(&proved(status())),
            Fails("volumes/v.tar: not in the stream"),
        ),
        input(
            "a stream with another volume",
            "vol-archive",
            EXTRACT,
            |_, out| out.write_all(&proved(TarForge::new().file("volumes/w.tar", ""))),
            Fails("volumes/w.tar: no directory given"),
        ),
    ]
}

fn bundles() -> Vec<Input> {
    fn fifo(path: std::path::PathBuf) -> io::Result<()> {
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).map_err(io::Error::from)
    }
    fn document(world: &World, name: &str, text: &str) -> io::Result<()> {
        bundle(world)?;
        fs::write(world.place().join("bundle").join(name), text)
    }
    let pack = |name, write: Written, ends: Ends| input(name, "ckpt-pack", ALONE, write, ends);
    vec![
        pack(
            "an image that is a FIFO",
            |w, _| {
                bundle(w)?;
                fifo(w.place().join("bundle/checkpoint/core-1.img"))
            },
            Fails("core-1.img: "),
        ),
        pack(
            "a config.json that is a FIFO",
            |w, _| {
                bundle(w)?;
                fs::remove_file(w.place().join("bundle/config.json"))?;
                fifo(w.place().join("bundle/config.json"))
            },
            Fails("config.json: not a regular file"),
        ),
        pack(
            "an image that is a link to a file outside",
            |w, _| {
                bundle(w)?;
                symlink(w.out("victim"), w.place().join("bundle/checkpoint/core-1.img"))
            },
            Fails("core-1.img: "),
        ),
        pack(
            "images that are a link to a directory outside",
            |w, _| {
                bundle(w)?;
                symlink(w.out("dir"), w.place().join("bundle/checkpoint/dir"))
            },
            Fails("dir: "),
        ),
        pack(
            "a config.dump of the bundle that is not an object",
            |w, _| document(w, "config.dump", "[]"),
            Fails("config.dump"),
        ),
        pack(
            "a spec.dump of the bundle that is not JSON",
            |w, _| document(w, "spec.dump", "{"),
            Fails("spec.dump"),
        ),
        pack(
            "a configuration with a key twice in the bundle",
            |w, _| document(w, "config.dump", r#"{"id":"a","id":"b"}"#),
            Fails("duplicate key"),
        ),
        pack(
            "a volume of the bundle whose name is a path",
            |w, _| document(w, "config.dump", r#"{"namedVolumes":[{"volumeName":"../x"}]}"#),
            Fails("../x: "),
        ),
        pack(
            "a config.json of nested lists",
            |w, _| document(w, "config.json", &"[".repeat(100_000)),
            Fails("recursion limit"),
        ),
        pack(
            "a config.json of many values",
            |w, _| document(w, "config.json", &format!("{{\"a\":[0{}]}}", ",0".repeat(500_000))),
            Fails("more than 262144 values"),
        ),
    ]
}

/// Overlay xattrs that a privileged container could set in its own layer.
fn layers() -> Vec<Input> {
    const CREATE: &[&str] =
        &["create", "--members", "--upper", "upper", "--lower", "lower", "--userxattr", "-o", "diff.tar"];
    /// Creates two layers with the file `d/x`, and sets an overlay xattr on `name` in the upper.
    fn marked(world: &World, name: &str, mark: &str, value: &str) -> io::Result<()> {
        for layer in ["upper", "lower"] {
            fs::create_dir_all(world.place().join(layer).join("d"))?;
            fs::write(world.place().join(layer).join("d/x"), layer)?;
        }
        xattr::set(world.place().join("upper").join(name), mark, value.as_bytes())
    }
    fn is_sound(world: &World) -> bool {
        let diff = fs::read(world.place().join("diff.tar")).unwrap_or_default();
        // The output must not contain the content of files outside.
        !diff.windows(6).any(|bytes| bytes == b"secret")
    }
    // Merging the layers mounts an overlay.
    let create = |name, write: Written, ends| input(name, "rootfs-diff", CREATE, write, ends).for_root();
    vec![
        create(
            "a redirect with '..'",
            |w, _| marked(w, "d", "user.overlay.redirect", "../../outside"),
            Fails("d: Invalid argument"),
        ),
        create(
            "a redirect to an absolute path outside",
            |w, _| marked(w, "d", "user.overlay.redirect", &w.out("dir")),
            Fails("d: Operation not permitted"),
        ),
        create(
            "a redirect with many ..",
            |w, _| marked(w, "d", "user.overlay.redirect", "/../../../outside/dir"),
            Fails("d: Operation not permitted"),
        ),
        create(
            "an empty redirect",
            |w, _| marked(w, "d", "user.overlay.redirect", ""),
            Fails("d: Invalid argument"),
        ),
        create(
            "a redirect of 3000 bytes",
            |w, _| marked(w, "d", "user.overlay.redirect", &"x".repeat(3000)),
            Fails("d: Operation not permitted"),
        ),
        create(
            "a metacopy file whose lower file is outside",
            |w, _| {
                marked(w, "d/x", "user.overlay.metacopy", "")?;
                xattr::set(w.place().join("upper/d/x"), "user.overlay.redirect", w.out("victim").as_bytes())
            },
            Fails("d/x: Operation not permitted"),
        ),
        create(
            "a metacopy file without a lower file",
            |w, _| {
                marked(w, "d/x", "user.overlay.metacopy", "")?;
                fs::remove_file(w.place().join("lower/d/x"))
            },
            Fails("d/x: "),
        ),
        create(
            "an opaque xattr with an invalid value",
            |w, _| marked(w, "d", "user.overlay.opaque", "nonsense"),
            Gives(|_, w| is_sound(w)),
        ),
        create(
            "a lower layer with a link out",
            |w, _| {
                marked(w, "d", "user.overlay.opaque", "y")?;
                fs::remove_dir_all(w.place().join("lower/d"))?;
                symlink(w.out("dir"), w.place().join("lower/d"))
            },
            Gives(|_, w| is_sound(w)),
        ),
        create(
            "an upper layer with a link out and files behind it",
            |w, _| {
                marked(w, "d", "user.overlay.opaque", "y")?;
                symlink(w.out("dir"), w.place().join("upper/l"))?;
                fs::create_dir_all(w.place().join("lower/l"))?;
                fs::write(w.place().join("lower/l/victim"), "lower")
            },
            Gives(|_, w| is_sound(w)),
        ),
        create(
            "a directory of a thousand levels",
            |w, _| {
                marked(w, "d", "user.overlay.opaque", "y")?;
                let deep = vec!["d"; 1000].join("/");
                let made =
                    Command::new("mkdir").arg("-p").arg(w.place().join("upper").join(deep)).status()?;
                if made.success() { Ok(()) } else { Err(io::Error::other("mkdir")) }
            },
            Done,
        ),
        input(
            "an exclusion with '..'",
            "rootfs-diff",
            &["create", "--members", "--from", "root", "--to", "root", "--exclude", "../x"],
            |_, _| Ok(()),
            Ends::Usage("name with '..'"),
        ),
        input(
            "a config.json with '..' in a mount's destination",
            "rootfs-diff",
            &["create", "--members", "--from", "root", "--to", "root", "--config", "c.json", "-o", "x.tar"],
            |w, _| fs::write(w.place().join("c.json"), r#"{"mounts":[{"destination":"/../x"}]}"#),
            Fails("name with '..'"),
        ),
        input(
            "a config.json whose mounts are null",
            "rootfs-diff",
            &["create", "--members", "--from", "root", "--to", "root", "--config", "c.json", "-o", "x.tar"],
            |w, _| fs::write(w.place().join("c.json"), r#"{"mounts":[{}]}"#),
            Fails("a mount without a destination"),
        ),
    ]
}
