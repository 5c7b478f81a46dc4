//! Fits config.dump, spec.dump and status.dump to the container engine of `--annotations`.

use checkpoint::Member;
use checkpoint::config_dump::{ConfigDump, image_id};
use checkpoint::spec_dump::SpecDump;
use cli::{Hint, usage};
use serde_json::{Map, Value, json};

use crate::args::ExtraFamily;

/// The annotation without which CRI-O restores no container (`server/container_restore.go`).
const CRI_O_ANNOTATIONS: &str = "io.kubernetes.cri-o.Annotations";

/// Changes the documents so that `family` can restore the container. `image` is the value of
/// `--rootfs-image`. Returns whether spec.dump was changed.
///
/// # Errors
/// Returns an error if the documents do not identify the container's image as `family` requires.
pub fn fit(
    family: ExtraFamily,
    image: Option<&str>,
    config: &mut ConfigDump,
    spec: &mut SpecDump,
) -> anyhow::Result<bool> {
    match family {
        ExtraFamily::CriO => fit_cri_o(config, spec),
        ExtraFamily::Containerd => fit_containerd(image, config).map(|()| false),
    }
}

/// CRI-O since 1.25 needs the annotation, and since 1.30 an image ID without a name.
fn fit_cri_o(config: &mut ConfigDump, spec: &mut SpecDump) -> anyhow::Result<bool> {
    let is_missing = match spec.annotation(CRI_O_ANNOTATIONS) {
        None => true,
        Some(text) if is_map(text) => false,
        Some(_) => {
            anyhow::bail!("spec.dump: annotation {CRI_O_ANNOTATIONS}: expected a JSON object of strings")
        }
    };
    if is_missing {
        spec.set("annotations", CRI_O_ANNOTATIONS, "{}");
    }
    let reference = config.text("rootfsImageRef");
    match reference.and_then(image_id).or(config.text("rootfsImageID").and_then(image_id)) {
        Some(id) => {
            let id = id.to_owned();
            config.set("rootfsImageRef", id);
            Ok(is_missing)
        }
        None => {
            let e = anyhow::anyhow!(
                "config.dump: rootfsImageRef: CRI-O needs an image ID of 64 hexadecimal digits, found {}",
                reference.map_or("none".into(), |reference| format!("{reference:?}"))
            );
            Err(Hint::on(e, "add --rootfs-image NAME@ID, see \"crictl images --no-trunc\" on the node"))
        }
    }
}

/// containerd pulls the image by `rootfsImageRef` and does not complete its name.
fn fit_containerd(image: Option<&str>, config: &mut ConfigDump) -> anyhow::Result<()> {
    const HINT: &str = "add --rootfs-image NAME@sha256:DIGEST, see \"crictl images --digests\" on the node";
    if let Some(image) = image {
        let Some((name, digest)) = image.rsplit_once('@').filter(|(_, digest)| is_digest(digest)) else {
            let e = usage(format!("--rootfs-image: containerd needs NAME@sha256:DIGEST, found {image:?}"));
            return Err(Hint::on(e, "see \"crictl images --digests\" on the node"));
        };
        for key in ["rootfsImageName", "rootfsImage"] {
            config.set(key, name);
        }
        config.set("rootfsImageRef", format!("{}@{digest}", untagged(name)));
    }
    let found = |key: &str| config.text(key).map_or("none".into(), |text| format!("{text:?}"));
    let parts = config.text("rootfsImageRef").and_then(|reference| reference.rsplit_once('@'));
    if !parts.is_some_and(|(name, digest)| is_digest(digest) && has_registry(name)) {
        let e = anyhow::anyhow!(
            "config.dump: rootfsImageRef: containerd needs REGISTRY/NAME@sha256:DIGEST, found {}",
            found("rootfsImageRef")
        );
        return Err(Hint::on(e, HINT));
    }
    if config.text("rootfsImageName").is_none() {
        let e = anyhow::anyhow!(
            "config.dump: rootfsImageName: containerd needs the name of the image, found none"
        );
        return Err(Hint::on(e, HINT));
    }
    Ok(())
}

/// Returns status.dump, the status of the container in the CRI, which containerd needs to restore a
/// container (`internal/cri/server/container_checkpoint_linux.go`).
pub fn status_dump(config: &ConfigDump, spec: &SpecDump) -> Vec<u8> {
    let map = |key: &str| {
        let map = spec.annotation(key).and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
        map.filter(|map| map.values().all(Value::is_string)).unwrap_or_default()
    };
    let name = spec.container_name().or(config.text("name").map(str::to_owned));
    let status = json!({
        "id": config.text("id"),
        "metadata": { "name": name },
        // CONTAINER_RUNNING
        "state": 1,
        "image": { "image": config.text("rootfsImageName") },
        "image_ref": config.text("rootfsImageRef"),
        "labels": map("io.kubernetes.cri-o.Labels"),
        "annotations": map(CRI_O_ANNOTATIONS),
    });
    status.to_string().into_bytes()
}

/// Returns why the engine `family` does not restore `member`, if it ignores this member. A member
/// that is of no use there, such as network.status in a pod, is not reported.
pub fn ignored_by(family: ExtraFamily, member: &Member) -> Option<&'static str> {
    match (family, member) {
        (_, Member::Volume(_)) => Some("ignored by the CRI, which mounts only the volumes of the pod"),
        (ExtraFamily::CriO, Member::DeletedFiles0) => {
            Some("ignored by CRI-O: files whose names are not UTF-8 come back")
        }
        (ExtraFamily::Containerd, Member::DevShm) => {
            Some("ignored by containerd: /dev/shm belongs to the pod")
        }
        _ => None,
    }
}

fn is_map(text: &str) -> bool {
    let map: Result<Map<String, Value>, _> = serde_json::from_str(text);
    map.is_ok_and(|map| map.values().all(Value::is_string))
}

fn is_digest(text: &str) -> bool {
    text.starts_with("sha256:") && image_id(text).is_some()
}

/// Returns whether the name begins with a registry, such as `docker.io` or `localhost:5000`.
fn has_registry(name: &str) -> bool {
    name.split_once('/').is_some_and(|(registry, rest)| {
        !rest.is_empty() && (registry == "localhost" || registry.contains(['.', ':']))
    })
}

/// Returns the name of an image without its tag.
fn untagged(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((untagged, tag)) if !tag.contains('/') => untagged,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn fitted(
        family: ExtraFamily,
        image: Option<&str>,
        config: &Value,
    ) -> Result<(ConfigDump, SpecDump), String> {
        let mut config = ConfigDump::read(config.to_string().as_bytes()).unwrap();
        config.complete_image_keys();
        let mut spec = SpecDump::default();
        fit(family, image, &mut config, &mut spec).map_err(|e| e.to_string())?;
        Ok((config, spec))
    }

    #[test]
    fn cri_o_gets_an_image_id_and_its_annotation() {
        for config in [
            json!({ "rootfsImageRef": ID }),
            json!({ "rootfsImageRef": format!("sha256:{ID}") }),
            json!({ "rootfsImageID": ID, "rootfsImageRef": "img@sha256:12" }),
            json!({ "rootfsImageID": ID }),
        ] {
            let (config, spec) = fitted(ExtraFamily::CriO, None, &config).unwrap();
            assert_eq!(config.text("rootfsImageRef"), Some(ID));
            assert_eq!(spec.annotation(CRI_O_ANNOTATIONS), Some("{}"));
        }
        for config in [json!({}), json!({ "rootfsImageRef": format!("a/b@sha256:{ID}") })] {
            let e = fitted(ExtraFamily::CriO, None, &config).unwrap_err();
            assert!(e.contains("CRI-O needs an image ID of 64 hexadecimal digits, found"), "{e}");
        }
    }

    #[test]
    fn an_invalid_annotation_of_cri_o_is_refused() {
        for text in ["", "[]", "{\"a\":1}"] {
            let mut config = ConfigDump::default();
            config.set("rootfsImageRef", ID);
            let mut spec = SpecDump::default();
            spec.set("annotations", CRI_O_ANNOTATIONS, text);
            let e = fit(ExtraFamily::CriO, None, &mut config, &mut spec).unwrap_err();
            assert!(e.to_string().contains("expected a JSON object of strings"), "{text}");
        }
    }

    #[test]
    fn containerd_gets_a_reference_that_it_can_pull() {
        let reference = format!("localhost:5000/a/img@sha256:{ID}");
        let image = format!("localhost:5000/a/img:1@sha256:{ID}");
        for (image, config) in [
            (None, json!({ "rootfsImageName": "localhost:5000/a/img:1", "rootfsImageRef": reference })),
            (Some(image.as_str()), json!({})),
            (Some(image.as_str()), json!({ "rootfsImageRef": ID, "rootfsImageName": "other" })),
        ] {
            let (config, _) = fitted(ExtraFamily::Containerd, image, &config).unwrap();
            assert_eq!(config.text("rootfsImageRef"), Some(reference.as_str()));
            assert_eq!(config.text("rootfsImageName"), Some("localhost:5000/a/img:1"));
        }
        let unqualified = format!("img@sha256:{ID}");
        for (image, config, error) in [
            (
                None,
                json!({ "rootfsImageRef": ID, "rootfsImageName": "a/b:1" }),
                "rootfsImageRef: containerd needs REGISTRY/NAME",
            ),
            (None, json!({}), "found none"),
            (None, json!({ "rootfsImageRef": reference }), "rootfsImageName: containerd needs"),
            (Some(unqualified.as_str()), json!({}), "REGISTRY/NAME@sha256:DIGEST, found \"img@sha256"),
            (Some("docker.io/library/img:1"), json!({}), "containerd needs NAME@sha256:DIGEST, found"),
            (Some("docker.io/library/img:1@12"), json!({}), "containerd needs NAME@sha256:DIGEST, found"),
        ] {
            let e = fitted(ExtraFamily::Containerd, image, &config).unwrap_err();
            assert!(e.contains(error), "{e}");
        }
    }

    #[test]
    fn the_status_has_labels_and_annotations_of_cri_o() {
        let (config, mut spec) =
            fitted(ExtraFamily::CriO, None, &json!({ "rootfsImageRef": ID, "name": "k8s_web" })).unwrap();
        spec.set("annotations", "io.kubernetes.cri-o.Labels", r#"{"io.kubernetes.container.name":"web"}"#);
        spec.set("annotations", "io.kubernetes.cri-o.Metadata", r#"{"name":"web"}"#);
        let status: Value = serde_json::from_slice(&status_dump(&config, &spec)).unwrap();
        assert_eq!(status["metadata"]["name"], "web");
        assert_eq!(status["labels"], json!({ "io.kubernetes.container.name": "web" }));
        assert_eq!(status["annotations"], json!({}));
    }
}
