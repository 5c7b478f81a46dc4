//! Checks that `--verify` finds images that CRIU could not restore, and prints a summary.

mod golden;

use std::io::{Seek, Write};
use std::process::Command;

use golden::{Members, golden};
use tartree::{Entry, TarPath, Timestamp};

fn path(name: &str) -> TarPath {
    TarPath::parse(name.as_bytes()).unwrap()
}

fn find<'a>(members: &'a mut Members, name: &str) -> &'a mut Vec<u8> {
    &mut members.iter_mut().find(|(entry, _)| entry.path == path(name)).unwrap().1
}

fn add(members: &mut Members, name: &str, content: &[u8]) {
    members.push((Entry::file(path(name), 0, 0o600, Timestamp::default()), content.to_vec()));
}

/// Returns an image: the magic number of its kind, then messages.
fn image(magic: u32, messages: &[&[u8]]) -> Vec<u8> {
    let mut image = [0x5456_4319, magic].map(u32::to_le_bytes).concat();
    for message in messages {
        image.extend_from_slice(&u32::try_from(message.len()).unwrap().to_le_bytes());
        image.extend_from_slice(message);
    }
    image
}

/// Verifies the archive with `change`. Returns the exit status, standard output and standard error.
fn run(args: &[&str], change: &dyn Fn(&mut Members)) -> (i32, String, String) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&golden(change)).unwrap();
    file.rewind().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"));
    let output = command.arg("--verify").args(args).env("NO_COLOR", "1").stdin(file).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn verify(change: &dyn Fn(&mut Members)) -> (i32, String) {
    let (status, stdout, stderr) = run(&[], change);
    assert_eq!(stdout.is_empty(), status != 0, "{stdout}");
    (status, stderr)
}

#[test]
fn verify_prints_a_summary_only_on_success() {
    let summary = "standard input: complete (members: 38, files in tars: 1, bytes: 223391, processes: 2, memory pages: 34)\n";
    assert_eq!(run(&[], &|_| ()), (0, summary.into(), String::new()));
    assert_eq!(run(&["--quiet"], &|_| ()), (0, String::new(), String::new()));
    let (status, stdout, _) = run(&[], &|members| find(members, "config.dump").clear());
    assert_eq!((status, stdout.as_str()), (1, ""));
}

#[test]
fn verify_names_every_missing_or_damaged_image() {
    type Change = fn(&mut Members);
    let changes: &[(&str, Change)] = &[
        ("pstree.img: no such file", |m| m.retain(|(e, _)| e.path != path("checkpoint/pstree.img"))),
        ("pstree.img: no such file", |m| {
            m.retain(|(e, _)| e.path != path("checkpoint/pstree.img"));
            find(m, "checkpoint/inventory.img").truncate(9);
        }),
        ("files.img: no such file", |m| m.retain(|(e, _)| e.path != path("checkpoint/files.img"))),
        ("mm-12.img: no such file", |m| m.retain(|(e, _)| e.path != path("checkpoint/mm-12.img"))),
        ("pagemap-1.img: no such file", |m| m.retain(|(e, _)| e.path != path("checkpoint/pagemap-1.img"))),
        ("fs-1.img: no such file", |m| m.retain(|(e, _)| e.path != path("checkpoint/fs-1.img"))),
        ("ids-12.img: no such file", |m| m.retain(|(e, _)| e.path != path("checkpoint/ids-12.img"))),
        ("fdinfo-3.img: no such file", |m| m.retain(|(e, _)| e.path != path("checkpoint/fdinfo-3.img"))),
        ("mountpoints-13.img: no such file", |m| {
            m.retain(|(e, _)| e.path != path("checkpoint/mountpoints-13.img"));
        }),
        ("mountpoints-13.img: holds no mount", |m| find(m, "checkpoint/mountpoints-13.img").truncate(8)),
        ("files.img: lacks a file that fdinfo-2.img refers to", |m| {
            *find(m, "checkpoint/files.img") = image(0x5630_3138, &[]);
        }),
        ("cgroup.img: is empty", |m| find(m, "checkpoint/cgroup.img").clear()),
        ("cgroup.img: not a CRIU image", |m| find(m, "checkpoint/cgroup.img").truncate(5)),
        ("tmpfs-dev-46.tar.gz.img: not compressed with gzip", |m| {
            find(m, "checkpoint/tmpfs-dev-46.tar.gz.img").clear();
        }),
        ("pstree.img: two processes with PID 12", |m| {
            find(m, "checkpoint/pstree.img").extend(b"\x04\0\0\0\x08\x0c\x10\x01");
        }),
        // A mapping of the anonymous shared memory 77.
        ("pagemap-shmem-77.img: no such file; CRIU needs it for shared memory", |m| {
            find(m, "checkpoint/mm-12.img").splice(8..12, [0; 0]);
            let memory = find(m, "checkpoint/mm-12.img").split_off(8);
            let message = [&memory[..], b"\x72\x05\x20\x4d\x38\x81\x02"].concat();
            *find(m, "checkpoint/mm-12.img") = image(0x5749_2820, &[&message]);
        }),
    ];
    for (words, change) in changes {
        let (status, told) = verify(change);
        assert_eq!(status, 1, "{words}: {told}");
        assert!(told.contains(&format!("checkpoint/{words}")), "{words}: {told}");
    }
}

#[test]
fn verify_names_images_that_are_too_large_to_be_checked() {
    let (status, told) = verify(&|members| {
        // A message of 17 MiB in a field that no tool knows.
        let size = 17 << 20;
        let mut image = [0x5456_4319, 0x5938_3330, size + 5].map(u32::to_le_bytes).concat();
        image.extend([0xfa, 0x7f, 0x80, 0x80, 0xc0]);
        image.resize(image.len() + size as usize, 0);
        *find(members, "checkpoint/cgroup.img") = image;
    });
    assert_eq!(status, 0, "{told}");
    assert!(told.contains("checkpoint/cgroup.img: too large to be checked, 1 such images"), "{told}");
}

#[test]
fn verify_names_images_that_no_image_announces() {
    for name in ["core-77.img", "pages-7.img", "mm-77.img", "fdinfo-9.img", "mountpoints-99.img"] {
        let (status, told) = verify(&|members| {
            let content = match name {
                "mountpoints-99.img" => image(0x5556_3928, &[]),
                _ => b"old".to_vec(),
            };
            add(members, &format!("checkpoint/{name}"), &content);
        });
        assert_eq!(status, 0, "{name}: {told}");
        assert!(told.contains(&format!("checkpoint/{name}: no process needs this image")), "{told}");
    }
    // The images of SysV memory are announced by an image of their own.
    let told = verify(&|members| {
        add(members, "checkpoint/pagemap-shmem-5.img", &image(0x5608_4025, &[b"\x08\x07"]));
        add(members, "checkpoint/pages-7.img", b"");
    });
    assert_eq!(told, (0, String::new()));
}

#[test]
fn verify_reports_images_that_contradict_each_other() {
    assert_eq!(verify(&|_| ()), (0, String::new()));
    let (status, told) = verify(&|members| find(members, "checkpoint/pages-2.img").truncate(5000));
    assert_eq!(status, 1);
    assert!(told.contains("checkpoint/pages-2.img: expected 16 pages, found 5000 bytes"), "{told}");
    let (status, told) = verify(&|members| members.retain(|(e, _)| e.path != path("checkpoint/core-12.img")));
    assert_eq!(status, 1);
    let missing = "checkpoint/core-12.img: no such file; CRIU needs it to restore process 12";
    assert!(told.contains(missing), "{told}");
    let (status, told) = verify(&|members| members.retain(|(e, _)| e.path != path("checkpoint/pages-2.img")));
    assert_eq!(status, 1);
    assert!(told.contains("checkpoint/pages-2.img: no such file, expected 16 pages"), "{told}");
    let (status, told) = verify(&|members| find(members, "checkpoint/inventory.img").clear());
    assert_eq!(status, 1);
    assert!(told.contains("checkpoint/inventory.img: is empty"), "{told}");
    let (status, told) = verify(&|members| find(members, "checkpoint/files.img").truncate(100));
    assert_eq!(status, 1);
    assert!(told.contains("checkpoint/files.img: the CRIU image ends too early"), "{told}");
}

#[test]
fn verify_accepts_zeros_after_pages_and_compressed_pages() {
    let pages = "checkpoint/pages-2.img";
    assert_eq!(verify(&|members| find(members, pages).extend([0; 100_000])), (0, String::new()));
    let (status, told) = verify(&|members| find(members, pages).extend([0, 0, 1, 0]));
    assert_eq!(status, 1);
    assert!(told.contains("checkpoint/pages-2.img: expected 16 pages, found 65540 bytes"), "{told}");
    // Pages may precede the pagemap images.
    let (status, told) = verify(&|members| {
        find(members, pages).extend([0; 100_000]);
        let at = members.iter().position(|(entry, _)| entry.path == path(pages)).unwrap();
        let pages = members.remove(at);
        members.insert(1, pages);
    });
    assert_eq!((status, told), (0, String::new()));

    // The format of CRIU 4.3: 16 pages in two blocks of 100 and 50 bytes, and two uncompressed pages
    // that start at a multiple of the page size.
    let pagemap = |total: u8| {
        let head: &[u8] = &[0x08, 2];
        let blocks = [0x0a, 2, 100, 50, 0x10, total, 1, 0x18, 8];
        let compressed: &[u8] =
            &[&[0x08, 0x80, 0x20, 0x10, 16, 0x20, 4, 0x28, 16, 0x32, 9][..], &blocks].concat();
        let plain: &[u8] = &[0x08, 0x80, 0xa0, 4, 0x10, 2, 0x20, 12, 0x28, 2];
        let mut image = [0x5456_4319_u32, 0x5608_4025].map(u32::to_le_bytes).concat();
        for message in [head, compressed, plain] {
            image.extend_from_slice(&(message.len() as u32).to_le_bytes());
            image.extend_from_slice(message);
        }
        image
    };
    let compressed = |size: usize, total: u8| {
        verify(&|members| {
            *find(members, "checkpoint/pagemap-12.img") = pagemap(total);
            *find(members, pages) = vec![1; size];
        })
    };
    assert_eq!(compressed(3 * 4096, 0x96), (0, String::new()));
    let (status, told) = compressed(150 + 2 * 4096, 0x96);
    assert_eq!(status, 1);
    assert!(told.contains("checkpoint/pages-2.img: expected 18 pages, found 8342 bytes"), "{told}");
    let (status, told) = compressed(3 * 4096, 0x97);
    assert_eq!(status, 1);
    assert!(told.contains("checkpoint/pagemap-12.img: the blocks at 0x1000 do not hold 16 pages"), "{told}");
}

#[test]
fn verify_rejects_runs_of_pages_that_no_process_can_have() {
    // Two pages in parent at the last page of the address space.
    let run = [&[0x08, 0x80, 0xe0][..], &[0xff; 7], &[1, 0x10, 2, 0x20, 1, 0x28, 2]].concat();
    let (status, told) = verify(&|members| {
        *find(members, "checkpoint/pagemap-1.img") = image(0x5608_4025, &[&[0x08, 1], &run]);
    });
    assert_eq!(status, 1);
    assert!(told.contains("pagemap-1.img: the run at 0xfffffffffffff000 has too many pages"), "{told}");
}
