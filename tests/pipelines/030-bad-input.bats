# Bad input causes a clear message and exit status 1 or 2, and no output under the final name.

load lib/helpers

setup_file() {
    build_image
    # A valid archive without real CRIU images. The tests modify copies of it.
    export good=$BATS_FILE_TMPDIR/good.ckpt bundle=$BATS_FILE_TMPDIR/bundle
    mkdir -p "$bundle/checkpoint" "$BATS_FILE_TMPDIR/data"
    (cd "$bundle" && runc spec)
    head -c 300000 /dev/urandom >"$bundle/checkpoint/pages-1.img"
    echo '["/dev/null","/dev/null","/dev/null"]' >"$bundle/checkpoint/descriptors.json"
    echo inventory >"$bundle/checkpoint/inventory.img"
    echo content >"$BATS_FILE_TMPDIR/data/file"
    mkdir "$BATS_FILE_TMPDIR/changed"
    cp -a "$image" "$BATS_FILE_TMPDIR/changed/rootfs"
    echo new >"$BATS_FILE_TMPDIR/changed/rootfs/new"
    {
        rootfs-diff create --members --from "$image" --to "$BATS_FILE_TMPDIR/changed/rootfs"
        vol-archive create --members data="$BATS_FILE_TMPDIR/data"
    } | ckpt-pack --bundle "$bundle" - >"$good"
}

setup() {
    # A separate directory, because bats writes files to BATS_TEST_TMPDIR.
    mkdir "$BATS_TEST_TMPDIR/work"
    cd "$BATS_TEST_TMPDIR/work"
}

# refused STATUS PATTERN COMMAND...: succeeds if COMMAND exits with STATUS and prints a message that
# matches PATTERN.
refused() {
    local expected=$1 pattern=$2
    shift 2
    run --separate-stderr "$@"
    printf '%s\n' "$stderr"
    [ "$status" = "$expected" ]
    grep -Eq "$pattern" <<<"$stderr"
}

# Succeeds if no file was created: no bundle, no archive, no temporary file.
assert_nothing_written() {
    [ -z "$(find . -mindepth 1 ! -name '*.in')" ]
}

@test "ckpt-pack rejects a bundle that does not exist" {
    refused 1 '^ckpt-pack: error: .*nowhere.*: No such file' ckpt-pack --bundle nowhere --ignore-rootfs -o web.ckpt
    assert_nothing_written
}

@test "ckpt-pack rejects a bundle without a checkpoint" {
    mkdir "$BATS_FILE_TMPDIR/no-checkpoint"
    cp "$bundle/config.json" "$BATS_FILE_TMPDIR/no-checkpoint/"
    refused 1 '^ckpt-pack: error: .*checkpoint' \
        ckpt-pack --bundle "$BATS_FILE_TMPDIR/no-checkpoint" --ignore-rootfs -o web.ckpt
    assert_nothing_written
}

@test "ckpt-pack requires --bundle" {
    refused 2 '\-\-bundle' ckpt-pack -o web.ckpt
    assert_nothing_written
}

@test "ckpt-pack rejects members that are not an archive" {
    head -c 20000 /dev/urandom >noise.in
    refused 1 '^ckpt-pack: error: ' ckpt-pack --bundle "$bundle" -o web.ckpt noise.in
    assert_nothing_written
}

@test "ckpt-pack rejects an unknown member" {
    mkdir m.in
    echo x >m.in/surprise
    tar -C m.in -cf members.in surprise
    refused 1 'surprise' ckpt-pack --bundle "$bundle" --raw-members --ignore-rootfs -o web.ckpt members.in
    rm -r m.in
    assert_nothing_written
}

@test "ckpt-pack reports a missing rootfs diff" {
    vol-archive create --members data="$BATS_FILE_TMPDIR/data" >members.in
    refused 1 'rootfs-diff' ckpt-pack --bundle "$bundle" -o web.ckpt members.in
    assert_nothing_written
}

@test "a failed ckpt-pack leaves the previous archive unchanged" {
    echo precious >web.ckpt
    refused 1 '^ckpt-pack: error: ' ckpt-pack --bundle nowhere --ignore-rootfs -o web.ckpt
    [ "$(cat web.ckpt)" = precious ]
    [ "$(ls)" = web.ckpt ]
}

@test "ckpt-unpack rejects input that is not an archive" {
    head -c 20000 /dev/urandom >noise.in
    refused 1 '^ckpt-unpack: error: ' ckpt-unpack --bundle web <noise.in
    assert_nothing_written
}

@test "ckpt-unpack rejects an empty file" {
    : >empty.in
    refused 1 '^ckpt-unpack: error: ' ckpt-unpack --bundle web <empty.in
    assert_nothing_written
}

@test "ckpt-unpack rejects an archive truncated at 40 positions" {
    size=$(stat -c %s "$good")
    for part in {1..40}; do
        # The positions are between the first header and the last content, before the end-of-archive
        # blocks.
        head -c $((part * (size - 10240) / 40)) "$good" >cut.in
        refused 1 '^ckpt-unpack: error: ' ckpt-unpack --bundle web <cut.in
        assert_nothing_written
    done
}

@test "ckpt-unpack rejects a zstd archive truncated at the end" {
    zstd -q -c "$good" >whole.in
    head -c -20 whole.in >cut.in
    refused 1 '^ckpt-unpack: error: ' ckpt-unpack --bundle web <cut.in
    assert_nothing_written
}

@test "ckpt-unpack --refuse-unknown rejects an unknown member" {
    mkdir m.in
    tar -C m.in -xf "$good"
    echo x >m.in/surprise
    tar -C m.in -cf archive.in .
    rm -r m.in
    refused 1 'surprise' ckpt-unpack --refuse-unknown --bundle web <archive.in
    assert_nothing_written
}

@test "ckpt-unpack rejects names that lead out of the bundle" {
    mkdir m.in
    tar -C m.in -xf "$good"
    for name in ../escape checkpoint/../../escape /escape; do
        cp "$good" archive.in
        tar -C m.in --absolute-names --transform "s,^config.dump\$,$name," -rf archive.in config.dump
        refused 1 'escape' ckpt-unpack --refuse-unknown --bundle web <archive.in
        [ ! -e ../escape ] && [ ! -e /escape ]
    done
    rm -r m.in
    assert_nothing_written
}

@test "ckpt-unpack rejects a bundle that has another checkpoint" {
    mkdir -p web/checkpoint
    echo mine >web/config.dump
    refused 1 '^ckpt-unpack: error: .*web' ckpt-unpack --bundle web <"$good"
    [ "$(cat web/config.dump)" = mine ]
    [ "$(ls -A web web/checkpoint)" = $'web:\ncheckpoint\nconfig.dump\n\nweb/checkpoint:' ]
}

@test "ckpt-unpack: a bad archive leaves the bundle unchanged" {
    mkdir web
    echo mine >web/file
    head -c 250000 "$good" >cut.in
    refused 1 '^ckpt-unpack: error: ' ckpt-unpack --bundle web <cut.in
    [ "$(cat web/file)" = mine ]
    [ "$(ls -A web)" = file ]
}

@test "rootfs-diff rejects a directory that is not an overlay" {
    mkdir plain.in
    refused 1 '^rootfs-diff: error: .*plain.in' rootfs-diff create --members --rootfs plain.in -o diff.tar
    rmdir plain.in
    assert_nothing_written
}

@test "rootfs-diff create requires an output for the deletions" {
    refused 2 'deleted' rootfs-diff create --from "$image" --to "$image" -o diff.tar
    assert_nothing_written
}

@test "vol-archive rejects a directory that does not exist" {
    refused 1 '^vol-archive: error: .*nowhere.*: No such file' vol-archive create nowhere -o volume.tar
    assert_nothing_written
}

@test "netstatus rejects input that is not JSON" {
    echo '{' >bad.in
    refused 1 '^netstatus: error: ' netstatus save -o network.status bad.in
    assert_nothing_written
}

@test "spec-gen rejects input that is not JSON" {
    echo '{' >bad.in
    refused 1 '^spec-gen: error: ' spec-gen --restore -o config.json <bad.in
    assert_nothing_written
}

# Reading from or writing an archive to a terminal is a mistake of the user.
@test "each tool refuses to read an archive from a terminal" {
    for command in 'ckpt-unpack --bundle web' 'ckpt-unpack --list' "ckpt-pack --bundle $bundle -" \
        'vol-archive extract .' "rootfs-diff apply --members --rootfs ." 'netstatus save' 'spec-gen'; do
        run script -qec "$command > out.in; echo status=\$?" /dev/null </dev/null
        echo "$command: $output"
        grep -q 'terminal' <<<"$output"
        grep -q 'status=2' <<<"$output"
    done
    assert_nothing_written
}

@test "each tool refuses to write an archive to a terminal" {
    for command in "ckpt-pack --bundle $bundle --ignore-rootfs" "vol-archive create $image" \
        "rootfs-diff create --members --from $image --to $image"; do
        run script -qec "$command; echo status=\$?" /dev/null </dev/null
        echo "$command: $output"
        grep -q 'terminal' <<<"$output"
        grep -q 'status=2' <<<"$output"
    done
    assert_nothing_written
}
