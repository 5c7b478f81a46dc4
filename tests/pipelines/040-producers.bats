# A pipe loses exit statuses; the member streams carry what would be lost.

load helpers

setup_file() {
    build_image
    export bundle=$BATS_FILE_TMPDIR/bundle volume=$BATS_FILE_TMPDIR/volume changed=$BATS_FILE_TMPDIR/changed
    mkdir -p "$bundle/checkpoint" "$volume"
    (cd "$bundle" && runc spec)
    # ckpt-pack misses a stream only where something announces it: here the container's own configuration.
    echo '{"id": "web", "name": "web", "runtime": "runc", "namedVolumes": [{"volumeName": "data", "dest": "/data"}]}' \
        >"$bundle/config.dump"
    echo inventory >"$bundle/checkpoint/inventory.img"
    head -c 5000000 /dev/urandom >"$volume/file"
    cp -a "$image" "$changed"
    echo new >"$changed/new"
    rm "$changed/app/deleted"
}

setup() {
    cd "$BATS_TEST_TMPDIR"
}

diff_members() {
    rootfs-diff create --members --from "$image" --to "$changed"
}

@test "a producer killed in mid-stream: ckpt-pack fails and writes nothing" {
    mkfifo pipe
    { diff_members; vol-archive create --members data="$volume"; } >whole
    for bytes in 1000000 2000000 4000000; do
        # It has written so much when it dies, with the pipe still open.
        bash -c "head -c $bytes whole; kill -9 \$\$" >pipe &
        run --separate-stderr ckpt-pack --bundle "$bundle" -o web.ckpt - <pipe
        printf '%s\n' "$stderr"
        [ "$status" = 1 ]
        [ ! -e web.ckpt ]
    done
}

@test "a real producer killed while it writes" {
    # Data, not a hole, so that writing it takes a while; the reader is slow besides.
    head -c 200M /dev/zero | tr '\0' x >"$volume/big"
    run --separate-stderr bash -c '
        { rootfs-diff create --members --from "$image" --to "$changed"
          vol-archive create --members data="$volume" & producer=$!
          (sleep 0.3; kill -9 $producer) &
          wait $producer
        } | { dd bs=64k 2>/dev/null | (dd bs=64k count=200 iflag=fullblock 2>/dev/null; sleep 1; cat); } |
            ckpt-pack --bundle "$bundle" -o web.ckpt -'
    printf '%s\n' "$stderr"
    rm "$volume/big"
    [ "$status" = 1 ]
    [ ! -e web.ckpt ]
}

@test "a stream cut at any record: never an archive" {
    { diff_members; vol-archive create --members data="$volume"; } >whole
    size=$(stat -c %s whole)
    # Writers flush in blocks of 512 bytes, so that is where a stream ends when its writer dies.
    for cut in $(seq 0 512 $((size < 40000 ? size - 1024 : 40000))) $(seq 40448 262144 $((size - 1024))); do
        head -c "$cut" whole >cut
        run --separate-stderr ckpt-pack --bundle "$bundle" -o web.ckpt cut
        [ "$status" = 1 ] || { echo "cut at $cut of $size: status $status"; false; }
        [ ! -e web.ckpt ]
    done
}

@test "a first producer that dies does not swallow what the second one writes" {
    diff_members >first
    for cut in 512 1024 2048 $(($(stat -c %s first) - 1536)); do
        {
            head -c "$cut" first
            vol-archive create --members data="$volume"
        } >members
        run --separate-stderr ckpt-pack --bundle "$bundle" -o web.ckpt members
        [ "$status" = 1 ] || { echo "cut at $cut: status $status"; false; }
        [ ! -e web.ckpt ]
    done
}

@test "a producer that never starts is missed" {
    run --separate-stderr bash -c 'set -o pipefail
        { false; vol-archive create --members data="$volume"; } | ckpt-pack --bundle "$bundle" -o web.ckpt -'
    printf '%s\n' "$stderr"
    [ "$status" = 1 ]
    grep -q 'rootfs-diff' <<<"$stderr"
    [ ! -e web.ckpt ]
}

@test "a producer that fails before its first byte: ckpt-pack fails with its reason" {
    local group
    for group in "diff_members; vol-archive create --members data=/typo; vol-archive create --members x=\$volume" \
        "diff_members && vol-archive create --members data=/typo && netstatus save --members </dev/null"; do
        echo earlier >web.ckpt
        export -f diff_members
        run --separate-stderr bash -c "{ $group; } | ckpt-pack --bundle \$bundle -o web.ckpt -"
        printf '%s\n' "$stderr"
        [ "$status" = 1 ]
        grep 'ckpt-pack: error: .*vol-archive failed: volumes/data.tar: /typo: No such file' <<<"$stderr"
        [ "$(cat web.ckpt)" = earlier ]
    done
}

@test "a producer that leaves no trace is missed if it was expected" {
    run --separate-stderr bash -c '
        { rootfs-diff create --members --from "$image" --to "$changed"; vol-archive create --members data="$volume"; no-such-tool
        } | ckpt-pack --bundle "$bundle" --expect rootfs-diff,volume:data,network -o web.ckpt -'
    printf '%s\n' "$stderr"
    [ "$status" = 1 ]
    grep 'network.status: missing' <<<"$stderr"
    [ ! -e web.ckpt ]
}

@test "a hand-made stream is accepted only when asked for" {
    diff_members | tar -xf -
    (cd "$volume" && tar -cf "$BATS_TEST_TMPDIR/data.tar" .)
    mkdir volumes
    mv data.tar volumes/
    tar -cf by-hand rootfs-diff.tar deleted.files volumes/data.tar
    run --separate-stderr ckpt-pack --bundle "$bundle" -o web.ckpt by-hand
    [ "$status" = 1 ]
    [ ! -e web.ckpt ]
    ckpt-pack --bundle "$bundle" --raw-members -o web.ckpt by-hand
    tar -tf web.ckpt | grep -x rootfs-diff.tar
}

@test "a file that grows while it is read: named, complete, and status 3 all the way down the pipe" {
    # A slow reader gives the file time to grow between the two passes.
    head -c 20M /dev/zero >"$volume/growing"
    run --separate-stderr bash -c '
        { rootfs-diff create --members --from "$image" --to "$changed"
          (sleep 0.5; echo more >>"$volume/growing") & vol-archive create --members data="$volume"
        } | (sleep 1.5; cat) | ckpt-pack --bundle "$bundle" -o web.ckpt -'
    printf '%s\n' "$stderr"
    rm "$volume/growing"
    [ "$status" = 3 ]
    grep -q 'growing' <<<"$stderr"
    ckpt-unpack --verify <web.ckpt
}

@test "a reader that goes away ends a producer by SIGPIPE, silently" {
    run --separate-stderr bash -c 'set -o pipefail; vol-archive create "$volume" | head -c 100 >/dev/null'
    [ "$status" = 141 ]
    [ -z "$stderr" ]
}
