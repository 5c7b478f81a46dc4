//! Packs for one container engine: `--format ctr`, and `--annotations` with their documents.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use checkpoint::Member;
use checkpoint::archive::{ArchiveReader, Unknown};
use checkpoint::compress::{Bound, Compression, Decoder, Encoder, Settings};
use checkpoint::oci::{Content, Image, Layout};
use serde_json::{Value, json};
use tartree::{END_OF_ARCHIVE, Entry, Limits, RootName, TarPath, Timestamp};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ckpt-unpack/tests/data");
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A bundle in the directory `web`, and files next to it.
struct TestDir(tempfile::TempDir);

impl TestDir {
    /// Creates the bundle of a container that no engine manages.
    fn new() -> TestDir {
        let test = TestDir(tempfile::tempdir().unwrap());
        fs::create_dir_all(test.path("web/checkpoint")).unwrap();
        test.write("web/checkpoint/inventory.img", "inventory");
        test.write("web/checkpoint/pages-1.img", "pages");
        let spec = json!({
            "ociVersion": "1.2.0", "process": { "user": { "uid": 7, "gid": 8 } }, "mounts": [],
            "root": { "path": "/srv/web/rootfs", "readonly": true },
            "linux": { "cgroupsPath": "machine.slice:libpod:web" },
        });
        test.write("web/config.json", spec.to_string());
        test
    }

    /// Unpacks the members of a recorded archive into the bundle.
    fn recorded(archive: &str) -> TestDir {
        let test = TestDir(tempfile::tempdir().unwrap());
        fs::create_dir_all(test.path("web/checkpoint")).unwrap();
        let archive = fs::read(Path::new(DATA).join(archive)).unwrap();
        let mut reader = ArchiveReader::new(&archive[..], Unknown::Refuse).unwrap();
        while let Some((member, entry)) = reader.next().unwrap() {
            if entry.kind != tartree::Kind::Dir {
                let mut content = Vec::new();
                reader.content().read_to_end(&mut content).unwrap();
                test.write(&format!("web/{member}"), content);
            }
        }
        test
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-pack"));
        command.args(["--bundle", "web"]).args(args).current_dir(self.0.path());
        command.env("NO_COLOR", "1").env_remove("SOURCE_DATE_EPOCH").output().unwrap()
    }

    /// Packs without messages, and returns the documents of the archive.
    fn pack(&self, args: &[&str]) -> Vec<(String, Value)> {
        let run = self.run(&[args, &["-o", "out"]].concat());
        assert_eq!(said(&run), "", "{args:?}");
        let archive = fs::read(self.path("out")).unwrap();
        let mut reader = ArchiveReader::new(&archive[..], Unknown::Refuse).unwrap();
        let mut documents = Vec::new();
        while let Some((member, _)) = reader.next().unwrap() {
            if member.to_string().ends_with(".dump") {
                documents.push((member.to_string(), serde_json::from_reader(reader.content()).unwrap()));
            }
        }
        documents
    }

    /// Packs a checkpoint of containerd.
    fn image(&self, args: &[&str]) -> Image {
        let args = [&["--format", "ctr", "-o", "out", "--tag", "docker.io/library/c:1"], args].concat();
        let run = self.run(&args);
        assert!(run.status.success(), "{}", said(&run));
        Layout::of_tar(&fs::File::open(self.path("out")).unwrap()).unwrap().image(None).unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn find<'d>(documents: &'d [(String, Value)], name: &str) -> &'d Value {
    documents.iter().find(|(known, _)| known == name).map_or(&Value::Null, |(_, document)| document)
}

/// Returns a diff with one file, and with the deletion of another in podman's form.
fn diff(deletes: bool) -> Vec<u8> {
    let path = |name: &str| TarPath::parse(name.as_bytes()).unwrap();
    let mut tar = Vec::new();
    tartree::encode(&mut tar, &Entry::file(path("new"), 0, 0o644, Timestamp::default()), RootName::Slash);
    if deletes {
        tar.extend(tartree::removal_header(&path("old")).unwrap());
    }
    tar.extend(END_OF_ARCHIVE);
    tar
}

fn compressed(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), &Settings { compression, level: None, threads: 1 }).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn ctr_gets_the_parts_of_a_checkpoint_by_their_types() {
    let test = TestDir::new();
    test.write("layer", diff(false));
    let args = ["--rootfs-image", "docker.io/library/img:1", "--member", "rootfs-diff.tar=layer"];
    let image = test.image(&args);
    let index: Value = serde_json::from_slice(&image.manifest).unwrap();
    let kinds: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["mediaType"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.containerd.container.criu.checkpoint.criu.tar",
            "application/vnd.containerd.container.checkpoint.config.v1+proto",
        ]
    );
    assert_eq!(index["manifests"][0]["platform"]["architecture"], checkpoint::architecture());
    assert_eq!(
        index["annotations"],
        json!({
            "io.containerd.checkpoint.runtime": "io.containerd.runc.v2",
            "io.containerd.checkpoint.snapshotter": "overlayfs",
            "org.opencontainers.image.ref.name": "docker.io/library/img:1",
        })
    );
    assert_eq!(image.name.as_deref(), Some("docker.io/library/c:1"));
    let Content::Containerd(parts) = image.content else { panic!("not a checkpoint of containerd") };
    let spec: Value = serde_json::from_slice(&parts.spec).unwrap();
    assert_eq!(spec["root"], json!({ "path": "rootfs", "readonly": true }));
    assert_eq!(spec["linux"]["cgroupsPath"], "/default/web");
    let mut criu = String::new();
    let mut file = &parts.criu.file;
    file.seek(SeekFrom::Start(parts.criu.offset)).unwrap();
    file.take(parts.criu.size).read_to_string(&mut criu).unwrap();
    assert!(criu.starts_with("inventory.img\0"), "the tar has the images themselves, and no directory");

    let other = ["--annotation", "io.containerd.checkpoint.snapshotter=native", "--ignore-rootfs"];
    let image = test.image(&[&args[..2], &other].concat());
    assert_eq!(image.annotations["io.containerd.checkpoint.snapshotter"], "native");
    let Content::Containerd(parts) = image.content else { panic!("not a checkpoint of containerd") };
    assert!(parts.layer.is_none());
}

#[test]
fn the_layer_for_ctr_is_compressed_with_gzip_once() {
    let test = TestDir::new();
    let plain = diff(false);
    let gzip = compressed(Compression::Gzip, &plain);
    for (diff, same) in
        [(plain.clone(), false), (gzip.clone(), true), (compressed(Compression::Zstd, &plain), false)]
    {
        test.write("layer", &diff);
        let args = ["--rootfs-image", "docker.io/library/img:1", "--member", "rootfs-diff.tar=layer"];
        let Content::Containerd(parts) = test.image(&args).content else { panic!("no checkpoint") };
        let layer = parts.layer.unwrap();
        let mut file = layer.file;
        file.seek(SeekFrom::Start(layer.offset)).unwrap();
        let mut bytes = Vec::new();
        file.take(layer.size).read_to_end(&mut bytes).unwrap();
        assert_eq!(Compression::detect(&bytes), Compression::Gzip);
        assert_eq!(bytes == diff, same);
        let mut content = Vec::new();
        Decoder::new(&bytes[..]).unwrap().read_to_end(&mut content).unwrap();
        assert_eq!(content, plain);
    }
}

#[test]
fn a_checkpoint_for_ctr_has_the_same_bytes_in_a_pipe_and_is_an_archive() {
    let test = TestDir::new();
    let args = ["--rootfs-image", "docker.io/library/img:1", "--ignore-rootfs"];
    let mut image = test.image(&args);
    let piped = test.run(&[&args[..], &["--format", "ctr", "--tag", "docker.io/library/c:1"]].concat());
    assert_eq!(piped.stdout, fs::read(test.path("out")).unwrap());
    let archive = image.take_archive(&Limits::default(), &Bound::default(), tempfile::tempfile).unwrap();
    let mut file = archive.file;
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut reader = ArchiveReader::new(file, Unknown::Refuse).unwrap();
    let mut names = Vec::new();
    while let Some((member, _)) = reader.next().unwrap() {
        names.push(member);
    }
    assert!(names.contains(&Member::ConfigDump) && names.contains(&Member::SpecDump));
}

#[test]
fn what_ctr_cannot_restore_is_refused() {
    let test = TestDir::new();
    test.write("podman", diff(true));
    test.write("layer", diff(false));
    test.write("list", "[\"/old\"]");
    let image = ["--rootfs-image", "docker.io/library/img:1"];
    let diff = ["--member", "rootfs-diff.tar=layer"];
    for (args, status, error) in [
        (
            vec!["--member", "rootfs-diff.tar=podman"],
            1,
            "expected an image layer, found a diff with podman's deletions\nhint: make a layer: rootfs-diff create --format oci",
        ),
        (
            [&diff[..], &["--member", "deleted.files=list"]].concat(),
            1,
            "found a diff with podman's deletions",
        ),
        (
            [&diff[..], &["--member", "volumes/data.tar=layer"]].concat(),
            1,
            "volumes/data.tar: a checkpoint of containerd cannot hold it\nhint: add --ignore-volumes",
        ),
        (
            [&diff[..], &["--member", "devshm-checkpoint.tar=layer"]].concat(),
            1,
            "devshm-checkpoint.tar: a checkpoint of containerd cannot hold it",
        ),
        (
            [&diff[..], &["--compress", "zstd"]].concat(),
            2,
            "compressed with gzip\nhint: leave out --compress",
        ),
        (
            [&diff[..], &["--annotations", "containerd"]].concat(),
            2,
            "--annotations has no effect with --format ctr",
        ),
        (
            [&diff[..], &["--runtime", "crun"]].concat(),
            1,
            "restores with runc, found \"crun\"\nhint: convert the images: ckpt-unpack --runtime runc",
        ),
    ] {
        let run = test.run(&[&["--format", "ctr", "--tag", "c:1", "-o", "none"], &image[..], &args].concat());
        assert!(said(&run).contains(error), "{args:?}: {}", said(&run));
        assert_eq!(run.status.code(), Some(status), "{args:?}");
        assert!(!test.path("none").exists());
    }
    for (args, error) in [
        (
            vec!["--tag", "c:1", "--ignore-rootfs"],
            "rootfsImageName: containerd needs the name of the container's image",
        ),
        (vec!["--ignore-rootfs"], "the checkpoint needs a name\nhint: add --tag"),
    ] {
        let run = test.run(&[&["--format", "ctr", "-o", "none"], &args[..]].concat());
        assert!(said(&run).contains(error), "{args:?}: {}", said(&run));
    }
}

#[test]
fn cri_o_gets_an_annotation_and_an_image_id() {
    let test = TestDir::new();
    let image = format!("quay.io/web:1@{ID}");
    for format in ["archive", "oci"] {
        let args =
            ["--annotations", "cri-o", "--ignore-rootfs", "--rootfs-image", &image, "--format", format];
        if format == "oci" {
            assert!(test.run(&[&args[..], &["-o", "out"]].concat()).status.success());
            continue;
        }
        let documents = test.pack(&args);
        assert_eq!(find(&documents, "spec.dump")["annotations"]["io.kubernetes.cri-o.Annotations"], "{}");
        assert_eq!(find(&documents, "config.dump")["rootfsImageRef"], ID);
        assert_eq!(find(&documents, "status.dump"), &Value::Null);
    }
    let run = test.run(&["--annotations", "cri-o", "--ignore-rootfs", "--rootfs-image", "quay.io/web:1"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(
        said(&run).contains("rootfsImageRef: CRI-O needs an image ID of 64 hexadecimal digits, found none")
    );
}

#[test]
fn archives_of_the_other_engine_get_what_the_engine_needs() {
    let diff = ["--member", "rootfs-diff.tar=web/rootfs-diff.tar", "--ignore-volumes"];
    let image = format!("localhost:5000/img:1@sha256:{ID}");
    let of_cri_o = TestDir::recorded("g31-cri-o.tar.xz");
    fs::remove_file(of_cri_o.path("web/deleted.files")).unwrap();
    let documents =
        of_cri_o.pack(&[&diff[..], &["--annotations", "containerd", "--rootfs-image", &image]].concat());
    let config = find(&documents, "config.dump");
    assert_eq!(config["rootfsImageRef"], format!("localhost:5000/img@sha256:{ID}"));
    assert_eq!(config["rootfsImageName"], "localhost:5000/img:1");
    let status = find(&documents, "status.dump");
    assert_eq!(status["metadata"]["name"], "web");
    assert_eq!(status["labels"]["io.kubernetes.pod.name"], "web-pod");
    assert_eq!(status["annotations"]["io.kubernetes.container.hash"], "abc");
    assert_eq!(status["image"]["image"], "localhost:5000/img:1");

    let of_containerd = TestDir::recorded("g30-containerd-cri.tar.xz");
    let run = of_containerd.run(&[&diff[..], &["--annotations", "cri-o"]].concat());
    assert!(said(&run).contains("found \"localhost:5000/img@sha256:"), "{}", said(&run));
    let image = format!("localhost:5000/img:1@{ID}");
    let documents =
        of_containerd.pack(&[&diff[..], &["--annotations", "cri-o", "--rootfs-image", &image]].concat());
    assert_eq!(find(&documents, "config.dump")["rootfsImageRef"], ID);

    // Its own archive is not changed.
    let documents = of_containerd.pack(&[&diff[..], &["--annotations", "containerd"]].concat());
    let status: Value =
        serde_json::from_slice(&fs::read(of_containerd.path("web/status.dump")).unwrap()).unwrap();
    assert_eq!(find(&documents, "status.dump"), &status);
}

#[test]
fn combinations_that_containerd_cannot_take_are_refused() {
    let test = TestDir::recorded("g31-cri-o.tar.xz");
    let diff = ["--member", "rootfs-diff.tar=web/rootfs-diff.tar", "--annotations", "containerd"];
    let image = format!("localhost:5000/img:1@sha256:{ID}");
    let id = format!("localhost:5000/img:1@{ID}");
    for (args, status, error) in [
        (
            vec!["--compress", "zstd"],
            2,
            "containerd reads only an uncompressed archive\nhint: leave out --compress",
        ),
        (vec!["--with-previous"], 2, "neither CRI-O nor containerd restores images of a pre-dump"),
        (vec![], 1, "rootfsImageRef: containerd needs REGISTRY/NAME@sha256:DIGEST, found \"689df"),
        (vec!["--rootfs-image", id.as_str()], 2, "--rootfs-image: containerd needs NAME@sha256:DIGEST"),
        (
            vec!["--rootfs-image", image.as_str(), "--member", "deleted.files=web/deleted.files"],
            1,
            "deleted.files: containerd ignores this list, and rootfs-diff.tar has no removals",
        ),
    ] {
        let run = test.run(&[&diff[..], &args, &["-o", "none"]].concat());
        assert!(said(&run).contains(error), "{args:?}: {}", said(&run));
        assert_eq!(run.status.code(), Some(status), "{args:?}");
    }
}
