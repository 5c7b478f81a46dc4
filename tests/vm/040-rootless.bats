# An unprivileged user in a user namespace: overlays with user.* xattrs, and no privileges on the
# host.

# bats file_tags=vm

load ../pipelines/lib/helpers

setup() {
    home=$(mktemp -d /tmp/rootless.XXXXXX)
    chown 1000:1000 "$home"
    cd "$home"
    cp "$tests/pipelines/lib/tree.bash" .
    # Commands that the user runs as root of a user namespace.
    rootless() {
        setpriv --reuid 1000 --regid 1000 --clear-groups -- \
            unshare --user --map-root-user --mount -- bash -euo pipefail -c "$1"
    }
}

teardown() {
    rm -rf "$home"
}

# Makes all kinds of changes that the user can make in a tree.
changes='
    echo changed > settings
    rm deleted
    rm -r cache; mkdir cache; echo fresh > cache/new
    chmod 2700 private
    echo linked > first; ln first second
    setfattr -n user.note -v kept settings
    ln -s /nowhere link
    mkfifo fifo
'
tree='
    mkdir -p lower/{keep,cache,private}
    echo image | tee lower/{settings,deleted} lower/cache/old > /dev/null
'

@test "the diff of a rootless overlay applies to another overlay" {
    rootless "$tree"'
        mkdir upper{,2} work{,2} merged{,2}
        mount -t overlay overlay -o "lowerdir=$PWD/lower,upperdir=$PWD/upper,workdir=$PWD/work,userxattr" merged
        (cd merged'"$changes"')
        rootfs-diff create --rootfs merged --deleted deleted.files -o diff.tar
        mount -t overlay overlay -o "lowerdir=$PWD/lower,upperdir=$PWD/upper2,workdir=$PWD/work2,userxattr" merged2
        rootfs-diff apply --rootfs merged2 --deleted deleted.files < diff.tar
        source tree.bash
        same_tree merged merged2
        [ "$(cat merged2/cache/new)" = fresh ]
        [ ! -e merged2/deleted ]'
}

@test "an unprivileged user can archive and extract a volume" {
    rootless "$tree"'
        (cd lower'"$changes"')
        vol-archive create lower -o volume.tar
        mkdir copy
        vol-archive extract copy < volume.tar
        source tree.bash
        same_tree lower copy'
}

@test "vol-archive maps the IDs of an unprivileged user" {
    mkdir volume copy
    echo x >volume/file
    chown 1000:1000 volume
    chown 1005:1006 volume/file
    vol-archive create volume --uidmap 0:1000:100 --gidmap 0:1000:100 -o volume.tar
    [ "$(tar --numeric-owner -tvf volume.tar file | awk '{ print $2 }')" = 5/6 ]
    vol-archive extract copy --uidmap 0:3000:100 --gidmap 0:3000:100 <volume.tar
    [ "$(stat -c %u:%g copy/file)" = 3005:3006 ]
}
