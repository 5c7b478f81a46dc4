//! Lists a tar with the crate tar-core.

use tar_core::parse::{ParseEvent, ParsedEntry, Parser};

use crate::{Listed, Listing, clean};

/// Lists a tar.
pub fn list(tar: &[u8]) -> Listing {
    let mut parser = Parser::with_defaults();
    let (mut entries, mut at) = (Vec::new(), 0);
    let failed = |entries, error: String| Listing { entries, error: Some(error) };
    loop {
        let (consumed, entry, map) = match parser.parse(&tar[at..]) {
            Ok(ParseEvent::Entry { consumed, entry }) => (consumed, entry, None),
            Ok(ParseEvent::SparseEntry { consumed, entry, sparse_map, real_size }) => {
                let map: Vec<_> = sparse_map.iter().map(|segment| (segment.offset, segment.length)).collect();
                (consumed, entry, Some((map, real_size)))
            }
            Ok(ParseEvent::GlobalExtensions { consumed, .. }) => {
                at += consumed;
                continue;
            }
            Ok(ParseEvent::End { .. }) => return Listing { entries, error: None },
            Ok(ParseEvent::NeedData { .. }) => return failed(entries, "truncated".to_owned()),
            Err(e) => return failed(entries, e.to_string()),
        };
        let (begin, end) = (at + consumed, (at + consumed).saturating_add(entry.size as usize));
        let Some(stored) = tar.get(begin..end) else { return failed(entries, "truncated".to_owned()) };
        let is_label = entry.entry_type.to_byte() == b'V';
        if !is_label {
            entries.push(listed(&entry, stored, map));
        }
        at = begin.saturating_add(entry.padded_size() as usize).min(tar.len());
    }
}

fn listed(entry: &ParsedEntry<'_>, stored: &[u8], map: Option<(Vec<(u64, u64)>, u64)>) -> Listed {
    let kind = match entry.entry_type.to_byte() {
        b'0' | 0 | b'7' | b'S' => "file".to_owned(),
        b'1' => "hard".to_owned(),
        b'2' => "link".to_owned(),
        b'3' => "char".to_owned(),
        b'4' => "block".to_owned(),
        b'5' => "dir".to_owned(),
        b'6' => "fifo".to_owned(),
        other => format!("type b'{}'", other as char),
    };
    let content = match map {
        Some((map, real_size)) => expanded(stored, &map, real_size),
        None => stored.to_vec(),
    };
    let is_file = kind == "file";
    let link = match kind.as_str() {
        "hard" | "link" => entry.link_target.as_deref().unwrap_or_default().to_vec(),
        _ => Vec::new(),
    };
    Listed {
        name: clean(entry.path.to_vec()),
        mode: u64::from(entry.mode & 0o7777),
        size: if is_file { content.len() as u64 } else { 0 },
        mtime: i64::try_from(entry.mtime).ok(),
        // tar-core has whole seconds only.
        nsec: None,
        link: if kind == "hard" { clean(link) } else { link },
        xattrs: Some(entry.xattrs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()),
        content: is_file.then_some(content),
        kind,
    }
}

/// Returns the content of a sparse file. Segments outside of the file or the stored bytes are left out.
fn expanded(mut stored: &[u8], map: &[(u64, u64)], real_size: u64) -> Vec<u8> {
    let mut content = vec![0; real_size.min(1 << 20) as usize];
    for &(offset, length) in map {
        let length = (length as usize).min(stored.len());
        let (segment, rest) = stored.split_at(length);
        if let Some(space) = content.get_mut(offset as usize..(offset as usize).saturating_add(length)) {
            space.copy_from_slice(segment);
        }
        stored = rest;
    }
    content
}
