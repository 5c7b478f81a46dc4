//! The tools neither delete nor write files on mounts below a root, unless a flag allows it.

use faults::script::all_pass;

#[ignore = "needs root"]
#[test]
fn a_mount_below_the_root_is_a_boundary() {
    all_pass(&[
        (
            "a deletion of a directory with a mount deep below it",
            "mkdir -p o/d/a/b/c n t/d/a/b/c host; echo x | tee o/d/x t/d/a/x > t/d/x; echo precious > host/p
             rootfs-diff create --from o --to n --deleted del -o d.tar
             mount --bind host t/d/a/b/c
             fails 'd: another filesystem is mounted at d/a/b/c' rootfs-diff apply --rootfs t --deleted del < d.tar
             grep -q -e --cross-mounts err
             [ -e host/p -a -e t/d/x -a -e t/d/a/x ]",
        ),
        (
            "--replace, before anything is removed",
            "mkdir -p v/z/in s host; echo x > v/a; echo precious > host/p; vol-archive create s > s.tar
             mount --bind host v/z/in
             fails 'mounted at z/in' vol-archive extract --replace v < s.tar
             [ -e host/p -a -e v/a ]
             umount v/z/in; vol-archive extract --replace v < s.tar; [ -z \"$(ls v)\" ]",
        ),
        (
            "--replace where the mounts are stacked, and where a file is mounted over",
            "mkdir -p v/in s h1 h2; echo 1 > h1/p; echo 2 > h2/p; echo x > v/f; echo y > v/a; vol-archive create s > s.tar
             mount --bind h1 v/in; mount --bind h2 v/in
             fails 'mounted at in' vol-archive extract --replace v < s.tar
             umount v/in; umount v/in; mount --bind h1/p v/f
             fails 'mounted at f' vol-archive extract --replace v < s.tar
             [ -e v/a ]; is 1 $(cat h1/p)",
        ),
        (
            "an entry below a mount point, at it, and a file that is mounted over",
            "mkdir -p s/d v/d host; echo new > s/d/f; chmod 700 s/d; vol-archive create s > s.tar
             tar -C s -cf f.tar d/f; echo old > host/f; mount --bind host v/d
             fails 'd: another filesystem is mounted here' vol-archive extract v < s.tar
             fails 'd/f: another filesystem is mounted at d' vol-archive extract v < f.tar
             is old $(cat host/f); is 755 $(stat -c %a host)
             umount v/d; echo below > v/d/f; mount --bind host/f v/d/f
             fails 'd/f: another filesystem is mounted here' vol-archive extract v < s.tar
             is old $(cat host/f)",
        ),
        (
            "a directory that becomes a file, and a file that becomes a directory",
            "mkdir -p s v/x host n; echo f > s/x; echo p > host/p; vol-archive create s > s.tar; mount --bind host v/x
             fails 'x: another filesystem is mounted here' vol-archive extract v < s.tar; [ -e host/p ]
             mkdir -p n/x w; echo n > n/x/y; vol-archive create n > n.tar; echo w > w/x; mount --bind host/p w/x
             fails 'x: another filesystem is mounted here' vol-archive extract w < n.tar; is p $(cat host/p)",
        ),
        (
            "a hard link to a file on a mount",
            "mkdir -p s/d v/d host; echo a > s/d/a; ln s/d/a s/z; vol-archive create s > s.tar; tar -C s -cf h.tar d/a z
             echo secret > host/a; mount --bind host v/d; tar --delete -f h.tar d/a
             fails 'd' vol-archive extract v < h.tar; [ ! -e v/z ]",
        ),
        (
            "another filesystem, not a bind mount, with names that mountinfo escapes",
            "mkdir -p 's p' 's p/v/in side' s; mount -t tmpfs tmpfs 's p/v/in side'; echo p > 's p/v/in side/p'; vol-archive create s > s.tar
             echo x > 's p/v/a'
             fails 'mounted at in side' vol-archive extract --replace 's p/v' < s.tar; [ -e 's p/v/in side/p' -a -e 's p/v/a' ]",
        ),
        (
            "ckpt-unpack --rootfs, --volume and --shm",
            r#"mkdir -p b/checkpoint old/gone new r/gone host vol/d v/d sh/d; echo x > b/checkpoint/inventory.img; echo f > vol/d/f
             echo '{"ociVersion":"1.2.0","process":{"args":["sh"],"cwd":"/","user":{"uid":0,"gid":0}},"root":{"path":"r"},"linux":{}}' > b/config.json
             echo p > host/p
             { rootfs-diff create --members --from old --to new; vol-archive create --members v=vol --shm vol; } |
               ckpt-pack --bundle b -o web.ckpt -
             mount --bind host r/gone
             fails 'gone: another filesystem is mounted' ckpt-unpack --bundle w --rootfs r --volume v=a --shm c web.ckpt
             umount r/gone; mount --bind host v/d
             fails 'd: another filesystem is mounted here' ckpt-unpack --bundle w --rootfs r --volume v=v --shm c web.ckpt
             mkdir r/gone; umount v/d; mount --bind host sh/d
             fails 'd: another filesystem is mounted here' ckpt-unpack --bundle w --rootfs r --volume v=v --shm sh web.ckpt
             grep -q -e --cross-mounts err; is p "$(ls host)"; [ ! -e w ]"#,
        ),
        (
            "a root that is a mount point, with mounts next to it",
            "mkdir -p s/d v o/d host; echo f > s/d/f; vol-archive create s > s.tar; mount -t tmpfs tmpfs v; echo x > v/x; mount --bind host o/d
             vol-archive extract --replace v < s.tar; is d \"$(ls v)\"
             mkdir -p t/proc t/gone from/gone to; mount -t proc proc t/proc
             rootfs-diff create --from from --to to --deleted del -o d.tar; rootfs-diff apply --rootfs t --deleted del < d.tar
             [ ! -e t/gone -a -e t/proc/self ]",
        ),
        (
            "--cross-mounts writes to mounts and empties them",
            "mkdir -p s/d v/d host; echo new > s/d/f; vol-archive create s > s.tar; touch v/x host/p; mount --bind host v/d
             vol-archive extract --cross-mounts v < s.tar; is new $(cat host/f); [ -e host/p ]
             vol-archive extract --cross-mounts --replace v < s.tar; is f \"$(ls host)\"; is d \"$(ls v)\"
             mkdir -p o/d n t; rootfs-diff create --from o --to n --deleted del -o d.tar
             fails 'mount point' rootfs-diff apply --cross-mounts --rootfs v --deleted del < d.tar; is '' \"$(ls host)\"",
        ),
        (
            "a root in another mount namespace",
            "mkdir -p s m/in host; echo x > m/a; echo p > host/p; vol-archive create s > s.tar
             unshare --mount sh -c 'mount --bind host m/in; touch ready; exec sleep 20' & pid=$!
             for i in $(seq 100); do [ -e ready ] && break; sleep 0.05; done
             rc=0; vol-archive extract --replace /proc/$pid/root$PWD/m < s.tar 2> err || rc=$?
             kill $pid; [ -e host/p ] || fail 'the mount was emptied'; is 1 $rc; grep -q 'another filesystem is mounted' err",
        ),
        (
            "create --one-file-system also leaves out bind mounts",
            "mkdir -p v/in host; echo p > host/p; touch v/f; mount --bind host v/in; mount --bind host/p v/f
             is '/ in' \"$(vol-archive create --one-file-system v | vol-archive list --json | python3 -c \
               'import json, sys; print(*[e[\"path\"] or \"/\" for e in json.load(sys.stdin)])')\"
             vol-archive create v > all; vol-archive list < all | grep -q in/p; vol-archive list < all | grep -q f",
        ),
    ]);
}
