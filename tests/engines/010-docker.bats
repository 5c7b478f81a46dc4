# Checkpoints of Docker containers: from Docker to runc, to another Docker container and to podman,
# and from runc and podman to Docker. The storage driver is overlay2, and dockerd has its own
# containerd.

load ../pipelines/lib/helpers
load ../pipelines/lib/podman
load lib/docker

setup_file() {
    start_docker --storage-driver overlay2 --init-path /usr/bin/tini-static
}

teardown_file() {
    stop_docker
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    here=$PWD/here there=$PWD/there
}

teardown() {
    teardown_containers
    if [ -n "${store:-}" ]; then
        teardown_podman
        podman_ network rm -f net1
    fi
    ip netns delete web 2>/dev/null || true
    ip link delete lan0 2>/dev/null || true
    teardown_docker
}

# is_published: fetches the counter through the published port.
is_published() {
    docker exec "$1" httpd -p 80 -h /tmp
    curl -sSf --retry 5 --retry-connrefused http://127.0.0.1:8080/counter
}

@test "Docker to runc: files, volume, network and edited hosts arrive" {
    web_runs
    docker-to-ckpt web web.ckpt
    counts web
    nothing_is_left
    ckpt-unpack --show web.ckpt | grep -E '^Image +.*img:1'
    # The rest of Docker's image is only in the image.
    mkdir "$there"
    overlay "$there"
    ckpt-unpack --bundle "$there/b" --rootfs "$there/rootfs" --volume data="$there/data" web.ckpt
    local before
    before=$(counted "$there/rootfs")
    web_is_gone
    [ -f "$there/rootfs/.dockerenv" ]
    [ "$(readlink "$there/rootfs/etc/mtab")" = /proc/mounts ]
    grep -x '10.0.0.1 example' "$there/rootfs/etc/hosts"

    ip link add lan0 type bridge
    ip link set lan0 up
    ip netns add web
    netstatus apply --netns /run/netns/web --create veth --bridge lan0 <"$there/b/network.status"
    mkdir "$there/files"
    cp "$there"/rootfs/etc/{hosts,hostname,resolv.conf} "$there/files"
    spec-gen --restore --rootfs "$there/rootfs" --network ns:/run/netns/web -v "$there/data:/data" \
        -v "$BATS_FILE_TMPDIR/bound:/bound" --manager-files "$there/files" --apply <"$there/b/spec.dump" >"$there/b/config.json"
    restore runc "$there/b" web
    counted_past "$there/rootfs/tmp/counter" "$before"
    has_everything runc exec web
    [ "$(runc exec web cat /bound/file /etc/hostname)" = $'bound\nedited' ]
    runc exec web grep -x '10.0.0.1 example' /etc/hosts
    runc exec web grep -x 'search example' /etc/resolv.conf
    runc exec web ip -4 -o address show eth0 | grep -F 10.77.0.9/24
    run ! grep -r docker "$there/b/config.json"
}

@test "Docker to Docker: another container, whose network a third one holds" {
    web_runs
    docker-to-ckpt web web.ckpt
    web_is_gone
    holder_runs
    clone_is_created --network container:holder
    ckpt-to-docker clone web.ckpt
    nothing_is_left
    counts clone
    has_everything docker exec clone
    docker exec clone test -e /.dockerenv
    docker exec clone grep -x '10.0.0.1 example' /etc/hosts
    docker exec clone grep -x 'search example' /etc/resolv.conf
    [ "$(docker exec clone cat /bound/file /etc/hostname)" = $'bound\nedited' ]
    # The restored container can be dumped again.
    docker-to-ckpt clone again.ckpt
    counts clone
    is_published clone
}

@test "Docker to Docker: another container, with a network of its own" {
    web_runs
    docker-checkpoint-to-ckpt web web.ckpt
    web_is_gone
    clone_is_created --network net1 --ip 10.77.0.10 -p 8080:80
    if ! docker_restores_networks; then
        run --separate-stderr ! ckpt-to-docker clone web.ckpt
        [[ $stderr == *'clone: this Docker starts no checkpoint with a network that it creates'* ]]
        return
    fi
    ckpt-to-docker clone web.ckpt
    nothing_is_left
    counts clone
    has_everything docker exec clone
    # The file of hosts has the new address.
    docker exec clone grep '^10\.77\.0\.10[[:space:]]' /etc/hosts
    run ! docker exec clone grep '^10\.77\.0\.9[[:space:]]' /etc/hosts
    docker exec clone grep -x '10.0.0.1 example' /etc/hosts
    is_published clone
}

@test "Docker to Docker: without a network, with shareable shared memory" {
    docker_restores_networks || not_run 'containerd/containerd#12141'
    local options
    mapfile -t options < <(with_mounts --network none --ipc shareable)
    docker run -d --name web "${options[@]}" img:1
    counts web
    docker-to-ckpt web web.ckpt
    counts web
    docker rm -f web
    docker volume rm data
    clone_is_created --network none --ipc shareable
    ckpt-to-docker clone web.ckpt
    counts clone
    has_everything docker exec clone
}

@test "Docker to Docker: a terminal, an init process, and limits" {
    local options=(--init -t --memory 100m --ulimit nofile=100:200 --shm-size 10m --cap-add SYS_ADMIN)
    web_runs "${options[@]}"
    docker-to-ckpt web web.ckpt
    web_is_gone
    holder_runs
    mapfile -t -O ${#options[@]} options < <(with_mounts --network container:holder)
    docker create --name clone "${options[@]}" img:1
    ckpt-to-docker clone web.ckpt
    counts clone
    has_everything docker exec clone
}

@test "Docker to Docker: the network of the host, and a volume at two places" {
    local options
    mapfile -t options < <(with_mounts --network host -v data:/srv/again)
    docker run -d --name web "${options[@]}" img:1
    counts web
    docker-to-ckpt web web.ckpt
    counts web
    web_is_gone
    docker create --name clone "${options[@]}" img:1
    ckpt-to-docker clone web.ckpt
    counts clone
    has_everything docker exec clone
    [ "$(docker exec clone cat /srv/again/file)" = 'in the volume' ]
}

@test "runc to Docker" {
    make_bundle "$here" '.linux.namespaces |= map(select(.type != "network") )
        | .mounts += [{destination: "/bound", type: "bind", source: "'"$BATS_FILE_TMPDIR/bound"'", options: ["rbind"]}]
        | (.mounts[] | select(.destination == "/dev/shm")).options += ["rprivate"]'
    start runc "$here" web
    checkpoint runc "$here" web
    {
        rootfs-diff create --members --rootfs "$here/rootfs"
        vol-archive create --members data="$here/data"
    } | ckpt-pack --bundle "$here" --volume data=/data -o web.ckpt -
    clone_is_created --network host
    ckpt-to-docker clone web.ckpt
    counts clone
    has_everything docker exec clone
}

@test "podman to Docker" {
    docker_restores_networks || not_run 'containerd/containerd#12141'
    setup_podman
    # podman loses some of what /app/count changes. It mounts the root directory with mode 0555, and
    # Docker with 0755.
    local command='chmod 755 /; echo new >/new; echo "in the volume" >/data/file; echo "in shared memory" >/dev/shm/file; i=0; while :; do i=$((i + 1)); echo $i 1<>/tmp/counter; sleep 0.1; done'
    podman_ run -d --name web --network none -v data:/data -v "$BATS_FILE_TMPDIR/bound:/bound" --tmpfs /scratch localhost/image sh -c "$command"
    local try
    for try in {1..50}; do [ "$(counter)" -lt 5 ] 2>/dev/null || break; sleep 0.1; done
    podman_ container checkpoint --export web.ckpt web
    # Docker has no mount at the places of podman's own.
    clone_is_created --network none
    run --separate-stderr ! ckpt-to-docker clone web.ckpt
    [[ $stderr == *"hint: docker create --"* ]]
    docker rm clone
    touch containerenv
    clone_is_created --network none --ipc shareable -v "$PWD/containerenv:/run/.containerenv"
    ckpt-to-docker clone web.ckpt
    counts clone
    [ "$(docker exec clone cat /new)" = new ]
    [ "$(docker exec clone cat /data/file)" = 'in the volume' ]
    [ "$(docker exec clone cat /dev/shm/file)" = 'in shared memory' ]
}

@test "after a failure the container continues, and nothing is left" {
    web_runs
    echo precious >web.ckpt
    # The volume cannot be read.
    run ! env PATH="$PWD/bin:$PATH" bash -c 'mkdir bin; printf "#!/bin/sh\nexit 1\n" >bin/vol-archive; chmod 755 bin/vol-archive; docker-to-ckpt web web.ckpt'
    [ "$(cat web.ckpt)" = precious ]
    nothing_is_left
    [ "$(docker inspect -f '{{.State.Paused}}' web)" = false ]
    counts web
    # A wrong network is found before anything changes.
    docker-to-ckpt web web.ckpt
    docker create --name other --network net1 -v other:/data img:1
    run --separate-stderr ! ckpt-to-docker other web.ckpt
    [[ $stderr == *'error: web.ckpt: its network was given to the container'* ]]
    docker create --name another --network container:web img:1
    run --separate-stderr ! ckpt-to-docker another web.ckpt
    [[ $stderr == *'error: another: no mount at /'*', where the container in web.ckpt had one'* ]]
    run --separate-stderr ! ckpt-to-docker web web.ckpt
    [[ $stderr == *'expected a container that was never started, found running'* ]]
    docker stop -t0 web
    run --separate-stderr ! docker-to-ckpt web web.ckpt
    [[ $stderr == *'error: web: expected a running container, found exited'* ]]
    nothing_is_left
}
