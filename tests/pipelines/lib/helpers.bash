# Functions of the end-to-end tests: containers on an overlay, checkpoints, and the comparison of
# trees. Every test file loads this file. The tests run as root inside tests/host/enter.

bats_require_minimum_version 1.5.0

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=tests/pipelines/lib/tree.bash
source "$tests/pipelines/lib/tree.bash"

# build_image: creates the root file system for the containers of a test file, and sets $image.
build_image() {
    export image=$BATS_FILE_TMPDIR/image
    "$tests/image" "$image"
}

# add_program NAME: adds a program of this system, with its libraries, to the image.
add_program() {
    local library
    cp "$(command -v "$1")" "$image/bin"
    for library in $(ldd "$(command -v "$1")" | grep -o '/[^ ]*'); do
        mkdir -p "$image${library%/*}"
        cp "$library" "$image$library"
    done
}

# not_run WHY: skips a test that this machine cannot run, and reports the reason.
not_run() {
    skip "not run: $*"
}

# overlay DIR: mounts an overlay on DIR/rootfs, with the image as its lower layer.
overlay() {
    mkdir -p "$1"/{rootfs,upper,work}
    mount -t overlay overlay -o "lowerdir=$image,upperdir=$1/upper,workdir=$1/work" "$1/rootfs"
}

# shared_memory DIR: mounts a tmpfs on DIR for a container's /dev/shm, as podman does.
shared_memory() {
    mkdir -p "$1"
    mount -t tmpfs -o mode=1777,size=64m shm "$1"
}

# make_bundle DIR [JQ-FILTER]: creates a bundle that runs /app/count on an overlay, with the volume
# DIR/data on /data.
make_bundle() {
    local bundle=$1
    overlay "$bundle"
    mkdir -p "$bundle/data"
    (cd "$bundle" && rm -f config.json && runc spec)
    # Parallel runs of the tests share the cgroup hierarchy, so the name is unique: runc pause would
    # affect both containers.
    jq --arg dir "$bundle" --arg cgroup "/web-${BATS_RUN_TMPDIR##*/}" "
        .process.args = [\"/app/count\"] | .process.terminal = false | .root = {path: (\$dir + \"/rootfs\")}
        | .linux.cgroupsPath = \$cgroup
        | .mounts += [
            {destination: \"/data\", type: \"bind\", source: (\$dir + \"/data\"), options: [\"rbind\", \"rw\"]},
            {destination: \"/scratch\", type: \"tmpfs\", source: \"tmpfs\", options: [\"nosuid\", \"nodev\"]}]
        | ${2:-.}" "$bundle/config.json" >"$bundle/config.new"
    mv "$bundle/config.new" "$bundle/config.json"
}

# Filter for make_bundle: bind-mounts DIR/shm on /dev/shm.
bind_shm='(.mounts[] | select(.destination == "/dev/shm")) |= {destination, type: "bind", source: ($dir + "/shm"), options: ["bind", "rw"]}'

# start RUNTIME BUNDLE ID: starts a container. CRIU cannot dump terminals or deleted files as
# standard streams, so all three are /dev/null.
start() {
    "$1" --log "$2/$1.log" run -d --bundle "$2" "$3" </dev/null >/dev/null 2>&1 || {
        cat "$2/$1.log"
        return 1
    }
    counted_past "$2/rootfs/tmp/counter" 5
}

# checkpoint RUNTIME BUNDLE ID [OPTION]...: checkpoints a container into BUNDLE/checkpoint.
checkpoint() {
    local runtime=$1 bundle=$2 id=$3
    shift 3
    "$runtime" checkpoint --image-path "$bundle/checkpoint" --work-path "$bundle" "$@" "$id" || {
        grep -s Error "$bundle/dump.log"
        return 1
    }
}

# preflight RUNTIME [ARG]...: prints what ckpt-unpack --check reports about a restore, of an archive or
# with --bundle, except what it reports about this host alone. The report about this host is kept for
# the next tests, because it takes eight programs, which is most of the time of a test under emulation.
# Other namespaces may have another report, so it is renewed before a difference is printed.
preflight() {
    local runtime=$1 reported
    local host=$BATS_RUN_TMPDIR/host-${runtime##*/}
    shift
    reported=$(ckpt-unpack --check --runtime "$runtime" "$@" 2>&1) || true
    if [ ! -e "$host" ] || grep -qvxF -f "$host" <<<"$reported"; then
        ckpt-unpack --check --runtime "$runtime" >"$host" 2>&1 || true
    fi
    grep -vxF -f "$host" <<<"$reported" || true
}

# cgroup_option RUNTIME BUNDLE: prints the option of CRIU that names the cgroup of the container. With
# version 2 of cgroups alone, runc does not, and CRIU restores into the cgroup of the checkpoint.
cgroup_option() {
    local path
    path=$(jq -r '.linux.cgroupsPath // ""' "$2/config.json")
    [[ $1 != runc || $path != /* || ! -e /sys/fs/cgroup/cgroup.controllers ]] || printf 'cgroup-root ":%s"\n' "$path"
}

# restore RUNTIME BUNDLE ID [OPTION]...: restores a container from BUNDLE/checkpoint. Fails if
# ckpt-unpack --check reports a problem of a restore that succeeds.
restore() {
    local runtime=$1 bundle=$2 id=$3 reported
    local -x CRIU_CONFIG_FILE=$2/criu.conf
    shift 3
    cgroup_option "$runtime" "$bundle" >"$CRIU_CONFIG_FILE"
    reported=$(preflight "$runtime" --bundle "$bundle")
    timeout -s KILL 100 "$runtime" --log "$bundle/$runtime.log" restore -d --bundle "$bundle" --image-path "$bundle/checkpoint" \
        --work-path "$bundle" "$@" "$id" </dev/null >/dev/null 2>&1 || {
        cat "$bundle/$runtime.log"
        grep -s Error "$bundle/restore.log"
        return 1
    }
    [ -z "$reported" ] || {
        echo "ckpt-unpack --check reports a restore that succeeds: $reported"
        return 1
    }
}

# counted ROOTFS: prints the value of the container's counter.
counted() {
    cat "$1/tmp/counter"
}

# soon COMMAND [ARG]...: repeats a command until it succeeds, at most 20 s.
soon() {
    local try
    for try in {1..200}; do
        "$@" && return
        sleep 0.1
    done
    echo "not within 20 s: $*"
    return 1
}

# counted_past FILE N: waits until the counter in FILE is greater than N, at most 20 s.
counted_past() {
    local n try
    for try in {1..200}; do
        n=$(cat "$1" 2>/dev/null) || n=0
        [ "${n:-0}" -gt "$2" ] && return
        sleep 0.1
    done
    echo "the container does not count past $2 (its counter: ${n:-none})"
    return 1
}

# round_trip RUNTIME [JQ-FILTER]: runs the pipeline of the README, without the network, from $here
# to $there.
round_trip() {
    local runtime=$1 before
    shared_memory "$here/shm"
    make_bundle "$here" "$bind_shm | ${2:-.}"
    start "$runtime" "$here" web
    checkpoint "$runtime" "$here" web
    before=$(counted "$here/rootfs")

    {
        rootfs-diff create --members --rootfs "$here/rootfs"
        vol-archive create --members data="$here/data" --shm "$here/shm"
    } | ckpt-pack --bundle "$here" --compress zstd - >web.ckpt

    overlay "$there"
    shared_memory "$there/shm"
    mkdir "$there/data"
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" --volume data="$there/data" --shm "$there/shm" <web.ckpt
    same_tree "$here/rootfs" "$there/rootfs"
    same_tree "$here/data" "$there/data"
    same_tree "$here/shm" "$there/shm"

    # The restore must not depend on any file of the first host.
    umount "$here/rootfs" "$here/shm"
    rm -r "$here"
    spec-gen --restore --rootfs "$there/rootfs" -v "$there/data:/data" --shm-dir "$there/shm" \
        <"$there/bundle/spec.dump" >"$there/bundle/config.json"
    restore "$runtime" "$there/bundle" web
    counted_past "$there/rootfs/tmp/counter" "$before"
    [ "$("$runtime" exec web cat /app/settings /app/cache/new /data/file /dev/shm/file /scratch/file)" = "\
changed
fresh
in the volume
in shared memory
in a tmpfs" ]
    run ! "$runtime" exec web ls /app/deleted
}

# teardown_containers: kills and deletes all containers, and unmounts all mounts of this test.
teardown_containers() {
    local runtime id dir
    for runtime in runc crun; do
        for id in $("$runtime" list -q 2>/dev/null); do
            # SIGKILL does not end a paused container.
            "$runtime" resume "$id" 2>/dev/null
            "$runtime" kill "$id" KILL 2>/dev/null
            "$runtime" delete -f "$id" 2>/dev/null
        done
    done
    # A crun whose restore fails leaves a cgroup with a child, in which the next restore with the same ID
    # cannot set rules for devices.
    find /sys/fs/cgroup -depth -type d -path '*/web*' -exec rmdir {} + 2>/dev/null
    while read -r dir; do
        umount -l "$dir"
    done < <(awk -v dir="$BATS_TEST_TMPDIR/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo)
    return 0
}
