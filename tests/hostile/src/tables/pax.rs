//! PAX records and extended attributes.

use std::fs;
use std::path::Path;

use harness::forge::{Header, TarForge, record};

use crate::Outcome::{Made, Refused, Stopped, Warned};
use crate::{Row, row};

fn payload(payload: impl AsRef<[u8]>) -> Vec<u8> {
    TarForge::new().pax_payload(payload).file("x", "pwn\n").end()
}

fn attribute(name: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    payload(record(format!("SCHILY.xattr.{name}"), value))
}

fn value(root: &Path, name: &str) -> Option<Vec<u8>> {
    xattr::get(root.join("x"), name).ok().flatten()
}

fn is_made(root: &Path) -> bool {
    fs::read(root.join("x")).is_ok_and(|text| text == b"pwn\n")
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = records();
    rows.extend(attributes());
    rows.extend(bombs());
    rows
}

fn records() -> Vec<Row> {
    vec![
        row(
            "a record longer than its header",
            |_| payload("99 path=x\n"),
            Refused("record length does not match the record"),
        ),
        row(
            "a record longer than its length",
            |_| payload("8 path=x\n"),
            Refused("record does not end in a newline"),
        ),
        row(
            "a record of length 0",
            |_| payload("0 path=x\n"),
            Refused("record length does not match the record"),
        ),
        row(
            "a record of negative length",
            |_| payload("-9 path=x\n"),
            Refused("record length is not a number"),
        ),
        row(
            "a record of a length in letters",
            |_| payload("nine path=x\n"),
            Refused("record length is not a number"),
        ),
        row(
            "a record of a length beyond 64 bits",
            |_| payload("18446744073709551625 p=x\n"),
            Refused("record without a length"),
        ),
        row(
            "a record of a length of twenty digits",
            |_| payload("99999999999999999 p=x\n"),
            Refused("record length does not match the record"),
        ),
        row("a record without a length", |_| payload("path=x\n"), Refused("record without a length")),
        row("a record whose key has a NUL byte", |_| payload("9 pa\0h=x\n"), Refused("invalid key")),
        row("a record with an empty key", |_| payload("5 =x\n"), Refused("invalid key")),
        row("a record without a value", |_| payload("8 pathx\n"), Refused("record without '='")),
        row("zeros after the records", |_| payload(b"9 path=x\n\0\0\0"), Refused("PAX header")),
        row(
            "a header of one gibibyte",
            |_| TarForge::new().header(Header::new(b'x', "h").size(1 << 30)).padded(&[b'x'; 5000]).end(),
            Refused("header of 1073741824 bytes, expected at most 8388608"),
        ),
        row(
            "a header of negative size",
            |_| TarForge::new().header(Header::new(b'x', "h").size_256(-5)).end(),
            Refused("size is invalid"),
        ),
        row(
            "a global header of one gibibyte",
            |_| TarForge::new().header(Header::new(b'g', "h").size(1 << 30)).padded(&[b'x'; 5000]).end(),
            Refused("header of 1073741824 bytes, expected at most 8388608"),
        ),
        row(
            "a global header with a path",
            |_| {
                TarForge::new()
                    .entry(Header::new(b'g', "h"), record("path", "../pwn"))
                    .file("x", "pwn\n")
                    .end()
            },
            Made(is_made),
        ),
        row(
            "a directory with content, marked only by its slash",
            |_| TarForge::new().file("d/", TarForge::new().file("pwn", "").cut()).end(),
            Refused("d: a directory with content"),
        ),
        row(
            "a size hidden behind a newline in a value",
            |_| {
                // A reader that splits at newlines takes the second line for a record, and the
                // content for headers.
                let smuggled = record("SCHILY.xattr.user.x", "\n12 size=0000\n");
                TarForge::new()
                    .pax_payload(smuggled)
                    .file("x", TarForge::new().file("../pwn", "").cut())
                    .end()
            },
            Made(|root| root.join("x").is_file()),
        ),
    ]
}

fn attributes() -> Vec<Row> {
    vec![
        row(
            "an attribute of 64 KiB and one byte",
            |_| attribute("user.x", vec![b'v'; 65_537]),
            Stopped("x: "),
        ),
        row(
            "an attribute with a name of 300 bytes",
            |_| attribute(&format!("user.{}", "n".repeat(300)), "v"),
            Warned("attribute user.nnnn"),
        ),
        row("an attribute without a name", |_| attribute("", "v"), Warned("attribute  not set")),
        row(
            "an attribute with NUL in its name",
            |_| attribute("user.a\0b", "v"),
            Refused("record with an invalid key"),
        ),
        row(
            "an attribute with an escape in its name",
            |_| attribute("\x1b[2Jx", "v"),
            Warned("attribute \\x1b[2Jx not set"),
        ),
        row(
            "an attribute without a namespace",
            |_| attribute("nonsense", "v"),
            Warned("attribute nonsense not set"),
        ),
        row(
            "an unknown attribute of the namespace system",
            |_| attribute("system.nonsense", "v"),
            Warned("attribute system.nonsense not set"),
        ),
        row(
            "an invalid binary ACL",
            |_| attribute("system.posix_acl_access", "nonsense"),
            Warned("attribute system.posix_acl_access not set"),
        ),
        row("an invalid text ACL", |_| payload(record("SCHILY.acl.access", "nonsense")), Refused("bad ACL")),
        row(
            "a text ACL with an escape sequence",
            |_| payload(record("SCHILY.acl.default", "\x1b[2J")),
            Refused("bad ACL"),
        ),
        row(
            "invalid capabilities",
            |_| attribute("security.capability", "nonsense"),
            Warned("attribute security.capability not set"),
        ),
        row(
            "an attribute with invalid base64",
            |_| payload(record("LIBARCHIVE.xattr.user.x", "!!!")),
            Refused("is invalid"),
        ),
        row(
            "an attribute twice gets its last value",
            |_| {
                payload(
                    [record("SCHILY.xattr.user.x", "first"), record("SCHILY.xattr.user.x", "last")].concat(),
                )
            },
            Made(|root| value(root, "user.x").is_some_and(|v| v == b"last")),
        ),
        row(
            "an unknown record of another program is ignored",
            |_| payload(record("GNU.volume.filename", "../pwn")),
            Made(is_made),
        ),
        row(
            "an attribute on a link that leads out",
            |w| TarForge::new().pax("SCHILY.xattr.user.x", "pwn").symlink("x", w.out("victim")).end(),
            Warned("x: attribute user.x not set"),
        ),
    ]
}

/// Headers that could exhaust memory or time.
fn bombs() -> Vec<Row> {
    vec![
        row(
            "two hundred thousand records in a header",
            |_| payload("6 a=b\n".repeat(200_000)),
            Refused("more than 100000 records"),
        ),
        row(
            "a label between a PAX header and its entry",
            |_| {
                let label = Header::new(b'V', "label");
                TarForge::new().pax("path", "y").header(label).file("x", "pwn\n").end()
            },
            Refused("a header for an entry that does not follow"),
        ),
        row(
            "a global header between a PAX header and its entry",
            |_| {
                let global = Header::new(b'g', "global");
                let tar = TarForge::new().pax("path", "y").entry(global, record("comment", "text"));
                tar.file("x", "pwn\n").end()
            },
            Refused("a header for an entry that does not follow"),
        ),
        row(
            "a thousand PAX headers before one entry",
            |_| {
                (0..1000)
                    .fold(TarForge::new(), |tar, _| tar.pax("path", "y"))
                    .pax("path", "x")
                    .file("y", "pwn\n")
                    .end()
            },
            Refused("two headers of type 'x' for one entry"),
        ),
        row(
            "a hundred long names before one entry",
            |_| {
                let tar = (0..100).fold(TarForge::new(), |tar, _| tar.gnu_long(b'L', vec![b'n'; 1 << 16]));
                tar.gnu_long(b'L', "x").file("y", "pwn\n").end()
            },
            Refused("two headers of type 'L' for one entry"),
        ),
        row(
            "a hundred thousand directories in one name",
            |_| TarForge::new().pax("path", "d/".repeat(100_000)).dir("x").end(),
            Refused("name longer than"),
        ),
        row(
            "the same long name a hundred times",
            |_| {
                let name = vec!["d"; 2000].join("/");
                (0..100)
                    .fold(TarForge::new(), |tar, _| tar.pax("path", &name).file("x", ""))
                    .file("x", "pwn\n")
                    .end()
            },
            Made(is_made),
        ),
    ]
}
