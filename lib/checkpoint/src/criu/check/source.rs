//! Where images are read from: a directory, or what was kept of an archive while it was read.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::rc::Rc;

use tartree::{Kind, Notice, Root, SparseMap, Status, TarPath, Visit, Walk};

use super::kinds::Form;
use crate::criu::image_file::IMAGE_LIMIT;

/// The number of bytes at the start of an image that hold its magic numbers.
const HEAD: u64 = 8;
/// The largest size of all images of an archive that are kept in memory, in bytes. The images of a
/// process without its memory have some tens of kilobytes.
const KEPT_LIMIT: u64 = 96 << 20;

/// The content of an image.
#[derive(Clone, Debug)]
pub struct Image {
    /// The content, or at least its first eight bytes if the image is not complete.
    pub bytes: Rc<Vec<u8>>,
    /// Whether `bytes` is the complete content. Large images, and images of which only the magic
    /// number is checked, are not read completely.
    pub complete: bool,
}

/// A set of images. Names are relative to the directory of the images.
pub trait Source {
    /// Reads the image `name`. Returns `None` if it does not exist.
    ///
    /// # Errors
    /// Returns an error if the image cannot be read.
    fn read(&mut self, name: &str) -> io::Result<Option<Image>>;

    /// Returns the size of the image `name` in bytes, or `None` if it does not exist.
    ///
    /// # Errors
    /// Returns an error if the image cannot be read.
    fn size(&mut self, name: &str) -> io::Result<Option<u64>>;

    /// Returns the offset in the image `name` after the last byte that is not zero, or an upper
    /// bound of it that is not beyond the end of the image.
    ///
    /// # Errors
    /// Returns an error if the image cannot be read.
    fn end_of_data(&mut self, name: &str) -> io::Result<u64>;

    /// Returns the names of all files that are directly in the directory of the images, sorted.
    fn names(&mut self) -> Vec<String>;
}

/// A directory of images.
impl Source for Root {
    fn read(&mut self, name: &str) -> io::Result<Option<Image>> {
        let Some(file) = found(self.open_file(&path(name)?))? else { return Ok(None) };
        let mut bytes = Vec::new();
        let limit = if is_checked_by_head(name) { HEAD } else { IMAGE_LIMIT + 1 };
        file.take(limit).read_to_end(&mut bytes)?;
        let complete = (bytes.len() as u64) < limit;
        Ok(Some(Image { bytes: Rc::new(bytes), complete }))
    }

    fn size(&mut self, name: &str) -> io::Result<Option<u64>> {
        let path = path(name)?;
        let (directory, name) = match found(self.parent(&path))? {
            Some(parent) => parent,
            None => return Ok(None),
        };
        Ok(found(Status::at(directory, name))?.map(|status| status.size()))
    }

    fn end_of_data(&mut self, name: &str) -> io::Result<u64> {
        let mut file = self.open_file(&path(name)?)?;
        let (mut end, mut buffer) = (file.metadata()?.len(), vec![0; 1 << 18]);
        // Reads from the end, because the zeros are short compared to the pages.
        while end > 0 {
            let start = end.saturating_sub(buffer.len() as u64);
            let part = usize::try_from(end - start).unwrap_or(0);
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(&mut buffer[..part])?;
            if let Some(last) = buffer[..part].iter().rposition(|&byte| byte != 0) {
                return Ok(start + last as u64 + 1);
            }
            end = start;
        }
        Ok(0)
    }

    fn names(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        let all = |path: &TarPath, status: &Status| {
            if path.is_root() {
                return Visit::Take;
            }
            if let (Ok(name), false) = (std::str::from_utf8(path.as_bytes()), status.is_dir()) {
                found.push(name.to_owned());
            }
            Visit::Skip
        };
        // Packing and unpacking the directory report errors of the directory itself.
        let Ok(mut walk) = Walk::new(self, all) else { return Vec::new() };
        while let Ok(Some(_)) = walk.next(&mut |_: Notice| {}) {}
        drop(walk);
        found.sort();
        found
    }
}

/// The images of an archive. An archive is read once and in order, so the images are kept until
/// all of them are known.
#[derive(Debug, Default)]
pub struct Collected {
    images: BTreeMap<String, Kept>,
    /// The bytes in `images`.
    kept: u64,
}

/// What is kept of an image.
#[derive(Debug)]
struct Kept {
    image: Image,
    size: u64,
    /// The result of [`Source::end_of_data`].
    data: u64,
}

impl Collected {
    /// Adds the image `name`. `content` is its content, with its holes as zeros.
    ///
    /// # Errors
    /// Returns an error if the content cannot be read.
    pub fn add(&mut self, name: &str, kind: &Kind, content: &mut impl Read) -> io::Result<()> {
        let size = kind.len();
        let fits = size <= IMAGE_LIMIT && self.kept.saturating_add(size) <= KEPT_LIMIT;
        let complete = fits && !is_checked_by_head(name);
        let mut bytes = Vec::new();
        content.take(if complete { size } else { HEAD }).read_to_end(&mut bytes)?;
        self.kept = self.kept.saturating_add(bytes.len() as u64);
        let data = match kind {
            // The holes of a hostile archive may be too large to be read.
            Kind::File { map: Some(map), .. } => end_of_map(map),
            _ if is_pages(name) => end_of_data(&bytes, content)?,
            _ => size,
        };
        let image = Image { bytes: Rc::new(bytes), complete };
        self.images.insert(name.to_owned(), Kept { image, size, data });
        Ok(())
    }

    /// Adds an image of memory pages, of which only the size is known. All bytes after the pages
    /// that a pagemap announces are assumed to be zeros, which CRIU does not read, unless
    /// [`set_end_of_data`](Collected::set_end_of_data) adds where the data ends.
    pub fn add_unread(&mut self, name: &str, size: u64) {
        let image = Image { bytes: Rc::default(), complete: false };
        self.images.insert(name.to_owned(), Kept { image, size, data: 0 });
    }

    /// Sets the offset after the last byte of the image `name` that is not zero.
    pub fn set_end_of_data(&mut self, name: &str, data: u64) {
        if let Some(kept) = self.images.get_mut(name) {
            kept.data = data;
        }
    }

    /// Returns whether no image was added.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }
}

impl Source for Collected {
    fn read(&mut self, name: &str) -> io::Result<Option<Image>> {
        Ok(self.images.get(name).map(|kept| kept.image.clone()))
    }

    fn size(&mut self, name: &str) -> io::Result<Option<u64>> {
        Ok(self.images.get(name).map(|kept| kept.size))
    }

    fn end_of_data(&mut self, name: &str) -> io::Result<u64> {
        self.images.get(name).map(|kept| kept.data).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn names(&mut self) -> Vec<String> {
        self.images.keys().filter(|name| !name.contains('/')).cloned().collect()
    }
}

/// Returns whether only the start of the image `name` is checked: memory pages, other data of
/// processes, and file systems, all of which may be large.
fn is_checked_by_head(name: &str) -> bool {
    match name.rsplit('/').next().map(Form::of) {
        Some(Some(form)) => !matches!(form, Form::Messages(_)),
        _ => !is_of_process(name),
    }
}

/// Returns whether `name` is an image of messages that [`Form::of`] does not know, because the
/// check reads its messages.
fn is_of_process(name: &str) -> bool {
    const KINDS: [&str; 8] = ["inventory", "pstree", "core-", "mm-", "pagemap-", "fs-", "ids-", "fdinfo-"];
    let name = name.rsplit('/').next().unwrap_or(name);
    KINDS.iter().any(|kind| name.starts_with(kind))
}

pub(super) fn is_pages(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|name| name.starts_with("pages-"))
}

/// Returns the offset after the last part of a sparse file that is not a hole.
pub(super) fn end_of_map(map: &SparseMap) -> u64 {
    map.0.last().map_or(0, |(start, len)| start.saturating_add(*len))
}

/// Returns the offset after the last byte that is not zero, in `head` and then `rest`.
fn end_of_data(head: &[u8], rest: &mut impl Read) -> io::Result<u64> {
    let last = |bytes: &[u8]| bytes.iter().rposition(|&byte| byte != 0).map(|last| last as u64 + 1);
    let (mut at, mut end) = (head.len() as u64, last(head).unwrap_or(0));
    let mut buffer = vec![0; 1 << 18];
    loop {
        let got = match rest.read(&mut buffer) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            got => got?,
        };
        if got == 0 {
            return Ok(end);
        }
        if let Some(last) = last(&buffer[..got]) {
            end = at + last;
        }
        at += got as u64;
    }
}

fn path(name: &str) -> io::Result<TarPath> {
    TarPath::parse(name.as_bytes()).map_err(io::Error::other)
}

/// Turns the error that a file does not exist into `None`.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_start_of_large_images_is_read() {
        for (name, by_head, pages) in [
            ("pages-1.img", true, true),
            ("parent/pages-1.img", true, true),
            ("ghost-file-1.img", true, false),
            ("tmpfs-dev-22.tar.gz.img", true, false),
            ("core-1.img", false, false),
            ("parent/pagemap-1.img", false, false),
            ("inventory.img", false, false),
            ("files.img", false, false),
        ] {
            assert_eq!((is_checked_by_head(name), is_pages(name)), (by_head, pages), "{name}");
        }
    }

    #[test]
    fn data_ends_with_the_last_byte_that_is_not_zero() {
        for (head, rest, end) in [
            (&b""[..], &b""[..], 0),
            (b"\0\0", b"", 0),
            (b"a\0", b"", 1),
            (b"a\0", b"\0\0", 1),
            (b"\0", b"\0b\0", 3),
        ] {
            assert_eq!(end_of_data(head, &mut &rest[..]).unwrap(), end, "{head:?} {rest:?}");
        }
        let mut far = vec![0; 1 << 19];
        far[(1 << 18) + 5] = 1;
        assert_eq!(end_of_data(b"abc", &mut &far[..]).unwrap(), 3 + (1 << 18) + 6);
    }
}
