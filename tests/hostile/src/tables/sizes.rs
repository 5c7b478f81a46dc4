//! Sizes, and where a tar ends.

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
        row(
            "a size of eight exbibytes",
            |_| sized(file().size_256(1 << 63)),
            Refused("x: size makes no sense"),
        ),
        row("a size beyond 64 bits", |_| sized(file().size_256(1 << 70)), Refused("x: size makes no sense")),
        row("a size below zero", |_| sized(file().size_256(-1)), Refused("x: size makes no sense")),
        row(
            "a size that goes back over the header",
            |_| sized(file().size_256(-512)),
            Refused("x: size makes no sense"),
        ),
        row(
            "a size of nines",
            |_| sized(file().field(124, b"00000000999\0")),
            Refused("x: size makes no sense"),
        ),
        row(
            "a size in letters",
            |_| sized(file().field(124, b"four\0\0\0\0\0\0\0\0")),
            Refused("x: size makes no sense"),
        ),
        row(
            "a size with a sign",
            |_| sized(file().field(124, b"+0000000004\0")),
            Refused("x: size makes no sense"),
        ),
        row("PAX's size below zero", pax("-1"), Refused("size=\"-1\" makes no sense")),
        row(
            "PAX's size beyond 64 bits",
            pax("18446744073709551616"),
            Refused("size=\"18446744073709551616\""),
        ),
        row(
            "PAX's size of all 64 bits",
            pax("18446744073709551615"),
            Refused("x: size 18446744073709551615 makes no sense"),
        ),
        row("PAX's size is not decimal", pax("0x4"), Refused("size=\"0x4\" makes no sense")),
        row("PAX says that there is no content, and there is", pax("0"), Refused("wrong checksum")),
        row("PAX's size swallows the rest", pax("99999"), Refused(CUT)),
        row(
            "a link with a size, and content that is no header",
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
            "a header inside of a file's content is content",
            |_| TarForge::new().file("x", TarForge::new().file("../pwn", "").cut()).file("next", "").end(),
            Made(has_next),
        ),
    ]
}

fn ends() -> Vec<Row> {
    vec![
        row("nothing at all", |_| Vec::new(), Refused("is empty")),
        row("one byte", |_| b"x".to_vec(), Refused("found text")),
        row("half a header", |_| TarForge::new().file("x", "").cut()[..256].to_vec(), Refused(CUT)),
        row("text", |_| b"This is not a tar.\n".repeat(100), Refused("expected a tar, found text")),
        row("ones", |_| vec![0xff; 2048], Refused("this is not a tar or it is damaged")),
        row(
            "a checksum that is wrong",
            |_| {
                let mut tar = TarForge::new().file("x", "").end();
                tar[0] ^= 1;
                tar
            },
            Refused("wrong checksum"),
        ),
        row(
            "a checksum that is missing",
            |_| {
                let mut tar = TarForge::new().file("x", "").end();
                tar[148..156].fill(0);
                tar
            },
            Refused("wrong checksum"),
        ),
        row(
            "a checksum that is right, on nonsense",
            |_| {
                let mut header = Header::new(b'0', "x");
                for at in (100..148).step_by(8) {
                    header = header.field(at, b"\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f");
                }
                TarForge::new().header(header).end()
            },
            Refused("x: mode makes no sense"),
        ),
        row(
            "cut in the content",
            |_| {
                let tar = TarForge::new().file("x", [7; 5000]).cut();
                tar[..3000].to_vec()
            },
            Refused(CUT),
        ),
        row(
            "cut in the padding",
            |_| {
                let tar = TarForge::new().file("x", [7; 600]).cut();
                tar[..512 + 700].to_vec()
            },
            Refused(CUT),
        ),
        row("cut behind the content", |_| TarForge::new().file("x", "pwn\n").cut(), Refused(CUT)),
        row("cut in a PAX header", |_| TarForge::new().pax("path", "x").cut()[..600].to_vec(), Refused(CUT)),
        row("cut behind a PAX header", |_| TarForge::new().pax("path", "x").cut(), Refused(CUT)),
        row(
            "a PAX header and no entry",
            |_| TarForge::new().file("next", "").pax("path", "x").end(),
            Refused("a header for an entry that does not come"),
        ),
        row(
            "a long name and no entry",
            |_| TarForge::new().gnu_long(b'L', "x").end(),
            Refused("a header for an entry that does not come"),
        ),
        row(
            "one block of zeros in the middle",
            |_| TarForge::new().file("x", "").bytes([0; 512]).file("y", "").end(),
            Refused("one block of zeros in the middle"),
        ),
        row(
            "one block of zeros at the end",
            |_| TarForge::new().file("next", "").bytes([0; 512]).cut(),
            Made(has_next),
        ),
        row("only zeros", |_| vec![0; 10_240], Made(|root| root.join("file").exists())),
        row(
            "another tar behind the end is not read",
            |_| TarForge::new().file("next", "").bytes([0; 1024]).file("../pwn", "").end(),
            Made(has_next),
        ),
        row(
            "noise behind the end is not read",
            |_| TarForge::new().file("next", "").bytes([0; 1024]).bytes([0xaa; 5000]).cut(),
            Made(has_next),
        ),
    ]
}
