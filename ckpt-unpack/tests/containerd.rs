//! Reads a checkpoint in containerd's own form: what `ctr image export` writes of an image that
//! `ctr containers checkpoint --rw --task --image` made.

use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use checkpoint::compress::Decoder;
use checkpoint::oci::Hashing;
use serde_json::{Value, json};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/i32-ctr-image-export.tar.xz");
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CRIU: &str = "application/vnd.containerd.container.criu.checkpoint.criu.tar";
const CONFIG: &str = "application/vnd.containerd.container.checkpoint.config.v1+proto";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn plain() -> Vec<u8> {
    let mut bytes = Vec::new();
    Decoder::new(BufReader::new(File::open(DATA).unwrap())).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn unpack(args: &[&str], input: impl AsRef<Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"));
    command.env("NO_COLOR", "1").args(args).arg(input.as_ref()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The recorded export as a directory.
struct Export {
    dir: tempfile::TempDir,
    /// The index of the checkpoint.
    index: Value,
}

impl Export {
    fn new() -> Export {
        let dir = tempfile::tempdir().unwrap();
        let mut tar = Command::new("tar")
            .args(["-xf", "-", "-C"])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        tar.stdin.take().unwrap().write_all(&plain()).unwrap();
        assert!(tar.wait().unwrap().success());
        let top: Value = serde_json::from_slice(&fs::read(dir.path().join("index.json")).unwrap()).unwrap();
        let export = Export { dir, index: Value::Null };
        let index = fs::read(export.blob(&top["manifests"][0])).unwrap();
        Export { index: serde_json::from_slice(&index).unwrap(), ..export }
    }

    fn blob(&self, descriptor: &Value) -> std::path::PathBuf {
        self.dir.path().join("blobs").join(descriptor["digest"].as_str().unwrap().replace(':', "/"))
    }

    /// Returns the descriptor of the part with this media type.
    fn part(&mut self, kind: &str) -> &mut Value {
        let parts = self.index["manifests"].as_array_mut().unwrap();
        parts.iter_mut().find(|part| part["mediaType"] == kind).unwrap()
    }

    fn remove(&mut self, kind: &str) {
        self.index["manifests"].as_array_mut().unwrap().retain(|part| part["mediaType"] != kind);
    }

    /// Adds a blob and returns its descriptor.
    fn add(&self, kind: &str, bytes: &[u8]) -> Value {
        let mut hashing = Hashing::new(Vec::new());
        hashing.write_all(bytes).unwrap();
        let (bytes, digest, size) = hashing.finish();
        fs::write(self.dir.path().join("blobs/sha256").join(&digest), bytes).unwrap();
        json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": size })
    }

    /// Replaces the part with this media type.
    fn replace(&mut self, kind: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let old = self.part(kind).clone();
        let bytes = change(fs::read(self.blob(&old)).unwrap());
        *self.part(kind) = self.add(kind, &bytes);
    }

    /// Lists the checkpoint and `others` in index.json.
    fn list(&self, others: Vec<Value>) -> &Path {
        let mut own = self.add(INDEX, self.index.to_string().as_bytes());
        own["annotations"] = json!({
            "org.opencontainers.image.ref.name": "1",
            "io.containerd.image.name": "docker.io/library/ckpt:1",
        });
        let manifests = [vec![own], others].concat();
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        fs::write(self.dir.path().join("index.json"), index.to_string()).unwrap();
        self.dir.path()
    }
}

fn any(kind: &str, value: &[u8]) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let length = [(bytes.len() % 128) as u8 | 128, (bytes.len() / 128) as u8];
        [&[number << 3 | 2], &length[..], bytes].concat()
    };
    [field(1, kind.as_bytes()), field(2, value)].concat()
}

#[test]
fn every_action_reads_an_export_of_ctr() {
    let dir = tempfile::tempdir().unwrap();
    let tar = dir.path().join("export.tar");
    fs::write(&tar, plain()).unwrap();
    let export = Export::new();
    for input in [Path::new(DATA), &tar, export.list(Vec::new()), Path::new("/dev/stdin")] {
        for action in ["--list", "--verify", "--show"] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"));
            command.arg(action).arg(input).stdin(File::open(&tar).unwrap());
            let run = command.output().unwrap();
            assert_eq!(said(&run), "", "{action} {}", input.display());
            assert!(run.status.success());
        }
    }
    let shown: Value = serde_json::from_slice(&unpack(&["--show", "--json"], &tar).stdout).unwrap();
    for (key, value) in [
        ("container_name", json!("web")),
        ("image", json!("docker.io/library/img:1")),
        ("image_id", json!("ebc25b423514974883100ad2a54a1cd08ec54de19e157c939c25bd59d89432aa")),
        ("runtime", json!("runc")),
        ("checkpointed", json!("2026-11-29T19:45:49Z")),
    ] {
        assert_eq!(shown[key], value, "{key}");
    }
    assert_eq!(shown["process_tree"]["cmdline"], "/bin/sh /app/count");
    assert_eq!(shown["checkpoint_size"]["memory_pages_size"], 77824 + 65536);
}

#[test]
fn an_export_of_ctr_is_unpacked_with_its_deletions() {
    let dir = tempfile::tempdir().unwrap();
    let (bundle, rootfs) = (dir.path().join("bundle"), dir.path().join("rootfs"));
    fs::create_dir_all(rootfs.join("app/cache")).unwrap();
    for deleted in ["deleted", "cache/old", "kept"] {
        fs::write(rootfs.join("app").join(deleted), "").unwrap();
    }
    let (b, r) = (bundle.to_str().unwrap(), rootfs.to_str().unwrap());
    let run = unpack(&["--bundle", b, "--rootfs", r, "--no-same-owner", "--no-devices"], DATA);
    assert!(run.status.success(), "{}", said(&run));
    assert_eq!(fs::read_to_string(rootfs.join("app/settings")).unwrap(), "changed\n");
    assert!(rootfs.join("app/kept").exists());
    assert!(!rootfs.join("app/deleted").exists() && !rootfs.join("app/cache/old").exists());
    assert!(bundle.join("checkpoint/inventory.img").exists());
    let spec: Value = serde_json::from_slice(&fs::read(bundle.join("spec.dump")).unwrap()).unwrap();
    assert_eq!(spec["process"]["args"], json!(["/app/count"]));
}

#[test]
fn one_checkpoint_of_several_is_selected_with_tag() {
    let export = Export::new();
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let mut other = export.add(manifest, br#"{"layers":[]}"#);
    other["annotations"] = json!({ "io.containerd.image.name": "docker.io/library/img:1" });
    let mut files = export.index.clone();
    files["manifests"].as_array_mut().unwrap().retain(|part| part["mediaType"] == LAYER);
    let mut files = export.add(INDEX, files.to_string().as_bytes());
    files["annotations"] = json!({ "io.containerd.image.name": "docker.io/library/files:1" });
    let dir = export.list(vec![other, files]);
    for (tag, error) in [
        (
            vec![],
            "index.json lists \"docker.io/library/img:1\", \"1\", \"docker.io/library/ckpt:1\", \"docker.io/library/files:1\"",
        ),
        (vec!["--tag", "docker.io/library/none:1"], "hint: select one: --tag REF"),
        (
            vec!["--tag", "docker.io/library/files:1"],
            "has no processes, only files; \"ctr containers checkpoint --task\"",
        ),
        (vec!["--tag", "docker.io/library/img:1"], "null is not a SHA-256"),
    ] {
        let run = unpack(&[vec!["--list"], tag].concat(), dir);
        assert_eq!(run.status.code(), Some(1));
        assert!(said(&run).contains(error), "{}", said(&run));
    }
    for tag in ["docker.io/library/ckpt:1", "1"] {
        assert!(unpack(&["--verify", "--tag", tag], dir).status.success());
    }
}

#[test]
fn a_checkpoint_without_files_or_image_is_read() {
    let mut export = Export::new();
    export.remove(LAYER);
    export.remove("application/vnd.oci.image.manifest.v1+json");
    let run = unpack(&["--show", "--json"], export.list(Vec::new()));
    let shown: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(shown["image"], "docker.io/library/img:1");
    assert_eq!(shown["image_id"], Value::Null);
    assert!(shown["member_sizes"].get("rootfs-diff.tar").is_none());
}

/// A change of the export.
type Damage = fn(&mut Export);

#[test]
fn damaged_and_hostile_exports_are_refused() {
    let spec = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
    assert_eq!(spec.len(), 54);
    let table: [(Damage, &str); 13] = [
        (
            |e| e.replace(CONFIG, |_| any("google.protobuf.Empty", b"{}")),
            "expected a types.containerd.io/opencontainers/runtime-spec/1/Spec, found \"google.protobuf.Empty\"",
        ),
        (|e| e.replace(CONFIG, |_| b"{\"ociVersion\":\"1\"}".to_vec()), "config.v1+proto: failed to decode"),
        (
            |e| e.replace(CONFIG, |_| any("types.containerd.io/opencontainers/runtime-spec/1/Spec", b"[]")),
            "not a JSON object",
        ),
        (|e| e.replace(CONFIG, |_| vec![0; 5 << 20]), "longer than 4194304 bytes"),
        (
            |e| e.remove(CONFIG),
            "has no spec (application/vnd.containerd.container.checkpoint.config.v1+proto)",
        ),
        (|e| e.replace(CRIU, |tar| tar[..100_000].to_vec()), "the tar stream ends too early"),
        (|e| e.replace(CRIU, |_| vec![b'x'; 1024]), "expected a tar, found text"),
        (|e| e.replace(CRIU, |tar| [&tar[..tar.len() - 1024], &tar].concat()), "occurs twice"),
        (
            |e| {
                let criu = e.part(CRIU).clone();
                e.index["manifests"].as_array_mut().unwrap().push(criu);
            },
            "more than one part of the type application/vnd.containerd.container.criu",
        ),
        (
            |e| {
                let at = e.part(CRIU).clone();
                let at = e.blob(&at);
                let mut bytes = fs::read(&at).unwrap();
                bytes[600] ^= 1;
                fs::write(at, bytes).unwrap();
            },
            "does not match the digest",
        ),
        (
            |e| {
                let at = e.part(LAYER).clone();
                fs::remove_file(e.blob(&at)).unwrap();
            },
            "not in the image",
        ),
        (|e| e.part(CRIU)["digest"] = json!("sha256:../../x"), "is not a SHA-256 or SHA-512 digest"),
        (
            |e| e.part(LAYER)["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"),
            "expected a layer of the type application/vnd.oci.image.layer.v1.tar+gzip, found",
        ),
    ];
    for (damage, error) in table {
        let mut export = Export::new();
        damage(&mut export);
        let run = unpack(&["--list"], export.list(Vec::new()));
        assert_eq!(run.status.code(), Some(1), "{error}");
        assert!(said(&run).contains(error), "expected {error:?}: {}", said(&run));
    }
}
