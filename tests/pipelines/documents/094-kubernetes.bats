# Every code block of docs/kubernetes.md has the described result, with archives that CRI-O and
# containerd have written for the kubelet.

load ../lib/helpers
load ../lib/documents

page=docs/kubernetes.md

setup_file() {
    build_image
    documents $page
    hosts
}

teardown_file() {
    no_hosts
}

setup() {
    mkdir "$BATS_TEST_TMPDIR/home"
    cd "$BATS_TEST_TMPDIR/home"
    data=$tests/../ckpt-unpack/tests/data
}

# archive ENGINE: creates checkpoint-web.tar, the archive of cri-o or containerd.
archive() {
    case $1 in
    cri-o) xz -dc "$data/g31-cri-o.tar.xz" >checkpoint-web.tar ;;
    containerd) xz -dc "$data/g30-containerd-cri.tar.xz" >checkpoint-web.tar ;;
    esac
}

# skopeo_copies: replaces the registry by a directory, in which skopeo stores the image.
skopeo_copies() {
    cat >"$hosts/bin/skopeo" <<'SKOPEO'
#!/bin/bash
# skopeo: copies to a directory instead of a registry.
exec /usr/bin/skopeo copy "$2" "oci:registry:${3##*:}"
SKOPEO
    chmod +x "$hosts/bin/skopeo"
}

@test "archives of both engines are verified and shown" {
    for engine in cri-o containerd; do
        archive $engine
        follow $page 'ckpt-unpack --verify' >seen
        grep -i "^Engine  *$engine" seen
        grep '"command"' seen
        follow $page 'rootfs-diff list' >seen
        grep -w app seen
    done
}

@test "an archive is compressed and renamed" {
    for engine in cri-o containerd; do
        archive $engine
        follow $page 'name web-copy'
        [ "$(zstd -dcq web-copy.tar.zst | tar -xO config.dump | jq -r .name)" = web-copy ]
        diff <(ckpt-unpack --list checkpoint-web.tar | grep -v config.dump) \
            <(ckpt-unpack --list web-copy.tar.zst | grep -v config.dump)
    done
}

@test "a diff of the node replaces that of the engine" {
    overlay "$BATS_TEST_TMPDIR/bundle"
    export ROOTFS=$BATS_TEST_TMPDIR/bundle/rootfs
    echo made on the node >"$ROOTFS/node"
    for engine in cri-o containerd; do
        archive $engine
        follow $page 'rootfs-diff create --members'
        [ "$(tar -xOf complete.tar rootfs-diff.tar | tar -xO node)" = 'made on the node' ]
        [ "$(tar -tf complete.tar | grep -c deleted.files)" = 0 ]
        ckpt-unpack --verify complete.tar
    done
    umount "$ROOTFS"
}

@test "an image for CRI-O is pushed" {
    archive cri-o
    skopeo_copies
    follow $page '--tag registry.example/ckpt/web:2'
    rm "$hosts/bin/skopeo"
    /usr/bin/skopeo inspect --raw oci:registry:2 |
        jq -e '.annotations["io.kubernetes.cri-o.annotations.checkpoint.name"] == "k8s_web_web-pod_default_uid-web-pod_0"'
    ckpt-unpack --verify web.oci
}

@test "an image for containerd is pushed" {
    archive containerd
    skopeo_copies
    follow $page '--tag registry.example/ckpt/web:3'
    rm "$hosts/bin/skopeo"
    /usr/bin/skopeo inspect --raw oci:registry:3 | jq -e '.annotations["org.criu.checkpoint.engine.name"] == "containerd"'
    ckpt-unpack --verify web-containerd.oci
}

@test "an archive of CRI-O is fitted to containerd and back" {
    archive cri-o
    mv checkpoint-web.tar crio-web.tar
    DIGEST=$(printf '%064d' 1) IMAGE_ID=$(printf '%064d' 2)
    export DIGEST IMAGE_ID
    follow $page '-o containerd-web.tar'
    [ "$(tar -xOf containerd-web.tar config.dump | jq -r .rootfsImageRef)" = "registry.example/web@sha256:$DIGEST" ]
    tar -xOf containerd-web.tar status.dump | jq -e '.metadata.name == "web"'
    follow $page '-o crio-web-again.tar'
    [ "$(tar -xOf crio-web-again.tar config.dump | jq -r .rootfsImageRef)" = "$IMAGE_ID" ]
}

@test "every code block was run" {
    all_followed
}
