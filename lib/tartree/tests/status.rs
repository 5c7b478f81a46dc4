//! The status of an inode has the values that the standard library reports.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;

use nix::sys::stat::{Mode, mode_t};
use nix::unistd::mkfifo;
use tartree::{Root, Status};

#[test]
fn each_value_is_that_of_the_standard_library() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("dir")).unwrap();
    fs::write(at("file"), "content").unwrap();
    fs::hard_link(at("file"), at("link")).unwrap();
    symlink("file", at("symlink")).unwrap();
    mkfifo(&at("fifo"), Mode::from_bits_truncate(0o640)).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    // Sets a time of modification that differs from the time of the status change.
    File::open(at("file")).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let open = File::open(dir.path()).unwrap();
    for name in ["dir", "file", "link", "symlink", "fifo", "socket"] {
        let status = Status::at(open.as_fd(), OsStr::new(name)).unwrap();
        let expected = fs::symlink_metadata(at(name)).unwrap();
        assert_eq!(status.identity().ino, expected.ino(), "{name}");
        assert_eq!(u64::from(status.links()), expected.nlink(), "{name}");
        assert_eq!((status.uid(), status.gid()), (expected.uid(), expected.gid()), "{name}");
        assert_eq!(status.size(), expected.size(), "{name}");
        assert_eq!(status.mode(), mode_t::from(expected.mode()) & 0o7777, "{name}");
        for (found, sec, nsec) in [
            (status.mtime(), expected.mtime(), expected.mtime_nsec()),
            (status.ctime(), expected.ctime(), expected.ctime_nsec()),
        ] {
            assert_eq!((found.sec, i64::from(found.nsec)), (sec, nsec), "{name}");
        }
        let is = [status.is_dir(), status.is_file(), status.is_symlink(), status.is_socket()];
        assert_eq!(
            is,
            ["dir", "file", "symlink", "socket"].map(|kind| name == kind || (name, kind) == ("link", "file")),
            "{name}"
        );
    }
}

#[test]
fn only_a_directory_can_be_a_root() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    symlink("missing", dir.path().join("symlink")).unwrap();
    for name in ["file", "symlink", "missing"] {
        assert!(Root::open(&dir.path().join(name)).is_err(), "{name}");
    }
    let root = Root::open(dir.path()).unwrap();
    let flags = nix::fcntl::fcntl(root.fd(), nix::fcntl::FcntlArg::F_GETFD).unwrap();
    assert_eq!(flags, nix::libc::FD_CLOEXEC, "a program that is started must not get the root");
}
