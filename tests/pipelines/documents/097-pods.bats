# Every code block of docs/pods.md has the described result.

# bats file_tags=tcp

load ../lib/helpers
load ../lib/documents
load ../lib/podman
load ../lib/pod

page=docs/pods.md

setup_file() {
    if [ -n "${NEWER_CRIU:-}" ]; then export PATH=$NEWER_CRIU:$PATH; fi
    build_pod_image
    documents $page
    hosts
    ln -s "$source_dir"/docs/examples/pod* "$hosts/bin"
    export IMAGE=$image
    ip link add br0 type bridge
    ip link set br0 up
}

teardown_file() {
    ip link delete br0
    no_hosts
}

setup() {
    cd /srv
}

teardown() {
    pod remove /srv/pods/web 2>/dev/null || true
    teardown_containers
    ip netns delete pod 2>/dev/null || true
    findmnt -rno TARGET | grep ^/srv/. | xargs -rn1 umount
    rm -rf /srv/*
}

# pod_files: creates pod.json, and the archives web.ckpt and db.ckpt of podman.
pod_files() {
    echo '{"metadata":{"name":"shop"}}' >pod.json
    xz -dc "$tests/../ckpt-unpack/tests/data/g06-bridge.tar.xz" >web.ckpt
    xz -dc "$tests/../ckpt-unpack/tests/data/g01-basic-none.tar.xz" >db.ckpt
}

@test "pods.md: a pod moves with its network, its volume and its connections" {
    pod_runs '.process.args = ["sh", "-c", "nc -l -p 7001 -e /bin/cat & exec /app/\($name)"]'
    runc exec server sh -c 'echo volume >/data/file'
    echo '{"lan": {"interfaces": {"eth0": {"mac_address": "02:10:01:00:00:05",
        "subnets": [{"ipnet": "10.1.0.5/24", "gateway": "10.1.0.1"}]}}}}' |
        netstatus apply --netns /run/netns/pod --create veth --bridge br0
    # A connection from outside.
    ip address add 10.1.0.1/24 dev br0
    coproc OUTSIDE { exec busybox nc 10.1.0.5 7001 3>&-; }
    echo before >&"${OUTSIDE[1]}"
    read -r -t 10 line <&"${OUTSIDE[0]}"
    [ "$line" = before ]
    follow $page 'pod checkpoint --volume'
    before=$(cat client/rootfs/tmp/counter)
    [[ $(follow $page '--verify') == *'server: complete'* ]]
    pod_is_gone
    follow $page 'pod restore --image'
    echo after >&"${OUTSIDE[1]}"
    read -r -t 20 line <&"${OUTSIDE[0]}"
    [ "$line" = after ]
    kill "$OUTSIDE_PID"
    carried_on /srv/pods/web "$before"
    [ "$(runc exec client cat /data/file)" = volume ]
    [ "$(nsenter --net=/srv/pods/web/ns/net ip -json address show eth0 | jq -r '.[0].addr_info[0].local')" = 10.1.0.5 ]
    grep ':/pod-web/client$' "/proc/$(runc state client | jq .pid)/cgroup"
    follow $page 'pod remove'
    [ ! -e /srv/pods/web ]
    [ "$(cat /srv/data2/file)" = volume ]
}

@test "pods.md: a pod of podman becomes a file" {
    setup_podman
    podman_is "$hosts/bin/podman"
    podman_ pod create --name web --network none --share ipc,net,uts
    podman_ run -d --pids-limit 0 --pod web --name server localhost/image /app/server
    follow $page 'pod checkpoint --podman'
    [ "$(ckpt-unpack --cat pod.options web.pod | jq -c '.containers | keys')" = '["server"]' ]
    podman_ pod rm -f -t 0 web
}

@test "pods.md: a pod archive is packed and read without the scripts" {
    pod_files
    follow $page '--bundle db.bundle shop.pod' >seen
    grep -x 'Pod           shop' seen
    [ -f db.bundle/checkpoint/inventory.img ]
    follow $page 'tar -xOf shop.pod web.tar'
    cmp web-again.ckpt web.ckpt
}

@test "pods.md: a pod archive with directories is converted" {
    pod_files
    mkdir -p old.d/0a-web old.d/0b-db
    tar -C old.d/0a-web -xf web.ckpt
    tar -C old.d/0b-db -xf db.ckpt
    echo '{"version":1,"containers":{"web":"0a-web","db":"0b-db"}}' >old.d/pod.options
    cp pod.json old.d/pod.dump
    tar -C old.d -cf old.tar pod.options pod.dump 0a-web 0b-db
    run ! ckpt-unpack --container web --bundle b old.tar
    [[ $output == *'is a directory of a container'* ]]
    follow $page 'old/pod.options > containers'
    ckpt-unpack --verify new.pod
    ckpt-unpack --container db --bundle b new.pod
}

@test "pods.md: no code block is untested" {
    all_followed
}
