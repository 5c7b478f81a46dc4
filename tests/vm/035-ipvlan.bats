# An ipvlan has the MAC address of its parent, and netstatus reports a status with another one.

# bats file_tags=vm

bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    ip netns add host
    ip netns add web
    ip -n host link set lo up
    ip -n host link add mp0 address 02:77:00:00:00:01 type veth peer name mp1
    ip -n host link set mp0 up
    ip -n host link set mp1 up
    ip -n host address add 10.77.0.200/24 dev mp1
    echo '{"lan": {"interfaces": {"eth0": {"mac_address": "02:77:00:00:00:05", "subnets": [
        {"ipnet": "10.77.0.5/24", "gateway": "10.77.0.1"}, {"ipnet": "fd77::5/64", "gateway": "fd77::1"}]}}}}' >network.status
}

teardown() {
    ip netns delete web
    ip netns delete host
}

@test "apply creates an ipvlan and reports the different MAC" {
    run -0 --separate-stderr ip netns exec host netstatus apply --netns /run/netns/web --create ipvlan --parent mp0 network.status
    [[ $stderr = *"interface eth0: MAC 02:77:00:00:00:05 left out: an ipvlan interface has the MAC of its parent"* ]]
    ip -n web -d -json link show dev eth0 | jq -e '.[0].address == "02:77:00:00:00:01" and .[0].linkinfo.info_kind == "ipvlan"'
    netstatus check --netns /run/netns/web network.status
    ip netns exec host netstatus save -q --netns /run/netns/web --network eth0=lan >saved
    jq -e '[.lan.interfaces.eth0.subnets[].ipnet] == ["10.77.0.5/24", "fd77::5/64"]' saved
    # A second run changes nothing.
    run -0 ip netns exec host netstatus apply -v --netns /run/netns/web --create ipvlan --parent mp0 network.status
    [[ $output = *" 0 changes"* ]]
}

@test "restore --to netavark reports the omitted MAC of an ipvlan" {
    echo '{"name": "lan", "id": "00", "driver": "ipvlan", "network_interface": "mp0", "internal": false, "dns_enabled": false,
        "ipv6_enabled": true, "subnets": [{"subnet": "10.77.0.0/24", "gateway": "10.77.0.1"}, {"subnet": "fd77::/64", "gateway": "fd77::1"}],
        "ipam_options": {"driver": "host-local"}}' >lan.json
    run -0 --separate-stderr netstatus restore --to netavark --network-info lan.json --container-id x --container-name y network.status
    [[ $stderr = *"MAC 02:77:00:00:00:05 left out"* ]]
    echo "$output" >in.json
    mkdir config
    ip netns exec host /usr/lib/podman/netavark --config config setup /run/netns/web <in.json >answer.json
    netstatus save <answer.json >new.status
    jq -e '[.lan.interfaces.eth0.subnets[].ipnet] == ["10.77.0.5/24", "fd77::5/64"]' new.status
    # netavark does not disable duplicate address detection for an ipvlan's IPv6 address.
    netstatus check --wait 20 --netns /run/netns/web network.status
}
