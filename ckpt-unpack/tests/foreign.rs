//! Reads archives and images of other tools: padded, in another order, or listed in a nested index.

use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use checkpoint::compress::{Compression, Decoder, Encoder, Settings};
use checkpoint::oci::Hashing;
use serde_json::{Value, json};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Returns an archive of podman as a plain tar.
fn plain(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = BufReader::new(File::open(data(name)).unwrap());
    Decoder::new(file).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn unpack(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"));
    command.args(args).env("NO_COLOR", "1");
    command
}

fn piped(args: &[&str], bytes: &[u8]) -> Output {
    let mut command = unpack(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn zeros_after_a_compressed_archive_of_bsdtar_are_accepted() {
    let plain = plain("g04-volumes.tar.xz");
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Xz, Compression::Bzip2] {
        let settings = Settings { compression, level: Some(1), threads: 1 };
        let mut encoder = Encoder::new(Vec::new(), &settings).unwrap();
        encoder.write_all(&plain).unwrap();
        let mut bytes = encoder.finish().unwrap();
        bytes.resize(bytes.len().next_multiple_of(10240), 0);
        for verb in ["--list", "--show", "--verify"] {
            let run = piped(&[verb], &bytes);
            assert!(run.status.success(), "{compression} {verb}: {}", said(&run));
        }
    }
}

#[test]
fn show_warns_if_pages_precede_their_index_in_a_pipe() {
    let unordered = plain("g23-handmade-from-runc.tar.xz");
    let run = piped(&["--show", "--json"], &unordered);
    assert!(run.status.success());
    assert!(
        said(&run).contains("command lines are not shown: the memory pages precede the images"),
        "{}",
        said(&run)
    );
    let ordered = plain("g01-basic-none.tar.xz");
    assert_eq!(said(&piped(&["--show"], &ordered)), "");
}

/// podman's image as a directory, to which other indexes can be added.
struct Layout {
    dir: tempfile::TempDir,
    /// The manifest that its own index lists.
    image: Value,
}

impl Layout {
    fn new() -> Layout {
        let dir = tempfile::tempdir().unwrap();
        let status =
            Command::new("tar").arg("-xf").arg(data("g22-image.oci.tar")).current_dir(dir.path()).status();
        assert!(status.unwrap().success());
        let index: Value = serde_json::from_slice(&fs::read(dir.path().join("index.json")).unwrap()).unwrap();
        let mut image = index["manifests"][0].clone();
        image["annotations"].take();
        Layout { dir, image }
    }

    /// Adds a document and returns its descriptor.
    fn add(&self, kind: &str, document: &Value) -> Value {
        let bytes = document.to_string().into_bytes();
        let mut hashing = Hashing::new(Vec::new());
        hashing.write_all(&bytes).unwrap();
        let (bytes, digest, size) = hashing.finish();
        fs::write(self.dir.path().join("blobs/sha256").join(&digest), bytes).unwrap();
        json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": size })
    }

    fn list(&self, manifests: Value, args: &[&str]) -> Output {
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        fs::write(self.dir.path().join("index.json"), index.to_string()).unwrap();
        unpack(&[&["--list"], args].concat()).arg(self.dir.path()).output().unwrap()
    }
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[test]
fn an_image_in_a_nested_index_of_buildx_is_found() {
    let layout = Layout::new();
    let mut amd = layout.image.clone();
    amd["platform"] = json!({ "os": "linux", "architecture": checkpoint::architecture() });
    let other = layout.add("application/vnd.oci.image.manifest.v1+json", &json!({ "layers": [] }));
    let mut foreign = other.clone();
    foreign["platform"] = json!({ "os": "linux", "architecture": "riscv32" });
    let mut attestation = layout.add("application/vnd.oci.image.manifest.v1+json", &json!({}));
    attestation["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    let nested = json!({ "schemaVersion": 2, "manifests": [foreign, amd, attestation] });
    let mut nested = layout.add(INDEX, &nested);
    nested["annotations"] = json!({
        "org.opencontainers.image.ref.name": "1",
        "io.containerd.image.name": "docker.io/library/web:1",
    });
    let run = layout.list(json!([nested]), &[]);
    assert!(run.status.success(), "{}", said(&run));
    assert!(String::from_utf8_lossy(&run.stdout).contains(" config.dump\n"));

    let mut named = other;
    named["annotations"] = json!({ "org.opencontainers.image.ref.name": "other" });
    let both = json!([named, nested]);
    assert!(layout.list(both.clone(), &["--tag", "docker.io/library/web:1"]).status.success());
    let run = layout.list(both, &[]);
    assert_eq!(run.status.code(), Some(1));
    assert!(
        said(&run).contains("index.json lists \"other\", \"1\", \"docker.io/library/web:1\""),
        "{}",
        said(&run)
    );
}

#[test]
fn endlessly_nested_indexes_are_refused() {
    let layout = Layout::new();
    let mut entry = layout.image.clone();
    for _ in 0..20 {
        entry = layout.add(INDEX, &json!({ "schemaVersion": 2, "manifests": [entry] }));
    }
    let run = layout.list(json!([entry]), &[]);
    assert_eq!(run.status.code(), Some(1));
    assert!(said(&run).contains("index.json: more than 8 nested indexes"), "{}", said(&run));
}

#[test]
fn a_blob_whose_size_differs_from_its_descriptor_is_refused() {
    let layout = Layout::new();
    let mut entry = layout.image.clone();
    entry["size"] = json!(entry["size"].as_u64().unwrap() + 1);
    let run = layout.list(json!([entry]), &[]);
    assert_eq!(run.status.code(), Some(1));
    assert!(said(&run).contains("expected 1503 bytes, found 1502"), "{}", said(&run));
}

#[test]
fn an_index_of_millions_of_values_is_refused_early() {
    let layout = Layout::new();
    let run = layout.list(json!(vec![0; 1_900_000]), &[]);
    assert_eq!(run.status.code(), Some(1));
    assert!(said(&run).contains("more than 262144 values"), "{}", said(&run));
    let run = layout.list(json!(vec![json!({}); 10_001]), &[]);
    assert_eq!(run.status.code(), Some(1));
    assert!(said(&run).contains("index.json: more than 10000 images"), "{}", said(&run));
}
