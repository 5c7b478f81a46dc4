//! The parts of a checkpoint of containerd.

use serde_json::Value;

use super::any;
use super::{CONFIG, CRIU, IMAGE, LAYERS, RUNTIME};
use crate::config_dump::ConfigDump;
use crate::error::{Error, Result};
use crate::oci::blob::Blob;
use crate::oci::error::image_error;
use crate::oci::hashing::sha256;
use crate::spec_dump::SpecDump;
use crate::volume_name::VolumeName;

/// The parts of a checkpoint of containerd, found in a layout.
#[derive(Debug)]
pub struct Parts {
    /// The spec.
    pub spec: Vec<u8>,
    /// The tar of CRIU's images.
    pub criu: Blob,
    /// The changes of the root file system as a layer, if the checkpoint has them.
    pub layer: Option<Blob>,
    /// The facts about the container as `config.dump`.
    pub config: ConfigDump,
}

impl Parts {
    /// Finds the parts that `index` lists. `blob` returns the blob of a descriptor, and `image_id`
    /// the ID of the image that a descriptor refers to. `name` is the name of the checkpoint.
    ///
    /// # Errors
    /// Returns an error if a part is missing, listed twice or invalid.
    pub(in crate::oci) fn find(
        index: &Value,
        name: Option<&str>,
        blob: impl Fn(&Value) -> Result<Blob>,
        image_id: impl FnOnce(&Value, &Value) -> Option<String>,
    ) -> Result<Parts> {
        let Some(criu) = part(index, &[CRIU])? else {
            return Err(image_error(
                "has no processes, only files; \"ctr containers checkpoint --task\" adds the processes",
            ));
        };
        let Some(config) = part(index, &[CONFIG])? else {
            return Err(image_error(format!("has no spec ({CONFIG})")));
        };
        let mut message = blob(config)?;
        message.prove()?;
        let spec = any::spec(CONFIG, &message.document(CONFIG)?)?;
        let config = config_dump(index, name, &spec, image_id(index, criu))?;
        refuse_other_layers(index)?;
        Ok(Parts { spec, criu: blob(criu)?, layer: part(index, &LAYERS)?.map(blob).transpose()?, config })
    }
}

/// Rejects a layer of a type that cannot be read, such as an encrypted one: its changes would be lost.
fn refuse_other_layers(index: &Value) -> Result<()> {
    let all = index["manifests"].as_array().into_iter().flatten();
    for kind in all.filter_map(|part| part["mediaType"].as_str()) {
        let is_layer = kind.contains(".image.layer.") || kind.contains(".image.rootfs.");
        if is_layer && !LAYERS.contains(&kind) {
            return Err(image_error(format!("expected a layer of the type {}, found {kind:?}", LAYERS[0])));
        }
    }
    Ok(())
}

/// Returns the only descriptor with one of the media types `kinds`.
fn part<'i>(index: &'i Value, kinds: &[&str]) -> Result<Option<&'i Value>> {
    let all = index["manifests"].as_array().into_iter().flatten();
    let mut parts = all.filter(|part| part["mediaType"].as_str().is_some_and(|kind| kinds.contains(&kind)));
    match (parts.next(), parts.next()) {
        (part, None) => Ok(part),
        _ => Err(image_error(format!("lists more than one part of the type {}", kinds[0]))),
    }
}

/// Returns the descriptor of the container's image, which `ctr containers checkpoint --image` adds.
pub(in crate::oci) fn base<'i>(index: &'i Value, kinds: &[&str]) -> Option<&'i Value> {
    part(index, kinds).ok().flatten()
}

/// Creates `config.dump`. A checkpoint of containerd has no such document.
fn config_dump(
    index: &Value,
    checkpoint: Option<&str>,
    spec: &[u8],
    image_id: Option<String>,
) -> Result<ConfigDump> {
    let document = SpecDump::read(spec).map_err(|e| Error::member(CONFIG, e))?;
    let name = container_name(&document, checkpoint);
    let mut config = ConfigDump::default();
    config.set("id", sha256(&[name.as_bytes(), &[0], spec].concat()));
    config.set("name", name);
    let annotation = |key: &str| index["annotations"][key].as_str();
    if let Some(image) = annotation(IMAGE) {
        config.set("rootfsImageName", image);
    }
    if let Some(id) = image_id {
        config.set("rootfsImageID", id);
    }
    config.complete_image_keys();
    // The shim io.containerd.runc.v2 starts runc. podman and CRI-O know runtimes, but no shims.
    let runtime = annotation(RUNTIME).unwrap_or("runc");
    config.set("runtime", if runtime.starts_with("io.containerd.runc.") { "runc" } else { runtime });
    Ok(config)
}

/// Returns the name of the container. The index does not hold it, but containerd's default cgroup
/// is `/NAMESPACE/NAME` (`pkg/oci/spec.go`). Without such a cgroup, the container gets the name of
/// the checkpoint without registry and tag.
fn container_name(spec: &SpecDump, checkpoint: Option<&str>) -> String {
    let cgroup = spec.cgroups_path();
    let of_cgroup = cgroup.and_then(|path| path.rsplit('/').next());
    let of_image = checkpoint.and_then(|name| name.rsplit('/').next()?.split([':', '@']).next());
    let valid = |name: &&str| name.parse::<VolumeName>().is_ok();
    of_cgroup.filter(valid).or(of_image.filter(valid)).unwrap_or("container").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_is_named_by_its_cgroup_or_checkpoint() {
        for (cgroup, checkpoint, name) in [
            ("/default/web", Some("docker.io/library/ckpt:1"), "web"),
            ("system.slice:runc:web", Some("docker.io/library/ckpt:1"), "ckpt"),
            ("", Some("localhost:5000/a/ckpt@sha256:12"), "ckpt"),
            ("/a/../..", Some("/"), "container"),
            ("/", None, "container"),
        ] {
            let spec = format!(r#"{{"linux":{{"cgroupsPath":"{cgroup}"}}}}"#);
            let spec = SpecDump::read(spec.as_bytes()).unwrap();
            assert_eq!(container_name(&spec, checkpoint), name, "{cgroup}");
        }
    }
}
