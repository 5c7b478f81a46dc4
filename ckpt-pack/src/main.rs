//! `ckpt-pack`: packs a CRIU image directory, the files of a bundle and member streams into one
//! checkpoint archive.

mod archive_output;
mod args;
mod bundle;
mod check;
mod containerd_output;
mod criu_images;
mod documents;
mod effects;
mod engine_documents;
mod expect;
mod from_archive;
mod image_description;
mod increment;
mod live;
mod member_stream;
mod namespaces;
mod network;
mod operands;
mod pack;
mod pod;
mod precopy;
mod prepare;
mod sources;

use std::path::Path;
use std::process::ExitCode;

use args::{Args, HABITS, completed};
use bundle::Bundle;
use cli::{Exit, Session, Tool};

fn main() -> ExitCode {
    Tool::new(run).completed(completed).habits(HABITS).run()
}

fn run(args: Args, session: &Session) -> anyhow::Result<Exit> {
    args.reject_without_effect()?;
    if args.verb.check {
        return check::run(&args.check, args.container.runtime.as_deref(), session);
    }
    if args.verb.precopy {
        return precopy::run(&args, session);
    }
    if let Some(file) = &args.input.from_archive {
        return from_archive::run(&args, file, session).map_err(from_archive::explain);
    }
    if let Some(config) = &args.pod.pod_config {
        return pod::run(&args, config, session).map_err(from_archive::explain);
    }
    // clap requires --bundle unless one of these flags is given.
    let bundle = Bundle::open(args.input.bundle.as_deref().unwrap_or(Path::new(".")))?;
    if args.verb.prepare {
        prepare::prepare(&bundle, args.check.mount_label.as_deref())
    } else if args.verb.cleanup {
        prepare::cleanup(&bundle, session)
    } else {
        pack::run(&args, &bundle, session).map_err(explain)
    }
}

/// Adds a hint if an input is a file of another kind.
fn explain(error: anyhow::Error) -> anyhow::Error {
    if error.chain().any(|e| matches!(e.downcast_ref(), Some(checkpoint::Error::DiffForm { .. }))) {
        let layer = "make a layer: rootfs-diff create --format oci -o FILE --rootfs DIR; then --member rootfs-diff.tar=FILE";
        return cli::Hint::on(error, layer);
    }
    from_archive::explain(error)
}
