//! Pod archives: one container, and all of them.

use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use checkpoint::compress::Decoder;
use tartree::{Entry, Item, Kind, Limits, Reader, RootName, TarPath, Timestamp};

/// A directory with the pod archives `pod.tar` and `pod.zst`, whose containers `web.tar` and
/// `db.tar` are also there.
struct Case(tempfile::TempDir);

type Members = Vec<(Entry, Vec<u8>)>;

impl Case {
    fn new() -> Case {
        let case = Case(tempfile::tempdir().unwrap());
        case.write("pod.json", r#"{"metadata":{"name":"shop","namespace":"prod"},"hostname":"shop-0"}"#);
        case.write(
            "status",
            r#"{"n":{"interfaces":{"eth0":{"mac_address":"92:d0:c6:0a:29:33","subnets":[{"ipnet":"10.88.0.5/16"}]}}}}"#,
        );
        for (name, archive) in [("web.tar", "g06-bridge.tar.xz"), ("db.tar", "g01-basic-none.tar.xz")] {
            let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(archive);
            let mut plain = Decoder::new(BufReader::new(File::open(data).unwrap())).unwrap();
            std::io::copy(&mut plain, &mut File::create(case.path(name)).unwrap()).unwrap();
        }
        for output in ["-o pod.tar", "-o pod.zst --compress zstd"] {
            let args = format!(
                "--pod-config pod.json --container web=web.tar --container db=db.tar --member network.status=status {output}"
            );
            let run = case.run("ckpt-pack", &args, None);
            assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        }
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Runs a tool, with the file `input` in a pipe as standard input.
    fn run(&self, tool: &str, args: &str, input: Option<&str>) -> Output {
        let mut command = Command::new(harness::tools::tool(tool));
        command.args(args.split_whitespace()).current_dir(self.0.path()).env("NO_COLOR", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let bytes = input.map_or_else(Vec::new, |name| fs::read(self.path(name)).unwrap());
        // The tool may end before it has read everything.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    }

    /// Runs ckpt-unpack, which must succeed. Returns its output.
    #[track_caller]
    fn unpack(&self, args: &str, input: Option<&str>) -> String {
        let output = self.run("ckpt-unpack", args, input);
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs ckpt-unpack, which must fail with all `messages` and leave no file.
    #[track_caller]
    fn fails(&self, status: i32, args: &str, input: Option<&str>, messages: &[&str]) {
        let before = self.names();
        let output = self.run("ckpt-unpack", args, input);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{args}: expected {messages:?}: {stderr}");
        for message in messages {
            assert!(stderr.contains(message), "{args}: expected {message:?}: {stderr}");
        }
        assert_eq!(self.names(), before, "{args}");
    }

    /// Writes `bad.tar`, which is `pod.tar` with changed members.
    fn change(&self, change: impl FnOnce(&mut Members)) {
        let pod = fs::read(self.path("pod.tar")).unwrap();
        let mut reader = Reader::new(&pod[..], Limits::default());
        let mut members = Vec::new();
        while let Some(Item::Entry(entry)) = reader.next().unwrap() {
            let mut content = Vec::new();
            reader.content().read_to_end(&mut content).unwrap();
            members.push((entry, content));
        }
        change(&mut members);
        let mut tar = Vec::new();
        for (entry, content) in &mut members {
            if let Kind::File { size, .. } = &mut entry.kind {
                *size = content.len() as u64;
            }
            tartree::encode(&mut tar, entry, RootName::Dot);
            tar.extend_from_slice(content);
            tar.resize(tar.len() + tartree::padding(content.len() as u64) as usize, 0);
        }
        tar.extend_from_slice(&tartree::END_OF_ARCHIVE);
        self.write("bad.tar", tar);
    }
}

fn file(name: &str, content: &[u8]) -> (Entry, Vec<u8>) {
    let path = TarPath::parse(name.as_bytes()).unwrap();
    (Entry::file(path, 0, 0o600, Timestamp::default()), content.to_vec())
}

/// Returns the paths and contents of all files below a directory.
fn tree(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(at) = dirs.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => dirs.push(path),
                false => files.push((path.strip_prefix(dir).unwrap().to_owned(), fs::read(&path).unwrap())),
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_container_is_unpacked_as_its_own_archive() {
    let case = Case::new();
    for name in ["web", "db"] {
        case.unpack(&format!("--bundle {name}.own {name}.tar"), None);
        let own = tree(&case.path(&format!("{name}.own")));
        assert!(own.len() > 20);
        for (n, (operand, input)) in
            [("pod.tar", None), ("pod.zst", None), ("", Some("pod.tar")), ("", Some("pod.zst"))]
                .into_iter()
                .enumerate()
        {
            let bundle = format!("{name}.{n}");
            case.unpack(&format!("--container {name} --bundle {bundle} {operand}"), input);
            assert!(tree(&case.path(&bundle)) == own, "{name} {operand} {input:?}");
        }
    }
}

#[test]
fn a_pod_without_a_container_is_an_error_with_the_names() {
    let case = Case::new();
    let messages = ["is a pod archive of the containers web, db", "hint: select one: --container NAME"];
    for pod in ["pod.tar", "pod.zst"] {
        for action in ["--bundle b", "--search root", "--dump-memory 1"] {
            case.fails(1, &format!("{action} {pod}"), None, &messages);
        }
        case.fails(1, "--bundle b", Some(pod), &messages);
        case.fails(1, &format!("--compare {pod} web.tar"), None, &messages);
    }
    let other = ["x: not a container of the pod, expected one of web, db"];
    case.fails(1, "--bundle b --container x pod.tar", None, &other);
    case.fails(1, "--verify --container x", Some("pod.zst"), &other);
}

#[test]
fn an_archive_without_containers_rejects_a_container() {
    let case = Case::new();
    for action in ["--bundle b", "--list", "--show", "--verify", "--cat spec.dump"] {
        case.fails(
            2,
            &format!("{action} --container web web.tar"),
            None,
            &["--container: web.tar is not a pod"],
        );
    }
    case.fails(2, "--container web --compare web.tar db.tar", None, &["is not a pod archive"]);
    case.fails(2, "--container web --cleanup --bundle b", None, &["cannot be used with"]);
    case.fails(2, "--bundle b --container a/b pod.tar", None, &["expected a letter or digit"]);
}

#[test]
fn every_action_inspects_one_container() {
    let case = Case::new();
    for action in ["--show", "--show --json", "--list", "--search HOME", "--cat config.dump"] {
        let own = case.unpack(&format!("{action} db.tar"), None);
        assert!(!own.is_empty());
        for pod in ["pod.tar", "pod.zst"] {
            assert_eq!(case.unpack(&format!("--container db {action} {pod}"), None), own, "{action} {pod}");
        }
    }
    for action in ["--show", "--list", "--cat spec.dump"] {
        let own = case.unpack(&format!("{action} db.tar"), None);
        assert_eq!(case.unpack(&format!("--container db {action}"), Some("pod.zst")), own, "{action}");
    }
    let compared = case.unpack("--container web --json --compare pod.tar pod.zst", None);
    let compared: serde_json::Value = serde_json::from_str(&compared).unwrap();
    assert_eq!((&compared["a"], &compared["b"]), (&"pod.tar: web".into(), &"pod.zst: web".into()));
    case.unpack("--container web --compare web.tar pod.tar", None);
    assert!(case.unpack("--verify --container db pod.zst", None).starts_with("pod.zst: db: complete"));
}

#[test]
fn show_describes_the_pod_and_its_containers() {
    let case = Case::new();
    let text = case.unpack("--show pod.tar", None);
    for line in ["Pod           shop", "Network       n: eth0 10.88.0.5/16", "Containers: 2 containers"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    for (operand, input) in [("pod.tar", None), ("", Some("pod.zst"))] {
        let json: serde_json::Value =
            serde_json::from_str(&case.unpack(&format!("--show --json {operand}"), input)).unwrap();
        assert_eq!(json["pod"]["name"], "shop");
        let names: Vec<_> = json["containers"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
        assert_eq!(names, ["web", "db"]);
        assert_eq!(json["containers"][0]["archive"], "web.tar");
        assert!(json["documents"]["network.status"].is_number());
    }
    let table = case.unpack("--show pod.tar db.tar", None);
    let starts = ["ARCHIVE", "pod.tar: web.tar", "pod.tar: db.tar", "db.tar"];
    assert!(table.lines().zip(starts).all(|(line, start)| line.starts_with(start)), "{table}");
    for flag in ["--env", "--html"] {
        case.fails(2, &format!("--show {flag} pod.tar"), None, &["add --container NAME"]);
    }
}

#[test]
fn members_of_the_pod_are_listed_and_printed() {
    let case = Case::new();
    let list: serde_json::Value = serde_json::from_str(&case.unpack("--list --json pod.zst", None)).unwrap();
    let names: Vec<_> = list["members"].as_array().unwrap().iter().map(|m| &m["name"]).collect();
    assert_eq!(names, ["pod.options", "pod.dump", "network.status", "web.tar", "db.tar"]);
    assert!(case.unpack("--cat pod.dump pod.tar", None).contains("shop-0"));
    assert!(case.unpack("--cat network.status", Some("pod.zst")).contains("10.88.0.5"));
    let web = case.run("ckpt-unpack", "--cat web.tar pod.zst", None).stdout;
    assert!(web == fs::read(case.path("web.tar")).unwrap());
    case.fails(
        1,
        "--cat config.dump pod.tar",
        None,
        &["config.dump: not in the archive", "--container NAME"],
    );
}

#[test]
fn verify_checks_the_pod_and_all_containers() {
    let case = Case::new();
    for (operand, input) in [("pod.tar", None), ("pod.zst", None), ("", Some("pod.tar"))] {
        let text = case.unpack(&format!("--verify {operand}"), input);
        assert!(text.contains(": web: complete (") && text.contains(": db: complete ("), "{text}");
        assert!(text.contains(": complete (containers: 2, documents of the pod: 2)"), "{text}");
    }
    case.fails(
        2,
        "--verify --base web.tar pod.tar",
        None,
        &["--base has no effect with all containers of a pod"],
    );
}

#[test]
fn unknown_documents_of_a_pod_are_refused_on_request() {
    let case = Case::new();
    case.change(|members| members.push(file("note.txt", b"text")));
    case.unpack("--verify bad.tar", None);
    for args in ["--verify", "--verify --container web", "--container db --bundle b"] {
        for (operand, input) in [("bad.tar", None), ("", Some("bad.tar"))] {
            case.fails(1, &format!("{args} --refuse-unknown {operand}"), input, &["note.txt"]);
        }
    }
}

#[test]
fn a_base_in_a_pod_needs_the_name_of_its_container() {
    let case = Case::new();
    let messages = ["--base: pod.tar is a pod archive", "ckpt-unpack --cat NAME.tar FILE"];
    case.fails(1, "--verify --base pod.tar web.tar", None, &messages);
}

/// A change of a pod archive, and the message that reports it.
type Fault = (&'static str, Box<dyn Fn(&mut Members)>);

fn faults() -> Vec<Fault> {
    let rename = |n: usize, name: &'static str| {
        move |members: &mut Members| members[n].0.path = TarPath::parse(name.as_bytes()).unwrap()
    };
    let options = |text: &'static str| move |members: &mut Members| members[0].1 = text.into();
    vec![
        ("db.tar: not in the archive, but in pod.options", Box::new(|members| drop(members.pop()))),
        ("x.tar: not a container of pod.options", Box::new(rename(4, "x.tar"))),
        ("web.tar: occurs twice in the archive", Box::new(rename(4, "web.tar"))),
        ("pod.dump: not in the archive", Box::new(|members| drop(members.remove(1)))),
        ("pod.dump: metadata: missing", Box::new(|members| members[1].1 = b"{}".to_vec())),
        ("network.status: ", Box::new(|members| members[2].1 = br#"{"n":5}"#.to_vec())),
        (
            "config.dump: belongs to the archive of a container",
            Box::new(|m| m.push(file("config.dump", b"{}"))),
        ),
        ("pod.options: version: expected 1", Box::new(options(r#"{"version":2,"containers":{"a":"a"}}"#))),
        ("pod.options: not valid JSON", Box::new(options("{"))),
        (
            "web: config.dump: not in the archive",
            Box::new(|m| {
                let at = m[3].1.windows(11).position(|w| w == b"config.dump").unwrap();
                // The name of a member, with the same checksum.
                m[3].1[at..at + 2].copy_from_slice(b"oc");
            }),
        ),
        ("web: ", Box::new(|members| members[3].1.truncate(8192))),
        ("db: 1024 bytes after the end", Box::new(|members| members[4].1.extend([1; 1024]))),
        (
            "a pod archive inside a pod archive",
            Box::new(|members| {
                members[4].1 = nested();
            }),
        ),
        (
            "web.tar: is a directory of a container",
            Box::new(|members| {
                members[3].0.kind = Kind::Dir;
                members[3].1.clear();
            }),
        ),
    ]
}

/// Returns a pod archive without containers in it.
fn nested() -> Vec<u8> {
    let mut tar = Vec::new();
    let (entry, _) = file("pod.options", b"");
    tartree::encode(&mut tar, &entry, RootName::Dot);
    tar.extend_from_slice(&tartree::END_OF_ARCHIVE);
    tar
}

#[test]
fn verify_reports_each_fault_of_a_pod_archive() {
    let case = Case::new();
    for (message, change) in faults() {
        case.change(change);
        case.fails(1, "--verify bad.tar", None, &[message]);
        case.fails(1, "--verify", Some("bad.tar"), &[message]);
    }
    let pod = fs::read(case.path("pod.tar")).unwrap();
    case.write("bad.tar", [&pod[..], b"more"].concat());
    case.fails(1, "--verify bad.tar", None, &["4 bytes after the end of the archive"]);
    for len in [600, 1100, pod.len() / 2, pod.len() - 1024] {
        case.write("bad.tar", &pod[..len]);
        case.fails(1, "--verify bad.tar", None, &["bad.tar: "]);
        case.fails(1, "--show bad.tar", None, &["bad.tar: "]);
    }
}

#[test]
fn a_truncated_pod_is_refused_before_anything_is_written() {
    let case = Case::new();
    let pod = fs::read(case.path("pod.tar")).unwrap();
    case.write("bad.tar", &pod[..pod.len() - 4096]);
    for input in [None, Some("bad.tar")] {
        let operand = if input.is_none() { "bad.tar" } else { "" };
        case.fails(1, &format!("--container web --bundle b {operand}"), input, &["ends too early"]);
    }
    let zst = fs::read(case.path("pod.zst")).unwrap();
    case.write("bad.zst", &zst[..zst.len() - 4]);
    case.fails(1, "--container web --bundle b bad.zst", None, &["bad.zst"]);
}

#[test]
fn an_archive_with_pod_options_is_not_a_pod() {
    let case = Case::new();
    case.change(|members| {
        members.truncate(1);
        members.extend([file("config.dump", br#"{"id":"x"}"#), file("spec.dump", b"{}")]);
        members.push(file("checkpoint/inventory.img", b""));
    });
    case.unpack("--bundle b bad.tar", None);
    assert!(case.path("b/pod.options").is_file());
}

#[test]
fn verify_names_the_base_that_a_container_needs() {
    let case = Case::new();
    let base = "0a".repeat(32);
    let delta = format!(r#"{{"schema":1,"base":{{"id":"sha256:{base}"}}}}"#);
    case.change(|members| {
        let mut tar = Vec::new();
        let (mut entry, content) = file("checkpoint/delta.json", delta.as_bytes());
        entry.kind = Kind::File { size: content.len() as u64, map: None };
        tartree::encode(&mut tar, &entry, RootName::Dot);
        tar.extend(content);
        tar.resize(tar.len().next_multiple_of(512), 0);
        members[3].1.splice(..0, tar);
    });
    let output = case.run("ckpt-unpack", "--verify bad.tar", None);
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    for words in ["web: checkpoint/: not complete without", &base, "--verify --container web --base FILE"] {
        assert!(stderr.contains(words), "{words}: {stderr}");
    }
    let last = stdout.lines().last().unwrap();
    assert!(last.starts_with("bad.tar: valid, but not complete by itself (containers: 2"), "{stdout}");
    assert!(stdout.contains("db: complete ("), "{stdout}");
}

#[test]
fn a_pod_archive_in_the_wrong_order_is_named() {
    let case = Case::new();
    let message = "pod.options: expected as the first member of a pod archive";
    for first in [1, 3] {
        case.change(|members| members.swap(0, first));
        for action in ["--verify", "--show", "--bundle b", "--check", "--container web --bundle b"] {
            case.fails(1, &format!("{action} bad.tar"), None, &[message]);
        }
        case.fails(1, "--container web --bundle b", Some("bad.tar"), &[message]);
        let output = case.run("ckpt-pack", "--from-archive bad.tar -o copy", None);
        assert!(String::from_utf8_lossy(&output.stderr).contains(message), "{output:?}");
    }
}

#[test]
fn check_names_the_container_of_each_problem() {
    let case = Case::new();
    let output = case.run("ckpt-unpack", "--check -v --criu /nonexistent pod.tar", None);
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("web: ") && text.contains("db: "), "{text}");
    case.fails(
        2,
        "--check --rootfs . pod.tar",
        None,
        &["--rootfs has no effect with all containers of a pod"],
    );
}
