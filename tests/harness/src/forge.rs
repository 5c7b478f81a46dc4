//! Tars byte by byte, as no honest writer makes them.
//!
//! Nothing is checked and nothing is corrected: a length may lie, a name may be a path out, a checksum may be wrong.
//! What is not spoiled on purpose is a plain ustar header, so that each forged tar has the one fault it is about.

const BLOCK: usize = 512;

/// One header block.
#[derive(Clone)]
pub struct Header([u8; BLOCK]);

impl Header {
    /// A ustar header of type `flag` for `name`, of which the first 100 bytes are taken: mode 0644, owner 0, size 0.
    pub fn new(flag: u8, name: impl AsRef<[u8]>) -> Header {
        let header = Header([0; BLOCK]);
        header
            .field(0, &cut(name.as_ref(), 100))
            .field(100, b"0000644\0")
            .field(108, b"0000000\0")
            .field(116, b"0000000\0")
            .field(124, b"00000000000\0")
            // 2023-11-14, so that a time which was not set is told from one that was.
            .field(136, b"14524641400\0")
            .field(156, &[flag])
            .field(257, b"ustar\x0000")
            .field(329, b"0000000\0")
            .field(337, b"0000000\0")
    }

    /// These bytes at this offset.
    #[must_use]
    pub fn field(mut self, offset: usize, bytes: &[u8]) -> Header {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// The mode, any seven octal digits of it.
    #[must_use]
    pub fn mode(self, mode: u32) -> Header {
        self.field(100, format!("{mode:07o}\0").as_bytes())
    }

    /// The owner, as it stands in the field.
    #[must_use]
    pub fn owner(self, uid: &[u8; 8], gid: &[u8; 8]) -> Header {
        self.field(108, uid).field(116, gid)
    }

    /// The size, of at most eleven octal digits.
    #[must_use]
    pub fn size(self, size: u64) -> Header {
        self.field(124, format!("{size:011o}\0").as_bytes())
    }

    /// The size as GNU's base-256 number.
    #[must_use]
    pub fn size_256(self, size: i128) -> Header {
        let mut field = [0; 12];
        field.copy_from_slice(&size.to_be_bytes()[4..]);
        // The top bit marks the form; of a negative number it is set already.
        field[0] |= 0x80;
        self.field(124, &field)
    }

    /// The modification time in seconds.
    #[must_use]
    pub fn mtime(self, mtime: u64) -> Header {
        self.field(136, format!("{mtime:011o}\0").as_bytes())
    }

    /// What a link names, of which the first 100 bytes are taken.
    #[must_use]
    pub fn link(self, target: impl AsRef<[u8]>) -> Header {
        self.field(157, &cut(target.as_ref(), 100))
    }

    /// A device's numbers.
    #[must_use]
    pub fn device(self, major: u32, minor: u32) -> Header {
        self.field(329, format!("{major:07o}\0").as_bytes()).field(337, format!("{minor:07o}\0").as_bytes())
    }

    fn sealed(mut self) -> [u8; BLOCK] {
        self.0[148..156].fill(b' ');
        let sum: u32 = self.0.iter().map(|&b| u32::from(b)).sum();
        self.0[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

fn cut(bytes: &[u8], most: usize) -> Vec<u8> {
    bytes[..bytes.len().min(most)].to_vec()
}

/// One PAX record with its right length.
pub fn record(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let body = [b" ", key.as_ref(), b"=", value.as_ref(), b"\n"].concat();
    let mut length = body.len();
    while length != body.len() + length.to_string().len() {
        length = body.len() + length.to_string().len();
    }
    [length.to_string().as_bytes(), &body].concat()
}

/// A tar in the making.
#[derive(Clone, Default)]
pub struct TarForge(Vec<u8>);

impl TarForge {
    /// Nothing yet.
    pub fn new() -> TarForge {
        TarForge::default()
    }

    /// The bytes so far, with nothing behind them.
    pub fn cut(self) -> Vec<u8> {
        self.0
    }

    /// The bytes, closed by two blocks of zeros.
    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }

    /// Any bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: impl AsRef<[u8]>) -> TarForge {
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    /// A header with its right checksum.
    #[must_use]
    pub fn header(self, header: Header) -> TarForge {
        self.bytes(header.sealed())
    }

    /// Content, padded to a block.
    #[must_use]
    pub fn padded(mut self, content: &[u8]) -> TarForge {
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    /// A header, its size set, and the content.
    #[must_use]
    pub fn entry(self, header: Header, content: impl AsRef<[u8]>) -> TarForge {
        let content = content.as_ref();
        self.header(header.size(content.len() as u64)).padded(content)
    }

    /// A regular file.
    #[must_use]
    pub fn file(self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> TarForge {
        self.entry(Header::new(b'0', name), content)
    }

    /// A directory, mode 0755.
    #[must_use]
    pub fn dir(self, name: impl AsRef<[u8]>) -> TarForge {
        self.header(Header::new(b'5', name).mode(0o755))
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> TarForge {
        self.header(Header::new(b'2', name).mode(0o777).link(target))
    }

    /// A hard link.
    #[must_use]
    pub fn hardlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> TarForge {
        self.header(Header::new(b'1', name).link(target))
    }

    /// A PAX header of this payload for the next entry.
    #[must_use]
    pub fn pax_payload(self, payload: impl AsRef<[u8]>) -> TarForge {
        self.entry(Header::new(b'x', "PaxHeaders/x"), payload)
    }

    /// A PAX header of one record for the next entry.
    #[must_use]
    pub fn pax(self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> TarForge {
        self.pax_payload(record(key, value))
    }

    /// GNU's long name (`L`) or long link (`K`) for the next entry.
    #[must_use]
    pub fn gnu_long(self, flag: u8, name: impl AsRef<[u8]>) -> TarForge {
        self.entry(Header::new(flag, "././@LongLink"), [name.as_ref(), b"\0"].concat())
    }
}
