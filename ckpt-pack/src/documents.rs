//! Reads config.dump and spec.dump from the bundle, or creates them.

use std::path::{Path, PathBuf};

use anyhow::Context;
use checkpoint::config_dump::{ConfigDump, NamedVolume, image_id};
use checkpoint::external_mounts::{self, Maker};
use checkpoint::spec_dump::SpecDump;
use checkpoint::{Member, VolumeName};
use cli::{Hint, Input, Session, usage};
use sha2::{Digest, Sha256};
use tartree::{TarPath, Timestamp};

use crate::args::{Container, ExtraFamily, Format, Image};
use crate::bundle::Bundle;
use crate::criu_images::Dump;
use crate::engine_documents;
use crate::network::{self, NetworkFlag, Plan};

/// podman's default directory for volumes (containers-storage.conf: graphroot).
const VOLUME_PATH: &str = "/var/lib/containers/storage/volumes";

/// config.dump and spec.dump, ready to be written.
pub struct Documents {
    /// config.dump. [`complete_network`](Documents::complete_network) may still change it.
    pub config: ConfigDump,
    network: Plan,
    pub spec: SpecDump,
    pub spec_bytes: Vec<u8>,
    /// status.dump, if containerd needs it and the bundle has none.
    pub status_bytes: Option<Vec<u8>>,
}

impl Documents {
    /// Reads both from `files` (`--member`), else from the bundle, else creates them from
    /// config.json and the flags.
    pub fn gather(
        bundle: &Bundle,
        files: &[(Member, PathBuf)],
        flags: &Container,
        image: &Image,
        (images, dump): (&Path, Dump),
        time: Timestamp,
        session: &Session,
    ) -> anyhow::Result<Documents> {
        let family = image.annotations;
        let (mut spec, mut spec_bytes, spec_name) = spec_dump(bundle, files, session)?;
        let given = document(bundle, files, &Member::ConfigDump, ConfigDump::LIMIT)?;
        let is_new = given.is_none();
        let mut spec_changed = false;
        let (mut config, source) = match given {
            Some((bytes, name)) => {
                refuse_flags(flags, family, &name)?;
                let config = ConfigDump::read(&bytes).with_context(|| name.clone())?;
                refuse_dependencies(&config).with_context(|| name.clone())?;
                (config, name)
            }
            None => {
                let config = new_config(bundle, flags, family, images, (&spec, &spec_bytes), session)?;
                (config, "config.dump".into())
            }
        };
        let volumes = config.volumes().with_context(|| source.clone())?;
        edit_spec(flags, &mut spec)?;
        for (name, destination) in &flags.volume {
            if !volumes.iter().any(|volume| volume.name == *name) {
                config.add_volume(&NamedVolume { name: name.clone(), destination: destination.clone() });
            }
        }
        spec_changed |= !flags.volume.is_empty();
        // The engine that wrote a config.dump runs these hooks itself when it restores.
        if is_new && !flags.keep_hooks {
            spec_changed |= drop_hooks(&mut spec, &spec_name, session);
        }
        if is_new {
            for volume in podman_volumes(&spec) {
                if !config
                    .volumes()?
                    .iter()
                    .any(|v| v.name == volume.name || v.destination == volume.destination)
                {
                    config.add_volume(&volume);
                }
            }
        }
        // A pre-dump is never restored without the dump after it, which has its own config.dump.
        // The engines of --annotations and ctr connect a container to the network of its pod.
        let has_network = dump != Dump::Pre && family.is_none() && image.format != Format::Ctr;
        let network = match has_network {
            true => network::plan(&flags.network, &mut config, &mut spec, (&source, &spec_name), is_new)?,
            false => Plan::Done,
        };
        spec_changed |= flags.network.iter().any(|flag| matches!(flag, NetworkFlag::Path(_)));
        config.set_nocopy();
        config.set_anonymous();
        config.complete_image_keys();
        config.set_default("checkpointedTime", Timestamp { nsec: 0, ..time }.to_string());
        if let Some(family) = family {
            let image = flags.rootfs_image.as_deref();
            if let (Some(image), ExtraFamily::CriO) = (image, family) {
                set_image(&mut config, image, spec.is_of_docker(), session)?;
            }
            spec_changed |= engine_documents::fit(family, image, &mut config, &mut spec)?;
        }
        if spec_changed {
            spec_bytes = spec.write();
        }
        let status = Member::of(&TarPath::root().child(b"status.dump"));
        let has_status = bundle.path("status.dump").is_file() || files.iter().any(|(m, _)| *m == status);
        let needs_status = family == Some(ExtraFamily::Containerd) && !has_status;
        let status_bytes = needs_status.then(|| engine_documents::status_dump(&config, &spec));
        let for_podman = family != Some(ExtraFamily::Containerd);
        if for_podman && (config.text("rootfsImageID").is_none() || config.text("rootfsImageName").is_none())
        {
            session.note("config.dump: without --rootfs-image REF@ID podman cannot restore the archive");
        }
        Ok(Documents { config, network, spec, spec_bytes, status_bytes })
    }

    /// Returns whether config.dump is complete only after
    /// [`complete_network`](Documents::complete_network).
    pub fn needs_network_status(&self) -> bool {
        self.network.needs_status()
    }

    /// Completes config.dump with the networks of `status`, the content of the member
    /// network.status, if podman needs them. Returns the content to pack.
    ///
    /// # Errors
    /// Returns an error if `status` is not a network status or does not fit `--network`.
    pub fn complete_network(
        &mut self,
        status: Option<Vec<u8>>,
        session: &Session,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        self.network.complete(&mut self.config, status, session)
    }
}

/// Changes the config.dump of an archive as the flags say. The flags replace values that are there.
pub fn edit_config(
    flags: &Container,
    family: Option<ExtraFamily>,
    config: &mut ConfigDump,
) -> anyhow::Result<()> {
    for (key, value) in [("id", &flags.id), ("name", &flags.name), ("runtime", &flags.runtime)] {
        if let Some(value) = value {
            config.set(key, value.clone());
        }
    }
    match &flags.rootfs_image {
        // `engine_documents::fit` reads containerd's form of the value.
        Some(image) if family != Some(ExtraFamily::Containerd) => {
            let (reference, id) = image_parts(image)?;
            set_image_keys(config, reference, id);
            if config.text("RawImageName").is_some() {
                config.set("RawImageName", reference);
            }
        }
        _ => {}
    }
    let volumes = config.volumes()?;
    for (name, destination) in &flags.volume {
        if !volumes.iter().any(|volume| volume.name == *name) {
            config.add_volume(&NamedVolume { name: name.clone(), destination: destination.clone() });
        }
    }
    Ok(())
}

/// Changes the spec.dump of an archive as the flags say.
pub fn edit_spec(flags: &Container, spec: &mut SpecDump) -> anyhow::Result<()> {
    let root = flags.volume_path.as_deref().unwrap_or(VOLUME_PATH).trim_end_matches('/');
    for (name, destination) in &flags.volume {
        set_volume_source(spec, destination, &format!("{root}/{name}/_data"))?;
    }
    Ok(())
}

/// Reads the document `member`; returns it with its name for messages.
fn document(
    bundle: &Bundle,
    files: &[(Member, PathBuf)],
    member: &Member,
    limit: u64,
) -> anyhow::Result<Option<(Vec<u8>, String)>> {
    if let Some((_, path)) = files.iter().find(|(m, _)| m == member) {
        let name = cli::display_path(path);
        return Ok(Some((cli::read_document(crate::bundle::open(path)?, &name, limit)?, name)));
    }
    let name = member.to_string();
    Ok(bundle.document(&name, limit)?.map(|bytes| (bytes, cli::display_path(bundle.path(&name)))))
}

/// Reads the spec of the container: `--member spec.dump=FILE`, else the bundle's config.json, else
/// its spec.dump. Returns the spec, its bytes and its name for messages.
///
/// The container ran with config.json. podman and CRI-O write spec.dump from config.json when they
/// export, so the two agree. A spec.dump that differs is left over from an archive that was
/// unpacked into the bundle earlier.
fn spec_dump(
    bundle: &Bundle,
    files: &[(Member, PathBuf)],
    session: &Session,
) -> anyhow::Result<(SpecDump, Vec<u8>, String)> {
    let given = files.iter().any(|(member, _)| *member == Member::SpecDump);
    let name = cli::display_path(bundle.path("config.json"));
    let config_json = if given { None } else { bundle.document("config.json", SpecDump::LIMIT)? };
    let found = document(bundle, files, &Member::SpecDump, SpecDump::LIMIT)?;
    let (bytes, name) = match (config_json, found) {
        (Some(config_json), found) => {
            if let Some((dumped, dump)) = found {
                // A damaged spec.dump is an error even though it is not packed.
                SpecDump::read(&dumped).with_context(|| dump.clone())?;
                if !same_document(&dumped, &config_json) {
                    session.warn_with_hint(
                        format_args!("{dump}: ignored, it differs from {name}, with which the container ran"),
                        format_args!("to pack it instead: --member spec.dump={dump}"),
                    );
                }
            }
            (config_json, name)
        }
        (None, Some(found)) => found,
        (None, None) => anyhow::bail!("{name}: no such file, and no spec.dump next to it"),
    };
    let spec = SpecDump::read(&bytes).with_context(|| name.clone())?;
    if let Some(key) = spec.missing() {
        session.warn(format_args!(
            "{name}: {key:?} is missing, no container engine restores the container without it"
        ));
    }
    Ok((spec, bytes, name))
}

/// Removes the hooks of `spec`: they are programs of this host, or even processes of it
/// (`/proc/28/exe` of dockerd), and podman would run them on the host where it restores. Returns
/// whether there were any.
fn drop_hooks(spec: &mut SpecDump, name: &str, session: &Session) -> bool {
    let hooks = spec.remove_hooks();
    let Some((last, others)) = hooks.split_last() else { return false };
    for hook in others {
        session.warn(format_args!("{name}: {hook}: dropped"));
    }
    session.warn_with_hint(format_args!("{name}: {last}: dropped"), "to pack the hooks: --keep-hooks");
    true
}

/// Returns whether two JSON documents are equal, regardless of key order and white space.
fn same_document(a: &[u8], b: &[u8]) -> bool {
    match (strict_json::document(a), strict_json::document(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// Creates config.dump for a container that no container engine manages. podman, CRI-O and
/// checkpointctl need no other keys.
fn new_config(
    bundle: &Bundle,
    flags: &Container,
    family: Option<ExtraFamily>,
    images: &Path,
    spec: (&SpecDump, &[u8]),
    session: &Session,
) -> anyhow::Result<ConfigDump> {
    let (spec, spec_bytes) = spec;
    let state = flags.state.as_deref().map(runtime_state).transpose()?.unwrap_or_default();
    // Only engines give IDs of this form. Podman looks for a container by its ID, so a short name
    // would be mistaken for the start of one.
    let engine_id = state.id.clone().filter(|id| image_id(id) == Some(id));
    let name = flags.name.clone().or(state.id).unwrap_or_else(|| bundle.dir_name());
    let name = valid_name(&name);
    let mut config = ConfigDump::default();
    let id = flags.id.clone().or(engine_id);
    config.set("id", id.unwrap_or_else(|| derived_id(&name, spec_bytes)));
    config.set("name", name);
    // With --annotations, the flag also changes a given config.dump, and is handled there.
    if let Some(image) = flags.rootfs_image.as_ref().filter(|_| family.is_none()) {
        set_image(&mut config, image, spec.is_of_docker(), session)?;
    }
    if let Some(created) = state.created {
        config.set("createdTime", created);
    }
    // podman restores with this runtime, and only the runtime that made the images can restore
    // them.
    let image_maker = || image_maker(images).map_or("runc", Maker::name);
    config.set("runtime", flags.runtime.as_deref().unwrap_or_else(image_maker));
    // If the user is not root, podman requires the same user in config.dump ("please set User
    // explicitly").
    if let Some(user) = spec.user() {
        config.set("user", user);
    }
    Ok(config)
}

/// Sets the container's image to the value of `--rootfs-image`.
fn set_image(config: &mut ConfigDump, image: &str, of_docker: bool, session: &Session) -> anyhow::Result<()> {
    let (reference, id) = image_parts(image)?;
    set_image_keys(config, &full_name(reference, of_docker, session), id);
    Ok(())
}

/// Sets the keys of all engines for the image. Without an ID, the ID that is there stays.
fn set_image_keys(config: &mut ConfigDump, reference: &str, id: Option<&str>) {
    for key in ["rootfsImageName", "rootfsImage"] {
        config.set(key, reference);
    }
    for key in ["rootfsImageID", "rootfsImageRef"] {
        if let Some(id) = id {
            config.set(key, id);
        }
    }
}

/// Returns the runtime that made the images in `dir`, if their mounts show it.
fn image_maker(dir: &Path) -> Option<Maker> {
    let names = std::fs::read_dir(dir).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| external_mounts::is_mountpoints(name)).find_map(|name| {
        let file = crate::bundle::open(&dir.join(&name)).ok()?;
        let image = cli::read_document(file, &name, external_mounts::LIMIT).ok()?;
        external_mounts::maker(&name, &image).ok()?
    })
}

/// The output of `runc state` and `crun state` (runtime-spec, runtime.md: "State").
#[derive(Default, serde::Deserialize)]
struct RuntimeState {
    id: Option<String>,
    created: Option<String>,
    pid: Option<u32>,
}

/// Returns the PID in the output of `runc state`.
///
/// # Errors
/// Returns an error if the file has no PID, as the state of a stopped container.
pub fn state_pid(path: &Path) -> anyhow::Result<u32> {
    let state = runtime_state(path)?;
    state.pid.filter(|pid| *pid > 0).with_context(|| {
        format!("{}: expected the state of a running container, found no PID", cli::display_path(path))
    })
}

fn runtime_state(path: &Path) -> anyhow::Result<RuntimeState> {
    // Unlike the files of a bundle, this may be a pipe: --state <(runc state web).
    let input = Input::open(Some(path), "the output of runc state")?;
    let name = input.name().to_owned();
    let bytes = cli::read_document(input, &name, 1 << 20)?;
    serde_json::from_slice(&bytes).with_context(|| name)
}

/// Rejects flags whose value is already in the config.dump `name`. With `--annotations`,
/// `--rootfs-image` replaces the image by one that the engine `family` has.
fn refuse_flags(flags: &Container, family: Option<ExtraFamily>, name: &str) -> anyhow::Result<()> {
    let given = [
        ("--id", flags.id.is_some()),
        ("--name", flags.name.is_some()),
        ("--rootfs-image", flags.rootfs_image.is_some() && family.is_none()),
        ("--state", flags.state.is_some()),
        ("--runtime", flags.runtime.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((flag, _)) => {
            let e = usage(format!("{flag} conflicts with {name}, which has this value"));
            Err(Hint::on(e, format!("edit {name}, or remove it to have it created")))
        }
        None => Ok(()),
    }
}

/// Rejects a container that depends on other containers, as podman does. The infra container of a
/// pod is allowed.
fn refuse_dependencies(config: &ConfigDump) -> anyhow::Result<()> {
    let dependencies = config.keys().get("Dependencies").and_then(|d| d.as_array()).map_or(0, Vec::len);
    if dependencies > usize::from(config.text("pod").is_some()) {
        anyhow::bail!("the container depends on {dependencies} others, which are not in the archive");
    }
    Ok(())
}

/// Sets the source of the volume's mount in spec.dump to the directory where podman will create the
/// volume.
///
/// podman mounts the sources that spec.dump names and does not change them, not even for volumes
/// that it has just created (podman 5.4.2).
fn set_volume_source(spec: &mut SpecDump, destination: &str, source: &str) -> anyhow::Result<()> {
    if spec.set_mount_source(destination, source) {
        return Ok(());
    }
    let binds: Vec<_> =
        spec.mounts().iter().filter(|m| m.source.starts_with('/')).map(|m| m.destination).collect();
    anyhow::bail!(
        "--volume: the container has no mount at {destination}; it has mounts at: {}",
        binds.join(" ")
    )
}

/// Lists the mounts whose source has the form of a volume of podman.
fn podman_volumes(spec: &SpecDump) -> Vec<NamedVolume> {
    let volume = |source: &str| -> Option<VolumeName> {
        let (rest, name) = source.strip_suffix("/_data")?.rsplit_once('/')?;
        rest.ends_with("/volumes").then(|| name.parse().ok()).flatten()
    };
    let mounts = spec.mounts();
    mounts
        .iter()
        .filter_map(|m| Some(NamedVolume { name: volume(m.source)?, destination: m.destination.into() }))
        .collect()
}

/// Splits `REF@ID` into name and ID. A digest (`name@sha256:…`) has the same form, but podman
/// compares only image IDs.
fn image_parts(image: &str) -> anyhow::Result<(&str, Option<&str>)> {
    match image.rsplit_once('@') {
        None => Ok((image, None)),
        Some((reference, id)) if !reference.is_empty() => match image_id(id) {
            Some(id) => Ok((reference, Some(id))),
            None => Err(usage(format!(
                "--rootfs-image: expected an image ID of 64 hexadecimal digits, found {id:?}"
            ))),
        },
        Some(_) => Err(usage("--rootfs-image: expected a name before the '@'")),
    }
}

/// Returns the name by which podman finds the image `reference`. Docker leaves out its own registry
/// (distribution/reference, `ParseNormalizedNamed`), but podman searches for such a name in
/// `localhost` and in the registries of its own configuration.
fn full_name(reference: &str, of_docker: bool, session: &Session) -> String {
    let has_registry = reference
        .split_once('/')
        .is_some_and(|(first, _)| first.contains(['.', ':']) || first == "localhost");
    if has_registry {
        return reference.into();
    }
    let full = match reference.contains('/') {
        true => format!("docker.io/{reference}"),
        false => format!("docker.io/library/{reference}"),
    };
    if of_docker {
        session.note(format_args!(
            "--rootfs-image: {reference}: packed as {full}, because Docker ran the container"
        ));
        return full;
    }
    session.warn_with_hint(
        format_args!(
            "--rootfs-image: {reference}: podman may not find an image by a name without a registry"
        ),
        format_args!("--rootfs-image localhost/{reference}@ID, or {full}@ID"),
    );
    reference.into()
}

/// Returns a container ID that is the same each time the same container is packed.
fn derived_id(name: &str, spec: &[u8]) -> String {
    let digest = Sha256::new().chain_update(name).chain_update([0]).chain_update(spec).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a valid container name that resembles `dir`.
fn valid_name(dir: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '-' };
    let name: String = dir.chars().map(allowed).take(200).collect();
    let name = name.trim_start_matches(['_', '.', '-']);
    if name.is_empty() { "container".into() } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_directory_name_becomes_a_valid_container_name() {
        for (dir, name) in
            [("web", "web"), ("my web", "my-web"), ("..-x", "x"), ("", "container"), ("ü", "container")]
        {
            assert_eq!(valid_name(dir), name);
            assert!(valid_name(dir).parse::<VolumeName>().is_ok());
        }
    }

    #[test]
    fn an_image_reference_is_split_at_the_last_at_sign() {
        let id = "a".repeat(64);
        assert_eq!(image_parts(&format!("h:5/a/b:t@{id}")).unwrap(), ("h:5/a/b:t", Some(&id[..])));
        assert_eq!(image_parts(&format!("b@sha256:{id}")).unwrap(), ("b", Some(&id[..])));
        assert_eq!(image_parts("b:t").unwrap(), ("b:t", None));
        assert!(image_parts("b@12").is_err());
        assert!(image_parts("@12").is_err());
    }

    #[test]
    fn only_sources_in_podmans_volume_directory_are_volumes() {
        let spec = SpecDump::read(
            br#"{"mounts":[{"destination":"/a","source":"/x/volumes/data/_data"},{"destination":"/b","source":"/x/data/_data"},
                {"destination":"/c","source":"/x/volumes/-/_data"},{"destination":"/d","source":"/srv/volumes/x"}]}"#,
        )
        .unwrap();
        let volumes = podman_volumes(&spec);
        assert_eq!(volumes.len(), 1);
        assert_eq!((volumes[0].name.as_str(), volumes[0].destination.as_str()), ("data", "/a"));
    }

    #[test]
    fn dependencies_are_rejected_except_on_the_infra_container() {
        let config = |text: &str| ConfigDump::read(text.as_bytes()).unwrap();
        assert!(refuse_dependencies(&config(r#"{"Dependencies":["a"]}"#)).is_err());
        assert!(refuse_dependencies(&config(r#"{"Dependencies":["a"],"pod":"p"}"#)).is_ok());
        assert!(refuse_dependencies(&config(r#"{"Dependencies":["a","b"],"pod":"p"}"#)).is_err());
        assert!(refuse_dependencies(&config(r#"{"Dependencies":[]}"#)).is_ok());
    }
}
