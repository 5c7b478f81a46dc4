//! Archives whose pages are stored as XOR with those of the base: `--xor`, chains and `--flatten`,
//! and how ckpt-unpack reads them.

mod bundle;

use std::fs;
use std::path::Path;
use std::process::Command;

use bundle::{Case, ID, PAGE, members};
use checkpoint::delta::Delta;

/// Changes a few bytes of most pages of process 1, as reference counts change.
fn touch(case: &Case, byte: u8) {
    let path = case.path("web/checkpoint/pages-1.img");
    let mut pages = fs::read(&path).unwrap();
    for (number, page) in pages.chunks_mut(PAGE as usize).enumerate().filter(|(number, _)| number % 7 > 0) {
        page[number % 100] ^= byte;
        page[2000] ^= byte;
    }
    fs::write(&path, pages).unwrap();
}

/// Packs a complete archive, and two archives as XOR, each with the archive before as base.
fn chain() -> Case {
    let case = Case::new();
    case.pack("--compress zstd -o full.ckpt");
    touch(&case, 0x05);
    case.pack("--base full.ckpt --xor --compress zstd -o one.ckpt");
    touch(&case, 0xa3);
    case.change(4, 0xa3);
    case.pack("--base full.ckpt --base one.ckpt --xor --compress gzip -o two.ckpt");
    case
}

/// Checks that two directories have the same images, byte by byte.
fn same_images(case: &Case, one: &str, other: &str) {
    let names = |dir: &str| {
        let entries = fs::read_dir(case.path(dir).join("checkpoint")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(one), names(other));
    for name in names(one) {
        assert!(case.image(one, &name) == case.image(other, &name), "{name}");
    }
}

fn size(case: &Case, name: &str) -> u64 {
    fs::metadata(case.path(name)).unwrap().len()
}

#[test]
fn pages_that_change_by_a_few_bytes_need_little_space() {
    let case = chain();
    case.pack("--base full.ckpt --compress zstd -o pages.ckpt");
    let (xor, pages) = (size(&case, "one.ckpt"), size(&case, "pages.ckpt"));
    // Most of the smaller archive are its documents and other images.
    assert!(xor * 3 < pages * 2, "{xor} of {pages}");
    let members = members(&case.path("one.ckpt"));
    let names: Vec<_> = members.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"checkpoint/pages-1.img.xor"), "{names:?}");
    assert!(!names.contains(&"checkpoint/pages-1.img"), "an engine could restore the archive");
    let delta = members.iter().find(|(name, _)| name == "checkpoint/delta.json").unwrap();
    let delta = Delta::read(&delta.1).unwrap();
    assert!(delta.is_xor());
    assert_eq!(delta.base.unwrap().container.as_deref(), Some(ID));
}

#[test]
fn a_chain_is_unpacked_to_the_images_of_the_dump() {
    let case = chain();
    case.succeeds("ckpt-unpack", "--verify --base full.ckpt --base one.ckpt two.ckpt");
    case.succeeds("ckpt-unpack", "--bundle new --base full.ckpt --base one.ckpt two.ckpt");
    same_images(&case, "new", "web");
    // Also from a pipe, of which the bases are read when its delta.json is.
    let script = format!(
        "cat two.ckpt | {} --bundle piped --base full.ckpt --base one.ckpt",
        harness::tools::tool("ckpt-unpack").display()
    );
    assert!(Command::new("sh").args(["-c", &script]).current_dir(case.0.path()).status().unwrap().success());
    same_images(&case, "piped", "web");
}

#[test]
fn a_flattened_archive_is_complete_and_replaces_its_chain() {
    let case = chain();
    case.pack("-o complete.ckpt");
    touch(&case, 0x11);
    case.pack("--base full.ckpt --base one.ckpt --base two.ckpt --xor --compress zstd -o three.ckpt");
    case.succeeds(
        "ckpt-pack",
        "--from-archive two.ckpt --base full.ckpt --base one.ckpt --flatten --compress zstd -o flat.ckpt",
    );
    let said = case.succeeds("ckpt-unpack", "--verify flat.ckpt");
    assert_eq!(said, "");
    for name in ["flat", "complete"] {
        case.succeeds("ckpt-unpack", &format!("--bundle {name} {name}.ckpt"));
    }
    same_images(&case, "flat", "complete");
    // The archive of the next dump was made with two.ckpt, but any archive of that dump is its base.
    for base in ["flat", "complete"] {
        case.succeeds("ckpt-unpack", &format!("--bundle on-{base} --base {base}.ckpt three.ckpt"));
        same_images(&case, &format!("on-{base}"), "web");
    }
}

#[test]
fn a_wrong_or_modified_base_is_rejected() {
    let case = chain();
    fs::create_dir(case.path("rootfs")).unwrap();
    case.change(9, 0xff);
    case.pack("-o modified.ckpt");
    case.pack("--base full.ckpt --compress zstd -o pages.ckpt");
    for (args, message) in [
        ("two.ckpt", "checkpoint/delta.json: the images need those of the checkpoint of "),
        ("two.ckpt", "hint: add --base FILE"),
        ("--base one.ckpt two.ckpt", "one.ckpt: the images need those of the checkpoint of "),
        ("--base full.ckpt two.ckpt", "full.ckpt: another archive, or modified: expected sha256:"),
        ("--base one.ckpt --base full.ckpt two.ckpt", "full.ckpt: another archive, or modified"),
        ("--base modified.ckpt one.ckpt", "modified.ckpt: another archive, or modified"),
        ("--base modified.ckpt --base one.ckpt two.ckpt", "modified.ckpt: not the base of one.ckpt"),
    ] {
        case.fails("ckpt-unpack", &format!("--bundle new --rootfs rootfs {args}"), message);
    }
    let output = case.run("ckpt-unpack", "--verify --base modified.ckpt one.ckpt");
    assert_eq!(output.status.code(), Some(1));
    for (args, message) in [
        ("--base one.ckpt --xor", "one.ckpt: needs its base, sha256:"),
        ("--base full.ckpt --base modified.ckpt --xor", "full.ckpt: not the base of modified.ckpt, which is"),
        ("--base modified.ckpt --base one.ckpt --xor", "modified.ckpt: not the base of one.ckpt: expected"),
        ("--base full.ckpt --base pages.ckpt --xor", "pages.ckpt: expected all pages or XOR"),
        ("--base full.ckpt --base one.ckpt", "the pages are stored as XOR with those of a base"),
    ] {
        let args = format!("--bundle web --ignore-rootfs --id {ID} {args} --compress zstd -o new.ckpt");
        case.fails("ckpt-pack", &args, message);
    }
    let many =
        format!("--bundle web --ignore-rootfs {} --xor --compress zstd -o x", "--base full.ckpt ".repeat(32));
    case.fails("ckpt-pack", &many, "a chain has at most 32 archives");
    case.fails("ckpt-pack", "--from-archive one.ckpt --flatten -o x", "one.ckpt: needs its base, sha256:");
    let args = "--from-archive one.ckpt --base modified.ckpt --flatten -o x";
    case.fails("ckpt-pack", args, "modified.ckpt: not the base of one.ckpt: expected sha256:");
}

/// Writes the archive again after `change` changed the files in it.
fn repack(case: &Case, from: &str, to: &str, change: impl FnOnce(&Path)) {
    let dir = case.path("repack");
    fs::create_dir(&dir).unwrap();
    let sh = |script: String| {
        assert!(
            Command::new("sh").args(["-c", &script]).current_dir(case.0.path()).status().unwrap().success()
        );
    };
    sh(format!("tar -xf {from} -C repack"));
    change(&dir);
    sh(format!(
        "cd repack && tar --sort=name -caf ../{to} config.dump spec.dump checkpoint && cd .. && rm -r repack"
    ));
}

#[test]
fn a_damaged_archive_is_found_by_the_digest_of_its_images() {
    let case = chain();
    let flip = |dir: &Path| {
        let path = dir.join("checkpoint/pages-1.img.xor");
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    };
    repack(&case, "one.ckpt", "bad.tar.zst", flip);
    let message = "checkpoint/: the archive or its base was modified: expected sha256:";
    case.fails("ckpt-unpack", "--bundle new --base full.ckpt bad.tar.zst", message);
    case.fails("ckpt-pack", "--from-archive bad.tar.zst --base full.ckpt --flatten -o x", message);
    // The archive still has the ID that two.ckpt needs, so only decoding shows the fault.
    case.fails("ckpt-unpack", "--bundle new --base full.ckpt --base bad.tar.zst two.ckpt", message);
    let args = format!("--bundle web --ignore-rootfs --id {ID} --base full.ckpt --base bad.tar.zst");
    let message = "bad.tar.zst: was modified: expected sha256:";
    case.fails("ckpt-pack", &format!("{args} --xor --compress zstd -o x"), message);
    let output = case.run("ckpt-unpack", "--verify --base full.ckpt bad.tar.zst");
    assert_eq!(output.status.code(), Some(1));

    let lie = |at: usize, byte: u8| {
        move |dir: &Path| {
            let path = dir.join("checkpoint/pages-1.img.xor");
            let mut bytes = fs::read(&path).unwrap();
            bytes[at] = byte;
            fs::write(path, bytes).unwrap();
        }
    };
    for (at, byte, message) in [
        (0, b'x', "not memory pages stored as XOR"),
        (9, 0x40, "pages-1.img.xor: expected "),
        (12, 0, "the base has no page at 0x"),
        (18, 0xff, "pages-1.img.xor: expected "),
        (32, 2, "form of a page: expected 0 or 1, found 2"),
    ] {
        repack(&case, "one.ckpt", "lie.tar.zst", lie(at, byte));
        case.fails("ckpt-unpack", "--bundle new --base full.ckpt lie.tar.zst", message);
    }
    repack(&case, "one.ckpt", "alone.tar.zst", |dir| {
        fs::remove_file(dir.join("checkpoint/delta.json")).unwrap();
    });
    let message = "checkpoint/pages-1.img.xor: checkpoint/delta.json does not precede it";
    case.fails("ckpt-unpack", "--bundle new alone.tar.zst", message);
    let args =
        format!("--bundle web --ignore-rootfs --id {ID} --base alone.tar.zst --xor --compress zstd -o x");
    case.fails("ckpt-pack", &args, "checkpoint/delta.json: missing, but the pages are stored as XOR");
}

#[test]
fn a_reader_without_the_base_says_what_it_needs() {
    let case = chain();
    let warning = case.succeeds("ckpt-unpack", "--verify two.ckpt");
    assert!(warning.contains("not complete without the checkpoint of "), "{warning}");
    let output = |args: &str| {
        let output = case.run("ckpt-unpack", args);
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    for (args, expected) in [
        ("--verify two.ckpt", "two.ckpt: valid, but not complete by itself ("),
        ("--check two.ckpt", "checkpoint/: the images need those of the checkpoint"),
        ("--list two.ckpt", "checkpoint/pages-1.img.xor"),
        ("--show two.ckpt", "XOR with the base"),
        ("--show two.ckpt", "the base, with which the memory is stored as XOR"),
        ("--show --json two.ckpt", r#""memory_encoding": "xor""#),
        ("--search root two.ckpt", "the pages are stored as XOR with those of a base"),
        ("--dump-memory 1 two.ckpt", "hint: combine the archives first: ckpt-pack --from-archive"),
        ("--compare full.ckpt two.ckpt", "two.ckpt: checkpoint/pages-1.img.xor: the pages are stored as XOR"),
    ] {
        let said = output(args);
        assert!(said.contains(expected), "{args}: {said}");
        assert!(!said.contains("is not in the archive"), "{args}: {said}");
    }
}

#[test]
fn flags_without_effect_are_usage_errors() {
    let case = chain();
    for (args, message) in [
        ("--bundle web --xor --compress zstd -o x", "--xor"),
        ("--bundle web --base full.ckpt --xor -o x", "hint: add --compress zstd"),
        ("--bundle web --base full.ckpt --xor --compress zstd --self-contained -o x", "--self-contained"),
        ("--bundle web --base full.ckpt --xor --compress zstd --format oci -o x", "--format archive"),
        ("--from-archive two.ckpt --base full.ckpt --flatten --xor -o x", "--xor"),
    ] {
        let output = case.run("ckpt-pack", args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args}: {stderr}");
        assert!(stderr.contains(message), "{args}: {stderr}");
    }
}

/// A change of process 1: the byte at an offset in its pages, and how many bytes from there.
type Change = (usize, usize, u8);

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 8, ..Default::default() })]

    /// However the memory changes between dumps, each archive is decoded to the images of its dump.
    #[test]
    fn any_series_of_dumps_is_decoded_exactly(
        dumps in proptest::collection::vec(
            proptest::collection::vec((0usize..1 << 20, 1usize..20_000, 0u8..4), 0..20), 1..4
        )
    ) {
        let case = Case::new();
        case.pack("--compress zstd -o 0.ckpt");
        let mut bases = String::from("--base 0.ckpt");
        for (number, changes) in (1..).zip(&dumps) {
            let path = case.path("web/checkpoint/pages-1.img");
            let mut pages = fs::read(&path).unwrap();
            for &(offset, len, byte) in changes as &Vec<Change> {
                let start = offset % pages.len();
                let end = pages.len().min(start + len);
                match byte {
                    // Moved content, zeros, and bytes that change in place.
                    0 => pages[start..end].rotate_left((end - start) / 3),
                    1 => pages[start..end].fill(0),
                    _ => pages[start..end].iter_mut().for_each(|old| *old ^= byte),
                }
            }
            fs::write(&path, pages).unwrap();
            case.pack(&format!("{bases} --xor --compress zstd -o {number}.ckpt"));
            case.succeeds("ckpt-unpack", &format!("--bundle {number} {bases} {number}.ckpt"));
            same_images(&case, &number.to_string(), "web");
            bases += &format!(" --base {number}.ckpt");
        }
    }
}

#[test]
fn pages_that_only_one_dump_has_are_stored_as_they_are() {
    let case = Case::new();
    case.pack("-o full.ckpt");
    let (pages, map) = ("web/checkpoint/pages-1.img", "web/checkpoint/pagemap-1.img");
    let (all, runs) = (fs::read(case.path(pages)).unwrap(), fs::read(case.path(map)).unwrap());
    // The base lacks the last run of pages. Each run has a few dozen bytes at most.
    let (mut end, mut last) = (8, 8);
    while end < runs.len() {
        last = end;
        end += 4 + u32::from_le_bytes(runs[end..end + 4].try_into().unwrap()) as usize;
    }
    let mut reader = checkpoint::pagemap::PagemapReader::new("pagemap", &runs[..last]).unwrap();
    let mut kept = 0;
    while let Some(run) = reader.next().unwrap() {
        kept += run.pages * PAGE;
    }
    fs::write(case.path(map), &runs[..last]).unwrap();
    fs::write(case.path(pages), &all[..kept as usize]).unwrap();
    case.pack("-o small.ckpt");
    // Zeros after the pages, as after a dump that was packed while CRIU wrote it.
    let longer = [&all[..], &[0; 100_000]].concat();
    for (base, next, bytes, pagemap) in
        [("small", "more", &longer[..], &runs[..]), ("full", "less", &all[..kept as usize], &runs[..last])]
    {
        fs::write(case.path(map), pagemap).unwrap();
        fs::write(case.path(pages), bytes).unwrap();
        case.pack(&format!("--base {base}.ckpt --xor --compress zstd -o {next}.ckpt"));
        case.succeeds("ckpt-unpack", &format!("--bundle {next} --base {base}.ckpt {next}.ckpt"));
        same_images(&case, next, "web");
        case.succeeds("ckpt-unpack", &format!("--verify --base {base}.ckpt {next}.ckpt"));
    }
}

#[test]
fn an_image_cannot_hold_pages_that_are_stored_as_xor() {
    let case = chain();
    let message = "checkpoint/delta.json: no engine can read an image whose pages are stored as XOR";
    case.fails("ckpt-pack", "--from-archive one.ckpt --format oci -o x", message);
    case.succeeds("ckpt-pack", "--from-archive one.ckpt -o copy.ckpt");
    case.succeeds("ckpt-pack", "--from-archive one.ckpt --base full.ckpt --flatten --format oci -o x.oci");
}
