# Interrupted at any point: no half archive, no half bundle, and a root file system that is touched only by a whole archive.

load helpers

setup_file() {
    export source=$BATS_FILE_TMPDIR/source
    mkdir -p "$source"/{bundle/checkpoint,data,old,new}
    (cd "$source/bundle" && runc spec)
    echo inventory >"$source/bundle/checkpoint/inventory.img"
    head -c 30M /dev/urandom >"$source/bundle/checkpoint/pages-1.img"
    head -c 30M /dev/urandom >"$source/data/file"
    echo new >"$source/new/file"
    export members=$source/members archive=$source/web.ckpt
    {
        rootfs-diff create --members --from "$source/old" --to "$source/new"
        vol-archive create --members data="$source/data"
    } >"$members"
    ckpt-pack --bundle "$source/bundle" -o "$archive" "$members"
}

setup() {
    cd "$BATS_TEST_TMPDIR"
}

# small_disk: a directory "small" with room for 20 MiB.
small_disk() {
    mkdir small
    mount -t tmpfs -o size=20m tmpfs small
}

teardown() {
    umount small 2>/dev/null || true
}

@test "ckpt-pack killed at 50 moments: an old archive stays, and nothing beside it" {
    echo precious >web.ckpt
    for n in {1..50}; do
        timeout -s KILL "0.0$((n % 10))$((n / 10))" ckpt-pack --bundle "$source/bundle" --compress gzip -o web.ckpt "$members" || true
        if [ "$(head -c 8 web.ckpt)" != precious ]; then
            # It was fast enough to finish.
            ckpt-unpack --verify web.ckpt
            echo precious >web.ckpt
        fi
        [ "$(ls -A)" = web.ckpt ]
    done
}

@test "ckpt-unpack killed at 50 moments: a whole bundle or none" {
    finished=0
    for n in {1..50}; do
        timeout -s KILL "0.0$((n % 10))$((n / 10))" ckpt-unpack --bundle web <"$archive" || true
        if [ -e web ]; then
            cmp web/checkpoint/pages-1.img "$source/bundle/checkpoint/pages-1.img"
            cmp web/volumes/data.tar <(tar -xOf "$archive" volumes/data.tar)
            finished=$((finished + 1))
        fi
        rm -rf web .web.ckpt-*
        [ -z "$(ls -A)" ]
    done
    echo "finished before the kill: $finished of 50"
}

@test "ckpt-pack on a full disk" {
    small_disk
    echo precious >small/web.ckpt
    run --separate-stderr ckpt-pack --bundle "$source/bundle" -o small/web.ckpt "$members"
    printf '%s\n' "$stderr"
    [ "$status" = 1 ]
    grep -q 'small/web.ckpt: No space left on device' <<<"$stderr"
    [ "$(cat small/web.ckpt)" = precious ]
    [ "$(ls -A small)" = web.ckpt ]
}

@test "ckpt-unpack on a full disk: no bundle, and the message says what was touched" {
    small_disk
    mkdir rootfs
    run --separate-stderr ckpt-unpack --bundle small/web --rootfs rootfs --volume data=data <"$archive"
    printf '%s\n' "$stderr"
    [ "$status" = 1 ]
    grep -q 'No space left on device' <<<"$stderr"
    [ -z "$(ls -A small)" ]
    # The images come before the diff: it never got so far.
    [ -z "$(ls -A rootfs)" ]

    run --separate-stderr ckpt-unpack --bundle web --rootfs rootfs --volume data=small/data <"$archive"
    printf '%s\n' "$stderr"
    [ "$status" = 1 ]
    grep -q 'rootfs: holds part of the checkpoint' <<<"$stderr"
    grep -q 'small/data: holds part of the checkpoint' <<<"$stderr"
    [ ! -e web ]
    [ -z "$(ls -A | grep -v -e '^rootfs$' -e '^small$' -e '^separate-stderr')" ]
}

@test "a reader that goes away ends ckpt-pack by SIGPIPE, silently, in every format" {
    for format in none gzip zstd xz bzip2; do
        run --separate-stderr bash -c "set -o pipefail
            ckpt-pack --bundle '$source/bundle' --compress $format '$members' | head -c 100 >/dev/null"
        printf '%s %s\n' "$format" "$stderr"
        [ "$status" = 141 ]
        [ -z "$stderr" ]
    done
}
