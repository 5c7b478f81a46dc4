//! Reports a sparse member with the size of its file, not with the number of bytes that the tar
//! stores.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

/// Archives of podman, and archives made by hand.
const ARCHIVES: [&str; 4] = [
    "g01-basic-none.tar.xz",
    "g06-bridge.tar.xz",
    "g09-leave-running.tar.xz",
    "g23-handmade-from-runc.tar.xz",
];
/// The forms of sparse members: GNU's own, and the three that it writes in PAX.
const FORMS: [&[&str]; 4] = [
    &["--format=gnu"],
    &["--format=pax", "--sparse-version=0.0"],
    &["--format=pax", "--sparse-version=0.1"],
    &["--format=pax", "--sparse-version=1.0"],
];

fn tar(dir: &Path, args: &[&str]) {
    // Only CRIU's images may be sparse.
    let [images, rest] = [&["-C", "b", "checkpoint"][..], &["-C", "b", "--exclude=./checkpoint", "."]];
    for (args, members) in [([args, &["-cf", "a.tar"]].concat(), images), (vec!["-rf", "a.tar"], rest)] {
        let run = Command::new("tar").args(&args).args(members).current_dir(dir).status();
        assert!(run.unwrap().success(), "tar {args:?}");
    }
}

/// Returns the output of a run, which must succeed.
fn printed(dir: &Path, args: &[&str]) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack")).args(args).current_dir(dir).output().unwrap();
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{args:?}: {stderr}");
    format!("{}{stderr}", String::from_utf8_lossy(&run.stdout))
}

fn all(dir: &Path) -> Vec<String> {
    let looks: [&[&str]; 5] = [
        &["--list", "a.tar"],
        &["--list", "--json", "a.tar"],
        &["--show", "a.tar"],
        &["--show", "--json", "a.tar"],
        &["--verify", "a.tar"],
    ];
    looks.iter().map(|args| printed(dir, args)).collect()
}

#[test]
fn a_sparse_member_is_listed_shown_and_verified_as_its_file() {
    for archive in ARCHIVES {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(archive);
        printed(dir, &["--bundle", "b", data.to_str().unwrap()]);
        // The holes of a small process may disappear in the padding of a tar.
        let image = fs::File::create(dir.join("b/checkpoint/amdgpu-pages-9.img")).unwrap();
        image.write_all_at(b"x", 200_000).unwrap();
        tar(dir, &[]);
        let plain = all(dir);
        let size = dir.join("a.tar").metadata().unwrap().len();
        for form in FORMS {
            // "raw" turns all zero blocks into holes, and memory contains zero blocks.
            tar(dir, &[form, &["-S", "--hole-detection=raw"]].concat());
            assert!(
                dir.join("a.tar").metadata().unwrap().len() < size,
                "{archive} {form:?}: nothing is sparse"
            );
            assert_eq!(all(dir), plain, "{archive} {form:?}");
        }
    }
}
