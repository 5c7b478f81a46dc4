# The tools preserve the changes of files that podman 5.4.2 loses when it exports and imports a
# container. Each test covers one loss: it inspects a container that runc has restored and a
# container that podman has restored from the same archive. setup_file creates, changes and packs
# the container, and restores it twice. For losses of another kind see 066.

load lib/helpers
load lib/podman
load lib/losses

setup_file() {
    build_image
    add_fixtures
    setup_podman
    export here=$BATS_FILE_TMPDIR/here there=$BATS_FILE_TMPDIR/there archive=$BATS_FILE_TMPDIR/web.ckpt
    shared_memory "$here/shm"
    make_bundle "$here" "$bind_shm"
    start runc "$here" web
    change "$here/rootfs" "$here/data" "$here/shm"
    checkpoint runc "$here" web
    # L1: files of an earlier export in the bundle must not be packed.
    echo stale >"$here/rootfs-diff.tar"
    echo '["/app/count"]' >"$here/deleted.files"
    {
        rootfs-diff create --members --rootfs "$here/rootfs"
        vol-archive create --members data="$here/data" --shm "$here/shm"
    } | for_podman --compress zstd -o "$archive" -

    overlay "$there"
    shared_memory "$there/shm"
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" --volume data="$there/data" --shm "$there/shm" <"$archive"
    # Before the container continues, the trees are identical.
    same_tree "$here/rootfs" "$there/rootfs" >"$BATS_FILE_TMPDIR/differences" || true
    same_tree "$here/data" "$there/data" >>"$BATS_FILE_TMPDIR/differences" || true
    same_tree "$here/shm" "$there/shm" >>"$BATS_FILE_TMPDIR/differences" || true
    spec-gen --restore --rootfs "$there/rootfs" -v "$there/data:/data" --shm-dir "$there/shm" \
        <"$there/bundle/spec.dump" >"$there/bundle/config.json"
    restore runc "$there/bundle" web

    podman_ container restore --import "$archive"
    export by_runc by_podman
    by_runc=/proc/$(runc state web | jq .pid)/root
    by_podman=/proc/$(podman_ inspect --format '{{.State.Pid}}' web)/root
}

teardown_file() {
    teardown_podman
    runc kill web KILL
    runc delete -f web 2>/dev/null
    umount -l "$here"/{rootfs,shm} "$there"/{rootfs,shm}
    true
}

# both CHECK: runs the function CHECK in /fix of both restored containers, runc's and podman's.
both() {
    local restored
    for restored in "$by_runc" "$by_podman"; do
        cd "$restored/fix"
        root=$restored "$1"
    done
}

@test "the unpacked tree is identical to the packed tree" {
    cat "$BATS_FILE_TMPDIR/differences"
    [ ! -s "$BATS_FILE_TMPDIR/differences" ]
}

@test "L1: a stale diff in the bundle is not packed" {
    check() {
        [ -x ../app/count ]
        [ "$(cat ../app/settings)" = changed ]
    }
    both check
}

@test "L3: a recreated directory has only its new files" {
    check() {
        [ "$(ls dir)" = new ]
        [ -d empty ]
        [ -z "$(ls empty)" ]
    }
    both check
}

@test "L4: a file whose path the host lacks keeps its change" {
    check() {
        [ ! -e /fix ]
        [ "$(cat file)" = changed ]
    }
    both check
}

@test "L4: a file that was replaced by rename has the new content" {
    check() { [ "$(cat replaced)" = other ]; }
    both check
}

@test "L4: a write through a hard link survives" {
    # On an overlay without index=on, a write breaks the hard link. The container's view before the
    # checkpoint counts.
    check() { [ "$(cat links/one links/two)" = "$(cat "$here"/rootfs/fix/links/{one,two})" ]; }
    both check
}

@test "L4: a file of the image keeps a new mode and owner" {
    check() { [ "$(stat -c '%a %u:%g' chmod)" = '4750 1000:1001' ]; }
    both check
}

@test "L4: a file of the image keeps a new xattr" {
    check() {
        [ "$(getfattr --only-values -n user.note noted)" = value ]
        [ "$(cat noted)" = 'from the image' ]
    }
    both check
}

@test "L5: a file whose path is a host directory keeps its change" {
    check() {
        [ -d /srv ]
        [ "$(cat ../srv)" = changed ]
    }
    both check
}

@test "L6: a file or symbolic link replaces a directory" {
    check() {
        [ "$(cat was-dir)" = 'a file' ]
        [ "$(readlink was-dir-too)" = dir ]
    }
    both check
}

@test "L7: a directory replaces a file or symbolic link" {
    check() {
        [ "$(cat was-file/x)" = inside ]
        [ ! -L was-link ]
        [ "$(cat was-link/x)" = inside ]
        [ "$(ls dir)" = new ]
    }
    both check
}

@test "L9: the root directory keeps its mode, which CRIU checks" {
    check() { [ "$(stat -c %a "$root/.")" = 751 ]; }
    both check
}

@test "L10: a deleted file of the image stays deleted in the volume" {
    check() {
        [ -e ../data/file ]
        [ ! -e ../data/from-image ]
    }
    both check
}

@test "L11: the root directory of a volume keeps mode and owner" {
    check() { [ "$(stat -c '%a %u:%g' ../data)" = '1777 1000:1001' ]; }
    both check
}

@test "L12: a file whose name is not UTF-8 stays deleted" {
    check() { [ ! -e $'not-utf8-\xff' ]; }
    both check
}

@test "L13: edits of /etc/hosts, hostname and resolv.conf survive" {
    check() { [ "$(cat ../etc/hosts ../etc/hostname ../etc/resolv.conf)" = $'changed\nchanged\nchanged' ]; }
    both check
}

@test "a directory of the image keeps a new mode and owner" {
    check() {
        [ "$(stat -c %a mode)" = 1770 ]
        [ "$(stat -c %u:%g shut)" = 1234:1235 ]
    }
    both check
}

@test "a new hard link to a file of the image has the same inode" {
    check() {
        [ "$(stat -c '%h %i' links/new)" = "$(stat -c '%h %i' links/target)" ]
        [ "$(stat -c %h links/new)" = 2 ]
    }
    both check
}

@test "POSIX access ACLs and default ACLs survive" {
    check() {
        getfacl -p new/acl | grep -x 'user:1000:rw-'
        getfacl -p new | grep -x 'default:user:1000:rwx'
    }
    both check
}

@test "trusted.* and user.* xattrs and file capabilities survive" {
    check() {
        for file in new/trusted ../data/trusted ../dev/shm/trusted; do
            [ "$(getfattr --only-values -n trusted.note "$file")" = value ]
        done
        [ "$(getfattr --only-values -n user.note new/user)" = value ]
        getcap new/capable | grep -q cap_net_bind_service
    }
    both check
}

@test "sparse files keep their holes in the archive and on disk" {
    for place in "$by_runc" "$by_podman"; do
        cmp "$place/fix/new/sparse" "$here/rootfs/fix/new/sparse"
        for dir in data dev/shm; do
            cmp "$place/$dir/sparse" "$here/${dir#dev/}/sparse"
        done
    done
    [ "$(stat -c %b "$by_runc/fix/new/sparse")" -lt 1000 ]
    [ "$(stat -c %b "$by_runc/data/sparse")" -lt 1000 ]
    [ "$(stat -c %b "$by_runc/dev/shm/sparse")" -lt 1000 ]
    [ "$(stat -c %s "$archive")" -lt 10000000 ]
}

@test "files and directories keep their mtime in nanoseconds" {
    check() {
        [[ $(stat -c %y new/time) = *.987654321* ]]
        for path in new/time times parent; do
            [ "$(stat -c %y $path)" = "$(stat -c %y "$here/rootfs/fix/$path")" ]
        done
    }
    both check
}

@test "an mtime before 1970 survives, which podman loses" {
    [ "$(stat -c %Y "$by_runc/fix/new/old")" = "$(date -d '1960-01-02 03:04:05Z' +%s)" ]
}

@test "changes that podman keeps also survive with these tools" {
    check() {
        [ ! -e renamed ]
        [ "$(cat moved/deep/old)" = 'from the image' ]
        [ -d deep ]
        [ -z "$(ls deep)" ]
        [ "$(cat ../run/app/pid)" = x ]
        [ "$(stat -c '%F %t %T' new/null)" = 'character special file 1 3' ]
        [ -p new/fifo ]
        [ -p ../dev/shm/fifo ]
        [ -e "new/$(printf '%0255d' 1)" ]
        [ -e new/$'added-\xff' ]
    }
    both check
}
