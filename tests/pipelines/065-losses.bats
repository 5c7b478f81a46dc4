# The tools preserve the changes of files that podman 5.4.2 loses when it exports and imports a
# container. Each test is named after one loss, and inspects a container that runc has restored, and
# one that podman has restored from the same archive. setup_file creates, changes, packs and
# restores the container twice. For losses of another kind see 066.

load helpers
load podman
load losses

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

# both CHECK: runs the function CHECK in /fix of both containers, the one that runc and the one that
# podman has restored.
both() {
    local restored
    for restored in "$by_runc" "$by_podman"; do
        cd "$restored/fix"
        root=$restored "$1"
    done
}

@test "nothing is lost: the unpacked tree is identical to the packed one" {
    cat "$BATS_FILE_TMPDIR/differences"
    [ ! -s "$BATS_FILE_TMPDIR/differences" ]
}

@test "L1, a stale diff in the bundle: it is not packed" {
    check() {
        [ -x ../app/count ]
        [ "$(cat ../app/settings)" = changed ]
    }
    both check
}

@test "L3, dir-recreate and dir-recreate-empty: a recreated directory has only its new files" {
    check() {
        [ "$(ls dir)" = new ]
        [ -d empty ]
        [ -z "$(ls empty)" ]
    }
    both check
}

@test "L4, mod-file-nohost: a changed file whose path does not exist on the host" {
    check() {
        [ ! -e /fix ]
        [ "$(cat file)" = changed ]
    }
    both check
}

@test "L4, file-atomic-replace: a file replaced by rename" {
    check() { [ "$(cat replaced)" = other ]; }
    both check
}

@test "L4, hardlink-image-modified: a file of the image that was written by one of its names" {
    # On an overlay without index=on, a write breaks the hard link. The container's view before the
    # checkpoint counts.
    check() { [ "$(cat links/one links/two)" = "$(cat "$here"/rootfs/fix/links/{one,two})" ]; }
    both check
}

@test "L4, chmod-file-only: mode and owner of a file of the image" {
    check() { [ "$(stat -c '%a %u:%g' chmod)" = '4750 1000:1001' ]; }
    both check
}

@test "L4, xattr-image-file: an attribute of a file of the image" {
    check() {
        [ "$(getfattr --only-values -n user.note noted)" = value ]
        [ "$(cat noted)" = 'from the image' ]
    }
    both check
}

@test "L5, mod-file-host-is-dir: a changed file whose path is a directory on the host" {
    check() {
        [ -d /srv ]
        [ "$(cat ../srv)" = changed ]
    }
    both check
}

@test "L6, replace-dir-by-file and replace-dir-by-symlink" {
    check() {
        [ "$(cat was-dir)" = 'a file' ]
        [ "$(readlink was-dir-too)" = dir ]
    }
    both check
}

@test "L7, replace-file-by-dir, and a symbolic link replaced by a directory" {
    check() {
        [ "$(cat was-file/x)" = inside ]
        [ ! -L was-link ]
        [ "$(cat was-link/x)" = inside ]
        [ "$(ls dir)" = new ]
    }
    both check
}

@test "L9, rootdir-mode: mode of the root directory, which CRIU checks" {
    check() { [ "$(stat -c %a "$root/.")" = 751 ]; }
    both check
}

@test "L10, volume-copyup-deleted: a file that came from the image into the volume and was deleted there" {
    check() {
        [ -e ../data/file ]
        [ ! -e ../data/from-image ]
    }
    both check
}

@test "L11, volume-root-perms: mode and owner of the volume's root directory" {
    check() { [ "$(stat -c '%a %u:%g' ../data)" = '1777 1000:1001' ]; }
    both check
}

@test "L12, delete-nonutf8: a deleted file whose name is not UTF-8" {
    check() { [ ! -e $'not-utf8-\xff' ]; }
    both check
}

@test "L13, etc-hosts: edits of /etc/hosts, /etc/hostname and /etc/resolv.conf" {
    check() { [ "$(cat ../etc/hosts ../etc/hostname ../etc/resolv.conf)" = $'changed\nchanged\nchanged' ]; }
    both check
}

@test "chmod-dir and chown-dir: mode and owner of a directory of the image" {
    check() {
        [ "$(stat -c %a mode)" = 1770 ]
        [ "$(stat -c %u:%g shut)" = 1234:1235 ]
    }
    both check
}

@test "hardlink-new-to-image-file: both names have the same inode" {
    check() {
        [ "$(stat -c '%h %i' links/new)" = "$(stat -c '%h %i' links/target)" ]
        [ "$(stat -c %h links/new)" = 2 ]
    }
    both check
}

@test "acl-new: POSIX access and default ACLs" {
    check() {
        getfacl -p new/acl | grep -x 'user:1000:rw-'
        getfacl -p new | grep -x 'default:user:1000:rwx'
    }
    both check
}

@test "xattr-trusted: in the root file system, a volume and shared memory; and user.*, and file capabilities" {
    check() {
        for file in new/trusted ../data/trusted ../dev/shm/trusted; do
            [ "$(getfattr --only-values -n trusted.note "$file")" = value ]
        done
        [ "$(getfattr --only-values -n user.note new/user)" = value ]
        getcap new/capable | grep -q cap_net_bind_service
    }
    both check
}

@test "sparse: holes are holes in the archive and on disk; podman writes zeros" {
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

@test "mtime-ns, mtime-dir and mtime-parent: times of files and directories in nanoseconds" {
    check() {
        [[ $(stat -c %y new/time) = *.987654321* ]]
        for path in new/time times parent; do
            [ "$(stat -c %y $path)" = "$(stat -c %y "$here/rootfs/fix/$path")" ]
        done
    }
    both check
}

@test "mtime-ns, before 1970: times that podman cannot represent" {
    [ "$(stat -c %Y "$by_runc/fix/new/old")" = "$(date -d '1960-01-02 03:04:05Z' +%s)" ]
}

@test "changes that podman also keeps: renamed and deeply deleted directories, /run, devices, FIFOs, odd names" {
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
