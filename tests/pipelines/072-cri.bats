# Archives of CRI-O and containerd. tar and jq build them from a real dump, in the format that the
# sources of CRI-O and containerd write. Each command reads them, ckpt-pack packs them again, and
# runc restores them.

load lib/helpers
load lib/archives
load lib/podman

setup_file() {
    build_image
    export here=$BATS_FILE_TMPDIR/here made=$BATS_FILE_TMPDIR/made
    make_bundle "$here"
    start runc "$here" web
    checkpoint runc "$here" web
    mkdir "$made"
    cp -r "$here/checkpoint" "$here/stats-dump" "$here/dump.log" "$made"
    rootfs-diff create --rootfs "$here/rootfs" --deleted "$made/deleted.files" -o "$made/rootfs-diff.tar"
    rootfs-diff create --rootfs "$here/rootfs" --format oci | gzip >"$made/layer.tar.gz"
    id=$(printf '%064d' 7)
    export id
}

teardown_file() {
    umount -l "$here/rootfs"
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    there=$BATS_TEST_TMPDIR/there
    cp -r "$made" archive
}

teardown() {
    teardown_containers
}

# crio_archive: creates an archive in the format of CRI-O (its checkpoint code, and crutils).
crio_archive() {
    cd archive
    rm layer.tar.gz
    jq --arg id "$id" '.annotations = {
        "io.container.manager": "cri-o",
        "io.kubernetes.cri-o.Annotations": "{\"io.kubernetes.container.hash\":\"1\"}",
        "io.kubernetes.cri-o.ContainerID": $id,
        "io.kubernetes.cri-o.Created": "2026-01-02T03:04:05.678Z",
        "io.kubernetes.cri-o.IP.0": "10.88.0.9",
        "io.kubernetes.cri-o.LogPath": "/var/log/pods/default_web_1/web/0.log",
        "io.kubernetes.cri-o.Metadata": "{\"name\":\"web\",\"attempt\":3}",
        "io.kubernetes.cri-o.SandboxID": "abc",
        "io.kubernetes.pod.name": "web-pod", "io.kubernetes.pod.namespace": "default"}' "$here/config.json" >spec.dump
    jq -n --arg id "$id" '{id: $id, name: "k8s_web_web-pod_default_1_3", rootfsImage: "quay.io/web:1",
        rootfsImageRef: ("ab" * 32), rootfsImageName: "quay.io/web:1", runtime: "runc",
        createdTime: "2026-01-02T03:04:05.678Z", checkpointedTime: "2026-01-02T04:04:05.678Z",
        restoredTime: "0001-01-01T00:00:00Z", restored: false}' >config.dump
    jq -n '[{source: "/srv/data", destination: "/data", file_type: "directory", permissions: 493}]' >bind.mounts
    echo '2026-01-02T03:04:05.678901234+00:00 stdout F a line' >io.kubernetes.cri-o.LogPath
    chmod 600 checkpoint ./*.dump ./*.log
    tar --format=pax --pax-option=delete=atime,delete=ctime -cf ../crio.tar dump.log stats-dump bind.mounts config.dump \
        spec.dump rootfs-diff.tar deleted.files checkpoint io.kubernetes.cri-o.LogPath
    cd ..
}

# containerd_archive: creates an archive in the format of containerd 2.1: a compressed layer with
# whiteouts.
containerd_archive() {
    cd archive
    rm deleted.files
    mv layer.tar.gz rootfs-diff.tar
    jq '.annotations = {
        "io.kubernetes.cri.container-name": "web", "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.sandbox-id": "abc", "io.kubernetes.cri.sandbox-name": "web-pod",
        "io.kubernetes.cri.sandbox-namespace": "default"}' "$here/config.json" >spec.dump
    jq -n --arg id "$id" '{id: $id, name: "web", rootfsImage: "docker.io/library/web:1",
        rootfsImageRef: "docker.io/library/web@sha256:\("ab" * 32)", rootfsImageName: "docker.io/library/web:1",
        runtime: "io.containerd.runc.v2", createdTime: "2026-01-02T03:04:05.678Z",
        checkpointedTime: "2026-01-02T04:04:05.678Z", restoredTime: "0001-01-01T00:00:00Z", restored: false}' >config.dump
    jq -n '{CreatedAt: 1, StartedAt: 2, FinishedAt: 0, ExitCode: 0, Pid: 4711, Reason: "", Message: ""}' >status
    jq -n --arg id "$id" '{id: $id, metadata: {name: "web", attempt: 3}, state: 1, image: {image: "docker.io/library/web:1"},
        log_path: "/var/log/pods/default_web-pod_1/web/3.log"}' >status.dump
    jq -n '{version: 1, containers: {web: "web.tar"}}' >pod.options
    jq -n '{metadata: {name: "web-pod", namespace: "default"}}' >pod.dump
    echo '2026-01-02T03:04:05.678901234Z stdout F a line' >container.log
    tar --format=gnu -cf ../containerd.tar checkpoint stats-dump dump.log config.dump container.log rootfs-diff.tar spec.dump \
        status status.dump pod.options pod.dump
    cd ..
}

# goes_round ARCHIVE: unpacks ARCHIVE, packs it again with the same members, and restores it.
goes_round() {
    read_by_every_verb "$1"
    diff <(tar -tf "$1" | sed 's,/$,,' | sort) <(ckpt-unpack --list --json "$1" | jq -r '.members[].name' | sort)
    pack_again bundle -o again.ckpt
    equivalent "$1" again.ckpt

    overlay "$there"
    mkdir "$there/data"
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" <"$1"
    same_tree "$here/rootfs" "$there/rootfs"
    cp -a "$here/data/." "$there/data"
    spec-gen --restore --rootfs "$there/rootfs" -v "$there/data:/data" \
        <"$there/bundle/spec.dump" >"$there/bundle/config.json"
    restore runc "$there/bundle" web
    counted_past "$there/rootfs/tmp/counter" "$(counted "$here/rootfs")"
    run ! runc exec web ls /app/deleted
    [ "$(runc exec web cat /app/cache/new)" = fresh ]
}

@test "an archive of CRI-O is packed again and restored" {
    crio_archive
    goes_round crio.tar
    ckpt-unpack --show --json crio.tar | tee shown | jq -e '
        .engine == "CRI-O" and .image == "quay.io/web:1" and .ip == "10.88.0.9" and .created == "2026-01-02T03:04:05.678Z"
        and .checkpointed == "2026-01-02T04:04:05.678Z" and .container_name == "web"' || { cat shown; false; }
    ckpt-unpack --show crio.tar | grep -x 'IP  *10.88.0.9'
    cmp bundle/io.kubernetes.cri-o.LogPath archive/io.kubernetes.cri-o.LogPath
    cmp bundle/bind.mounts archive/bind.mounts
}

@test "an archive of containerd is packed again and restored" {
    containerd_archive
    goes_round containerd.tar
    ckpt-unpack --show --json containerd.tar | tee shown | jq -e '
        .engine == "containerd" and .image == "docker.io/library/web:1" and .container_name == "web"' || { cat shown; false; }
    for member in status status.dump pod.options pod.dump container.log; do
        cmp bundle/$member archive/$member
    done
}

@test "podman restores an archive of CRI-O only with image and name" {
    crio_archive
    ckpt-unpack --bundle bundle crio.tar
    setup_podman
    pack_again bundle -o again.ckpt
    run podman_ container restore --import again.ckpt
    [ "$status" != 0 ]

    jq --arg id "$image_id" '.rootfsImageID = $id | .rootfsImageName = "localhost/image:latest"' bundle/config.dump >new
    mv new bundle/config.dump
    vol-archive create --members data="$here/data" | ckpt-pack --bundle bundle --volume data=/data \
        --volume-path "$(volume_path)" --member rootfs-diff.tar=bundle/rootfs-diff.tar \
        --member deleted.files=bundle/deleted.files -o again.ckpt -
    podman_ container restore --import again.ckpt --name web
    [ "$(podman_ exec web cat /app/cache/new)" = fresh ]
    teardown_podman
}
