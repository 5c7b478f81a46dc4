//! Incremental archives: `--base`, chains, `--self-contained` and `--flatten`, and how ckpt-unpack
//! reads them.

mod bundle;

use std::fs;
use std::process::Command;

use bundle::{Case, ID, PAGE, members};
use checkpoint::delta::Delta;
use checkpoint::pagemap::{IN_PARENT, PagemapReader, PagemapWriter};

/// Returns the numbers of pages in the pagemap of process 1: present, and in parent.
fn counts(case: &Case, dir: &str) -> (u64, u64) {
    let bytes = case.image(dir, "pagemap-1.img");
    let mut reader = PagemapReader::new("pagemap-1.img", &bytes[..]).unwrap();
    let (mut present, mut in_parent) = (0, 0);
    while let Some(run) = reader.next().unwrap() {
        match run.flags & IN_PARENT {
            0 => present += run.pages,
            _ => in_parent += run.pages,
        }
    }
    (present, in_parent)
}

/// Returns the pagemap with adjacent runs merged. CRIU writes one run for each mapping.
fn runs(pagemap: &[u8]) -> Vec<u8> {
    let mut reader = PagemapReader::new("pagemap", pagemap).unwrap();
    let mut writer = PagemapWriter::new(Vec::new(), reader.pages_id()).unwrap();
    while let Some(run) = reader.next().unwrap() {
        writer.add(run).unwrap();
    }
    writer.finish().unwrap()
}

/// Packs a full archive, a delta with two changed pages, and a delta of that delta with another one.
fn chain() -> Case {
    let case = Case::new();
    case.pack("--compress zstd -o full.ckpt");
    case.change(3, 0xa1);
    case.change(4, 0xa2);
    case.pack("--base full.ckpt -o one.ckpt");
    case.change(4, 0xa3);
    case.pack("--base full.ckpt --base one.ckpt --compress gzip -o two.ckpt");
    case
}

#[test]
fn a_delta_holds_only_the_changed_pages() {
    let case = chain();
    let full = fs::metadata(case.path("full.ckpt")).unwrap().len();
    for delta in ["one.ckpt", "two.ckpt"] {
        let members = members(&case.path(delta));
        let first = members.iter().position(|(name, _)| name == "checkpoint/delta.json").unwrap();
        let images = members.iter().position(|(name, _)| name.starts_with("checkpoint/c")).unwrap();
        assert!(first < images, "{delta}");
        let document = Delta::read(&members[first].1).unwrap();
        assert_eq!(document.base.unwrap().container.as_deref(), Some(ID));
        let pages: u64 =
            members.iter().filter(|(name, _)| name.contains("/pages-")).map(|(_, c)| c.len() as u64).sum();
        assert_eq!(pages, if delta == "one.ckpt" { 2 } else { 1 } * PAGE, "{delta}");
    }
    assert!(fs::metadata(case.path("two.ckpt")).unwrap().len() < full / 2);
}

#[test]
fn the_chain_is_unpacked_to_directories_parent() {
    let case = chain();
    case.succeeds("ckpt-unpack", "--bundle new --base full.ckpt --base one.ckpt two.ckpt");
    let (present, in_parent) = counts(&case, "new");
    assert_eq!((present, in_parent > 10), (1, true));
    assert!(case.path("new/checkpoint/parent/parent/pages-1.img").exists());
    assert!(!case.path("new/checkpoint/delta.json").exists());
    case.succeeds("ckpt-unpack", "--verify --base full.ckpt --base one.ckpt two.ckpt");
    let shown = String::from_utf8(case.run("ckpt-unpack", "--show two.ckpt").stdout).unwrap();
    assert!(shown.contains("Base ID       sha256:"), "{shown}");
    let warning = case.succeeds("ckpt-unpack", "--verify two.ckpt");
    assert!(warning.contains("not complete without the checkpoint of "), "{warning}");

    // The bundle can be packed again, alone and as a base.
    case.succeeds("ckpt-pack", "--bundle new --ignore-rootfs -o again.ckpt");
    case.succeeds("ckpt-unpack", "--verify again.ckpt");
    case.change(5, 0xa5);
    case.pack("--base again.ckpt -o three.ckpt");
    case.succeeds("ckpt-unpack", "--bundle third --base again.ckpt three.ckpt");
    assert_eq!(counts(&case, "third").0, 1);
    assert!(case.path("third/checkpoint/parent/parent/parent/pages-1.img").exists());
}

#[test]
fn a_flattened_chain_is_the_full_archive() {
    let case = chain();
    case.pack("-o complete.ckpt");
    case.succeeds(
        "ckpt-pack",
        "--from-archive two.ckpt --base full.ckpt --base one.ckpt --flatten -o flat.ckpt",
    );
    case.succeeds("ckpt-unpack", "--verify flat.ckpt");
    case.succeeds("ckpt-unpack", "--bundle flat flat.ckpt");
    case.succeeds("ckpt-unpack", "--bundle complete complete.ckpt");
    for entry in fs::read_dir(case.path("complete/checkpoint")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let [flat, complete] = ["flat", "complete"].map(|dir| case.image(dir, &name));
        match name.starts_with("pagemap-") {
            true => assert_eq!(runs(&flat), runs(&complete), "{name}"),
            false => assert!(flat == complete, "{name}"),
        }
    }
    assert!(!case.path("flat/checkpoint/delta.json").exists());

    // Also if the chain is in one archive.
    case.pack("--base full.ckpt --base one.ckpt --self-contained -o self.ckpt");
    case.succeeds("ckpt-unpack", "--verify self.ckpt");
    case.succeeds("ckpt-unpack", "--bundle self self.ckpt");
    assert!(case.path("self/checkpoint/parent/parent/pages-1.img").exists());
    case.succeeds("ckpt-pack", "--from-archive self.ckpt --flatten --compress zstd -o flat2.ckpt");
    case.succeeds("ckpt-unpack", "--bundle flat2 flat2.ckpt");
    assert!(case.image("flat2", "pages-1.img") == case.image("complete", "pages-1.img"));
    assert!(!case.path("flat2/checkpoint/parent").exists());
}

#[test]
fn what_is_only_in_the_base_is_unknown_to_a_comparison() {
    let case = chain();
    let compared = case.run("ckpt-unpack", "--compare full.ckpt one.ckpt --json");
    assert_eq!(compared.status.code(), Some(3));
    let document: serde_json::Value = serde_json::from_slice(&compared.stdout).unwrap();
    for key in ["processes", "environment"] {
        assert_eq!(document[key], serde_json::json!([]), "{key}");
    }
    let process = &document["memory"]["processes"][0];
    // Two pages of process 1 are in the delta. All others are in its base.
    let facts = ["equal", "changed", "new", "gone", "not_compared"].map(|key| process[key].as_u64().unwrap());
    assert_eq!(facts, [0, 2, 0, 0, case_pages(&case) - 2]);

    let verified = case.run("ckpt-unpack", "--verify one.ckpt");
    assert_eq!(verified.status.code(), Some(0));
    let text = String::from_utf8(verified.stdout).unwrap();
    assert!(text.starts_with("one.ckpt: valid, but not complete by itself ("), "{text}");
    let checked = case.run("ckpt-unpack", "--check one.ckpt");
    let said = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
    assert!(said.contains("checkpoint/: the images need those of the checkpoint"), "{said}");
}

/// Returns the number of pages of process 1.
fn case_pages(case: &Case) -> u64 {
    fs::metadata(case.path("web/checkpoint/pages-1.img")).unwrap().len() / PAGE
}

#[test]
fn a_wrong_base_is_rejected_before_anything_is_written() {
    let case = chain();
    fs::create_dir(case.path("rootfs")).unwrap();
    // Another byte of a page that two.ckpt does not even use.
    case.change(9, 0xff);
    case.pack("-o modified.ckpt");
    case.succeeds("ckpt-pack", "--bundle web --ignore-rootfs --id bb -o other.ckpt");
    for (args, message) in [
        ("two.ckpt", "checkpoint/delta.json: the images need those of the checkpoint of "),
        ("--base one.ckpt two.ckpt", "one.ckpt: the images need those of the checkpoint of "),
        ("--base full.ckpt two.ckpt", "full.ckpt: another archive, or modified: expected sha256:"),
        (
            "--base one.ckpt --base full.ckpt two.ckpt",
            "one.ckpt: not the base of full.ckpt, which is complete",
        ),
        ("--base modified.ckpt one.ckpt", "modified.ckpt: another archive, or modified"),
        (
            "--base modified.ckpt --base one.ckpt two.ckpt",
            "modified.ckpt: not the base of one.ckpt: expected",
        ),
        ("--base one.ckpt full.ckpt", "--base: the archive names no base"),
    ] {
        case.fails("ckpt-unpack", &format!("--bundle new --rootfs rootfs {args}"), message);
    }
    for (args, message) in [
        ("--base one.ckpt", "one.ckpt: needs its base, sha256:"),
        (
            "--base full.ckpt --base modified.ckpt",
            "full.ckpt: not the base of modified.ckpt, which is a complete",
        ),
        ("--base other.ckpt", "other.ckpt: a checkpoint of another container: expected the ID 00"),
        ("--base modified.ckpt --base one.ckpt", "modified.ckpt: not the base of one.ckpt: expected sha256:"),
    ] {
        let args = format!("--bundle web --ignore-rootfs --id {ID} {args} -o new.ckpt");
        case.fails("ckpt-pack", &args, message);
    }
    let args = "--from-archive two.ckpt --base full.ckpt --flatten -o new.ckpt";
    case.fails("ckpt-pack", args, "full.ckpt: not the base of two.ckpt: expected sha256:");
}

#[test]
fn pages_that_no_archive_holds_are_reported() {
    let case = chain();
    case.succeeds("ckpt-unpack", "--bundle new --base full.ckpt one.ckpt");
    let pagemap = case.path("new/checkpoint/parent/pagemap-1.img");
    let bytes = fs::read(&pagemap).unwrap();
    // Without its last run. Each run has a few dozen bytes at most.
    let mut end = 8;
    let mut last = 8;
    while end < bytes.len() {
        last = end;
        end += 4 + u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap()) as usize;
    }
    fs::write(&pagemap, &bytes[..last]).unwrap();
    case.fails("ckpt-pack", "--bundle new --ignore-rootfs -o x", "checkpoint/pagemap-1.img: the page at 0x");
    fs::remove_dir_all(case.path("new/checkpoint/parent")).unwrap();
    case.fails("ckpt-pack", "--bundle new --ignore-rootfs -o x", "is not in parent/pagemap-1.img");
}

#[test]
fn a_base_in_a_pipe_or_of_a_preceding_dump_is_an_error() {
    let case = chain();
    let script = format!(
        "cat full.ckpt | {} --bundle web --ignore-rootfs --id {ID} --base - -o x",
        harness::tools::tool("ckpt-pack").display()
    );
    let output = Command::new("sh").args(["-c", &script]).current_dir(case.0.path()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("expected a file, because it is read several times"), "{stderr}");
    std::os::unix::fs::symlink("../pre-checkpoint", case.path("web/checkpoint/parent")).unwrap();
    let args = "--bundle web --ignore-rootfs --base full.ckpt -o x";
    case.fails("ckpt-pack", args, "web/checkpoint/parent: the dump already has a base");
}

#[test]
fn zeros_after_pages_and_another_order_of_members_are_allowed() {
    let case = Case::new();
    let pages = case.path("web/checkpoint/pages-1.img");
    let size = fs::metadata(&pages).unwrap().len();
    // As a dump that was packed while CRIU wrote it: zeros after the pages, and pages first.
    fs::File::options().write(true).open(&pages).unwrap().set_len(size + 100_000).unwrap();
    case.pack("-o sorted.ckpt");
    case.succeeds("ckpt-unpack", "--bundle base sorted.ckpt");
    let script = "cd base && tar --exclude=./checkpoint/pages-1.img -cf ../rest.tar ./config.dump ./spec.dump ./checkpoint && \
        tar -cf ../base.ckpt ./checkpoint/pages-1.img && tar -Af ../base.ckpt ../rest.tar";
    assert!(Command::new("sh").args(["-c", script]).current_dir(case.0.path()).status().unwrap().success());
    case.change(2, 0xbb);
    case.pack("--base base.ckpt -o delta.ckpt");
    // The ID does not depend on the order of members.
    for base in ["base.ckpt", "sorted.ckpt"] {
        case.succeeds("ckpt-unpack", &format!("--bundle of-{base} --base {base} delta.ckpt"));
        assert_eq!(counts(&case, &format!("of-{base}")).0, 1);
    }
    case.succeeds("ckpt-pack", "--from-archive delta.ckpt --base base.ckpt --flatten -o flat.ckpt");
    case.succeeds("ckpt-unpack", "--bundle flat flat.ckpt");
    let expected = fs::read(&pages).unwrap();
    assert!(case.image("flat", "pages-1.img") == expected[..size as usize]);
}

#[test]
fn memory_that_criu_compressed_is_an_error() {
    let case = chain();
    let image = case.path("web/checkpoint/pagemap-1.img");
    let old = fs::read(&image).unwrap();
    let mut reader = PagemapReader::new("pagemap-1.img", &old[..]).unwrap();
    let mut bytes = [0x5456_4319_u32, 0x5608_4025].map(u32::to_le_bytes).concat();
    let pages_id = u8::try_from(reader.pages_id()).unwrap();
    // Two pages in one block of 8192 bytes.
    let run: &[u8] = &[
        0x08, 0x80, 0x20, 0x10, 2, 0x20, 4, 0x28, 2, 0x32, 9, 0x0a, 2, 0x80, 0x40, 0x10, 0x80, 0x40, 0x18, 2,
    ];
    assert!(reader.next().unwrap().is_some());
    for message in [&[0x08, pages_id][..], run] {
        bytes.extend_from_slice(&u32::try_from(message.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(message);
    }
    fs::write(&image, bytes).unwrap();
    fs::File::options()
        .write(true)
        .open(case.path("web/checkpoint/pages-1.img"))
        .unwrap()
        .set_len(8192)
        .unwrap();
    let args = format!("--bundle web --ignore-rootfs --id {ID} --base full.ckpt -o x");
    case.fails("ckpt-pack", &args, "pagemap-1.img: the pages are compressed by CRIU");
}

#[test]
fn a_base_without_all_of_its_pages_is_rejected_before_the_output_appears() {
    let case = chain();
    let good = members(&case.path("one.ckpt"));
    // As an archive whose delta.json was removed: its pages in parent are nowhere.
    let tar = "mkdir t && tar -xf one.ckpt -C t && rm t/checkpoint/delta.json && tar -C t -cf torn.ckpt .";
    assert!(Command::new("sh").args(["-c", tar]).current_dir(case.0.path()).status().unwrap().success());
    assert!(good.len() > members(&case.path("torn.ckpt")).len());
    for flags in ["", "--self-contained"] {
        let args = format!("--bundle web --ignore-rootfs --id {ID} --base torn.ckpt {flags} -o x");
        case.fails("ckpt-pack", &args, "torn.ckpt: checkpoint/pagemap-1.img: the page at 0x");
    }
    case.fails("ckpt-pack", "--from-archive torn.ckpt --flatten -o x", "is in no earlier images");
    let args = "--from-archive two.ckpt --flatten -o x";
    case.fails("ckpt-pack", args, "hint: add --base FILE; if FILE needs other archives, give them first");
    case.succeeds("ckpt-unpack", "--bundle new --base full.ckpt one.ckpt");
    let args = "--bundle new --ignore-rootfs --base full.ckpt -o x";
    case.fails("ckpt-pack", args, "new/checkpoint/parent: the dump already has a base");
    case.fails("ckpt-pack", args, "hint: pack without --base, then use --from-archive FILE --flatten");
}

#[test]
fn an_image_for_an_engine_needs_a_complete_archive() {
    let case = chain();
    let engine = format!("--annotations cri-o --format oci --rootfs-image quay.io/x@{}", "a".repeat(64));
    let args = format!("--from-archive one.ckpt {engine} -o x");
    case.fails("ckpt-pack", &args, "checkpoint/delta.json: the engine of --annotations needs a complete");
    let warning = "engines cannot restore the image, which needs a base";
    let said = case.succeeds("ckpt-pack", "--from-archive one.ckpt --format oci -o one.oci");
    assert!(said.contains(warning) && said.contains("--flatten"), "{said}");
    let said = case.pack("--base full.ckpt --format oci -o two.oci");
    assert!(said.contains(warning) && said.contains("--self-contained"), "{said}");
    for args in
        ["--from-archive full.ckpt -o a.oci", "--from-archive one.ckpt --base full.ckpt --flatten -o b.oci"]
    {
        let said = case.succeeds("ckpt-pack", &format!("{args} {engine}"));
        assert!(!said.contains(warning), "{said}");
    }
    case.pack("--base full.ckpt --self-contained -o self.ckpt");
    case.succeeds("ckpt-pack", &format!("--from-archive self.ckpt {engine} -o c.oci"));
}
