# ckpt-unpack --check names what makes a restore fail, before CRIU and the runtime do.

RUNTIME=${RUNTIME:-runc}

load lib/helpers

setup_file() {
    build_image
}

# A container that was checkpointed in $here, packed, and unpacked in $there with its config.json.
setup() {
    here=$BATS_TEST_TMPDIR/here there=$BATS_TEST_TMPDIR/there
    cd "$BATS_TEST_TMPDIR"
    mkdir "$here"
    echo setting >"$here/conf"
    make_bundle "$here" '.mounts += [{destination: "/etc/hostname", type: "bind", source: ($dir + "/conf"), options: ["bind"]}]'
    start "$RUNTIME" "$here" web
    checkpoint "$RUNTIME" "$here" web
    {
        rootfs-diff create --members --rootfs "$here/rootfs"
        vol-archive create --members data="$here/data"
    } | ckpt-pack --bundle "$here" --volume data=/data -o web.ckpt -
    overlay "$there"
    mkdir "$there/data"
    cp "$here/conf" "$there/conf"
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" --volume data="$there/data" web.ckpt
    spec-gen --restore --rootfs "$there/rootfs" -v "$there/data:/data" -v "$there/conf:/etc/hostname" \
        <"$there/bundle/spec.dump" >"$there/bundle/config.json"
}

teardown() {
    teardown_containers
}

# named WORDS: the check reports only an error with WORDS, and a remedy; then the restore fails.
named() {
    local found
    found=$(preflight "$RUNTIME" --bundle "$there/bundle")
    echo "$found"
    [[ $(head -n 1 <<<"$found") == "ckpt-unpack: error: "*"$1"* ]]
    [[ $(sed -n 2p <<<"$found") == 'hint: '* ]]
    [ "$(wc -l <<<"$found")" = 2 ]
    run ! ckpt-unpack --check --runtime "$RUNTIME" --bundle "$there/bundle"
    run ! restore "$RUNTIME" "$there/bundle" web
    # crun keeps the state of a container whose restore failed.
    "$RUNTIME" delete -f web 2>/dev/null || true
}

@test "a restore without a problem is accepted and succeeds" {
    run -0 preflight "$RUNTIME" --rootfs "$there/rootfs" web.ckpt
    [ -z "$output" ]
    restore "$RUNTIME" "$there/bundle" web
}

@test "an empty root file system is named" {
    umount "$there/rootfs"
    named "$there/rootfs: has neither "
}

@test "a wrong mode of the root directory is named" {
    chmod 0700 "$there/rootfs"
    named "$there/rootfs: the mode is 0700, but CRIU requires 0755"
}

@test "a missing volume is named" {
    rm -r "$there/data"
    named "volume data: $there/data: no such directory"
}

@test "a missing source of a mount is named" {
    rm "$there/conf"
    named "mount /etc/hostname: $there/conf: no such file or directory"
}

@test "a mount that the spec lacks is named" {
    jq 'del(.mounts[] | select(.destination == "/data"))' "$there/bundle/config.json" >config
    cp config "$there/bundle/config.json"
    named "mount /data: CRIU needs it, but config.json has no such mount"
}

@test "images of another runtime are named" {
    local other=crun
    [ "$RUNTIME" = runc ] || other=runc
    RUNTIME=$other named "checkpoint: $RUNTIME made the images, and $other cannot restore them"
}

@test "a missing image of a process is named" {
    rm "$there/bundle/checkpoint/core-1.img"
    named 'checkpoint/core-1.img: no such file'
}

@test "a program that differs from that of the image is named" {
    cp "$there/rootfs/app/count" count
    echo '# changed' >>count
    cat count >"$there/rootfs/app/count"
    named "$there/rootfs/app/count: the size is "
}

@test "an older CRIU is named" {
    # No older CRIU is installed, so a script has its version.
    cat >criu-old <<'END'
#!/bin/sh
[ "$1" = --version ] && echo 'Version: 3.16' && exit
exec criu "$@"
END
    chmod +x criu-old
    echo '(00.000031) Version: 4.1.1 (gitid 0)' >"$there/bundle/dump.log"
    run -1 --separate-stderr ckpt-unpack --check --runtime "$RUNTIME" --criu ./criu-old --bundle "$there/bundle"
    [[ $stderr == *'error: ./criu-old 3.16: '*$'\nhint: install criu 4.'* ]]
}
