# A running container is checkpointed several times; later archives leave out the pages that earlier
# ones hold. CRIU restores the memory from all of them, byte by byte the same.

load lib/helpers
load lib/memory
load lib/podman

setup_file() {
    build_image
    setup_podman
    add_memory_program
}

setup() {
    here=$BATS_TEST_TMPDIR/here there=$BATS_TEST_TMPDIR/there
    cd "$BATS_TEST_TMPDIR"
}

teardown() {
    teardown_podman
    teardown_containers
}

# chain RUNTIME: makes full.ckpt, one.ckpt and two.ckpt, and the file "memory" of the last one.
chain() {
    start_memory "$1"
    dump full.ckpt "$1" --compress zstd
    change 1
    dump one.ckpt "$1" --base full.ckpt --compress zstd
    change 2
    dump two.ckpt "$1" --base full.ckpt --base one.ckpt --compress zstd
    memory "$1" >memory
    [ "$(wc -l <memory)" -ge 1 ]
    dump complete.ckpt "$1" --compress zstd
    "$1" delete -f web
    # The program changed 7 % of its memory.
    [ "$(stat -c %s two.ckpt)" -lt $(($(stat -c %s complete.ckpt) * 3 / 10)) ]
}

# everywhere RUNTIME: restores the chain in all its forms.
everywhere() {
    chain "$1"
    ckpt-unpack --verify --base full.ckpt --base one.ckpt two.ckpt
    ckpt-unpack --bundle deltas --base full.ckpt --base one.ckpt two.ckpt
    restores "$1" "$PWD/deltas"

    ckpt-pack --from-archive two.ckpt --base full.ckpt --base one.ckpt --flatten -o flat.ckpt
    ckpt-unpack --verify flat.ckpt
    ckpt-unpack --bundle flat flat.ckpt
    restores "$1" "$PWD/flat"

    ckpt-pack --bundle "$here" --image-path two.ckpt.images --ignore-rootfs --ignore-volumes --name web \
        --id "$(printf '%064d' 1)" --base full.ckpt --base one.ckpt --self-contained -o self.ckpt
    ckpt-unpack --verify self.ckpt
    ckpt-unpack --bundle self self.ckpt
    restores "$1" "$PWD/self"
}

@test "runc restores a chain of incremental archives" {
    everywhere runc
}

@test "crun restores a chain of incremental archives" {
    everywhere crun
}

@test "a program continues with its memory after a delta" {
    start_memory runc
    dump full.ckpt runc --compress zstd
    change 3
    expected=$(sum "$here/rootfs")
    echo ready >"$here/rootfs/tmp/state"
    dump delta.ckpt runc --base full.ckpt
    runc delete -f web
    ckpt-unpack --bundle there --base full.ckpt delta.ckpt
    cp "$here/config.json" there/
    restore runc "$PWD/there" web
    [ "$(sum "$here/rootfs")" = "$expected" ]
}

@test "podman imports a self-contained and a flattened archive" {
    start_memory runc
    dump full.ckpt runc --compress zstd
    change 4
    expected=$(sum "$here/rootfs")
    echo ready >"$here/rootfs/tmp/state"
    runc checkpoint --image-path "$here/checkpoint" --work-path "$here" web
    pack_here --base full.ckpt --id "$(printf '%064d' 1)" --self-contained --runtime runc -o self.ckpt
    pack_here --base full.ckpt --id "$(printf '%064d' 1)" --runtime runc -o delta.ckpt
    ckpt-pack --from-archive delta.ckpt --base full.ckpt --flatten --compress zstd -o flat.ckpt
    umount "$here/rootfs"
    for archive in self.ckpt flat.ckpt; do
        podman_ container restore --import "$archive"
        podman_ exec web sh -c 'echo sum >/tmp/control'
        for try in {1..100}; do
            found=$(podman_ exec web cat /tmp/state)
            [[ $found =~ ^[0-9]+$ ]] && break
            sleep 0.1
        done
        [ "$found" = "$expected" ]
        podman_ rm -f -t0 web
        podman_ volume rm data
    done
}
