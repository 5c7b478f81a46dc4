//! Identifies input of the wrong kind, so that messages can say what was found instead of a tar, an
//! archive or a document.

use std::fmt;

use crate::format::raw_header::{BLOCK, checksum_matches, is_zero};

/// Bytes that [`FileKind::in_bytes`] needs. More bytes do not change its result.
pub const ENOUGH: usize = BLOCK;

/// The kind of an input that is not of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileKind {
    what: String,
    hint: Option<&'static str>,
}

type Known = (&'static [u8], &'static str, Option<&'static str>);

const DECRYPT_AGE: Option<&str> = Some("decrypt it first: age -d -i KEY FILE |");
const DECRYPT_PGP: Option<&str> = Some("decrypt it first: gpg -d FILE |");
const LFS: Option<&str> = Some("get the file itself: git lfs pull");

/// First bytes of files that users may pass by mistake, each with a hint.
const MAGIC: [Known; 50] = [
    (b"\x1f\x8b", "gzip-compressed data", Some("decompress it first: gzip -dc FILE |")),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed data", Some("decompress it first: zstd -dc FILE |")),
    (b"\xfd7zXZ\0", "xz-compressed data", Some("decompress it first: xz -dc FILE |")),
    (b"BZh", "bzip2-compressed data", Some("decompress it first: bzip2 -dc FILE |")),
    (b"\x04\x22\x4d\x18", "lz4-compressed data", Some("decompress it first: lz4 -dc FILE |")),
    (b"LZIP", "lzip-compressed data", Some("decompress it first: lzip -dc FILE |")),
    (b"\x1f\x9d", "data compressed by compress(1)", Some("decompress it first: uncompress -c FILE |")),
    (b"\x89LZO\0", "lzop-compressed data", Some("decompress it first: lzop -dc FILE |")),
    (b"\x5d\0\0", "lzma-compressed data", Some("decompress it first: xz --format=lzma -dc FILE |")),
    (b"PK\x03\x04", "a zip archive", Some("extract it first: unzip FILE")),
    (b"PK\x05\x06", "an empty zip archive", None),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", Some("extract it first: 7z x FILE")),
    (b"Rar!\x1a\x07", "a RAR archive", Some("extract it first: unrar x FILE")),
    (b"age-encryption.org/", "an age-encrypted file", DECRYPT_AGE),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", "an age-encrypted file", DECRYPT_AGE),
    (b"-----BEGIN PGP MESSAGE-----", "a PGP-encrypted file", DECRYPT_PGP),
    (b"-----BEGIN PGP SIGNATURE-----", "a PGP signature", None),
    (b"-----BEGIN PGP SIGNED MESSAGE-----", "a PGP-signed text", None),
    (b"-----BEGIN ", "a PEM file", None),
    (b"Salted__", "a file encrypted by openssl-enc(1)", Some("decrypt it first: openssl enc -d")),
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer, not the file itself", LFS),
    (b"version https://hawser.github.com/spec/", "a Git LFS pointer, not the file itself", LFS),
    (
        b"/annex/objects/",
        "a git-annex pointer, not the file itself",
        Some("get the file itself: git annex get"),
    ),
    (b"# v2 git bundle", "a Git bundle", None),
    (b"# v3 git bundle", "a Git bundle", None),
    (b"SQLite format 3\0", "an SQLite database", None),
    (b"\x7fELF", "an ELF program", None),
    (b"#!", "a script", None),
    (b"hsqs", "a squashfs image", Some("extract it first: unsquashfs FILE")),
    (b"sqsh", "a squashfs image", Some("extract it first: unsquashfs FILE")),
    (b"QFI\xfb", "a qcow2 disk image", None),
    (b"KDMV", "a VMDK disk image", None),
    (b"conectix", "a VHD disk image", None),
    (b"vhdxfile", "a VHDX disk image", None),
    (b"XFSB", "an XFS file system", None),
    (b"LUKS\xba\xbe", "a LUKS-encrypted disk", None),
    (b"070701", "a cpio archive", Some("extract it first: cpio -id < FILE")),
    (b"070702", "a cpio archive", Some("extract it first: cpio -id < FILE")),
    (b"070707", "a cpio archive", Some("extract it first: cpio -id < FILE")),
    (b"\xc7\x71", "a cpio archive", Some("extract it first: cpio -id < FILE")),
    (b"!<arch>\n", "an ar archive, such as a Debian package", None),
    (b"\xed\xab\xee\xdb", "an RPM package", None),
    (b"%PDF-", "a PDF document", None),
    (b"\x89PNG\r\n", "a PNG picture", None),
    (b"\xff\xd8\xff", "a JPEG picture", None),
    (b"HTTP/1.", "an HTTP response with its headers", Some("download the body alone: curl -fL URL")),
    (b"H4sI", "base64 of gzip-compressed data", Some("decode it first: base64 -d FILE | gzip -dc |")),
    (b"KLUv/", "base64 of zstd-compressed data", Some("decode it first: base64 -d FILE | zstd -dc |")),
    (b"\x19\x43\x56\x54", "an image file of CRIU", None),
    (b"\xff\xfe", "text in UTF-16", None),
];

const TAR: &str = "a tar archive";
const JSON: &str = "a JSON document";
const DOWNLOAD: Option<&str> =
    Some("download the file itself: curl -fL URL; this is what the server answered instead");

impl FileKind {
    /// Identifies a file by its first [`ENOUGH`] bytes, or by its complete content if the file is
    /// shorter. Returns `None` if the kind is unknown.
    pub fn in_bytes(first: &[u8]) -> Option<FileKind> {
        let found = |what: &str, hint| Some(FileKind { what: what.into(), hint });
        let first = &first[..first.len().min(ENOUGH)];
        if first.is_empty() {
            return found("nothing", None);
        }
        if let Some(tar) = FileKind::tar(first) {
            return Some(tar);
        }
        if let Some((_, what, hint)) = MAGIC.iter().find(|(magic, ..)| first.starts_with(magic)) {
            return found(what, *hint);
        }
        match first {
            // pzstd begins with a skippable frame.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => return found(MAGIC[1].1, MAGIC[1].2),
            // RFC 9580, 4.2 and 5: an encrypted message begins with an encrypted session key.
            [0x84 | 0xc1, _, 3 | 6, ..] | [0x85, _, _, 3 | 6, ..] | [0x8c | 0xc3, _, 4..=6, ..] => {
                return found("a PGP-encrypted file", DECRYPT_PGP);
            }
            _ => {}
        }
        FileKind::text(first).or_else(|| {
            let boot = first.len() == BLOCK && first.ends_with(b"\x55\xaa");
            boot.then(|| FileKind { what: "a disk image".into(), hint: None })
        })
    }

    fn tar(first: &[u8]) -> Option<FileKind> {
        let block = first.try_into().ok().filter(|block| !is_zero(block) && checksum_matches(block));
        block.map(|_| FileKind { what: TAR.into(), hint: None })
    }

    fn text(first: &[u8]) -> Option<FileKind> {
        let text = match std::str::from_utf8(first) {
            Ok(text) => text,
            // The last character may be truncated.
            Err(e) if e.error_len().is_none() => std::str::from_utf8(&first[..e.valid_up_to()]).ok()?,
            Err(_) => return None,
        };
        let start = text.trim_start_matches('\u{feff}').trim_start();
        let is = |prefix: &str| start.get(..prefix.len()).is_some_and(|s| s.eq_ignore_ascii_case(prefix));
        let found = |what: &str, hint| Some(FileKind { what: what.into(), hint });
        if is("<!doctype html") || is("<html") || is("<head") || is("<body") {
            return found("an HTML page", DOWNLOAD);
        }
        if is("<?xml") || is("<svg") || is("<error") {
            return found("an XML document", DOWNLOAD);
        }
        if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
            return None;
        }
        let mut chars = start.chars();
        let second = |chars: &mut std::str::Chars<'_>| chars.find(|c| !c.is_whitespace());
        match (chars.next(), second(&mut chars)) {
            (Some('{'), Some('"' | '}')) => return found(JSON, None),
            (Some('['), Some('{' | '[' | '"' | ']' | '0'..='9')) => return found(JSON, None),
            (None, _) => return found("nothing but white space", None),
            _ => {}
        }
        let line: String = start.lines().next().unwrap_or_default().chars().take(40).collect();
        Some(FileKind { what: format!("text that begins with {line:?}"), hint: None })
    }

    /// Returns a message with the expected and the found kind.
    pub fn instead_of(&self, expected: &str) -> String {
        if self.is_empty() {
            format!("is empty, expected {expected}")
        } else {
            format!("expected {expected}, found {}", self.what)
        }
    }

    /// Returns a command that produces the expected input.
    pub fn hint(&self) -> Option<&'static str> {
        self.hint
    }

    /// Reports whether the input is compressed.
    pub fn is_compressed(&self) -> bool {
        self.what.ends_with("-compressed data") && !self.what.starts_with("base64")
    }

    /// Reports whether the input is empty.
    pub fn is_empty(&self) -> bool {
        self.what.starts_with("nothing")
    }

    /// Reports whether the input is a tar.
    pub fn is_tar(&self) -> bool {
        self.what == TAR
    }

    /// Reports whether the input looks like JSON.
    pub fn is_json(&self) -> bool {
        self.what == JSON
    }

    /// Reports whether the input is text of unknown kind.
    pub fn is_any_text(&self) -> bool {
        self.what.starts_with("text that")
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(first: &[u8]) -> String {
        FileKind::in_bytes(first).map(|found| found.to_string()).unwrap_or_default()
    }

    #[test]
    fn files_are_recognised_by_their_first_bytes() {
        for (first, what) in [
            (&b""[..], "nothing"),
            (b"\n \n", "nothing but white space"),
            (b"\x1f\x8b\x08\0", "gzip-compressed data"),
            (b"\x50\x2a\x4d\x18\x04\0\0\0", "zstd-compressed data"),
            (b"age-encryption.org/v1\n-> X25519 ", "an age-encrypted file"),
            (b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl", "an age-encrypted file"),
            (b"\x85\x02\x0c\x03abcdefgh", "a PGP-encrypted file"),
            (b"\x8c\x0d\x04\x09\x03\x02", "a PGP-encrypted file"),
            (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer, not the file itself"),
            (b"\n<!DOCTYPE html>\n<html>", "an HTML page"),
            (b"\xef\xbb\xbf<HTML><body>", "an HTML page"),
            (b"<?xml version=\"1.0\"?><Error><Code>NoSuchKey", "an XML document"),
            (b" { \"message\": \"Not Found\" }", "a JSON document"),
            (b"[]", "a JSON document"),
            (b"404 page not found\n", "text that begins with \"404 page not found\""),
            (b"caf\xc3", "text that begins with \"caf\""),
            (b"\x01\x02\x03", ""),
            (b"\xfe\xff\x80", ""),
        ] {
            assert_eq!(is(first), what, "{first:?}");
        }
    }

    #[test]
    fn a_tar_is_recognised_with_any_name_of_its_first_entry() {
        for name in ["%PDF-x", "BZh", "<html>", "{\"a\"", "\u{1f}"] {
            let path = crate::TarPath::parse(name.as_bytes()).unwrap();
            let entry = crate::Entry::file(path, 0, 0o644, crate::Timestamp::default());
            let mut header = Vec::new();
            crate::encode(&mut header, &entry, crate::RootName::Dot);
            assert_eq!(is(&header), "a tar archive", "{name}");
        }
    }
}
