//! `--pod-config`: packs archives of containers into a pod archive.

use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use checkpoint::compress::{Compression, Decoder, Encoder, Settings};
use tartree::{Entry, Item, Limits, Reader, RootName, TarPath, Timestamp};

const CONFIG: &str =
    r#"{"metadata":{"name":"shop","uid":"u1","namespace":"prod"},"hostname":"shop-0","x":[1]}"#;

/// A directory with `pod.json`, and the archives `web.tar` and `db.tar`.
struct Case(tempfile::TempDir);

impl Case {
    fn new() -> Case {
        let case = Case(tempfile::tempdir().unwrap());
        case.write("pod.json", CONFIG);
        for (name, archive) in [("web.tar", "g06-bridge.tar.xz"), ("db.tar", "g01-basic-none.tar.xz")] {
            case.write(name, golden(archive));
        }
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn compress(&self, name: &str, compressed: &str, compression: Compression) {
        let settings = Settings { compression, level: None, threads: 1 };
        let mut encoder = Encoder::new(Vec::new(), &settings).unwrap();
        encoder.write_all(&self.read(name)).unwrap();
        self.write(compressed, encoder.finish().unwrap());
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Runs ckpt-pack with `input` in a pipe as standard input.
    fn run(&self, args: &str, input: &[u8]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-pack"));
        command.args(["--pod-config", "pod.json"]).args(args.split_whitespace());
        command.current_dir(self.0.path()).env("NO_COLOR", "1").env_remove("SOURCE_DATE_EPOCH");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let bytes = input.to_vec();
        // The tool may end before it has read everything.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    }

    #[track_caller]
    fn pack(&self, args: &str, input: &[u8]) -> Vec<u8> {
        let output = self.run(args, input);
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Runs ckpt-pack, which must fail with `message` and leave no file.
    #[track_caller]
    fn fails(&self, status: i32, args: &str, input: &[u8], message: &str) {
        let before = self.names();
        let output = self.run(args, input);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{args}: {stderr}");
        assert!(stderr.contains(message), "{args}: expected {message:?}: {stderr}");
        assert_eq!(self.names(), before, "{args}");
    }
}

/// The names and contents of the members of a tar.
type Members = Vec<(String, Vec<u8>)>;

/// Returns an archive of podman, decompressed.
fn golden(name: &str) -> Vec<u8> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ckpt-unpack/tests/data").join(name);
    let mut plain = Vec::new();
    Decoder::new(BufReader::new(File::open(data).unwrap())).unwrap().read_to_end(&mut plain).unwrap();
    plain
}

/// Returns the members of a tar in any compression.
fn members(tar: &[u8]) -> Members {
    let mut reader = Reader::new(BufReader::new(Decoder::new(tar).unwrap()), Limits::default());
    let mut members = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        let Item::Entry(entry) = item else { panic!("a removal") };
        let mut content = Vec::new();
        reader.content().read_to_end(&mut content).unwrap();
        members.push((entry.path.to_string(), content));
    }
    members
}

/// Returns a tar of members.
fn tar(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, content) in members {
        let path = TarPath::parse(name.as_bytes()).unwrap();
        let size = content.len() as u64;
        tartree::encode(&mut tar, &Entry::file(path, size, 0o600, Timestamp::default()), RootName::Dot);
        tar.extend_from_slice(content);
        tar.resize(tar.len() + tartree::padding(size) as usize, 0);
    }
    tar.extend_from_slice(&tartree::END_OF_ARCHIVE);
    tar
}

const BOTH: &str = "--container web=web.tar --container db=db.tar";

#[test]
fn a_pod_archive_has_the_containers_byte_for_byte() {
    let case = Case::new();
    case.pack(&format!("{BOTH} -o pod.tar"), b"");
    let found = members(&case.read("pod.tar"));
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["pod.options", "pod.dump", "web.tar", "db.tar"]);
    let options: serde_json::Value = serde_json::from_slice(&found[0].1).unwrap();
    let expected = serde_json::json!({
        "version": 1,
        "containers": { "web": "web.tar", "db": "db.tar" },
        "annotations": {
            "org.criu.checkpoint.pod.name": "shop",
            "org.criu.checkpoint.pod.namespace": "prod",
            "org.criu.checkpoint.pod.uid": "u1",
        },
    });
    assert_eq!(options, expected);
    assert!(options["containers"].as_object().unwrap().keys().eq(["web", "db"]));
    assert_eq!(found[1].1, CONFIG.as_bytes());
    assert_eq!((&found[2].1, &found[3].1), (&case.read("web.tar"), &case.read("db.tar")));
    assert_eq!(fs::metadata(case.path("pod.tar")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(case.pack(BOTH, b""), case.read("pod.tar"));
}

#[test]
fn archives_in_every_form_become_the_same_members() {
    let case = Case::new();
    let image = "--from-archive db.tar --format oci --tag db:1 -o db.oci";
    let packed = Command::new(env!("CARGO_BIN_EXE_ckpt-pack"))
        .args(image.split_whitespace())
        .current_dir(case.0.path())
        .status();
    assert!(packed.unwrap().success());
    let web = case.read("web.tar");
    let expected = [web.clone(), case.read("db.tar")];
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Xz, Compression::Bzip2] {
        case.compress("db.tar", "db.compressed", compression);
        for (args, output) in [("-o pod.tar", true), ("", false), ("--compress zstd", false)] {
            let stdout =
                case.pack(&format!("--container web=web.tar --container db=db.compressed {args}"), b"");
            let pod = if output { case.read("pod.tar") } else { stdout };
            let found = members(&pod);
            assert!([&found[2].1, &found[3].1].into_iter().eq(&expected), "{compression} {args}");
        }
    }
    // The pipe ends first, and the output is a file.
    for db in ["db.tar", "db.compressed", "db.oci"] {
        case.pack(&format!("--container web=- --container db={db} -o pod.tar"), &web);
        let found = members(&case.read("pod.tar"));
        assert_eq!(found[2].1, expected[0], "{db}");
        if db != "db.oci" {
            assert_eq!(found[3].1, expected[1], "{db}");
        }
        let names = |tar: &[u8]| members(tar).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(&found[3].1), names(&expected[1]), "{db}");
    }
}

#[test]
fn a_pipe_needs_a_file_as_output() {
    let case = Case::new();
    let web = case.read("web.tar");
    for args in ["--container web=-", "--container web=- --compress zstd -o pod.tar"] {
        case.fails(1, args, &web, "the size of a pipe is not known before its end");
        case.fails(1, args, &web, "hint: write the pod archive to a file without --compress: -o FILE");
    }
}

#[test]
fn documents_of_the_pod_come_from_files_and_streams() {
    let case = Case::new();
    case.write("status", r#"{"n":{"interfaces":{}}}"#);
    fs::create_dir(case.path("shm")).unwrap();
    case.write("shm/lock", "held");
    let stream = Command::new(harness::tools::tool("vol-archive"))
        .args(["create", "--members", "--shm", "shm", "cache=shm"])
        .current_dir(case.0.path())
        .output()
        .unwrap();
    let args =
        "--member network.status=status --container web=web.tar --expect shm,volume:cache -o pod.tar -";
    case.pack(args, &stream.stdout);
    let found = members(&case.read("pod.tar"));
    let mut names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "devshm-checkpoint.tar",
        "network.status",
        "pod.dump",
        "pod.options",
        "volumes/cache.tar",
        "web.tar",
    ];
    assert_eq!(names, expected);
    let truncated = &stream.stdout[..stream.stdout.len() / 2];
    case.fails(1, args, truncated, "standard input");
    case.fails(1, &format!("{args} --expect network,shm"), b"", "found no data");
    case.fails(1, "--container web=web.tar --expect shm -o x", b"", "devshm-checkpoint.tar: missing");
    case.write("diff", "");
    case.fails(
        2,
        "--container web=web.tar --member deleted.files=diff",
        b"",
        "deleted.files: expected a member of the pod",
    );
}

#[test]
fn annotations_are_added_or_replaced() {
    let case = Case::new();
    let args = "--annotation org.criu.checkpoint.pod.id=0a --annotation org.criu.checkpoint.pod.name=other";
    let pod = case.pack(&format!("{args} --container web=web.tar"), b"");
    let options: serde_json::Value = serde_json::from_slice(&members(&pod)[0].1).unwrap();
    assert_eq!(options["annotations"]["org.criu.checkpoint.pod.id"], "0a");
    assert_eq!(options["annotations"]["org.criu.checkpoint.pod.name"], "other");
}

#[test]
fn what_no_reader_accepts_is_rejected() {
    let case = Case::new();
    let value = "v".repeat(100_000);
    let annotations: String = (0..11).map(|n| format!("--annotation k{n}={value} ")).collect();
    let web = "--container web=web.tar -o pod.tar";
    case.fails(1, &format!("{annotations} {web}"), b"", "the annotations need more than 1048576 bytes");
    case.write("note", "text");
    let below = format!("--allow-unknown --member web.tar/x=note {web}");
    case.fails(2, &below, b"", "its directory has the name of a container's archive");
    let documents = |n| {
        let members: String = (0..n).map(|n| format!("--member m{n}=note ")).collect();
        format!("--allow-unknown {members} {web}")
    };
    case.fails(1, &documents(1025), b"", "expected at most 1024 documents of the pod");
    case.pack(&documents(1024), b"");
    let verify = Command::new(harness::tools::tool("ckpt-unpack"))
        .args(["--verify", "pod.tar"])
        .current_dir(case.0.path())
        .output()
        .unwrap();
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stderr));
}

/// Archives that cannot be restored alone, with the message that rejects them.
fn unusable(case: &Case) -> Vec<(Vec<u8>, &'static str)> {
    let web = members(&case.read("web.tar"));
    let changed = |change: &dyn Fn(&mut Members)| {
        let mut members = web.clone();
        members.retain(|(name, _)| name != "artifacts" && name != "checkpoint");
        change(&mut members);
        tar(&members)
    };
    let without = |lost: &'static str| changed(&move |members| members.retain(|(name, _)| name != lost));
    let delta = br#"{"schema":1,"base":{"id":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}}"#;
    let mut trailing = case.read("web.tar");
    trailing.extend_from_slice(b"more");
    let whole = case.read("web.tar");
    let pod = case.pack("--container web=web.tar", b"");
    vec![
        (b"just a text\n".to_vec(), "text"),
        (Vec::new(), "is empty, expected an archive"),
        (whole[..whole.len() - 4096].to_vec(), "ends too early"),
        (trailing, "4 bytes after the end of the archive"),
        (pod, "is a pod archive of the containers web"),
        (without("config.dump"), "config.dump: not in the archive"),
        (without("checkpoint/inventory.img"), "checkpoint/inventory.img: not in the archive"),
        (
            changed(&|members| members.push(("checkpoint/delta.json".into(), delta.to_vec()))),
            "the archive is incremental",
        ),
        (
            changed(&|members| {
                for (name, _) in members {
                    *name = name.replace("checkpoint/", "pre-checkpoint/");
                }
            }),
            "is the archive of a pre-checkpoint",
        ),
    ]
}

#[test]
fn an_archive_that_is_no_checkpoint_is_rejected() {
    let case = Case::new();
    for (archive, message) in unusable(&case) {
        case.write("bad", &archive);
        case.fails(1, "--container web=web.tar --container db=bad -o pod.tar", b"", message);
        case.fails(1, "--container web=web.tar --container db=bad", b"", message);
        case.fails(1, "--container db=- -o pod.tar", &archive, message);
        if !archive.is_empty() {
            case.compress("bad", "bad.zst", Compression::Zstd);
            case.fails(1, "--container db=bad.zst -o pod.tar", b"", message);
            case.fails(1, "--container db=bad.zst --compress gzip", b"", message);
            fs::remove_file(case.path("bad.zst")).unwrap();
        }
    }
    case.compress("web.tar", "once", Compression::Zstd);
    case.compress("once", "twice", Compression::Gzip);
    case.fails(1, "--container db=twice -o pod.tar", b"", "twice: ");
}

#[test]
fn a_rejected_archive_makes_redirected_output_unreadable() {
    let case = Case::new();
    case.write("bad", &case.read("web.tar")[..8192]);
    for args in ["--container web=web.tar --container db=bad", "--container db=bad"] {
        let out = File::create(case.path("out")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-pack"));
        command.args(["--pod-config", "pod.json"]).args(args.split_whitespace());
        let status = command.current_dir(case.0.path()).stdout(out).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(1));
        let out = case.read("out");
        let mut reader = Reader::new(&out[..], Limits::default());
        let end = loop {
            match reader.next() {
                Ok(Some(_)) => {}
                end => break end,
            }
        };
        assert!(end.is_err(), "{args}");
    }
}

#[test]
fn operands_that_contradict_each_other_are_rejected() {
    let case = Case::new();
    case.write("list.json", "[]");
    for (args, message) in [
        ("", "expected at least one --container NAME=ARCHIVE"),
        ("--container web=web.tar --container web=db.tar", "--container web: given twice"),
        ("--container web=- --container db=-", "standard input is already --container"),
        ("--container web=- -", "standard input is already --container, and cannot be MEMBERS"),
        ("--container web=web.tar -o web.tar", "is an input"),
        ("--container web=web.tar -o pod.json", "is an input"),
        ("--container web/x=web.tar", "expected a letter or digit"),
        ("--container rootfs-diff=web.tar", "rootfs-diff.tar is another member of a pod archive"),
        ("--container web.tar", "expected NAME=VALUE"),
        ("--container web=web.tar --name x", "--name has no effect with --pod-config"),
        ("--container web=web.tar --format oci", "--format has no effect with --pod-config"),
        ("--container web=web.tar --ignore-rootfs", "--ignore-rootfs has no effect with --pod-config"),
        ("--container web=web.tar --level 3", "--level has no effect without --compress"),
        ("--container web=web.tar --bundle .", "cannot be used with"),
    ] {
        case.fails(2, args, b"", message);
    }
    case.fails(1, "--container web=gone -o pod.tar", b"", "gone: No such file or directory");
    for (config, message) in
        [("{}", "metadata: missing"), ("[]", "not a JSON object"), ("x", "not valid JSON")]
    {
        case.write("pod.json", config);
        case.fails(1, "--container web=web.tar -o pod.tar", b"", message);
    }
}
