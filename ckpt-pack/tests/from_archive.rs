//! `--from-archive`: copies archives of all engines, in all forms, to all other forms.

use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use checkpoint::Member;
use checkpoint::archive::{ArchiveReader, Unknown};
use checkpoint::compress::{Bound, Compression, Decoder, Encoder, Settings};
use checkpoint::config_dump::ConfigDump;
use checkpoint::oci::{Image, Layout};
use checkpoint::stream::StreamWriter;
use proptest::prelude::*;
use tartree::{Entry, Kind, Limits, RootName, SparseMap, TarPath, Timestamp};

struct TestDir {
    dir: tempfile::TempDir,
}

struct Run {
    status: i32,
    stdout: Vec<u8>,
    stderr: String,
}

impl TestDir {
    fn new() -> TestDir {
        TestDir { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn run(&self, args: &[&str], input: &[u8]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-pack"));
        command.args(args).current_dir(self.dir.path()).env("NO_COLOR", "1").env_remove("SOURCE_DATE_EPOCH");
        command.env("TMPDIR", self.dir.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let bytes = input.to_vec();
        // The tool may end before it has read everything.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        Run { status: output.status.code().unwrap_or(-1), stdout: output.stdout, stderr }
    }

    /// Runs with `--from-archive -`; the run must succeed. Returns the output and the messages.
    #[track_caller]
    fn copy(&self, args: &[&str], archive: &[u8]) -> (Vec<u8>, String) {
        let run = self.run(&[&["--from-archive", "-"], args].concat(), archive);
        assert_eq!(run.status, 0, "{args:?}: {}", run.stderr);
        (run.stdout, run.stderr)
    }

    /// Runs with `--from-archive -`, which must fail, and must leave neither a file nor a complete
    /// archive or image. Returns the messages.
    #[track_caller]
    fn fails(&self, args: &[&str], archive: &[u8]) -> String {
        let mut messages = String::new();
        for format in ["archive", "oci"] {
            let to_file = ["--from-archive", "-", "--format", format, "-o", "out"];
            let run = self.run(&[&to_file[..], args].concat(), archive);
            assert_eq!((run.status, run.stdout.len()), (1, 0), "{args:?}: {}", run.stderr);
            assert!(!self.path("out").exists(), "{args:?}");
            messages = run.stderr;
            let run = self.run(&[&to_file[..4], args].concat(), archive);
            assert_eq!(run.status, 1, "{args:?}: {}", run.stderr);
            assert!(all_members(&run.stdout).is_err(), "{format} {args:?}: a complete output");
        }
        messages
    }

    /// Returns the image in an image layout and the bytes of its decompressed layer.
    #[track_caller]
    fn image(&self, layout: &[u8]) -> (Image, Vec<u8>) {
        self.write("layout", layout);
        let file = File::open(self.path("layout")).unwrap();
        let mut image = Layout::of_tar(&file).unwrap().image(None).unwrap();
        let spool = || tempfile::tempfile();
        let mut layer = image.take_archive(&Limits::default(), &Bound::default(), spool).unwrap();
        std::io::Seek::seek(&mut layer.file, std::io::SeekFrom::Start(layer.offset)).unwrap();
        (image, plain(layer.file.take(layer.size)))
    }
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ckpt-unpack/tests/data")
}

fn plain(input: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    Decoder::new(BufReader::new(input)).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn recorded(name: &str) -> Vec<u8> {
    plain(File::open(data().join(name)).unwrap())
}

fn compressed(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let settings = Settings { compression, level: Some(1), threads: 1 };
    let mut encoder = Encoder::new(Vec::new(), &settings).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

type Members = Vec<(Member, Entry, Vec<u8>)>;

fn all_members(archive: &[u8]) -> checkpoint::Result<Members> {
    let mut reader = ArchiveReader::new(archive, Unknown::Keep)?;
    let mut all = Vec::new();
    while let Some((member, entry)) = reader.next()? {
        let mut content = Vec::new();
        let read = reader.content().read_to_end(&mut content);
        read.map_err(|e| checkpoint::Error::Tar(tartree::Error::Stream(e)))?;
        all.push((member, entry, content));
    }
    reader.finish()?;
    Ok(all)
}

fn members(archive: &[u8]) -> Members {
    all_members(archive).unwrap()
}

fn content<'a>(all: &'a Members, name: &str) -> Option<&'a [u8]> {
    all.iter().find(|(member, ..)| member.to_string() == name).map(|(.., content)| &content[..])
}

fn config(all: &Members) -> ConfigDump {
    ConfigDump::read(content(all, "config.dump").unwrap()).unwrap()
}

fn stream(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = StreamWriter::new(Vec::new(), "producer");
    for (name, content) in members {
        let member = Member::of(&TarPath::parse(name.as_bytes()).unwrap());
        writer.small(&member, content, Timestamp { sec: 5, nsec: 0 }).unwrap();
    }
    writer.finish(0).unwrap()
}

/// Returns an archive with these files, without its end-of-archive blocks.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, content) in files {
        let path = TarPath::parse(name.as_bytes()).unwrap();
        let entry = Entry::file(path, content.len() as u64, 0o600, Timestamp { sec: 7, nsec: 0 });
        tartree::encode(&mut tar, &entry, RootName::Dot);
        tar.extend_from_slice(content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar
}

const SMALLEST: [(&str, &[u8]); 3] =
    [("config.dump", b"{\"name\":\"web\"}"), ("spec.dump", b"{}"), ("checkpoint/inventory.img", b"x")];

fn smallest(more: &[(&str, &[u8])]) -> Vec<u8> {
    let mut all = tar(&[&SMALLEST[..], more].concat());
    all.extend_from_slice(&tartree::END_OF_ARCHIVE);
    all
}

#[test]
fn every_recorded_archive_is_copied_byte_for_byte() {
    let test = TestDir::new();
    let mut archives = 0;
    for found in fs::read_dir(data()).unwrap() {
        let path = found.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.contains(".tar") || name.contains("image") {
            continue;
        }
        archives += 1;
        let expected = recorded(&name);
        let from_file = test.run(&["--from-archive", path.to_str().unwrap()], b"");
        assert_eq!((from_file.status, from_file.stderr.as_str()), (0, ""), "{name}");
        assert!(from_file.stdout == expected, "{name}");
        let (copied, _) = test.copy(&[], &fs::read(&path).unwrap());
        assert!(copied == expected, "{name} from a pipe");
    }
    assert!(archives >= 16, "{archives} archives");
}

#[test]
fn every_compression_is_converted_to_every_other() {
    let test = TestDir::new();
    let all = [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Xz, Compression::Bzip2];
    for name in ["g04-volumes.tar.xz", "g30-containerd-cri.tar.xz", "g31-cri-o.tar.xz"] {
        let expected = recorded(name);
        for from in all {
            for to in all {
                let (copied, _) = test.copy(&["--compress", to.name()], &compressed(from, &expected));
                assert_eq!(Compression::detect(&copied), to);
                assert!(plain(&copied[..]) == expected, "{name}: {from} to {to}");
            }
        }
    }
}

#[test]
fn an_archive_becomes_the_layer_of_an_image() {
    let test = TestDir::new();
    for (name, engine, pod) in [
        ("g04-volumes.tar.xz", "Podman", None),
        ("g30-containerd-cri.tar.xz", "containerd", Some("web-pod")),
        ("g31-cri-o.tar.xz", "CRI-O", Some("web-pod")),
    ] {
        let archive = recorded(name);
        for compress in ["none", "gzip", "zstd"] {
            let args = ["--format", "oci", "--tag", "localhost/web:1", "--compress", compress];
            let (layout, stderr) = test.copy(&args, &archive);
            assert_eq!(stderr, "", "{name}");
            let (image, layer) = test.image(&layout);
            assert!(layer == archive, "{name} {compress}");
            assert_eq!(image.name.as_deref(), Some("localhost/web:1"));
            let annotation = |key: &str| image.annotations.get(&format!("org.criu.checkpoint.{key}"));
            assert_eq!(annotation("engine.name").map(String::as_str), Some(engine));
            assert_eq!(annotation("pod.name").map(String::as_str), pod);
            // The host that runs the test did not dump the container.
            assert_eq!(annotation("host.kernel"), None);
            assert_eq!(annotation("criu.version"), None);
            assert_eq!(annotation("host.arch").map(String::as_str), Some("amd64"));
            let config: serde_json::Value = serde_json::from_slice(&image.config).unwrap();
            assert_eq!(config["architecture"], "amd64");
            let inventory = members(&archive)
                .into_iter()
                .find(|(member, ..)| member.to_string() == "checkpoint/inventory.img");
            let time = Timestamp { nsec: 0, ..inventory.unwrap().1.meta.mtime };
            assert_eq!(config["created"], time.to_string());
            // A file and a pipe get the same image.
            test.write("archive", &archive);
            let to_file = [&["--from-archive", "archive", "-o", "image"][..], &args].concat();
            assert_eq!(test.run(&to_file, b"").status, 0);
            assert!(test.read("image") == layout);
        }
    }
}

/// Returns the digests of the layers of an image layout, in order.
fn digests(dir: &TestDir, layout: &[u8]) -> Vec<String> {
    let (image, _) = dir.image(layout);
    let manifest: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_part_of_an_archive_becomes_a_layer() {
    let dir = TestDir::new();
    let split = ["--format", "oci", "--layers", "split"];
    for name in ["g04-volumes.tar.xz", "g05-shm.tar.xz", "g12-diff-deletes.tar.xz"] {
        let archive = recorded(name);
        for compression in ["none", "gzip", "zstd"] {
            let (layout, _) = dir.copy(&[&split[..], &["--compress", compression]].concat(), &archive);
            let (_, merged) = dir.image(&layout);
            let without_times = |archive: &[u8]| {
                let all = members(archive).into_iter();
                all.map(|(member, entry, content)| (member, entry.kind, entry.meta.mode, content))
                    .collect::<Vec<_>>()
            };
            assert!(without_times(&merged) == without_times(&archive), "{name} {compression}");
        }
    }
    let archive = smallest(&[
        ("rootfs-diff.tar", &tar(&[("f", b"1")])),
        ("deleted.files", b"[]"),
        ("volumes/a.tar", &tar(&[("f", b"2")])),
        ("volumes/b.tar", &tar(&[("f", b"3")])),
    ]);
    let (before, _) = dir.copy(&split, &archive);
    let before = digests(&dir, &before);
    // The documents are before the images, and the other parts follow.
    assert_eq!(before.len(), 5);
    // Another time, and another content of one volume, change the layer of this volume only.
    let replaced = stream(&[("volumes/a.tar", &tar(&[("f", b"changed")]))]);
    dir.write("stream", replaced);
    let (after, _) = dir.copy(&[&split[..], &["stream"]].concat(), &archive);
    let after = digests(&dir, &after);
    assert_eq!(after.len(), 5);
    assert_eq!(after.iter().filter(|digest| !before.contains(digest)).count(), 1);
    let run = dir.run(&["--from-archive", "-", "--layers", "split"], &archive);
    assert_eq!(run.status, 2, "{}", run.stderr);
    assert!(run.stderr.contains("--layers split has no effect without --format oci"), "{}", run.stderr);
}

#[test]
fn images_in_all_forms_are_read() {
    let test = TestDir::new();
    let image = recorded("g22-image.oci.tar");
    let (_, archive) = test.image(&image);
    let docker = recorded("g22-image.docker.tar.xz");
    fs::create_dir(test.path("dir")).unwrap();
    test.write("oci.tar", &image);
    let mut unpack = Command::new("tar");
    let status = unpack.args(["-C", "dir", "-xf", "oci.tar"]).current_dir(test.dir.path()).status();
    assert!(status.unwrap().success());
    test.write("docker.tar.zst", compressed(Compression::Zstd, &docker));
    // podman writes the layer again when it saves an image in docker's format.
    let names = |archive: &[u8]| {
        let mut names: Vec<_> = members(archive).iter().map(|(member, ..)| member.to_string()).collect();
        names.sort();
        names
    };
    for (file, input) in
        [("oci.tar", &[][..]), ("dir", &[]), ("docker.tar.zst", &[]), ("-", &image), ("-", &docker)]
    {
        let run = test.run(&["--from-archive", file], input);
        assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{file}");
        assert_eq!(names(&run.stdout), names(&archive), "{file}");
        assert!(run.stdout == archive || file.starts_with("docker") || input == docker, "{file}");
    }
    let run = test.run(&["--from-archive", "oci.tar", "--from-tag", "other"], b"");
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("--from-tag REF"), "{}", run.stderr);
    assert_eq!(fs::read_dir(test.dir.path()).unwrap().count(), 4, "a temporary file is left");
}

#[test]
fn an_image_keeps_its_annotations_when_it_is_compressed() {
    let test = TestDir::new();
    let image = recorded("g22-image.oci.tar");
    let (before, archive) = test.image(&image);
    let (layout, _) = test.copy(&["--format", "oci", "--compress", "zstd"], &image);
    let (after, layer) = test.image(&layout);
    assert!(layer == archive);
    let podman = "io.podman.annotations.checkpoint.";
    assert!(before.annotations.contains_key(&format!("{podman}criu.version")));
    for (key, value) in &before.annotations {
        assert_eq!(after.annotations.get(key), Some(value), "{key}");
    }
    let args = ["--format", "oci", "--name", "neu", "--annotations", "cri-o", "--annotation", "a=b"];
    let (after, _) = test.image(&test.copy(&args, &image).0);
    assert_eq!(after.annotations[&format!("{podman}name")], "neu");
    let cri_o = "io.kubernetes.cri-o.annotations.checkpoint.";
    assert_eq!(after.annotations[&format!("{cri_o}name")], "neu");
    let version = |family: &str| after.annotations[&format!("{family}criu.version")].clone();
    assert_eq!(version(cri_o), version(podman));
    assert_eq!(after.annotations["a"], "b");
}

#[test]
fn flags_change_the_documents_and_nothing_else() {
    let test = TestDir::new();
    let archive = recorded("g30-containerd-cri.tar.xz");
    let id = "a".repeat(64);
    let image = format!("quay.io/web:2@{id}");
    let args = ["--name", "web", "--id", &id, "--rootfs-image", &image, "--runtime", "runc"];
    let (copied, _) = test.copy(&args, &archive);
    let (before, after) = (members(&archive), members(&copied));
    let names = |all: &Members| all.iter().map(|(member, ..)| member.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after));
    for ((member, entry, old), (_, new_entry, new)) in before.iter().zip(&after) {
        assert_eq!((entry.meta.mtime, entry.meta.mode), (new_entry.meta.mtime, new_entry.meta.mode));
        assert_eq!(old != new, *member == Member::ConfigDump, "{member}");
    }
    let config = config(&after);
    for (key, value) in [
        ("name", "web"),
        ("id", &id),
        ("rootfsImageName", "quay.io/web:2"),
        ("rootfsImage", "quay.io/web:2"),
        ("rootfsImageID", &id),
        ("rootfsImageRef", &id),
        ("runtime", "runc"),
        ("createdTime", "2026-11-29T20:56:30.719010412Z"),
    ] {
        assert_eq!(config.text(key), Some(value), "{key}");
    }
    // The same values again change nothing.
    assert!(test.copy(&args, &copied).0 == copied);
    test.write("etc.tar", tar(&[("x", b"")]));
    let volume = ["--volume", "etc=/etc/hosts", "--volume-path", "/v"];
    let archive = recorded("g04-volumes.tar.xz");
    let (with_volume, _) =
        test.copy(&[&volume[..], &["--member", "volumes/etc.tar=etc.tar"]].concat(), &archive);
    assert!(config_volumes(&with_volume).contains(&"etc".to_owned()));
    // A volume without content would be restored empty.
    assert!(test.fails(&volume, &archive).contains("error: volumes/etc.tar: missing"));
}

#[test]
fn deletions_that_an_engine_ignores_are_reported() {
    let test = TestDir::new();
    let id = "a".repeat(64);
    let (by_digest, by_id) = (format!("quay.io/web:1@sha256:{id}"), format!("quay.io/web:1@{id}"));
    let lists = "deleted.files: ignored by containerd: these files come back";
    let whiteouts = "rootfs-diff.tar: a layer of containerd, whose whiteouts CRI-O does not apply";
    for (archive, engine, image, warning) in [
        ("g12-diff-deletes.tar.xz", "containerd", &by_digest, Some(lists)),
        ("g30-containerd-cri.tar.xz", "containerd", &by_digest, None),
        ("g12-diff-deletes.tar.xz", "cri-o", &by_id, None),
        ("g30-containerd-cri.tar.xz", "cri-o", &by_id, Some(whiteouts)),
    ] {
        let args = ["--annotations", engine, "--rootfs-image", image];
        let (_, messages) = test.copy(&args, &recorded(archive));
        for text in [lists, whiteouts] {
            assert_eq!(messages.contains(text), warning == Some(text), "{archive} {engine}: {messages}");
        }
    }
    // A given diff has its own deletions.
    test.write("diff.tar", tar(&[("x", b"")]));
    let args = ["--annotations", "cri-o", "--rootfs-image", &by_id, "--member", "rootfs-diff.tar=diff.tar"];
    assert!(!test.copy(&args, &recorded("g30-containerd-cri.tar.xz")).1.contains(whiteouts));
}

fn config_volumes(archive: &[u8]) -> Vec<String> {
    config(&members(archive)).volumes().unwrap().iter().map(|volume| volume.name.to_string()).collect()
}

#[test]
fn given_members_replace_those_of_the_archive() {
    let test = TestDir::new();
    let archive = recorded("g12-diff-deletes.tar.xz");
    assert!(content(&members(&archive), "deleted.files").is_some());
    test.write("archive", &archive);
    test.write("network.status", "{}");
    let diff = stream(&[("rootfs-diff.tar", b"new diff"), ("volumes/new.tar", b"volume")]);
    let args = [
        "-v",
        "--from-archive",
        "archive",
        "--member",
        "network.status=network.status",
        "--expect",
        "rootfs-diff",
        "-",
    ];
    let run = test.run(&args, &diff);
    assert_eq!(run.status, 0, "{}", run.stderr);
    for message in ["rootfs-diff.tar: replaced", "deleted.files: left out", "network.status: replaced"] {
        assert!(run.stderr.contains(message), "{message} is not in {}", run.stderr);
    }
    let copied = members(&run.stdout);
    assert_eq!(content(&copied, "rootfs-diff.tar"), Some(&b"new diff"[..]));
    assert_eq!(content(&copied, "volumes/new.tar"), Some(&b"volume"[..]));
    assert_eq!(content(&copied, "network.status"), Some(&b"{}"[..]));
    assert_eq!(content(&copied, "deleted.files"), None);
    for (member, _, old) in &members(&archive) {
        let is_given = ["rootfs-diff.tar", "deleted.files", "network.status"].contains(&&*member.to_string());
        assert!(is_given || content(&copied, &member.to_string()) == Some(old), "{member}");
    }

    // A deletion list alone replaces both lists, and the diff stays.
    let lists =
        smallest(&[("rootfs-diff.tar", b"diff"), ("deleted.files", b"[\"a\"]"), ("deleted.files0", b"b\0")]);
    test.write("deleted.files", "[]");
    let (copied, _) = test.copy(&["--member", "deleted.files=deleted.files"], &lists);
    let copied = members(&copied);
    assert_eq!(content(&copied, "deleted.files"), Some(&b"[]"[..]));
    assert_eq!(content(&copied, "deleted.files0"), None);
    assert_eq!(content(&copied, "rootfs-diff.tar"), Some(&b"diff"[..]));

    // The archive's own diff is not the one that --expect asks for.
    let run = test.run(&args, &stream(&[("network.status", b"{}")]));
    assert_eq!(run.status, 1);
    let run = test.run(&[&args[..args.len() - 1], &["-o", "out", "-"]].concat(), &stream(&[]));
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("rootfs-diff.tar: missing"), "{}", run.stderr);
    assert!(!test.path("out").exists());
}

#[test]
fn members_are_left_out_on_request() {
    let test = TestDir::new();
    let (copied, stderr) =
        test.copy(&["-v", "--ignore-rootfs", "--ignore-volumes"], &recorded("g04-volumes.tar.xz"));
    let names: Vec<_> = members(&copied).iter().map(|(member, ..)| member.to_string()).collect();
    assert!(names.iter().all(|name| !name.starts_with("volumes/") && name != "rootfs-diff.tar"), "{names:?}");
    assert!(stderr.contains("volumes/v1.tar: left out, as requested by --ignore-volumes"), "{stderr}");
}

#[test]
fn sparse_members_are_expanded_in_images_only() {
    let test = TestDir::new();
    let path = TarPath::parse(b"checkpoint/pages-1.img").unwrap();
    let map = Some(SparseMap(vec![(4096, 4), (16384, 3)]));
    let entry = Entry {
        kind: Kind::File { size: 20480, map },
        ..Entry::file(path, 0, 0o600, Timestamp { sec: 7, nsec: 0 })
    };
    let mut archive = tar(&SMALLEST);
    tartree::encode(&mut archive, &entry, RootName::Dot);
    archive.extend_from_slice(b"datamem");
    archive.resize(archive.len().next_multiple_of(512), 0);
    archive.extend_from_slice(&tartree::END_OF_ARCHIVE);
    assert!(test.copy(&[], &archive).0 == archive);
    let (_, layer) = test.image(&test.copy(&["--format", "oci"], &archive).0);
    let mut expected = vec![0; 20480];
    expected[4096..4100].copy_from_slice(b"data");
    expected[16384..16387].copy_from_slice(b"mem");
    let all = members(&layer);
    let (_, entry, pages) = all.last().unwrap();
    assert!(matches!(entry.kind, Kind::File { size: 20480, map: None }), "{:?}", entry.kind);
    assert!(*pages == expected);
}

#[test]
fn damaged_and_hostile_archives_leave_no_output() {
    let test = TestDir::new();
    let whole = recorded("g31-cri-o.tar.xz");
    for length in [1, 511, 512, 5000, whole.len() / 2, whole.len() - 5000] {
        let stderr = test.fails(&[], &whole[..length]);
        assert!(!stderr.contains("panicked") && stderr.contains("standard input: "), "{length}: {stderr}");
    }
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Xz, Compression::Bzip2] {
        let bytes = compressed(compression, &whole);
        for length in [bytes.len() / 2, bytes.len() - 3] {
            test.fails(&[], &bytes[..length]);
        }
    }
    let sparse_bomb = {
        let path = TarPath::parse(b"checkpoint/pages-1.img").unwrap();
        let kind = Kind::File { size: 1 << 50, map: Some(SparseMap(Vec::new())) };
        let entry = Entry { kind, ..Entry::file(path, 0, 0o600, Timestamp::default()) };
        let mut archive = tar(&SMALLEST);
        tartree::encode(&mut archive, &entry, RootName::Dot);
        archive.extend_from_slice(&tartree::END_OF_ARCHIVE);
        archive
    };
    test.write("bomb", &sparse_bomb);
    let run = test.run(&["--from-archive", "bomb", "--format", "oci", "--max-size", "1M", "-o", "out"], b"");
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("--max-size SIZE"), "{}", run.stderr);
    assert!(!test.path("out").exists());

    let without = |name: &str| {
        let files: Vec<_> = SMALLEST.into_iter().filter(|(other, _)| *other != name).collect();
        [&tar(&files)[..], &tartree::END_OF_ARCHIVE].concat()
    };
    let replaced = |name: &str, with: &[u8]| {
        let files: Vec<_> =
            SMALLEST.into_iter().map(|(n, old)| (n, if n == name { with } else { old })).collect();
        [&tar(&files)[..], &tartree::END_OF_ARCHIVE].concat()
    };
    for (archive, message) in [
        (Vec::new(), "is empty, expected an archive"),
        (b"hello".to_vec(), "expected a tar"),
        (without("config.dump"), "config.dump: not in the archive"),
        (without("spec.dump"), "spec.dump: not in the archive"),
        (without("checkpoint/inventory.img"), "checkpoint/inventory.img: not in the archive"),
        (replaced("config.dump", b"{\"a\":1"), "config.dump: "),
        (replaced("spec.dump", b"[]"), "spec.dump: not a JSON object"),
        (smallest(&[("spec.dump", b"{}")]), "spec.dump: occurs twice"),
        (smallest(&[("config.json", b"{}")]), "config.json: engines keep a file of this name"),
        (smallest(&[("volumes/-.tar", b"")]), "volumes/-.tar: not the tar of a volume"),
    ] {
        let stderr = test.fails(&[], &archive);
        assert!(stderr.contains(message), "{message:?} is not in {stderr}");
        assert_eq!(stderr.matches("error:").count(), 1, "{stderr}");
    }
}

#[test]
fn unknown_members_are_copied_unless_refused() {
    let test = TestDir::new();
    let archive = smallest(&[("new", b"x")]);
    let (copied, stderr) = test.copy(&["-v"], &archive);
    assert!(copied == archive);
    assert!(stderr.contains("new: unknown member, copied"), "{stderr}");
    let stderr = test.fails(&["--refuse-unknown"], &archive);
    assert!(stderr.contains("new: not a member of a checkpoint archive"), "{stderr}");
    assert!(stderr.contains("leave out --refuse-unknown"), "{stderr}");
}

#[test]
fn bytes_after_the_end_are_reported_and_not_copied() {
    let test = TestDir::new();
    let mut archive = smallest(&[]);
    archive.resize(archive.len() + 4096, 0);
    let padded = archive.clone();
    archive.extend_from_slice(b"hidden");
    let (copied, stderr) = test.copy(&[], &archive);
    assert!(copied == padded);
    assert!(
        stderr.contains("standard input: 6 bytes after the end of the archive are not copied"),
        "{stderr}"
    );
}

#[test]
fn flags_without_effect_and_clashing_operands_are_rejected() {
    let test = TestDir::new();
    test.write("a", smallest(&[]));
    fs::create_dir(test.path("layout")).unwrap();
    for (args, message) in [
        (&["--bundle", "."][..], "cannot be used with"),
        (&["--check"], "cannot be used with"),
        (&["--image-path", "x"], "--image-path has no effect with --from-archive"),
        (&["--keep-zeros"], "--keep-zeros has no effect with --from-archive"),
        (&["--pre-checkpoint"], "--pre-checkpoint has no effect with --from-archive"),
        (&["--with-previous"], "--with-previous has no effect with --from-archive"),
        (&["--state", "x"], "--state has no effect with --from-archive"),
        (&["--keep-hooks"], "--keep-hooks has no effect with --from-archive"),
        (&["--criu", "x"], "--criu has no effect with --from-archive"),
        (&["--print-stats"], "--print-stats has no effect with --from-archive"),
        (&["--raw-members"], "--raw-members has no effect without a member stream"),
        (&["--tag", "x"], "--tag has no effect without --format oci"),
        (&["--from-tag", "x"], "--from-tag: a is not an OCI image"),
        (&["--level", "3"], "--level has no effect without --compress"),
        (&["-o", "a"], "--output: a: is an input, a"),
    ] {
        let run = test.run(&[&["--from-archive", "a"], args].concat(), b"");
        assert_eq!(run.status, 2, "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(message), "{args:?}: {}", run.stderr);
    }
    for flag in [
        &["--from-tag", "x"][..],
        &["--refuse-unknown"],
        &["--max-size", "1"],
        &["--max-entries", "1"],
        &["--max-memory", "1M"],
    ] {
        let run = test.run(&[&["--bundle", "."], flag].concat(), b"");
        assert_eq!(run.status, 2);
        assert!(
            run.stderr.contains(&format!("{} has no effect without --from-archive", flag[0])),
            "{}",
            run.stderr
        );
    }
    let run = test.run(&["--from-archive", "-", "-"], b"");
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("standard input is both"), "{}", run.stderr);
    let run = test.run(&["--from-archive", "layout", "-o", "layout/out"], b"");
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("in the directory layout"), "{}", run.stderr);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any archive of any tar program is copied byte for byte: members in any order, with any
    /// metadata and padding, and directories that are no members.
    #[test]
    fn copying_is_the_identity(
        files in proptest::collection::btree_map("(checkpoint|artifacts)/[a-z]{1,120}|volumes/v[a-z0-9]{1,8}\\.tar|u-[a-z]{1,8}",
            (proptest::collection::vec(any::<u8>(), 0..1500), any::<u32>(), 0i64..1 << 40, 0u32..1_000_000_000), 0..12),
        root in any::<bool>(),
        first in 0usize..4,
        padding in 0usize..20,
        compression in 0usize..5,
    ) {
        let mut archive = Vec::new();
        let dir = |archive: &mut Vec<u8>, name: &str| {
            let entry = Entry { kind: Kind::Dir, ..Entry::file(TarPath::parse(name.as_bytes()).unwrap(), 0, 0o755, Timestamp::default()) };
            tartree::encode(archive, &entry, RootName::Dot);
        };
        if root {
            dir(&mut archive, ".");
        }
        let smallest: Vec<_> = SMALLEST.iter().map(|(name, content)| (name.to_string(), (content.to_vec(), 0, 0, 0))).collect();
        let mut all: Vec<_> = files.into_iter().collect();
        for file in smallest {
            all.insert(first.min(all.len()), file);
        }
        let last = all.pop().unwrap();
        for (n, (name, (content, owner, sec, nsec))) in all.into_iter().chain([last]).enumerate() {
            if n == 2 && root {
                dir(&mut archive, "volumes");
            }
            let path = TarPath::parse(name.as_bytes()).unwrap();
            let mut entry = Entry::file(path, content.len() as u64, owner & 0o777, Timestamp { sec, nsec });
            entry.meta.uid = owner >> 1;
            tartree::encode(&mut archive, &entry, RootName::Dot);
            archive.extend_from_slice(&content);
            archive.resize(archive.len().next_multiple_of(512), 0);
        }
        archive.resize(archive.len() + 1024 + 512 * padding, 0);
        let compression = [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Xz, Compression::Bzip2][compression];
        let test = TestDir::new();
        let (copied, _) = test.copy(&[], &compressed(compression, &archive));
        prop_assert!(copied == archive);
        let (layout, _) = test.copy(&["--format", "oci"], &archive);
        prop_assert!(test.image(&layout).1 == archive);
    }
}
