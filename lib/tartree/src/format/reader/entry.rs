//! Builds an entry from a header block and the extension headers before it.

use std::io::Read;

use super::items::Reader;
use crate::entry::{Entry, Kind, Meta, SparseMap, Timestamp};
use crate::error::{Error, Result};
use crate::format::encode::padding;
use crate::format::header::Block;
use crate::format::pax::{Extended, SparseRecords};
use crate::format::raw_header::BLOCK;
use crate::format::sparse;
use crate::limits::Limit;
use crate::path::TarPath;

/// One more than the largest device numbers (MINORBITS in linux/kdev_t.h).
const MAJORS: u32 = 1 << 12;
const MINORS: u32 = 1 << 20;

impl<R: Read> Reader<R> {
    /// Returns the entry of `block`, whose content follows.
    pub(super) fn entry(&mut self, block: &Block, mut extended: Extended) -> Result<Entry> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(Error::limit(
                "tar",
                Limit::Entries,
                format!("more than {} entries, the most allowed", self.limits.entries),
            ));
        }
        let mut raw = extended.path.take().unwrap_or_else(|| block.name());
        let sparse_records = std::mem::take(&mut extended.sparse);
        if let Some(name) = sparse_records.name.clone() {
            raw = name;
        }
        let path = TarPath::parse(&raw)?;
        let named = |e: Error| match e {
            Error::Malformed { what, .. } => Error::malformed(&path, what),
            e => e,
        };
        let mut meta = Meta {
            mode: block.mode().map_err(named)?,
            uid: owner(extended.uid, block.uid(), &path)?,
            gid: owner(extended.gid, block.gid(), &path)?,
            mtime: match extended.mtime {
                Some(time) => time,
                None => Timestamp { sec: block.mtime().map_err(named)?, nsec: 0 },
            },
            xattrs: Vec::new(),
        };
        extended.take_xattrs(&mut meta).map_err(named)?;
        let size = match extended.size {
            Some(size) => size,
            None => block.size().map_err(named)?,
        };
        let link = || extended.linkpath.clone().unwrap_or_else(|| block.link().to_vec());
        let rdev = || -> Result<(u32, u32)> {
            let (major, minor) = block.rdev()?;
            let rdev = (extended.rdev_major.unwrap_or(major), extended.rdev_minor.unwrap_or(minor));
            if rdev.0 >= MAJORS || rdev.1 >= MINORS {
                // The kernel would truncate the number and create another device.
                return Err(Error::malformed(&path, format!("no device of Linux: {}:{}", rdev.0, rdev.1)));
            }
            Ok(rdev)
        };
        let flag = block.typeflag();
        let kind = match flag {
            // V7 tars mark a directory only by the slash.
            b'0' | 0 | b'7' if raw.ends_with(b"/") => match size {
                0 => Kind::Dir,
                // Some readers skip the content, others make a file of it, and libarchive reads it as
                // headers.
                _ => return Err(Error::malformed(&path, "a directory with content")),
            },
            b'0' | 0 | b'7' | b'S' => {
                self.begin_content(size, &path)?;
                let map = if flag == b'S' {
                    Some(self.gnu_sparse(block, size).map_err(named)?)
                } else if sparse_records.is_used() {
                    Some(self.pax_sparse(&sparse_records, size).map_err(named)?)
                } else {
                    None
                };
                match map {
                    Some((map, real)) => Kind::File { size: real, map: Some(map) },
                    None => Kind::File { size, map: None },
                }
            }
            b'1' => Kind::HardLink { target: TarPath::parse(&link())? },
            b'2' => match link() {
                target if target.contains(&0) => {
                    return Err(Error::malformed(&path, "target with a NUL byte"));
                }
                target => Kind::Symlink { target },
            },
            b'3' => rdev().map(|(major, minor)| Kind::Char { major, minor })?,
            b'4' => rdev().map(|(major, minor)| Kind::Block { major, minor })?,
            b'5' => Kind::Dir,
            b'D' => {
                // GNU's incremental dump: a directory whose content is a list of names, which is
                // ignored.
                self.begin_content(size, &path)?;
                self.skip_content()?;
                self.stop_recording();
                Kind::Dir
            }
            b'6' => Kind::Fifo,
            other => {
                return Err(Error::Unsupported {
                    object: path.to_string(),
                    what: format!("type '{}' is not known", (other as char).escape_default()),
                });
            }
        };
        if path.is_root() && kind != Kind::Dir {
            return Err(Error::malformed(&path, "the root is not a directory"));
        }
        self.current = path.clone();
        Ok(Entry { path, kind, meta })
    }

    fn begin_content(&mut self, size: u64, path: &TarPath) -> Result<()> {
        self.content = self.content.saturating_add(size);
        if self.content > self.limits.content_bytes {
            return Err(Error::limit(
                path,
                Limit::ContentBytes,
                format!("more than {} bytes of content in all, the most allowed", self.limits.content_bytes),
            ));
        }
        if size > i64::MAX as u64 {
            return Err(Error::malformed(path, format!("size {size} is invalid")));
        }
        self.current = path.clone();
        self.remaining = size;
        self.pad = padding(size);
        Ok(())
    }

    fn gnu_sparse(&mut self, block: &Block, size: u64) -> Result<(SparseMap, u64)> {
        let mut segments = Vec::new();
        let (mut more, real) = block.gnu_sparse(&mut segments)?;
        while more {
            let mut bytes = [0; BLOCK];
            // Extension blocks precede the data and are not included in its size.
            self.read_block(&mut bytes, "sparse header")?;
            more = block.gnu_sparse_extension(&bytes, &mut segments)?;
            if segments.len() > self.limits.sparse_segments {
                return Err(Error::limit(
                    "sparse map",
                    Limit::SparseSegments,
                    format!("more than {} segments", self.limits.sparse_segments),
                ));
            }
        }
        Ok((sparse::checked(segments, real, size)?, real))
    }

    fn pax_sparse(&mut self, records: &SparseRecords, size: u64) -> Result<(SparseMap, u64)> {
        let bad = |what| Error::malformed("sparse map", what);
        let real = records.realsize.ok_or_else(|| bad("no real size"))?;
        if records.major == Some(1) {
            let limits = self.limits.clone();
            let (segments, taken) = sparse::read_map(
                |block| {
                    if self.remaining < BLOCK as u64 {
                        return Err(bad("map longer than the data"));
                    }
                    self.read_block(block, "sparse map")?;
                    self.remaining -= BLOCK as u64;
                    Ok(())
                },
                &limits,
            )?;
            return Ok((sparse::checked(segments, real, size - taken)?, real));
        }
        if records.numbers.len() % 2 != 0 {
            return Err(bad("odd number of offsets and lengths"));
        }
        let segments = records.numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        Ok((sparse::checked(segments, real, size)?, real))
    }
}

fn owner(extended: Option<u32>, block: Result<u32>, path: &TarPath) -> Result<u32> {
    let id = match extended {
        Some(id) => id,
        None => block.map_err(|_| Error::malformed(path, "owner is invalid"))?,
    };
    // chown(2) interprets this ID as "do not change".
    if id == u32::MAX {
        return Err(Error::malformed(path, "owner 4294967295 is not an id"));
    }
    Ok(id)
}
