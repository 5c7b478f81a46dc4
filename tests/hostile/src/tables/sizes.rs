//! Sizes of entries, and the end of a tar.

use std::path::Path;

use harness::forge::{Header, TarForge};

use crate::Outcome::{Made, Refused};
use crate::{Row, row};

const CUT: &str = "the tar stream ends too early";

fn sized(header: Header) -> Vec<u8> {
    TarForge::new().header(header).padded(b"pwn\n").end()
}

fn file() -> Header {
    Header::new(b'0', "x")
}

fn has_next(root: &Path) -> bool {
    root.join("next").is_file()
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = sizes();
    rows.extend(ends());
    rows
}

fn sizes() -> Vec<Row> {
    let pax = |size: &'static str| {
        move |_: &crate::world::World| TarForge::new().pax("size", size).file("x", "pwn\n").end()
    };
    vec![
        row(
            "a size of eight exbibytes less one",
            |_| sized(file().size_256(i128::from(i64::MAX))),
            Refused(CUT),
        ),
        row("a size of eight exbibytes", |_| sized(file().size_256(1 << 63)), Refused("x: size is invalid")),
        row("a size beyond 64 bits", |_| sized(file().size_256(1 << 70)), Refused("x: size is invalid")),
        row("a negative size", |_| sized(file().size_256(-1)), Refused("x: size is invalid")),
        row("a negative size of one block", |_| sized(file().size_256(-512)), Refused("x: size is invalid")),
        row("a size of nines", |_| sized(file().field(124, b"00000000999\0")), Refused("x: size is invalid")),
        row(
            "a size in letters",
            |_| sized(file().field(124, b"four\0\0\0\0\0\0\0\0")),
            Refused("x: size is invalid"),
        ),
        row(
            "a size with a newline before the digits",
            |_| sized(file().field(124, b"   \n      4\0")),
            Refused("x: size is invalid"),
        ),
        row(
            "a size with a NUL byte before the digits",
            |_| sized(file().field(124, b"\x000000000004\0")),
            Refused("x: size is invalid"),
        ),
        row(
            "a size with a sign",
            |_| sized(file().field(124, b"+0000000004\0")),
            Refused("x: size is invalid"),
        ),
        row("a negative size in PAX", pax("-1"), Refused("size=\"-1\" is invalid")),
        row(
            "a size beyond 64 bits in PAX",
            pax("18446744073709551616"),
            Refused("size=\"18446744073709551616\""),
        ),
        row(
            "a size of 2^64-1 in PAX",
            pax("18446744073709551615"),
            Refused("x: size 18446744073709551615 is invalid"),
        ),
        row("a hexadecimal size in PAX", pax("0x4"), Refused("size=\"0x4\" is invalid")),
        row("a size of 0 in PAX before content", pax("0"), Refused("wrong checksum")),
        row("a size in PAX beyond the end of the tar", pax("99999"), Refused(CUT)),
        row(
            "a link with a size and content",
            |_| TarForge::new().entry(Header::new(b'2', "l").link("x"), "pwn\n").end(),
            Refused("wrong checksum"),
        ),
        row(
            "a directory with a size has no content",
            |_| TarForge::new().header(Header::new(b'5', "d/").size(512)).file("next", "").end(),
            Made(has_next),
        ),
        row(
            "a FIFO with a size has no content",
            |_| TarForge::new().header(Header::new(b'6', "p").size(1 << 30)).file("next", "").end(),
            Made(has_next),
        ),
        row(
            "a device with a size",
            |_| TarForge::new().entry(Header::new(b'3', "null").device(1, 3), [0xaa; 700]).end(),
            Refused("wrong checksum"),
        )
        .for_root(),
        row(
            "a header inside a file's content is content",
            |_| TarForge::new().file("x", TarForge::new().file("../pwn", "").cut()).file("next", "").end(),
            Made(has_next),
        ),
    ]
}

fn ends() -> Vec<Row> {
    vec![
        row("no bytes", |_| Vec::new(), Refused("is empty")),
        row("one byte", |_| b"x".to_vec(), Refused("found text")),
        row("half a header", |_| TarForge::new().file("x", "").cut()[..256].to_vec(), Refused(CUT)),
        row("text", |_| b"This is not a tar.\n".repeat(100), Refused("expected a tar, found text")),
        row("bytes of 0xff", |_| vec![0xff; 2048], Refused("not a tar, or a damaged tar")),
        row(
            "a wrong checksum",
            |_| {
                let mut tar = TarForge::new().file("x", "").end();
                tar[0] ^= 1;
                tar
            },
            Refused("wrong checksum"),
        ),
        row(
            "a missing checksum",
            |_| {
                let mut tar = TarForge::new().file("x", "").end();
                tar[148..156].fill(0);
                tar
            },
            Refused("wrong checksum"),
        ),
        row(
            "garbage with a correct checksum",
            |_| {
                let mut header = Header::new(b'0', "x");
                for at in (100..148).step_by(8) {
                    header = header.field(at, b"\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f");
                }
                TarForge::new().header(header).end()
            },
            Refused("x: mode is invalid"),
        ),
        row(
            "truncated in the content",
            |_| {
                let tar = TarForge::new().file("x", [7; 5000]).cut();
                tar[..3000].to_vec()
            },
            Refused(CUT),
        ),
        row(
            "truncated in the padding",
            |_| {
                let tar = TarForge::new().file("x", [7; 600]).cut();
                tar[..512 + 700].to_vec()
            },
            Refused(CUT),
        ),
        row("truncated after the content", |_| TarForge::new().file("x", "pwn\n").cut(), Refused(CUT)),
        row(
            "truncated in a PAX header",
            |_| TarForge::new().pax("path", "x").cut()[..600].to_vec(),
            Refused(CUT),
        ),
        row("truncated after a PAX header", |_| TarForge::new().pax("path", "x").cut(), Refused(CUT)),
        row(
            "a PAX header and no entry",
            |_| TarForge::new().file("next", "").pax("path", "x").end(),
            Refused("a header for an entry that is missing"),
        ),
        row(
            "a long name and no entry",
            |_| TarForge::new().gnu_long(b'L', "x").end(),
            Refused("a header for an entry that is missing"),
        ),
        row(
            "one zero block in the middle",
            |_| TarForge::new().file("x", "").bytes([0; 512]).file("y", "").end(),
            Refused("a single zero block in the middle"),
        ),
        row(
            "one zero block at the end",
            |_| TarForge::new().file("next", "").bytes([0; 512]).cut(),
            Made(has_next),
        ),
        row("only zero blocks", |_| vec![0; 10_240], Made(|root| root.join("file").exists())),
        row(
            "another tar after the end is not read",
            |_| TarForge::new().file("next", "").bytes([0; 1024]).file("../pwn", "").end(),
            Made(has_next),
        ),
        row(
            "garbage after the end is not read",
            |_| TarForge::new().file("next", "").bytes([0; 1024]).bytes([0xaa; 5000]).cut(),
            Made(has_next),
        ),
    ]
}
