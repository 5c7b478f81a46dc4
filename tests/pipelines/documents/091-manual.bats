# Every code block of the tools' manual pages has the described result (see documents.bash).

load ../lib/helpers
load ../lib/documents

setup_file() {
    if [ -n "${NEWER_CRIU:-}" ]; then export PATH=$NEWER_CRIU:$PATH; fi
    build_image
    documents man/{ckpt-pack,ckpt-unpack,rootfs-diff,vol-archive,netstatus,spec-gen}.1
    hosts
    web_runs -v /srv/data:/data
    runc state web >state.json
    # All pages use the checkpoint of one container.
    follow man/ckpt-pack.1 '--leave-running web'
    mv web.ckpt "$BATS_FILE_TMPDIR/live.ckpt"
    # shellcheck disable=SC2016
    follow man/ckpt-pack.1 '--work-path $B web'
    cp web.ckpt state.json "$BATS_FILE_TMPDIR"
    checkpointed=$BATS_FILE_TMPDIR/web.ckpt
    export checkpointed
}

teardown_file() {
    web_is_gone
    no_hosts
}

setup() {
    cd "$hosts/home/here"
    rm -rf ./*
    local host
    for host in here there; do
        ssh $host ip netns delete web 2>/dev/null || true
    done
}

# root DIR: creates a root file system with the files of the image, without any mounts.
root() {
    mkdir -p "$(dirname "$1")"
    cp -a "$image" "$1"
}

@test "ckpt-pack(1): packing while CRIU dumps has all members" {
    zstd -dqo live.tar "$BATS_FILE_TMPDIR/live.ckpt"
    for member in rootfs-diff.tar volumes/data.tar checkpoint/inventory.img checkpoint/pages-1.img; do
        tar -tf live.tar | grep -qx "$member"
    done
    ckpt-unpack --verify "$BATS_FILE_TMPDIR/live.ckpt"
}

@test "ckpt-pack(1): separate stages produce the same as the pipe" {
    follow man/ckpt-pack.1 'volumes/data.tar=data.tar'
    rootfs-diff create --members --rootfs "$B/rootfs" >expected
    cmp <(tar -xOf web.ckpt rootfs-diff.tar) <(tar -xOf expected rootfs-diff.tar)
    [ "$(tar -xOf web.ckpt volumes/data.tar | tar -xO file)" = 'in the volume' ]
    ckpt-unpack --verify web.ckpt
}

@test "ckpt-pack(1): the example creates an image for registries" {
    follow man/ckpt-pack.1 '--tag registry.example/web:1'
    skopeo inspect --raw oci-archive:web.oci:registry.example/web:1 | jq -e '.annotations["io.podman.annotations.checkpoint.name"]'
}

@test "ckpt-pack(1): an archive of CRI-O becomes an image" {
    xz -dc "$tests/../ckpt-unpack/tests/data/g31-cri-o.tar.xz" >checkpoint-web.tar
    follow man/ckpt-pack.1 'checkpoint-web.tar'
    skopeo inspect --raw oci-archive:web.oci:registry.example/web:2 |
        jq -e '.annotations["io.kubernetes.cri-o.annotations.checkpoint.name"] == "k8s_web_web-pod_default_uid-web-pod_0"'
}

@test "ckpt-pack(1): a chain of incremental archives is flattened" {
    follow man/ckpt-pack.1 '--base monday.ckpt -o tuesday.ckpt'
    follow man/ckpt-pack.1 '--from-archive wednesday.ckpt'
    ckpt-unpack --verify full.ckpt
    [ "$(stat -c %s wednesday.ckpt)" -lt "$(($(stat -c %s monday.ckpt) / 2))" ]
}

@test "ckpt-pack(1): two archives and /dev/shm become a pod archive" {
    echo '{"metadata":{"name":"shop"}}' >pod.json
    cp "$checkpointed" web.ckpt
    cp "$checkpointed" db.ckpt
    export SHM=$BATS_TEST_TMPDIR/shm
    mkdir "$SHM"
    echo shared >"$SHM/file"
    follow man/ckpt-pack.1 '--pod-config pod.json'
    ckpt-unpack --verify shop.pod
    [ "$(ckpt-unpack --cat devshm-checkpoint.tar file shop.pod)" = shared ]
}

@test "ckpt-unpack(1): a container and the network of a pod are read" {
    echo '{"metadata":{"name":"shop"}}' >pod.json
    cp "$checkpointed" web.ckpt
    ckpt-unpack --cat network.status web.ckpt >status
    ckpt-pack --pod-config pod.json --container web=web.ckpt --member network.status=status -o shop.pod
    export B2=$BATS_TEST_TMPDIR/web2
    follow man/ckpt-unpack.1 '--container web' >seen
    cmp seen status
    [ -f "$B2/spec.dump" ]
}

@test "ckpt-pack(1): a chain of archives stored as XOR is flattened" {
    follow man/ckpt-pack.1 '--base 9am.ckpt --xor -o 10am.ckpt'
    follow man/ckpt-pack.1 '--from-archive 11am.ckpt'
    ckpt-unpack --verify noon.ckpt
    [ "$(stat -c %s 11am.ckpt)" -lt "$(($(stat -c %s 9am.ckpt) / 2))" ]
}

@test "ckpt-pack(1): --check accepts a host with a newer CRIU" {
    [ -n "${NEWER_CRIU+known}" ] || not_run "needs a CRIU that dumps TCP sockets"
    follow man/ckpt-pack.1 '--check -v'
}

@test "ckpt-unpack(1): the example lists members and the address" {
    cp "$checkpointed" web.ckpt
    follow man/ckpt-unpack.1 '--list web.ckpt' >seen
    grep -w 'rootfs-diff.tar' seen
    grep -w '10.88.0.5' seen
}

@test "ckpt-unpack(1): bundle, root file system, volume are written" {
    cp "$checkpointed" web.ckpt
    export B2=$BATS_TEST_TMPDIR/web2
    overlay "$B2"
    follow man/ckpt-unpack.1 '--volume data=/srv/data2'
    same_tree "$B/rootfs" "$B2/rootfs"
    same_tree /srv/data /srv/data2
    [ -f "$B2/spec.dump" ]
    umount "$B2/rootfs"
}

@test "ckpt-unpack(1): a file of the diff and a document are printed" {
    cp "$checkpointed" web.ckpt
    follow man/ckpt-unpack.1 '--cat rootfs-diff.tar' >seen
    grep -x changed seen
    grep '"id":' seen
}

@test "ckpt-unpack(1): a truncated copy fails the verification" {
    cp "$checkpointed" "$hosts/home/there/web.ckpt"
    follow man/ckpt-unpack.1 'ssh there'
    truncate -s -10 "$hosts/home/there/web.ckpt"
    run ! follow man/ckpt-unpack.1 'ssh there'
}

@test "rootfs-diff(1): the example lists the container's changes" {
    printf '#!/bin/sh\nexec cat "$@"\n' >"$hosts/bin/less"
    chmod +x "$hosts/bin/less"
    cp "$checkpointed" web.ckpt
    follow man/rootfs-diff.1 'rootfs-diff list' >seen
    rm "$hosts/bin/less"
    grep -x 'C /app/settings' seen
    grep -x 'D /app/deleted' seen
    grep -x '+changed' seen
}

@test "rootfs-diff(1): the diff is packed with the checkpoint" {
    follow man/rootfs-diff.1 'ckpt-pack --bundle'
    ckpt-unpack --verify web.ckpt
}

@test "rootfs-diff(1): a diff works without ckpt-pack" {
    mkdir up top base work merged copy
    echo one | tee base/kept base/changed base/removed >/dev/null
    echo two >top/added
    mount -t overlay overlay -o lowerdir=top:base,upperdir=up,workdir=work merged
    cp -a merged/. copy
    echo three >merged/changed
    rm merged/removed
    mkdir merged/new
    umount merged
    follow man/rootfs-diff.1 '--upper up'
    mount -t overlay overlay -o lowerdir=top:base,upperdir=up,workdir=work merged
    same_tree merged copy
    umount merged
}

@test "rootfs-diff(1): two overlays share a diff as a layer" {
    root /srv/image
    rootfs-diff create --rootfs "$B/rootfs" --deleted deleted.files >diff.tar
    follow man/rootfs-diff.1 '--layer layer'
    # The root of an overlay is the root of its upper directory, which is new.
    touch -r "$B/rootfs" 1/rootfs 2/rootfs
    same_tree "$B/rootfs" 1/rootfs
    echo own >1/rootfs/app/settings
    same_tree "$B/rootfs" 2/rootfs
    umount 1/rootfs 2/rootfs
}

@test "rootfs-diff(1): umoci accepts the diff as an image layer" {
    umoci init --layout web
    umoci new --image web:new
    follow man/rootfs-diff.1 '--format oci'
    umoci unpack --image web:new unpacked
    [ "$(cat unpacked/rootfs/app/settings)" = changed ]
}

@test "vol-archive(1): a volume is copied to another host" {
    follow man/vol-archive.1 'ssh there'
    same_tree /srv/data "/proc/$(cat "$hosts/there")/root/srv/data"
}

@test "vol-archive(1): volumes and shared memory are packed" {
    mkdir -p /srv/{db,www} /run/web/shm
    echo rows >/srv/db/table
    echo shared >/run/web/shm/file
    follow man/vol-archive.1 'db=/srv/db'
    [ "$(tar -tf web.ckpt | grep -cE '^(volumes/(db|www)|devshm-checkpoint)\.tar$')" = 3 ]
}

@test "vol-archive(1): one volume of an archive is extracted" {
    zstd -dq <"$checkpointed" >web.tar
    cp -a /srv/data before
    rm -r /srv/data
    follow man/vol-archive.1 'ckpt-unpack --cat volumes/data.tar'
    same_tree before /srv/data
}

# lan NAME...: creates a bridge NAME on both hosts.
lan() {
    local host
    for host in here there; do
        ssh $host ip link add "$1" type bridge
        ssh $host ip link set "$1" up
    done
}

@test "netstatus(1): netavark sets up the network on another host" {
    ip netns add web
    cp "$tests/netavark-options.json" opts.json
    cp "$tests/netavark-options.json" "$hosts/home/there/opts.json"
    follow man/netstatus.1 'netstatus save > network.status'
    cp network.status "$hosts/home/there"
    ssh there ip netns add web
    follow_there man/netstatus.1 '--base opts.json'
    [ "$(ip -n web -json address show eth0 | jq -c '.[0] | .address, .addr_info[0].local')" = \
        "$(ssh there ip -n web -json address show eth0 | jq -c '.[0] | .address, .addr_info[0].local')" ]
}

# bats test_tags=tcp
@test "netstatus(1): a container moves without netavark" {
    lan br0
    ip netns add web
    echo '{"web": {"interfaces": {"eth0": {"mac_address": "02:10:01:00:00:05",
        "subnets": [{"ipnet": "10.1.0.5/24", "gateway": "10.1.0.1"}]}}}}' |
        netstatus apply --netns /run/netns/web --create veth --bridge br0
    root web/rootfs
    (cd web && spec-gen --new --rootfs rootfs --read-only=false --tty=false --cgroups-path "$cgroup" \
        --network ns:/run/netns/web -- /app/count |
        jq '.root.path = "rootfs"' >config.json)
    start runc web web
    follow man/netstatus.1 'runc checkpoint --tcp-established --image-path img web'
    before=$(counted web/rootfs)
    cp -a web img network.status "$hosts/home/there"
    follow_there man/netstatus.1 '--create veth --bridge br0'
    counted_past "$hosts/home/there/web/rootfs/tmp/counter" "$before"
    [ "$(ssh there ip -n web -json address show eth0 | jq -r '.[0] | .address, .addr_info[0].local' | xargs)" = \
        '02:10:01:00:00:05 10.1.0.5' ]
    ssh there runc delete -f web
}

@test "netstatus(1): a copy of a container gets another address" {
    cat >"$hosts/bin/podman" <<PODMAN
#!/bin/sh
exec /usr/bin/podman --root "$BATS_TEST_TMPDIR/root" --runroot "$BATS_TEST_TMPDIR/run" --storage-driver overlay \
    --cgroup-manager cgroupfs --events-backend none --runtime runc --network-config-dir "$BATS_TEST_TMPDIR/networks" "\$@" 3>&-
PODMAN
    chmod +x "$hosts/bin/podman"
    mkdir "$BATS_TEST_TMPDIR/networks"
    tar -C "$image" -c . | podman import --change 'CMD ["/app/count"]' - localhost/web
    podman network create --disable-dns --subnet 10.1.0.0/24 web
    echo '{"web": {"interfaces": {"eth0": {"mac_address": "02:10:01:00:00:05",
        "subnets": [{"ipnet": "10.1.0.5/24", "gateway": "10.1.0.1"}]}}}}' >network.status
    id=$(follow man/netstatus.1 'podman run' | tail -n 1)
    podman inspect "$id" | jq -e '.[0].NetworkSettings.Networks.web
        | .IPAddress == "10.1.0.9" and .MacAddress != "02:10:01:00:00:05"'
    podman rm -f -t 0 "$id"
    podman network rm web
    podman umount -a
    rm "$hosts/bin/podman"
}

# says DOCUMENT WORDS COMMAND...: succeeds if COMMAND fails with the message in this block, whose
# lines may be folded.
says() {
    local shown
    shown=$(block "$1" "$2" | xargs -d '\n')
    shift 2
    run --separate-stderr "$@"
    [ "$status" = 1 ]
    if [[ " $shown" != *" ${stderr%%$'\n'*}"* ]]; then
        printf 'shown: %s\nsaid:  %s\n' "$shown" "$stderr"
        return 1
    fi
}

@test "netstatus(1): the message in the page is exact" {
    echo '{"web": {"interfaces": {"eth0": {"mac_address": "02:10:01:00:00:05",
        "subnets": [{"ipnet": "10.1.0.0/24", "gateway": "10.1.0.1"}]}}}}' >network.status
    says man/netstatus.1 'netstatus: error:' netstatus restore --to netavark network.status
}

@test "spec-gen(1): a bundle is made from a root file system" {
    root rootfs
    follow man/spec-gen.1 'spec-gen --new'
    jq '.process.terminal = false' config.json >new && mv new config.json
    runc run once </dev/null | tee said
    grep '^uid=1000' said
    grep -x file said
}

@test "spec-gen(1): the spec has the arguments that podman sets" {
    root rootfs
    cp "$BATS_FILE_TMPDIR/state.json" .
    # A configuration that podman has written.
    xz -dc "$source_dir/ckpt-unpack/tests/data/g12-diff-deletes.tar.xz" | tar -xO config.dump >config.dump
    follow man/spec-gen.1 '--state state.json'
    [ "$(jq -c .process.args config.json)" = "$(jq -c .spec.process.args config.dump)" ]
}

@test "spec-gen(1): a container of another host is restored" {
    ckpt-unpack --bundle . <"$checkpointed"
    root rootfs
    rootfs-diff apply --rootfs rootfs --deleted deleted.files <rootfs-diff.tar
    ip netns add web
    before=$(counted rootfs)
    follow man/spec-gen.1 'spec-gen --restore'
    counted_past rootfs/tmp/counter "$before"
    runc delete -f web
}

@test "spec-gen(1): --explain shows the effect of a flag" {
    root rootfs
    echo 'alice:x:1000:1000::/home/alice:/bin/sh' >>rootfs/etc/passwd
    spec-gen --new --rootfs rootfs >config.json
    follow man/spec-gen.1 '--explain' >seen 2>&1
    grep 1000 seen
}

@test "spec-gen(1): lookup-user prints the IDs and the home" {
    root rootfs
    echo 'alice:x:1000:1000::/home/alice:/bin/sh' >>rootfs/etc/passwd
    follow man/spec-gen.1 'lookup-user alice' >seen
    [ "$(jq -c '[.uid, .home]' seen)" = '[1000,"/home/alice"]' ]
}

@test "spec-gen(1): the messages in the page are exact" {
    root rootfs
    says man/spec-gen.1 'spec-gen: error:' spec-gen --user alice --rootfs rootfs < <(spec-gen --new)
    spec-gen --new | jq 'del(.mounts[2].destination)' >spec.json
    says man/spec-gen.1 'spec-gen: error:' spec-gen <spec.json
}

@test "every code block was run" {
    [ -n "${NEWER_CRIU+known}" ] || not_run "some blocks need a CRIU that dumps TCP sockets"
    all_followed
}
