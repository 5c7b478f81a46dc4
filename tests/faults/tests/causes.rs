//! Checks that messages report the actual cause of a failure if the errno alone would mislead.

use faults::script::all_pass;

/// Shell functions: `as_user COMMAND...` runs a command as another user, `in_userns COUNT
/// COMMAND...` runs it as root of a user namespace with COUNT IDs.
const USERS: &str = r#"
chmod 755 .
as_user() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
in_userns() { python3 - "$@" <<'P'
import ctypes, os, sys
libc = ctypes.CDLL(None); r, w = os.pipe(); r2, w2 = os.pipe(); pid = os.fork()
if pid == 0:
    libc.unshare(0x10000000); os.write(w, b"x"); os.read(r2, 1)
    os.setgroups([]); os.setresgid(0, 0, 0); os.setresuid(0, 0, 0)
    os.dup2(os.open("t.tar", os.O_RDONLY), 0); os.execvp(sys.argv[2], sys.argv[2:])
os.read(r, 1)
for f in ("uid_map", "gid_map"): open(f"/proc/{pid}/{f}", "w").write("0 200000 %s\n" % sys.argv[1])
os.write(w2, b"x"); sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
P
}
"#;

fn all_report(rows: &[(&str, &str)]) {
    let scripts: Vec<_> = rows.iter().map(|(what, script)| (*what, format!("{USERS}\n{script}"))).collect();
    let rows: Vec<_> = scripts.iter().map(|(what, script)| (*what, script.as_str())).collect();
    all_pass(&rows);
}

#[ignore = "needs root"]
#[test]
fn a_failing_removal_or_creation_is_reported_with_its_reason() {
    all_report(&[
        (
            "another user's file in a sticky directory",
            "mkdir src sticky; echo new > src/f; echo old > sticky/f; chmod 1777 sticky; chown 65534:65534 src src/f
             vol-archive create src > t.tar
             fails 'sticky: f: it belongs to another user, in a sticky directory: Operation not permitted' \
               as_user vol-archive extract sticky < t.tar; is old $(cat sticky/f)",
        ),
        (
            "an immutable file that is replaced, removed by --replace, or deleted",
            "mkdir -p src v/d from/d to; echo new > src/f; echo old | tee v/f v/d/g > from/d/g; vol-archive create src > t.tar
             trap 'chattr -f -i v/f v/d/g || true' EXIT; chattr +i v/f v/d/g
             fails 'v: f: it is immutable (chattr +i): Operation not permitted' vol-archive extract v < t.tar
             chattr -i v/f
             fails 'v: d/g: it is immutable' vol-archive extract --replace v < t.tar
             rootfs-diff create --from from --to to --deleted del -o d.tar
             fails 'd/g: it is immutable (chattr +i): Operation not permitted' rootfs-diff apply --rootfs v --deleted del < d.tar",
        ),
        (
            "append-only, and a directory that is immutable",
            "mkdir -p src/d v/d; echo new | tee src/f > src/d/g; echo old > v/f; vol-archive create src > t.tar
             trap 'chattr -a v/f; chattr -i v/d; true' EXIT; chattr +a v/f
             fails 'f: it is append-only (chattr +a)' vol-archive extract v < t.tar
             chattr -a v/f; chattr +i v/d
             fails 'd/g: its directory is immutable' vol-archive extract v < t.tar",
        ),
        (
            "no permission is not a missing directory",
            "mkdir -p src v/d; echo new > src/f; echo x > v/f; chmod 755 v; chown -R 65534:65534 src; vol-archive create src > t.tar
             fails 'f: Permission denied' as_user vol-archive extract v < t.tar",
        ),
        (
            "a file and a symbolic link as parent directories",
            "mkdir -p src/d v w; echo f > src/d/f; tar -C src -cf t.tar d/f; echo x > v/d; ln -s / w/d
             fails 'd/f: a parent path component is not a directory' vol-archive extract v < t.tar
             fails 'd/f: a parent path component is a symbolic link' vol-archive extract w < t.tar",
        ),
        (
            "a name that is too long for the filesystem, and a read-only filesystem",
            "python3 -c \"
import tarfile
t = tarfile.open('t.tar', 'w', format=tarfile.PAX_FORMAT); t.addfile(tarfile.TarInfo('n' * 300)); t.close()\"
             fails 'File name too long' vol-archive extract o < t.tar
             mkdir s ro; echo x > s/f; vol-archive create s > t.tar; mount -t tmpfs -o ro tmpfs ro
             fails 'f: Read-only file system' vol-archive extract ro < t.tar",
        ),
        (
            "no free inodes",
            "mkdir s m; touch s/f{1..30}; vol-archive create s > t.tar; mount -t tmpfs -o nr_inodes=20 tmpfs m
             fails 'the filesystem has no free inodes' vol-archive extract m < t.tar",
        ),
        (
            "no free descriptors",
            "mkdir s; echo x > s/f; vol-archive create s > t.tar
             fails 'Too many open files' prlimit --nofile=4 vol-archive extract o < t.tar; grep -q 'ulimit -n' err",
        ),
    ]);
}

#[ignore = "needs root"]
#[test]
fn an_unmapped_id_is_reported() {
    all_report(&[
        (
            "an owner, and a group",
            "mkdir s o; echo x > s/f; chown 200000:200000 o; chown 70000:5 s/f; vol-archive create s > t.tar
             fails 'o: f: owner 70000:5 is not mapped in this user namespace' in_userns 65536 vol-archive extract o
             grep -q -e --no-same-owner err; chown 5:70000 s/f; vol-archive create s > t.tar
             fails 'f: owner 5:70000 is not mapped' in_userns 65536 vol-archive extract o",
        ),
        (
            "a directory, a link and a FIFO",
            "mkdir o; chown 200000:200000 o
             for what in 'mkdir s/f' 'ln -s x s/f' 'mkfifo s/f'; do rm -rf s; mkdir s; $what; chown -h 7:7 s/f; vol-archive create s > t.tar
             fails 'f: owner 7:7 is not mapped' in_userns 1 vol-archive extract o; done",
        ),
        (
            "an ACL entry and the root of a capability",
            "mkdir s o; touch s/f; chown 200000:200000 o; setfacl -m u:70000:r s/f; vol-archive create s > t.tar
             fails 'f: attribute system.posix_acl_access: user 70000 is not mapped' in_userns 65536 vol-archive extract o
             setfacl -b -m g:70001:r s/f; vol-archive create s > t.tar
             fails 'group 70001 is not mapped' in_userns 65536 vol-archive extract o
             in_userns 65536 vol-archive extract --no-same-owner o 2> err
             grep -q 'warning: .*f: attribute system.posix_acl_access not set: group 70001 is not mapped' err",
        ),
        (
            "rootfs-diff and a device",
            "mkdir old new o; echo x > new/f; chown 70000:70000 new/f; chown -R 200000:200000 o
             rootfs-diff create --members --from old --to new > t.tar
             fails 'f: owner 70000:70000 is not mapped' in_userns 65536 rootfs-diff apply --members --rootfs o
             rm new/f; mknod new/n c 1 3; rootfs-diff create --members --from old --to new > t.tar
             fails 'n: device 1:3: ' in_userns 65536 rootfs-diff apply --members --rootfs o; grep -q -e --no-devices err",
        ),
    ]);
}

#[ignore = "needs root"]
#[test]
fn a_too_large_attribute_is_not_reported_as_a_full_disk() {
    all_report(&[
        (
            "ext4",
            "truncate -s 64M img; mkfs.ext4 -q -O ^ea_inode img; mkdir m s; mount -o loop img m; mount -t tmpfs tmpfs s
             touch s/f; setfattr -n trusted.big -v $(head -c 10000 /dev/zero | tr '\\0' x) s/f; vol-archive create s > t.tar
             rc=0; vol-archive extract m/o < t.tar 2> err || rc=$?; umount m
             is 1 $rc; grep -q 'f: attribute trusted.big of 10000 bytes does not fit into an inode of this filesystem' err",
        ),
        (
            "more than the kernel accepts",
            "python3 -c \"
import tarfile
t = tarfile.open('t.tar', 'w', format=tarfile.PAX_FORMAT); i = tarfile.TarInfo('f')
i.pax_headers = {'SCHILY.xattr.user.big': 'x' * 100000}; t.addfile(i); t.close()\"
             fails 'f: attribute user.big has 100000 bytes; the kernel accepts at most 65536' vol-archive extract o < t.tar",
        ),
        (
            "a name that is too long",
            "python3 -c \"
import tarfile
t = tarfile.open('t.tar', 'w', format=tarfile.PAX_FORMAT); i = tarfile.TarInfo('f')
i.pax_headers = {'SCHILY.xattr.user.' + 'n' * 300: 'x'}; t.addfile(i); t.close()\"
             vol-archive extract o < t.tar 2> err; grep -q 'not set: its name is longer than 255 bytes' err",
        ),
    ]);
}

/// Writers have the limits of the readers.
#[test]
fn writers_fail_above_the_limits_of_readers() {
    const DEEP: &str = r#"
deep() { python3 - "$@" <<'P'
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
name = "d" * 200
for i in range(int(sys.argv[2])):
    os.mkdir(name, dir_fd=fd); n = os.open(name, os.O_RDONLY, dir_fd=fd); os.close(fd); fd = n
if len(sys.argv) > 3: os.close(os.open(sys.argv[3], os.O_CREAT | os.O_WRONLY, dir_fd=fd))
P
}
"#;
    let rows = [
        (
            "a path, in a tar, a member stream, and a diff",
            "mkdir s e; deep s 340
             fails 'a name of ' vol-archive create s -o t; fails 'a name of ' vol-archive create --members v=s -o t
             fails 'a name of ' rootfs-diff create --members --from e --to s -o t
             fails 'a name of ' rootfs-diff create --format oci --from e --to s -o t
             [ ! -e t ]; [ $(head -c 4096 err | wc -c) -lt 1000 ]",
        ),
        (
            "the longest path that can be written can be read",
            "mkdir s; deep s 326 $(printf %0.s'f' {1..10}); vol-archive create s > t; vol-archive extract o < t; vol-archive list t > list
             deep s/$(printf %0.s'd' {1..200}) 0",
        ),
        (
            "the slash at the end of a directory counts, too",
            "mkdir s; deep s 326; d=$(printf %0.s'd' {1..200})
             python3 - <<'P'
import os
fd = os.open('s', os.O_RDONLY)
for i in range(326): n = os.open('d' * 200, os.O_RDONLY, dir_fd=fd); os.close(fd); fd = n
# 326 times 201 bytes are 65526; a name of 10 makes 65536, and '/' one more.
os.mkdir('e' * 10, dir_fd=fd)
P
             fails 'a name of 65537 bytes; readers accept at most 65536' vol-archive create s -o t",
        ),
        (
            "more attributes than a header holds",
            "truncate -s 512M img; mkdir m; mkfs.xfs -q img; mount -o loop img m; mkdir m/s
             python3 - <<'P'
import os
open('m/s/f', 'w').close()
for i in range(140): os.setxattr('m/s/f', 'user.%d' % i, b'x' * 65000)
P
             rc=0; vol-archive create m/s -o t 2> err || rc=$?
             umount m; is 1 $rc; grep -q 'f: .* bytes of attributes; readers accept at most' err",
        ),
        (
            "more attributes of directories than an extraction keeps",
            "truncate -s 512M img; mkdir m; mkfs.xfs -q img; mount -o loop img m; mkdir m/s
             python3 - <<'P'
import os
for d in range(20):
    os.mkdir('m/s/%d' % d)
    for i in range(60): os.setxattr('m/s/%d' % d, 'user.%d' % i, b'x' * 65000)
P
             rc=0; vol-archive create --members v=m/s -o t 2> err || rc=$?
             umount m; is 1 $rc; grep -q 'directories with more than' err",
        ),
    ];
    let scripts: Vec<_> = rows.iter().map(|(what, script)| (*what, format!("{DEEP}\n{script}"))).collect();
    let rows: Vec<_> = scripts.iter().map(|(what, script)| (*what, script.as_str())).collect();
    all_report(&rows);
}

#[ignore = "needs root"]
#[test]
fn exceeding_the_memory_limit_names_its_flag() {
    all_report(&[(
        "zstd and xz",
        r#"mkdir -p b/checkpoint; echo x > b/checkpoint/inventory.img
           echo '{"ociVersion":"1.2.0","process":{"args":["sh"],"cwd":"/","user":{"uid":0,"gid":0}},"root":{"path":"r"},"linux":{}}' > b/config.json
           ckpt-pack --ignore-rootfs --bundle b > plain
           zstd -q --long=27 --ultra -22 < plain > z; xz -9 < plain > x
           for f in z x; do fails 'needs more memory than 1048576 bytes' ckpt-unpack --max-memory 1M --bundle w $f
           grep -q 'hint: .*--max-memory SIZE' err; done; ckpt-unpack --bundle w z"#,
    )]);
}
