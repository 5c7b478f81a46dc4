//! Chooses the image that the user means from an image layout.
//!
//! An index may list further indexes (image-spec 1.1, image-index.md); `docker buildx` and
//! registries write such indexes for several platforms. An index may also list an attestation of
//! how an image was built.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::containerd::is_checkpoint;
use super::error::image_error;
use crate::error::{Error, Result};

/// The annotations with the name of an image. The first annotation is defined in the specification.
/// The second annotation is used by containerd and docker and has the full name.
const NAMES: [&str; 2] = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];
/// The annotation of buildx's attestations, which an index lists like images.
const ATTESTATION: &str = "vnd.docker.reference.type";
/// The key of cosign's annotation, the prefix of its value, and the suffixes that mark images.
/// Entries with other suffixes, such as "sigs", are not images.
const COSIGN: (&str, &str, [&str; 2]) = ("kind", "dev.cosignproject.cosign/", ["image", "imageIndex"]);
/// The media types of an index: the type in the specification, and docker's older type.
pub(super) const INDEX: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// The deepest nesting of indexes. Tools write at most two levels.
const MAX_DEPTH: usize = 8;
/// The maximum number of indexes. If each index lists the next index twice, reading them would
/// otherwise take exponential time.
const MAX_INDEXES: usize = 1000;
/// The maximum number of images, for the same reason.
const MAX_IMAGES: usize = 10_000;
/// The maximum length of a digest, name or architecture, in bytes. Longer strings are ignored,
/// because the strings of all images are kept in memory.
const MAX_TEXT: usize = 256;
/// The maximum number of names that an error lists.
const MAX_NAMES: usize = 20;

/// An image that an index lists, or the `manifest.json` of `docker save`.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// The entry of the image in the list.
    pub(super) entry: Value,
    /// The names of the image, including the names of the indexes that contain the image.
    pub(super) names: Vec<String>,
    /// The digests of the image and of the indexes that contain it, as `ALGORITHM:HEX`.
    pub(super) digests: Vec<String>,
    /// A string that identifies the image: its digest, or for `docker save` the names of its
    /// configuration and layers.
    pub(super) identity: String,
    /// The form in which the image is stored.
    pub(super) form: Form,
}

/// The form in which an image is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A manifest.
    Manifest,
    /// An index that lists the parts of a checkpoint of containerd.
    Containerd,
}

/// Returns the images that `index` and its nested indexes list, breadth first. `read` returns the
/// document of a descriptor. Only one index is in memory at a time, and only the keys of an image
/// that are needed to choose it.
pub(super) fn listed(index: Value, mut read: impl FnMut(&Value) -> Result<Value>) -> Result<Vec<Listed>> {
    let mut all = Vec::new();
    let mut waiting = VecDeque::new();
    let mut indexes = 1;
    let mut next = Some((None::<Value>, index, Vec::new(), Vec::new(), 1));
    while let Some((descriptor, mut index, above, digests, depth)) = next {
        if let Some(entry) = descriptor.filter(|_| is_checkpoint(&index)) {
            let (identity, form) = (entry["digest"].to_string(), Form::Containerd);
            all.push(Listed { identity, entry, names: above.clone(), digests: digests.clone(), form });
            index = Value::Null;
        }
        let manifests = index.get_mut("manifests").map(Value::take);
        for entry in manifests.as_ref().and_then(Value::as_array).into_iter().flatten() {
            let own = NAMES.iter().filter_map(|key| text(&entry["annotations"][key])).map(str::to_owned);
            let names: Vec<String> = above.iter().cloned().chain(own).collect();
            let is_index = entry["mediaType"].as_str().is_some_and(|kind| INDEX.contains(&kind));
            let entry = needed_keys(entry);
            let own = entry["digest"].as_str().map(str::to_owned);
            let digests: Vec<String> = digests.iter().cloned().chain(own).collect();
            if !is_index {
                let (identity, form) = (entry["digest"].to_string(), Form::Manifest);
                all.push(Listed { identity, entry, names, digests, form });
            } else if depth == MAX_DEPTH || indexes == MAX_INDEXES {
                return Err(image_error(format!(
                    "index.json: more than {MAX_DEPTH} nested indexes, or more than {MAX_INDEXES} indexes"
                )));
            } else {
                indexes += 1;
                waiting.push_back((entry, names, digests, depth + 1));
            }
            if all.len() > MAX_IMAGES {
                return Err(image_error(format!("index.json: more than {MAX_IMAGES} images")));
            }
        }
        next = match waiting.pop_front() {
            Some((entry, names, digests, depth)) => {
                let index = read(&entry)?;
                Some((Some(entry), index, names, digests, depth))
            }
            None => None,
        };
    }
    Ok(all)
}

/// Returns the keys of a descriptor that are needed to choose an image.
fn needed_keys(entry: &Value) -> Value {
    let size = if entry["size"].is_number() { entry["size"].clone() } else { is_there(&entry["size"]) };
    json!({
        "digest": text(&entry["digest"]),
        "size": size,
        "platform": { "architecture": text(&entry["platform"]["architecture"]) },
        "annotations": { ATTESTATION: is_about_another(entry) },
    })
}

/// Returns `true` if the entry is not an image but describes an image, such as an attestation or a
/// signature. Otherwise returns null.
fn is_about_another(entry: &Value) -> Value {
    let annotations = &entry["annotations"];
    let (key, prefix, images) = COSIGN;
    let kind = annotations[key].as_str().and_then(|kind| kind.strip_prefix(prefix));
    let of_cosign = kind.is_some_and(|kind| !images.contains(&kind));
    let platform = &entry["platform"];
    let of_buildx = platform["os"] == "unknown" && platform["architecture"] == "unknown";
    if of_cosign || of_buildx { Value::Bool(true) } else { is_there(&annotations[ATTESTATION]) }
}

/// Returns null if the key is missing, and `true` otherwise, so that a long value is not kept.
fn is_there(value: &Value) -> Value {
    if value.is_null() { Value::Null } else { Value::Bool(true) }
}

/// Returns the string, or `None` if the value is not a string or longer than [`MAX_TEXT`].
fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| text.len() <= MAX_TEXT)
}

/// Returns the image with the name `name`, or the only image if `name` is `None`. `list` is the
/// document that lists the images. Attestations are ignored. If several images have the same names,
/// returns the image that is present in the layout, which `there` reports. If several of these
/// images are present, returns the image for `architecture`.
pub(super) fn choose(
    list: &'static str,
    all: &[Listed],
    name: Option<&str>,
    there: impl Fn(&Listed) -> bool,
    architecture: &str,
) -> Result<Listed> {
    let named: Vec<&Listed> = all
        .iter()
        .filter(|image| name.is_none_or(|name| matches_reference(image, name)))
        .filter(|image| image.entry["annotations"][ATTESTATION].is_null())
        .collect();
    // Several images with the same names are one image for several architectures. Images whose
    // digests only start with the same digits are different images.
    let by_digest = name.is_some_and(|name| !named.iter().any(|image| image.names.iter().any(|n| n == name)));
    let alike = named.windows(2).all(|pair| {
        pair[0].names == pair[1].names && (!by_digest || pair[0].digests.first() == pair[1].digests.first())
    });
    let present = named.iter().copied().filter(|image| alike && there(image));
    let for_this_host = |image: &&Listed| image.entry["platform"]["architecture"] == architecture;
    for narrower in
        [distinct(named.iter().copied()), distinct(present.clone()), distinct(present.filter(for_this_host))]
    {
        if let [image] = narrower.as_slice() {
            return Ok((*image).clone());
        }
    }
    let mut names: Vec<String> = Vec::new();
    for name in all.iter().flat_map(|image| &image.names).map(|name| format!("{name:?}")) {
        if names.len() < MAX_NAMES && !names.contains(&name) {
            names.push(name);
        }
    }
    match (name, names.as_slice()) {
        _ if names.is_empty() && !all.is_empty() => {
            let digests = all.iter().filter(|image| image.entry["annotations"][ATTESTATION].is_null());
            let digests = digests.filter_map(|image| image.digests.last()).take(MAX_NAMES).cloned().collect();
            Err(Error::Choice { list, names: digests })
        }
        (_, []) => Err(image_error(format!("{list} lists {} images, expected one", named.len()))),
        (Some(name), _) if !named.is_empty() => Err(image_error(format!(
            "{list} lists {} images named {name:?}, expected exactly one for {architecture}",
            named.len()
        ))),
        _ => Err(Error::Choice { list, names }),
    }
}

/// Returns whether `reference` refers to the image. A reference is a name of the image, a digest or
/// its first digits (at least six), or both, as in `NAME@sha256:DIGEST`. With a digest, NAME may
/// lack the tag.
fn matches_reference(image: &Listed, reference: &str) -> bool {
    let is_name = |name: &str| image.names.iter().any(|n| n == name);
    if is_name(reference) {
        return true;
    }
    let (name, digest) = match reference.rsplit_once('@') {
        Some((name, digest)) => (Some(name).filter(|name| !name.is_empty()), digest),
        None => (None, reference),
    };
    let is_digest = digest.split_once(':').is_some_and(|(algorithm, hex)| {
        matches!(algorithm, "sha256" | "sha512")
            && hex.len() >= 6
            && hex.bytes().all(|b| b.is_ascii_hexdigit())
    });
    let of_repository = |name: &str| {
        let tagged = image.names.iter().filter_map(|n| n.strip_prefix(name));
        is_name(name) || tagged.into_iter().any(|rest| rest.starts_with(':'))
    };
    is_digest
        && image.digests.iter().any(|d| d.starts_with(&digest.to_ascii_lowercase()))
        && name.is_none_or(of_repository)
}

/// Returns each image once, even if it is listed under several names.
fn distinct<'a>(images: impl Iterator<Item = &'a Listed>) -> Vec<&'a Listed> {
    let mut seen = std::collections::BTreeSet::new();
    images.filter(|image| seen.insert(image.identity.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(digest: &str, name: &str) -> Value {
        json!({ "digest": digest, "annotations": { NAMES[0]: name } })
    }

    /// Returns the nested indexes by their digests. In these tests, the key `holds` of an entry has
    /// the content of its index.
    fn held(index: &Value) -> std::collections::BTreeMap<String, Value> {
        let entries = index["manifests"].as_array().into_iter().flatten();
        entries
            .filter(|entry| !entry["holds"].is_null())
            .flat_map(|entry| {
                let own = (entry["digest"].to_string(), entry["holds"].clone());
                held(&entry["holds"]).into_iter().chain([own])
            })
            .collect()
    }

    fn by(index: Value, name: Option<&str>, there: &[&str]) -> std::result::Result<String, String> {
        let holds = held(&index);
        let all = listed(index, |descriptor| Ok(holds[&descriptor["digest"].to_string()].clone()));
        let all = all.map_err(|e| e.to_string())?;
        let there = |image: &Listed| there.iter().any(|digest| image.entry["digest"] == *digest);
        let found = choose("index.json", &all, name, there, "amd64").map_err(|e| e.to_string())?;
        Ok(found.entry["digest"].as_str().unwrap_or_default().to_owned())
    }

    #[test]
    fn one_image_under_two_names_is_one_image() {
        let index = json!({ "manifests": [image("a", "x:1"), image("a", "x:2")] });
        assert_eq!(by(index.clone(), None, &["a"]).unwrap(), "a");
        assert_eq!(by(index.clone(), Some("x:2"), &["a"]).unwrap(), "a");
        let e = by(index, Some("x:3"), &["a"]).unwrap_err();
        assert!(e.contains("\"x:1\"") && e.contains("\"x:2\""), "{e}");
    }

    #[test]
    fn a_nested_index_is_read_and_passes_on_its_name() {
        let platforms = json!({ "manifests": [
            { "digest": "arm", "platform": { "architecture": "arm64" } },
            { "digest": "amd", "platform": { "architecture": "amd64" } },
            { "digest": "att", "platform": { "architecture": "unknown" }, "annotations": { ATTESTATION: "attestation-manifest" } },
        ]});
        let mut nested = image("index", "1");
        nested["mediaType"] = json!(INDEX[0]);
        nested["annotations"][NAMES[1]] = json!("docker.io/library/web:1");
        nested["holds"] = platforms;
        let index = json!({ "manifests": [image("other", "other"), nested] });
        let all = ["arm", "amd", "att", "other"];
        assert_eq!(by(index.clone(), Some("docker.io/library/web:1"), &all).unwrap(), "amd");
        assert_eq!(
            by(index.clone(), Some("1"), &["arm", "att"]).unwrap(),
            "arm",
            "an image that is not in the layout is ignored"
        );
        assert!(by(index, None, &all).unwrap_err().contains("\"other\""));
    }

    #[test]
    fn images_for_other_architectures_are_an_error() {
        let mut images = [image("a", "x"), image("b", "x")];
        images[0]["platform"] = json!({ "architecture": "arm64" });
        let e = by(json!({ "manifests": images }), Some("x"), &["a", "b"]).unwrap_err();
        assert!(e.contains("2 images named \"x\", expected exactly one for amd64"), "{e}");
    }

    #[test]
    fn an_invalid_index_lists_no_images() {
        for nothing in [json!([]), json!(null), json!(5), json!({ "manifests": "x" })] {
            assert!(listed(nothing.clone(), |_| unreachable!()).unwrap().is_empty());
            let nested = json!({ "mediaType": INDEX[0], "digest": "n", "holds": nothing });
            let good =
                json!({ "mediaType": INDEX[0], "digest": "g", "holds": { "manifests": [image("a", "x")] } });
            if !nested["holds"].is_null() {
                assert_eq!(by(json!({ "manifests": [nested, good] }), None, &[]).unwrap(), "a");
            }
        }
    }

    #[test]
    fn too_many_images_are_rejected_and_long_names_ignored() {
        let many = json!({ "manifests": vec![json!({}); MAX_IMAGES + 1] });
        assert!(by(many, None, &[]).unwrap_err().contains("more than 10000 images"));
        let long = json!({ "manifests": [image("a", &"x".repeat(MAX_TEXT + 1))] });
        assert!(listed(long, |_| unreachable!()).unwrap()[0].names.is_empty());
    }

    #[test]
    fn too_many_nested_indexes_are_rejected() {
        let mut deep = json!({ "manifests": [image("a", "x")] });
        for n in 1..MAX_DEPTH {
            deep =
                json!({ "manifests": [{ "mediaType": INDEX[1], "digest": n.to_string(), "holds": deep }] });
        }
        assert_eq!(by(deep.clone(), None, &[]).unwrap(), "a");
        let deeper = json!({ "manifests": [{ "mediaType": INDEX[1], "digest": "i", "holds": deep }] });
        assert!(by(deeper, None, &[]).unwrap_err().contains("more than 8 nested indexes"));
        let mut wide = json!({ "manifests": [] });
        for n in 0..4 {
            let entry = json!({ "mediaType": INDEX[0], "digest": n.to_string(), "holds": wide });
            wide = json!({ "manifests": vec![entry; 12] });
        }
        assert!(by(wide, None, &[]).unwrap_err().contains("more than 1000 indexes"));
    }

    #[test]
    fn an_image_is_found_by_name_or_digest() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let image = Listed {
            identity: digest.clone(),
            entry: json!({}),
            names: vec!["localhost/web:1".into()],
            digests: vec![digest.clone(), "sha512:fedcba9876".into()],
            form: Form::Manifest,
        };
        for (reference, found) in [
            ("localhost/web:1", true),
            ("localhost/web", false),
            ("localhost/web:2", false),
            ("sha256:012345", true),
            ("sha256:01234", false),
            ("sha256:ABCDEF", false),
            ("sha256:0123456789ABCDEF", true),
            ("sha256:012346", false),
            ("sha256:01234g", false),
            ("sha512:fedcba", true),
            ("sha384:012345", false),
            ("012345", false),
            ("@sha256:012345", true),
            ("localhost/web:1@sha256:012345", true),
            ("localhost/web@sha256:012345", true),
            ("localhost/we@sha256:012345", false),
            ("localhost/web:2@sha256:012345", false),
            ("localhost/web@sha256:543210", false),
            ("localhost/web:1@sha384:012345", false),
        ] {
            assert_eq!(matches_reference(&image, reference), found, "{reference}");
        }
    }

    #[test]
    fn the_limits_of_an_index_are_inclusive() {
        let longest = "x".repeat(MAX_TEXT);
        let mut manifests = vec![json!({}); MAX_IMAGES];
        manifests[0] = image("a", &longest);
        let index = json!({ "manifests": manifests });
        let all = listed(index, |_| unreachable!()).unwrap();
        assert_eq!((all.len(), &all[0].names), (MAX_IMAGES, &vec![longest]));
    }

    #[test]
    fn images_that_describe_others_are_ignored() {
        let (key, prefix, images) = COSIGN;
        let kind = |kind: &str| json!({ "annotations": { key: format!("{prefix}{kind}") } });
        let platform = |os, architecture| json!({ "platform": { "os": os, "architecture": architecture } });
        for (entry, ignored) in [
            (json!({}), false),
            (json!({ "annotations": { ATTESTATION: "attestation-manifest" } }), true),
            (kind(images[0]), false),
            (kind("sigs"), true),
            (json!({ "annotations": { key: "other" } }), false),
            (platform("unknown", "unknown"), true),
            (platform("linux", "unknown"), false),
            (platform("unknown", "amd64"), false),
        ] {
            assert_eq!(!is_about_another(&entry).is_null(), ignored, "{entry}");
        }
    }
}
