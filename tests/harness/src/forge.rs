//! Builds tars byte by byte, including malformed and malicious tars.
//!
//! The builder neither checks nor corrects its arguments: a length may be false, a name may lead
//! out of the tree, a checksum may be wrong. All other fields have the values of a valid ustar
//! header, so that each forged tar has exactly the fault under test.

const BLOCK: usize = 512;

/// One header block.
#[derive(Clone)]
pub struct Header([u8; BLOCK]);

impl Header {
    /// Creates a ustar header of type `flag` with the first 100 bytes of `name`, mode 0644, owner 0
    /// and size 0.
    pub fn new(flag: u8, name: impl AsRef<[u8]>) -> Header {
        let header = Header([0; BLOCK]);
        header
            .field(0, &cut(name.as_ref(), 100))
            .field(100, b"0000644\0")
            .field(108, b"0000000\0")
            .field(116, b"0000000\0")
            .field(124, b"00000000000\0")
            // 2023-11-14: tests can distinguish this time from one that was not restored.
            .field(136, b"14524641400\0")
            .field(156, &[flag])
            .field(257, b"ustar\x0000")
            .field(329, b"0000000\0")
            .field(337, b"0000000\0")
    }

    /// Overwrites the header with `bytes` at `offset`.
    #[must_use]
    pub fn field(mut self, offset: usize, bytes: &[u8]) -> Header {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Sets the mode, up to seven octal digits.
    #[must_use]
    pub fn mode(self, mode: u32) -> Header {
        self.field(100, format!("{mode:07o}\0").as_bytes())
    }

    /// Sets the raw fields of the owner.
    #[must_use]
    pub fn owner(self, uid: &[u8; 8], gid: &[u8; 8]) -> Header {
        self.field(108, uid).field(116, gid)
    }

    /// Sets the size: octal digits, or from 8 GiB on a base-256 number, as GNU tar does.
    #[must_use]
    pub fn size(self, size: u64) -> Header {
        match size >> 33 {
            0 => self.field(124, format!("{size:011o}\0").as_bytes()),
            _ => self.size_256(size.into()),
        }
    }

    /// Sets the size as a base-256 number, GNU's extension.
    #[must_use]
    pub fn size_256(self, size: i128) -> Header {
        let mut field = [0; 12];
        field.copy_from_slice(&size.to_be_bytes()[4..]);
        // The top bit marks a base-256 number. A negative number already has it.
        field[0] |= 0x80;
        self.field(124, &field)
    }

    /// Sets the modification time in seconds.
    #[must_use]
    pub fn mtime(self, mtime: u64) -> Header {
        self.field(136, format!("{mtime:011o}\0").as_bytes())
    }

    /// Sets the link target to the first 100 bytes of `target`.
    #[must_use]
    pub fn link(self, target: impl AsRef<[u8]>) -> Header {
        self.field(157, &cut(target.as_ref(), 100))
    }

    /// Sets the device numbers.
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

/// Returns one PAX record with its correct length.
pub fn record(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let body = [b" ", key.as_ref(), b"=", value.as_ref(), b"\n"].concat();
    let mut length = body.len();
    while length != body.len() + length.to_string().len() {
        length = body.len() + length.to_string().len();
    }
    [length.to_string().as_bytes(), &body].concat()
}

/// Builder of a tar.
#[derive(Clone, Default)]
pub struct TarForge(Vec<u8>);

impl TarForge {
    /// Creates an empty builder.
    pub fn new() -> TarForge {
        TarForge::default()
    }

    /// Returns the tar without end-of-archive blocks.
    pub fn cut(self) -> Vec<u8> {
        self.0
    }

    /// Returns the tar, ending in two zero blocks.
    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }

    /// Appends raw bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: impl AsRef<[u8]>) -> TarForge {
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    /// Appends a header with its correct checksum.
    #[must_use]
    pub fn header(self, header: Header) -> TarForge {
        self.bytes(header.sealed())
    }

    /// Appends content, padded to a multiple of the block size.
    #[must_use]
    pub fn padded(mut self, content: &[u8]) -> TarForge {
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    /// Appends a header with the size of `content`, and the content.
    #[must_use]
    pub fn entry(self, header: Header, content: impl AsRef<[u8]>) -> TarForge {
        let content = content.as_ref();
        self.header(header.size(content.len() as u64)).padded(content)
    }

    /// Appends a regular file.
    #[must_use]
    pub fn file(self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> TarForge {
        self.entry(Header::new(b'0', name), content)
    }

    /// Appends a directory with mode 0755.
    #[must_use]
    pub fn dir(self, name: impl AsRef<[u8]>) -> TarForge {
        self.header(Header::new(b'5', name).mode(0o755))
    }

    /// Appends a symbolic link.
    #[must_use]
    pub fn symlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> TarForge {
        self.header(Header::new(b'2', name).mode(0o777).link(target))
    }

    /// Appends a hard link.
    #[must_use]
    pub fn hardlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> TarForge {
        self.header(Header::new(b'1', name).link(target))
    }

    /// Appends a PAX header with this payload for the next entry.
    #[must_use]
    pub fn pax_payload(self, payload: impl AsRef<[u8]>) -> TarForge {
        self.entry(Header::new(b'x', "PaxHeaders/x"), payload)
    }

    /// Appends a PAX header with one record for the next entry.
    #[must_use]
    pub fn pax(self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> TarForge {
        self.pax_payload(record(key, value))
    }

    /// Appends GNU's long name (`L`) or long link target (`K`) for the next entry.
    #[must_use]
    pub fn gnu_long(self, flag: u8, name: impl AsRef<[u8]>) -> TarForge {
        self.entry(Header::new(flag, "././@LongLink"), [name.as_ref(), b"\0"].concat())
    }
}
