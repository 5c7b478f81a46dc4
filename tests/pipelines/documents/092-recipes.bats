# Every recipe of ckpt-tools(7) has the described result. Only other machines are simulated: ssh
# enters other namespaces, and the kubelet is a script. The registry, age, skopeo, podman and make
# are real.

load ../lib/helpers
load ../lib/documents
load ../lib/registry

page=man/ckpt-tools.7

setup_file() {
    build_image
    documents man/ckpt-tools.7
    hosts
    web_runs -v /srv/data:/data
    web_is_awaited /run/web2/rootfs
    # This recipe ends the container. The other recipes use its checkpoint.
    follow man/ckpt-tools.7 'ssh there ckpt-unpack --bundle'
    before=$(counted "$B/rootfs")
    {
        rootfs-diff create --members --rootfs "$B/rootfs"
        vol-archive create --members data=/srv/data
        netstatus save --members <"$B/netavark.json"
    } | ckpt-pack --bundle "$B" --name web -o "$BATS_FILE_TMPDIR/web.ckpt" -
    export before
}

teardown_file() {
    web_is_gone
    no_hosts
}

# Creates a root file system to restore to, with only the files of the image.
setup() {
    mkdir "$BATS_TEST_TMPDIR/home"
    cd "$BATS_TEST_TMPDIR/home"
    export B2=$BATS_TEST_TMPDIR/web2
    overlay "$B2"
    runc delete -f web 2>/dev/null || true
    rm -rf /srv/data2
    ip netns delete web 2>/dev/null || true
    ip netns add web
}

teardown() {
    teardown_containers
}

# arrived: succeeds if the files and the volume are the same on both hosts.
arrived() {
    same_tree "$B/rootfs" "$B2/rootfs"
    same_tree /srv/data /srv/data2
}

@test "a container migrates over ssh" {
    cp "$tests/netavark-options.json" "$hosts/home/there/opts.json"
    B2=/run/web2
    follow_there $page 'netstatus hold --netns'
    counted_past "/proc/$(cat "$hosts/there")/root/run/web2/rootfs/tmp/counter" "$before"
    [ "$(ssh there runc exec web cat /app/settings /app/cache/new /data/file)" = $'changed\nfresh\nin the volume' ]
    run ! ssh there runc exec web ls /app/deleted
    [ "$(ssh there ip -n web -json address show eth0 | jq -r '.[0].addr_info[0].local')" = 10.88.0.5 ]
    # The simulated hosts share the cgroup hierarchy, so the first container must be deleted.
    ssh there runc delete -f web
}

# kubelet_checkpoint FILE: creates an archive like CRI-O's for the kubelet, with its subset of the
# configuration, its annotations and its files.
kubelet_checkpoint() {
    local dir
    dir=$(mktemp -d)
    ckpt-unpack --bundle "$dir" "$BATS_FILE_TMPDIR/web.ckpt"
    rm -r "$dir"/volumes
    jq -n '{id: "5e027cf751dd7ad5f64778a480ee1527a4fd679e71ac1719df79eabc4d1a7e75", name: "k8s_web_web_default_0",
        rootfsImage: "localhost/web:latest", rootfsImageName: "localhost/web:latest", rootfsImageRef: ("ab" * 32),
        runtime: "runc", createdTime: "2026-11-23T11:12:44Z", checkpointedTime: "2026-11-23T11:13:44Z",
        restoredTime: "0001-01-01T00:00:00Z", restored: false}' >"$dir/config.dump"
    jq '.annotations += {"io.container.manager": "cri-o", "io.kubernetes.cri-o.Metadata": "{\"name\":\"web\",\"attempt\":0}",
        "io.kubernetes.cri-o.Annotations": "{}", "io.kubernetes.cri-o.Created": "2026-11-23T11:12:44.790824104Z",
        "io.kubernetes.pod.name": "web", "io.kubernetes.pod.namespace": "default", "io.kubernetes.container.name": "web",
        "io.kubernetes.cri-o.IP.0": "10.85.0.7"}' "$dir/spec.dump" >"$dir/new"
    mv "$dir/new" "$dir/spec.dump"
    jq -n '[{source: "/srv/data", destination: "/data", file_type: "directory", permissions: 493}]' >"$dir/bind.mounts"
    : >"$dir/dump.log"
    tar -C "$dir" -cf "$1" bind.mounts config.dump spec.dump stats-dump dump.log checkpoint rootfs-diff.tar deleted.files
}

@test "a checkpoint of Kubernetes is inspected and verified" {
    local dir=/var/lib/kubelet/checkpoints data=$tests/../ckpt-unpack/tests/data
    mkdir -p $dir
    kubelet_checkpoint $dir/checkpoint-web_default-web-2026-11-23T11:13:44Z.tar
    export file=app/settings archive
    follow $page "jq '.process_tree'" >seen
    grep -E '^Engine +CRI-O' seen
    grep '/bin/sh /app/count' seen
    grep 'app/settings' seen
    [ "$(tail -n 1 seen)" = changed ]
    # checkpointctl accepts the archive, too.
    checkpointctl show $dir/checkpoint-web_default-*.tar | grep -i cri-o
    # The newest archive is shown, whichever engine has written it: plain or compressed, with and
    # without deletions.
    archive=$dir/checkpoint-web_default-web-2026-11-24T11:13:44Z.tar
    while read -r name file; do
        echo "$name"
        case $name in
        *.xz) xz -dc "$data/$name" ;;
        *) cat "$data/$name" ;;
        esac >$archive
        touch -d tomorrow $archive
        follow $page "jq '.process_tree'" >seen
        grep -F "$file" seen
        follow $page 'ckpt-unpack --verify "$archive"'
    done <<'ARCHIVES'
g01-basic-none.tar.xz tmp/counter
g02-basic-gzip.tar.gz tmp/counter
g03-basic-zstd.tar.zst tmp/counter
g30-containerd-cri.tar.xz app/settings
g31-cri-o.tar.xz tmp/counter
ARCHIVES
    truncate -s 10K $archive
    run ! follow $page 'ckpt-unpack --verify "$archive"'
    rm $dir/checkpoint-web_default-*.tar
}

@test "checkpointctl shows an archive of ckpt-pack" {
    checkpointctl show "$BATS_FILE_TMPDIR/web.ckpt" | grep -w web
}

@test "make builds a spec only if its inputs changed" {
    cp -a "$image" rootfs
    echo 'app:x:1000:1000::/:/bin/sh' >>rootfs/etc/passwd
    block $page 'config.json: Makefile' >Makefile
    make config.json
    [ "$(jq -c '[.process.user.uid, .process.args[0], .linux.resources.memory.limit]' config.json)" = '[1000,"/app/count",268435456]' ]
    make config.json | grep 'up to date'
    cp config.json first
    touch Makefile
    make config.json
    cmp first config.json
}

@test "the stages of a failed restore show the cause" {
    cp "$BATS_FILE_TMPDIR/web.ckpt" .
    if [ -n "${NEWER_CRIU+known}" ]; then PATH=${NEWER_CRIU:+$NEWER_CRIU:}$PATH follow $page 'ckpt-unpack --check'; fi
    follow $page 'rootfs-diff apply --dry-run'
    arrived
    follow $page '--diff < $B2/spec.dump' >seen
    grep -E '^\+.*"source": "/srv/data2"' seen
    follow $page 'grep -B 3 Error'
    counted_past "$B2/rootfs/tmp/counter" "$before"
    # A failing restore: a file that a process has open was changed.
    runc delete -f web
    rm "$B2/rootfs/app/count"
    follow $page 'grep -B 3 Error' >why
    cat why
    grep 'app/count' why
}

@test "an archive encrypted with age is decrypted and unpacked" {
    follow $page 'age-keygen -o key.txt'
    head -c 20 web.ckpt.age | grep age-encryption
    cp web.ckpt.age sound
    follow $page 'age -d -i key.txt'
    arrived
    # A truncated file leaves no bundle.
    B2=$BATS_TEST_TMPDIR/other
    overlay "$B2"
    truncate -s -1000 web.ckpt.age
    run ! follow $page 'age -d -i key.txt'
    [ ! -e "$B2/spec.dump" ]
}

# example_registry: starts a registry that programs find as registry.example.
example_registry() {
    grep -q registry.example /etc/hosts || echo '127.0.0.1 registry.example' >>/etc/hosts
    mkdir -p /etc/containers/registries.conf.d
    printf '[[registry]]\nlocation = "registry.example"\ninsecure = true\n' >/etc/containers/registries.conf.d/example.conf
    registry
}

@test "skopeo pushes an image to a registry and pulls it" {
    example_registry
    follow $page 'skopeo copy oci-archive:web.oci docker://registry.example/ckpt/web:1'
    rm web.oci
    follow $page 'skopeo copy docker://registry.example/ckpt/web:1 oci:web'
    kill $registry
    arrived
}

@test "ContainerCheckpoint of Kubernetes collects checkpoints" {
    mkdir -p /var/lib/kubelet/checkpoints
    kubelet_checkpoint "$PWD/made-by-kubelet"
    cat >"$hosts/bin/curl" <<'CURL'
#!/bin/bash
# curl: replacement for the kubelet of $NODE, which creates a checkpoint and responds with its name.
[[ " $* " = *" -X POST https://there:10250/checkpoint/default/web/web "* ]] || exit 22
name=/var/lib/kubelet/checkpoints/checkpoint-web_default-web-2026-11-23T11:13:44Z.tar
cp made-by-kubelet "$name" && echo "{\"items\":[\"$name\"]}"
CURL
    chmod +x "$hosts/bin/curl"
    example_registry
    NODE=there follow $page 'curl -sS'
    rm "$hosts/bin/curl"
    follow $page 'from-archive web.tar'
    skopeo inspect --raw docker://registry.example/ckpt/web:2 |
        jq -e '.annotations["io.kubernetes.cri-o.annotations.checkpoint.name"] | length > 0'
    kill $registry
    # The image contains the archive that the kubelet has created.
    ckpt-unpack --bundle web web.tar
    ckpt-unpack --bundle again web.oci
    cmp web/spec.dump again/spec.dump
    cmp web/rootfs-diff.tar again/rootfs-diff.tar
    cmp web/deleted.files again/deleted.files
    diff -r web/checkpoint again/checkpoint
}

# Installs a wrapper that runs podman with separate storage for this test.
podman_here() {
    cat >"$hosts/bin/podman" <<PODMAN
#!/bin/sh
exec /usr/bin/podman --root "$BATS_TEST_TMPDIR/root" --runroot "$BATS_TEST_TMPDIR/run" --storage-driver overlay \
    --cgroup-manager cgroupfs --events-backend none --runtime runc "\$@" 3>&-
PODMAN
    chmod +x "$hosts/bin/podman"
    tar -C "$image" -c . | podman import --change 'CMD ["/app/count"]' - localhost/web
}

podman_is_gone() {
    podman rm -fa -t 0
    podman umount -a
    rm "$hosts/bin/podman"
}

@test "runc restores a container of podman" {
    podman_here
    # Not /app/count: podman cannot export a container that has replaced a file by a directory.
    podman run -d --name web --network none localhost/web sh -c 'echo changed >/app/new
        i=0; while :; do i=$((i + 1)); echo $i 1<>/tmp/counter; sleep 0.1; done'
    sleep 1
    mkdir -p /srv/{shm,files}
    mount -t tmpfs shm /srv/shm
    # podman sets this mode on the root directory of an image.
    chmod 0555 "$B2/rootfs"
    follow $page 'podman container checkpoint --export'
    podman_is_gone
    counted_past "$B2/rootfs/tmp/counter" "$(zstd -dc web.tar | tar -xOf - rootfs-diff.tar | tar -xO tmp/counter)" || {
        cat web.log
        false
    }
    [ "$(runc exec web cat /app/new)" = changed ]
    runc delete -f web
    umount /srv/shm
}

@test "podman restores a container of runc" {
    podman_here
    # This container has no volume, and another network than the container of the other recipes.
    mkdir bare && overlay bare
    ip netns add plain
    jq '.networks.lan.static_ips = ["10.88.7.7"] | .network_info.lan |= (.network_interface = "br-plain"
        | .subnets = [{subnet: "10.88.7.0/24", gateway: "10.88.7.1"}])' "$tests/netavark-options.json" |
        netavark -c "$PWD/netavark" setup /run/netns/plain >bare/netavark.json
    spec-gen --new --rootfs "$PWD/bare/rootfs" --read-only=false --tty=false --network ns:/run/netns/plain \
        --cgroups-path "$cgroup/plain" -- /app/count >bare/config.json
    start runc bare plain
    checkpoint runc "$PWD/bare" plain
    before=$(counted bare/rootfs)
    B=$PWD/bare follow $page 'podman container restore --import'
    counted_past "$(podman mount web)/tmp/counter" "$before"
    nsenter -t "$(podman inspect -f '{{.State.Pid}}' web)" -n ip -j addr show eth0 |
        jq -e --slurpfile netavark bare/netavark.json '.[0] | .address == $netavark[0].lan.interfaces.eth0.mac_address
            and any(.addr_info[]; .local == "10.88.7.7")'
    ip netns delete plain
    ip link delete br-plain
    podman_is_gone
}

@test "a member stream ends with the documented record" {
    mkdir some
    vol-archive create --members data=some | tar -xOf - .end >record
    [ "$(jq -c keys_unsorted record)" = "$(block $page '"writer"' | jq -c keys_unsorted)" ]
    [ "$(jq -r .writer record)" = vol-archive ]
}

@test "every recipe was run" {
    [ -n "${NEWER_CRIU+known}" ] || not_run "ckpt-unpack --check needs a CRIU that dumps TCP sockets"
    # The blocks of pre-copy need a kernel that tracks changed memory, so tests/vm/020-pre-dump.bats
    # runs them.
    all_followed '--pre-dump' '--parent-path'
}
