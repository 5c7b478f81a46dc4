# rootfs-diff finds the layers of podman's overlays while the containers run, by the mount point and
# by /proc/PID/root, including layers that podman maps for a user namespace and unmounts again.

load lib/helpers
load lib/podman

setup_file() {
    build_image
    setup_podman
    # A second layer with files that a container can delete.
    podman_ run --name second --network none localhost/image /bin/sh -c 'echo two >/etc/two; echo three >/etc/three'
    podman_ commit second localhost/two
}

setup() {
    cd "$BATS_TEST_TMPDIR"
}

teardown() {
    teardown_podman
}

# changes IMAGE COMMAND OPTION...: runs COMMAND in a container of IMAGE, and sets $rootfs and $pid.
changes() {
    local image=$1 command=$2
    shift 2
    podman_ run -d --name web --network none "$@" "$image" /bin/sh -c "$command; exec sleep 600"
    rootfs=$(podman_ inspect --format '{{.GraphDriver.Data.MergedDir}}' web)
    pid=$(podman_ inspect --format '{{.State.Pid}}' web)
    for try in {1..100}; do
        [ ! -e "$rootfs/etc/done" ] || return 0
        sleep 0.05
    done
    return 1
}

# lists_deletion PATH...: succeeds if diffs by both paths of the root file system have exactly these
# deletions.
lists_deletion() {
    local path
    for path in "$rootfs" "/proc/$pid/root"; do
        rootfs-diff list --rootfs "$path" >list
        grep -qx 'A /etc/done' list
        diff <(printf 'D %s\n' "$@") <(grep '^D' list)
    done
}

@test "the deletions in one layer are found" {
    changes localhost/image 'rm -r /app; touch /etc/done'
    lists_deletion /app
}

@test "the deletions in two layers are found" {
    changes localhost/two 'rm -r /app /etc/two; touch /etc/done'
    lists_deletion /app /etc/two
}

@test "the deletions in one ID-mapped layer are found" {
    changes localhost/image 'rm -r /app; touch /etc/done' --uidmap 0:100000:65536 --gidmap 0:100000:65536
    lists_deletion /app
}

@test "the deletions in two ID-mapped layers are found" {
    changes localhost/two 'rm -r /app /etc/two; touch /etc/done' --uidmap 0:100000:65536 --gidmap 0:100000:65536
    lists_deletion /app /etc/two
    # The archive has the owners that the container sees.
    rootfs-diff create --rootfs "$rootfs" --deleted deleted --uidmap 0:100000:65536 --gidmap 0:100000:65536 >tar
    tar --numeric-owner -tvf tar | awk '$2 != "0/0" { print; bad = 1 } END { exit bad }'
}

@test "the deletions in layers that exceed a page are found" {
    local n
    mkdir context
    echo text >context/file
    { echo 'FROM localhost/two'; for n in {1..45}; do echo "COPY file /etc/layer-$n"; done; } >context/Containerfile
    podman_ build --layers --isolation chroot -t localhost/many context
    changes localhost/many 'rm /etc/two /etc/layer-1 /etc/layer-45; touch /etc/done'
    grep -F " $rootfs " /proc/self/mountinfo >&2
    lists_deletion /etc/layer-1 /etc/layer-45 /etc/two
}
