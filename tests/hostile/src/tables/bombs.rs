//! Input that is small to send and expensive to process. The test generates it while the tool
//! reads, because the test process itself must stay small (see `harness::bounded`).

use std::io::{self, Write};

use harness::forge::{Header, TarForge, record};

use crate::Ends::{Done, Fails};
use crate::{Input, input};

const MIB: usize = 1 << 20;

/// Compresses `bytes` into one zstd frame.
fn frame(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap_or_default()
}

/// Writes a tar with a file `name` of zeros, compressed frame by frame at a ratio of 30,000 to 1.
fn zeros(out: &mut dyn Write, before: TarForge, name: &str, mebibytes: usize) -> io::Result<()> {
    let header = Header::new(b'0', name).size((mebibytes * MIB) as u64);
    out.write_all(&frame(&before.header(header).cut()))?;
    let zeros = frame(&vec![0; MIB]);
    for _ in 0..mebibytes {
        out.write_all(&zeros)?;
    }
    out.write_all(&frame(&[0; 1024]))
}

fn documents() -> TarForge {
    TarForge::new().file("config.dump", r#"{"id":"x"}"#).file("spec.dump", "{}")
}

/// Writes an archive whose member `name` repeats `content`.
fn large(
    out: &mut dyn Write,
    before: TarForge,
    name: &str,
    start: &str,
    content: &str,
    times: usize,
    end: &str,
) -> io::Result<()> {
    let size = start.len() + content.len() * times + end.len();
    out.write_all(&before.header(Header::new(b'0', name).size(size as u64)).cut())?;
    out.write_all(start.as_bytes())?;
    let piece = content.repeat(10_000);
    for _ in 0..times / 10_000 {
        out.write_all(piece.as_bytes())?;
    }
    out.write_all(content.repeat(times % 10_000).as_bytes())?;
    out.write_all(end.as_bytes())?;
    out.write_all(&vec![0; size.next_multiple_of(512) - size])?;
    out.write_all(&TarForge::new().file("checkpoint/inventory.img", "x").end())
}

/// Writes `count` PAX headers with this payload, and an entry.
fn headers(out: &mut dyn Write, count: usize, payload: &[u8]) -> io::Result<()> {
    let one = TarForge::new().pax_payload(payload).cut();
    (0..count).try_for_each(|_| out.write_all(&one))?;
    out.write_all(&TarForge::new().file("x", "").end())
}

pub(super) fn inputs() -> Vec<Input> {
    let mut inputs = compressed();
    inputs.extend(many());
    inputs.extend(long_documents());
    inputs
}

fn compressed() -> Vec<Input> {
    vec![
        input(
            "ten gibibytes of zeros in 400 kilobytes",
            "ckpt-unpack",
            &["--verify"],
            |_, out| zeros(out, documents(), "checkpoint/pages-1.img", 10 << 10),
            Fails("more than 1000 times its size"),
        ),
        input(
            "ten gibibytes of zeros, listed",
            "ckpt-unpack",
            &["--list"],
            |_, out| zeros(out, documents(), "checkpoint/pages-1.img", 10 << 10),
            Fails("more than 1000 times its size"),
        ),
        input(
            "ten gibibytes of zeros in an unknown member",
            "ckpt-unpack",
            &["--show"],
            |_, out| zeros(out, documents(), "artifacts/x", 10 << 10),
            Fails("more than 1000 times its size"),
        ),
        input(
            "more bytes than --max-size",
            "ckpt-unpack",
            &["--bundle", "bundle", "--max-size", "3M"],
            |_, out| zeros(out, documents(), "checkpoint/pages-1.img", 4),
            Fails("more than 3145728 bytes"),
        ),
        input(
            "a layer of ten gibibytes of zeros in an archive",
            "ckpt-unpack",
            &["--verify"],
            |_, out| {
                let mut layer = Vec::new();
                zeros(&mut layer, TarForge::new(), "x", 10 << 10)?;
                out.write_all(&documents().file("rootfs-diff.tar", layer).end())
            },
            Fails("rootfs-diff.tar: "),
        ),
        input(
            "a layer that expands to ten gibibytes",
            "ckpt-unpack",
            &["--bundle", "bundle", "--rootfs", "root", "--max-size", "20M"],
            |_, out| {
                let mut layer = Vec::new();
                zeros(&mut layer, TarForge::new(), "x", 10 << 10)?;
                out.write_all(&documents().file("rootfs-diff.tar", layer).end())
            },
            Fails("rootfs-diff.tar: "),
        ),
        input(
            "a window of two gibibytes",
            "ckpt-unpack",
            &["--list"],
            |_, out| {
                // The magic, a frame header without a content size and with a window of 2^31, a
                // block.
                out.write_all(b"\x28\xb5\x2f\xfd\x00\xa8\x41\x00\x00x")?;
                out.write_all(&[0; 5000])
            },
            Fails("zstd: "),
        ),
        input(
            "an invalid zstd frame",
            "ckpt-unpack",
            &["--list"],
            |_, out| {
                out.write_all(b"\x28\xb5\x2f\xfd")?;
                out.write_all(&[0xff; 5000])
            },
            Fails("zstd: "),
        ),
        input(
            "an invalid gzip stream",
            "ckpt-unpack",
            &["--list"],
            |_, out| {
                out.write_all(b"\x1f\x8b\x08\x00\0\0\0\0\0\x03")?;
                out.write_all(&[0xff; 5000])
            },
            Fails("gzip: "),
        ),
        input(
            "a gzip header that does not end",
            "ckpt-unpack",
            &["--list"],
            |_, out| {
                // The flag FNAME: a file name follows, which only a NUL byte ends.
                out.write_all(b"\x1f\x8b\x08\x08\0\0\0\0\0\x03")?;
                (0..200).try_for_each(|_| out.write_all(&vec![b'n'; MIB]))
            },
            Fails("gzip"),
        ),
        input(
            "an invalid xz stream",
            "ckpt-unpack",
            &["--list"],
            |_, out| {
                out.write_all(b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46")?;
                out.write_all(&[0xff; 5000])
            },
            Fails("xz: "),
        ),
        input(
            "an invalid bzip2 stream",
            "ckpt-unpack",
            &["--list"],
            |_, out| {
                out.write_all(b"BZh9")?;
                out.write_all(&[0xff; 5000])
            },
            Fails("bzip2: "),
        ),
        input(
            "a truncated zstd frame",
            "ckpt-unpack",
            &["--verify"],
            |_, out| {
                let whole = frame(&documents().file("checkpoint/inventory.img", vec![7; 5000]).end());
                out.write_all(&whole[..whole.len() - 9])
            },
            Fails("ends too early"),
        ),
        input(
            "garbage after a zstd stream",
            "ckpt-unpack",
            &["--verify"],
            |_, out| {
                out.write_all(&frame(&documents().file("checkpoint/inventory.img", "x").end()))?;
                out.write_all(b"noise")
            },
            Fails("zstd"),
        ),
    ]
}

fn many() -> Vec<Input> {
    fn files(out: &mut dyn Write, before: TarForge, count: usize) -> io::Result<()> {
        out.write_all(&before.cut())?;
        for n in 0..count {
            out.write_all(&TarForge::new().file(format!("checkpoint/{n}"), "").cut())?;
        }
        out.write_all(&[0; 1024])
    }
    vec![
        input(
            "more entries than --max-entries",
            "vol-archive",
            &["extract", "--max-entries", "99", "root"],
            |_, out| files(out, TarForge::new(), 100),
            Fails("more than 99 entries"),
        ),
        input(
            "as many entries as --max-entries",
            "vol-archive",
            &["extract", "--max-entries", "100", "root"],
            |_, out| files(out, TarForge::new(), 100),
            Done,
        ),
        input(
            "more members than an archive may have",
            "ckpt-unpack",
            &["--list"],
            |_, out| files(out, documents(), 600_000),
            Fails("entries"),
        ),
        input(
            "two hundred thousand attributes in many headers",
            "vol-archive",
            &["list"],
            |_, out| {
                let records: Vec<u8> =
                    (0..10_000).flat_map(|n| record(format!("SCHILY.xattr.user.{n}"), "v")).collect();
                headers(out, 20, &records)
            },
            Fails("two headers of type 'x' for one entry"),
        ),
        input(
            "three hundred mebibytes of attributes in many headers",
            "vol-archive",
            &["extract", "root"],
            |_, out| headers(out, 43, &record("SCHILY.xattr.user.x", vec![b'v'; 7 * MIB])),
            Fails("two headers of type 'x' for one entry"),
        ),
        input(
            "three hundred mebibytes of comments",
            "vol-archive",
            &["list"],
            |_, out| headers(out, 43, &record("comment", vec![b'v'; 7 * MIB])),
            Fails("two headers of type 'x' for one entry"),
        ),
        input(
            "a million directories",
            "rootfs-diff",
            &["apply", "--dry-run", "--rootfs", "root"],
            |_, out| {
                for n in 0..200_000 {
                    out.write_all(&TarForge::new().dir(format!("{n}/")).cut())?;
                }
                out.write_all(&[0; 1024])
            },
            Done,
        ),
    ]
}

fn long_documents() -> Vec<Input> {
    let verify: &'static [&'static str] = &["--verify"];
    vec![
        input(
            "a configuration of 300 MiB of text",
            "ckpt-unpack",
            verify,
            |_, out| large(out, TarForge::new(), "config.dump", "{\"id\":\"", "x", 300 * MIB, "\"}"),
            Fails("config.dump: longer than"),
        ),
        input(
            "a configuration of 15 million numbers",
            "ckpt-unpack",
            verify,
            |_, out| large(out, TarForge::new(), "config.dump", "{\"id\":[0", ",0", 15_000_000, "]}"),
            Fails("config.dump: "),
        ),
        input(
            "a specification of ten million objects",
            "ckpt-unpack",
            &["--bundle", "bundle"],
            |_, out| {
                large(
                    out,
                    TarForge::new().file("config.dump", "{}"),
                    "spec.dump",
                    "{\"a\":[{}",
                    ",{}",
                    10_000_000,
                    "]}",
                )
            },
            Fails("spec.dump: "),
        ),
        input(
            "a network of ten million arrays",
            "ckpt-unpack",
            &["--show"],
            |_, out| large(out, documents(), "network.status", "{\"a\":[[]", ",[]", 10_000_000, "]}"),
            Fails("network.status: "),
        ),
        input(
            "statistics of 200 MiB",
            "ckpt-unpack",
            &["--show"],
            |_, out| large(out, documents(), "stats-dump", "", "x", 200 * MIB, ""),
            Fails("stats-dump: "),
        ),
        input(
            "a million deletions",
            "ckpt-unpack",
            verify,
            |_, out| large(out, documents(), "deleted.files", "[\"/x\"", ",\"/a/b/c/d\"", 1_000_000, "]"),
            Done,
        ),
        input(
            "thirty million deletions",
            "ckpt-unpack",
            verify,
            |_, out| large(out, documents(), "deleted.files", "[\"/x\"", ",\"/x\"", 30_000_000, "]"),
            Fails("deleted.files: "),
        ),
        input(
            "thirty million raw deletions",
            "ckpt-unpack",
            verify,
            |_, out| large(out, documents(), "deleted.files0", "", "/x\0", 30_000_000, ""),
            Fails("deleted.files0: "),
        ),
        input(
            "a deletion of 200 MiB",
            "ckpt-unpack",
            verify,
            |_, out| large(out, documents(), "deleted.files", "[\"/", "x", 200 * MIB, "\"]"),
            Fails("deleted.files: "),
        ),
        input(
            "a million nested arrays",
            "ckpt-unpack",
            verify,
            |_, out| large(out, TarForge::new(), "config.dump", "", "[", 1_000_000, ""),
            Fails("config.dump: not valid JSON: recursion limit exceeded"),
        ),
        input(
            "eight million numbers for spec-gen",
            "spec-gen",
            &[],
            |_, out| {
                out.write_all(b"{\"ociVersion\":\"1.0.0\",\"a\":[0")?;
                (0..800).try_for_each(|_| out.write_all(",0".repeat(10_000).as_bytes()))?;
                out.write_all(b"]}")
            },
            Fails("more than 262144 values"),
        ),
        input(
            "half a million numbers for netstatus",
            "netstatus",
            &["save"],
            |_, out| {
                out.write_all(b"{\"a\":[0")?;
                (0..50).try_for_each(|_| out.write_all(",0".repeat(10_000).as_bytes()))?;
                out.write_all(b"]}")
            },
            Fails("more than 262144 values"),
        ),
        input(
            "an endless document for spec-gen",
            "spec-gen",
            &[],
            |_, out| (0..4000).try_for_each(|_| out.write_all(&[b' '; 1 << 18])),
            Fails("longer than"),
        ),
        input(
            "an endless document for netstatus",
            "netstatus",
            &["restore", "--to", "netavark"],
            |_, out| (0..4000).try_for_each(|_| out.write_all(&[b' '; 1 << 18])),
            Fails("longer than"),
        ),
    ]
}
