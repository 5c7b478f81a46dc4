//! Opens what an archive is packed from, after CRIU has written its images.

use std::path::{Path, PathBuf};

use checkpoint::Member;
use cli::Session;
use tartree::Timestamp;

use crate::args::{Args, Format};
use crate::bundle::Bundle;
use crate::containerd_output;
use crate::criu_images::{Dump, Images, Zeros};
use crate::documents::Documents;
use crate::increment::Increment;
use crate::live::Live;
use crate::member_stream::MemberStream;
use crate::namespaces::Namespaces;
use crate::pack::archive_time;
use checkpoint::stream::Ending;

/// The sources of an archive.
pub struct Sources {
    pub images: Images,
    /// The time of the members.
    pub time: Timestamp,
    pub documents: Documents,
    pub namespaces: Option<Namespaces>,
    pub streams: Vec<MemberStream>,
}

impl Sources {
    /// Opens and checks the images in the directory of `dump`, creates the documents and opens the
    /// member streams.
    ///
    /// # Errors
    /// Returns an error if CRIU cannot restore the images, or if an input is missing or damaged.
    pub fn open(
        args: &Args,
        bundle: &Bundle,
        files: &[(Member, PathBuf)],
        (image_path, dump, zeros): (&Path, Dump, Zeros),
        live: Option<&mut Live>,
        session: &Session,
    ) -> anyhow::Result<Sources> {
        let mut images = Images::open(image_path, dump, zeros)?;
        images.check(session)?;
        let time = archive_time(images.time())?;
        let documents = Documents::gather(
            bundle,
            files,
            &args.container,
            &args.image,
            (image_path, dump),
            time,
            session,
        )?;
        if args.image.format == Format::Ctr {
            containerd_output::check_config(&documents.config)?;
        }
        if !args.incremental.base.is_empty() {
            images.leave_out(Increment::plan(args, image_path, &documents.config, bundle.dir(), session)?);
        }
        let namespaces = match dump {
            Dump::Full | Dump::SincePrevious => Some(Namespaces::read(image_path, &documents.spec, session)?),
            Dump::Pre | Dump::Artifacts => None,
        };
        let ending = if args.input.raw_members { Ending::Raw } else { Ending::Proved };
        let streams = match live {
            Some(live) => live.streams(),
            None => {
                let open = |path: &PathBuf| MemberStream::open(path, ending);
                args.input.streams.iter().map(open).collect::<Result<Vec<_>, _>>()?
            }
        };
        Ok(Sources { images, time, documents, namespaces, streams })
    }
}
