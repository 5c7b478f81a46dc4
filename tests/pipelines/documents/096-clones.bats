# Every code block of docs/clones.md has the described result, and docs/examples/clone restores
# several containers from one checkpoint.

load ../lib/helpers
load ../lib/documents

page=docs/clones.md

setup_file() {
    build_image
    documents $page
    hosts
    cp "$source_dir/docs/examples/clone" "$hosts/bin"
    ip link add br0 type bridge
    ip link set br0 up
    cd "$hosts/home/here"
    cp -a "$image" /srv/image
    make_checkpoint web network volume
    make_checkpoint connected network
    make_checkpoint service
}

teardown_file() {
    ip link delete br0
    no_hosts
}

setup() {
    cd "$hosts/home/here"
}

teardown() {
    local dir
    for dir in /srv/clones /srv/services; do
        # shellcheck disable=SC2046 # one argument per clone
        "$hosts/bin/clone" --remove $dir $(ls $dir/clones 2>/dev/null) 2>/dev/null || true
        rm -rf $dir
    done
    teardown_containers
    runc delete -f one 2>/dev/null || true
    if mountpoint -q one/rootfs; then umount one/rootfs; fi
    ip netns delete one 2>/dev/null || true
}

# make_checkpoint NAME [network] [volume]: writes NAME.ckpt, the checkpoint of a container.
make_checkpoint() {
    local name=$1 options=()
    mkdir -p bundle/{rootfs,upper,work,data}
    mount -t overlay overlay -o lowerdir=/srv/image,upperdir=bundle/upper,workdir=bundle/work bundle/rootfs
    if [[ $* == *network* ]]; then
        echo '{"lan": {"interfaces": {"eth0": {"mac_address": "02:10:01:00:00:05",
            "subnets": [{"ipnet": "10.1.0.5/24", "gateway": "10.1.0.1"}]}}}}' >network.status
        ip netns add web
        netstatus apply --netns /run/netns/web --create veth --bridge br0 network.status
        options+=(--network ns:/run/netns/web)
    fi
    if [[ $* == *volume* ]]; then options+=(-v "$PWD/bundle/data:/data"); fi
    spec-gen --new --rootfs "$PWD/bundle/rootfs" --read-only=false --tty=false --hostname original \
        --cgroups-path "$cgroup/original" "${options[@]}" -- /app/count >bundle/config.json
    start runc "$PWD/bundle" "$name"
    checkpoint runc "$PWD/bundle" "$name"
    {
        rootfs-diff create --members --rootfs bundle/rootfs
        if [[ $* == *network* ]]; then netstatus save --members <network.status; fi
        if [[ $* == *volume* ]]; then vol-archive create --members data=bundle/data; fi
    } | ckpt-pack --bundle bundle --compress zstd -o "$name.ckpt" -
    cp bundle/rootfs/tmp/counter "$name.counter"
    umount bundle/rootfs
    rm -r bundle
    if [[ $* == *network* ]]; then ip netns delete web; fi
}

# counts CLONE DIR: succeeds if the clone counts on from the number of the checkpoint.
counts() {
    counted_past "$2/clones/$1/rootfs/tmp/counter" "$(cat web.counter)"
}

@test "clones.md: two clones count on with addresses of their own" {
    follow $page 'web1=10.1.0.11'
    counts web1 /srv/clones
    counts web2 /srv/clones
    [ "$(runc exec web1 hostname) $(runc exec web2 hostname)" = 'web1 web2' ]
    for n in 1 2; do
        [ "$(ip -n web$n -json address show eth0 | jq -r '.[0].addr_info[0].local')" = 10.1.0.1$n ]
    done
    [ "$(ip -n web1 -json link show eth0 | jq '.[0].address')" != "$(ip -n web2 -json link show eth0 | jq '.[0].address')" ]
    runc exec web1 sh -c 'echo mine | tee /app/settings >/data/file; rm /app/first'
    [ "$(runc exec web2 cat /app/settings /app/first /data/file)" = $'changed\nlinked\nin the volume' ]
    [ "$(readlink "/proc/$(runc state web1 | jq .pid)/ns/net")" != "$(readlink "/proc/$(runc state web2 | jq .pid)/ns/net")" ]
    ! grep -q . <(runc exec web2 ls /app/deleted 2>/dev/null)
    # The image, the memory images and the layer stay as they are, also for a later clone.
    find /srv/clones/base /srv/clones/layer /srv/image -type f -exec sha256sum {} + | sort >before
    clone --bridge br0 --volume data:/data /srv/image /nonexistent /srv/clones web3=10.1.0.13
    counts web3 /srv/clones
    find /srv/clones/base /srv/clones/layer /srv/image -type f -exec sha256sum {} + | sort >after
    cmp before after
    # A further clone takes less than 1 MiB.
    [ "$(du -sxk /srv/clones/clones/web3 | cut -f 1)" -lt 1024 ]
    follow $page '--remove /srv/clones web2'
    [ "$(runc list -q | sort | xargs)" = 'web1 web3' ]
    [ ! -e /srv/clones/clones/web2 ]
    [ ! -e /run/netns/web2 ]
}

@test "clones.md: the steps restore one clone without the script" {
    # The container of these steps has no volume.
    mv web.ckpt kept
    cp connected.ckpt web.ckpt
    local status=0
    follow $page '--layer layer web.ckpt' || status=$?
    mv kept web.ckpt
    rm -r base layer
    [ $status = 0 ]
    counted_past one/rootfs/tmp/counter "$(cat connected.counter)"
    [ "$(runc exec one hostname)" = one ]
    runc delete -f one
}

@test "clones.md: a command gives each clone a machine ID" {
    follow $page '--exec'
    counts one /srv/services
    counts two /srv/services
    local one two
    one=$(runc exec one cat /etc/machine-id)
    two=$(runc exec two cat /etc/machine-id)
    [[ $one =~ ^[0-9a-f]{32}$ && $two =~ ^[0-9a-f]{32}$ && $one != "$two" ]]
    [ ! -e /srv/image/etc/machine-id ]
}

@test "clone: volumes are shared, copied or overlays" {
    mkdir /srv/clones
    local mode
    for mode in shared copy overlay; do
        clone --bridge br0 --cgroup "$cgroup" --volume data:/data:$mode /srv/image web.ckpt /srv/clones one=10.1.0.11
        runc exec one sh -c "cat /data/file; echo $mode >/data/$mode"
        grep "$cgroup/one" "/proc/$(runc state one | jq .pid)/cgroup"
        clone --remove /srv/clones one
    done
    [ "$(ls /srv/clones/volumes/data)" = $'file\nshared' ]
}

@test "clone: an address, a MAC and a network name are given" {
    mkdir /srv/clones
    clone --bridge br0 --rename front --volume data:/data /srv/image web.ckpt /srv/clones one=10.1.0.11@02:10:01:00:00:11
    [ "$(ip -n one -json link show eth0 | jq -r '.[0].address')" = 02:10:01:00:00:11 ]
    jq -e 'keys == ["front"] and .front.interfaces.eth0.mac_address == "02:10:01:00:00:11"
        and .front.interfaces.eth0.subnets[0].ipnet == "10.1.0.11/24"' /srv/clones/clones/one/network.status
    netstatus check --netns /run/netns/one /srv/clones/clones/one/network.status
    run ! clone --bridge br0 --volume data:/data /srv/image web.ckpt /srv/clones two=10.1.0.12@mac
    [ ! -e /srv/clones/clones/two ]
    [ ! -e /run/netns/two ]
}

@test "clone: each clone is in its own cgroup, and pauses alone" {
    clone --cgroup "$cgroup" /srv/image service.ckpt /srv/services one two
    local name
    for name in one two; do
        grep ":$cgroup/$name\$" "/proc/$(runc state $name | jq .pid)/cgroup"
    done
    runc pause one
    counted_past /srv/services/clones/two/rootfs/tmp/counter "$(($(cat /srv/services/clones/two/rootfs/tmp/counter) + 3))"
    runc resume one
}

@test "clone: usage, and errors that leave nothing behind" {
    clone --help | grep '^Usage: '
    run -2 --separate-stderr clone --wrong
    [[ $stderr == Usage:* ]]
    run -2 clone /srv/image web.ckpt /srv/clones
    run -2 clone --volume data:data /srv/image web.ckpt /srv/clones one
    fails() {
        local words=$1
        shift
        run --separate-stderr ! clone "$@"
        [[ $stderr == *"$words"* ]]
    }
    fails 'volume data: no destination is known' --bridge br0 /srv/image web.ckpt /srv/clones one=10.1.0.11
    rm -r /srv/clones
    fails 'hint: add --bridge BRIDGE' --volume data:/data /srv/image web.ckpt /srv/clones one
    fails 'one: has no address' --bridge br0 --volume data:/data /srv/image web.ckpt /srv/clones one
    fails '../one: expected CLONE' /srv/image service.ckpt /srv/services ../one
    fails 'commas, colons' /srv/image service.ckpt /srv/a:b one
    # CRIU does not find the file of the shell.
    mkdir empty
    fails 'one: not restored' empty service.ckpt /srv/services one
    [ -z "$(ls /srv/services/clones)" ]
    fails 'no such clone' --remove /srv/services one
    truncate -s -10 service.ckpt
    fails 'service.ckpt' /srv/image service.ckpt /srv/cut one
    fails 'an earlier run did not unpack' /srv/image service.ckpt /srv/cut one
}

@test "demo-clones: several clones of one container" {
    ip link delete br0
    "$tests/demo-clones" 3
    ip link add br0 type bridge
}

@test "clones.md: no code block is untested" {
    all_followed 'make demo-clones'
}
