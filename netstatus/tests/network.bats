# bats file_tags=vm

# A container keeps its addresses and connections when it moves with runc and CRIU between two hosts.
#
# The hosts are network namespaces: lan (a switch), client, hostA and hostB, and the namespaces of the
# container, ctrA and ctrB. The container echoes its input on TCP port 7. A connection of the client
# stays open while the container is checkpointed on hostA and restored on hostB. The client sends a
# line while the container is down.
#
# The tests need root, a Debian 13 system with runc, netavark, nft, iptables, busybox, jq, podman and
# the CNI plugins bridge and host-local, and the six tools in PATH. Tests with the tag "tcp" also need
# a CRIU that can dump TCP sockets on this kernel: tests/host/tcp.

bats_require_minimum_version 1.5.0

ip=10.77.0.5 ip6=fd77::5 mac=02:77:00:00:00:05

setup_file() {
    if [ -n "${NEWER_CRIU:-}" ]; then export PATH=$NEWER_CRIU:$PATH; fi
    export NETAVARK=${NETAVARK:-$(command -v netavark || echo /usr/lib/podman/netavark)}
    export CNI_PATH=${CNI_PATH:-/usr/lib/cni}
    image=$BATS_FILE_TMPDIR/image
    export image
    mkdir -p "$image"/{bin,etc,proc,dev,sys,tmp}
    cp "$(command -v busybox)" "$image/bin/busybox"
    local name
    for name in sh nc cat sleep; do ln -s busybox "$image/bin/$name"; done
    echo root:x:0:0:root:/:/bin/sh >"$image/etc/passwd"
}

setup() {
    dir=$BATS_TEST_TMPDIR
    id=net-$BATS_TEST_NUMBER-$$
    # Batches, because each program takes half a second under emulation.
    local name
    printf 'netns add %s\n' lan client hostA hostB ctrA ctrB | ip -batch -
    {
        echo 'link set lo up'
        echo 'link add lan0 type bridge forward_delay 0'
        echo 'link set lan0 up'
        for name in client hostA hostB; do
            echo "link add port-$name type veth peer name up0 netns $name"
            echo "link set port-$name master lan0 up"
        done
    } | ip -n lan -batch -
    for name in client hostA hostB; do
        printf 'link set %s up\n' lo up0 | ip -n $name -batch -
    done
    printf 'addr add %s dev up0\n' 10.77.0.200/24 'fd77::200/64 nodad' | ip -n client -batch -
}

teardown() {
    exec 8>&- 9>&-
    [ -z "${client:-}" ] || kill "$client" 2>/dev/null || true
    runc delete -f "$id" 2>/dev/null || true
    umount "$dir/A/rootfs" "$dir/rootfs" "$dir/memory" 2>/dev/null || true
    rm -rf /run/migrate.*
    local name
    for name in $(ip netns list | cut -d' ' -f1); do ip netns del "$name" || true; done
}

# on NETNS CMD...: runs CMD in a namespace.
on() {
    nsenter --net="/run/netns/$1" -- "${@:2}"
}

# bridge NETNS: creates a bridge br0 with the uplink as port.
bridge() {
    ip -n "$1" -batch - <<BATCH
link add br0 type bridge forward_delay 0
link set br0 up
link set up0 master br0
BATCH
}

# bundle DIR NETNS: creates a bundle of the echo server in this namespace.
bundle() {
    mkdir -p "$1"
    cp -a "$image" "$1/rootfs"
    (cd "$1" && runc spec)
    jq --arg netns "/run/netns/$2" '
        .process.args = ["/bin/nc", "-ll", "-p", "7", "-e", "/bin/cat"] | .process.terminal = false
        | .root.readonly = false | (.linux.namespaces[] | select(.type == "network")).path = $netns' \
        "$1/config.json" >"$1/config.new"
    mv "$1/config.new" "$1/config.json"
}

# start DIR: starts the bundle, whose namespace is ctrA.
start() {
    runc --log "$dir/runc.log" run -d --bundle "$1" "$id" </dev/null >/dev/null 2>&1 || {
        cat "$dir/runc.log"
        return 1
    }
    # "run -d" returns before the server listens (state 0A).
    local i
    for ((i = 0; i < 150; i++)); do
        if on ctrA grep -q ':0007 [0-9A-F:]* 0A ' /proc/net/tcp /proc/net/tcp6; then return 0; fi
        sleep 0.1
    done
    echo "the container does not listen" >&2
    return 1
}

# connect ADDRESS: opens the connection of the client; descriptor 9 is its input.
connect() {
    mkfifo "$dir/to"
    : >"$dir/from"
    on client busybox nc "$1" 7 <"$dir/to" >"$dir/from" 2>"$dir/client.log" 3>&- &
    client=$!
    exec 9>"$dir/to"
    say before
    echoed before
}

# say LINE: sends LINE, or fails if the connection is closed. The subshell may end by SIGPIPE.
say() {
    (echo "$1" >&9) 2>/dev/null
}

# echoed LINE [TENTHS]: waits for the echo of LINE.
echoed() {
    local i
    for ((i = 0; i < ${2:-150}; i++)); do
        if grep -qx "$1" "$dir/from"; then return 0; fi
        sleep 0.1
    done
    echo "no echo of '$1'" >&2
    return 1
}

checkpoint() {
    runc checkpoint --tcp-established --image-path "${images:-$dir}/checkpoint" --work-path "$dir/work" "$id" || {
        grep Error "$dir/work/dump.log" >&2
        return 1
    }
}

restore() {
    timeout -s KILL 100 runc --log "$dir/restore.err" restore -d --tcp-established --bundle "$1" --image-path "$dir/checkpoint" \
        --work-path "$dir/work" "$id" </dev/null >/dev/null 2>&1 || {
        cat "$dir/restore.err" >&2
        grep Error "$dir/work/restore.log" >&2
        return 1
    }
}

# resets NETNS: prints the number of TCP resets that this namespace has sent.
resets() {
    on "$1" awk '/^Tcp:/ { if (seen) print $column; else for (i = 1; i <= NF; i++) if ($i == "OutRsts") column = i; seen = 1 }' /proc/net/snmp
}

# reset_from NETNS: waits until this namespace has answered a retransmission of the client with a reset.
# The intervals between retransmissions grow.
reset_from() {
    local i
    for ((i = 0; i < 600; i++)); do
        if [ "$(resets "$1")" -ge 1 ]; then return 0; fi
        sleep 0.1
    done
    echo "no reset from $1" >&2
    return 1
}

# identity NETNS: prints MAC and addresses of eth0.
identity() {
    ip -n "$1" -j addr show dev eth0 | jq -c '.[0] | [.address, (.addr_info[] | "\(.local)/\(.prefixlen)")]'
}

netavark_network() {
    cat <<'JSON'
{"name": "agdnet", "id": "0000000000000000000000000000000000000000000000000000000000000001", "driver": "bridge",
 "network_interface": "br0", "internal": false, "dns_enabled": false, "ipv6_enabled": true,
 "subnets": [{"subnet": "10.77.0.0/24", "gateway": "10.77.0.1"}, {"subnet": "fd77::/64", "gateway": "fd77::1"}],
 "ipam_options": {"driver": "host-local"}}
JSON
}

# netavark_start: sets the network of ctrA up on hostA. The input of netavark is $dir/opts.json, its
# output $dir/netavark.json.
netavark_start() {
    jq -n --argjson info "$(netavark_network)" '{container_id: ("0" * 64), container_name: "web",
        networks: {agdnet: {interface_name: "eth0", static_ips: ["10.77.0.5", "fd77::5"]}}, network_info: {agdnet: $info}}' \
        >"$dir/opts.json"
    mkdir -p "$dir/nvA" "$dir/nvB"
    on hostA "$NETAVARK" --config "$dir/nvA" setup /run/netns/ctrA <"$dir/opts.json" >"$dir/netavark.json"
    ip -n hostA link set up0 master br0
}

netavark_stop() {
    on hostA "$NETAVARK" --config "$dir/nvA" teardown /run/netns/ctrA <"$dir/opts.json"
    ip netns del ctrA
}

# netavark_restore: sets the network of ctrB up on hostB from network.status.
netavark_restore() {
    netstatus restore --to netavark --base "$dir/opts.json" <"$dir/network.status" |
        on hostB "$NETAVARK" --config "$dir/nvB" setup /run/netns/ctrB >"$dir/netavark.B.json"
    ip -n hostB link set up0 master br0
}

move_bundle() {
    bundle "$dir/B" ctrB
}

# over_netavark ADDRESS GAP [hold]: moves the container, with the command GAP between the setup of the
# network and the restore.
over_netavark() {
    netavark_start
    netstatus save <"$dir/netavark.json" >"$dir/network.status"
    bundle "$dir/A" ctrA
    start "$dir/A"
    connect "$1"
    identity ctrA >"$dir/identity"
    checkpoint
    say during
    netavark_stop
    move_bundle
    if [ "${3:-}" = hold ]; then netstatus hold --netns /run/netns/ctrB; fi
    netavark_restore
    $2
    restore "$dir/B"
    if [ "${3:-}" = hold ]; then netstatus release --netns /run/netns/ctrB --announce; fi
}

# bats test_tags=tcp
@test "netavark: hold keeps a connection for 4 s until the restore" {
    over_netavark $ip "sleep 4" hold
    echoed during
    say after
    echoed after
    [ "$(identity ctrB)" = "$(cat "$dir/identity")" ]
    diff <(netstatus save <"$dir/netavark.B.json") "$dir/network.status"
    [ "$(resets ctrB)" = 0 ]
}

# bats test_tags=tcp
@test "netavark: without hold the connection is lost without error" {
    over_netavark $ip "reset_from ctrB"
    say after || true
    run ! echoed after 40
    [ "$(resets ctrB)" -ge 1 ]
}

# bats test_tags=tcp
@test "netavark: an IPv6 connection survives" {
    over_netavark $ip6 "sleep 1" hold
    echoed during
    say after
    echoed after
    [ "$(resets ctrB)" = 0 ]
}

# plain_start: attaches ctrA to a bridge of hostA through a veth, with ip(8) only.
plain_start() {
    bridge hostA
    bridge hostB
    ip -n hostA -batch - <<BATCH
link add vctr type veth peer name eth0 address $mac netns ctrA
link set vctr master br0 up
BATCH
    ip -n ctrA -batch - <<BATCH
link set lo up
addr add $ip/24 dev eth0
addr add $ip6/64 dev eth0 nodad
link set eth0 up
route add default via 10.77.0.200
BATCH
}

# plain_stop: removes the network of plain_start. The kernel destroys a deleted namespace in the
# background, and its interface answers until then.
plain_stop() {
    ip -n ctrA link del eth0
    ip netns del ctrA
}

# plain_move: saves and checkpoints the container on hostA, and holds ctrB.
plain_move() {
    plain_start
    bundle "$dir/A" ctrA
    start "$dir/A"
    connect $ip
    on hostA netstatus save --netns /run/netns/ctrA --network eth0=web >"$dir/network.status"
    checkpoint
    say during
    plain_stop
    move_bundle
    netstatus hold --netns /run/netns/ctrB
}

# bats test_tags=tcp
@test "veth and bridge: save and apply keep the connection" {
    plain_move
    on hostB netstatus apply --netns /run/netns/ctrB --create veth --bridge br0 <"$dir/network.status"
    netstatus check --netns /run/netns/ctrB <"$dir/network.status"
    sleep 4
    restore "$dir/B"
    netstatus release --netns /run/netns/ctrB --announce
    echoed during
    say after
    echoed after
    [ "$(resets ctrB)" = 0 ]
    # The new namespace has the same status as the old one.
    diff <(on hostB netstatus save --netns /run/netns/ctrB --network eth0=web) "$dir/network.status"
}

# bats test_tags=tcp
@test "ip -batch: the batch can run twice and keeps the connection" {
    plain_move
    ip -n hostB link add vctr type veth peer name eth0 netns ctrB
    ip -n hostB link set vctr master br0 up
    netstatus restore --to ip-batch <"$dir/network.status" >"$dir/batch"
    ip -n ctrB -batch - <"$dir/batch"
    ip -n ctrB -batch - <"$dir/batch"
    netstatus check --netns /run/netns/ctrB <"$dir/network.status"
    restore "$dir/B"
    netstatus release --netns /run/netns/ctrB --announce
    echoed during
    say after
    echoed after
}

# bats test_tags=tcp
@test "peers use the old MAC until the new one is announced" {
    plain_move
    netstatus restore --to status --mac web=02:77:00:00:00:99 <"$dir/network.status" >"$dir/new.status"
    on hostB netstatus apply --netns /run/netns/ctrB --create veth --bridge br0 <"$dir/new.status"
    restore "$dir/B"
    # The client sends to the MAC of its old neighbor entry.
    on client ip neigh replace $ip lladdr $mac dev up0 nud reachable
    netstatus release --netns /run/netns/ctrB
    run ! echoed during 15
    netstatus release --netns /run/netns/ctrB --announce
    echoed during
    say after
    echoed after
    [ "$(on client ip neigh show $ip | awk '{print $5}')" = 02:77:00:00:00:99 ]
}

# bats test_tags=tcp
@test "hold with iptables keeps the connection if there is no nft" {
    command -v iptables-restore
    mkdir "$dir/bin"
    local name
    for name in iptables ip6tables iptables-restore ip6tables-restore; do
        ln -s "$(command -v $name)" "$dir/bin/$name"
    done
    without_nft() { PATH=$dir/bin "$(command -v netstatus)" "$@"; }
    plain_start
    bundle "$dir/A" ctrA
    start "$dir/A"
    connect $ip
    on hostA netstatus save --netns /run/netns/ctrA --network eth0=web >"$dir/network.status"
    checkpoint
    say during
    plain_stop
    move_bundle
    without_nft hold --netns /run/netns/ctrB
    on ctrB iptables-save | grep -q NETSTATUS_HOLD
    on hostB netstatus apply --netns /run/netns/ctrB --create veth --bridge br0 <"$dir/network.status"
    sleep 4
    restore "$dir/B"
    without_nft release --netns /run/netns/ctrB --announce
    echoed during
    say after
    echoed after
    [ "$(resets ctrB)" = 0 ]
}

cni() { # cni HOST ADD|DEL CTR CONF
    on "$1" env CNI_COMMAND="$2" CNI_CONTAINERID=web CNI_NETNS="/run/netns/$3" CNI_IFNAME=eth0 CNI_PATH="$CNI_PATH" \
        "$CNI_PATH/bridge" <"$4"
}

cni_conf() { # cni_conf VERSION DATADIR
    jq -n --arg version "$1" --arg data "$2" '{cniVersion: $version, name: "web", type: "bridge", bridge: "br0",
        isGateway: true, ipMasq: false, hairpinMode: true, capabilities: {ips: true, mac: true},
        ipam: {type: "host-local", dataDir: $data, ranges: [
            [{subnet: "10.77.0.0/24", rangeStart: "10.77.0.10", gateway: "10.77.0.1"}], [{subnet: "fd77::/64", gateway: "fd77::1"}]],
            routes: [{dst: "0.0.0.0/0"}, {dst: "::/0"}]}}'
}

over_cni() {
    ip -n ctrA link set lo up
    cni_conf "$1" "$dir/ipamA" >"$dir/A.conf"
    cni hostA ADD ctrA "$dir/A.conf" >"$dir/A.result"
    ip -n hostA link set up0 master br0
    netstatus save --network web <"$dir/A.result" >"$dir/network.status"
    bundle "$dir/A" ctrA
    start "$dir/A"
    connect "$(jq -r '.ips[0].address | split("/")[0]' "$dir/A.result")"
    identity ctrA >"$dir/identity"
    checkpoint
    say during
    cni hostA DEL ctrA "$dir/A.conf"
    ip netns del ctrA
    move_bundle
    ip -n ctrB link set lo up
    netstatus hold --netns /run/netns/ctrB
    cni_conf "$1" "$dir/ipamB" | netstatus restore --to cni --base /dev/stdin "$dir/network.status" >"$dir/B.conf"
    cni hostB ADD ctrB "$dir/B.conf" >"$dir/B.result"
    ip -n hostB link set up0 master br0
    sleep 4
    restore "$dir/B"
    netstatus release --netns /run/netns/ctrB --announce
    echoed during
    say after
    echoed after
    [ "$(resets ctrB)" = 0 ]
    diff <(netstatus save --network web <"$dir/B.result") "$dir/network.status"
    [ "$(identity ctrB | jq -c 'map(select(startswith("fe80") | not))')" = "$(jq -c 'map(select(startswith("fe80") | not))' <"$dir/identity")" ]
}

# bats test_tags=tcp
@test "CNI 1.0.0: addresses, MAC and connection survive" {
    over_cni 1.0.0
}

# bats test_tags=tcp
@test "CNI 0.4.0: addresses, MAC and connection survive" {
    over_cni 0.4.0
}

@test "check --probe reports the address while the old host has it" {
    plain_start
    on hostA netstatus save --netns /run/netns/ctrA --network eth0=web >"$dir/network.status"
    netstatus hold --netns /run/netns/ctrB
    # Both hosts have the same MAC, as in a restore that keeps the MAC while the old container exists.
    netstatus restore --to status --ignore-static-ip <"$dir/network.status" >"$dir/link.status"
    on hostB netstatus apply --netns /run/netns/ctrB --create veth --bridge br0 <"$dir/link.status"
    run -1 netstatus check --netns /run/netns/ctrB --probe "$dir/network.status"
    [[ $output = *"10.77.0.5: in use by another host, MAC $mac"* ]]
    [[ $output = *"fd77::5: in use by another host, MAC $mac"* ]]
    plain_stop
    netstatus check --netns /run/netns/ctrB --probe "$dir/network.status"
}

@test "hold and release can be repeated with nft and iptables" {
    plain_start
    reaches() { on client busybox ping -c 1 -W 1 "$1" >/dev/null; }
    reaches $ip && reaches $ip6
    mkdir "$dir/bin"
    local name tool path
    tool=$(command -v netstatus)
    for name in iptables ip6tables iptables-restore ip6tables-restore; do
        ln -s "$(command -v $name)" "$dir/bin/$name"
    done
    ip -n ctrA link set lo up
    for path in "$PATH" "$dir/bin"; do
        PATH=$path "$tool" hold --netns /run/netns/ctrA
        PATH=$path "$tool" hold --netns /run/netns/ctrA
        run ! reaches $ip
        run ! reaches $ip6
        on ctrA busybox ping -c 1 -W 1 127.0.0.1
        on ctrA busybox ping -c 1 -W 1 ::1
        PATH=$path "$tool" release --netns /run/netns/ctrA
        reaches $ip && reaches $ip6
        PATH=$path run -0 "$tool" release -v --netns /run/netns/ctrA
        [[ $output = *"was not held"* ]]
    done
    PATH=/nonexistent run -1 "$tool" hold --netns /run/netns/ctrA
    [[ $output = *"neither nft nor iptables-restore is in PATH"* ]]
}

@test "ckpt-pack --check predicts whether CRIU can dump TCP" {
    command -v /usr/sbin/criu
    plain_start
    bundle "$dir/A" ctrA
    start "$dir/A"
    connect $ip
    local pid
    pid=$(runc state "$id" | jq .pid)
    run ckpt-pack --check --criu /usr/sbin/criu --pid "$pid"
    [[ $output = *" established TCP connection"*"hint: pass --tcp-established to runc checkpoint and to runc restore"* ]]
    PATH=/usr/sbin:$PATH
    if [[ $output = *"INET sockets on a kernel since 6.16"* ]]; then
        [ "$status" = 1 ]
        run ! checkpoint
        # The container and its connection continue.
        say after
        echoed after
    else
        [ "$status" = 0 ]
        checkpoint
    fi
}

# criu_lock IPTABLES-RESTORE: adds the rules with which CRIU locks a namespace (criu, net.c).
criu_lock() {
    on ctrA "$1" -n <<'RULES'
*filter
:CRIU - [0:0]
-I INPUT -j CRIU
-I OUTPUT -j CRIU
-A CRIU -j DROP
COMMIT
RULES
}

@test "release reports CRIU's lock, and removes it on request" {
    criu_lock iptables-restore
    on ctrA nft add table inet CRIU-77
    run -0 netstatus release --netns /run/netns/ctrA
    [[ $output = *"warning: /run/netns/ctrA: CRIU's network lock is still present (table inet CRIU-77, iptables chain CRIU)"* ]]
    run -0 netstatus release --netns /run/netns/ctrA --remove-criu-lock
    [ -z "$output" ]
    run ! on ctrA iptables -C INPUT -j CRIU
    [ -z "$(on ctrA nft list tables | grep CRIU)" ]
}

@test "release removes iptables-legacy rules that nft does not list" {
    command -v iptables-legacy-restore
    mkdir "$dir/bin"
    local name
    for name in iptables ip6tables; do
        ln -s "$(command -v $name-legacy)" "$dir/bin/$name"
        ln -s "$(command -v $name-legacy-restore)" "$dir/bin/$name-restore"
    done
    on ctrA iptables-legacy -S >/dev/null || skip "not run: the kernel has no ip_tables"
    tool=$(command -v netstatus)
    PATH=$dir/bin "$tool" hold --netns /run/netns/ctrA
    criu_lock iptables-legacy-restore
    # nft is in PATH, and iptables is iptables-legacy.
    PATH=$dir/bin:$PATH
    run -0 netstatus release -v --netns /run/netns/ctrA
    [[ $output != *"was not held"* ]]
    [[ $output = *"(iptables chain CRIU)"* ]]
    run -0 netstatus release --netns /run/netns/ctrA --remove-criu-lock
    [ "$(on ctrA iptables-legacy -S)" = $'-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT' ]
    [ "$(on ctrA ip6tables-legacy -S)" = $'-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT' ]
}

# The migration uses the two functions in docs/migration.md, with a pipe between them instead of ssh.

eval "$(sed -n '/^```sh/,/^```/{/^```/!p}' "$BATS_TEST_DIRNAME/../../docs/migration.md")"

# migration_start: starts the container on hostA with an open connection, and prepares hostB.
migration_start() {
    netavark_start
    bundle "$dir/A" ctrA
    # The root is an overlay over the image, so that the container has changes to transfer.
    rm -r "$dir/A/rootfs"
    mkdir -p "$dir"/A/{rootfs,upper,work} "$dir"/{rootfs,upper,overlay}
    mount -t overlay overlay -o "lowerdir=$image,upperdir=$dir/A/upper,workdir=$dir/A/work" "$dir/A/rootfs"
    mount -t overlay overlay -o "lowerdir=$image,upperdir=$dir/upper,workdir=$dir/overlay" "$dir/rootfs"
    jq --arg root "$dir/A/rootfs" '.root.path = $root' "$dir/A/config.json" >"$dir/A/config.new"
    mv "$dir/A/config.new" "$dir/A/config.json"
    # Replaces /etc/criu/default.conf. With CRIU 4.1, the restore on the old host
    # fails because of CRIU's own nftables lock.
    export CRIU_CONFIG_FILE=$dir/criu.conf
    case $(criu --version) in
    "Version: 4.1"*) : >"$CRIU_CONFIG_FILE" ;;
    *) echo "network-lock nftables" >"$CRIU_CONFIG_FILE" ;;
    esac
    cp "$dir/netavark.json" "$dir/A"
    mkdir "$dir/memory"
    mount -t tmpfs -o mode=700 tmpfs "$dir/memory"
    start "$dir/A"
    connect $ip
    identity ctrA >"$dir/identity"
    runc exec "$id" sh -c 'echo changed >/etc/new; rm /etc/passwd'

    # This also creates CRIU's cache of kernel features, /run/criu.kdat.
    ckpt-pack --check --pid "$(runc state "$id" | jq .pid)"
    netstatus hold --silent --netns /run/netns/ctrB
    netstatus save <"$dir/netavark.json" >"$dir/network.status"
    netavark_restore
    # Both hosts now have the address and the MAC, but only hostA answers.
    sleep 1
    say prepared
    echoed prepared
    [ "$(on client busybox arping -c 2 -I up0 $ip | grep -c 'reply from')" = 2 ]
}

# bats test_tags=tcp
@test "migration: a pipe moves files, addresses and connection" {
    migration_start
    local begin end
    begin=$(date +%s%N)
    set -o pipefail
    migrate_out "$id" "$dir/A" ctrA | (
        # Both hosts are the same machine, so runc needs separate roots for the two containers.
        runc() { command runc --root "$dir/runcB" "$@"; }
        netstatus() {
            # Packets pass before the announcements are sent.
            if [ "$1" = release ]; then
                command netstatus release --netns /run/netns/ctrB
                date +%s%N >"$dir/end"
            fi
            command netstatus "$@"
        }
        migrate_in "$id" "$dir/memory/B" "$dir/rootfs" ctrB
    )
    end=$(cat "$dir/end")
    say during
    echoed during
    echo "# downtime $(((end - begin) / 1000000)) ms" >&3

    say after
    echoed after
    [ "$(identity ctrB)" = "$(cat "$dir/identity")" ]
    [ "$(resets ctrB)" = 0 ]
    [ "$(cat "$dir/rootfs/etc/new")" = changed ]
    [ ! -e "$dir/rootfs/etc/passwd" ]
    # Taking the old network down does not affect the new one.
    netavark_stop
    say last
    echoed last
    runc --root "$dir/runcB" delete -f "$id"
    # The limit is many times the usual downtime, so that only a wait exceeds it.
    [ $(((end - begin) / 1000000)) -lt "${DOWNTIME_LIMIT:-30000}" ]
}

# bats test_tags=tcp
@test "migrate: one command moves the addresses and the connection" {
    migration_start
    # Both hosts are the same machine, so runc needs separate roots for the two containers.
    mkdir "$dir/bin"
    printf '#!/bin/sh\nexec %s --root %s "$@"\n' "$(command -v runc)" "$dir/runcB" >"$dir/bin/runc"
    printf '#!/bin/sh\nPATH=%s:$PATH exec sh -c "$1"\n' "$dir/bin" >"$dir/ssh"
    chmod +x "$dir/bin/runc" "$dir/ssh"
    timeout -s KILL $((${BATS_TEST_TIMEOUT:-120} - 10)) "$BATS_TEST_DIRNAME/../../docs/examples/migrate" --ssh "$dir/ssh" --tcp-established --netns ctrA=ctrB \
        --network-status "$dir/netavark.json" --to-bundle "$dir/memory/B" --to-rootfs "$dir/rootfs" \
        --spec --cgroups-path="/there-$id" "$id"
    say during
    echoed during
    [ "$(identity ctrB)" = "$(cat "$dir/identity")" ]
    [ "$(resets ctrB)" = 0 ]
    [ "$(cat "$dir/rootfs/etc/new")" = changed ]
    [ ! -e "$dir/rootfs/etc/passwd" ]
    run ! runc state "$id"
    # Not in the cgroup that the images name, also under version 2 of cgroups.
    grep ":/there-$id\$" "/proc/$(runc --root "$dir/runcB" state "$id" | jq .pid)/cgroup"
    netavark_stop
    say last
    echoed last
    runc --root "$dir/runcB" delete -f "$id"
}

# bats test_tags=tcp
@test "migration: the old host continues if the new host fails" {
    migration_start
    # The receiver exits before it has read everything.
    run ! bash -o pipefail -c "$(declare -f migrate_out); migrate_out $id $dir/A ctrA | { head -c 20000 >/dev/null; false; }"
    say during
    [ "$(on client busybox arping -c 1 -w 2 -I up0 $ip | grep -c 'reply from')" = 0 ]
    timeout -s KILL 100 runc --log "$dir/restore.err" restore -d --tcp-established --bundle "$dir/A" --image-path /run/migrate.*/checkpoint \
        --work-path "$dir/work" "$id" </dev/null >/dev/null 2>&1 || {
        cat "$dir/restore.err"
        grep Error "$dir/work/restore.log"
        return 1
    }
    netstatus release --netns /run/netns/ctrA --announce
    echoed during
    say after
    echoed after
    [ "$(identity ctrA)" = "$(cat "$dir/identity")" ]
    [ "$(resets ctrA)" = 0 ]
}

@test "podman restores with the address that netstatus has set" {
    podman=(podman --root "$dir/root" --runroot "$dir/runroot" --cgroup-manager cgroupfs --events-backend file
        --runtime runc --log-level error --network-config-dir "$dir/networks")
    command -v podman
    mkdir "$dir/networks"
    bridge hostA
    # podman sets its network up in the namespace of its caller, hostA. Descriptor 3 is closed, because
    # processes that podman leaves running would keep bats waiting for it.
    podman() { on hostA "${podman[@]}" "$@" 3>&-; }
    tar -C "$image" -c . | podman import --change CMD=/bin/sh - localhost/bb
    podman network create --disable-dns --subnet 10.91.1.0/24 --subnet fd91:1::/64 --ipv6 agdpod
    # The loop is needed because CRIU interrupts a long sleep, which then returns early.
    podman run -d --name pod --network agdpod localhost/bb sh -c 'while :; do sleep 0.2; done'
    podman container checkpoint --compress none --export "$dir/pod.tar" pod
    podman rm -f -t 0 pod
    tar -xOf "$dir/pod.tar" network.status >"$dir/theirs"
    # netstatus preserves the status of podman, and then changes addresses and MAC.
    diff <(netstatus save <"$dir/theirs") <(cat "$dir/theirs"; echo)
    netstatus restore --to status --ip agdpod=10.91.1.77,fd91:1::77 --mac agdpod=02:91:00:00:00:77 \
        <"$dir/theirs" >"$dir/network.status"
    mkdir "$dir/archive"
    tar -C "$dir/archive" -xf "$dir/pod.tar"
    cp "$dir/network.status" "$dir/archive/network.status"
    tar -C "$dir/archive" -cf "$dir/ours.tar" .
    podman container restore --import "$dir/ours.tar"
    podman inspect pod | jq -e '.[0].NetworkSettings.Networks.agdpod
        | .IPAddress == "10.91.1.77" and .GlobalIPv6Address == "fd91:1::77" and .MacAddress == "02:91:00:00:00:77"'
    # netstatus reads the same values from the namespace of podman.
    on hostA netstatus save -q --pid "$(podman inspect -f '{{.State.Pid}}' pod)" --network eth0=agdpod >"$dir/live"
    jq -e '.agdpod.interfaces.eth0.mac_address == "02:91:00:00:00:77"
        and ([.agdpod.interfaces.eth0.subnets[].ipnet] == ["10.91.1.77/24", "fd91:1::77/64"])' "$dir/live"
    # A copy of the container runs with the options for podman run.
    # shellcheck disable=SC2046  # each option is one word
    podman run -d --name copy $(netstatus restore --to podman --ip agdpod=10.91.1.78,fd91:1::78 \
        --mac agdpod=02:91:00:00:00:78 --ifname agdpod=data0 <"$dir/live") localhost/bb sh -c 'while :; do sleep 0.2; done'
    on hostA netstatus save -q --pid "$(podman inspect -f '{{.State.Pid}}' copy)" --network data0=agdpod >"$dir/copy"
    jq -e '.agdpod.interfaces.data0.mac_address == "02:91:00:00:00:78"
        and ([.agdpod.interfaces.data0.subnets[].ipnet] == ["10.91.1.78/24", "fd91:1::78/64"])' "$dir/copy"
    podman rm -f -t 0 pod copy
}
