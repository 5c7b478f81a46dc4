//! Encodes entries as header blocks. [`Reader`](crate::Reader) does the reverse.

use std::borrow::Cow;

use crate::entry::{Entry, Kind, RootName, Timestamp};
use crate::format::header::{self, Fields, MAX_ID, MAX_SIZE};
use crate::format::raw_header::BLOCK;
use crate::format::{acl, pax, sparse};
use crate::path::TarPath;

/// Two zero blocks.
pub const END_OF_ARCHIVE: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Content of at least [`WORTH_ALIGNING`] bytes begins at a multiple of this, so that a filesystem
/// can share its blocks between file and archive, and page caches copy complete pages.
pub(crate) const ALIGNMENT: u64 = 4096;
/// Minimum size of content that is aligned. For less, the padding costs more space than shared
/// blocks save.
pub(crate) const WORTH_ALIGNING: u64 = 1 << 20;

/// Returns the number of padding bytes after `len` bytes of content.
pub fn padding(len: u64) -> u64 {
    len.wrapping_neg() % BLOCK as u64
}

/// Appends everything that precedes the content of `entry`: the `x` header if one is needed, the
/// header block, and the map of a sparse file. The same entry always results in the same bytes.
pub fn encode(out: &mut Vec<u8>, entry: &Entry, root: RootName) {
    encode_with(out, entry, root, Padding::None);
}

/// Like [`encode`], for an entry at offset `position` of the archive: pads the `x` header with a
/// comment so that the content of a large file begins at a page boundary. Filesystems that can
/// share blocks then share them with the archive.
pub fn encode_aligned(out: &mut Vec<u8>, entry: &Entry, root: RootName, position: u64) {
    let padding = match entry.kind.data_len() {
        WORTH_ALIGNING.. => Padding::ToPage(position),
        _ => Padding::None,
    };
    encode_with(out, entry, root, padding);
}

/// Like [`encode`], but pads the `x` header with a comment so that exactly `len` bytes precede the
/// content. `len` is a multiple of 512, and at least 1024 more than the `x` records of the entry. A
/// header whose size is not known yet can so be replaced.
pub fn encode_in(out: &mut Vec<u8>, entry: &Entry, root: RootName, len: usize) {
    encode_with(out, entry, root, Padding::ToLength(len));
}

/// Returns the number of bytes that [`encode`] writes for an entry. `scratch` is a reusable buffer.
pub(crate) fn encoded_len(scratch: &mut Vec<u8>, entry: &Entry, root: RootName) -> u64 {
    let parts = Parts::of(entry, root);
    scratch.clear();
    extended(scratch, entry, &parts);
    let records = match scratch.len() as u64 {
        0 => 0,
        len => BLOCK as u64 + len + padding(len),
    };
    records + (BLOCK + parts.map.as_ref().map_or(0, Vec::len)) as u64
}

/// Sizes of the records in the `x` header of an entry.
pub(crate) struct RecordsOf {
    /// Bytes of all records.
    pub bytes: usize,
    /// Bytes of the longest name: the path as written in the tar, or the target of a link.
    pub longest_name: usize,
}

/// Measures the `x` header of an entry by building it.
pub(crate) fn records_of(entry: &Entry, root: RootName) -> RecordsOf {
    let parts = Parts::of(entry, root);
    let mut records = Vec::new();
    let shown = extended(&mut records, entry, &parts);
    let longest_name = shown.len().max(parts.name.len()).max(parts.link.len());
    RecordsOf { bytes: records.len(), longest_name }
}

/// How the `x` header of an entry is padded.
enum Padding {
    None,
    /// The content of the entry at this offset of the archive begins at a page boundary.
    ToPage(u64),
    /// This number of bytes precedes the content.
    ToLength(usize),
}

fn encode_with(out: &mut Vec<u8>, entry: &Entry, root: RootName, padding_of: Padding) {
    let parts = Parts::of(entry, root);
    // Reserves the header block of an `x` header, which may turn out to be unnecessary.
    let start = out.len();
    out.resize(start + BLOCK, 0);
    let shown = extended(out, entry, &parts);
    let behind = BLOCK + parts.map.as_ref().map_or(0, Vec::len);
    match padding_of {
        Padding::None => {}
        Padding::ToPage(position) => align(out, start + BLOCK, position + behind as u64),
        Padding::ToLength(len) => fill(out, start + BLOCK, len.saturating_sub(BLOCK + behind)),
    }
    let records = out.len() - start - BLOCK;
    if records == 0 {
        out.truncate(start);
    } else {
        let last = entry.path.split().map_or(&b"root"[..], |(_, last)| last.as_encoded_bytes());
        let short = [b"PaxHeaders.0/", &last[..last.len().min(80)]].concat();
        let fields = Fields {
            name: &short,
            prefix: b"",
            link: b"",
            typeflag: b'x',
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: records as u64,
            mtime: Timestamp::default(),
            rdev: None,
        };
        out[start..start + BLOCK].copy_from_slice(&header::block(&fields));
        out.resize(out.len() + padding(records as u64) as usize, 0);
    }
    let (prefix, short) = header::split_name(&shown).unwrap_or((b"", &shown));
    let (typeflag, rdev) = match entry.kind {
        Kind::File { .. } => (b'0', None),
        Kind::HardLink { .. } => (b'1', None),
        Kind::Symlink { .. } => (b'2', None),
        Kind::Char { major, minor } => (b'3', Some((major, minor))),
        Kind::Block { major, minor } => (b'4', Some((major, minor))),
        Kind::Dir => (b'5', None),
        Kind::Fifo => (b'6', None),
    };
    header::push(
        out,
        &Fields {
            name: short,
            prefix,
            link: parts.link,
            typeflag,
            mode: entry.meta.mode,
            uid: entry.meta.uid,
            gid: entry.meta.gid,
            size: parts.size,
            mtime: entry.meta.mtime,
            rdev,
        },
    );
    out.extend_from_slice(&parts.map.unwrap_or_default());
}

/// Pads the payload of the `x` header, which starts at `records` in `out`, with a comment, so that
/// the content begins at a page boundary if `before` bytes of the archive precede and follow it.
/// Does nothing if the content is aligned already.
fn align(out: &mut Vec<u8>, records: usize, before: u64) {
    let used = out.len() - records;
    let end = |payload: usize| before + if payload == 0 { 0 } else { (BLOCK + payload) as u64 };
    if end(used.next_multiple_of(BLOCK)) % ALIGNMENT == 0 {
        return;
    }
    let around = pax::record_len(b"comment", 0);
    let mut payload = (used + around).next_multiple_of(BLOCK);
    while end(payload) % ALIGNMENT != 0 {
        payload += BLOCK;
    }
    fill(out, records, payload);
}

/// Pads the payload of the `x` header, which starts at `records` in `out`, with a comment to
/// `payload` bytes.
fn fill(out: &mut Vec<u8>, records: usize, payload: usize) {
    let used = out.len() - records;
    let around = pax::record_len(b"comment", 0);
    // The length of a record includes its own digits, so one more digit adds one more byte.
    let mut spaces = payload.saturating_sub(used + around);
    while spaces > 0 && used + pax::record_len(b"comment", spaces) > payload {
        spaces -= 1;
    }
    pax::push(out, b"comment", &vec![b' '; spaces]);
}

/// Returns a header that asks a reader to remove `path`: type `g`, size 0, with `path` as its name.
///
/// containers/storage's `Unpack` removes any inode at the name of an entry before it creates the
/// entry, and creates nothing for a `g` header (verified with podman 5.4.2). GNU tar, bsdtar and
/// Python ignore an empty global header. Returns `None` if the name does not fit: a PAX record
/// cannot hold it, because a global `path` would rename every entry that follows.
pub fn removal_header(path: &TarPath) -> Option<[u8; BLOCK]> {
    let (prefix, name) = header::split_name(path.as_bytes()).filter(|(_, name)| !name.is_empty())?;
    let mut out = Vec::with_capacity(BLOCK);
    header::push(
        &mut out,
        &Fields {
            name,
            prefix,
            link: b"",
            typeflag: b'g',
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: Timestamp::default(),
            rdev: None,
        },
    );
    out.try_into().ok()
}

fn name_of(entry: &Entry, root: RootName) -> Cow<'_, [u8]> {
    match entry.kind {
        _ if entry.path.is_root() => match root {
            RootName::Dot => b"./".into(),
            RootName::Slash => b"/".into(),
        },
        Kind::Dir => [entry.path.as_bytes(), b"/"].concat().into(),
        _ => entry.path.as_bytes().into(),
    }
}

/// The parts of a header that are not metadata of the entry.
struct Parts<'e> {
    name: Cow<'e, [u8]>,
    link: &'e [u8],
    /// The text of a sparse map, which precedes the data.
    map: Option<Vec<u8>>,
    /// Bytes after the header, including the map.
    size: u64,
}

impl Parts<'_> {
    fn of(entry: &Entry, root: RootName) -> Parts<'_> {
        let link: &[u8] = match &entry.kind {
            Kind::Symlink { target } => target,
            Kind::HardLink { target } => target.as_bytes(),
            _ => b"",
        };
        let map = match &entry.kind {
            Kind::File { map: Some(map), size } => Some(sparse::map_text(map, *size)),
            _ => None,
        };
        let size = entry.kind.data_len() + map.as_ref().map_or(0, |text| text.len() as u64);
        Parts { name: name_of(entry, root), link, map, size }
    }
}

/// Appends the values that the header block cannot hold to `records`, and returns the name for the
/// block.
fn extended<'p>(records: &mut Vec<u8>, entry: &Entry, parts: &'p Parts<'_>) -> Cow<'p, [u8]> {
    let (name, link) = (&parts.name[..], parts.link);
    let meta = &entry.meta;
    let is_text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
    if !is_text(name) || !is_text(link) {
        // Without this record libarchive reads the names as UTF-8 and falls back to the truncated
        // names.
        pax::push(records, b"hdrcharset", b"BINARY");
    }
    let shown = if parts.map.is_some() {
        pax::push(records, b"GNU.sparse.major", b"1");
        pax::push(records, b"GNU.sparse.minor", b"0");
        pax::push(records, b"GNU.sparse.name", name);
        if let Kind::File { size, .. } = entry.kind {
            pax::push(records, b"GNU.sparse.realsize", size.to_string().as_bytes());
        }
        // The name that readers without support for sparse files show. GNU tar puts its process ID
        // into this name.
        let (dir, last) = name.split_at(name.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1));
        Cow::Owned([dir, b"GNUSparseFile.0/", last].concat())
    } else {
        Cow::Borrowed(name)
    };
    if header::split_name(&shown).is_none() || !shown.is_ascii() {
        pax::push(records, b"path", &shown);
    }
    if link.len() > 100 || !link.is_ascii() {
        pax::push(records, b"linkpath", link);
    }
    if parts.size > MAX_SIZE {
        pax::push(records, b"size", parts.size.to_string().as_bytes());
    }
    if meta.uid > MAX_ID {
        pax::push(records, b"uid", meta.uid.to_string().as_bytes());
    }
    if meta.gid > MAX_ID {
        pax::push(records, b"gid", meta.gid.to_string().as_bytes());
    }
    let whole = u64::try_from(meta.mtime.sec).is_ok_and(|sec| sec <= MAX_SIZE) && meta.mtime.nsec == 0;
    if !whole {
        pax::push(records, b"mtime", pax::time(meta.mtime).as_bytes());
    }
    for xattr in &meta.xattrs {
        // bsdtar and `GNU tar --acls` restore ACLs only from the text, podman only from the
        // attribute.
        if let Some((key, text)) = acl::record(xattr) {
            pax::push(records, key, text.as_bytes());
        }
        pax::push_xattr(records, xattr);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Meta, SparseMap, Xattr};

    #[test]
    fn the_content_of_a_large_file_is_aligned_to_a_page() {
        let path = TarPath::parse(b"checkpoint/pages-1.img").unwrap();
        let plain = Entry::file(path, WORTH_ALIGNING, 0o600, Timestamp::default());
        let with = |len| {
            let xattrs = vec![Xattr { name: b"user.x".to_vec(), value: vec![b'v'; len] }];
            Entry { meta: Meta { xattrs, ..plain.meta.clone() }, ..plain.clone() }
        };
        let map = Some(SparseMap(vec![(0, WORTH_ALIGNING), (1 << 30, 1)]));
        let sparse = Entry { kind: Kind::File { size: 1 << 40, map }, ..plain.clone() };
        let all = (0..1100).map(with).chain([plain.clone(), sparse]);
        for (at, entry) in all.enumerate() {
            let position = at as u64 % 16 * BLOCK as u64;
            let mut header = Vec::new();
            encode_aligned(&mut header, &entry, RootName::Dot, position);
            assert_eq!((position + header.len() as u64) % ALIGNMENT, 0, "{at}");
            let mut reader = crate::Reader::new(header.as_slice(), crate::Limits::default());
            let Some(crate::Item::Entry(read)) = reader.next().unwrap() else { panic!("{at}") };
            assert_eq!(read, entry);
        }
    }

    #[test]
    fn the_computed_header_length_equals_the_encoded_length() {
        let meta = |sec, xattrs| Meta { mtime: Timestamp { sec, nsec: 0 }, xattrs, ..Meta::default() };
        let long = vec![Xattr { name: b"user.x".to_vec(), value: vec![b'v'; 700] }];
        let map = Some(SparseMap((0..200).map(|i| (i * 8192, 4096)).collect()));
        let paths = [&b""[..], b"a", &[b'n'; 120], &[b'n'; 300]];
        let kinds = [Kind::Dir, Kind::File { size: 1 << 40, map: None }, Kind::File { size: 1 << 40, map }];
        let kinds = kinds.into_iter().chain([Kind::Symlink { target: vec![b't'; 101] }]);
        for kind in kinds {
            for (path, meta) in paths.iter().zip([
                meta(1, Vec::new()),
                meta(-1, Vec::new()),
                meta(1, long.clone()),
                meta(1, Vec::new()),
            ]) {
                let entry = Entry { path: TarPath::root().child(path), kind: kind.clone(), meta };
                let (mut header, mut scratch) = (Vec::new(), b"of the one before".to_vec());
                encode(&mut header, &entry, RootName::Slash);
                assert_eq!(
                    encoded_len(&mut scratch, &entry, RootName::Slash),
                    header.len() as u64,
                    "{entry:?}"
                );
            }
        }
    }

    #[test]
    fn the_content_of_a_small_file_is_not_aligned() {
        let path = TarPath::parse(b"a").unwrap();
        let entry = Entry::file(path, WORTH_ALIGNING - 1, 0o600, Timestamp::default());
        let (mut plain, mut aligned) = (Vec::new(), Vec::new());
        encode(&mut plain, &entry, RootName::Dot);
        encode_aligned(&mut aligned, &entry, RootName::Dot, 512);
        assert_eq!(plain, aligned);
    }
}
