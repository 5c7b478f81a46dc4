# Functions for tests of docs/examples/pod: a pod of two containers. The container "client" numbers
# lines and sends them to the container "server" over one TCP connection, and the server answers.

# build_pod_image: creates the image of both containers. Each counts in /tmp/counter. If the connection
# ends, nc ends, and the programs create /tmp/gone.
build_pod_image() {
    build_image
    cat >"$image/app/client" <<'CLIENT'
#!/bin/sh
while :; do i=$((i + 1)); echo $i; sleep 0.1; done | nc 127.0.0.1 7000 |
    while read -r n; do echo $n 1<>/tmp/counter; done
: >/tmp/gone
sleep 1000
CLIENT
    cat >"$image/app/server" <<'SERVER'
#!/bin/sh
nc -l -p 7000 -e /app/answer
: >/tmp/gone
sleep 1000
SERVER
    cat >"$image/app/answer" <<'ANSWER'
#!/bin/sh
while read -r n; do k=$((k + 1)); echo $k 1<>/tmp/counter; echo $n; done
ANSWER
    # Sends numbers as fast as possible, and checks the numbers that come back.
    cat >"$image/app/busy" <<'BUSY'
#!/bin/sh
seq 1 1000000000 | nc 127.0.0.1 7000 | exec awk '
    $1 != n + 1 { print n, $1 >"/tmp/gone"; close("/tmp/gone") }
    { n = $1 }
    n % 10000 == 0 { print n >"/tmp/counter"; close("/tmp/counter") }'
BUSY
    chmod 755 "$image"/app/{client,server,answer,busy}
}

# pod_runs [JQ-FILTER]: starts both containers in the namespaces of a pod, in one cgroup.
pod_runs() {
    local name
    mkdir ns
    touch ns/{ipc,uts,pid}
    ip netns add pod
    ip -n pod link set lo up
    unshare --ipc=ns/ipc --uts=ns/uts hostname of-the-pod
    if [[ ${1:-} == *ns/pid* ]]; then pid_holder; fi
    mkdir -p data shm
    mountpoint -q shm || mount -t tmpfs tmpfs shm
    for name in server client; do
        overlay "$PWD/$name"
        (cd "$name" && runc spec)
        jq --arg name "$name" --arg dir "$PWD" --arg cgroup "$cgroup" '
            .process.args = ["/app/\($name)"] | .process.terminal = false | del(.hostname)
            | .root = {path: "\($dir)/\($name)/rootfs"} | .linux.cgroupsPath = "\($cgroup)/\($name)"
            | (.linux.namespaces[] | select(.type == "network")).path = "/run/netns/pod"
            | (.linux.namespaces[] | select(.type == "ipc" or .type == "uts")) |= (.path = "\($dir)/ns/\(.type)")
            | (.mounts[] | select(.destination == "/dev/shm")) |=
                {destination, type: "bind", source: "\($dir)/shm", options: ["bind", "rw"]}
            | .mounts += [{destination: "/data", type: "bind", source: "\($dir)/data", options: ["rbind", "rw"]}]
            | '"${1:-.}" "$name/config.json" >new
        mv new "$name/config.json"
        runc --log log run -d --bundle "$name" "$name" </dev/null >/dev/null 2>&1 || {
            cat log
            return 1
        }
        [ "$name" = client ] || listens
    done
    counted_past client/rootfs/tmp/counter 5
    connection=$(connection /run/netns/pod)
}

# pid_holder: creates a PID namespace for the pod.
pid_holder() {
    setsid unshare --pid=ns/pid --fork --kill-child sleep 1000 </dev/null >/dev/null 2>&1 3>&- &
    echo $! >holder
    until findmnt ns/pid >/dev/null; do sleep 0.05; done
}

# listens: waits until the server listens.
listens() {
    local try
    for try in {1..100}; do
        if ip netns exec pod ss -tln | grep -q :7000; then return; fi
        sleep 0.1
    done
    return 1
}

# connection NETNS: prints both ports of the connection, of which there is exactly one.
connection() {
    local found
    found=$(nsenter --net="$1" ss -tnH state established dport = 7000 | awk '{ print $3, $4 }')
    [ "$(wc -l <<<"$found")" = 1 ] && echo "$found"
}

# pod_is_gone: removes the namespaces of the original pod, and its files.
pod_is_gone() {
    local at
    ip netns delete pod
    if [ -e holder ]; then kill -KILL "$(cat holder)"; fi
    for at in ns/* {server,client}/rootfs shm; do
        ! findmnt "$at" >/dev/null || umount "$at"
    done
    rm -rf ns server client shm data
}

# same_connection NETNS: succeeds if the only connection is that of the start.
same_connection() {
    [ "$(connection "$1")" = "$connection" ] || {
        echo "expected the connection $connection"
        nsenter --net="$1" ss -tan
        return 1
    }
}

# carried_on DIR BEFORE: succeeds if the connection of the restored pod is the same, and its containers
# count on from BEFORE.
carried_on() {
    counted_past "$1/containers/client/rootfs/tmp/counter" $(($2 + 5))
    counted_past "$1/containers/server/rootfs/tmp/counter" $(($2 + 5))
    same_connection "$1/ns/net"
    [ ! -e "$1/containers/client/rootfs/tmp/gone" ]
    [ ! -e "$1/containers/server/rootfs/tmp/gone" ]
}

# all_run: succeeds if the original pod runs, with its connection, and nothing of the script is left.
all_run() {
    local before name
    for name in server client; do [ "$(runc state $name | jq -r .status)" = running ]; done
    before=$(cat client/rootfs/tmp/counter)
    counted_past client/rootfs/tmp/counter $((before + 5))
    same_connection /run/netns/pod
    run ! grep -w drop <(ip netns exec pod nft list ruleset)
    [ -z "$(ls -A tmp)" ]
}

# podman_is FILE: creates a program that is the podman of this test file.
podman_is() {
    printf '#!/bin/bash\nexec %q --root %q --runroot %q --network-config-dir %q %s "$@"\n' "$(command -v podman)" \
        "$store/root" "$store/run" "$store/networks" \
        '--storage-driver overlay --cgroup-manager cgroupfs --events-backend none --runtime runc' >"$1"
    chmod 755 "$1"
}
