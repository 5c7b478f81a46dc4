//! Reads images of checkpoints in every form in which tools write them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A directory with an archive `a.tar` and parts of this archive.
struct Place {
    dir: tempfile::TempDir,
}

struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> Place {
        let place = Place { dir: tempfile::tempdir().unwrap() };
        for (tree, files) in [
            (
                "whole",
                &[("config.dump", "{\"id\":\"x\"}"), ("spec.dump", SPEC), ("checkpoint/inventory.img", "x")]
                    [..],
            ),
            // The same archive in two layers: the upper layer replaces a file, deletes another
            // file, and empties a directory.
            ("lower", &[("config.dump", "old"), ("dump.log", "old"), ("checkpoint/core-9.img", "old")]),
            (
                "upper",
                &[
                    ("config.dump", "{\"id\":\"x\"}"),
                    (".wh.dump.log", ""),
                    ("spec.dump", SPEC),
                    ("checkpoint/.wh..wh..opq", ""),
                    ("checkpoint/inventory.img", "x"),
                ],
            ),
        ] {
            for (name, content) in files {
                let path = place.path(tree).join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            place.shell(&format!("tar -C {tree} --sort=name --mtime=@1 -cf {tree}.tar $(ls -A {tree})"));
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn shell(&self, command: &str) -> String {
        let run = Command::new("bash").args(["-ec", command]).current_dir(self.dir.path()).output().unwrap();
        assert!(run.status.success(), "{command}: {}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap()
    }

    fn run(&self, args: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"));
        let run = command.args(args).current_dir(self.dir.path()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run { code: run.status.code(), stdout: text(run.stdout), stderr: text(run.stderr) }
    }

    /// Returns the names and sizes of the members.
    #[track_caller]
    fn members(&self, args: &[&str]) -> Vec<String> {
        let run = self.run(&[&["--list"], args].concat());
        assert_eq!(run.code, Some(0), "{args:?}: {}", run.stderr);
        let mut lines: Vec<String> = run.stdout.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Adds a blob and returns its descriptor.
    fn blob(&self, layout: &str, algorithm: &str, kind: &str, content: &[u8]) -> Value {
        fs::write(self.path("blob"), content).unwrap();
        let hex = self.shell(&format!("{algorithm}sum blob"))[..].split(' ').next().unwrap().to_owned();
        let dir = self.path(layout).join("blobs").join(algorithm);
        fs::create_dir_all(&dir).unwrap();
        fs::rename(self.path("blob"), dir.join(&hex)).unwrap();
        json!({ "mediaType": kind, "digest": format!("{algorithm}:{hex}"), "size": content.len() })
    }

    /// Adds an image with these layers and returns the descriptor of its manifest.
    fn image(&self, layout: &str, algorithm: &str, layers: &[&[u8]], mark: &str) -> Value {
        let layer =
            |layer: &&[u8]| self.blob(layout, algorithm, "application/vnd.oci.image.layer.v1.tar", layer);
        let layers: Vec<Value> = layers.iter().map(layer).collect();
        let config = json!({ "architecture": "amd64", "os": "linux", "author": mark }).to_string();
        let config =
            self.blob(layout, algorithm, "application/vnd.oci.image.config.v1+json", config.as_bytes());
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        self.blob(layout, algorithm, MANIFEST, manifest.to_string().as_bytes())
    }

    fn index(&self, layout: &str, manifests: &[&Value]) {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        fs::write(self.path(layout).join("index.json"), index.to_string()).unwrap();
        fs::write(self.path(layout).join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Returns the input as a directory, as a tar, and as a compressed tar.
    fn is_read_in_every_form(&self, layout: &str, args: &[&str]) {
        let expected = self.members(&["whole.tar"]);
        self.shell(&format!("tar -C {layout} -cf {layout}.tar $(ls {layout}); gzip -k {layout}.tar"));
        for form in ["", ".tar", ".tar.gz"] {
            let input = format!("{layout}{form}");
            assert_eq!(self.members(&[&[&input[..]], args].concat()), expected, "{input} {args:?}");
        }
    }
}

const SPEC: &str = r#"{"ociVersion":"1.0.2"}"#;

fn with(mut descriptor: Value, key: &str, value: Value) -> Value {
    descriptor[key] = value;
    descriptor
}

fn digest(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().unwrap()
}

#[test]
fn signatures_and_attestations_of_an_image_are_ignored() {
    let place = Place::new();
    let whole = place.read("whole.tar");
    let kind = |kind: &str| json!({ "kind": format!("dev.cosignproject.cosign/{kind}") });
    let image = |layout: &str, mark: &str| place.image(layout, "sha256", &[&whole], mark);
    let other = |layout: &str, mark: &str| place.image(layout, "sha256", &[b"{}"], mark);
    for (layout, manifests) in [
        (
            "cosign",
            vec![
                with(image("cosign", ""), "annotations", kind("image")),
                with(other("cosign", "s"), "annotations", kind("sigs")),
            ],
        ),
        (
            "cosign-all",
            vec![
                with(other("cosign-all", "s"), "annotations", kind("sigs")),
                with(other("cosign-all", "a"), "annotations", kind("atts")),
                with(other("cosign-all", "b"), "annotations", kind("sboms")),
                with(image("cosign-all", ""), "annotations", kind("image")),
            ],
        ),
        (
            "buildx",
            vec![
                image("buildx", ""),
                with(other("buildx", "a"), "platform", json!({ "os": "unknown", "architecture": "unknown" })),
            ],
        ),
        (
            "buildx-annotated",
            vec![
                image("buildx-annotated", ""),
                with(
                    other("buildx-annotated", "a"),
                    "annotations",
                    json!({ "vnd.docker.reference.type": "attestation-manifest" }),
                ),
            ],
        ),
    ] {
        place.index(layout, &manifests.iter().collect::<Vec<_>>());
        place.is_read_in_every_form(layout, &[]);
    }
}

#[test]
fn an_image_is_chosen_by_its_digest() {
    let place = Place::new();
    let one = place.image("l", "sha256", &[&place.read("whole.tar")], "");
    let two = place.image("l", "sha256", &[&place.read("lower.tar")], "two");
    let name = |name: &str| json!({ "org.opencontainers.image.ref.name": name });
    let (one, two) =
        (with(one, "annotations", name("quay.io/x/web:1")), with(two, "annotations", name("y:2")));
    place.index("l", &[&one, &two]);
    let whole = digest(&one).to_owned();
    let expected = place.members(&["whole.tar"]);
    for tag in [
        whole.clone(),
        whole[..19].to_owned(),
        whole.to_uppercase().replace("SHA256", "sha256"),
        format!("@{whole}"),
        format!("quay.io/x/web@{whole}"),
        format!("quay.io/x/web:1@{whole}"),
        "quay.io/x/web:1".to_owned(),
    ] {
        assert_eq!(place.members(&["l", "--tag", &tag]), expected, "{tag}");
    }
    let absent = format!("sha256:{}", "0".repeat(64));
    for tag in [&absent, &whole[..12], &format!("y@{whole}"), &whole[7..], "sha256:"] {
        let run = place.run(&["--list", "l", "--tag", tag]);
        assert_eq!(run.code, Some(1), "{tag}: {}", run.stdout);
        assert!(run.stderr.contains("quay.io/x/web:1"), "{tag}: {}", run.stderr);
    }
    // Images without names can be selected only by digest.
    let nameless = |image: &Value| with(image.clone(), "annotations", json!({}));
    place.index("l", &[&nameless(&one), &nameless(&two)]);
    let run = place.run(&["--list", "l"]);
    assert!(run.stderr.contains(&whole) && run.stderr.contains("hint: "), "{}", run.stderr);
    assert_eq!(place.members(&["l", "--tag", &whole]), expected);
}

#[test]
fn several_layers_are_merged_into_one_archive() {
    let place = Place::new();
    let layers = [place.read("lower.tar"), place.read("upper.tar")];
    place.shell("gzip -k upper.tar; tar -cf empty.tar -T /dev/null");
    let (gz, empty) = (place.read("upper.tar.gz"), place.read("empty.tar"));
    for (layout, layers) in [
        ("two", vec![&layers[0][..], &layers[1]]),
        ("compressed", vec![&layers[0][..], &gz]),
        ("empty", vec![&empty[..], &layers[0], &empty, &layers[1], &empty]),
        ("twice", vec![&layers[1][..], &layers[0], &layers[1]]),
    ] {
        let image = place.image(layout, "sha256", &layers, "");
        place.index(layout, &[&image]);
        place.is_read_in_every_form(layout, &[]);
        let run = place.run(&["--bundle", &format!("b-{layout}"), layout]);
        assert_eq!(run.code, Some(0), "{layout}: {}", run.stderr);
        assert_eq!(place.shell(&format!("diff -r whole b-{layout}")), "");
    }
}

#[test]
fn blobs_named_by_sha512_are_checked() {
    let place = Place::new();
    let image = place.image("l", "sha512", &[&place.read("whole.tar")], "");
    place.index("l", &[&image]);
    place.is_read_in_every_form("l", &[]);
    place.is_read_in_every_form_again("l", digest(&image));
    let layer = place.shell("ls -S l/blobs/sha512 | head -1");
    place.shell(&format!("printf X | dd of=l/blobs/sha512/{} bs=1 seek=600 conv=notrunc", layer.trim()));
    let run = place.run(&["--list", "l"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("the SHA-512 does not match the digest"), "{}", run.stderr);
}

impl Place {
    fn is_read_in_every_form_again(&self, layout: &str, tag: &str) {
        for form in ["", ".tar", ".tar.gz"] {
            self.members(&[&format!("{layout}{form}"), "--tag", tag]);
        }
    }
}

#[test]
fn directories_written_by_skopeo_and_docker_are_read() {
    let place = Place::new();
    let whole = place.read("whole.tar");
    let image = place.image("l", "sha256", &[&whole], "");
    let hex = digest(&image).strip_prefix("sha256:").unwrap();
    // skopeo copy … dir:DIR
    place.shell(&format!(
        "mkdir d; cp l/blobs/sha256/* d; mv d/{hex} d/manifest.json; echo 'Directory Transport Version: 1.1' > d/version"
    ));
    place.is_read_in_every_form("d", &[]);
    place.is_read_in_every_form_again("d", digest(&image));
    let run = place.run(&["--list", "d", "--tag", "name"]);
    assert!(run.code == Some(1) && run.stderr.contains(hex), "{}", run.stderr);
    // skopeo copy --all … dir:DIR
    place.shell(&format!("cp -r d all; mv all/manifest.json all/{hex}.manifest.json"));
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [image] });
    fs::write(place.path("all/manifest.json"), index.to_string()).unwrap();
    place.is_read_in_every_form("all", &[]);
    // docker save, which replaces a second copy of a layer with a symbolic link.
    let id = "c".repeat(64);
    fs::create_dir_all(place.path("docker").join(&id)).unwrap();
    let layer = "d".repeat(64);
    fs::write(place.path("docker").join(format!("{layer}.tar")), &whole).unwrap();
    symlink(format!("../{layer}.tar"), place.path("docker").join(&id).join("layer.tar")).unwrap();
    fs::write(place.path("docker").join(format!("{id}.json")), "{}").unwrap();
    let manifest = json!([{ "Config": format!("{id}.json"), "RepoTags": ["web:1"], "Layers": [format!("{id}/layer.tar")] }]);
    fs::write(place.path("docker/manifest.json"), manifest.to_string()).unwrap();
    place.is_read_in_every_form("docker", &[]);
    for tag in ["web:1", &format!("sha256:{id}"), &format!("web@sha256:{id}")] {
        place.is_read_in_every_form_again("docker", tag);
    }
    assert!(Path::new(&place.path("docker.tar")).exists());
}
