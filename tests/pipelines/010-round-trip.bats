# A running container is packed into one file and restored from it in another bundle.

load lib/helpers

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

# bats test_tags=vm
@test "the README pipeline moves a container of runc" {
    round_trip runc
}

# bats test_tags=vm,long
@test "the README pipeline moves a container of crun" {
    # crun does not support some cgroup setups. This checks crun alone, before the tools run.
    mkdir probe && cd probe && crun spec
    jq --arg root "$image" '.root.path = $root | .process.args = ["true"] | .process.terminal = false' config.json >new
    mv new config.json
    run crun run probe </dev/null
    [ "$status" = 0 ] || not_run "crun run: $output"
    cd ..
    round_trip crun
}

@test "the CRIU images contain a /dev/shm that is a tmpfs" {
    make_bundle "$here"
    start runc "$here" web
    checkpoint runc "$here" web
    before=$(counted "$here/rootfs")
    { rootfs-diff create --members --rootfs "$here/rootfs"; vol-archive create --members data="$here/data"; } |
        ckpt-pack --bundle "$here" - >web.ckpt

    overlay "$there"
    mkdir "$there/data"
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" --volume data="$there/data" <web.ckpt
    spec-gen --restore --rootfs "$there/rootfs" -v "$there/data:/data" <"$there/bundle/spec.dump" >"$there/bundle/config.json"
    restore runc "$there/bundle" web
    counted_past "$there/rootfs/tmp/counter" "$before"
    [ "$(runc exec web cat /dev/shm/file)" = 'in shared memory' ]
}

@test "each stage alone has the same result as in the pipe" {
    make_bundle "$here"
    start runc "$here" web
    checkpoint runc "$here" web
    {
        rootfs-diff create --members --rootfs "$here/rootfs"
        vol-archive create --members data="$here/data"
    } | ckpt-pack --bundle "$here" - >piped.ckpt

    rootfs-diff create --rootfs "$here/rootfs" --deleted deleted.files -o rootfs-diff.tar
    vol-archive create "$here/data" -o data.tar
    ckpt-pack --bundle "$here" --member rootfs-diff.tar=rootfs-diff.tar --member deleted.files=deleted.files \
        --member volumes/data.tar=data.tar -o from-files.ckpt
    diff <(tar -tf piped.ckpt) <(tar -tf from-files.ckpt)
    cmp <(tar -xOf piped.ckpt rootfs-diff.tar) rootfs-diff.tar
    cmp <(tar -xOf piped.ckpt deleted.files) deleted.files

    overlay "$there"
    mkdir "$there/data"
    ckpt-unpack --bundle "$there/bundle" <from-files.ckpt
    cmp rootfs-diff.tar "$there/bundle/rootfs-diff.tar"
    rootfs-diff apply --rootfs "$there/rootfs" --deleted "$there/bundle/deleted.files" <"$there/bundle/rootfs-diff.tar"
    vol-archive extract "$there/data" <"$there/bundle/volumes/data.tar"
    same_tree "$here/rootfs" "$there/rootfs"
    same_tree "$here/data" "$there/data"
}

@test "tar, jq and zstd read the archive like one of podman's" {
    make_bundle "$here"
    start runc "$here" web
    checkpoint runc "$here" web
    { rootfs-diff create --members --rootfs "$here/rootfs"; vol-archive create --members data="$here/data"; } |
        ckpt-pack --bundle "$here" --compress zstd -o web.ckpt -
    [ "$(stat -c %a web.ckpt)" = 600 ]

    mkdir by-tar
    zstd -dcq web.ckpt | tar -C by-tar -xpf -
    jq -e '.process.args == ["/app/count"]' by-tar/spec.dump
    jq -e '.runtime and .id' by-tar/config.dump
    jq -e 'index("/app/deleted") and (index("/app/cache") | not)' by-tar/deleted.files
    [ "$(stat -c %a by-tar/checkpoint)" = 700 ]
    diff -r "$here/checkpoint" by-tar/checkpoint
    [ "$(tar -xOf by-tar/rootfs-diff.tar app/settings)" = changed ]
    [ "$(tar -xOf by-tar/volumes/data.tar file)" = 'in the volume' ]
    bsdtar -tf web.ckpt | grep -x rootfs-diff.tar
}

@test "the demo runs from beginning to end" {
    "$tests/demo"
}
