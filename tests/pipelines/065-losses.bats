# What podman loses in its own round trip (podman 5.4.2) arrives when podman imports our archive: one test for each loss.
# The container is made, changed, packed and imported once; the tests look at the result.

load helpers
load podman

# Files of the image for the container to change. /srv and /etc/cron.d are directories on usual hosts.
add_fixtures() {
    mkdir -p "$image"/fix/{dir,empty,mode,shut,was-dir,was-dir-too,links} "$image/data"
    echo 'from the image' | tee "$image"/fix/{file,replaced,was-file,linked,chmod} "$image"/fix/{dir,empty,was-dir,was-dir-too}/old \
        "$image"/fix/links/{one,target} "$image/data/from-image" "$image/etc/hosts" >/dev/null
    rmdir "$image/srv"
    echo 'from the image' >"$image/srv"
    ln "$image/fix/links/one" "$image/fix/links/two"
    printf 'gone' >"$image/fix/"$'not-utf8-\xff'
    mkdir "$image/fix/times" && touch -d '2001-02-03 04:05:06.123456789Z' "$image/fix/times"
}

# Everything that gets lost, done to the root file system $1 and the volume $2.
change() (
    cd "$1/fix"
    echo changed >file
    echo other >.temporary && mv .temporary replaced
    echo changed >../srv
    rm -r dir && mkdir dir && echo new >dir/new
    rm -r empty && mkdir empty
    rm -r was-dir && echo 'a file' >was-dir
    rm -r was-dir-too && ln -s dir was-dir-too
    rm was-file && mkdir was-file && echo inside >was-file/x
    # In this order: to give a file away takes its setuid bit.
    chown 1000:1001 chmod && chmod 4750 chmod
    chmod 1770 mode
    chown 1234:1235 shut
    rm $'not-utf8-\xff'
    echo changed >links/one
    ln links/target links/new
    mkdir new
    echo x >new/acl && setfacl -m u:1000:rw new/acl
    setfacl -d -m u:1000:rwx new
    echo x >new/trusted && setfattr -n trusted.note -v value new/trusted
    echo x >new/user && setfattr -n user.note -v value new/user
    echo x >new/capable && setcap cap_net_bind_service+ep new/capable
    truncate -s 256M new/sparse && printf data | dd of=new/sparse bs=1 seek=100M conv=notrunc status=none
    touch -d '2002-03-04 05:06:07.987654321Z' new/time
    touch -d '2003-04-05 06:07:08.000000009Z' times
    echo changed >../etc/hosts
    chmod 0751 ..
    rm -f "$2/from-image"
    chmod 1777 "$2" && chown 1000:1001 "$2"
    truncate -s 64M "$2/sparse" && printf data | dd of="$2/sparse" bs=1 seek=10M conv=notrunc status=none
)

setup_file() {
    build_image
    add_fixtures
    setup_podman
    export here=$BATS_FILE_TMPDIR/here
    make_bundle "$here"
    start runc "$here" web
    change "$here/rootfs" "$here/data"
    checkpoint runc "$here" web
    # What an earlier export left in the bundle must not come back (L1).
    echo stale >"$here/rootfs-diff.tar"
    echo '["/app/count"]' >"$here/deleted.files"
    {
        rootfs-diff create --members --rootfs "$here/rootfs"
        vol-archive create --members data="$here/data"
    } | for_podman --compress zstd -o "$BATS_FILE_TMPDIR/web.ckpt" -
    podman_ container restore --import "$BATS_FILE_TMPDIR/web.ckpt"
    export root volume
    root=$(podman_ mount web)
    volume=$(podman_ volume inspect --format '{{.Mountpoint}}' data)
}

teardown_file() {
    teardown_podman
    podman_ umount -fa
    runc delete -f web 2>/dev/null
    umount -l "$here/rootfs"
    true
}

setup() {
    cd "$root/fix"
}

@test "L1: a stale diff in the bundle is not packed" {
    [ -x ../app/count ]
    podman_ exec web true
}

@test "L3: a directory that was removed and made again keeps its new files only" {
    [ "$(ls dir)" = new ]
    [ -d empty ]
    [ -z "$(ls empty)" ]
}

@test "L4: a changed file whose path does not exist on the host" {
    [ "$(cat file)" = changed ]
    [ "$(cat replaced)" = other ]
    [ "$(stat -c '%a %u:%g' chmod)" = '4750 1000:1001' ]
    # On an overlay without index=on a write parts the names of an inode; what counts is what the container had.
    [ "$(cat links/one links/two)" = "$(cat "$here"/rootfs/fix/links/{one,two})" ]
}

@test "L5: a changed file whose path is a directory on the host" {
    [ "$(cat ../srv)" = changed ]
}

@test "L6: a directory replaced by a file or a symbolic link" {
    [ "$(cat was-dir)" = 'a file' ]
    [ "$(readlink was-dir-too)" = dir ]
}

@test "L7: a file replaced by a directory" {
    [ "$(cat was-file/x)" = inside ]
}

@test "L9: mode of the root directory, without which CRIU restores nothing" {
    [ "$(stat -c %a "$root")" = 751 ]
}

@test "L10: a file that came from the image into the volume and was deleted there" {
    [ -e "$volume/file" ]
    [ ! -e "$volume/from-image" ]
}

@test "L11: mode and owner of the volume's root directory" {
    [ "$(stat -c '%a %u:%g' "$volume")" = '1777 1000:1001' ]
}

@test "L12: a deleted file whose name is not UTF-8" {
    [ ! -e $'not-utf8-\xff' ]
}

@test "L13: an edit of /etc/hosts" {
    [ "$(cat ../etc/hosts)" = changed ]
}

@test "modes and owners of directories" {
    [ "$(stat -c %a mode)" = 1770 ]
    [ "$(stat -c %u:%g shut)" = 1234:1235 ]
}

@test "a new hard link to a file of the image" {
    [ "$(stat -c '%h %i' links/new)" = "$(stat -c '%h %i' links/target)" ]
    [ "$(stat -c %h links/new)" = 2 ]
}

@test "POSIX ACLs" {
    getfacl -p new/acl | grep -x 'user:1000:rw-'
    getfacl -p new | grep -x 'default:user:1000:rwx'
}

@test "extended attributes of all namespaces, and file capabilities" {
    [ "$(getfattr --only-values -n trusted.note new/trusted)" = value ]
    [ "$(getfattr --only-values -n user.note new/user)" = value ]
    getcap new/capable | grep -q cap_net_bind_service
}

@test "times to the nanosecond, of directories too" {
    [ "$(stat -c %y new/time)" = "$(stat -c %y "$here/rootfs/fix/new/time")" ]
    [[ $(stat -c %y new/time) = *.987654321* ]]
    [ "$(stat -c %y times)" = "$(stat -c %y "$here/rootfs/fix/times")" ]
}

@test "content of sparse files; their holes where podman keeps them" {
    cmp new/sparse "$here/rootfs/fix/new/sparse"
    cmp "$volume/sparse" "$here/data/sparse"
    # In the archive they cost nothing; that podman writes the zeros out on import is its own.
    [ "$(stat -c %s "$BATS_FILE_TMPDIR/web.ckpt")" -lt 10000000 ]
}

@test "the same archive unpacked by ckpt-unpack: the root file system is the same in everything" {
    cd "$BATS_TEST_TMPDIR"
    overlay "$PWD/there"
    ckpt-unpack --bundle bundle --rootfs there/rootfs --volume data=data <"$BATS_FILE_TMPDIR/web.ckpt"
    same_tree "$here/rootfs" there/rootfs
    same_tree "$here/data" data
    [ "$(stat -c %b there/rootfs/fix/new/sparse)" -lt 1000 ]
    umount there/rootfs
}
