//! Measures the cost of checking an archive before it is unpacked: only headers and documents are
//! read.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

const TOOL: &str = env!("CARGO_BIN_EXE_ckpt-unpack");

/// Writes an archive with memory of 32 MiB, and a volume of 16 MiB and many small files.
fn archive(dir: &Path) -> u64 {
    let at = |name: &str| dir.join(name);
    fs::create_dir_all(at("checkpoint")).unwrap();
    fs::create_dir_all(at("volumes")).unwrap();
    fs::create_dir_all(at("tree")).unwrap();
    fs::write(at("checkpoint/inventory.img"), "x").unwrap();
    fs::write(at("checkpoint/pages-1.img"), vec![1; 32 << 20]).unwrap();
    fs::write(at("tree/large"), vec![2; 16 << 20]).unwrap();
    for i in 0..100 {
        fs::write(at(&format!("tree/small{i}")), vec![3; 700]).unwrap();
    }
    let tar = |args: &[&str]| {
        assert!(Command::new("tar").current_dir(dir).args(args).status().unwrap().success());
    };
    tar(&["-cf", "volumes/data.tar", "-C", "tree", "."]);
    tar(&["-cf", "archive", "checkpoint", "volumes"]);
    fs::metadata(at("archive")).unwrap().len()
}

/// Returns the number of bytes that the tool reads from all files, with `args` and the archive as
/// standard input.
fn bytes_read(dir: &Path, args: &[&str]) -> u64 {
    let log = dir.join("log");
    let status = Command::new("strace")
        .current_dir(dir)
        .args([
            "-f",
            "-y",
            "-e",
            "trace=read,pread64,readv,copy_file_range,splice,sendfile",
            "-o",
            "log",
            TOOL,
        ])
        .args(args)
        .stdin(File::open(dir.join("archive")).unwrap())
        .stdout(fs::File::create(dir.join("out")).unwrap())
        .status()
        .expect("strace: see tests/prerequisites");
    assert!(status.success(), "{}", fs::read_to_string(&log).unwrap());
    let log = fs::read_to_string(log).unwrap();
    // A copy inside the kernel takes two calls: from the archive to a pipe, and from the pipe to the file.
    let is_from_pipe = |line: &str| {
        let input = line.split_once("splice(").and_then(|(_, args)| args.split(',').next());
        input.is_some_and(|input| input.contains("<pipe:["))
    };
    let calls = log.lines().filter(|line| !is_from_pipe(line));
    calls.filter_map(|line| line.rsplit_once(" = ")?.1.parse::<u64>().ok()).sum()
}

#[ignore = "needs strace"]
#[test]
fn checking_before_unpacking_skips_content() {
    let dir = tempfile::tempdir().unwrap();
    let size = archive(dir.path());
    let read = bytes_read(dir.path(), &["--bundle", "b", "--without-config", "--volume", "data=v"]);
    assert!(read >= size && read < size + (1 << 20), "{read} bytes read of {size}");
    assert_eq!(fs::read(dir.path().join("v/large")).unwrap(), vec![2; 16 << 20]);
}

#[ignore = "needs strace"]
#[test]
fn list_reads_only_headers() {
    let dir = tempfile::tempdir().unwrap();
    archive(dir.path());
    let read = bytes_read(dir.path(), &["--list"]);
    assert!(read < 1 << 20, "{read} bytes read");
}

#[test]
fn truncated_skipped_content_is_detected_before_any_write() {
    let dir = tempfile::tempdir().unwrap();
    let size = archive(dir.path());
    let file = File::options().write(true).open(dir.path().join("archive")).unwrap();
    // The archive is truncated in the large file of the volume, and in the memory image.
    for cut in [size - (8 << 20), 20 << 20, 1 << 20] {
        file.set_len(cut).unwrap();
        let output = Command::new(TOOL)
            .current_dir(dir.path())
            .args(["--bundle", "b", "--without-config", "--volume", "data=v"])
            .stdin(File::open(dir.path().join("archive")).unwrap())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.starts_with("ckpt-unpack: error: standard input: "), "{stderr}");
        assert!(!dir.path().join("b").exists() && !dir.path().join("v").exists(), "cut at {cut}");
    }
}
