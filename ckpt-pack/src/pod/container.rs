//! Checks the archive of a container while it is read.

use std::io::{self, Read};

use checkpoint::Member;
use checkpoint::archive::{ArchiveReader, Unknown, missing};
use checkpoint::compress::{Bound, Compression};
use checkpoint::criu::check::{Copied, Watched};
use checkpoint::delta::Delta;
use cli::{Hint, Session};
use tartree::{Kind, Limits};

use crate::from_archive::check_images;

/// Reads an archive to its end, and passes its bytes to `pass`. Returns their number.
///
/// # Errors
/// Returns an error if `pass` fails, or if the archive is not that of a complete checkpoint.
pub fn copy(
    input: impl Read,
    limits: &Limits,
    pass: &mut dyn FnMut(&[u8]) -> checkpoint::Result<()>,
    session: &Session,
) -> anyhow::Result<u64> {
    let (mut bytes, mut failed) = (0, None);
    let tee = Tee { input, pass, bytes: &mut bytes, failed: &mut failed };
    let read = ArchiveReader::bounded(tee, Unknown::Keep, limits.clone(), Bound::default());
    let checked = read.map_err(anyhow::Error::from).and_then(|reader| check(reader, session));
    match failed {
        Some(e) => Err(e.into()),
        None => checked.map(|()| bytes),
    }
}

/// Checks that an archive is that of a complete checkpoint, which can be restored alone.
///
/// # Errors
/// Returns an error if it is not, or cannot be read.
pub fn check<R: Read>(mut reader: ArchiveReader<R>, session: &Session) -> anyhow::Result<()> {
    let mut images = Copied::default();
    let (mut base, mut has_link, mut dumped, mut has_earlier) = (None, false, false, false);
    if reader.compression() != Compression::None {
        anyhow::bail!("is compressed twice");
    }
    while let Some((member, entry)) = reader.next()? {
        match &member {
            Member::Images(_) if member.is_delta() => {
                let name = member.to_string();
                let bytes = cli::read_document(reader.content(), &name, member.document_limit())?;
                base = Delta::read(&bytes)?.base;
            }
            Member::Images(_) => {
                dumped = true;
                images.add(&member, &entry.kind, &mut reader.content())?;
                let mut content = Watched::new(&member, &entry.kind, reader.content());
                if content.has_pages() {
                    io::copy(&mut content, &mut io::sink())?;
                    images.watched(&content);
                }
                has_link |= matches!(entry.kind, Kind::Symlink { .. });
            }
            Member::PreImages(_) => has_earlier = true,
            _ => {}
        }
    }
    if let Some(base) = base {
        let e = anyhow::anyhow!("checkpoint/delta.json: the archive is incremental, it needs {}", base.id);
        let hint =
            "combine it with its base first: ckpt-pack --from-archive ARCHIVE --base FILE --flatten -o FULL";
        return Err(Hint::on(e, hint));
    }
    if !dumped && has_earlier {
        anyhow::bail!("pre-checkpoint/: is the archive of a pre-checkpoint, expected a complete checkpoint");
    }
    if let Some(missing) = missing(reader.seen(), false).into_iter().next() {
        anyhow::bail!(missing);
    }
    if has_link && !has_earlier {
        anyhow::bail!(
            "checkpoint/parent: these images need a pre-checkpoint, expected a complete checkpoint"
        );
    }
    match reader.finish_counting()?.other {
        0 => check_images(&mut images, session),
        n => anyhow::bail!("{n} bytes after the end of the archive"),
    }
}

/// A reader that passes on every byte it returns.
struct Tee<'t, R> {
    input: R,
    pass: &'t mut dyn FnMut(&[u8]) -> checkpoint::Result<()>,
    bytes: &'t mut u64,
    failed: &'t mut Option<checkpoint::Error>,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buf)?;
        if let Err(e) = (self.pass)(&buf[..got]) {
            *self.failed = Some(e);
            return Err(io::Error::other("the output failed"));
        }
        *self.bytes += got as u64;
        Ok(got)
    }
}
