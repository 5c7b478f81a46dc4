//! One run: reads the input, applies the rules, checks the result and writes it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use cli::{Exit, Hint, Session, usage};

use crate::args::{self, Args};
use crate::input::cgroup_version::CgroupVersion;
use crate::input::rootfs::Rootfs;
use crate::input::{self, InputKind};
use crate::job::Job;
use crate::output::{self, file_conflicts};
use crate::rules::security::{apparmor, security_opt};
use crate::rules::{create, restore};
use crate::runtime_spec::explain::Trace;
use crate::runtime_spec::validate;

/// Reads the input, applies the rules and writes the result.
///
/// # Errors
/// Returns an error before anything is written or any action is carried out, unless an action
/// fails.
pub fn run(mut args: Args, session: &Session) -> anyhow::Result<Exit> {
    args.split_lists();
    security_opt::sort(&mut args.security)?;
    if let Some(bundle) = &args.what.bundle {
        args.output.output = Some(config_json(bundle, args.what.force)?);
    }
    args::conflicts::check(&args)?;
    file_conflicts::check_volumes(&args.mounts)?;
    let cgroups = match args.cgroups.cgroup_version {
        Some(1) => CgroupVersion::V1,
        Some(_) => CgroupVersion::V2,
        None => CgroupVersion::of_host(),
    };
    let document = input::read(&args.input, cgroups, session)?;
    let before = document.spec.clone();
    let mut job = Job {
        trace: Trace::new(args.what.explain, &document.spec),
        spec: document.spec,
        container: document.container,
        rootfs: Rootfs::absent(),
        args: &args,
        session,
        cgroups,
        name: document.name,
        actions: Vec::new(),
        precreate: Vec::new(),
    };
    if args.restore.restore {
        if document.kind != InputKind::Spec {
            return Err(usage(
                "--restore: expected a spec.dump, since a config.dump holds the spec before podman changed it",
            ));
        }
        restore::run(&mut job)?;
    } else {
        create::run(&mut job, document.image.as_ref())?;
    }
    if args.security.check_host {
        if let Some(warning) =
            apparmor::check(&job.spec, args.input.rootless).with_context(|| job.name.clone())?
        {
            session.warn(warning);
        }
    }
    if args.what.validate {
        validate::check(&job.spec, &job.name, session)?;
    }
    if args.what.sort_keys {
        job.spec.sort_keys();
    }
    file_conflicts::check(&args, &job.actions)?;
    output::write(&job, &before)?;
    Ok(Exit::Done)
}

/// Returns the path of config.json in a bundle. Like `runc spec`, keeps an existing file, which the
/// user may have edited.
fn config_json(bundle: &Path, force: bool) -> anyhow::Result<PathBuf> {
    let file = bundle.join("config.json");
    if !force && file.symlink_metadata().is_ok() {
        let error = anyhow::anyhow!("{}: already exists", cli::display_path(&file));
        return Err(Hint::on(error, "add --force to replace it"));
    }
    Ok(file)
}
