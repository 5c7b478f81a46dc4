# Different kinds of containers that podman has checkpointed: each command reads the archive,
# packing it again creates an equivalent archive, and podman restores the container from that.

load lib/helpers
load lib/podman
load lib/archives

setup_file() {
    build_image
    # busybox has no flock.
    cp --parents -L "$(command -v flock)" $(ldd "$(command -v flock)" | grep -o '/[^ ]*') "$image"
    setup_podman
}

setup() {
    cd "$BATS_TEST_TMPDIR"
}

teardown() {
    teardown_podman
    podman_ pod rm -fa -t0
}

# The last part of each container's command.
count='i=0; while :; do i=$((i + 1)); echo $i 1<> /tmp/counter; echo tick $i; sleep 0.1; done'

# run_web OPTION... -- COMMAND: starts podman's container web, which runs COMMAND and then counts.
run_web() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    podman_ run -d --name web "${options[@]}" localhost/image /bin/sh -c "$2 $count"
    sleep 1
}

# comes_back CHECKPOINT-OPTIONS [RESTORE-OPTION]...: checkpoints, unpacks, packs and restores the
# container.
comes_back() {
    local options=$1
    shift
    # shellcheck disable=SC2086
    podman_ container checkpoint --export podmans.ckpt $options web
    podman_ rm -f -t0 web
    podman_ volume rm -fa
    read_by_every_verb podmans.ckpt
    pack_again bundle -o ours.ckpt
    equivalent podmans.ckpt ours.ckpt
    podman_ container restore --import ours.ckpt "$@"
}

# counts_on [NAME]: succeeds if the restored container counts.
counts_on() {
    local name=${1:-web} first
    first=$(podman_ exec "$name" cat /tmp/counter)
    soon counter_above "$first" "$name"
}

@test "a container with locks on files survives" {
    run_web --network none -- 'exec 9>/tmp/lock; /usr/bin/flock -n 9;'
    comes_back --file-locks --file-locks
    counts_on
    # The restored process holds the lock.
    run podman_ exec web /usr/bin/flock -n /tmp/lock true
    [ "$status" = 1 ]
}

@test "a container with a terminal survives" {
    run_web --network none -t -- ''
    comes_back ''
    counts_on
    podman_ exec web sh -c 'ls -l /proc/1/fd/0' | grep pts
}

@test "several processes that are connected by a pipe survive" {
    run_web --network none --hostname many --env GREETING=hello -- '
        mkdir /tmp/many; (while :; do echo $GREETING; sleep 0.1; done | while read -r x; do echo $x >/tmp/many/got; done) &'
    comes_back ''
    counts_on
    ckpt-unpack --show --json ours.ckpt | jq -e '[.. | .pid? // empty] | length >= 4'
    podman_ exec web sh -c 'rm /tmp/many/got; until [ -s /tmp/many/got ]; do sleep 0.1; done; cat /tmp/many/got; hostname' >told
    [ "$(cat told)" = $'hello\nmany' ]
}

@test "containers without a log and with a JSON log survive" {
    for driver in none json-file; do
        run_web --network none --log-driver $driver -- ''
        comes_back ''
        counts_on
        teardown_podman
        rm -r bundle
    done
}

@test "a renamed container is restored under a new name" {
    run_web --network none -- ''
    podman_ rename web other
    podman_ rename other web2
    podman_ container checkpoint --export podmans.ckpt web2
    podman_ rm -f -t0 web2
    read_by_every_verb podmans.ckpt
    [ "$(ckpt-unpack --show --json podmans.ckpt | jq -r .container_name)" = web2 ]
    pack_again bundle -o ours.ckpt
    equivalent podmans.ckpt ours.ckpt
    podman_ container restore --import ours.ckpt --name web3
    counts_on web3
}

@test "a container of a pod survives" {
    podman_ pod create --name pod --infra-image localhost/image --infra-command '/bin/sleep 100000' --share ipc,net,uts
    run_web --pod pod -- ''
    comes_back '' --pod pod
    counts_on
    ckpt-unpack --show ours.ckpt
}

@test "a running container is restored next to itself" {
    run_web --network none -- ''
    for format in gzip zstd none; do
        podman_ container checkpoint --leave-running --export $format.ckpt --compress $format web
        read_by_every_verb $format.ckpt $format
        pack_again $format --compress $format -o ours.$format
        equivalent $format.ckpt ours.$format
    done
    podman_ container restore --import ours.gzip --name second
    counts_on
    counts_on second
}

@test "a read-only container with limits and a device survives" {
    local controllers=/sys/fs/cgroup/cgroup.controllers
    # On a machine with both versions of cgroups, version 1 has most controllers.
    if [ -e $controllers ] && ! grep -w memory $controllers | grep -qw pids; then
        not_run "version 2 of cgroups has no controllers memory and pids"
    fi
    run_web --network none --read-only --tmpfs /tmp:size=1m --memory 64m --pids-limit 50 --device /dev/null:/dev/mine \
        --health-cmd true --health-interval disable --ulimit nofile=100:100 --privileged -- ''
    comes_back ''
    counts_on
    [ "$(podman_ exec web cat /proc/1/limits | awk '/open files/ { print $4 }')" = 100 ]
}

@test "a container with host namespaces and nested volumes survives" {
    run_web --network host --uts host -v outer:/data -v inner:/data/inner:ro -- 'echo x > /data/file;'
    comes_back ''
    counts_on
    [ "$(podman_ exec web cat /data/file)" = x ]
}

@test "an archive without diff and volumes is packed again" {
    run_web --network none -v data:/data -- 'echo x > /data/file; echo x > /app/file;'
    podman_ container checkpoint --export podmans.ckpt --ignore-rootfs --ignore-volumes --leave-running web
    read_by_every_verb podmans.ckpt
    pack_again bundle -o ours.ckpt
    equivalent podmans.ckpt ours.ckpt
    [ ! -e bundle/volumes ]
    [ ! -e bundle/rootfs-diff.tar ]
}
