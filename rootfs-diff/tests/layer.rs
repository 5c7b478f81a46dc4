//! Runs `apply --layer`, and compares the overlay of the layer and the image with a copy of the
//! image to which the same diff was applied.

use std::path::Path;
use std::process::Command;

use harness::{Options, differences, host};

const TOOL: &str = env!("CARGO_BIN_EXE_rootfs-diff");

/// The functions and the image of all scripts.
const FUNCTIONS: &str = r#"
    layer() { rootfs-diff apply --rootfs image --layer layer "$@" < diff.tar 2>err; }
    copy() { cp -a image copy; rootfs-diff apply --rootfs copy "$@" < diff.tar; }
    show() { mkdir shown; mount -t overlay overlay -o "lowerdir=layer:image$1" shown; }
    fails() { ! "${@:2}" || exit 1; grep -qF -e "$1" err || { cat err >&2; exit 1; }; }
    mkdir -p image/{d/sub,e,gone/x} new
    echo one >image/d/file; ln image/d/file image/d/link; ln image/d/file image/e/link
    echo two >image/d/sub/two; echo x >image/gone/x/x
    truncate -s 1M image/d/sparse; echo end >>image/d/sparse
    setfattr -n user.kept -v 1 image/d; chmod 2750 image/e; chown 3:4 image/e
    find image -depth -exec touch -h -d @1000000000.5 {} +
"#;

/// Runs a script in an empty directory, and passes the directory to `check`.
fn script(text: &str, check: impl FnOnce(&Path)) {
    host::own_mounts();
    let dir = tempfile::tempdir().unwrap();
    let bin = Path::new(TOOL).parent().unwrap().display().to_string();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-euc", &format!("{FUNCTIONS}{text}")]).current_dir(&dir).env("PATH", path);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
    check(dir.path());
    Command::new("bash").args(["-c", "umount shown"]).current_dir(&dir).output().unwrap();
}

/// Compares the overlay at `shown` with the tree at `copy`.
fn same(dir: &Path) {
    let found = differences(&dir.join("shown"), &dir.join("copy"), &Options::default()).unwrap();
    assert_eq!(found, [""; 0]);
}

/// A diff of another program need not have entries for the directories of its files.
#[ignore = "needs root"]
#[test]
fn parents_without_entries_keep_the_metadata_of_the_image() {
    let text = r#"
        mkdir -p new/e new/d/sub; echo new | tee new/e/n new/d/sub/n >/dev/null
        touch -d @1000000000.5 new/e/n new/d/sub/n
        tar -C new -cf diff.tar e/n d/sub/n
        copy; find copy -depth -type d -exec touch -d @1000000000.5 {} +
        layer; show ''
    "#;
    script(text, same);
}

/// A new name of an unchanged file shares the file with all its names in the image.
#[ignore = "needs root"]
#[test]
fn a_link_to_a_file_of_the_image_joins_all_its_names() {
    let text = r#"
        cp -a image/. new; ln new/d/file new/name; ln new/d/sparse new/sparse
        rootfs-diff create --from image --to new --deleted deleted.files -o diff.tar
        [ "$(tar -tf diff.tar | grep -c d/file)" = 0 ]
        copy --deleted deleted.files; layer --deleted deleted.files; show ''
        [ "$(stat -c %i shown/name)" = "$(stat -c %i shown/e/link)" ]
        [ "$(stat -c %b layer/sparse)" -lt 100 ]
    "#;
    script(text, same);
}

/// Each form of a deletion becomes a whiteout, and spares what the diff creates.
#[ignore = "needs root"]
#[test]
fn the_whiteouts_of_an_image_layer_become_those_of_an_overlay() {
    let text = r#"
        mkdir -p new/d/sub new/gone; echo new | tee new/d/sub/n new/gone/n >/dev/null
        touch new/.wh.e new/d/.wh..wh..opq new/gone/.wh.x
        find new -depth -exec touch -d @1000000000.5 {} +
        tar -C new -cf diff.tar d gone .wh.e
        copy --format oci; layer --format oci; touch -r copy layer; show ''
        [ "$(stat -c %t:%T layer/e)" = 0:0 ]
        [ "$(getfattr --only-values -n trusted.overlay.opaque layer/d)" = y ]
    "#;
    script(text, same);
}

/// If the kernel or the filesystem refuses the device 0:0, a whiteout is a file with an xattr.
#[ignore = "needs root and strace"]
#[test]
fn without_device_nodes_whiteouts_are_files_with_an_xattr() {
    let text = r#"
        cp -a image/. new; rm -r new/gone new/d/sub/two new/d/link; rmdir new/d/sub; mkdir new/d/sub
        rootfs-diff create --from image --to new --deleted deleted.files -o diff.tar
        copy --deleted deleted.files
        strace -f -qq -o /dev/null -e trace=mknodat -e inject=mknodat:error=EPERM \
            rootfs-diff apply --rootfs image --layer layer --userxattr --deleted deleted.files <diff.tar
        [ -z "$(find layer -type c)" ]
        getfattr -n user.overlay.whiteout layer/gone
        show ,userxattr
    "#;
    script(text, same);
}

/// Only the initial user namespace may set trusted.*, but any may mount with userxattr.
#[ignore = "needs root"]
#[test]
fn a_user_namespace_writes_and_mounts_its_own_layers() {
    let text = r#"
        chown -R 0:0 image; cp -a image/. new; rm -r new/gone new/d; mkdir new/d; echo new >new/d/n
        touch -r image/d new/d new/d/n
        rootfs-diff create --from image --to new --deleted deleted.files -o diff.tar
        copy --deleted deleted.files
        unshare --user --map-root-user --mount bash -euc '
            rootfs-diff apply --rootfs image --layer denied --deleted deleted.files <diff.tar 2>err && exit 1
            grep -qF -e "--userxattr" err; [ ! -e denied ]
            rootfs-diff apply --rootfs image --layer layer --userxattr --deleted deleted.files <diff.tar
            mkdir shown; mount -t overlay overlay -o lowerdir=layer:image,userxattr shown
            ! [ -e shown/gone ] && [ "$(ls shown/d)" = n ]'
        mount -t overlay overlay -o lowerdir=layer:image,userxattr shown
    "#;
    script(text, same);
}

/// An archive of another machine cannot redirect names. Its device 0:0 cannot be shown, and hides
/// what it replaces.
#[ignore = "needs root"]
#[test]
fn overlay_xattrs_of_a_diff_have_no_effect() {
    let text = r#"
        mkdir new/r new/d; touch new/f; mknod new/e c 0 0
        setfattr -n trusted.overlay.redirect -v /gone new/r
        setfattr -n trusted.overlay.opaque -v y new/d
        find new -depth -exec touch -d @1000000000.5 {} +
        chmod 755 new/d; tar --xattrs --xattrs-include='*' -C new -cf diff.tar r d f e
        layer --any-tar; grep -qF 'e: device 0:0 not made' err; show ''
        [ -z "$(ls shown/r)" ]; [ ! -e shown/e ]; [ -e shown/d/file ]
        getfattr -n user.kept shown/d; getfattr -n trusted.overlay.overlay.redirect layer/r
    "#;
    script(text, |_| ());
}

#[ignore = "needs root"]
#[test]
fn a_layer_needs_an_empty_directory_and_no_links_to_parents() {
    let text = r#"
        mkdir layer; touch layer/x; echo >new/f; tar -C new -cf diff.tar f
        fails 'layer: expected an empty directory' layer
        rm layer/x; layer; rm -r layer
        ln -s d image/to-d; mkdir -p new/to-d; echo >new/to-d/f; tar -C new -cf diff.tar to-d/f
        fails 'to-d/f: a parent path component is a symbolic link' layer; [ ! -e layer ]
        echo '["/to-d/file", "/e"]' >list; tar -C new -cf diff.tar f
        layer --deleted list; grep -qF 'to-d/file: deletion not set' err
        [ "$(cd layer && echo *)" = "e f" ]
    "#;
    script(text, |_| ());
}

#[test]
fn a_layer_is_not_inside_its_image_or_around_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("outer/image")).unwrap();
    for (layer, error) in [
        ("outer/image/new", "outer/image/new: the layer would be inside the root file system"),
        ("outer/image", "outer/image: the layer would be inside the root file system"),
        ("outer", "outer: contains the root file system"),
    ] {
        let mut command = Command::new(TOOL);
        command.args(["apply", "--userxattr", "--rootfs", "outer/image", "--layer", layer]);
        let output = command.current_dir(&dir).stdin(std::process::Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(error), "{stderr}");
        assert!(!dir.path().join("outer/image/new").exists());
    }
}
