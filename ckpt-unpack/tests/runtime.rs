//! Checks that the runtime can use the unpacked images: their keys are its own, and the container's
//! root can read them.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Output, Stdio};

use checkpoint::external_mounts::{Maker, maker};

struct Archive(tempfile::TempDir);

impl Archive {
    /// Writes an archive of `spec` and an image of one mount with this root, mount point and key.
    fn new(spec: &str, mount: (&str, &str, &str)) -> Archive {
        let archive = Archive(tempfile::tempdir().unwrap());
        // With a more open mode, the container's root could enter the directory, and there would be
        // no warning.
        fs::set_permissions(archive.0.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let dir = archive.0.path().join("in");
        fs::create_dir_all(dir.join("checkpoint")).unwrap();
        fs::write(dir.join("config.dump"), r#"{"id":"x"}"#).unwrap();
        fs::write(dir.join("spec.dump"), spec).unwrap();
        fs::write(dir.join("checkpoint/inventory.img"), "x").unwrap();
        fs::write(dir.join("checkpoint/mountpoints-13.img"), image(mount)).unwrap();
        let mut tar = Command::new("tar");
        tar.args(["-cf", "../archive", "config.dump", "spec.dump", "checkpoint"]);
        assert!(tar.current_dir(dir).status().unwrap().success());
        archive
    }

    fn unpack(&self, flags: &[&str]) -> Output {
        let input: Stdio = File::open(self.0.path().join("archive")).unwrap().into();
        let _ = fs::remove_dir_all(self.0.path().join("b"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"));
        command.args(["--bundle", "b"]).args(flags).stdin(input);
        command.current_dir(self.0.path()).env("NO_COLOR", "1").output().unwrap()
    }

    fn made_by(&self) -> Option<Maker> {
        let name = "mountpoints-13.img";
        maker(name, &fs::read(self.0.path().join("b/checkpoint").join(name)).unwrap()).unwrap()
    }

    fn mode(&self, path: &str) -> (u32, u32, u32) {
        let meta = fs::symlink_metadata(self.0.path().join(path)).unwrap();
        (meta.mode() & 0o7777, meta.uid(), meta.gid())
    }
}

/// Returns a `mountpoints-N.img` of one mount (CRIU's mnt.proto: 6 root, 7 mountpoint, 18 ext_key).
fn image((root, at, key): (&str, &str, &str)) -> Vec<u8> {
    let mut entry = Vec::new();
    for (tag, text) in [(&[0x32][..], root), (&[0x3a], at), (&[0x92, 0x01], key)] {
        entry.extend_from_slice(tag);
        entry.push(text.len() as u8);
        entry.extend_from_slice(text.as_bytes());
    }
    let magic = [0x5456_4319_u32, 0x5531_2832, entry.len() as u32].map(u32::to_le_bytes).concat();
    [magic, entry].concat()
}

const CRUN: (&str, &str, &str) = ("/null", "/proc/keys", "/proc/keys");
const RUNC: (&str, &str, &str) = ("/null", "/proc/keys", "/dev/null");
const NONE: (&str, &str, &str) = ("/hosts", "/etc/hosts", "/etc/hosts");
const DIRECTORY: (&str, &str, &str) = ("/e", "/sys/firmware", "/run/crun/.empty-directory");

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn images_of_another_runtime_are_reported_or_converted() {
    let warning = "crun made the images and runc cannot restore them";
    #[rustfmt::skip]
    let cases = [
        (CRUN, &[][..], 0, Some(Maker::Crun), warning),
        (CRUN, &["--runtime", "runc"], 0, Some(Maker::Runc), ""),
        (CRUN, &["--runtime", "/usr/sbin/runc"], 0, Some(Maker::Runc), ""),
        (CRUN, &["--runtime", "crun"], 0, Some(Maker::Crun), ""),
        (RUNC, &[], 0, Some(Maker::Runc), ""),
        (RUNC, &["--runtime", "crun"], 0, Some(Maker::Crun), ""),
        (NONE, &["--runtime", "runc"], 0, None, ""),
        (NONE, &[], 0, None, ""),
        (DIRECTORY, &[], 0, Some(Maker::Crun), warning),
        (DIRECTORY, &["--runtime", "runc"], 1, None, "/sys/firmware: only crun can restore this mount"),
        (CRUN, &["--runtime", "youki"], 2, None, "--runtime youki: expected runc or crun"),
    ];
    for (mount, flags, status, expected, text) in cases {
        let archive = Archive::new(r#"{"ociVersion":"1.2.0"}"#, mount);
        let output = archive.unpack(flags);
        let found = stderr(&output);
        assert_eq!(output.status.code(), Some(status), "{mount:?} {flags:?}: {found}");
        if text.is_empty() {
            assert_eq!(found, "", "{mount:?} {flags:?}");
        } else {
            assert!(found.contains(text), "{mount:?} {flags:?}: {found}");
        }
        match status {
            0 => assert_eq!(archive.made_by(), expected, "{mount:?} {flags:?}"),
            _ => assert!(!archive.0.path().join("b").exists()),
        }
    }
}

#[test]
fn the_root_of_a_user_namespace_may_read_its_images_only() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let spec = |types: &str, maps: &str| {
        format!(r#"{{"ociVersion":"1.2.0","linux":{{"namespaces":[{types}],"gidMappings":[{maps}]}}}}"#)
    };
    let user = r#"{"type":"pid"},{"type":"user"}"#;
    let map =
        |container: u32, host: u32| format!(r#"{{"containerID":{container},"hostID":{host},"size":1000}}"#);
    let cases = [
        (spec(user, &map(0, 100_000)), Some(100_000)),
        (spec(user, &format!("{},{}", map(1000, 5), map(0, 200_000))), Some(200_000)),
        (spec(user, &map(0, 0)), None),
        (spec(user, &map(1000, 5)), None),
        (spec(r#"{"type":"pid"}"#, &map(0, 100_000)), None),
        (r#"{"ociVersion":"1.2.0"}"#.into(), None),
    ];
    for (spec, group) in cases {
        let archive = Archive::new(&spec, NONE);
        let output = archive.unpack(&[]);
        assert!(output.status.success(), "{spec}: {}", stderr(&output));
        let (dir, images, image, gid) = match group {
            Some(group) => (0o710, 0o750, 0o640, group),
            None => (0o700, 0o700, 0o600, 0),
        };
        assert_eq!(archive.mode("b"), (dir, 0, gid), "{spec}");
        assert_eq!(archive.mode("b/checkpoint"), (images, 0, gid), "{spec}");
        assert_eq!(archive.mode("b/checkpoint/mountpoints-13.img"), (image, 0, gid), "{spec}");
        // The runtime reads these files as root, so they keep their mode.
        assert_eq!(archive.mode("b/config.dump"), (0o600, 0, 0), "{spec}");
        assert_eq!(archive.mode("b/spec.dump"), (0o600, 0, 0), "{spec}");
        // The parent directory is private to the owner.
        let warned = stderr(&output).contains("cannot enter this directory");
        assert_eq!(warned, group.is_some(), "{}", stderr(&output));
    }
}
