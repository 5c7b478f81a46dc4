#!/usr/bin/env bats
# The calls of the kubelet to containerd: checkpoints of its containers, and pods that start from
# archives and images of ckpt-pack. "make check-newest" runs this file, because the containerd of
# Debian 13 cannot restore a container through the CRI.

bats_require_minimum_version 1.7.0
load ../pipelines/lib/helpers

# cri METHOD [JSON]: calls one method of the CRI.
cri() { "$BATS_TEST_DIRNAME/cri" /run/containerd/containerd.sock "$@"; }

# wait_for CMD...: runs CMD until it succeeds, for at most 20 seconds.
wait_for() {
    local i
    for i in {1..200}; do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    echo "timeout: $*" >&2
    return 1
}

# image NAME CMD...: pushes an image of the test's root file system to the registry.
image() {
    local name=$1 word args=()
    shift
    for word; do args+=(--config.cmd "$word"); done
    umoci --log error init --layout "$DIR/$name"
    umoci --log error new --image "$DIR/$name:1"
    umoci --log error raw add-layer --image "$DIR/$name:1" "$DIR/layer.tar"
    umoci --log error config --image "$DIR/$name:1" "${args[@]}"
    skopeo copy -q --dest-tls-verify=false "oci:$DIR/$name:1" "docker://localhost:5000/$name:1"
}

pull() { cri PullImage "$(jq -nc --arg image "$1" '{image: {image: $image}}')"; }

# pod_config NAME, run_pod NAME, create NAME POD IMAGE: the requests of the kubelet.
pod_config() {
    jq -nc --arg name "$1" --arg logs "$DIR/logs/$1" '{
        metadata: {name: $name, uid: "uid-\($name)", namespace: "default"},
        hostname: $name,
        log_directory: $logs,
        labels: {"io.kubernetes.pod.name": $name, "io.kubernetes.pod.namespace": "default", "io.kubernetes.pod.uid": "uid-\($name)"},
        linux: {cgroup_parent: "/kubepods/\($name)", security_context: {namespace_options: {pid: "CONTAINER"}}}
    }'
}

run_pod() { cri RunPodSandbox "$(pod_config "$1" | jq -c '{config: .}')" | jq -r .pod_sandbox_id; }

create() {
    mkdir -p "$DIR/logs/$1/web"
    cri CreateContainer "$(jq -nc --arg name "$1" --arg pod "$2" --arg image "$3" --arg data "$DIR/data" \
        --arg hosts "$DIR/hosts" --argjson sandbox "$(pod_config "$1")" '{
        pod_sandbox_id: $pod,
        sandbox_config: $sandbox,
        config: {
            metadata: {name: "web"},
            image: {image: $image, user_specified_image: $image},
            command: ["/bin/sh", "-c", "echo changed > /app/settings; echo volume > /data/file; rm /app/deleted; rm -r /app/cache; mkdir /app/cache; echo fresh > /app/cache/new; i=0; while :; do i=$((i + 1)); echo $i 1<> /tmp/counter; sleep 0.1; done"],
            mounts: [{container_path: "/data", host_path: $data}, {container_path: "/etc/hosts", host_path: $hosts}],
            labels: {"io.kubernetes.container.name": "web", "io.kubernetes.pod.name": $name, "io.kubernetes.pod.namespace": "default", "io.kubernetes.pod.uid": "uid-\($name)"},
            annotations: {"io.kubernetes.container.hash": "abc"},
            log_path: "web/0.log",
            linux: {security_context: {namespace_options: {pid: "CONTAINER"}}}
        }
    }')" | jq -r .container_id
}

start_container() { cri StartContainer "$(jq -nc --arg id "$1" '{container_id: $id}')"; }

# in_container ID CMD...: prints the output of CMD, run in the container.
in_container() {
    local id=$1
    shift
    cri ExecSync "$(jq -nc --arg id "$id" '{container_id: $id, cmd: $ARGS.positional, timeout: 10}' --args -- "$@")" |
        jq -r '.stdout // ""' | base64 -d
}

# remove_pod POD CONTAINER: removes both. A shell as first process ignores SIGTERM, so the container
# is stopped with a timeout.
remove_pod() {
    cri StopContainer "$(jq -nc --arg id "$2" '{container_id: $id, timeout: 1}')" || true
    cri StopPodSandbox "$(jq -nc --arg id "$1" '{pod_sandbox_id: $id}')"
    cri RemovePodSandbox "$(jq -nc --arg id "$1" '{pod_sandbox_id: $id}')"
} >/dev/null

# restored IMAGE: starts a pod whose container's image is a checkpoint, and checks that the container
# continues to count, with its files.
restored() {
    local pod id before after
    pod=$(run_pod restored)
    id=$(create restored "$pod" "$1")
    start_container "$id" >/dev/null
    before=$(in_container "$id" cat /tmp/counter)
    sleep 1
    after=$(in_container "$id" cat /tmp/counter)
    echo "counter: $COUNTER when dumped, then $before, then $after"
    [ "$before" -ge "$COUNTER" ] && [ "$after" -gt "$before" ]
    [ "$(in_container "$id" cat /app/settings)" = changed ]
    [ "$(in_container "$id" ls /app/cache)" = new ]
    [ "$(in_container "$id" sh -c '[ ! -e /app/deleted ] && echo gone')" = gone ]
    remove_pod "$pod" "$id"
}

# push ARCHIVE REF: pushes an OCI image of ckpt-pack to the registry, and containerd pulls it.
push() {
    skopeo copy -q --dest-tls-verify=false "oci-archive:$1" "docker://$2"
    pull "$2"
}

setup_file() {
    export DIR=$BATS_FILE_TMPDIR
    cd "$DIR"
    # The file system of the tests is read-only, and containerd stores results of CNI in /var/lib/cni.
    mount -t tmpfs tmpfs /var/lib
    mkdir -p data registry cni certs.d/localhost:5000
    echo '127.0.0.1 localhost' >hosts
    "$BATS_TEST_DIRNAME/../image" "$DIR/image"
    tar -C image -c . >layer.tar

    cat >cni/10-net.conflist <<CNI
{"cniVersion": "0.4.0", "name": "podnet", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true,
 "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.85.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
CNI
    cat >certs.d/localhost:5000/hosts.toml <<'HOSTS'
server = "http://localhost:5000"
[host."http://localhost:5000"]
  capabilities = ["pull", "resolve", "push"]
HOSTS
    cat >containerd.toml <<TOML
version = 3
[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = 'localhost:5000/pause:1'
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = '$DIR/certs.d'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['/usr/lib/cni']
  conf_dir = '$DIR/cni'
TOML
    cat >registry.yml <<REGISTRY
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $DIR/registry}}
http: {addr: "127.0.0.1:5000"}
REGISTRY
    docker-registry serve registry.yml >registry.log 2>&1 3>&- &
    echo $! >pids
    # The state of containerd must not be on the overlay of the test system, in which the snapshotter
    # cannot mount another overlay.
    containerd -c containerd.toml --root "$DIR/containerd" >containerd.log 2>&1 3>&- &
    echo $! >>pids
    wait_for cri Version
    image img /app/count
    image pause /bin/sleep 100000
    pull localhost:5000/img:1
    pull localhost:5000/pause:1

    local pod id
    pod=$(run_pod web)
    id=$(create web "$pod" localhost:5000/img:1)
    start_container "$id"
    wait_for in_container "$id" cat /app/cache/new
    sleep 1
    export COUNTER
    COUNTER=$(in_container "$id" cat /tmp/counter)
    cri CheckpointContainer "$(jq -nc --arg id "$id" --arg to "$DIR/containerd.tar" '{container_id: $id, location: $to}')"
    # Our diff of the same container, with deletions in podman's form.
    rootfs-diff create --rootfs "/run/containerd/io.containerd.runtime.v2.task/k8s.io/$id/rootfs" \
        --deleted deleted.files -o rootfs-diff.tar
    remove_pod "$pod" "$id"
    ckpt-unpack --bundle bundle containerd.tar
}

teardown_file() {
    [ ! -e "$BATS_FILE_TMPDIR/pids" ] || xargs kill <"$BATS_FILE_TMPDIR/pids" 2>/dev/null || true
    # Processes of containerd outlive it.
    pkill -KILL containerd-shim || true
    umount /var/lib
}

setup() { cd "$DIR"; }

teardown() {
    umount "$DIR/runc/rootfs" 2>/dev/null || true
    ip netns delete runc 2>/dev/null || true
}

@test "ckpt-unpack reads an archive of containerd's CheckpointContainer" {
    ckpt-unpack --verify containerd.tar
    ckpt-unpack --list containerd.tar | grep -q rootfs-diff.tar
    ckpt-unpack --show containerd.tar | grep -q web
}

@test "containerd restores its own archive" {
    restored "$DIR/containerd.tar"
}

@test "containerd restores its archive after ckpt-unpack and ckpt-pack" {
    ckpt-pack --bundle bundle --member rootfs-diff.tar=bundle/rootfs-diff.tar -o again.tar
    restored "$DIR/again.tar"
}

@test "containerd restores an archive with a diff of rootfs-diff" {
    ckpt-pack --bundle bundle --member rootfs-diff.tar=rootfs-diff.tar --member deleted.files=deleted.files -o diff.tar
    restored "$DIR/diff.tar"
}

@test "containerd restores an OCI image of ckpt-pack" {
    ckpt-pack --bundle bundle --member rootfs-diff.tar=bundle/rootfs-diff.tar --format oci --tag localhost:5000/ckpt:1 -o image.oci
    push image.oci localhost:5000/ckpt:1
    restored localhost:5000/ckpt:1
}

@test "containerd restores a zstd-compressed OCI image of ckpt-pack" {
    ckpt-pack --bundle bundle --member rootfs-diff.tar=bundle/rootfs-diff.tar --format oci --compress zstd \
        --tag localhost:5000/ckpt:2 -o zstd.oci
    push zstd.oci localhost:5000/ckpt:2
    restored localhost:5000/ckpt:2
}

@test "containerd restores a checkpoint of another engine" {
    local digest
    digest=$(skopeo inspect --tls-verify=false docker://localhost:5000/img:1 | jq -r .Digest)
    cp -r bundle foreign
    rm foreign/config.dump foreign/status foreign/status.dump
    pack=(ckpt-pack --bundle foreign --name web --member rootfs-diff.tar=foreign/rootfs-diff.tar)
    # Without status.dump, containerd restores nothing.
    "${pack[@]}" -o none.tar
    local pod
    pod=$(run_pod rejected)
    run create rejected "$pod" "$DIR/none.tar"
    [[ $output == *'status.dump'* ]]
    remove_pod "$pod" ''
    "${pack[@]}" --rootfs-image "localhost:5000/img:1@$digest" --annotations containerd -o foreign.tar
    restored "$DIR/foreign.tar"
}

@test "containerd rejects a compressed archive" {
    ckpt-pack --bundle bundle --member rootfs-diff.tar=bundle/rootfs-diff.tar --compress zstd -o compressed.tar.zst
    local pod
    pod=$(run_pod rejected)
    run create rejected "$pod" "$DIR/compressed.tar.zst"
    [[ $output == *'invalid tar header'* ]]
    remove_pod "$pod" ''
}

@test "containerd restores a container of runc" {
    local image=$DIR/image here=$DIR/runc digest
    ip netns add runc
    make_bundle "$here" '(.linux.namespaces[] | select(.type == "network")).path = "/run/netns/runc"'
    start runc "$here" cri-runc
    sleep 1
    checkpoint runc "$here" cri-runc
    COUNTER=$(counted "$here/rootfs")
    digest=$(skopeo inspect --tls-verify=false --format '{{.Digest}}' docker://localhost:5000/img:1)
    rootfs-diff create --members --rootfs "$here/rootfs" |
        ckpt-pack --bundle "$here" --name web --ignore-volumes --annotations containerd \
            --rootfs-image "localhost:5000/img:1@$digest" -o runc.tar -
    restored "$DIR/runc.tar"
}
