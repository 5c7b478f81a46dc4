//! One archive of a chain: the facts that a first pass finds, and its pages in a second pass.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::rc::Rc;

use tartree::{Kind, TarPath};

use super::header::{Header, io_error, pages_name, pages_number};
use super::stored::{Form, StoredPages};
use crate::archive::{ArchiveFile, MemberContent, OwnedMembers};
use crate::config_dump::ConfigDump;
use crate::criu::incremental::{Cursor, HashedReader, ImagesDigest, MemoryImage, Pagemap, Spool};
use crate::delta::{Delta, ImagesId};
use crate::error::{Error, Result};
use crate::member::Member;

/// How often one archive is read from its start again, because its images are in another order than
/// those of the archive that needs them.
const MAX_REREADS: u32 = 64;

/// The pagemaps of an archive.
#[derive(Default)]
pub struct Pagemaps {
    by_name: BTreeMap<String, Pagemap>,
    by_pages: BTreeMap<u32, String>,
}

impl Pagemaps {
    /// Adds a pagemap.
    ///
    /// # Errors
    /// Returns an error if another pagemap refers to the same pages.
    pub fn add(&mut self, pagemap: Pagemap) -> Result<()> {
        let name = pagemap.name().to_owned();
        if let Some(other) = self.by_pages.insert(pagemap.pages_id(), name.clone()) {
            return Err(Error::member(&name, format!("refers to the same pages as {other}")));
        }
        self.by_name.insert(name, pagemap);
        Ok(())
    }

    /// Returns the pagemap that refers to the image `name` with the pages `number`.
    ///
    /// # Errors
    /// Returns an error if there is none.
    pub fn of_pages(&self, name: &str, number: u32) -> Result<&Pagemap> {
        let pagemap = self.by_pages.get(&number).and_then(|name| self.by_name.get(name));
        pagemap.ok_or_else(|| Error::member(name, "no pagemap precedes it"))
    }

    /// Returns the names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    fn get(&self, name: &str) -> Option<&Pagemap> {
        self.by_name.get(name).filter(|pagemap| pagemap.present() > 0)
    }
}

/// One archive of a chain.
pub struct Level {
    archive: ArchiveFile,
    /// The document that names the base.
    pub delta: Option<Delta>,
    /// The configuration of the container.
    pub config: ConfigDump,
    /// The pagemaps.
    pub pagemaps: Pagemaps,
    /// The digest of the images that are not stored as XOR.
    pub digest: ImagesDigest,
    /// Whether the archive has directories `parent`.
    pub(super) has_parents: bool,
    /// The images that are stored as XOR, by their numbers.
    encoded: BTreeMap<u32, Header>,
    /// The numbers of these images in the order of the archive.
    pub(super) order: Vec<u32>,
    /// The sizes of the other `pages` images.
    plain: BTreeMap<u32, u64>,
    members: Option<Rc<RefCell<OwnedMembers>>>,
    rereads: u32,
    /// The image that is being read.
    open: Option<OpenImage>,
    /// A buffer for a page of the base.
    pub(super) theirs: Vec<u8>,
}

/// An image that is being read.
struct OpenImage {
    pages: StoredPages<MemberContent<Shared>>,
    cursor: Cursor,
}

/// Reads the current member of an archive.
pub(super) struct Shared(Rc<RefCell<OwnedMembers>>);

impl Read for Shared {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().content().read(buf)
    }
}

impl Level {
    /// Reads the complete archive once, and keeps its pagemaps in `spool`.
    ///
    /// # Errors
    /// Returns an error if the archive cannot be read or read twice, or if an image is damaged. The
    /// caller adds the name of the archive.
    pub fn survey(archive: ArchiveFile, spool: &mut Spool) -> Result<Level> {
        let mut level = Level {
            archive,
            delta: None,
            config: ConfigDump::default(),
            pagemaps: Pagemaps::default(),
            digest: ImagesDigest::default(),
            has_parents: false,
            encoded: BTreeMap::new(),
            order: Vec::new(),
            plain: BTreeMap::new(),
            members: None,
            rereads: 0,
            open: None,
            theirs: Vec::new(),
        };
        let mut reader = level.archive.reread()?;
        while let Some((member, entry)) = reader.next()? {
            let limit = member.document_limit();
            let bound = reader.bound();
            let mut content = MemberContent::new(&entry.kind, reader.content(), bound);
            match &member {
                Member::ConfigDump => level.config = ConfigDump::read(&document(&member, limit, content)?)?,
                Member::Images(_) if member.is_delta() => {
                    level.delta = Some(Delta::read(&document(&member, limit, content)?)?);
                }
                Member::Images(path) => {
                    let parent = TarPath::root().child(b"parent");
                    level.has_parents |= path.starts_with(&parent);
                    level.image(path, &entry.kind, &mut content, spool)?;
                }
                _ => {}
            }
        }
        reader.finish()?;
        if !level.order.is_empty() && !level.is_xor() {
            return Err(Error::member(Delta::member(), "missing, but the pages are stored as XOR"));
        }
        for (number, header) in &level.encoded {
            let name = pages_name(*number);
            header.check(&name, level.pagemaps.of_pages(&name, *number)?)?;
        }
        Ok(level)
    }

    fn image(
        &mut self,
        path: &TarPath,
        kind: &Kind,
        content: &mut impl Read,
        spool: &mut Spool,
    ) -> Result<()> {
        if let Some(number) = pages_number(path.as_bytes()) {
            self.encoded.insert(number, Header::read(&path.to_string(), kind.len(), content)?);
            self.order.push(number);
            return Ok(());
        }
        let Some((0, image)) = MemoryImage::of(path.as_bytes()) else { return Ok(()) };
        let fail = |e: io::Error| Error::member(path, e);
        let mut hashed = HashedReader::new(content);
        match image {
            MemoryImage::Pagemap(name) => {
                let bytes = spool.append(&mut hashed).map_err(fail)?;
                self.pagemaps.add(Pagemap::read(name, bytes)?)?;
            }
            MemoryImage::Pages(number) => {
                self.plain.insert(number, kind.len());
                hashed.drain().map_err(fail)?;
            }
        }
        self.digest.add(&path.to_string(), hashed);
        Ok(())
    }

    /// Returns the archive's name for messages.
    pub fn name(&self) -> &str {
        self.archive.name()
    }

    /// Returns whether the pages are stored as XOR with those of a base.
    pub fn is_xor(&self) -> bool {
        self.delta.as_ref().is_some_and(Delta::is_xor)
    }

    /// Returns the ID of the images. If they are stored as XOR, it is the one that the archive
    /// claims.
    pub fn id(&self) -> ImagesId {
        match &self.delta {
            Some(Delta { id: Some(id), .. }) => id.clone(),
            delta => {
                self.digest.finish(delta.as_ref().and_then(|delta| delta.base.as_ref()).map(|base| &base.id))
            }
        }
    }

    /// Starts to read the pages of the pagemap `name`. Returns the header of the image, or `None` if
    /// the archive has no pages of this process.
    pub(super) fn start(&mut self, name: &str) -> Result<Option<Header>> {
        self.open = None;
        let Some(pagemap) = self.pagemaps.get(name) else { return Ok(None) };
        let number = pagemap.pages_id();
        let encoded = self.encoded.get(&number).copied();
        let header = match (encoded, self.plain.get(&number)) {
            (Some(header), _) => header,
            (None, Some(size)) => {
                let page_size = pagemap.page_size(*size)?;
                let pages = pagemap.present();
                let rest = size.saturating_sub(pages.saturating_mul(page_size));
                Header { page_size, pages, rest, has_base: false }
            }
            (None, None) => return Ok(None),
        };
        let path = match encoded {
            Some(_) => pages_name(number),
            None => format!("pages-{number}.img"),
        };
        let cursor = Cursor::new(pagemap, header.page_size)?;
        let mut content = self.member(&path)?;
        let pages = match encoded {
            Some(_) => {
                let again = Header::read(&path, header.stored().unwrap_or(0), &mut content)?;
                StoredPages::xor(content, again)
            }
            None => StoredPages::plain(content, header),
        };
        self.open = Some(OpenImage { pages, cursor });
        Ok(Some(header))
    }

    /// Returns the content of the image at `path`. Reads on if the image follows, or else starts
    /// again.
    fn member(&mut self, path: &str) -> Result<MemberContent<Shared>> {
        let wanted = Member::Images(TarPath::root().child(path.as_bytes()));
        let is_over = self.members.as_ref().is_some_and(|members| members.borrow().seen().contains(&wanted));
        if is_over && self.rereads >= MAX_REREADS {
            return Err(self.fault("has its images in another order"));
        }
        if is_over {
            self.members = None;
            self.rereads += 1;
        }
        let members = match &self.members {
            Some(members) => Rc::clone(members),
            None => Rc::new(RefCell::new(self.archive.reread()?)),
        };
        self.members = Some(Rc::clone(&members));
        loop {
            let next = members.borrow_mut().next()?;
            match next {
                Some((member, entry)) if member == wanted => {
                    let bound = members.borrow().bound();
                    return Ok(MemberContent::new(&entry.kind, Shared(members), bound));
                }
                Some(_) => {}
                None => return Err(self.fault(format!("{wanted}: changed while it was read"))),
            }
        }
    }

    /// Whether the images can be read from the start once more.
    pub(super) fn may_reread(&self) -> bool {
        self.rereads < MAX_REREADS
    }

    /// Reads the page at `vaddr`, as it is stored. Returns `None` if the archive does not have the
    /// page. Each call must have a higher address than the call before.
    pub(super) fn page(&mut self, vaddr: u64, page: &mut [u8]) -> io::Result<Option<Form>> {
        let Some(OpenImage { pages, cursor }) = &mut self.open else { return Ok(None) };
        let mut number = None;
        cursor
            .parts(vaddr, 1, &mut |part| {
                number = part.run.is_present().then_some(part.first);
                Ok(())
            })
            .map_err(io_error)?;
        let Some(number) = number else { return Ok(None) };
        pages.skip_to(number)?;
        pages.read_page(page).map(Some)
    }

    /// Returns the image that [`start`](Level::start) found, which is then no longer looked up.
    pub(super) fn take_pages(&mut self) -> Option<StoredPages<MemberContent<Shared>>> {
        self.open.take().map(|open| open.pages)
    }

    /// Returns whether the image that is being read needs a base.
    pub(super) fn has_base(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.pages.header().has_base)
    }

    pub(super) fn fault(&self, what: impl ToString) -> Error {
        Error::member(self.name(), what)
    }
}

fn document(member: &Member, limit: u64, content: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    content.take(limit + 1).read_to_end(&mut bytes).map_err(|e| Error::member(member, e))?;
    match bytes.len() as u64 > limit {
        true => Err(Error::member(member, format!("larger than {limit} bytes"))),
        false => Ok(bytes),
    }
}
