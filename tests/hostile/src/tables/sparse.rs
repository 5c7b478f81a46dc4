//! Invalid maps of sparse files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use harness::forge::{Header, TarForge, record};

use crate::Outcome::{Made, Refused, Stopped};
use crate::{Row, row};

/// Returns a sparse file in form 0.1: one record has the map. `size` is the real size.
fn comma_list(map: &str, size: &str, content: &[u8]) -> Vec<u8> {
    let records = [record("GNU.sparse.size", size), record("GNU.sparse.map", map)].concat();
    TarForge::new().pax_payload(records).file("x", content).end()
}

/// Returns a sparse file in form 0.0: each offset and each length is a record.
fn alternating(numbers: &[(&str, &str)], size: &str) -> Vec<u8> {
    let mut records = record("GNU.sparse.size", size);
    for (key, number) in numbers {
        records.extend(record(format!("GNU.sparse.{key}"), number));
    }
    TarForge::new().pax_payload(records).file("x", "pwn\n").end()
}

/// Returns a sparse file in form 1.0: the map precedes the content.
fn before_content(map: &str, size: &str, content: &[u8]) -> Vec<u8> {
    let records = [
        record("GNU.sparse.major", "1"),
        record("GNU.sparse.minor", "0"),
        record("GNU.sparse.name", "x"),
        record("GNU.sparse.realsize", size),
    ]
    .concat();
    let mut stored = map.as_bytes().to_vec();
    stored.resize(stored.len().next_multiple_of(512), 0);
    stored.extend_from_slice(content);
    TarForge::new().pax_payload(records).file("GNUSparseFile.0/x", stored).end()
}

/// Returns the header of a sparse file in GNU's old form: the header has the map.
fn in_header(segments: &[(u64, u64)], size: u64, extended: u8) -> Header {
    let mut header = Header::new(b'S', "x").field(257, b"ustar  \0");
    for (n, (offset, length)) in segments.iter().enumerate() {
        header = header
            .field(386 + 24 * n, format!("{offset:011o}\0").as_bytes())
            .field(398 + 24 * n, format!("{length:011o}\0").as_bytes());
    }
    header.field(482, &[extended]).field(483, format!("{size:011o}\0").as_bytes())
}

fn length(root: &Path) -> Option<u64> {
    fs::metadata(root.join("x")).ok().map(|m| m.size())
}

const ORDER: &str = "segments overlap or are out of order";
const BEYOND: &str = "segment beyond the end of the file";
const DIFFER: &str = "segments and stored bytes differ";

pub(super) fn rows() -> Vec<Row> {
    vec![
        row("segments that overlap", |_| comma_list("0,4,2,4", "100", b"pwn\npwn\n"), Refused(ORDER)),
        row("segments out of order", |_| comma_list("50,4,0,4", "100", b"pwn\npwn\n"), Refused(ORDER)),
        row("a segment beyond the end", |_| comma_list("98,4", "100", b"pwn\n"), Refused(BEYOND)),
        row(
            "a segment whose end is beyond 64 bits",
            |_| comma_list("18446744073709551615,4", "18446744073709551615", b"pwn\n"),
            Refused(BEYOND),
        ),
        row(
            "lengths whose sum is beyond 64 bits",
            |_| {
                comma_list(
                    "0,9223372036854775807,9223372036854775807,9223372036854775808",
                    "18446744073709551615",
                    b"pwn\n",
                )
            },
            Refused(DIFFER),
        ),
        row("more content than segments", |_| comma_list("0,4", "100", b"pwn\npwn\n"), Refused(DIFFER)),
        row("less content than segments", |_| comma_list("0,50", "100", b"pwn\n"), Refused(DIFFER)),
        row(
            "an offset without a length",
            |_| comma_list("0,4,8", "100", b"pwn\n"),
            Refused("odd number of offsets and lengths"),
        ),
        row("a negative offset", |_| comma_list("-4,4", "100", b"pwn\n"), Refused("is invalid")),
        row("an offset in letters", |_| comma_list("zero,4", "100", b"pwn\n"), Refused("is invalid")),
        row(
            "no real size",
            |_| TarForge::new().pax("GNU.sparse.map", "0,4").file("x", "pwn\n").end(),
            Refused("no real size"),
        ),
        row("a negative real size", |_| comma_list("0,4", "-1", b"pwn\n"), Refused("is invalid")),
        row(
            "a real size smaller than the stored bytes",
            |_| comma_list("0,4", "3", b"pwn\n"),
            Refused(BEYOND),
        ),
        row(
            "a real size above the limit of files",
            |_| comma_list("0,4", "18446744073709551615", b"pwn\n"),
            Stopped("x: "),
        ),
        row(
            "a hole of a tebibyte",
            |_| comma_list("0,4", "1099511627776", b"pwn\n"),
            Made(|root| {
                length(root) == Some(1 << 40) && fs::metadata(root.join("x")).is_ok_and(|m| m.blocks() < 1000)
            }),
        ),
        row(
            "a map of a million empty segments",
            |_| comma_list(&"0,0,".repeat(1_000_000), "100", b""),
            Made(|root| length(root) == Some(100)),
        ),
        row(
            "more segments than the limit",
            |_| comma_list(&"0,0,".repeat(1_100_000), "1", b""),
            Refused("sparse segments"),
        ),
        row(
            "offsets and lengths that do not alternate",
            |_| alternating(&[("offset", "0"), ("offset", "4"), ("numbytes", "0")], "100"),
            Refused("odd number of offsets and lengths"),
        ),
        row(
            "a length without an offset",
            |_| alternating(&[("numbytes", "4")], "100"),
            Refused("odd number"),
        ),
        row(
            "a map longer than the content",
            |_| before_content("200\n", "100", b""),
            Refused("not a list of numbers"),
        ),
        row(
            "a map of 2^60 segments",
            |_| before_content("1152921504606846976\n", "100", b""),
            Refused("more than 1048576 segments"),
        ),
        row(
            "a map beyond 64 bits",
            |_| before_content("99999999999999999999\n", "100", b""),
            Refused("not a list of numbers"),
        ),
        row(
            "a map in letters",
            |_| before_content("one\n0\n4\n", "100", b"pwn\n"),
            Refused("not a list of numbers"),
        ),
        row(
            "a map of newlines",
            |_| before_content("\n\n\n\n", "100", b"pwn\n"),
            Refused("not a list of numbers"),
        ),
        row(
            "a map before the content that overlaps",
            |_| before_content("2\n0\n4\n2\n4\n", "100", b"pwn\npwn\n"),
            Refused(ORDER),
        ),
        row(
            "a map before no content",
            |_| {
                let records = [record("GNU.sparse.major", "1"), record("GNU.sparse.realsize", "5")].concat();
                TarForge::new().pax_payload(records).file("x", "").end()
            },
            Refused("map longer than the data"),
        ),
        row(
            "a sparse header of another format",
            |_| TarForge::new().header(Header::new(b'S', "x")).end(),
            Refused("type S without a GNU header"),
        ),
        row(
            "an old map that overlaps",
            |_| TarForge::new().entry(in_header(&[(0, 4), (2, 4)], 100, 0), b"pwn\npwn\n").end(),
            Refused(ORDER),
        ),
        row(
            "an old map beyond the end",
            |_| TarForge::new().entry(in_header(&[(98, 4)], 100, 0), b"pwn\n").end(),
            Refused(BEYOND),
        ),
        row(
            "an old map whose announced continuation is missing",
            |_| TarForge::new().entry(in_header(&[(0, 4)], 100, 1), b"").cut(),
            Refused("the tar stream ends too early"),
        ),
        row(
            "an old map that continues forever",
            |_| {
                // Each block of the map announces another block.
                let mut block = [0; 512];
                block[504] = 1;
                let more = block.repeat(60_000);
                TarForge::new().header(in_header(&[(0, 0)], 100, 1)).bytes(more).cut()
            },
            Refused("the tar stream ends too early"),
        ),
        row(
            "an old map of negative numbers",
            |_| TarForge::new().header(in_header(&[], 100, 0).field(386, &[0xff; 24])).end(),
            Refused("sparse map is invalid"),
        ),
    ]
}
