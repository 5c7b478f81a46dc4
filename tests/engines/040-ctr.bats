# Checkpoints of containers of containerd ("ctr"), which runc restores.

load ../pipelines/lib/helpers

setup_file() {
    build_image
    mount --make-rshared /
    printf 'version = 2\nroot = "%s"\nstate = "/run/containerd"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' \
        "$BATS_FILE_TMPDIR/containerd" >"$BATS_FILE_TMPDIR/containerd.toml"
    containerd -c "$BATS_FILE_TMPDIR/containerd.toml" </dev/null >"$BATS_FILE_TMPDIR/containerd.log" 2>&1 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/containerd.pid"
    local try
    for try in {1..100}; do
        if ctr version >/dev/null 2>&1; then break; fi
        sleep 0.1
    done
    (
        cd "$BATS_FILE_TMPDIR"
        tar -C "$image" -cf layer.tar .
        umoci --log error init --layout layout
        umoci --log error new --image layout:1
        umoci --log error raw add-layer --image layout:1 layer.tar
        umoci --log error config --image layout:1 --config.cmd /app/count
        skopeo copy -q oci:layout:1 oci-archive:image.tar:docker.io/library/img:1
        ctr images import image.tar
    )
}

teardown_file() {
    kill "$(cat "$BATS_FILE_TMPDIR/containerd.pid")"
    awk -v dir="$BATS_FILE_TMPDIR/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r umount -l
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    here=$PWD/here there=$PWD/there
    bundle=/run/containerd/io.containerd.runtime.v2.task/default/web
    mkdir "$here" "$here/data" "$there"
    ctr run -d --mount "type=bind,src=$here/data,dst=/data,options=rbind:rw" \
        --mount type=tmpfs,src=tmpfs,dst=/scratch,options=nosuid docker.io/library/img:1 web </dev/null >/dev/null 2>&1
    counted_past "$bundle/rootfs/tmp/counter" 5
}

teardown() {
    ctr task kill -s 9 web || true
    ctr task delete -f web || true
    ctr container rm web || true
    teardown_containers
}

# continues_in_runc: restores the checkpoint in $there/b with runc. Its files are those of the
# container.
continues_in_runc() {
    local before
    before=$(counted "$there/rootfs")
    spec-gen --restore --rootfs "$there/rootfs" -v "$there/data:/data" <"$there/b/spec.dump" >"$there/b/config.json"
    restore runc "$there/b" web
    counted_past "$there/rootfs/tmp/counter" "$before"
    [ "$(runc exec web cat /app/settings /app/replaced-file/x /data/file /scratch/file)" = $'changed\ninside\nin the volume\nin a tmpfs' ]
    run ! runc exec web ls /app/deleted
}

# ctr_is_gone: removes the container, whose cgroup has the name of the restored one.
ctr_is_gone() {
    ctr task kill -s 9 web
    ctr task delete -f web
    ctr container rm web
}

@test "ctr to runc: the state of the runtime, packed with the volume" {
    ctr task pause web
    runc --root /run/containerd/runc/default checkpoint --leave-running --image-path "$here/checkpoint" --work-path "$here" web
    {
        rootfs-diff create --members --rootfs "$bundle/rootfs"
        vol-archive create --members data="$here/data"
    } | ckpt-pack --bundle "$bundle" --image-path "$here/checkpoint" --name web -o web.ckpt -
    ctr task resume web
    ctr_is_gone
    overlay "$there"
    ckpt-unpack --bundle "$there/b" --rootfs "$there/rootfs" --volume data="$there/data" web.ckpt
    continues_in_runc
}

@test "ctr to runc: a checkpoint image that ctr has exported" {
    ctr container checkpoint --rw --task --image web docker.io/library/ckpt:1
    ctr image export --skip-manifest-json --all-platforms web.tar docker.io/library/ckpt:1
    cp -a "$here/data" "$there/data"
    ctr_is_gone
    ckpt-unpack --verify --tag docker.io/library/ckpt:1 web.tar
    overlay "$there"
    ckpt-unpack --tag docker.io/library/ckpt:1 --bundle "$there/b" --rootfs "$there/rootfs" web.tar
    continues_in_runc
}

@test "runc to ctr: a checkpoint of ckpt-pack" {
    ctr_is_gone
    make_bundle "$there"
    start runc "$there" here
    checkpoint runc "$there" here
    before=$(counted "$there/rootfs")
    pack=(ckpt-pack --bundle "$there" --name web --rootfs-image docker.io/library/img:1 --format ctr
        --tag docker.io/library/back:1 --ignore-volumes -o back.tar)
    # A diff in podman's form would lose its deletions.
    rootfs-diff create --members --rootfs "$there/rootfs" >members
    run -1 "${pack[@]}" members
    [[ "$output" = *"found a diff with podman's deletions"* ]]
    rootfs-diff create --format oci --rootfs "$there/rootfs" -o layer.tar
    "${pack[@]}" --member rootfs-diff.tar=layer.tar
    ckpt-unpack --verify back.tar

    ctr image import --no-unpack --all-platforms back.tar
    ctr container restore --rw --live web docker.io/library/back:1 </dev/null >restored 2>&1 3>&-
    counted_past "$bundle/rootfs/tmp/counter" "$before"
    [ "$(cat "$bundle/rootfs/app/settings" "$bundle/rootfs/app/replaced-file/x" "$there/data/file")" = $'changed\ninside\nin the volume' ]
    [ "$(ls "$bundle/rootfs/app/cache")" = new ]
    [ ! -e "$bundle/rootfs/app/deleted" ]
    [ "$(ctr task exec --exec-id x1 web cat /scratch/file)" = 'in a tmpfs' ]
}
