# A running container is checkpointed several times; each later archive has the memory as XOR with
# that of the archive before. It is decoded to the same images, and restored.

load lib/helpers
load lib/memory
load lib/podman

setup_file() {
    build_image
    setup_podman
    add_memory_program
}

setup() {
    here=$BATS_TEST_TMPDIR/here
    cd "$BATS_TEST_TMPDIR"
}

teardown() {
    teardown_podman
    teardown_containers
}

# series RUNTIME: makes full.ckpt, one.ckpt and two.ckpt, and the file "memory" of the last one.
series() {
    start_memory "$1"
    dump full.ckpt "$1" --compress zstd
    change 1
    dump one.ckpt "$1" --base full.ckpt --xor --compress zstd
    change 2
    dump two.ckpt "$1" --base full.ckpt --base one.ckpt --xor --compress zstd
    memory "$1" >memory
    [ "$(wc -l <memory)" -ge 1 ]
    "$1" delete -f web
}

# restores_series RUNTIME: restores two.ckpt in all its forms.
restores_series() {
    series "$1"
    ckpt-unpack --verify --base full.ckpt --base one.ckpt two.ckpt
    ckpt-unpack --bundle decoded --base full.ckpt --base one.ckpt two.ckpt
    diff -r two.ckpt.images decoded/checkpoint -x stats-dump -x '*.log'
    restores "$1" "$PWD/decoded"

    ckpt-pack --from-archive two.ckpt --base full.ckpt --base one.ckpt --flatten --compress zstd -o flat.ckpt
    ckpt-unpack --bundle flat flat.ckpt
    restores "$1" "$PWD/flat"
    [ "$(stat -c %s two.ckpt)" -lt $(($(stat -c %s flat.ckpt) * 3 / 10)) ]
}

@test "runc restores a chain of archives stored as XOR" {
    restores_series runc
}

@test "crun restores a chain of archives stored as XOR" {
    restores_series crun
}

@test "no engine restores an archive stored as XOR" {
    start_memory runc
    dump full.ckpt runc --compress zstd
    change 4
    runc checkpoint --image-path "$here/checkpoint" --work-path "$here" web
    pack_here --base full.ckpt --id "$(printf '%064d' 1)" --runtime runc --xor --compress zstd -o xor.ckpt
    ckpt-pack --from-archive xor.ckpt --base full.ckpt --flatten --compress zstd -o flat.ckpt
    umount "$here/rootfs"
    run ! podman_ container restore --import xor.ckpt
    podman_ rm -f -t0 web
    podman_ volume rm -f data
    # The same archive is restored once it is complete.
    podman_ container restore --import flat.ckpt

    # runc and CRIU, with the files as they are in the archive.
    mkdir -p raw && tar -xf xor.ckpt -C raw
    make_bundle "$PWD/there"
    cp "$here/config.json" there/
    run ! runc restore -d --bundle there --image-path "$PWD/raw/checkpoint" --work-path "$PWD/raw" web </dev/null
    run ! runc state web
}
