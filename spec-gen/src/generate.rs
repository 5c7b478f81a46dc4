//! The rules in their order: what podman's `generateSpec` does, as a function from a spec to a spec.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use cli::{Exit, Hint, Output, Session, usage};
use serde::Serialize;

use crate::args::{Args, MountArgs};
use crate::cgroups::Version;
use crate::explain::Trace;
use crate::input::{self, Kind};
use crate::mounts::{self, Mount};
use crate::namespaces::Mode;
use crate::restore::{self, Targets};
use crate::rootfs::Rootfs;
use crate::spec::Spec;
use crate::user::{self, Accounts};
use crate::volumes::{self, Volume};
use crate::{env, namespaces, process};

/// Reads the input, applies the rules, writes the result.
pub fn run(args: Args, session: &Session) -> anyhow::Result<Exit> {
    let cgroups = match args.cgroups.cgroup_version {
        Some(1) => Version::V1,
        Some(_) => Version::V2,
        None => Version::of_host(),
    };
    let document = input::read(&args.input, cgroups, session)?;
    let mut spec = document.spec;
    let mut trace = Trace::new(args.what.explain, &spec);
    if args.restore.restore {
        if document.kind == Kind::Default {
            return Err(usage("--restore wants the spec.dump of a checkpoint, not --new"));
        }
        restore(&mut spec, &args, &document.name, &mut trace, session)?;
    } else {
        generate(&mut spec, &args, &mut trace, session)?;
    }
    write(&spec, &trace, &args)?;
    Ok(Exit::Done)
}

fn generate(spec: &mut Spec, args: &Args, trace: &mut Trace, session: &Session) -> anyhow::Result<()> {
    let rootfs = set_root(spec, args)?;
    trace.because(spec, || "--rootfs".into());

    for (kind, mode) in namespace_flags(args) {
        if let Some(mode) = mode {
            namespaces::apply(spec, kind, &mode, &args.namespaces.container_pid)?;
            trace.because(spec, || format!("--{} {mode:?}", flag_name(kind)));
        }
    }
    process::apply(spec, &args.process, &args.args)?;
    trace.because(spec, || "process flags".into());

    // A spec whose mounts nobody touches keeps their order: no flags, no change.
    let mounts_before = spec.mounts().to_vec();
    for destination in &args.mounts.mount_remove {
        remove_mount(spec, destination)?;
        trace.because(spec, || format!("--mount-remove {destination}"));
    }
    for mount in flag_mounts(&args.mounts)? {
        mounts::put(spec, &mount);
        trace.because(spec, || "mount flags".into());
    }
    for (destination, source) in bind_files(&args.mounts)? {
        if mounts::find(spec, &destination)
            .is_none_or(|m| destination == "/dev/shm" && mounts::kind(m) == "tmpfs")
        {
            let mut mount = Mount::bind(&source, &destination, &["bind", "rprivate"]);
            if destination == "/dev/shm" {
                mount.options.extend(["nosuid", "noexec", "nodev"].map(str::to_owned));
            }
            mounts::put(spec, &mount);
            trace.because(spec, || format!("--bind-mount {destination}"));
        }
    }
    if let Some(read_only) = args.mounts.read_only {
        spec.set("root.readonly", read_only);
        trace.because(spec, || "--read-only".into());
    }
    if let Some(wanted) = &args.process.user {
        let accounts = Accounts::read(spec, &[], &rootfs)?;
        for line in accounts.ignored() {
            session.warn(line);
        }
        let user = accounts.look_up(wanted).with_context(|| format!("--user {wanted}"))?;
        spec.remove("process.user.additionalGids");
        user::set(spec, &user);
        if !wanted.contains(':') {
            for gid in &user.groups {
                user::add_gid(spec, *gid);
            }
        }
        user::set_home(spec, user.home.as_deref());
        trace.because(spec, || format!("--user {wanted}: {}", user.found));
    }
    if let Some(hostname) = &args.namespaces.hostname {
        set_hostname(spec, hostname)?;
        trace.because(spec, || "--hostname".into());
    }
    if *spec.mounts() != *mounts_before {
        settle_mounts(spec, &rootfs, trace, session)?;
    }
    set_cgroups_path(spec, args);
    trace.because(spec, || "--cgroups-path".into());
    Ok(())
}

/// What follows from a changed list of mounts.
fn settle_mounts(
    spec: &mut Spec,
    rootfs: &Rootfs,
    trace: &mut Trace,
    session: &Session,
) -> anyhow::Result<()> {
    for destination in mounts::resolve_tmpfs(spec, rootfs)? {
        session.warn(format_args!("{destination}: two tmpfs end there, the later one is kept"));
    }
    trace.because(spec, || "tmpfs destinations have their links resolved".into());
    mounts::sort(spec);
    trace.because(spec, || "parents are mounted before children".into());
    mounts::root_propagation(spec);
    trace.because(spec, || "mount propagation".into());
    Ok(())
}

fn restore(
    spec: &mut Spec,
    args: &Args,
    name: &str,
    trace: &mut Trace,
    session: &Session,
) -> anyhow::Result<()> {
    set_root(spec, args)?;
    trace.because(spec, || "--rootfs".into());
    if !args.restore.trust_archive {
        for dropped in restore::drop_orders(spec) {
            session.warn(format_args!("{name}: {dropped}"));
        }
        trace.because(spec, || "--restore: another machine must not dictate this".into());
    }
    for destination in &args.mounts.mount_remove {
        remove_mount(spec, destination)?;
        trace.because(spec, || format!("--mount-remove {destination}"));
    }
    let flags = namespace_flags(args);
    let volumes =
        args.mounts.volume.iter().map(|v| volumes::parse_volume(v)).collect::<anyhow::Result<Vec<_>>>()?;
    let targets = Targets {
        volumes: &volumes,
        namespaces: &flags,
        has_root: args.input.rootfs.is_some() || args.input.root_path.is_some(),
        volume_dir: &|name| volume_dir(&args.mounts, name),
    };
    restore::check_namespaces(spec, &targets)?;
    let mut repointed = restore::repoint_volumes(spec, &targets)?;
    trace.because(spec, || "--volume".into());
    let mut files = match &args.restore.manager_files {
        Some(dir) => restore::manager_files(spec, dir)?,
        None => BTreeMap::new(),
    };
    files.retain(|destination, _| !repointed.contains(destination));
    files.extend(bind_files(&args.mounts)?);
    restore::replace_manager_files(spec, &files, &mut repointed, session);
    trace.because(spec, || "files of the manager".into());
    for (kind, mode) in &flags {
        if let Some(mode) = mode {
            namespaces::apply_restored(spec, kind, mode, &args.namespaces.container_pid)?;
            trace.because(spec, || format!("--{} {mode:?}", flag_name(kind)));
        }
    }
    mounts::sort(spec);
    trace.because(spec, || "parents are mounted before children".into());
    set_cgroups_path(spec, args);
    trace.because(spec, || "--cgroups-path".into());
    if args.restore.trust_archive {
        return Ok(());
    }
    let foreign = restore::foreign(spec, &repointed, &targets);
    let Some((last, others)) = foreign.split_last() else { return Ok(()) };
    let text = |what: &str| format!("{name}: {what}: of the machine the checkpoint was made on");
    for (what, _) in others {
        session.error(text(what));
    }
    let mut hints: Vec<&str> = foreign.iter().map(|(_, hint)| hint.as_str()).collect();
    if foreign.iter().any(|(_, hint)| hint.starts_with("--bind-mount")) {
        hints.retain(|hint| !hint.starts_with("--bind-mount"));
        hints.push("--manager-files DIR");
    }
    Err(Hint::on(anyhow::anyhow!(text(&last.0)), format!("add {}", hints.join(" "))))
}

/// Sets `root.path` and opens the tree that users and links are looked up in.
fn set_root(spec: &mut Spec, args: &Args) -> anyhow::Result<Rootfs> {
    let rootfs = match &args.input.rootfs {
        Some(dir) => {
            let rootfs = Rootfs::open(dir)?;
            // Relative to the user, not to the bundle the runtime will start in.
            let path = std::path::absolute(dir).with_context(|| cli::name(dir))?;
            let Some(path) = path.to_str() else {
                bail!("{}: not UTF-8, which config.json cannot hold", cli::name(&path));
            };
            spec.set("root.path", path);
            rootfs
        }
        None => match spec.text("root.path") {
            Some(path) => Rootfs::probe(&PathBuf::from(path)),
            None => Rootfs::absent(),
        },
    };
    if let Some(path) = &args.input.root_path {
        spec.set("root.path", path.as_str());
    }
    Ok(rootfs)
}

fn namespace_flags(args: &Args) -> Vec<(&'static str, Option<Mode>)> {
    let n = &args.namespaces;
    [
        ("user", &n.userns),
        ("ipc", &n.ipc),
        ("network", &n.network),
        ("pid", &n.pid),
        ("uts", &n.uts),
        ("cgroup", &n.cgroupns),
    ]
    .into_iter()
    .map(|(kind, mode)| (kind, mode.clone()))
    .collect()
}

/// The flag that sets a namespace of this type.
fn flag_name(kind: &str) -> &str {
    match kind {
        "user" => "userns",
        "cgroup" => "cgroupns",
        kind => kind,
    }
}

fn remove_mount(spec: &mut Spec, destination: &str) -> anyhow::Result<()> {
    if !mounts::remove(spec, destination) {
        bail!("--mount-remove {destination}: there is no mount");
    }
    Ok(())
}

fn flag_mounts(args: &MountArgs) -> anyhow::Result<Vec<Mount>> {
    let mut all = Vec::new();
    for flag in &args.volume {
        all.push(volumes::parse_volume(flag)?);
    }
    for flag in &args.mount {
        all.push(volumes::parse_mount(flag)?);
    }
    for flag in &args.tmpfs {
        all.push(Volume::Mount(volumes::parse_tmpfs(flag)?));
    }
    all.into_iter()
        .map(|volume| match volume {
            Volume::Mount(mount) => Ok(mount),
            Volume::Named { name, destination, options, subpath } if subpath.is_empty() => {
                let dir = volume_dir(args, &name).ok_or_else(|| volumes::unknown(&name))?;
                let Some(source) = dir.to_str() else { bail!("{}: not UTF-8", cli::name(&dir)) };
                Ok(Mount { destination, kind: "bind".into(), source: source.into(), options })
            }
            _ => bail!("overlay and image volumes, and subpaths, are not understood yet"),
        })
        .collect()
}

fn volume_dir(args: &MountArgs, name: &str) -> Option<PathBuf> {
    let given = args.volume_path.iter().find(|(n, _)| n == name).map(|(_, dir)| dir.clone());
    given.or_else(|| Some(args.volume_root.as_ref()?.join(name).join("_data")))
}

/// `--bind-mount` and `--shm-dir` by destination.
fn bind_files(args: &MountArgs) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let shm = args.shm_dir.iter().map(|dir| ("/dev/shm".to_owned(), dir.clone()));
    for (destination, source) in args.bind_mount.iter().cloned().chain(shm) {
        mounts::check_destination(&destination)?;
        let source = std::path::absolute(&source).with_context(|| cli::name(&source))?;
        let Some(source) = source.to_str() else { bail!("{}: not UTF-8", cli::name(&source)) };
        if files.insert(mounts::clean(&destination), source.to_owned()).is_some() {
            return Err(usage(format!("{destination} is bound twice")));
        }
    }
    Ok(files)
}

fn set_hostname(spec: &mut Spec, hostname: &str) -> anyhow::Result<()> {
    if namespaces::find(spec, "uts").is_none_or(|n| namespaces::path(n).is_some()) {
        return Err(Hint::on(
            usage("--hostname needs a UTS namespace of the container's own"),
            "add --uts private",
        ));
    }
    spec.set("hostname", hostname);
    if env::is_set(spec, "HOSTNAME") {
        env::set(spec, "HOSTNAME", hostname);
    }
    Ok(())
}

fn set_cgroups_path(spec: &mut Spec, args: &Args) {
    match args.cgroups.cgroups_path.as_deref() {
        Some("") => {
            spec.remove("linux.cgroupsPath");
        }
        Some(path) => spec.set("linux.cgroupsPath", path),
        None => {}
    }
}

fn write(spec: &Spec, trace: &Trace, args: &Args) -> anyhow::Result<()> {
    let mut text = Vec::new();
    if args.what.explain {
        for line in trace.lines() {
            writeln!(text, "{line}")?;
        }
    } else if args.what.compact {
        serde_json::to_writer(&mut text, spec.value())?;
        text.push(b'\n');
    } else {
        // Tabs, as runc spec.
        let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        spec.value().serialize(&mut serde_json::Serializer::with_formatter(&mut text, format))?;
        text.push(b'\n');
    }
    let mut output = Output::text(args.output.output.as_deref())?;
    output.write_all(&text)?;
    output.commit()
}
