//! Names of entries.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use harness::forge::{Header, TarForge, record};

use crate::Outcome::{Made, Refused, Stopped};
use crate::{Row, row};

fn one(name: impl AsRef<[u8]>) -> Vec<u8> {
    TarForge::new().file(name, "pwn\n").end()
}

/// Returns whether the file exists and has the content that [`one`] writes.
fn is_made(root: &Path, name: impl AsRef<[u8]>) -> bool {
    fs::read(root.join(std::ffi::OsStr::from_bytes(name.as_ref()))).is_ok_and(|text| text == b"pwn\n")
}

/// Returns a tar with this name in a PAX header, which has no limit of length.
fn pax(name: impl AsRef<[u8]>) -> Vec<u8> {
    TarForge::new().pax("path", name).file("x", "pwn\n").end()
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        row("..", |_| one(".."), Refused("..: name with '..'")),
        row("../ as a directory", |_| TarForge::new().dir("../").end(), Refused("../: name with '..'")),
        row("../NAME", |_| one("../pwn"), Refused("../pwn: name with '..'")),
        row("a file above the root", |_| one("../../../outside/victim"), Refused("name with '..'")),
        row("DIR/../../NAME", |_| one("dir/../../pwn"), Refused("dir/../../pwn: name with '..'")),
        row("./../NAME", |_| one("./../pwn"), Refused("./../pwn: name with '..'")),
        row("/../NAME", |_| one("/../pwn"), Refused("/../pwn: name with '..'")),
        row("DIR/..", |_| one("dir/.."), Refused("dir/..: name with '..'")),
        row(
            "'..' in the prefix field",
            |_| TarForge::new().entry(Header::new(b'0', "pwn").field(345, b".."), "pwn\n").end(),
            Refused("../pwn: name with '..'"),
        ),
        row(
            "an absolute name",
            |w| pax(w.out("victim")),
            Made(|root| {
                // An absolute name is relative to the root, as with tar.
                let victim = root
                    .parent()
                    .and_then(Path::parent)
                    .and_then(Path::parent)
                    .map(|d| d.join("outside/victim"));
                victim
                    .is_some_and(|v| is_made(root, v.strip_prefix("/").unwrap_or(&v).as_os_str().as_bytes()))
            }),
        ),
        row("//NAME", |_| one("//etc/passwd"), Made(|root| is_made(root, "etc/passwd"))),
        row("no name", |_| one(""), Refused(": empty name")),
        row("the root as a file", |_| one("."), Refused("/: the root is not a directory")),
        row("the root as a file, /", |_| one("/."), Refused("/: the root is not a directory")),
        row(
            "the root as a link",
            |w| TarForge::new().symlink("./", w.out("")).end(),
            Refused("/: the root is not a directory"),
        ),
        row(
            "the root many times",
            |_| TarForge::new().dir("/").dir("./").dir("//").dir(".").end(),
            Made(Path::is_dir),
        ),
        row("../NAME in PAX", |_| pax("../pwn"), Refused("../pwn: name with '..'")),
        row(
            "../NAME in GNU's long name",
            |_| TarForge::new().gnu_long(b'L', "../pwn").file("x", "pwn\n").end(),
            Refused("../pwn: name with '..'"),
        ),
        row(
            "GNU's long name after PAX's",
            |_| TarForge::new().pax("path", "good").gnu_long(b'L', "../pwn").file("x", "pwn\n").end(),
            Refused("a PAX record and a GNU header name the same entry"),
        ),
        row(
            "PAX's name after GNU's",
            |_| TarForge::new().gnu_long(b'L', "good").pax("path", "../pwn").file("x", "pwn\n").end(),
            Refused("a PAX record and a GNU header name the same entry"),
        ),
        row(
            "two names in one PAX header, the last of them bad",
            |_| {
                let records = [record("path", "good"), record("path", "../pwn")].concat();
                TarForge::new().pax_payload(records).file("x", "pwn\n").end()
            },
            Refused("../pwn: name with '..'"),
        ),
        row(
            "the name of a sparse file, ../NAME",
            |_| {
                let records = [
                    record("GNU.sparse.major", "0"),
                    record("GNU.sparse.minor", "1"),
                    record("GNU.sparse.name", "../pwn"),
                    record("GNU.sparse.size", "4"),
                    record("GNU.sparse.map", "0,4"),
                ]
                .concat();
                TarForge::new().pax_payload(records).file("x", "pwn\n").end()
            },
            Refused("../pwn: name with '..'"),
        ),
        row("an empty name in PAX is ignored", |_| pax(""), Made(|root| is_made(root, "x"))),
        row("NUL in PAX's name", |_| pax(b"good\0../pwn"), Refused("name with a NUL byte")),
        row(
            "NUL in GNU's name",
            |_| TarForge::new().gnu_long(b'L', b"good\0../pwn").file("x", "").end(),
            Refused("name with a NUL byte"),
        ),
        row("a component of 256 bytes", |_| pax([b'n'; 256]), Stopped("File name too long")),
        row("a component of 5000 bytes", |_| pax([b'n'; 5000]), Stopped("File name too long")),
        row(
            "a name beyond PATH_MAX",
            |_| pax(vec!["d".repeat(200); 40].join("/")),
            Made(|root| {
                // The full path is longer than PATH_MAX, so this checks only its beginning.
                root.join(vec!["d".repeat(200); 15].join("/")).is_dir()
            }),
        ),
        row("a name of two mebibytes", |_| pax(vec![b'n'; 2 << 20]), Refused("name longer than")),
        row(
            "GNU's name of two mebibytes",
            |_| TarForge::new().gnu_long(b'L', vec![b'n'; 2 << 20]).file("x", "").end(),
            Refused("longer than"),
        ),
        row(
            "a thousand nested directories",
            |_| pax(vec!["d"; 1000].join("/")),
            Made(|root| root.join(vec!["d"; 900].join("/")).is_dir()),
        ),
        row(
            "a newline and a message",
            |_| one("a\nvol-archive: error: forged"),
            Made(|root| is_made(root, "a\nvol-archive: error: forged")),
        ),
        row(
            "escape sequences",
            |_| one("\x1b[2J\x1b]0;title\x07\r"),
            Made(|root| is_made(root, "\x1b[2J\x1b]0;title\x07\r")),
        ),
        row(
            "escape sequences in bytes that are not UTF-8",
            |_| one(b"\xff\x9b2J"),
            Made(|root| is_made(root, b"\xff\x9b2J")),
        ),
        row(
            "escape sequences in a refused name",
            |_| one("../\x1b[2J\n"),
            Refused("../\\x1b[2J\\n: name with '..'"),
        ),
        row(
            "a character that reverses the direction of the line",
            |_| one("../a\u{202e}gnp.exe"),
            Refused("../a\\u{202e}gnp.exe: name with '..'"),
        ),
        row(
            "a file with a trailing slash is a directory without content",
            |_| one("made/"),
            Refused("made: a directory with content"),
        ),
        row(
            "names of dots other than . and ..",
            |_| one("..../...x/.. ."),
            Made(|root| is_made(root, "..../...x/.. .")),
        ),
        row(
            "a file below a file",
            |_| one("file/x"),
            Stopped("file/x: a parent path component is not a directory"),
        ),
        row(
            "the same name a hundred times",
            |_| (0..100).fold(TarForge::new(), |tar, _| tar.file("same", "pwn\n")).end(),
            Made(|root| is_made(root, "same")),
        ),
        row("a file that replaces a non-empty directory", |_| one("dir"), Made(|root| is_made(root, "dir"))),
        row(
            "the name of an OCI whiteout is an ordinary name",
            |_| one("dir/.wh.file"),
            Made(|root| is_made(root, "dir/.wh.file") && root.join("dir/file").exists()),
        ),
    ]
}
