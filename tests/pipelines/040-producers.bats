# A pipe ignores the exit status of producers, so member streams record failures.

load lib/helpers

setup_file() {
    build_image
    export bundle=$BATS_FILE_TMPDIR/bundle volume=$BATS_FILE_TMPDIR/volume changed=$BATS_FILE_TMPDIR/changed
    mkdir -p "$bundle/checkpoint" "$volume"
    (cd "$bundle" && runc spec)
    # ckpt-pack detects a missing stream only if it expects one, in this case because of the
    # container's configuration.
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

@test "ckpt-pack writes nothing if a producer's stream is truncated" {
    mkfifo pipe
    { diff_members; vol-archive create --members data="$volume"; } >whole
    for bytes in 1000000 2000000 4000000; do
        # The producer dies after this many bytes, while the pipe stays open.
        bash -c "head -c $bytes whole; kill -9 \$\$" >pipe &
        run --separate-stderr ckpt-pack --bundle "$bundle" -o web.ckpt - <pipe
        printf '%s\n' "$stderr"
        [ "$status" = 1 ]
        [ ! -e web.ckpt ]
    done
}

@test "ckpt-pack writes nothing if a running producer is killed" {
    # Data instead of a hole, so that writing takes time. The reader stops until the producer is killed.
    head -c 200M /dev/zero | tr '\0' x >"$volume/big"
    run --separate-stderr bash -c '
        { rootfs-diff create --members --from "$image" --to "$changed"
          vol-archive create --members data="$volume" & producer=$!
          until [ -e stalled ]; do sleep 0.05; done
          kill -9 $producer
          wait $producer
          : >killed
        } | { dd bs=64k 2>/dev/null | (dd bs=64k count=200 iflag=fullblock 2>/dev/null; : >stalled; until [ -e killed ]; do sleep 0.05; done; cat); } |
            ckpt-pack --bundle "$bundle" -o web.ckpt -'
    printf '%s\n' "$stderr"
    rm "$volume/big"
    [ "$status" = 1 ]
    [ ! -e web.ckpt ]
}

@test "a stream truncated at any record never becomes an archive" {
    { diff_members; vol-archive create --members data="$volume"; } >whole
    size=$(stat -c %s whole)
    # Writers flush in blocks of 512 bytes, so the stream of a killed writer ends at such a block.
    for cut in $(seq 0 512 $((size < 40000 ? size - 1024 : 40000))) $(seq 40448 262144 $((size - 1024))); do
        head -c "$cut" whole >cut
        run --separate-stderr ckpt-pack --bundle "$bundle" -o web.ckpt cut
        [ "$status" = 1 ] || { echo "cut at $cut of $size: status $status"; false; }
        [ ! -e web.ckpt ]
    done
}

@test "a producer that dies does not hide the next stream" {
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

@test "a producer that never starts is reported as missing" {
    run --separate-stderr bash -c 'set -o pipefail
        { false; vol-archive create --members data="$volume"; } | ckpt-pack --bundle "$bundle" -o web.ckpt -'
    printf '%s\n' "$stderr"
    [ "$status" = 1 ]
    grep -q 'rootfs-diff' <<<"$stderr"
    [ ! -e web.ckpt ]
}

@test "ckpt-pack reports the error of a producer without output" {
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

@test "--expect reports a producer without any output as missing" {
    run --separate-stderr bash -c '
        { rootfs-diff create --members --from "$image" --to "$changed"; vol-archive create --members data="$volume"; no-such-tool
        } | ckpt-pack --bundle "$bundle" --expect rootfs-diff,volume:data,network -o web.ckpt -'
    printf '%s\n' "$stderr"
    [ "$status" = 1 ]
    grep 'network.status: missing' <<<"$stderr"
    [ ! -e web.ckpt ]
}

@test "a hand-made stream is accepted only with --raw-members" {
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

@test "a file that grows is reported, and the status is 3" {
    # The file grows when its size is known: after the first bytes, and while the full pipe stops the
    # second pass.
    head -c 20M /dev/zero >"$volume/growing"
    run --separate-stderr bash -c '
        { rootfs-diff create --members --from "$image" --to "$changed"
          vol-archive create --members data="$volume" | (head -c 1000; echo more >>"$volume/growing"; cat)
        } | ckpt-pack --bundle "$bundle" -o web.ckpt -'
    printf '%s\n' "$stderr"
    rm "$volume/growing"
    [ "$status" = 3 ]
    grep -q 'growing' <<<"$stderr"
    ckpt-unpack --verify <web.ckpt
}

@test "SIGPIPE ends a producer without a message" {
    run --separate-stderr bash -c 'set -o pipefail; vol-archive create "$volume" | head -c 100 >/dev/null'
    [ "$status" = 141 ]
    [ -z "$stderr" ]
}
