# Every code block of docs/docker.md has the described result. 030-docker-tcp.bats runs the blocks
# about TCP connections.

load ../pipelines/lib/helpers
load ../pipelines/lib/podman
load ../pipelines/lib/documents
load lib/docker

page=docs/docker.md

setup_file() {
    start_docker --storage-driver overlay2
    documents $page
    export hosts=$BATS_FILE_TMPDIR/hosts
    mkdir "$hosts"
    : >"$hosts/profile"
    mount -t tmpfs tmpfs /srv
}

teardown_file() {
    stop_docker
    umount -l /srv
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    rm -rf /srv/* /run/web
    mkdir /srv/bound
    BOUND=/srv/bound web_runs
}

teardown() {
    teardown_containers
    ip netns delete web 2>/dev/null || true
    ip link delete lan0 2>/dev/null || true
    if mountpoint -q /srv/rootfs; then umount -l /srv/rootfs; fi
    if [ -n "${store:-}" ]; then
        teardown_podman
        podman_ network rm -f net1
        umount -lR /var/lib
        : >"$hosts/profile"
    fi
    teardown_docker
}

@test "docs/docker.md: to a file, and from it to another container" {
    follow $page 'docker-to-ckpt web web.ckpt'
    counts web
    web_is_gone
    follow $page '--name holder --network net1 --ip 10.77.0.9 -p'
    counts clone
    has_everything docker exec clone
}

@test "docs/docker.md: a container with a network of its own" {
    local code
    code=$(block $page 'docker-checkpoint-to-ckpt')
    docker_restores_networks || not_run 'containerd/containerd#12141'
    bash -euo pipefail -c "$(head -n 1 <<<"$code")"
    web_is_gone
    bash -euo pipefail -c "$(tail -n +2 <<<"$code")"
    counts clone
    has_everything docker exec clone
}

@test "docs/docker.md: to runc" {
    docker-to-ckpt web web.ckpt
    web_is_gone
    mkdir /srv/{rootfs,upper,work}
    mount -t overlay overlay -o "lowerdir=$image,upperdir=/srv/upper,workdir=/srv/work" /srv/rootfs
    ip link add lan0 type bridge
    ip link set lan0 up
    follow $page 'spec-gen --restore'
    has_everything runc exec web
    runc exec web grep -x '10.0.0.1 example' /etc/hosts
    runc exec web ip -4 -o address show eth0 | grep -F 10.77.0.9/24
}

@test "docs/docker.md: to podman" {
    docker-to-ckpt web web.ckpt
    web_is_gone
    docker network rm net1
    setup_podman
    # The file names podman's usual directory of volumes.
    mount -t tmpfs tmpfs /var/lib
    mkdir -p /var/lib/containers/storage/volumes "$(volume_path)"
    mount --bind "$(volume_path)" /var/lib/containers/storage/volumes
    declare -f podman_once | sed 's/podman_once/podman/; s/^    podman/    command podman/' >"$hosts/profile"
    follow $page 'podman container restore --import web.ckpt'
    has_everything podman_ exec web
    local before
    before=$(counter)
    soon counter_above "$before"
    podman_ exec web ip -4 -o address show eth0 | grep -F 10.77.0.9/24
}

@test "docs/docker.md: every code block has been run" {
    all_followed '--migrate web' 'tcp-established' 'docker rm -f web'
}
