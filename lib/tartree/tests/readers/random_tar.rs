//! Random tars in all dialects, some of which are damaged.

use harness::Random;
use harness::forge::{Header, TarForge, record};

/// A random tar.
pub struct RandomTar {
    pub bytes: Vec<u8>,
    /// What is unusual in the tar.
    pub features: Vec<&'static str>,
    /// Whether bytes were changed, so that no reader needs to accept the tar.
    pub is_damaged: bool,
}

/// The dialect of an entry.
#[derive(Clone, Copy, PartialEq)]
enum Dialect {
    V7,
    Ustar,
    Gnu,
    Pax,
}

struct Builder {
    random: Random,
    tar: TarForge,
    features: Vec<&'static str>,
    names: Vec<Vec<u8>>,
}

/// Creates the tar of a seed.
pub fn random_tar(seed: u64) -> RandomTar {
    let (random, tar) = (Random::new(seed), TarForge::new());
    let mut builder = Builder { random, tar, features: Vec::new(), names: vec![b"a".to_vec()] };
    for _ in 0..1 + builder.random.below(6) {
        builder.entry();
    }
    let is_damaged = builder.random.once_in(3);
    let Builder { mut random, tar, mut features, .. } = builder;
    let mut bytes = match random.below(8) {
        0 => {
            features.push("one zero block at the end");
            tar.bytes([0; 512]).cut()
        }
        1 => tar.bytes([0; 10240]).end(),
        2 => {
            features.push("data after the end");
            [tar.end(), b"rest".repeat(256)].concat()
        }
        _ => tar.end(),
    };
    if is_damaged {
        features.push(damage(&mut bytes, &mut random));
    }
    RandomTar { bytes, features, is_damaged }
}

/// Changes some bytes.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) -> &'static str {
    let blocks = bytes.len() / 512;
    match random.below(6) {
        0 => {
            bytes.truncate(random.below(bytes.len()));
            "truncated"
        }
        1 => {
            let at = 512 * random.below(blocks);
            bytes.drain(at..at + 512);
            "block removed"
        }
        2 => {
            let at = 512 * random.below(blocks);
            let block = bytes[at..at + 512].to_vec();
            bytes.splice(at..at, block);
            "block repeated"
        }
        _ => {
            for _ in 0..1 + random.below(3) {
                let at = random.below(bytes.len());
                bytes[at] = random.of(b"\0\x20/017=x\x80\xff\n");
                reseal(bytes, at / 512 * 512);
            }
            "bytes changed"
        }
    }
}

/// Corrects the checksum of a block, if the block has the magic of a header.
fn reseal(bytes: &mut [u8], at: usize) {
    let Some(block) = bytes.get_mut(at..at + 512).filter(|block| block[257..262] == *b"ustar") else {
        return;
    };
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

impl Builder {
    fn entry(&mut self) {
        let dialect = self.random.of(&[Dialect::V7, Dialect::Ustar, Dialect::Gnu, Dialect::Pax]);
        let mut records = Vec::new();
        let content: Vec<u8> = {
            let length = self.random.of(&[0, 1, 5, 511, 512, 513, 1500]);
            (0..length).map(|at| b"content\n"[at % 8]).collect()
        };
        let flag = self.flag(dialect);
        let header = self.name(Header::new(flag, ""), flag, dialect, &mut records);
        let header = self.link(header, flag, dialect, &mut records);
        let header = self.numbers(header, dialect, &mut records);
        let header = match dialect {
            Dialect::V7 => header.field(257, &[0; 8]),
            Dialect::Gnu => header.field(257, b"ustar  \0"),
            Dialect::Ustar | Dialect::Pax => header,
        };
        if dialect == Dialect::Pax {
            self.xattrs(&mut records);
        }
        let (header, content) = self.content(header, flag, dialect, content, &mut records);
        let mut tar = std::mem::take(&mut self.tar);
        if !records.is_empty() {
            tar = self.extended(tar, records);
        }
        self.tar = tar.header(header).padded(&content);
    }

    /// Appends the PAX header of an entry, rarely with another header for the same entry.
    fn extended(&mut self, tar: TarForge, records: Vec<u8>) -> TarForge {
        let name = "another-name";
        match self.random.below(40) {
            0 => {
                self.features.push("two PAX headers");
                tar.pax("path", name).pax_payload(records)
            }
            1 => {
                self.features.push("two names");
                tar.gnu_long(b'L', name).pax_payload(records)
            }
            2 => {
                self.features.push("two names");
                tar.pax_payload(records).gnu_long(b'L', name)
            }
            3 => {
                self.features.push("a global header after a PAX header");
                tar.pax_payload(records).entry(Header::new(b'g', "global"), record("comment", "global"))
            }
            4 => {
                self.features.push("a label after a PAX header");
                tar.pax_payload(records).header(Header::new(b'V', "label"))
            }
            _ => tar.pax_payload(records),
        }
    }

    fn flag(&mut self, dialect: Dialect) -> u8 {
        let flag = self.random.of(b"00000\0\x001122345566 ");
        match flag {
            b' ' => self.unusual_flag(),
            b'3' | b'4' | b'6' if dialect == Dialect::V7 => b'0',
            flag => flag,
        }
    }

    fn unusual_flag(&mut self) -> u8 {
        let (flag, name) = self.random.of(&[
            (b'7', "a contiguous file"),
            (b'V', "a label of a volume"),
            (b'g', "a global header"),
            (b'Z', "an unknown type"),
            (b'D', "a directory with a list of names"),
        ]);
        self.features.push(name);
        flag
    }

    /// Sets the name of an entry in one of the ways of the dialect.
    fn name(&mut self, header: Header, flag: u8, dialect: Dialect, records: &mut Vec<u8>) -> Header {
        let mut name = self.random_name();
        if flag == b'5' || self.random.once_in(30) {
            name.push(b'/');
        }
        self.names.push(name.clone());
        if flag == b'g' {
            return header.field(0, b"pax_global_header");
        }
        let is_long = name.len() > 100;
        match dialect {
            Dialect::Pax if is_long || self.random.once_in(3) => {
                records.extend(record("path", &name));
                header.field(0, b"header-name")
            }
            Dialect::Gnu if is_long => {
                self.tar = std::mem::take(&mut self.tar).gnu_long(b'L', &name);
                header.field(0, &name[..100])
            }
            Dialect::Ustar if is_long && name.iter().skip(1).take(99).any(|&b| b == b'/') => {
                let slash = name.iter().skip(1).position(|&b| b == b'/').unwrap_or(0) + 1;
                let rest = &name[slash + 1..name.len().min(slash + 101)];
                header.field(345, &name[..slash.min(155)]).field(0, rest)
            }
            _ => header.field(0, &name[..name.len().min(100)]),
        }
    }

    fn random_name(&mut self) -> Vec<u8> {
        match self.random.below(12) {
            0 => vec![b'n'; 100],
            1 => [vec![b'p'; 60], vec![b'n'; 90]].join(&b'/'),
            2 => [vec![b'd'; 30], vec![b'e'; 120], vec![b'n'; 130]].join(&b'/'),
            3 => "ü €".as_bytes().to_vec(),
            4 => b"not\xff\xfeUTF-8".to_vec(),
            5 => b" sp ace \"quote\" \\".to_vec(),
            6 => b"line\nbreak\x1b[31m".to_vec(),
            7 => b"./d/f".to_vec(),
            8 => b"/abs//d/./f".to_vec(),
            9 if self.random.once_in(4) => b"d/../f".to_vec(),
            _ => self.random.of(&["a", "b", "c/d", "c", "c/e"]).as_bytes().to_vec(),
        }
    }

    /// Sets the target of a link.
    fn link(&mut self, header: Header, flag: u8, dialect: Dialect, records: &mut Vec<u8>) -> Header {
        if !matches!(flag, b'1' | b'2') {
            return header;
        }
        let target = if flag == b'1' {
            let at = self.random.below(self.names.len());
            self.names[at].clone()
        } else {
            self.random_name()
        };
        match dialect {
            Dialect::Pax if target.len() > 100 || self.random.once_in(3) => {
                records.extend(record("linkpath", &target));
                header.field(157, &target[..target.len().min(100)])
            }
            Dialect::Gnu if target.len() > 100 => {
                self.tar = std::mem::take(&mut self.tar).gnu_long(b'K', &target);
                header.field(157, &target[..100])
            }
            _ => header.field(157, &target[..target.len().min(100)]),
        }
    }

    /// Sets mode, owner and time in one of the notations of numbers.
    fn numbers(&mut self, mut header: Header, dialect: Dialect, records: &mut Vec<u8>) -> Header {
        let mode = self.random.of(&[0, 0o644, 0o755, 0o4755, 0o7777, 0o1777]);
        header = match self.random.below(4) {
            0 => header.field(100, format!("{mode:6o} \0").as_bytes()),
            1 => header.field(100, format!("010{mode:04o}\0").as_bytes()),
            2 => header.field(100, format!("{mode:08o}").as_bytes()),
            _ => header.mode(mode),
        };
        let time = self.random.of(&[0, 1, 1_700_000_000, 0o77_777_777_777]);
        header = match self.random.below(4) {
            0 => header.field(136, format!("{time:12o}").as_bytes()),
            1 => header.field(136, format!("{time:o} \0\0\0\0\0\0\0\0\0\0\0\0").as_bytes()[..12].as_ref()),
            _ => header.mtime(time),
        };
        if dialect == Dialect::Gnu && self.random.once_in(4) {
            let time = self.random.of(&[-1i64, -5_000_000_000, 1 << 33]);
            let mut field = [if time < 0 { 0xff } else { 0 }; 12];
            field[4..].copy_from_slice(&time.to_be_bytes());
            field[0] |= 0x80;
            header = header.field(136, &field);
        }
        if dialect == Dialect::Gnu && self.random.once_in(6) {
            header = header.owner(b"\x80\0\0\0\x12\x34\x56\x78", b"\x80\0\0\0\0\0\0\x07");
        }
        if dialect == Dialect::Pax && self.random.once_in(2) {
            let time = self.random.of(&[
                "1700000000.5",
                "1700000000.123456789",
                "-1",
                "-1.5",
                "0",
                "12345",
                "1.1234567891",
                "5.",
            ]);
            records.extend(record("mtime", time));
        }
        if self.random.once_in(2) { header.device(8, 3) } else { header.device(255, 1_000_000) }
    }

    fn xattrs(&mut self, records: &mut Vec<u8>) {
        for _ in 0..self.random.below(3) {
            let (key, value) = self.random.of(&[
                ("SCHILY.xattr.user.note", &b"text"[..]),
                ("SCHILY.xattr.user.binary", b"\0\n=\xff 12 size=0\n"),
                ("SCHILY.xattr.user.empty", b""),
                ("LIBARCHIVE.xattr.user.both", b"dGV4dA"),
                ("comment", b"size=99"),
                ("VENDOR.key", b"\xff\xfe"),
                ("atime", b"1.5"),
                ("uname", b"somebody"),
            ]);
            records.extend(record(key, value));
        }
    }

    /// Sets the size, and returns the content with the map of a sparse file.
    fn content(
        &mut self,
        header: Header,
        flag: u8,
        dialect: Dialect,
        content: Vec<u8>,
        records: &mut Vec<u8>,
    ) -> (Header, Vec<u8>) {
        let is_slashed = self.names.last().is_some_and(|name| name.ends_with(b"/"));
        match flag {
            b'0' | 0 | b'7' if dialect == Dialect::Pax && !is_slashed && self.random.once_in(6) => {
                return self.sparse(header, records);
            }
            b'0' | b'7' | 0 => {}
            b'g' => {
                let comment = record("comment", "global");
                return (header.size(comment.len() as u64), comment);
            }
            b'D' => return (header.size(6), b"Ya\0\0\0\0".to_vec()),
            b'1'..=b'6' if self.random.once_in(12) => {
                self.features.push("a size of an entry without content");
                let stored = if self.random.once_in(2) { vec![b'x'; 512] } else { Vec::new() };
                return (header.size(512), stored);
            }
            _ => return (header, Vec::new()),
        }
        let size = content.len();
        let header = match self.random.below(6) {
            0 => header.field(124, format!("{size:012o}").as_bytes()),
            1 => header.field(124, format!("{size:11o} ").as_bytes()),
            2 if dialect == Dialect::Gnu => header.size_256(size as i128),
            3 if dialect == Dialect::Pax => {
                records.extend(record("size", size.to_string()));
                let other = if self.random.once_in(2) { 0 } else { 1024 };
                header.size(other)
            }
            _ => header.size(size as u64),
        };
        (header, content)
    }

    /// Makes the file sparse, in GNU's form 1.0 or 0.1.
    fn sparse(&mut self, header: Header, records: &mut Vec<u8>) -> (Header, Vec<u8>) {
        let data = b"data".repeat(128);
        if self.random.once_in(2) {
            for (key, value) in [("major", "1"), ("minor", "0"), ("name", "sparse"), ("realsize", "10240")] {
                records.extend(record(format!("GNU.sparse.{key}"), value));
            }
            let mut map = b"2\n1024\n512\n10240\n0\n".to_vec();
            map.resize(512, 0);
            return (header.size(1024), [map, data].concat());
        }
        for (key, value) in [("size", "4096"), ("numblocks", "2"), ("map", "512,256,2048,256")] {
            records.extend(record(format!("GNU.sparse.{key}"), value));
        }
        (header.size(512), data)
    }
}
