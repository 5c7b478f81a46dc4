//! `rootfs-diff create`: writes the changes as a diff.

mod oci_layer;
mod podman;
mod tar_output;

use cli::{Exit, Session};

use crate::args::{Create, Format};

pub fn run(args: &Create, session: &Session) -> anyhow::Result<Exit> {
    match args.format {
        Format::Podman => podman::run(args, session),
        Format::Oci => oci_layer::run(args, session),
    }
}
