# Containers whose network namespace the runtime has created: CRIU dumps it with the container, and a
# restore cannot join another one.

RUNTIME=${RUNTIME:-runc}

load lib/helpers

setup_file() {
    build_image
}

setup() {
    here=$BATS_TEST_TMPDIR/here there=$BATS_TEST_TMPDIR/there
    cd "$BATS_TEST_TMPDIR"
    ip netns add there
}

teardown() {
    teardown_containers
    ip netns delete there
}

network_of() {
    stat -L -c %i "/proc/$("$RUNTIME" state web | jq .pid)/ns/net"
}

# packed BUNDLE: packs the container with its network.
packed() {
    {
        rootfs-diff create --members --rootfs "$1/rootfs"
        netstatus save --members --netns /run/netns/there
    } | ckpt-pack --bundle "$1" --ignore-volumes -o web.ckpt -
}

# unpacked: unpacks the archive on an overlay.
unpacked() {
    overlay "$there"
    mkdir "$there/data"
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" --ignore-volumes web.ckpt
}

# respec [FLAG]...: adapts the spec.
respec() {
    spec-gen --restore --rootfs "$there/rootfs" -v "$there/data:/data" "$@" <"$there/bundle/spec.dump" \
        >"$there/bundle/config.json"
}

@test "a network namespace that CRIU dumped is not restored into another one" {
    make_bundle "$here"
    start "$RUNTIME" "$here" web
    checkpoint "$RUNTIME" "$here" web
    run -0 --separate-stderr packed "$here"
    [[ $stderr == *'CRIU dumped the network namespace with the container'*'netstatus apply --netns /proc/PID/ns/net'* ]]
    unpacked

    for images in '' "--images $there/bundle/checkpoint"; do
        # shellcheck disable=SC2086
        run -1 --separate-stderr respec $images --network ns:/run/netns/there
        [[ $stderr == *'CRIU restores it into a new one'*'netstatus apply --netns /proc/PID/ns/net'* ]]
        # shellcheck disable=SC2086
        run -1 --separate-stderr respec $images --network host
    done

    # The runtime and CRIU themselves report nothing.
    respec
    jq '(.linux.namespaces[] | select(.type == "network")).path = "/run/netns/there"' "$there/bundle/config.json" >config
    cp config "$there/bundle/config.json"
    restore "$RUNTIME" "$there/bundle" web
    [ "$(network_of)" != "$(stat -L -c %i /run/netns/there)" ]
    "$RUNTIME" kill web KILL
    "$RUNTIME" delete -f web

    # The way that the hint describes.
    respec
    restore "$RUNTIME" "$there/bundle" web
    ip link add br0 type bridge
    pid=$("$RUNTIME" state web | jq .pid)
    echo '{"net": {"interfaces": {"eth0": {"mac_address": "02:00:00:00:00:09", "subnets": [{"ipnet": "10.9.0.9/24", "gateway": "10.9.0.1"}]}}}}' |
        netstatus apply --netns "/proc/$pid/ns/net" --create veth --bridge br0
    nsenter --net="/proc/$pid/ns/net" ip -o address show dev eth0 | grep -F 10.9.0.9/24
    ip link delete br0
}

@test "a network namespace that was external is restored into another one" {
    ip netns add here
    make_bundle "$here" '(.linux.namespaces[] | select(.type == "network")).path = "/run/netns/here"'
    start "$RUNTIME" "$here" web
    checkpoint "$RUNTIME" "$here" web
    # As for Docker, whose spec has no path: a copy of the state with the path was dumped.
    jq 'del(.linux.namespaces[].path)' "$here/config.json" >config
    cp config "$here/config.json"
    run -0 --separate-stderr packed "$here"
    [[ $stderr == *'CRIU dumped the network namespace as external, but it has no path in the spec'* ]]
    unpacked

    run -1 respec --network ns:/run/netns/there
    run -1 respec --images "$there/bundle/checkpoint"
    respec --images "$there/bundle/checkpoint" --network ns:/run/netns/there
    restore "$RUNTIME" "$there/bundle" web
    [ "$(network_of)" = "$(stat -L -c %i /run/netns/there)" ]
    ip netns delete here
}

@test "spec-gen names a root directory that CRIU will not accept" {
    make_bundle "$here"
    start "$RUNTIME" "$here" web
    checkpoint "$RUNTIME" "$here" web
    chmod 0711 "$here/rootfs"
    run -0 --separate-stderr spec-gen --restore --rootfs "$here/rootfs" -v "$here/data:/data" \
        --images "$here/checkpoint" <"$here/config.json"
    [[ $stderr == *"mode 0711, but CRIU requires 0755 to restore: chmod 0755 $here/rootfs"* ]]
    run -1 restore "$RUNTIME" "$here" web
    [[ $output == *'has bad mode'* ]]
    # crun keeps a container whose restore failed.
    "$RUNTIME" delete -f web || true

    # ckpt-unpack sets the mode.
    rootfs-diff create --members --rootfs "$here/rootfs" | ckpt-pack --bundle "$here" --ignore-volumes -o web.ckpt -
    overlay "$there"
    mkdir "$there/data"
    chmod 0711 "$there/rootfs"
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" --ignore-volumes web.ckpt
    respec --images "$there/bundle/checkpoint"
    restore "$RUNTIME" "$there/bundle" web
}
