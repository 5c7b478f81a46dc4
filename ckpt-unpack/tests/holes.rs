//! Zero pages in images become holes.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

#[test]
fn zero_pages_of_an_image_become_holes_that_read_as_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("checkpoint")).unwrap();
    // Zeros at the start, at the end, in runs of several pages and of less than one, and before an
    // end that is not at a page boundary.
    let mut pages = vec![0; 3 << 20];
    for (i, page) in pages.chunks_mut(4096).enumerate() {
        if i % 7 == 3 || (200..600).contains(&i) {
            page[i % 4096] = 1;
        }
    }
    pages.extend([0; 1000]);
    for (name, content) in
        [("inventory.img", &b"x"[..]), ("pages-1.img", &pages), ("pages-2.img", &[0; 9000])]
    {
        fs::write(at("checkpoint").join(name), content).unwrap();
    }
    let run = |command: &mut Command| assert!(command.current_dir(dir.path()).status().unwrap().success());
    run(Command::new("tar").args(["-cf", "archive", "checkpoint"]));
    let archive: Stdio = File::open(at("archive")).unwrap().into();
    run(Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"))
        .args(["--bundle", "b", "--without-config"])
        .stdin(archive));
    let image = |name: &str| at("b/checkpoint").join(name);
    assert!(fs::read(image("pages-1.img")).unwrap() == pages);
    assert_eq!(fs::read(image("pages-2.img")).unwrap(), [0; 9000]);
    let room = |name| fs::metadata(image(name)).unwrap().blocks() * 512;
    let data = pages.chunks(4096).filter(|page| page.iter().any(|&b| b != 0)).count() as u64 * 4096;
    assert!(room("pages-1.img") <= data + (64 << 10), "{} bytes for {data}", room("pages-1.img"));
    assert_eq!(room("pages-2.img"), 0);
}
