//! What it costs to look at a whole archive before anything is touched: its headers, and no content that need not be read.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

const TOOL: &str = env!("CARGO_BIN_EXE_ckpt-unpack");

/// An archive with memory of 32 MiB, and a volume that holds 16 MiB and many small files.
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

/// Bytes that the tool reads of all it opens, with `args` and the archive as standard input.
fn bytes_read(dir: &Path, args: &[&str]) -> u64 {
    let log = dir.join("log");
    let status = Command::new("strace")
        .current_dir(dir)
        .args(["-f", "-e", "trace=read,pread64,readv,copy_file_range,splice,sendfile", "-o", "log", TOOL])
        .args(args)
        .stdin(File::open(dir.join("archive")).unwrap())
        .stdout(fs::File::create(dir.join("out")).unwrap())
        .status()
        .expect("strace: see tests/prerequisites");
    assert!(status.success(), "{}", fs::read_to_string(&log).unwrap());
    let log = fs::read_to_string(log).unwrap();
    log.lines().filter_map(|line| line.rsplit_once(" = ")?.1.parse::<u64>().ok()).sum()
}

#[ignore = "needs strace"]
#[test]
fn an_archive_is_read_once_although_it_is_looked_at_before() {
    let dir = tempfile::tempdir().unwrap();
    let size = archive(dir.path());
    let read = bytes_read(dir.path(), &["--bundle", "b", "--without-config", "--volume", "data=v"]);
    assert!(read >= size && read < size + (1 << 20), "{read} bytes read of {size}");
    assert_eq!(fs::read(dir.path().join("v/large")).unwrap(), vec![2; 16 << 20]);
}

#[ignore = "needs strace"]
#[test]
fn a_list_takes_the_headers() {
    let dir = tempfile::tempdir().unwrap();
    archive(dir.path());
    let read = bytes_read(dir.path(), &["--list"]);
    assert!(read < 1 << 20, "{read} bytes read");
}

#[test]
fn a_cut_in_content_that_is_passed_over_is_noticed_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let size = archive(dir.path());
    let file = File::options().write(true).open(dir.path().join("archive")).unwrap();
    // In the large file of the volume, and in the image of the memory.
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
