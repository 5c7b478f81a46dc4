# An open TCP connection of a Docker container continues in another Docker container.

# bats file_tags=tcp

load ../pipelines/lib/helpers
load lib/docker

setup_file() {
    # Docker and runc use the first criu in PATH.
    export PATH=${NEWER_CRIU:+$NEWER_CRIU:}$PATH
    mkdir -p "$BATS_FILE_TMPDIR"/etc/{upper,work}
    mount -t overlay overlay -o "lowerdir=/etc,upperdir=$BATS_FILE_TMPDIR/etc/upper,workdir=$BATS_FILE_TMPDIR/etc/work" /etc
    start_docker --storage-driver overlay2
}

teardown_file() {
    stop_docker
    umount -l /etc
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

@test "an open TCP connection continues in another Docker container" {
    has_network
    docker run -d --name web --network net1 --ip 10.77.0.9 img:1 nc -ll -p 80 -e cat
    local try mac netns
    for try in {1..50}; do
        if exec 9<>/dev/tcp/10.77.0.9/80; then break; fi 2>/dev/null
        sleep 0.1
    done
    echoed before
    docker-to-ckpt --migrate web web.ckpt
    [ "$(docker inspect -f '{{.State.Paused}}' web)" = true ]
    docker rm -f web

    mkdir -p /etc/criu
    echo tcp-established >/etc/criu/runc.conf
    mac=$(tar -xOf <(zstd -dc web.ckpt) network.status | jq -r '.[].interfaces.eth0.mac_address')
    docker run -d --name holder --network net1 --ip 10.77.0.9 --mac-address "$mac" img:1 sleep 1000
    netns=/proc/$(docker inspect -f '{{.State.Pid}}' holder)/ns/net
    netstatus hold --silent --netns "$netns"
    docker create --name clone --network container:holder img:1 nc -ll -p 80 -e cat
    ckpt-to-docker clone web.ckpt
    netstatus release --netns "$netns" --announce
    echoed after
}

@test "after a migration that failed, the old container continues" {
    has_network
    docker run -d --name web --network net1 --ip 10.77.0.9 img:1 nc -ll -p 80 -e cat
    local try
    for try in {1..50}; do
        if exec 9<>/dev/tcp/10.77.0.9/80; then break; fi 2>/dev/null
        sleep 0.1
    done
    echoed before
    docker-to-ckpt --migrate web web.ckpt
    netstatus release --netns "/proc/$(docker inspect -f '{{.State.Pid}}' web)/ns/net"
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
