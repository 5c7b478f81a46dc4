//! `--show` as people see it: units, totals, the process tree, memory, files, needs, and the table
//! of several archives.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use golden::golden;
use serde_json::Value;
use tartree::{END_OF_ARCHIVE, Entry, RootName, TarPath, Timestamp};

mod golden;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"));
    command.args(args).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn done(run: Output) -> String {
    assert!(run.status.success(), "{}", text(&run.stderr));
    text(&run.stdout)
}

fn show(args: &[&str], archive: &str) -> String {
    done(command(&[&["--show"], args].concat()).arg(data(archive)).output().unwrap())
}

fn shown(bytes: &[u8]) -> String {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    done(command(&["--show"]).stdin(file).output().unwrap())
}

#[test]
fn sizes_and_times_have_units_and_totals() {
    let text = show(&[], "g06-bridge.tar.xz");
    for line in [
        "Sizes: 218.2 KiB in 9 members\n",
        "   170.1 KiB  checkpoint  136.0 KiB of memory pages\n",
        "Dump: the processes were frozen for 59.1 ms\n",
        "      455 µs  freezing the processes\n",
        "          34  pages written\n",
        "Changes of the root file system: 1 file, 2 B\n         2 B  /tmp/counter\n",
        "Processes: 2 processes, 2 threads, 136.0 KiB of memory\n",
        "  └─ 12 sleep 0.1 (alive, 1 thread, 64.0 KiB, 3 open files, 0 sockets)\n",
        "  12 sleep: 64.0 KiB of 2.3 MiB mapped\n    16.0 KiB  5ef000-5f7000 rw-p\n",
        "     8.0 KiB  5e5000-5ed000 r--p /bin/busybox\n",
        "     1 PIPE      pipe[201630]\n",
        "Network       podman: eth0 10.88.0.2/16 ce:10:58:bb:f4:34 via 10.88.0.1\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    assert!(!text.contains("HOSTNAME="), "{text}");
}

#[test]
fn the_makers_and_the_needs_are_shown() {
    let text = show(&[], "g31-cri-o.tar.xz");
    for line in [
        "Made by       CRI-O, runc, CRIU 4.2.1, Linux 6.18.44-fc-v769\n",
        "  processor       amd64\n",
        "  CRIU            4.2.1 or newer\n",
        "  kernel          time namespaces (CONFIG_TIME_NS)\n",
        "  mount           /data from /tmp/data\n",
        ", 2 paths deleted\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    assert!(text.contains("  namespace       network: /var/run/netns/"), "{text}");
    let text = show(&[], "g06-bridge.tar.xz");
    let line = "  runtime         runc, which named the external mounts (ckpt-unpack --runtime NAME";
    assert!(text.contains(line), "{text}");
    let text = show(&[], "g22-image.oci.tar");
    let line = "Made by       Podman 5.4.2, runc version 1.1.15+ds1, CRIU 4.1.1, Linux 6.18.44-fc-v769\n";
    assert!(text.contains(line), "{text}");
    let text = show(&[], "g04-volumes.tar.xz");
    assert!(text.contains("  volume          v1 at /vol, in the archive (ckpt-unpack --volume NAME=DIR)\n"));
    assert!(text.contains("Files in volumes/v1.tar: 2 files, 1 directory, 1 other entry, 13 B\n"), "{text}");
}

#[test]
fn established_connections_and_locks_need_flags_of_runc() {
    let archive = golden(|members| {
        let at = |name: &str| TarPath::parse(name.as_bytes()).unwrap();
        let files = members.iter_mut().find(|(entry, _)| entry.path == at("checkpoint/files.img"));
        let files = &mut files.unwrap().1;
        // Replace all files by a TCP socket: of file_entry, 2 is the ID and 4 the socket, and of that
        // 5 the protocol, 6 the state, 7 and 8 the ports, 11 and 12 the addresses.
        let socket = [0x28, 6, 0x30, 1, 0x38, 80, 0x40, 81, 0x58, 1, 0x60, 2];
        let entry = [&[0x10, 2, 0x22, socket.len() as u8][..], &socket].concat();
        files.truncate(8);
        files.extend_from_slice(&(entry.len() as u32).to_le_bytes());
        files.extend_from_slice(&entry);
        let lock = [0x19, 0x43, 0x56, 0x54, 1, 2, 3, 4, 2, 0, 0, 0, 8, 1];
        let entry = Entry::file(at("checkpoint/filelocks.img"), 14, 0o600, Timestamp::default());
        members.push((entry, lock.to_vec()));
    });
    let text = shown(&archive);
    assert!(text.contains("  file locks      1 file lock (runc restore --file-locks)\n"), "{text}");
    // Both processes have the file as standard input.
    let need = "  TCP             2 established connections (runc restore --tcp-established)
";
    assert!(text.contains(need), "{text}");
    assert!(text.contains("TCP 1.0.0.0:80 to 2.0.0.0:81 ESTABLISHED\n"), "{text}");
}

#[test]
fn colors_follow_the_terminal_and_the_environment() {
    let with = |name: &str, value: &str| {
        let mut command = command(&["--show"]);
        done(command.arg(data("g06-bridge.tar.xz")).env(name, value).output().unwrap())
    };
    assert!(!show(&[], "g06-bridge.tar.xz").contains('\x1b'));
    assert!(with("CLICOLOR_FORCE", "1").contains("\x1b[1mContainer "));
    let mut both = command(&["--show"]);
    both.arg(data("g06-bridge.tar.xz")).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1");
    assert!(!done(both.output().unwrap()).contains('\x1b'));
}

#[test]
fn the_environment_is_shown_on_request_only() {
    let plain: Value = serde_json::from_str(&show(&["--json"], "g06-bridge.tar.xz")).unwrap();
    assert_eq!(plain["process_tree"]["environment_variables"], Value::Null);
    assert!(!plain.to_string().contains("HOSTNAME"), "{plain}");
    let with: Value = serde_json::from_str(&show(&["--json", "--env"], "g06-bridge.tar.xz")).unwrap();
    let tree = &with["process_tree"];
    assert_eq!(tree["environment_variables"]["container"], "podman");
    assert_eq!(tree["children"][0]["environment_variables"]["HOME"], "/root");
    let text = show(&["--env"], "g06-bridge.tar.xz");
    assert!(text.contains("\n         HOME=/root\n"), "{text}");
    // In this archive, the pages precede the images that locate the environment.
    assert!(show(&["--env"], "g23-handmade-from-runc.tar.xz").contains("HOME="));
}

#[test]
fn json_has_memory_changes_and_needs() {
    let shown: Value = serde_json::from_str(&show(&["--json"], "g31-cri-o.tar.xz")).unwrap();
    assert_eq!(shown["criu"]["version"], "4.2.1");
    assert_eq!(shown["criu"]["kernel"], "6.18.44-fc-v769");
    assert_eq!(shown["memory"][0]["pid"], 1);
    assert_eq!(shown["memory"][0]["stored"], 72 << 10);
    let heap = &shown["memory"][0]["largest_mappings"][0];
    assert_eq!((heap["name"].as_str(), heap["permissions"].as_str()), (Some("[heap]"), Some("rw-p")));
    assert_eq!(shown["root_fs_changes"]["deleted"], 2);
    assert_eq!(shown["root_fs_changes"]["largest_files"][0]["path"], "/app/cache/new");
    assert_eq!(shown["process_tree"]["executable"], "/bin/busybox");
    assert!(shown["needs"].as_array().unwrap().iter().any(|need| need["kind"] == "namespace"));
}

#[test]
fn several_archives_and_directories_are_one_table() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["g01-basic-none.tar.xz", "g31-cri-o.tar.xz", "g22-image.oci.tar"] {
        fs::copy(data(name), dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("notes"), "text").unwrap();
    fs::write(dir.path().join(".hidden"), "text").unwrap();
    let run = command(&["--show", "."]).current_dir(dir.path()).output().unwrap();
    assert_eq!(text(&run.stderr), "ckpt-unpack: warning: ./notes: skipped, not a checkpoint archive\n");
    let table = done(run);
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect())
        .collect();
    assert_eq!(
        lines[0],
        [
            "ARCHIVE",
            "CONTAINER",
            "ID",
            "POD",
            "IMAGE",
            "ENGINE",
            "RUNTIME",
            "CREATED",
            "CHECKPOINTED",
            "SIZE",
            "MEMORY",
            "ROOT CHANGES"
        ]
    );
    assert_eq!(
        lines[1][..6],
        ["./g01-basic-none.tar.xz", "c", "e1366e27f001", "-", "localhost/fx:latest", "Podman"]
    );
    assert_eq!(
        lines[3][3..],
        [
            "default/web-pod",
            "localhost:5000/img:1",
            "CRI-O",
            "runc",
            "2026-11-29T21:00:37Z",
            "2026-11-29T21:00:40Z",
            "228.1 KiB",
            "132.0 KiB",
            "3 changed, 2 deleted"
        ]
    );
    assert_eq!(lines.len(), 4);
    let files = ["g01-basic-none.tar.xz", "g22-image.oci.tar"];
    let run = command(&["--show", "--json"]).args(files).current_dir(dir.path()).output().unwrap();
    let list: Value = serde_json::from_str(&done(run)).unwrap();
    assert_eq!(list["archives"][0]["archive"], "g01-basic-none.tar.xz");
    assert_eq!(list["archives"][1]["root_fs_changes"]["changed"], 2);
    assert_eq!(list["archives"][1]["processes"], 2);
}

#[test]
fn a_damaged_archive_of_a_table_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    fs::File::open(data("g02-basic-gzip.tar.gz")).unwrap().read_to_end(&mut bytes).unwrap();
    fs::write(dir.path().join("a.tar.gz"), &bytes).unwrap();
    fs::write(dir.path().join("cut.tar.gz"), &bytes[..bytes.len() / 2]).unwrap();
    let run = command(&["--show", "."]).current_dir(dir.path()).output().unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert!(text(&run.stderr).starts_with("ckpt-unpack: error: ./cut.tar.gz: "), "{}", text(&run.stderr));
    assert!(text(&run.stdout).contains("./a.tar.gz"));
    fs::create_dir(dir.path().join("empty")).unwrap();
    let run = command(&["--show", "empty"]).current_dir(dir.path()).output().unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(text(&run.stderr), "ckpt-unpack: error: empty: contains no archives\n");
    fs::write(dir.path().join("empty/notes"), "no archive").unwrap();
    let run = command(&["--show", "empty"]).current_dir(dir.path()).output().unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert!(text(&run.stderr).ends_with("error: empty: contains no archives\n"), "{}", text(&run.stderr));
}

/// The pages of the process are 10 GiB of holes in a sparse file, as in a checkpoint of a database.
#[ignore = "needs strace"]
#[test]
fn show_seeks_over_ten_gibibytes_of_memory() {
    const MEMORY: u64 = 10 << 30;
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("large.ckpt");
    let mut file = fs::File::create(&archive).unwrap();
    let mut bytes = golden(|_| ());
    bytes.truncate(bytes.len() - END_OF_ARCHIVE.len());
    file.write_all(&bytes).unwrap();
    let mut header = Vec::new();
    let path = TarPath::parse(b"checkpoint/pages-9.img").unwrap();
    tartree::encode(&mut header, &Entry::file(path, MEMORY, 0o600, Timestamp::default()), RootName::Dot);
    file.write_all(&header).unwrap();
    let end = bytes.len() as u64 + header.len() as u64 + MEMORY;
    file.set_len(end + END_OF_ARCHIVE.len() as u64).unwrap();
    let log = dir.path().join("log");
    let run = Command::new("strace")
        .args(["-f", "-e", "trace=read,pread64,readv,mmap", "-o"])
        .arg(&log)
        .arg(env!("CARGO_BIN_EXE_ckpt-unpack"))
        .arg("--show")
        .arg(&archive)
        .output()
        .expect("strace: see tests/prerequisites");
    assert!(done(run).contains("10.0 GiB of memory pages"));
    let log = fs::read_to_string(log).unwrap();
    let reads = log.lines().filter(|line| line.contains(" read") || line.contains(" pread64"));
    let read: u64 = reads.filter_map(|line| line.rsplit_once(" = ")?.1.parse::<u64>().ok()).sum();
    assert!(read > bytes.len() as u64 / 4 && read < 64 << 20, "{read} bytes read");
}
