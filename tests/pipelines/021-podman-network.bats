# podman imports a runc container together with its network.

load lib/helpers
load lib/podman

setup_file() {
    build_image
    setup_podman
}

setup() {
    # The demo, an earlier test, does not remove its namespace.
    ip netns delete web 2>/dev/null || true
    here=$BATS_TEST_TMPDIR/here
    cd "$BATS_TEST_TMPDIR"
}

teardown() {
    teardown_podman
    podman_ network rm -f lan other dmz >/dev/null 2>&1 || true
    for netns in web elsewhere; do ip netns delete "$netns" 2>/dev/null || true; done
    teardown_containers
}

# network_up FILTER: sets up the container's network as the README does, with the options of
# netavark changed by the jq filter.
network_up() {
    ip netns add web
    jq "$1" "$tests/netavark-options.json" >opts.json
    netavark -c "$BATS_TEST_TMPDIR/netavark" setup /run/netns/web <opts.json >netavark.json
}

# The options of the README use a subnet of podman's network "podman", which no other network of
# podman can use.
lan='.networks.lan.static_ips = ["10.90.0.5"]
    | .network_info.lan.subnets = [{subnet: "10.90.0.0/24", gateway: "10.90.0.1"}]'

# network_down: removes the container's network, as on a host that never had it.
network_down() {
    netavark -c "$BATS_TEST_TMPDIR/netavark" teardown /run/netns/web <opts.json
    ip netns delete web
}

# dump JQ-FILTER: runs a container with a bundle changed by the filter, and checkpoints it.
dump() {
    make_bundle "$here" "$1"
    start runc "$here" web
    checkpoint runc "$here" web
    before=$(counted "$here/rootfs")
}

joined='(.linux.namespaces[] | select(.type == "network")).path = "/run/netns/web"'

# pack OPTION...: packs the container and, if there is one, its network, in the order of the README.
pack() {
    {
        rootfs-diff create --members --rootfs "$here/rootfs"
        if [ -e netavark.json ]; then netstatus save --members <netavark.json; fi
        vol-archive create --members data="$here/data"
    } | for_podman "$@" -
}

# forget: removes the container of the first host.
forget() {
    umount "$here/rootfs"
    rm -r "$here"
}

# in_network COMMAND: runs a command of the host in the network namespace of podman's container.
in_network() {
    nsenter -t "$(podman_ inspect -f '{{.State.Pid}}' "${container:-web}")" -n "$@"
}

# addresses INTERFACE: prints the container's global addresses, sorted, and its MAC.
addresses() {
    in_network ip -j addr show dev "$1" | jq -r '.[0] | [([.addr_info[] | select(.scope == "global")
        | "\(.local)/\(.prefixlen)"] | sort[]), .address] | join(" ")'
}

counts() {
    local first
    first=$(counter)
    [ "$first" -ge "$before" ]
    soon counter_above "$first"
}

@test "podman restores the container with its address and its MAC" {
    network_up .
    mac=$(jq -r '.lan.interfaces.eth0.mac_address' netavark.json)
    dump "$joined"
    pack --network podman -o web.ckpt
    network_down
    forget
    # A namespace of this name on the other host is not the container's.
    ip netns add web
    podman_ container restore --import web.ckpt
    [ "$(addresses eth0)" = "10.88.0.5/16 $mac" ]
    [ "$(in_network ip -j route show default | jq -r '.[0].gateway')" = 10.88.0.1 ]
    [ "$(ip netns exec web ip -o link | wc -l)" = 1 ]
    [ "$(podman_ inspect -f '{{.HostConfig.NetworkMode}}' web)" = bridge ]
    busybox ping -c 1 -W 5 10.88.0.5
    counts
    # A second copy needs other addresses.
    run -125 podman_ container restore --import web.ckpt --name copy --ignore-volumes
    [[ $output == *10.88.0.5* ]]
    podman_ rm -f -t0 copy
    podman_ container restore --import web.ckpt --name copy --ignore-volumes --ignore-static-ip --ignore-static-mac
    [ "$(container=copy addresses eth0)" != "$(addresses eth0)" ]
}

@test "podman restores several networks, with IPv6, by podman's names" {
    network_up "$lan | "'.networks.lan.static_ips += ["fd00:88::5"] | .networks.dmz = {interface_name: "eth1", static_ips: ["10.91.0.7"]}
        | .network_info.lan |= (.ipv6_enabled = true | .subnets += [{subnet: "fd00:88::/64", gateway: "fd00:88::1"}])
        | .network_info.dmz = (.network_info.lan | .name = "dmz" | .network_interface = "br-dmz" | .id |= sub("^.."; "00")
            | .ipv6_enabled = false | .subnets = [{subnet: "10.91.0.0/24", gateway: "10.91.0.1"}])'
    mac0=$(jq -r '.lan.interfaces.eth0.mac_address' netavark.json)
    mac1=$(jq -r '.dmz.interfaces.eth1.mac_address' netavark.json)
    dump "$joined"
    pack --network lan=other -o web.ckpt
    network_down
    forget
    podman_ network create --ipv6 --subnet 10.90.0.0/24 --subnet fd00:88::/64 other
    podman_ network create --subnet 10.91.0.0/24 dmz
    podman_ container restore --import web.ckpt
    [ "$(addresses eth0)" = "10.90.0.5/24 fd00:88::5/64 $mac0" ]
    [ "$(addresses eth1)" = "10.91.0.7/24 $mac1" ]
    counts
}

@test "podman restores an image with the address and the MAC" {
    network_up "$lan"
    mac=$(jq -r '.lan.interfaces.eth0.mac_address' netavark.json)
    dump "$joined"
    pack --format oci --tag localhost/ckpt:1 -o web.oci
    network_down
    forget
    podman_ network create --subnet 10.90.0.0/24 lan
    podman_ load -i web.oci
    podman_ container restore localhost/ckpt:1
    [ "$(addresses eth0)" = "10.90.0.5/24 $mac" ]
    counts
    podman_ rm -f -t0 web
    podman_ rmi localhost/ckpt:1
}

@test "podman joins no namespace unless --network names it" {
    ip netns add web
    dump "$joined"
    # The warning that the network is missing.
    run --separate-stderr -0 pack -o web.ckpt
    # shellcheck disable=SC2154
    [[ $stderr == *'without network.status, podman restores the container without a network'* ]]
    pack --network lan -o lan.ckpt
    pack --network ns:/run/netns/elsewhere -o joined.ckpt
    forget
    podman_ container restore --import web.ckpt
    [ "$(in_network ip -o link | wc -l)" = 1 ]
    [ "$(in_network readlink /proc/self/ns/net)" != "$(ip netns exec web readlink /proc/self/ns/net)" ]
    counts
    teardown_podman
    # podman chooses the address.
    podman_ network create --subnet 10.90.0.0/24 lan
    podman_ container restore --import lan.ckpt
    [[ $(addresses eth0) == 10.90.0.*/24* ]]
    counts
    teardown_podman
    ip netns add elsewhere
    podman_ container restore --import joined.ckpt
    [ "$(in_network readlink /proc/self/ns/net)" = "$(ip netns exec elsewhere readlink /proc/self/ns/net)" ]
    counts
}

@test "podman restores a container with the network of the host" {
    dump '.linux.namespaces |= map(select(.type != "network"))'
    pack -o web.ckpt
    forget
    podman_ container restore --import web.ckpt
    [ "$(podman_ inspect -f '{{.HostConfig.NetworkMode}}' web)" = host ]
    [ "$(in_network readlink /proc/self/ns/net)" = "$(readlink /proc/self/ns/net)" ]
    counts
}

@test "podman restores a container that has the files and the image name of Docker" {
    files=$here/containers/$(printf '%064d' 7)
    mkdir -p "$files"
    for file in hosts hostname resolv.conf; do echo "$file of Docker" >"$files/$file"; done
    network_up "$lan"
    dump "$joined"' | .mounts += (["hosts", "hostname", "resolv.conf"] | map({destination: "/etc/\(.)", type: "bind",
        source: ($dir + "/containers/" + "0" * 63 + "7/\(.)"), options: ["rbind", "rprivate"]}))
        | .hooks.prestart = [{path: "/bin/true"}]'
    jq -n --arg id "$(printf '%064d' 3)" '{$id}' >state
    podman_ tag localhost/image docker.io/library/img:1
    {
        rootfs-diff create --members --rootfs "$here/rootfs"
        netstatus save --members <netavark.json
        vol-archive create --members data="$here/data"
    } | ckpt-pack --bundle "$here" --name web --state state --rootfs-image "img:1@sha256:$image_id" \
        --volume data=/data --volume-path "$(volume_path)" -o web.ckpt -
    network_down
    forget
    podman_ network create --subnet 10.90.0.0/24 lan
    podman_ container restore --import web.ckpt
    [[ $(addresses eth0) == "10.90.0.5/24 "* ]]
    [ "$(podman_ inspect -f '{{.Id}} {{.ImageName}}' web)" = "$(printf '%064d' 3) docker.io/library/img:1" ]
    counts
}
