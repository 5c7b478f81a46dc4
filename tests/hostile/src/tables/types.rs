//! Types, owners, modes and times of entries.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use harness::forge::{Header, TarForge};

use crate::Outcome::{Made, Refused};
use crate::{Row, row};

fn of_type(flag: u8) -> Vec<u8> {
    TarForge::new().entry(Header::new(flag, "x"), "pwn\n").end()
}

fn owned(uid: &[u8; 8], gid: &[u8; 8]) -> Vec<u8> {
    TarForge::new().header(Header::new(b'0', "x").owner(uid, gid)).end()
}

fn meta(root: &Path, name: &str) -> Option<fs::Metadata> {
    fs::symlink_metadata(root.join(name)).ok()
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = types();
    rows.extend(owners());
    rows.extend(modes_and_times());
    rows
}

fn types() -> Vec<Row> {
    vec![
        row("an unknown type", |_| of_type(b'Z'), Refused("x: type 'Z' is not known")),
        row(
            "an unknown type that is an escape character",
            |_| of_type(0x1b),
            Refused("x: type '\\u{1b}' is not known"),
        ),
        row("a socket", |_| of_type(b's'), Refused("x: type 's' is not known")),
        row(
            "the continuation of a file from another volume",
            |_| of_type(b'M'),
            Refused("x: multi-volume archives"),
        ),
        row("GNU's old long names", |_| of_type(b'N'), Refused("x: multi-volume archives")),
        row(
            "a volume label named ../NAME creates nothing",
            |_| TarForge::new().header(Header::new(b'V', "../pwn")).file("x", "pwn\n").end(),
            Made(|root| meta(root, "x").is_some()),
        ),
        row(
            "a directory of GNU's incremental dumps, with its list",
            |_| TarForge::new().entry(Header::new(b'D', "d/").mode(0o755), b"Yvictim\0R../pwn\0\0").end(),
            Made(|root| meta(root, "d").is_some_and(|m| m.is_dir())),
        ),
        row(
            "a contiguous file is a regular file",
            |_| of_type(b'7'),
            Made(|root| meta(root, "x").is_some_and(|m| m.size() == 4)),
        ),
        row(
            "the type of V7 is a regular file",
            |_| of_type(0),
            Made(|root| meta(root, "x").is_some_and(|m| m.size() == 4)),
        ),
        row(
            "a PAX header of another vendor",
            |_| {
                TarForge::new()
                    .entry(Header::new(b'X', "x"), harness::forge::record("path", "../pwn"))
                    .file("x", "")
                    .end()
            },
            Refused("../pwn: name with '..'"),
        ),
        row(
            "a FIFO is never opened",
            |_| TarForge::new().header(Header::new(b'6', "x")).header(Header::new(b'6', "x")).end(),
            Made(|root| meta(root, "x").is_some_and(|m| m.file_type().is_fifo())),
        ),
        row(
            "a file over a FIFO",
            |_| TarForge::new().header(Header::new(b'6', "x")).file("x", "pwn\n").end(),
            Made(|root| meta(root, "x").is_some_and(|m| m.is_file())),
        ),
        row(
            "a device with a negative major number",
            |_| TarForge::new().header(Header::new(b'3', "x").field(329, &[0xff; 8])).end(),
            Refused("device major is invalid"),
        ),
        row(
            "a device whose minor number is text",
            |_| TarForge::new().header(Header::new(b'4', "x").field(337, b"victim\0\0")).end(),
            Refused("device minor is invalid"),
        ),
        row(
            "a device number in PAX beyond 32 bits",
            |_| TarForge::new().pax("SCHILY.devmajor", "4294967296").header(Header::new(b'3', "x")).end(),
            Refused("SCHILY.devmajor=\"4294967296\" is invalid"),
        ),
        row(
            "a device number that the kernel would truncate",
            |_| {
                TarForge::new()
                    .pax("SCHILY.devmajor", "4097")
                    .header(Header::new(b'3', "x").device(1, 3))
                    .end()
            },
            Refused("x: no device of Linux: 4097:3"),
        ),
    ]
}

fn owners() -> Vec<Row> {
    vec![
        row(
            "the invalid owner 4294967295",
            |_| owned(b"\x80\0\0\0\xff\xff\xff\xff", b"0000000\0"),
            Refused("x: owner 4294967295 is not an id"),
        ),
        row(
            "the invalid group 4294967295",
            |_| owned(b"0000000\0", b"\x80\0\0\0\xff\xff\xff\xff"),
            Refused("x: owner 4294967295 is not an id"),
        ),
        row("a negative owner", |_| owned(&[0xff; 8], b"0000000\0"), Refused("x: owner is invalid")),
        row("an owner with a sign", |_| owned(b"-000001\0", b"0000000\0"), Refused("x: owner is invalid")),
        row(
            "an owner beyond 32 bits",
            |_| owned(b"\x80\0\0\x01\0\0\0\0", b"0000000\0"),
            Refused("x: owner is invalid"),
        ),
        row(
            "an owner that is a name",
            |_| owned(b"root\0\0\0\0", b"0000000\0"),
            Refused("x: owner is invalid"),
        ),
        row(
            "a name as owner in PAX",
            |_| TarForge::new().pax("uid", "root").file("x", "").end(),
            Refused("uid=\"root\" is invalid"),
        ),
        row(
            "a negative owner in PAX",
            |_| TarForge::new().pax("uid", "-1").file("x", "").end(),
            Refused("uid=\"-1\""),
        ),
        row(
            "a group in PAX that wraps to 0",
            |_| TarForge::new().pax("gid", "4294967296").file("x", "").end(),
            Refused("gid=\"4294967296\" is invalid"),
        ),
        row(
            "the invalid owner 4294967295 in PAX",
            |_| TarForge::new().pax("uid", "4294967295").file("x", "").end(),
            Refused("x: owner 4294967295 is not an id"),
        ),
        row(
            "an empty owner in PAX",
            |_| TarForge::new().pax("uid", "").file("x", "").end(),
            Refused("uid=\"\" is invalid"),
        ),
        row(
            "a hexadecimal owner in PAX",
            |_| TarForge::new().pax("uid", "0x0").file("x", "").end(),
            Refused("uid=\"0x0\""),
        ),
    ]
}

fn modes_and_times() -> Vec<Row> {
    let timed = |time: &'static str| {
        move |_: &crate::world::World| TarForge::new().pax("mtime", time).file("x", "").end()
    };
    vec![
        row(
            "a mode with the bits of a type",
            |_| TarForge::new().header(Header::new(b'0', "x").mode(0o120_644)).end(),
            Made(|root| meta(root, "x").is_some_and(|m| m.mode() == 0o100_644)),
        ),
        row(
            "a mode that is not a number",
            |_| TarForge::new().header(Header::new(b'0', "x").field(100, b"rwxrwxrw")).end(),
            Refused("x: mode is invalid"),
        ),
        row(
            "a mode of nines",
            |_| TarForge::new().header(Header::new(b'0', "x").field(100, b"0009999\0")).end(),
            Refused("x: mode is invalid"),
        ),
        row(
            "a directory of mode 0 with a file",
            |_| TarForge::new().header(Header::new(b'5', "d/").mode(0)).file("d/x", "pwn\n").end(),
            Made(|root| meta(root, "d").is_some_and(|m| m.mode() == 0o40_000)),
        ),
        row(
            "a directory twice gets its last mode",
            |_| {
                let dir = |mode| Header::new(b'5', "d/").mode(mode);
                TarForge::new().header(dir(0o777)).file("d/x", "").header(dir(0o700)).end()
            },
            Made(|root| meta(root, "d").is_some_and(|m| m.mode() == 0o40_700)),
        ),
        row(
            "a replaced directory gets its last mode",
            |_| {
                let dir = |mode| Header::new(b'5', "d/").mode(mode);
                TarForge::new().header(dir(0o777)).file("d", "").header(dir(0o700)).end()
            },
            Made(|root| meta(root, "d").is_some_and(|m| m.mode() == 0o40_700)),
        ),
        row("a time that is not a number", timed("now"), Refused("mtime=\"now\" is invalid")),
        row("a time that is not finite", timed("inf"), Refused("mtime=\"inf\" is invalid")),
        row("a time with an exponent", timed("1e9"), Refused("mtime=\"1e9\" is invalid")),
        row(
            "a time beyond 64 bits",
            timed("99999999999999999999"),
            Refused("mtime=\"99999999999999999999\""),
        ),
        row(
            "a time of a million digits",
            |_| {
                TarForge::new()
                    .pax("mtime", [b"1.".to_vec(), vec![b'7'; 1 << 20]].concat())
                    .file("x", "")
                    .end()
            },
            Made(|root| meta(root, "x").is_some_and(|m| m.mtime_nsec() == 777_777_777)),
        ),
        row("the smallest time", timed("-9223372036854775807"), Made(|root| meta(root, "x").is_some())),
        row(
            "the largest time",
            timed("9223372036854775807.999999999"),
            Made(|root| meta(root, "x").is_some()),
        ),
        row(
            "a negative time in the header",
            |_| TarForge::new().header(Header::new(b'0', "x").field(136, &[0xff; 12])).end(),
            Made(|root| meta(root, "x").is_some_and(|m| m.mtime() == -1)),
        ),
    ]
}
