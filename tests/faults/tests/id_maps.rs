//! `--uidmap` and `--gidmap` map every ID of an entry: owners, ACL entries, and the root of file
//! capabilities.

use faults::script::all_pass;

/// `cap FILE VERSION ROOT` sets a file capability, `show FILE` prints its version and root.
const CAPABILITIES: &str = r#"
cap() { python3 - "$@" <<'P'
import os, struct, sys
name, version, root = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
value = struct.pack("<IIIII", version << 24 | 1, 1 << 13, 0, 0, 0)
os.setxattr(name, "security.capability", value + (struct.pack("<I", root) if version == 3 else b""))
P
}
show() { python3 - "$1" <<'P'
import os, struct, sys
value = os.getxattr(sys.argv[1], "security.capability")
words = struct.unpack("<%dI" % (len(value) // 4), value)
assert words[0] & 1 and words[1] == 1 << 13, words
print(words[0] >> 24, *words[5:])
P
}
A="--uidmap 0:100000:65536 --gidmap 0:100000:65536"
B="--uidmap 0:200000:65536 --gidmap 0:200000:65536"
"#;

#[ignore = "needs root"]
#[test]
fn ids_in_acls_and_capabilities_are_mapped_like_owners() {
    let rows = [
        (
            "access and default ACLs of a directory",
            "mkdir -p s/d; chown -R 100000:100000 s
             setfacl -m u:100005:rwx,g:100007:r-x s/d; setfacl -d -m u:100009:r,g:100010:rw s/d
             vol-archive create $A s | vol-archive extract $B o
             acl=$(acl o/d); for id in user:200005:rwx group:200007:r-x default:user:200009:r-- default:group:200010:rw-; do
             case $acl in *$id*) ;; *) fail \"$acl lacks $id\" ;; esac; done",
        ),
        (
            "user and group maps are separate",
            "mkdir s; echo x > s/f; chown -R 100000:300000 s; setfacl -m u:100001:rw,g:300001:r s/f
             vol-archive create --uidmap 0:100000:10 --gidmap 0:300000:10 s > t
             vol-archive extract --uidmap 0:500:10 --gidmap 0:700:10 o < t
             is '500 700' \"$(stat -c '%u %g' o/f)\"
             is 'user::rw-,user:501:rw-,group::r--,group:701:r--,mask::rw-,other::r--' \"$(acl o/f)\"",
        ),
        (
            "the text form of bsdtar and of GNU tar --acls",
            "mkdir s; echo x > s/f; setfacl -m u:5005:rw,g:5007:r s/f
             for form in gnu bsd; do
               if [ $form = gnu ]; then tar --acls --numeric-owner -C s -cf t f; else bsdtar --acls --numeric-owner -C s -cf t f; fi
               rm -rf o; vol-archive extract $B o < t
               is 'user::rw-,user:205005:rw-,group::r--,group:205007:r--,mask::rw-,other::r--' \"$(acl o/f)\"
             done",
        ),
        (
            "a capability of the container's root has no root ID in the archive",
            "mkdir s; touch s/f; chown -R 100000:100000 s; cap s/f 3 100000
             vol-archive create $A s > t; vol-archive extract o < t; is 2 \"$(show o/f)\"
             vol-archive extract $B p < t; is '3 200000' \"$(show p/f)\"",
        ),
        (
            "a capability of another user in the container",
            "mkdir s; touch s/f; chown -R 100000:100000 s; cap s/f 3 100007
             vol-archive create $A s > t; vol-archive extract o < t; is '3 7' \"$(show o/f)\"
             vol-archive extract $B p < t; is '3 200007' \"$(show p/f)\"",
        ),
        (
            "a capability of the host stays one for the container, but not for the host it is extracted on",
            "mkdir s; touch s/f; chown -R 100000:100000 s; cap s/f 2 0
             vol-archive create $A s > t; vol-archive extract o < t; is 2 \"$(show o/f)\"
             vol-archive extract $B p < t; is '3 200000' \"$(show p/f)\"",
        ),
        (
            "without maps all values are unchanged",
            "mkdir s; touch s/f; cap s/f 3 100007; setfacl -m u:4294967294:r s/f
             vol-archive create s | vol-archive extract o
             is \"$(getfattr -d -m- s/f | tail -n +2)\" \"$(getfattr -d -m- o/f | tail -n +2)\"",
        ),
        (
            "IDs outside of the maps, on the way out",
            "mkdir s; touch s/f; chown -R 100000:100000 s
             setfacl -m u:7:r s/f; fails 'f: attribute system.posix_acl_access: user 7 is not in the id map' \
               vol-archive create $A s -o t
             setfacl -b -m g:165536:r s/f; fails 'group 165536 is not in the id map' vol-archive create $A s -o t
             setfacl -b s/f; cap s/f 3 1000; fails 'f: attribute security.capability: root 1000 is not in the id map' \
               vol-archive create $A --members v=s -o t
             [ ! -e t ]",
        ),
        (
            "IDs outside of the maps, on the way in",
            "mkdir s; touch s/f; setfacl -m u:70000:r s/f; vol-archive create s > t
             fails 'f: attribute system.posix_acl_access: user 70000 is not in the id map' sh -c \"vol-archive extract $B o < t\"
             setfacl -b s/f; chown 1000:0 s/f s; cap s/f 2 0; vol-archive create s > t
             fails 'f: attribute security.capability: root 0 is not in the id map' \
               sh -c 'vol-archive extract --uidmap 1000:1000:1 o < t'",
        ),
        (
            "rootfs-diff, as a member stream and as an OCI layer",
            "mkdir old new; touch new/f; chown -R 100000:100000 old new; setfacl -m u:100005:rw new/f; cap new/f 3 100000
             mkdir o; rootfs-diff create $A --members --from old --to new | rootfs-diff apply $B --members --rootfs o
             case $(acl o/f) in *user:200005:rw*) ;; *) fail \"$(acl o/f)\" ;; esac; is '3 200000' \"$(show o/f)\"
             rootfs-diff create $A --format oci --from old --to new > layer.tar
             mkdir p; tar --acls --xattrs --xattrs-include='*' -C p -xf layer.tar
             case $(acl p/f) in *user:5:rw*) ;; *) fail \"$(acl p/f)\" ;; esac; is 2 \"$(show p/f)\"",
        ),
        (
            "ckpt-unpack, rootfs and volume",
            r#"mkdir -p b/checkpoint old new vol o; echo x > b/checkpoint/inventory.img
             echo '{"ociVersion":"1.2.0","process":{"args":["sh"],"cwd":"/","user":{"uid":0,"gid":0}},"root":{"path":"r"},"linux":{}}' > b/config.json
             touch new/f vol/f; chown -R 100000:100000 old new vol; setfacl -m u:100005:rw new/f vol/f; cap vol/f 3 100000
             { rootfs-diff create $A --members --from old --to new; vol-archive create $A --members v=vol; } |
               ckpt-pack --bundle b -o web.ckpt -
             ckpt-unpack $B --bundle w --rootfs o --volume v=q web.ckpt
             for dir in o q; do case $(acl $dir/f) in *user:200005:rw*) ;; *) fail "$dir: $(acl $dir/f)" ;; esac; done
             is '3 200000' "$(show q/f)""#,
        ),
        (
            "invalid ACLs and capabilities are passed to the kernel",
            r"mkdir s; touch s/f; python3 - <<'P'
import io, tarfile
t = tarfile.open('t', 'w', format=tarfile.PAX_FORMAT)
for n, bad in enumerate(['', '\x02', '\x02\0\0\0\x02\0\x07\0\x01', 'x' * 24, '\x01\0\0\x03']):
    for key in ('system.posix_acl_access', 'security.capability'):
        i = tarfile.TarInfo('%d%s' % (n, key)); i.pax_headers = {'SCHILY.xattr.' + key: bad}; t.addfile(i)
t.close()
P
             vol-archive extract $B o < t 2> err; [ $(ls o | wc -l) = 10 ]; [ -s err ]",
        ),
    ];
    let scripts: Vec<_> =
        rows.iter().map(|(what, script)| (*what, format!("{CAPABILITIES}\n{script}"))).collect();
    let rows: Vec<_> = scripts.iter().map(|(what, script)| (*what, script.as_str())).collect();
    all_pass(&rows);
}
