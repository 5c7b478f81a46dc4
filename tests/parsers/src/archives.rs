//! Member streams, checkpoint archives, container images, and CRIU's image files.

use std::io::{BufReader, Read, Seek, SeekFrom, Write};

use checkpoint::Member;
use checkpoint::PAGE;
use checkpoint::archive::{ArchiveReader, Unknown};
use checkpoint::compress::{Bound, Decoder};
use checkpoint::criu::check::{Collected, check};
use checkpoint::criu::requirements::Requirements;
use checkpoint::oci::{Content, Hashing, Layout};
use checkpoint::origin::Origin;
use checkpoint::pagemap::{PagemapReader, PagemapWriter};
use checkpoint::process_tree::Images;
use checkpoint::spec_dump::SpecDump;
use checkpoint::stats::Stats;
use checkpoint::stream::{Ending, StreamReader};
use serde_json::json;
use tartree::{Entry, Kind, Limits, Reader, RootName, TarPath, Timestamp};

/// Limit of decompressed bytes per input, so that one input does not take too long. The tools have
/// their own limits, with their own tests.
const MOST: u64 = 1 << 24;

/// Parses a member stream, with `.end` and as a plain tar.
pub fn stream(bytes: &[u8]) {
    let count = |ending| {
        let mut reader = StreamReader::new(bytes, ending);
        let mut members = 0;
        loop {
            match reader.next() {
                Ok(Some(_)) => members += 1,
                Ok(None) => return Some((members, reader.ends().len() as u64, reader.streams())),
                Err(_) => return None,
            }
        }
    };
    if let Some((members, ends, streams)) = count(Ending::Proved) {
        assert_eq!(ends, streams, "a stream without .end is accepted");
        let raw = count(Ending::Raw).map(|(members, ..)| members);
        assert_eq!(raw, Some(members), "a complete stream is not readable as a plain tar");
    }
}

/// Parses an archive in any compression, and the tars in it.
pub fn archive(bytes: &[u8]) {
    let bound = Bound::new(Some(MOST), Some(1 << 22));
    let limits = Limits { content_bytes: MOST, ..Limits::default() };
    let Ok(mut reader) = ArchiveReader::bounded(bytes, Unknown::Keep, limits.clone(), bound) else { return };
    let mut names = Vec::new();
    while let Ok(Some((member, _))) = reader.next() {
        let bound = reader.bound();
        if matches!(member, Member::RootfsDiff | Member::Volume(_) | Member::DevShm) {
            if let Ok(decoder) = Decoder::bounded(BufReader::new(reader.content()), bound) {
                let mut nested = Reader::new(BufReader::new(decoder), limits.clone());
                while let Ok(Some(_)) = nested.next() {}
            }
        }
        assert_eq!(Member::of(&member.path()), member, "the path of a member parses as another member");
        names.push(member);
    }
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "a member is returned twice");
}

/// Parses an OCI image layout or docker archive.
pub fn oci_layout(bytes: &[u8]) {
    let mut file = tempfile::tempfile_in("/dev/shm").or_else(|_| tempfile::tempfile()).expect("a file");
    file.write_all(bytes).expect("written");
    let Ok(layout) = Layout::of_tar(&file) else { return };
    if let Ok(image) = layout.image(None) {
        let blobs = match image.content {
            Content::Layers(layers) => layers,
            Content::Containerd(parts) => {
                assert!(SpecDump::read(&parts.spec).is_ok(), "an invalid spec is returned");
                parts.layer.into_iter().chain([parts.criu]).collect()
            }
        };
        for mut layer in blobs {
            let end = layer.offset.checked_add(layer.size);
            assert!(
                end.is_some_and(|end| end <= bytes.len() as u64),
                "a layer ends after the end of the file"
            );
            let _ = layer.prove();
        }
    }
}

/// Parses a checkpoint of containerd. The input is the tar of CRIU's images, and before it the spec,
/// with two bytes for its length. The digests are computed here, because a fuzzer cannot guess them.
pub fn containerd(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return };
    let (spec, criu) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
    let mut tar = Vec::new();
    let mut add = |kind: &str, content: &[u8]| {
        let mut hashing = Hashing::new(std::io::sink());
        hashing.write_all(content).expect("hashed");
        let (_, digest, size) = hashing.finish();
        member(&mut tar, &format!("blobs/sha256/{digest}"), content);
        json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": size })
    };
    let config = add("application/vnd.containerd.container.checkpoint.config.v1+proto", spec);
    let criu = add("application/vnd.containerd.container.criu.checkpoint.criu.tar", criu);
    let index = json!({ "manifests": [config, criu] }).to_string();
    let index = json!({ "manifests": [add("application/vnd.oci.image.index.v1+json", index.as_bytes())] });
    member(&mut tar, "index.json", index.to_string().as_bytes());
    tar.extend_from_slice(&tartree::END_OF_ARCHIVE);
    let file = || tempfile::tempfile_in("/dev/shm").or_else(|_| tempfile::tempfile());
    let mut layout = file().expect("a file");
    layout.write_all(&tar).expect("written");
    let Ok(mut image) = Layout::of_tar(&layout).expect("a tar").image(None) else { return };
    let limits = Limits { content_bytes: MOST, ..Limits::default() };
    let bound = Bound::new(Some(MOST), Some(1 << 22));
    let Ok(mut made) = image.take_archive(&limits, &bound, file) else { return };
    made.file.seek(SeekFrom::Start(made.offset)).expect("a file");
    let mut reader = ArchiveReader::new(made.file.take(made.size), Unknown::Keep).expect("an archive");
    let mut names = Vec::new();
    let complete = loop {
        match reader.next() {
            Ok(Some((member, _))) => names.push(member),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    let documents = [Member::SpecDump, Member::ConfigDump];
    assert!(!complete || documents.iter().all(|document| names.contains(document)), "a document is missing");
}

/// Appends a file to a tar.
fn member(tar: &mut Vec<u8>, name: &str, content: &[u8]) {
    let path = TarPath::parse(name.as_bytes()).expect("a path");
    let entry = Entry::file(path, content.len() as u64, 0o644, Timestamp::default());
    tartree::encode(tar, &entry, RootName::Dot);
    tar.extend_from_slice(content);
    tar.resize(tar.len() + tartree::padding(content.len() as u64) as usize, 0);
}

/// Parses CRIU's images.
pub fn images(bytes: &[u8]) {
    const NAMES: [&str; 17] = [
        "pstree.img",
        "core-1.img",
        "ids-1.img",
        "mm-1.img",
        "fdinfo-1.img",
        "pagemap-1.img",
        "stats-dump",
        "pagemap-shmem-1.img",
        "inventory.img",
        "seccomp.img",
        "cpuinfo.img",
        "mountpoints-1.img",
        "dump.log",
        "files.img",
        "fs-1.img",
        "remap-fpath.img",
        "pages-1.img",
    ];
    let (mut images, mut origin) = (Images::default(), Origin::default());
    let mut collected = Collected::default();
    images.read_environments();
    // An input contains several images, so that references between images are parsed, too.
    for part in bytes.split(|&b| b == 0xfe) {
        let Some((&which, image)) = part.split_first() else { continue };
        let name = NAMES[usize::from(which) % NAMES.len()];
        let kind = Kind::File { size: image.len() as u64, map: None };
        collected.add(name, &kind, &mut &image[..]).expect("bytes are read");
        if name == "stats-dump" {
            if let Ok(stats) = Stats::read(name, image) {
                let _ = stats.to_json();
            }
        } else if name == "dump.log" {
            origin.add_log(image);
        } else if Origin::wants(name) {
            let _ = origin.add(name, image);
        } else {
            let _ = images.add(name, image);
        }
    }
    for pages in [1, 2] {
        let (parts, total) = images.parts(&format!("pages-{pages}.img"));
        for part in parts {
            for size in [0, 4096, total.saturating_mul(4096), u64::MAX] {
                let range = part.range(size, total);
                assert!(
                    range.is_none_or(|(start, len)| start + len <= size),
                    "arguments after the end of the image"
                );
            }
        }
    }
    let _ = (images.lacks_texts(), images.processes());
    for (mapping, amount) in images.mappings(1) {
        let _ = (images.mapping_name(1, mapping), mapping.permissions(), amount);
    }
    let (pieces, _) = images.pieces(1);
    let is_sorted = pieces.windows(2).all(|two| two[0].address + two[0].len <= two[1].address);
    assert!(is_sorted, "pieces overlap");
    for segment in images.stored("pages-1.img").segments {
        let end = segment.offset.checked_add(segment.len);
        assert!(end.is_some() && segment.address.checked_add(segment.len).is_some(), "a segment overflows");
    }
    let report = check(&mut collected);
    assert!(report.problems.is_empty() || report.unannounced.is_empty(), "{report:?}");
    let _ = Requirements::read(&mut collected);
}

/// Parses a pagemap, and writes its runs to another pagemap.
pub fn pagemap(bytes: &[u8]) {
    let Ok(mut reader) = PagemapReader::new("pagemap-1.img", bytes) else { return };
    let mut writer = PagemapWriter::new(Vec::new(), reader.pages_id()).expect("written");
    let (mut end, mut pages) = (0, 0u64);
    while let Ok(Some(run)) = reader.next() {
        assert!(run.vaddr >= end && run.pages > 0, "the runs are not in order");
        end = run.end(PAGE);
        pages += run.pages;
        writer.add(run).expect("a run that was read can be written");
    }
    let written = writer.finish().expect("written");
    let mut again = PagemapReader::new("pagemap-1.img", &written[..]).expect("a pagemap");
    let mut sum = 0u64;
    while let Some(run) = again.next().expect("a run") {
        sum += run.pages;
    }
    assert_eq!(sum, pages, "pages are lost");
}
