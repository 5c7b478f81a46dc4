# A TCP connection that was established before the checkpoint continues after the restore.

# bats file_tags=vm

load ../pipelines/lib/helpers

setup_file() {
    build_image
}

setup() {
    here=$BATS_TEST_TMPDIR/here there=$BATS_TEST_TMPDIR/there
    cd "$BATS_TEST_TMPDIR"
    ip link add lan0 type bridge
    ip address add 10.77.0.1/24 dev lan0
    ip link set lan0 up
}

teardown() {
    exec 9>&- || true
    teardown_containers
    ip netns delete web || true
    ip link delete lan0
}

# echoed LINE: waits until the client has received LINE, at most 20 s.
echoed() {
    local try
    for try in {1..200}; do
        grep -qx "$1" client.out && return
        sleep 0.1
    done
    echo "no echo of '$1'; the client got:"
    cat client.out
    return 1
}

# Starts a client of the container's echo service. Its input is descriptor 9.
connect() {
    mkfifo client.in
    busybox nc 10.77.0.5 7000 <client.in >client.out 2>&1 3>&- &
    exec 9>client.in
}

echo_server='.process.args = ["/bin/nc", "-l", "-p", "7000", "-e", "/bin/cat"]
    | (.linux.namespaces[] | select(.type == "network")).path = "/run/netns/web"'

@test "an established TCP connection survives a paused restore" {
    echo '{"lan": {"interfaces": {"eth0": {"mac_address": "02:77:00:00:00:05",
        "subnets": [{"ipnet": "10.77.0.5/24", "gateway": "10.77.0.1"}]}}}}' >network.json
    ip netns add web
    netstatus apply --netns /run/netns/web --create veth --bridge lan0 <network.json
    make_bundle "$here" "$echo_server"
    runc run -d --bundle "$here" web </dev/null >/dev/null 2>&1
    sleep 1
    connect
    echo before >&9
    echoed before

    checkpoint runc "$here" web --tcp-established
    {
        rootfs-diff create --members --rootfs "$here/rootfs"
        vol-archive create --members data="$here/data"
        netstatus save --members --netns /run/netns/web --network eth0=lan
    } | ckpt-pack --bundle "$here" -o web.ckpt -
    ip netns delete web
    umount "$here/rootfs"
    rm -r "$here"
    # This line is sent while the container does not exist, and must arrive after the restore.
    echo during >&9

    overlay "$there"
    mkdir "$there/data"
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" --volume data="$there/data" <web.ckpt
    ip netns add web
    netstatus hold --netns /run/netns/web
    netstatus apply --netns /run/netns/web --create veth --bridge lan0 <"$there/bundle/network.status"
    # Long enough for a retransmission to reach the address before the socket exists. Without
    # "netstatus hold", the kernel would reset the connection.
    sleep 4
    spec-gen --restore --rootfs "$there/rootfs" -v "$there/data:/data" --network ns:/run/netns/web \
        <"$there/bundle/spec.dump" >"$there/bundle/config.json"
    restore runc "$there/bundle" web --tcp-established
    netstatus release --netns /run/netns/web --announce
    echoed during
    echo after >&9
    echoed after
    [ "$(ip -n web -json address show eth0 | jq -r '.[0].address')" = 02:77:00:00:00:05 ]
}
