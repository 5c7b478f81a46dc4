//! Compares overlays with mounts inside them, and overlays whose layers hide some of their state.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use harness::{Options, differences, host};
use nix::mount::{MntFlags, MsFlags, mount, umount, umount2};

const TOOL: &str = env!("CARGO_BIN_EXE_rootfs-diff");

struct Overlay(tempfile::TempDir);

impl Overlay {
    fn new(options: &str) -> Overlay {
        let overlay = Overlay(tempfile::tempdir().unwrap());
        for name in ["lower/data", "lower/etc", "lower/proc", "upper", "work", "m", "elsewhere"] {
            fs::create_dir_all(overlay.0.path().join(name)).unwrap();
        }
        fs::write(overlay.0.path().join("lower/etc/hosts"), "").unwrap();
        let age = "find lower -depth -exec touch -h -d @1000000000.5 {} +";
        assert!(
            Command::new("sh").args(["-c", age]).current_dir(overlay.0.path()).status().unwrap().success()
        );
        overlay.again(options)
    }

    fn again(self, options: &str) -> Overlay {
        let text = |name| self.0.path().join(name).display().to_string();
        let data = format!(
            "lowerdir={},upperdir={},workdir={}{options}",
            text("lower"),
            text("upper"),
            text("work")
        );
        mount(Some("overlay"), &self.0.path().join("m"), Some("overlay"), MsFlags::empty(), Some(&data[..]))
            .unwrap();
        self
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn bind(&self, from: &str, to: &str) {
        mount(Some(&self.at(from)), &self.at(to), None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    }

    fn list(&self) -> String {
        let output = Command::new(TOOL).args(["list", "--rootfs"]).arg(self.at("m")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Overlay {
    /// Unmounts everything, so that the temporary directory can be removed.
    fn drop(&mut self) {
        for mounted in ["m", "upper/etc"] {
            while umount2(&self.at(mounted), MntFlags::MNT_DETACH).is_ok() {}
        }
    }
}

#[ignore = "needs root"]
#[test]
fn the_directory_below_a_mount_is_compared() {
    host::own_mounts();
    let overlay = Overlay::new("");
    fs::create_dir(overlay.at("m/new")).unwrap();
    fs::write(overlay.at("m/data/under"), "").unwrap();
    fs::write(overlay.at("elsewhere/hidden"), "").unwrap();
    mount(Some("tmpfs"), &overlay.at("m/new"), Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    fs::write(overlay.at("m/new/hidden"), "").unwrap();
    overlay.bind("elsewhere", "m/data");
    overlay.bind("elsewhere/hidden", "m/etc/hosts");
    mount(Some("proc"), &overlay.at("m/proc"), Some("proc"), MsFlags::empty(), None::<&str>).unwrap();
    fs::write(overlay.at("m/etc/changed"), "").unwrap();
    assert_eq!(overlay.list(), "C /\nC /data\nA /data/under\nC /etc\nA /etc/changed\nA /new\n");
}

/// If the changed name of a hard link was removed, the layers do not hold the new content; the
/// mounted overlay shows it.
#[ignore = "needs root"]
#[test]
fn content_that_only_the_index_has_is_reported() {
    host::own_mounts();
    for (inside, outside) in [("etc/one", "data/two"), ("data/dir/one", "etc/two")] {
        let overlay = Overlay::new(",index=on");
        let (lower, upper) = (overlay.at("lower"), overlay.at("upper"));
        umount(&overlay.at("m")).unwrap();
        for dir in ["data/dir", "etc"] {
            fs::create_dir_all(lower.join(dir)).unwrap();
        }
        fs::write(lower.join(inside), "old").unwrap();
        fs::hard_link(lower.join(inside), lower.join(outside)).unwrap();
        fs::write(lower.join("etc/first"), "").unwrap();
        fs::hard_link(lower.join("etc/first"), lower.join("etc/second")).unwrap();
        fs::write(lower.join("etc/single"), "").unwrap();
        let overlay = overlay.again(",index=on");
        // All names of these files were removed, so no other name can show their content.
        for removed in ["m/etc/first", "m/etc/second", "m/etc/single"] {
            fs::remove_file(overlay.at(removed)).unwrap();
        }
        fs::write(overlay.at("m").join(inside), "new").unwrap();
        match inside {
            "etc/one" => fs::remove_file(overlay.at("m/etc/one")).unwrap(),
            _ => fs::remove_dir_all(overlay.at("m/data/dir")).unwrap(),
        }
        assert_eq!(fs::read(overlay.at("m").join(outside)).unwrap(), b"new");
        let mounted = overlay.list();
        assert!(mounted.contains(&format!("C /{outside}\n")), "{mounted}");
        let output = Command::new(TOOL)
            .args(["list", "--upper"])
            .arg(&upper)
            .arg("--lower")
            .arg(&lower)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        assert_eq!(stderr.matches("work directory (index=on)").count(), 1, "{stderr}");
        assert!(stderr.contains(inside), "{stderr}");
    }
}

/// Under `index=on` a write through one name is visible through all names. Each name is listed once,
/// whether the upper directory has it or not.
#[ignore = "needs root"]
#[test]
fn each_name_of_an_indexed_file_is_listed_once() {
    host::own_mounts();
    for (opened, linked) in [(None, false), (Some("etc/two"), false), (Some("etc/two"), true)] {
        let overlay = Overlay::new(",index=on");
        umount(&overlay.at("m")).unwrap();
        let lower = overlay.at("lower");
        fs::write(lower.join("etc/one"), "old").unwrap();
        fs::write(lower.join("etc/other"), "old").unwrap();
        for (name, other) in [("etc/two", "etc/one"), ("data/three", "etc/one"), ("data/other", "etc/other")]
        {
            fs::hard_link(lower.join(other), lower.join(name)).unwrap();
        }
        let overlay = overlay.again(",index=on");
        if let Some(name) = opened {
            fs::File::options().write(true).open(overlay.at("m").join(name)).unwrap();
        }
        fs::write(overlay.at("m/etc/one"), "new content").unwrap();
        if linked {
            fs::hard_link(overlay.at("m/etc/one"), overlay.at("m/etc/zero")).unwrap();
        }
        let mounted = overlay.list();
        umount(&overlay.at("m")).unwrap();
        let layers = Command::new(TOOL)
            .args(["list", "--upper", "upper", "--lower", "lower"])
            .current_dir(overlay.at(""))
            .output()
            .unwrap();
        let (etc, zero) = if linked { ("C /etc\n", "A /etc/zero\n") } else { ("", "") };
        let expected = format!("C /data/three\n{etc}C /etc/one\nC /etc/two\n{zero}");
        for list in [mounted, String::from_utf8(layers.stdout).unwrap()] {
            let list = list.strip_prefix("C /\n").unwrap_or(&list);
            assert_eq!(list, expected, "{opened:?} {linked}");
        }
    }
}

/// Without CAP_SYS_ADMIN a process cannot see overlay xattrs in the `trusted` namespace.
#[ignore = "needs root"]
#[test]
fn deletions_are_found_without_seeing_overlay_xattrs() {
    host::own_mounts();
    let overlay = Overlay::new(",metacopy=on");
    umount(&overlay.at("m")).unwrap();
    fs::create_dir_all(overlay.at("lower/o/dir")).unwrap();
    fs::write(overlay.at("lower/o/old"), "").unwrap();
    fs::write(overlay.at("lower/etc/owned"), "content").unwrap();
    let overlay = overlay.again(",metacopy=on");
    fs::remove_dir_all(overlay.at("m/o")).unwrap();
    fs::create_dir(overlay.at("m/o")).unwrap();
    fs::write(overlay.at("m/o/new"), "").unwrap();
    // The chown creates a metacopy file, whose content stays in the lower directory.
    std::os::unix::fs::chown(overlay.at("m/etc/owned"), Some(7), None).unwrap();
    let expected = "C /\nC /etc/owned\nC /o\nD /o/dir\nA /o/new\nD /o/old\n";
    assert_eq!(overlay.list(), expected);
    for command in [
        &["setpriv", "--bounding-set", "-sys_admin"][..],
        &["unshare", "--user", "--map-root-user", "--mount"],
    ] {
        let run = |args: &[&str]| {
            let output = Command::new(command[0])
                .args(&command[1..])
                .arg(TOOL)
                .args(args)
                .arg(overlay.at("m"))
                .output()
                .unwrap();
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        assert_eq!(String::from_utf8_lossy(&run(&["list", "--rootfs"])), expected, "{command:?}");
        let tar = run(&["create", "--deleted", "/dev/null", "--rootfs"]);
        assert!(tar.windows(7).any(|bytes| bytes == b"content"), "{command:?}");
    }
}

/// If the path of the upper directory now leads to another directory, or has a mount below it, the
/// content at this path must not be read instead of the upper directory.
#[ignore = "needs root"]
#[test]
fn a_replaced_upper_directory_is_not_read() {
    host::own_mounts();
    let overlay = Overlay::new("");
    fs::write(overlay.at("m/etc/changed"), "what is seen").unwrap();
    let create = || {
        let output = Command::new(TOOL)
            .args(["create", "--members", "--rootfs"])
            .arg(overlay.at("m"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let before = create();
    assert!(before.windows(12).any(|bytes| bytes == b"what is seen"));
    let copied =
        Command::new("cp").args(["-a", "upper", "copy"]).current_dir(overlay.at("")).status().unwrap();
    assert!(copied.success());
    fs::write(overlay.at("copy/etc/changed"), "another text").unwrap();
    fs::rename(overlay.at("upper"), overlay.at("away")).unwrap();
    fs::rename(overlay.at("copy"), overlay.at("upper")).unwrap();
    assert!(create() == before);
    // Adds a mount inside the upper directory.
    fs::rename(overlay.at("upper"), overlay.at("copy")).unwrap();
    fs::rename(overlay.at("away"), overlay.at("upper")).unwrap();
    overlay.bind("copy/etc", "upper/etc");
    assert!(create() == before);
}

/// Under `userxattr` a symbolic link or a FIFO cannot have the overlay xattr with its origin. After
/// the copy-up, a name that was looked up before shows another inode number than a new name.
#[ignore = "needs root"]
#[test]
fn hard_links_are_found_despite_different_inode_numbers() {
    host::own_mounts();
    let overlay = Overlay::new("");
    umount(&overlay.at("m")).unwrap();
    std::os::unix::fs::symlink("hosts", overlay.at("lower/etc/link")).unwrap();
    nix::unistd::mkfifo(&overlay.at("lower/etc/fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let overlay = overlay.again(",userxattr");
    for (old, new) in [("m/etc/link", "m/data/link"), ("m/etc/fifo", "m/data/fifo")] {
        fs::hard_link(overlay.at(old), overlay.at(new)).unwrap();
        let number = |name| fs::symlink_metadata(overlay.at(name)).unwrap().ino();
        assert_ne!(number(old), number(new), "the kernel shows equal inode numbers, so this tests nothing");
    }
    let tar = overlay.at("tar");
    let status = Command::new(TOOL)
        .args(["create", "--deleted", "/dev/null", "--rootfs"])
        .arg(overlay.at("m"))
        .arg("-o")
        .arg(&tar)
        .status()
        .unwrap();
    assert!(status.success());
    let list = Command::new("tar").arg("-tvf").arg(&tar).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    for name in ["link", "fifo"] {
        assert!(list.contains(&format!("data/{name} link to etc/{name}\n")), "{list}");
    }
}

/// A rootless fuse-overlayfs writes whiteouts as files if it may not create devices.
#[ignore = "needs root"]
#[test]
fn whiteouts_of_fuse_overlayfs_are_applied() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["lower/d", "lower/o/old", "upper/o", "merged/o", "merged/d", "target"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    // These are the upper directory and the merged view of fuse-overlayfs after d/gone was deleted,
    // and o was removed and made again.
    fs::write(at("lower/d/gone"), "").unwrap();
    fs::write(at("lower/d/stays"), "").unwrap();
    fs::create_dir_all(at("upper/d")).unwrap();
    fs::write(at("upper/d/.wh.gone"), "").unwrap();
    fs::write(at("upper/o/.wh..wh..opq"), "").unwrap();
    for tree in ["upper", "merged"] {
        fs::write(at(tree).join("o/new"), "new").unwrap();
    }
    fs::write(at("merged/d/stays"), "").unwrap();
    let copy = |from: &Path, to: &Path| {
        assert!(Command::new("cp").args(["-a", "-T"]).arg(from).arg(to).status().unwrap().success());
    };
    let touch = "find lower upper merged -depth -exec touch -h -d @1000000000.5 {} +";
    assert!(Command::new("sh").args(["-c", touch]).current_dir(dir.path()).status().unwrap().success());
    copy(&at("lower"), &at("target"));
    let stream = at("stream");
    let output = Command::new(TOOL)
        .args(["create", "--members", "-o"])
        .arg(&stream)
        .arg("--rootfs")
        .arg(at("merged"))
        .arg("--upper")
        .arg(at("upper"))
        .arg("--lower")
        .arg(at("lower"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let apply = Command::new(TOOL)
        .args(["apply", "--members", "--rootfs"])
        .arg(at("target"))
        .stdin(fs::File::open(&stream).unwrap())
        .output()
        .unwrap();
    assert!(apply.status.success(), "{}", String::from_utf8_lossy(&apply.stderr));
    let found = differences(&at("merged"), &at("target"), &Options::default()).unwrap();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The lower layers of the next test, topmost first, and the upper directory. `init` is the layer
/// that Docker puts between the image and the upper directory.
const LAYERS_OF_DOCKER: &str = r#"
    mkdir -p base/{etc,app/gone,app/hidden,was-dir/sub,kept} top/kept init/{dev,etc,app/hidden,new/deep} m view upper work
    echo image | tee base/{etc/hosts,app/file,app/gone/x,app/hidden/x,was-dir/sub/x,kept/x} top/kept/y >/dev/null
    ln base/app/file base/app/link
    find base top -depth -exec touch -h -d @1000000000.5 {} +
    touch init/.dockerenv init/etc/hosts init/dev/console
    ln -s /proc/mounts init/etc/mtab
    echo init | tee init/app/hidden/new init/new/deep/x init/new/removed >/dev/null
    setfattr -n trusted.overlay.opaque -v y init/app/hidden
    mknod init/app/gone c 0 0
    echo file >init/was-dir
    mount -t overlay overlay -o lowerdir=init:top:base,upperdir=upper,workdir=work m
    mount -t overlay overlay -o lowerdir=top:base view
    echo upper | tee m/app/link m/new/deep/y m/kept/z >/dev/null
    rm m/was-dir m/new/removed; mkdir m/was-dir; echo upper >m/was-dir/z
    rm m/kept/x
"#;

#[ignore = "needs root"]
#[test]
fn layers_above_the_image_belong_to_the_diff() {
    host::own_mounts();
    let dir = tempfile::tempdir().unwrap();
    let bash = |script: &str| {
        let output = Command::new("bash").args(["-euc", script]).current_dir(&dir).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let run = |args: &str| {
        let output = Command::new(TOOL).args(args.split(' ')).current_dir(&dir).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), errors)
    };
    bash(LAYERS_OF_DOCKER);
    // Two complete trees show all changes to the image.
    let expected = run("list --from view --to m");
    assert_eq!(expected.0, Some(0), "{}", expected.2);
    for line in
        ["A /.dockerenv", "A /etc/mtab", "A /dev/console", "D /app/gone", "A /new/deep/x", "C /was-dir"]
    {
        assert!(expected.1.lines().any(|found| found == line), "{line} is not in:\n{}", expected.1);
    }
    let offline = "--upper upper --lower init:top:base";
    for source in ["--rootfs m", offline] {
        assert_eq!(run(&format!("list {source} --image-layers 2")).1, expected.1, "{source}");
        let all = run(&format!("list {source}"));
        assert_eq!(run(&format!("list {source} --image-layers 3")), all);
        assert!(!all.1.contains(".dockerenv"), "{}", all.1);
        let (status, _, errors) = run(&format!("list {source} --image-layers 4"));
        assert_eq!(status, Some(2), "{errors}");
        assert!(errors.contains("--image-layers 4: the overlay has only 3 lower directories"), "{errors}");
        bash(&format!(
            "rm -rf copy; cp -a view copy; '{TOOL}' create --members {source} --image-layers 2 |
             '{TOOL}' apply --members --rootfs copy"
        ));
        let mut options = Options::default();
        options.ignore.insert("opaque".into());
        let found = differences(&dir.path().join("m"), &dir.path().join("copy"), &options).unwrap();
        let found: Vec<_> = found.into_iter().filter(|line| !line.contains("trusted.overlay.")).collect();
        assert_eq!(found, [""; 0], "{source}");
    }
    assert_eq!(run("list --from view --to m --image-layers 2").0, Some(2));
    bash("umount m view");
}
