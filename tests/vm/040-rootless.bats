# An ordinary user in a user namespace of his own: overlay with user.* attributes, no privileges on the host.

# bats file_tags=vm

load ../pipelines/helpers

setup() {
    home=$(mktemp -d /tmp/rootless.XXXXXX)
    chown 1000:1000 "$home"
    cd "$home"
    # What the user runs as root of a user namespace.
    rootless() {
        setpriv --reuid 1000 --regid 1000 --clear-groups -- \
            unshare --user --map-root-user --mount -- bash -euo pipefail -c "$1"
    }
}

teardown() {
    rm -rf "$home"
}

# What the user does to his tree: an overlay, and changes of every kind that he may make.
changes='
    mkdir lower upper work merged
    mkdir -p lower/{keep,cache,private}
    echo image | tee lower/{settings,deleted} lower/cache/old > /dev/null
    mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work,userxattr merged
    echo changed > merged/settings
    rm merged/deleted
    rm -r merged/cache; mkdir merged/cache; echo fresh > merged/cache/new
    chmod 2700 merged/private
    ln merged/settings merged/second
    setfattr -n user.note -v kept merged/settings
    ln -s /nowhere merged/link
    mkfifo merged/fifo
'

@test "rootfs-diff: the changes of a rootless overlay, applied to a second one" {
    rootless "$changes
        rootfs-diff create --rootfs merged --deleted deleted.files -o diff.tar
        mkdir upper2 work2 merged2
        mount -t overlay overlay -o lowerdir=lower,upperdir=upper2,workdir=work2,userxattr merged2
        rootfs-diff apply --rootfs merged2 --deleted deleted.files < diff.tar
        source $tests/pipelines/tree.bash
        same_tree merged merged2
        [ \$(cat merged2/cache/new) = fresh ]
        [ ! -e merged2/deleted ]"
}

@test "vol-archive: a volume of an ordinary user, to a tar and back" {
    rootless "$changes
        vol-archive create merged -o volume.tar
        mkdir copy
        vol-archive extract copy < volume.tar
        source $tests/pipelines/tree.bash
        same_tree merged copy"
}

@test "vol-archive: ids are translated on the way" {
    mkdir volume copy
    echo x >volume/file
    chown 1005:1006 volume/file
    vol-archive create volume --uidmap 0:1000:100 --gidmap 0:1000:100 -o volume.tar
    [ "$(tar --numeric-owner -tvf volume.tar file | awk '{ print $2 }')" = 5/6 ]
    vol-archive extract copy --uidmap 0:3000:100 --gidmap 0:3000:100 <volume.tar
    [ "$(stat -c %u:%g copy/file)" = 3005:3006 ]
}
