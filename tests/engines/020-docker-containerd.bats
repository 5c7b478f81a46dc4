# The image store of containerd in Docker, with the containerd of the system instead of dockerd's own.

load ../pipelines/lib/helpers
load lib/docker

setup_file() {
    printf 'version = 2\nroot = "%s"\nstate = "/run/containerd"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' \
        "$BATS_FILE_TMPDIR/containerd" >"$BATS_FILE_TMPDIR/containerd.toml"
    containerd -c "$BATS_FILE_TMPDIR/containerd.toml" </dev/null >"$BATS_FILE_TMPDIR/containerd.log" 2>&1 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/containerd.pid"
    local try
    for try in {1..100}; do
        if ctr version >/dev/null 2>&1; then break; fi
        sleep 0.1
    done
    echo '{"features": {"containerd-snapshotter": true}}' >"$BATS_FILE_TMPDIR/daemon.json"
    start_docker --containerd /run/containerd/containerd.sock --config-file "$BATS_FILE_TMPDIR/daemon.json"
}

teardown_file() {
    stop_docker
    kill "$(cat "$BATS_FILE_TMPDIR/containerd.pid")"
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    there=$PWD/there
}

teardown() {
    teardown_docker
}

@test "containerd's store: Docker to Docker, whose network another container holds" {
    [ "$(docker info -f '{{.Driver}}')" = overlayfs ]
    web_runs
    docker-to-ckpt web web.ckpt
    counts web
    local config
    config=$(docker save img:1 | tar -xO manifest.json | jq -r '.[0].Config')
    ckpt-unpack --show --json web.ckpt >shown
    # podman knows an image by the ID of its config.
    tar -xOf <(zstd -dc web.ckpt) config.dump | jq -e --arg id "${config##*/}" '.rootfsImageID == $id'
    web_is_gone
    holder_runs
    clone_is_created --network container:holder
    ckpt-to-docker clone web.ckpt
    nothing_is_left
    counts clone
    has_everything docker exec clone
    docker exec clone test -e /.dockerenv
    docker exec clone grep -x '10.0.0.1 example' /etc/hosts
}

@test "containerd's store: Docker to Docker, with a network of its own" {
    docker_restores_networks || not_run 'containerd/containerd#12141'
    web_runs
    docker-checkpoint-to-ckpt web web.ckpt
    web_is_gone
    clone_is_created --network net1 --ip 10.77.0.9
    ckpt-to-docker clone web.ckpt
    counts clone
    has_everything docker exec clone
}

@test "an init program that is a symbolic link is refused with a hint" {
    web_runs --init
    docker-to-ckpt web web.ckpt
    web_is_gone
    holder_runs
    local options
    mapfile -t options < <(with_mounts --network container:holder)
    docker create --name clone --init "${options[@]}" img:1
    run --separate-stderr ! ckpt-to-docker clone web.ckpt
    [[ $stderr == *'/docker-init: a symbolic link'*'hint: dockerd --init-path /usr/bin/tini-static' ]]
}
