//! A bundle with real images, which tests change and pack again and again.

use std::fs;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

use checkpoint::Member;
use checkpoint::archive::{ArchiveReader, Unknown};

const ARCHIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ckpt-unpack/tests/data/g06-bridge.tar.xz");
const SPEC: &str = r#"{"process":{"args":["ran"]},"root":{},"mounts":[],"linux":{"namespaces":[{"type":"network","path":"/run/netns/x"}]}}"#;
pub const ID: &str = "00000000000000000000000000000000000000000000000000000000000000aa";
pub const PAGE: u64 = 4096;

/// A directory with `web`, a bundle with the images of a real checkpoint: processes 1 and 12.
pub struct Case(pub tempfile::TempDir);

impl Case {
    pub fn new() -> Case {
        let case = Case(tempfile::tempdir().unwrap());
        fs::create_dir_all(case.path("web/checkpoint")).unwrap();
        let archive = fs::read(ARCHIVE).unwrap();
        let mut reader = ArchiveReader::new(&archive[..], Unknown::Refuse).unwrap();
        while let Some((member, _)) = reader.next().unwrap() {
            if matches!(&member, Member::Images(path) if !path.is_root()) {
                let mut content = Vec::new();
                reader.content().read_to_end(&mut content).unwrap();
                fs::write(case.path("web").join(member.to_string()), content).unwrap();
            }
        }
        fs::write(case.path("web/config.json"), SPEC).unwrap();
        case
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    pub fn run(&self, tool: &str, args: &str) -> Output {
        let mut command = Command::new(harness::tools::tool(tool));
        command
            .args(args.split_whitespace())
            .current_dir(self.0.path())
            .env("NO_COLOR", "1")
            .output()
            .unwrap()
    }

    pub fn succeeds(&self, tool: &str, args: &str) -> String {
        let output = self.run(tool, args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{tool} {args}: {stderr}");
        stderr
    }

    /// Packs the bundle with these flags.
    pub fn pack(&self, args: &str) -> String {
        self.succeeds("ckpt-pack", &format!("--bundle web --ignore-rootfs --id {ID} {args}"))
    }

    /// Checks that a command fails with `message`, and changes no file.
    pub fn fails(&self, tool: &str, args: &str, message: &str) {
        let before = self.names();
        let output = self.run(tool, args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{tool} {args}: {stderr}");
        assert!(stderr.contains(message), "{tool} {args}: {message}: {stderr}");
        assert_eq!(self.names(), before, "{tool} {args}");
    }

    pub fn names(&self) -> Vec<std::path::PathBuf> {
        let mut found: Vec<_> =
            fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.sort();
        found
    }

    /// Fills a page of process 1 with `byte`.
    pub fn change(&self, page: u64, byte: u8) {
        let file = fs::File::options().write(true).open(self.path("web/checkpoint/pages-1.img")).unwrap();
        file.write_all_at(&[byte; PAGE as usize], page * PAGE).unwrap();
    }

    pub fn image(&self, dir: &str, name: &str) -> Vec<u8> {
        fs::read(self.path(dir).join("checkpoint").join(name)).unwrap()
    }
}

/// Returns the members of an archive with their content.
pub fn members(path: &Path) -> Vec<(String, Vec<u8>)> {
    let archive = fs::read(path).unwrap();
    let mut reader = ArchiveReader::new(&archive[..], Unknown::Refuse).unwrap();
    let mut members = Vec::new();
    while let Some((member, _)) = reader.next().unwrap() {
        let mut content = Vec::new();
        reader.content().read_to_end(&mut content).unwrap();
        members.push((member.to_string(), content));
    }
    members
}
