# Memory is dumped in two rounds: most of it while the container runs, then only what changed.

# bats file_tags=vm

load ../pipelines/helpers

setup_file() {
    build_image
}

setup() {
    here=$BATS_TEST_TMPDIR/here there=$BATS_TEST_TMPDIR/there
    cd "$BATS_TEST_TMPDIR"
}

teardown() {
    teardown_containers
}

pages() {
    cat "$1"/pages-*.img | wc -c
}

@test "runc: --pre-dump and --parent-path, packed as two archives, restored with --previous" {
    # 8 MiB that never change after the first round.
    make_bundle "$here" '.process.args = ["/bin/sh", "-c", "x=$(head -c 8388608 /dev/zero | tr \"\\0\" x); . /app/count"]'
    start runc "$here" web
    runc checkpoint --pre-dump --image-path "$here/pre-checkpoint" --work-path "$here" web
    ckpt-pack --bundle "$here" --pre-checkpoint -o previous.ckpt
    counted_past "$here/rootfs/tmp/counter" "$(cat "$here/rootfs/tmp/counter")"
    checkpoint runc "$here" web --parent-path ../pre-checkpoint
    [ "$(pages "$here/pre-checkpoint")" -gt 8388608 ]
    [ "$(pages "$here/checkpoint")" -lt 4194304 ]
    before=$(cat "$here/rootfs/tmp/counter")
    {
        rootfs-diff create --members --rootfs "$here/rootfs"
        vol-archive create --members data="$here/data"
    } | ckpt-pack --bundle "$here" --with-previous -o web.ckpt -
    umount "$here/rootfs"
    rm -r "$here"

    overlay "$there"
    mkdir "$there/data"
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" --volume data="$there/data" \
        --previous previous.ckpt <web.ckpt
    [ "$(readlink "$there/bundle/checkpoint/parent")" = ../pre-checkpoint ]
    spec-gen --restore --rootfs "$there/rootfs" -v "$there/data:/data" \
        <"$there/bundle/spec.dump" >"$there/bundle/config.json"
    restore runc "$there/bundle" web
    counted_past "$there/rootfs/tmp/counter" "$before"
}
