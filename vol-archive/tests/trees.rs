//! Archives and extracts trees with every kind of file and metadata, and compares all files and
//! metadata.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use harness::{Options, differences, host};

const TOOL: &str = env!("CARGO_BIN_EXE_vol-archive");

fn sh(dir: &Path, script: &str) {
    let output = Command::new("sh").args(["-euc", script]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Creates files of every kind.
fn plant(dir: &Path) {
    let at = |name: &[u8]| dir.join(OsStr::from_bytes(name));
    fs::create_dir_all(at(b"d\xff/e e")).unwrap();
    fs::write(at(b"d\xff/e e/\n\x1b[31m"), "odd name").unwrap();
    fs::write(at(&[b'z'; 255]), "long name").unwrap();
    let deep = vec!["n".repeat(100); 30].join("/");
    fs::create_dir_all(dir.join(&deep)).unwrap();
    fs::write(dir.join(&deep).join("f"), "deep").unwrap();
    fs::write(at(b"f"), "hello").unwrap();
    fs::hard_link(at(b"f"), at(b"hard")).unwrap();
    symlink("x".repeat(3000), at(b"long link")).unwrap();
    symlink(OsStr::from_bytes(b"/\xfe\n"), at(b"odd link")).unwrap();
    fs::hard_link(at(b"odd link"), at(b"hard link to a link")).unwrap();
    fs::write(at(b"suid"), "").unwrap();
    fs::write(at(b"block sized"), vec![7; 1024]).unwrap();
    let mut sparse = File::create(at(b"sparse")).unwrap();
    for offset in [0, 1 << 20, 5 << 20] {
        sparse.seek(SeekFrom::Start(offset)).unwrap();
        sparse.write_all(b"data").unwrap();
    }
    sparse.set_len(10 << 20).unwrap();
    File::create(at(b"hole")).unwrap().set_len(100 << 20).unwrap();
    // The sparse map of this file has more than two blocks.
    let mut many = File::create(at(b"many holes")).unwrap();
    for i in 0..200 {
        many.seek(SeekFrom::Start(i << 16)).unwrap();
        many.write_all(&[1; 4096]).unwrap();
    }
    xattr::set(at(b"f"), "user.binary", b"\n\0=\xff12 size=0\n").unwrap();
    xattr::set(at(b"f"), "user.a=b%25", b"name with an equals sign").unwrap();
    xattr::set(at(b"f"), "user.empty", b"").unwrap();
    xattr::set(at(b"d\xff"), "user.dir", b"x").unwrap();
    sh(
        dir,
        "mkfifo fifo; mkdir mode000 sticky acl; echo x > mode000/f; echo x > acl/f
         chmod 1777 sticky; chmod 0 mode000
         touch -h -d '1960-06-06 06:06:06.5' f 'odd link'; touch -d '2400-01-01 00:00:00.000000001' sticky
         touch -d @0 suid; touch -d @-0.5 'block sized'",
    );
    if host::is_root() {
        sh(
            dir,
            "mknod null c 1 3; mknod disk b 259 300000; chown 3000000:4000000000 suid; chmod 6755 suid
             setfacl -m u:1000:rw,g:2000000000:r f; setfacl -d -m g:55:rx acl; setfacl -m u:5:x acl; setfacl -b acl/f
             setcap cap_net_raw+ep 'block sized'; setfattr -h -n trusted.link -v x 'odd link'; setfattr -n trusted.t -v y .
             setfattr -n security.selinux -v 'system_u:object_r:container_file_t:s0:c1,c2' f",
        );
    } else {
        fs::set_permissions(at(b"mode000"), fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[track_caller]
fn assert_same(a: &Path, b: &Path, ignore: &[&str]) {
    let options = Options { ignore: ignore.iter().map(|&kind| kind.to_owned()).collect() };
    let found = differences(a, b, &options).unwrap();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Archives `source` with the shell command `from`, and extracts it into a new directory with the
/// shell command `to`. `$SRC`, `$DST` and `$TOOL` are set.
fn through(source: &Path, from: &str, to: &str) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    let script = format!("set -euo pipefail; {from} | {to}");
    let output = Command::new("bash")
        .args(["-c", &script])
        .env("SRC", source)
        .env("DST", out.path())
        .env("TOOL", TOOL)
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    out
}

#[test]
fn everything_survives() {
    let source = tempfile::tempdir().unwrap();
    plant(source.path());
    let _socket = UnixListener::bind(source.path().join("socket")).unwrap();
    let out = through(source.path(), "$TOOL create $SRC 2>/dev/null", "$TOOL extract $DST");
    assert_same(source.path(), out.path(), &["socket"]);
    // Extracts a second time, over the existing files.
    let script = "$TOOL create $SRC 2>/dev/null | $TOOL extract $DST";
    sh(
        source.path(),
        &format!("SRC='{}' DST='{}' TOOL='{TOOL}'; {script}", source.path().display(), out.path().display()),
    );
    assert_same(source.path(), out.path(), &["socket"]);
    // The same tree is archived as a member of a stream.
    let from = "$TOOL create --members v=$SRC 2>/dev/null";
    let out = through(source.path(), from, "$TOOL extract --members v=$DST");
    assert_same(source.path(), out.path(), &["socket"]);
}

#[test]
fn a_socket_is_named_and_left_out() {
    let source = tempfile::tempdir().unwrap();
    let _socket = UnixListener::bind(source.path().join("app.sock")).unwrap();
    let output = Command::new(TOOL).args(["create"]).arg(source.path()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success());
    assert!(stderr.contains("app.sock: socket, not archived"), "{stderr}");
}

/// The ignored kinds are the kinds that the other program does not support. `docs/interop.md` has
/// the table.
#[ignore = "needs root"]
#[test]
fn other_programs_read_the_tar() {
    let source = tempfile::tempdir().unwrap();
    plant(source.path());
    let gnu = "tar --xattrs --xattrs-include='*' --acls --numeric-owner --warning=no-unknown-keyword --warning=no-timestamp -C $DST -xpf -";
    let out = through(source.path(), "$TOOL create $SRC", gnu);
    assert_same(source.path(), out.path(), &["xattr:user.a=b%25"]);
    // libarchive reads fractions of a second before 1970 with the wrong sign. Whether it restores
    // holes depends on the file system.
    let out = through(source.path(), "$TOOL create $SRC", "bsdtar --numeric-owner -C $DST -xpf -");
    assert_same(source.path(), out.path(), &["mtime", "sparse", "xattr:user.empty", "xattr:trusted.link"]);
    // Python's tarfile supports neither xattrs nor nanoseconds, and needs a file in which it can
    // seek.
    let python = "{ cat > $DST.tar; python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], numeric_owner=True)' $DST.tar $DST; rm $DST.tar; }";
    let out = through(source.path(), "$TOOL create $SRC", python);
    assert_same(source.path(), out.path(), &["mtime", "xattr", "sparse", "links"]);
}

#[ignore = "needs root"]
#[test]
fn tars_of_other_programs_are_read() {
    let source = tempfile::tempdir().unwrap();
    plant(source.path());
    let gnu = |more: &str| {
        format!("tar --xattrs --xattrs-include='*' --acls --numeric-owner {more} -C $SRC -cf - .")
    };
    for form in [
        "--format=posix",
        "--format=posix -S",
        "--format=posix -S --sparse-version=0.0",
        "--format=posix -S --sparse-version=0.1",
    ] {
        let out = through(source.path(), &gnu(form), "$TOOL extract $DST");
        let ignore: &[&str] = if form.contains("-S") { &[] } else { &["sparse"] };
        assert_same(source.path(), out.path(), ignore);
    }
    let out =
        through(source.path(), "tar --format=gnu -S --numeric-owner -C $SRC -cf - .", "$TOOL extract $DST");
    assert_same(source.path(), out.path(), &["mtime", "xattr", "mode"]);
}

/// For a file with an ACL, bsdtar writes the permissions of the owning group into the mode, but
/// stat(2) shows the permissions of the mask there.
#[test]
fn an_acl_from_bsdtar_keeps_its_mask() {
    let source = tempfile::tempdir().unwrap();
    sh(
        source.path(),
        "mkdir d; echo x > f; setfacl -m u:77:rwx,g::r-x,m::rw-,o::--- f; setfacl -m u:77:rwx,g::---,o::--- d",
    );
    let out = through(source.path(), "bsdtar --format pax --acls -C $SRC -cf - .", "$TOOL extract $DST");
    assert_same(source.path(), out.path(), &[]);
}

/// Archives `dir` while its files grow, shrink, vanish and change their type, all after the first
/// byte was written.
fn archived_while_it_changes(dir: &Path, args: &[&str]) -> (Vec<u8>, String) {
    for i in 0..40 {
        fs::write(dir.join(format!("f{i:02}")), vec![b'x'; 3 << 20]).unwrap();
    }
    let mut child =
        Command::new(TOOL).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The pipe fills soon after the first byte, so the tool waits while the files are changed.
    let mut stdout = child.stdout.take().unwrap();
    let mut tar = vec![0; 1];
    std::io::Read::read_exact(&mut stdout, &mut tar).unwrap();
    File::options().append(true).open(dir.join("f00")).unwrap().write_all(b"more").unwrap();
    File::options().append(true).open(dir.join("f30")).unwrap().write_all(b"more").unwrap();
    File::options().write(true).open(dir.join("f31")).unwrap().set_len(1000).unwrap();
    fs::remove_file(dir.join("f32")).unwrap();
    fs::remove_file(dir.join("f33")).unwrap();
    fs::create_dir(dir.join("f33")).unwrap();
    fs::remove_file(dir.join("f34")).unwrap();
    symlink("/etc/passwd", dir.join("f34")).unwrap();
    fs::write(dir.join("new"), vec![b'y'; 3 << 20]).unwrap();
    fs::rename(dir.join("new"), dir.join("f35")).unwrap();
    sh(dir, "rm f36; mkfifo f36");
    // A tool that waits for the writer of the FIFO would not end.
    let (ended, has_ended) = std::sync::mpsc::channel::<()>();
    let pid = child.id().to_string();
    let watchdog = std::thread::spawn(move || {
        if has_ended.recv_timeout(Duration::from_secs(120)) == Err(RecvTimeoutError::Timeout) {
            Command::new("kill").args(["-KILL", &pid]).status().unwrap();
        }
    });
    std::io::Read::read_to_end(&mut stdout, &mut tar).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(ended);
    watchdog.join().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    (tar, stderr)
}

fn counted(tar: &Path) -> [String; 2] {
    [format!("'{TOOL}' list tar | wc -l"), "tar -tf tar | wc -l".into()].map(|reader| {
        let counted = Command::new("sh").args(["-c", &reader]).current_dir(tar.parent().unwrap()).output();
        String::from_utf8(counted.unwrap().stdout).unwrap().trim().to_owned()
    })
}

/// The tar of a member is planned before its first byte is written, so it keeps the planned sizes.
#[test]
fn a_changing_volume_yields_a_valid_member_and_status_3() {
    let source = tempfile::tempdir().unwrap();
    let dir = source.path();
    let operand = format!("data={}", dir.display());
    let (stream, stderr) = archived_while_it_changes(dir, &["create", "--members", &operand]);
    for line in [
        "f00: grew",
        "f30: grew",
        "f31: shrank",
        "f32: vanished",
        "f33: ",
        "f34: vanished",
        "f35: was replaced",
        "f36: changed its type",
    ] {
        assert!(stderr.contains(line), "no {line:?} in {stderr}");
    }
    assert_eq!(stderr.lines().count(), 8, "{stderr}");
    let out = tempfile::tempdir().unwrap();
    fs::write(out.path().join("stream"), &stream).unwrap();
    sh(out.path(), "tar -xOf stream volumes/data.tar >tar");
    // The root has two entries, "./" and "/".
    assert_eq!(counted(&out.path().join("tar")), ["42", "42"]);
}

/// A plain tar is written in one pass, so each file is archived in its current state.
#[test]
fn a_changing_tree_yields_a_valid_tar_and_status_3() {
    let source = tempfile::tempdir().unwrap();
    let dir = source.path();
    let (tar, stderr) = archived_while_it_changes(dir, &["create", dir.to_str().unwrap()]);
    assert!(stderr.contains("f00: grew while it was read"), "{stderr}");
    assert!(stderr.contains("f32: vanished while it was read"), "{stderr}");
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("tar");
    fs::write(&file, &tar).unwrap();
    assert_eq!(counted(&file), ["40", "40"]);
    sh(out.path(), "mkdir x && tar -xf tar -C x");
    let at = |name: &str| fs::symlink_metadata(out.path().join("x").join(name)).unwrap();
    assert_eq!(at("f00").len(), 3 << 20);
    assert_eq!(at("f30").len(), (3 << 20) + 4);
    assert_eq!(at("f31").len(), 1000);
    assert!(at("f33").is_dir());
    assert!(at("f34").is_symlink());
    assert_eq!(fs::read(out.path().join("x/f35")).unwrap(), vec![b'y'; 3 << 20]);
    assert!(std::os::unix::fs::FileTypeExt::is_fifo(&at("f36").file_type()));
}
