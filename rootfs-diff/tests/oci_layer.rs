//! Checks that other programs can read the layers of `--format oci`.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

/// Name, size, and offsets of the bytes that are not zero.
const FILES: [(&str, u64, &[u64]); 6] = [
    ("hole", 1 << 20, &[]),
    ("start", 1 << 20, &[0]),
    ("end", (1 << 20) + 1, &[1 << 20]),
    ("middle", 3 << 20, &[1 << 20, 2 << 20]),
    ("short", 5000, &[4999]),
    ("sub/many", 4 << 20, &[0, 300_000, 900_000, 2_000_000, 3_000_000]),
];

#[test]
fn a_layer_has_no_sparse_entries() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["from", "to", "to/sub", "x"] {
        fs::create_dir(at(name)).unwrap();
    }
    for (name, size, data) in FILES {
        let mut file = File::create(at("to").join(name)).unwrap();
        file.set_len(size).unwrap();
        for &offset in data {
            file.seek(SeekFrom::Start(offset)).unwrap();
            file.write_all(b"d").unwrap();
        }
    }
    let run = Command::new(env!("CARGO_BIN_EXE_rootfs-diff"))
        .args(["create", "--format", "oci", "--from", "from", "--to", "to", "-o", "layer.tar"])
        .current_dir(dir.path())
        .status();
    assert!(run.unwrap().success());
    // Like busybox and npm's tar, the tar crate does not support sparse files in PAX headers.
    let mut read = 0;
    for entry in tar::Archive::new(File::open(at("layer.tar")).unwrap()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        assert!(content == fs::read(at("to").join(&path)).unwrap(), "{}", path.display());
        read += 1;
    }
    assert_eq!(read, FILES.len());
    assert!(Path::new(&at("layer.tar")).metadata().unwrap().len() > 9 << 20);
}
