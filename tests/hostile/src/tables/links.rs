//! Symlinks and hard links, and entries whose paths lead through them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use harness::forge::{Header, TarForge};

use crate::Outcome::{Made, Refused, Stopped};
use crate::{Row, row};

const THROUGH: &str = "a parent path component is a symbolic link";

fn is_link(root: &Path, name: &str) -> bool {
    root.join(name).is_symlink()
}

fn is_file(root: &Path, name: &str, text: &str) -> bool {
    let path = root.join(name);
    !path.is_symlink() && fs::read_to_string(path).is_ok_and(|found| found == text)
}

/// Returns a tar with one deletion header: a global PAX header of size 0.
fn removal(name: impl AsRef<[u8]>) -> Vec<u8> {
    TarForge::new().header(Header::new(b'g', name)).end()
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = through();
    rows.extend(replaced());
    rows.extend(hard());
    rows.extend(removals().into_iter().map(Row::that_deletes));
    rows
}

/// Tars with an entry whose parent is a symlink.
fn through() -> Vec<Row> {
    fn behind(target: &'static str) -> impl Fn(&crate::world::World) -> Vec<u8> {
        move |_| TarForge::new().symlink("l", target).file("l/pwn", "pwn\n").end()
    }
    vec![
        row(
            "through an absolute link of the tar",
            |w| TarForge::new().symlink("l", w.out("")).file("l/pwn", "pwn\n").end(),
            Stopped(THROUGH),
        ),
        row("through a relative link of the tar", behind("../../../outside"), Stopped(THROUGH)),
        row("through a link to /", behind("/"), Stopped(THROUGH)),
        row("through a link to ..", behind(".."), Stopped(THROUGH)),
        row("through a link to the directory it is in", behind("."), Stopped(THROUGH)),
        row("through a link to itself", behind("l"), Stopped(THROUGH)),
        row("through a dangling link", behind("missing"), Stopped(THROUGH)),
        row("through the magic link of the root", behind("/proc/self/root"), Stopped(THROUGH)),
        row("through the magic link of the working directory", behind("/proc/self/cwd"), Stopped(THROUGH)),
        row("through the magic link of a descriptor", behind("/proc/self/fd/0"), Stopped(THROUGH)),
        row(
            "through a chain of links",
            |_| {
                TarForge::new()
                    .symlink("a", "b")
                    .symlink("b", "c")
                    .symlink("c", "/")
                    .file("a/pwn", "pwn\n")
                    .end()
            },
            Stopped("a/pwn: a parent path component"),
        ),
        row(
            "through a link in a subdirectory",
            |w| TarForge::new().dir("d/").dir("d/e/").symlink("d/e/l", w.out("dir")).dir("d/e/l/f/").end(),
            Stopped(THROUGH),
        ),
        row("a directory through a link", |_| TarForge::new().dir("link-out/made/").end(), Stopped(THROUGH)),
        row(
            "a device through a link",
            |_| TarForge::new().header(Header::new(b'3', "link-out/mem").device(1, 1)).end(),
            Stopped(THROUGH),
        )
        .for_root(),
        row("a link through a link", |_| TarForge::new().symlink("link-out/l", "x").end(), Stopped(THROUGH)),
        row(
            "a file outside through the image's link",
            |_| TarForge::new().file("link-out/victim", "pwn\n").end(),
            Stopped("link-out/victim: a parent path component"),
        ),
        row(
            "through the image's relative link",
            |_| TarForge::new().file("link-up/pwn", "").end(),
            Stopped(THROUGH),
        ),
        row(
            "through the image's link that stays inside",
            |_| TarForge::new().file("link-in/x", "").end(),
            Stopped(THROUGH),
        ),
        row(
            "through /var/run",
            |_| TarForge::new().file("var/run/pwn", "").end(),
            Stopped("var/run/pwn: a parent path component"),
        ),
        row(
            "a directory that becomes a link out before its file",
            |w| TarForge::new().dir("d/").symlink("d", w.out("")).file("d/victim", "pwn\n").end(),
            Stopped(THROUGH),
        ),
        row(
            "a non-empty directory of the image that becomes a link out",
            |w| TarForge::new().symlink("dir", w.out("")).file("dir/victim", "pwn\n").end(),
            Stopped(THROUGH),
        ),
        row(
            "a directory that was written to and then becomes a link out",
            |w| TarForge::new().file("d/e/x", "").symlink("d", w.out("")).file("d/e/x", "pwn\n").end(),
            Stopped(THROUGH),
        ),
    ]
}

/// Tars with an entry that replaces a symlink.
fn replaced() -> Vec<Row> {
    vec![
        row(
            "a file over a link out",
            |_| TarForge::new().file("link-file", "pwn\n").end(),
            Made(|root| is_file(root, "link-file", "pwn\n")),
        ),
        row(
            "a file over a link of the tar to the victim",
            |w| TarForge::new().symlink("l", w.out("victim")).file("l", "pwn\n").end(),
            Made(|root| is_file(root, "l", "pwn\n")),
        ),
        row(
            "a file over a link to a descriptor",
            |_| TarForge::new().symlink("l", "/proc/self/fd/1").file("l", "pwn\n").end(),
            Made(|root| is_file(root, "l", "pwn\n")),
        ),
        row(
            "a directory over a link to a directory outside, and a file in it",
            |_| TarForge::new().dir("link-out/").file("link-out/victim", "pwn\n").end(),
            Made(|root| is_file(root, "link-out/victim", "pwn\n")),
        ),
        row(
            "a directory whose mode would be set through a link at the end",
            |w| TarForge::new().header(Header::new(b'5', "d/").mode(0o777)).symlink("d", w.out("dir")).end(),
            Made(|root| is_link(root, "d")),
        ),
        row(
            "a subdirectory whose mode would be set through a link at the end",
            |w| {
                TarForge::new()
                    .dir("d/")
                    .header(Header::new(b'5', "d/dir/").mode(0o777))
                    .symlink("d", w.out(""))
                    .end()
            },
            Made(|root| is_link(root, "d")),
        ),
        row(
            "a FIFO over a link out",
            |_| TarForge::new().header(Header::new(b'6', "link-file")).end(),
            Made(|root| !is_link(root, "link-file")),
        ),
        row(
            "a link whose owner and time are not set on its target",
            |w| TarForge::new().header(Header::new(b'2', "l").link(w.out("victim")).mtime(1)).end(),
            Made(|root| fs::symlink_metadata(root.join("l")).is_ok_and(|m| m.mtime() == 1)),
        ),
        row(
            "a link whose xattr is not set on its target",
            |w| TarForge::new().pax("SCHILY.xattr.trusted.x", "pwn").symlink("l", w.out("victim")).end(),
            Made(|root| is_link(root, "l")),
        ),
        row(
            "a link that leads out is only created",
            |_| TarForge::new().symlink("l", "../../../outside").end(),
            Made(|root| fs::read_link(root.join("l")).is_ok_and(|t| t == Path::new("../../../outside"))),
        ),
        row("a link without a target", |_| TarForge::new().symlink("l", "").end(), Stopped("l: ")),
        row(
            "a link with a target of 5000 bytes",
            |_| TarForge::new().pax("linkpath", [b'x'; 5000]).symlink("l", "").end(),
            Stopped("l: File name too long"),
        ),
        row(
            "a link with a NUL byte in its target",
            |_| TarForge::new().pax("linkpath", b"a\0b").symlink("l", "").end(),
            Refused("l: target with a NUL byte"),
        ),
        row(
            "a link that replaces a non-empty directory",
            |_| TarForge::new().symlink("dir", "x").end(),
            Made(|root| is_link(root, "dir")),
        ),
    ]
}

fn hard() -> Vec<Row> {
    let link =
        |target: &'static str| move |_: &crate::world::World| TarForge::new().hardlink("h", target).end();
    vec![
        row(
            "a hard link to a file above the root",
            link("../../../outside/victim"),
            Refused("name with '..'"),
        ),
        row(
            "a hard link to an absolute name",
            |w| TarForge::new().hardlink("h", w.out("victim")).end(),
            Stopped("No such file or directory"),
        ),
        row(
            "a hard link with '..' in its PAX target",
            |_| TarForge::new().pax("linkpath", "../../../outside/victim").hardlink("h", "file").end(),
            Refused("name with '..'"),
        ),
        row(
            "a hard link with '..' in GNU's long target",
            |_| TarForge::new().gnu_long(b'K', "../../../outside/victim").hardlink("h", "file").end(),
            Refused("name with '..'"),
        ),
        row("a hard link through a link", link("link-out/victim"), Stopped(THROUGH)),
        row(
            "a hard link through a link of the tar",
            |w| TarForge::new().symlink("l", w.out("")).hardlink("h", "l/victim").end(),
            Stopped(THROUGH),
        ),
        row("a hard link to a link out is that link", link("link-file"), Made(|root| is_link(root, "h"))),
        row(
            "a hard link to a link out, then a file in its place",
            |_| TarForge::new().hardlink("h", "link-file").file("h", "pwn\n").end(),
            Made(|root| is_file(root, "h", "pwn\n") && is_link(root, "link-file")),
        ),
        row("a hard link to itself", link("h"), Stopped("h: hard link to h")),
        row("a hard link to the root", link("/"), Stopped("h: hard link to /")),
        row("a hard link without a target", link(""), Refused("empty name")),
        row("a hard link to a directory", link("dir"), Stopped("h: hard link to dir, which is a directory")),
        row(
            "a hard link to a later entry",
            |_| TarForge::new().hardlink("h", "later").file("later", "").end(),
            Stopped("h: hard link to later: No such file or directory"),
        ),
        row(
            "hard links in a circle",
            |_| TarForge::new().hardlink("a", "b").hardlink("b", "a").end(),
            Stopped("a: hard link to b: No such file or directory"),
        ),
        row(
            "hard links in a circle of existing files",
            |_| TarForge::new().file("a", "a").hardlink("b", "a").hardlink("a", "b").hardlink("b", "a").end(),
            Made(|root| is_file(root, "a", "a") && is_file(root, "b", "a")),
        ),
        row(
            "a hard link that replaces its target's directory",
            |_| TarForge::new().hardlink("dir", "dir/file").end(),
            Stopped("dir"),
        ),
        row(
            "a hard link with a size has no content",
            |_| {
                // Go and GNU tar also ignore the size of a hard link: they expect the next header
                // directly after the header of the link.
                TarForge::new()
                    .header(Header::new(b'1', "h").link("file").size(512))
                    .file("next", "pwn\n")
                    .end()
            },
            Made(|root| is_file(root, "next", "pwn\n")),
        ),
        row(
            "a thousand hard links",
            |_| (0..1000).fold(TarForge::new(), |tar, n| tar.hardlink(format!("h{n}"), "file")).end(),
            Made(|root| fs::metadata(root.join("file")).is_ok_and(|m| m.nlink() == 1001)),
        ),
    ]
}

fn removals() -> Vec<Row> {
    vec![
        row("a removal of ..", |_| removal("../../../outside/victim"), Refused("name with '..'")),
        row("a removal of the root", |_| removal("/"), Stopped("the root cannot be removed")),
        row("a removal of . ", |_| removal("./"), Stopped("the root cannot be removed")),
        row("a removal through a link", |_| removal("link-out/victim"), Stopped(THROUGH)),
        row("a removal of a link out", |_| removal("link-out"), Made(|root| !is_link(root, "link-out"))),
        row(
            "a removal of a directory with links out",
            |w| {
                let tar = TarForge::new().dir("d/").symlink("d/l", w.out("")).symlink("d/m", w.out("victim"));
                tar.bytes(removal("d")).end()
            },
            Made(|root| !root.join("d").exists()),
        ),
        row("a removal of a missing file", |_| removal("a/b/c"), Made(|root| !root.join("a").exists())),
        row("a removal below a file", |_| removal("file/x"), Made(|root| is_file(root, "file", "image\n"))),
    ]
}
