# Functions for tests with podman. Each test file has a separate store with one image, $image.

# setup_podman: creates the store, imports $image as localhost/image, and sets $image_id. For
# setup_file.
setup_podman() {
    store=$(mktemp -d "$BATS_FILE_TMPDIR/podman.XXXXXX")
    export store
    mkdir "$store/networks"
    tar -C "$image" -c . | podman_ import - localhost/image
    image_id=$(podman_ image inspect --format '{{.Id}}' localhost/image)
    export image_id
}

# teardown_podman: removes containers and volumes; images stay.
teardown_podman() {
    podman_ rm -fa -t0
    podman_ volume rm -fa
}

podman_() {
    case "$1 ${2:-}" in
        'exec '*) exec_again "$@" ;;
        # The benchmarks load this file without helpers.bash, and without its check.
        'container restore') podman_once "$@" && { ! declare -F preflight >/dev/null || nothing_reported "$@"; } ;;
        *) podman_once "$@" ;;
    esac
}

# nothing_reported container restore [ARG]...: fails if ckpt-unpack --check reports a problem of an
# archive that podman has imported.
nothing_reported() {
    local args=() reported
    case " $* " in
        *' --import-previous '*) return 0 ;;
        *' --ignore-volumes '*) args=(--ignore-volumes) ;;
    esac
    while [ $# -gt 0 ] && [ "$1" != --import ]; do shift; done
    [ $# -gt 1 ] || return 0
    reported=$(preflight runc "${args[@]}" "$2")
    [ -z "$reported" ] || {
        echo "ckpt-unpack --check reports a restore that succeeded: $reported" >&2
        return 1
    }
}

podman_once() {
    # podman 6 stores networks in /etc, unless the directory is given.
    podman --root "$store/root" --runroot "$store/run" --network-config-dir "$store/networks" --storage-driver overlay \
        --cgroup-manager cgroupfs --events-backend none --runtime runc "$@"
}

# exec_again exec ...: runs podman exec, and repeats it if "runc init" died before it could run the
# command. With runc 1.1 this happens about once in some hundred runs, also without a checkpoint,
# for an unknown reason.
exec_again() {
    local try status errors
    errors=$(mktemp "$BATS_TEST_TMPDIR/exec.XXXXXX")
    for try in 1 2 3; do
        status=0
        podman_once "$@" 2>"$errors" || status=$?
        grep -q 'init-p: connection reset by peer' "$errors" || break
        echo "# try $try: runc init died" >&2
    done
    cat "$errors" >&2
    return $status
}

# volume_path: prints the directory of this podman's volumes.
volume_path() {
    podman_ info --format '{{.Store.VolumePath}}'
}

# for_podman OPTION...: packs the container in $here, with the options that this podman needs to
# restore it with its volume.
for_podman() {
    ckpt-pack --bundle "$here" --name web --rootfs-image "localhost/image:latest@$image_id" \
        --volume data=/data --volume-path "$(volume_path)" "$@"
}

# pack_here OPTION...: packs the checkpointed container in $here with its volume.
pack_here() {
    {
        rootfs-diff create --members --rootfs "$here/rootfs"
        vol-archive create --members data="$here/data"
    } | for_podman "$@" -
}

# counter: prints the counter of podman's container web. Repeats if the file is empty, because the
# container has opened it but not yet written to it.
counter() {
    local n try
    for try in {1..50}; do
        n=$(podman_ exec web cat /tmp/counter) || return
        if [ -n "$n" ]; then
            echo "$n"
            return
        fi
    done
    return 1
}

# counter_above N [NAME [FILE]]: succeeds if the counter of a container of podman (default: web) in FILE
# (default: /tmp/counter) is greater than N.
counter_above() {
    local n
    n=$(podman_ exec "${2:-web}" cat "${3:-/tmp/counter}") && [ "${n:-0}" -gt "${1:-0}" ]
}
