//! Created and reused files have the ACLs of the archive, and inherit none from a default ACL.

use faults::script::all_pass;

#[ignore = "needs root"]
#[test]
fn no_default_acl_is_inherited_or_left() {
    all_pass(&[
        (
            "a new volume, with and without an entry for its root",
            "mkdir -p src/d par; echo f > src/f; mkfifo src/p; mknod src/n c 1 3; ln -s f src/l; chmod 770 src
             setfacl -d -m u:1234:rwx par
             vol-archive create src | vol-archive extract par/a
             tar -C src -cf t f d p n; vol-archive extract par/b < t
             for f in par/a par/a/{f,d,p,n} par/b/{f,d,p,n}; do case $(acl $f) in *1234*) fail \"$f: $(acl $f)\" ;; esac; done
             is 'user::rwx,group::---,other::---' \"$(acl par/b)\"; is 770 $(stat -c %a par/a)",
        ),
        (
            "an existing directory, with and without --replace",
            "mkdir -p src/d one/d two/d; echo f > src/d/f; chmod 750 src/d
             for o in one two; do for d in $o $o/d; do setfacl -m u:1234:rwx $d; setfacl -d -m u:1234:rwx $d; done; done
             vol-archive create src > t; vol-archive extract one < t; vol-archive extract --replace two < t
             for f in {one,two}{,/d,/d/f}; do case $(acl $f) in *1234*) fail \"$f: $(acl $f)\" ;; esac; done
             is 750 $(stat -c %a one/d)",
        ),
        (
            "parent directories without an entry in the archive",
            "mkdir -p src/a/b par; echo f > src/a/b/f; setfacl -d -m u:1234:rwx,o::- par; mkdir par/v
             tar -C src -cf t a/b/f; vol-archive extract par/v < t; vol-archive extract par/w < t
             for d in par/{v,w}/a par/{v,w}/a/b; do is 'user::rwx,group::r-x,other::r-x' \"$(acl $d)\"; done
             case $(acl par/w/a/b/f) in *1234*) fail file ;; esac",
        ),
        (
            "many files, which the worker thread writes",
            "mkdir src par; for i in $(seq 200); do echo $i > src/$i; done; setfacl -d -m u:1234:rwx,g:99:rw par
             vol-archive create src | vol-archive extract par/v
             [ -z \"$(getfacl -Rpn par/v | grep -e 1234 -e :99:)\" ]",
        ),
        (
            "ACLs and default ACLs in the archive are kept",
            "mkdir -p src/d par; echo f > src/d/f; setfacl -d -m u:77:r src/d; setfacl -m u:78:rw src/d/f; setfacl -d -m u:1234:rwx par
             vol-archive create src | vol-archive extract par/v
             for f in . d d/f; do is \"$(acl src/$f)\" \"$(acl par/v/$f)\"; done",
        ),
        (
            "rootfs-diff apply below a root with a default ACL",
            "mkdir -p old/k new/k/n rootfs; mkdir rootfs/k; echo f > new/k/f; setfacl -d -m u:1234:rwx rootfs rootfs/k
             rootfs-diff create --members --from old --to new | rootfs-diff apply --members --rootfs rootfs
             for f in rootfs rootfs/k rootfs/k/n rootfs/k/f; do case $(acl $f) in *1234*) fail \"$f: $(acl $f)\" ;; esac; done",
        ),
        (
            "a bundle, its directories and files, volumes, and -o",
            r#"mkdir -p par b/checkpoint vol; echo x > b/checkpoint/inventory.img; echo f > vol/f
             echo '{"ociVersion":"1.2.0","process":{"args":["sh"],"cwd":"/","user":{"uid":0,"gid":0}},"root":{"path":"r"},"linux":{}}' > b/config.json
             setfacl -d -m u:1234:rwx,u::rwx par
             vol-archive create --members v=vol | ckpt-pack --ignore-rootfs --bundle b -o par/web.ckpt -
             vol-archive create vol -o par/vol.tar; mkdir par/there
             for w in w there; do ckpt-unpack --bundle par/$w --volume v=par/v$w par/web.ckpt; done
             for f in par/w par/{w,there}/{checkpoint,config.dump,checkpoint/inventory.img} par/v{w,there}{,/f} par/web.ckpt par/vol.tar; do
               case $(acl $f) in *1234*) fail "$f: $(acl $f)" ;; esac; done
             is '600 600 700 700' "$(stat -c %a par/web.ckpt par/vol.tar par/w par/there/checkpoint | paste -sd' ')""#,
        ),
        (
            "a filesystem without ACLs is not an error",
            "mkdir -p src/d m; echo f > src/d/f; mount -t ramfs ramfs m; mkdir m/old
             vol-archive create src > t; vol-archive extract m/new < t; vol-archive extract m/old < t; vol-archive create src -o m/t
             cmp t m/t",
        ),
    ]);
}
