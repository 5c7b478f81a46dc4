# An open TCP connection of a Docker container continues in another Docker container.

# bats file_tags=tcp

load ../pipelines/lib/helpers
load ../pipelines/lib/documents
load lib/docker

page=docs/docker.md

setup_file() {
    documents $page
    export hosts=$BATS_FILE_TMPDIR/hosts
    mkdir "$hosts"
    : >"$hosts/profile"
    mount -t tmpfs tmpfs /srv
    mkdir /srv/bound
    # Docker and runc use the first criu in PATH.
    export PATH=${NEWER_CRIU:+$NEWER_CRIU:}$PATH
    mkdir -p "$BATS_FILE_TMPDIR"/etc/{upper,work}
    mount -t overlay overlay -o "lowerdir=/etc,upperdir=$BATS_FILE_TMPDIR/etc/upper,workdir=$BATS_FILE_TMPDIR/etc/work" /etc
    start_docker --storage-driver overlay2
}

teardown_file() {
    stop_docker
    umount -l /etc /srv
}

setup() {
    cd "$BATS_TEST_TMPDIR"
}

teardown() {
    exec 9>&- || true
    teardown_docker
}

# echoed LINE: sends LINE to the container, which must send it back.
echoed() {
    local line
    echo "$1" >&9
    read -r -t 10 line <&9
    [ "$line" = "$1" ]
}

# echo_server_runs: starts a server in the container "web", and connects to it.
echo_server_runs() {
    local options try
    has_network
    mapfile -t options < <(BOUND=/srv/bound with_mounts --network net1 --ip 10.77.0.9)
    docker run -d --name web "${options[@]}" img:1 nc -ll -p 80 -e cat
    for try in {1..50}; do
        if exec 9<>/dev/tcp/10.77.0.9/80; then break; fi 2>/dev/null
        sleep 0.1
    done
    echoed before
}

@test "docs/docker.md: an open TCP connection continues in another container" {
    echo_server_runs
    follow $page '--migrate web web.ckpt'
    follow $page 'docker rm -f web'
    docker volume rm data
    follow $page 'tcp-established >>/etc/criu/runc.conf'
    echoed after
}

@test "after a migration that failed, the old container continues" {
    echo_server_runs
    docker-to-ckpt --migrate web web.ckpt
    netstatus release --netns "/proc/$(docker inspect -f '{{.State.Pid}}' web)/ns/net"
    [ "$(docker inspect -f '{{.State.Paused}}' web)" = true ]
    docker unpause web
    echoed after
    # If the dump itself fails, the script does so.
    mkdir bin
    printf '#!/bin/sh\nexit 1\n' >bin/ckpt-pack
    chmod 755 bin/ckpt-pack
    run ! env PATH="$PWD/bin:$PATH" docker-to-ckpt --migrate web again.ckpt
    [ ! -e again.ckpt ]
    echoed again
}
