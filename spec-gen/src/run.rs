//! One run: read, apply the rules, check, write.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use cli::{Exit, Hint, Output, Session, usage};
use serde::Serialize;
use serde_json::Value;

use crate::actions::Action;
use crate::args::{self, Args, WhatArgs};
use crate::cgroups::Version;
use crate::container::Container;
use crate::explain::Trace;
use crate::input::{self, Kind};
use crate::rootfs::Rootfs;
use crate::spec::Spec;
use crate::{apparmor, diff, generate, outputs, restore, security, validate};

/// What the rules work on.
pub struct Job<'a> {
    pub spec: Spec,
    pub container: Container,
    pub rootfs: Rootfs,
    pub args: &'a Args,
    pub session: &'a Session,
    pub cgroups: Version,
    /// The input's name in messages.
    pub name: String,
    pub trace: Trace,
    pub actions: Vec<Action>,
    /// Hooks that change the finished spec: their file and program.
    pub precreate: Vec<(String, Value)>,
}

/// Reads the input, applies the rules, writes the result.
///
/// # Errors
/// Nothing is written then, and no action was done, unless an action failed.
pub fn run(mut args: Args, session: &Session) -> anyhow::Result<Exit> {
    args.split_lists();
    security::sort_options(&mut args.security)?;
    if let Some(bundle) = &args.what.bundle {
        args.output.output = Some(config_json(bundle, args.what.force)?);
    }
    args::effect::check(&args)?;
    outputs::check_volumes(&args.mounts)?;
    let cgroups = match args.cgroups.cgroup_version {
        Some(1) => Version::V1,
        Some(_) => Version::V2,
        None => Version::of_host(),
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
        if document.kind != Kind::Spec {
            return Err(usage(
                "--restore wants a spec.dump: a config.dump holds the spec before podman changed it",
            ));
        }
        restore::run(&mut job)?;
    } else {
        generate::run(&mut job, document.image.as_ref())?;
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
    outputs::check(&args, &job.actions)?;
    finish(&job, &before)?;
    Ok(Exit::Done)
}

/// The file of a bundle. As with `runc spec` one that is there stays: somebody may have worked on it.
fn config_json(bundle: &Path, force: bool) -> anyhow::Result<PathBuf> {
    let file = bundle.join("config.json");
    if !force && file.symlink_metadata().is_ok() {
        let error = anyhow::anyhow!("{}: there already", cli::name(&file));
        return Err(Hint::on(error, "add --force to replace it"));
    }
    Ok(file)
}

fn finish(job: &Job<'_>, before: &Spec) -> anyhow::Result<()> {
    let what = &job.args.what;
    let text = if what.explain {
        job.trace.lines().iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    } else if what.diff {
        diff::unified(&pretty(before.value())?, &pretty(job.spec.value())?, &job.name)
    } else {
        render(job.spec.value(), what)?
    };
    // An output that cannot be written is found before anything is done, and written after: who has it, has it all.
    let mut output = job.args.output.text()?;
    if let Some(file) = &what.actions {
        let mut list = Output::text(Some(file))?;
        for action in &job.actions {
            writeln!(list, "{}", action.to_value())?;
        }
        list.commit()?;
    }
    if what.apply {
        for action in &job.actions {
            job.session.detail(format_args!("{}", action.to_value()));
            action.apply()?;
        }
    } else if what.actions.is_none() {
        for action in &job.actions {
            job.session.warn(format_args!("not done without --apply: {}", action.to_value()));
        }
    }
    output.write_all(text.as_bytes())?;
    output.commit()
}

fn render(spec: &Value, what: &WhatArgs) -> anyhow::Result<String> {
    if what.compact { Ok(format!("{spec}\n")) } else { pretty(spec) }
}

/// With tabs, as `runc spec` writes it.
fn pretty(value: &Value) -> anyhow::Result<String> {
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, format))?;
    text.push(b'\n');
    Ok(String::from_utf8(text)?)
}
