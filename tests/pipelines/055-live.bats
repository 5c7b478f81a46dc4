# A container is packed while CRIU dumps it. Its memory and its files are compared by the processes
# in it. After every failure the container runs on.

load lib/helpers
load lib/podman

setup_file() {
    build_image
    add_program perl
    cp "$tests/pipelines/lib/remember" "$image/bin"
    setup_podman
}

setup() {
    here=$BATS_TEST_TMPDIR/here there=$BATS_TEST_TMPDIR/there
    cd "$BATS_TEST_TMPDIR"
    seed=${LIVE_SEED:-$RANDOM}
    echo "LIVE_SEED=$seed repeats the content"
}

teardown() {
    umount small 2>/dev/null || true
    teardown_podman
    teardown_containers
}

# remembering RUNTIME [MIB]: starts the container "web" in $here.
remembering() {
    make_bundle "$here" ".process.args = [\"/bin/perl\", \"/bin/remember\", \"$seed\", \"${2:-16}\"]"
    "$1" --log "$here/$1.log" run -d --bundle "$here" web </dev/null >/dev/null 2>&1 || cat "$here/$1.log"
    runs_on "$here/rootfs"
}

# runs_on ROOTFS: checks that both processes go on, and that memory and files are right.
runs_on() {
    local name before try
    for name in parent child; do
        for try in {1..100}; do
            [ -s "$1/tmp/$name" ] && break
            sleep 0.1
        done
        before=$(cat "$1/tmp/$name")
        for try in {1..100}; do
            [ "$(cat "$1/tmp/$name")" != "$before" ] && break
            sleep 0.1
        done
        [ "$(cat "$1/tmp/$name")" != "$before" ] || { echo "$name stands still at $before"; return 1; }
    done
    if [ -e "$1/tmp/bad" ]; then cat "$1/tmp/bad"; return 1; fi
}

# live RUNTIME [OPTION]... [-- OPTION]...: packs "web" of $here; options after -- are those of the
# runtime.
live() {
    local runtime=$1 options=()
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
    ckpt-pack --bundle "$here" --producer "rootfs-diff create --members --rootfs '$here/rootfs'" \
        --producer "vol-archive create --members data='$here/data'" "${options[@]}" \
        -- "$runtime" checkpoint --image-path "$here/checkpoint" --work-path "$here" "${@:2}" web
}

# restored RUNTIME: restores $there from web.ckpt, and checks its memory and its files.
restored() {
    ckpt-unpack --verify web.ckpt
    overlay "$there"
    mkdir "$there/data"
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" --volume data="$there/data" web.ckpt
    spec-gen --restore --rootfs "$there/rootfs" -v "$there/data:/data" <"$there/bundle/spec.dump" >"$there/bundle/config.json"
    restore "$1" "$there/bundle" web
    runs_on "$there/rootfs"
}

@test "a container with a zombie is packed" {
    make_bundle "$here" '.process.args = ["sh", "-c", "sleep 0.1 & exec sleep 1000"]'
    runc --log "$here/runc.log" run -d --bundle "$here" web </dev/null >/dev/null 2>&1 || cat "$here/runc.log"
    until [[ $(ps -o stat= --ppid "$(runc state web | jq .pid)") == Z* ]]; do sleep 0.1; done
    live runc -o web.ckpt
    ckpt-unpack --verify web.ckpt
}

# bats test_tags=vm
@test "runc: memory and files that change together stay together" {
    remembering runc
    live runc -o web.ckpt
    [ -z "$(find "$here/checkpoint" -name '*.img')" ]
    run ! runc state web
    restored runc
}

@test "crun: the archive goes compressed through a pipe" {
    remembering crun
    live crun --compress zstd >web.ckpt
    restored crun
}

@test "with --leave-running the container runs on or stays paused" {
    remembering runc
    live runc -o web.ckpt -- --leave-running
    runs_on "$here/rootfs"
    live runc --format oci --tag web:1 -o web.oci --keep-paused -- --leave-running
    [ "$(runc state web | jq -r .status)" = paused ]
    runc resume web
    runs_on "$here/rootfs"
    runc kill web KILL
    for _ in {1..50}; do runc delete web 2>/dev/null && break; sleep 0.1; done
    restored runc
    ckpt-unpack --verify web.oci
}

@test "podman container checkpoint --keep is streamed, and podman imports it" {
    podman_ run -d --name web localhost/image /bin/perl /bin/remember "$seed" 16
    userdata=$(podman_ container inspect --format '{{.OCIConfigPath}}' web)
    userdata=${userdata%/*}
    for _ in {1..50}; do podman_ exec web test -s /tmp/child && break; sleep 0.1; done
    mapfile -t podman < <(declare -f podman_once >/dev/null; printf '%s\n' podman --root "$store/root" \
        --runroot "$store/run" --network-config-dir "$store/networks" --storage-driver overlay \
        --cgroup-manager cgroupfs --events-backend none --runtime runc)
    # podman writes config.dump and spec.dump only when it exports.
    merged=$(podman_ mount web)
    ckpt-pack --bundle "$userdata" --name web --rootfs-image "localhost/image:latest@$image_id" -o web.ckpt \
        --network none --producer "rootfs-diff create --members --rootfs '$merged'" \
        -- "${podman[@]}" container checkpoint --keep web 2>errors
    run ! grep CRIU_CONFIG_FILE errors
    podman_ rm -f web
    ckpt-unpack --verify web.ckpt
    podman_ container restore --import web.ckpt
    for _ in 1 2 3; do
        before=$(podman_ exec web cat /tmp/parent)
        soon counter_above "$before" web /tmp/parent
    done
    run podman_ exec web cat /tmp/bad
    [ "$status" != 0 ]
}

@test "a full disk, a missing reader and a failed producer" {
    remembering runc
    mkdir small
    mount -t tmpfs -o size=20m tmpfs small
    run live runc -o small/web.ckpt
    [ "$status" = 1 ]
    [[ $output == *'No space left on device'* ]]
    runs_on "$here/rootfs"
    [ -z "$(ls small)" ]

    live runc | head -c 3000000 >/dev/null || true
    runs_on "$here/rootfs"

    run live runc -o web.ckpt --producer 'exit 1'
    [ "$status" = 1 ]
    runs_on "$here/rootfs"
    [ ! -e web.ckpt ]
    live runc -o web.ckpt
    restored runc
}

@test "a reader that stands still does not keep the container paused" {
    remembering runc
    run bash -c "$(declare -f live); here='$here'; live runc --stall-timeout 1 2>errors | sleep 4; exit \${PIPESTATUS[0]}"
    [ "$status" = 1 ]
    grep 'no progress for 1 s, dump aborted; the container runs on' errors
    runs_on "$here/rootfs"
    # A producer is waited for.
    live runc -o web.ckpt --stall-timeout 5 --producer 'sleep 1; exec vol-archive create --members --shm /dev/shm'
    restored runc
}

# killed WHAT SIGNAL: packs with a reader that waits, and sends SIGNAL to WHAT during the dump.
killed() {
    local what=$1 signal=$2 pid pipeline try
    rm -f go
    (live runc 2>errors; echo $? >status) | (until [ -e go ]; do sleep 0.05; done; cat >web.partial) &
    pipeline=$!
    # The dump cannot end before the pipe is read. A moment later it is among the memory pages.
    for try in {1..300}; do pgrep -x criu >/dev/null && break; sleep 0.1; done
    sleep 0.3
    case $what in
        pack) pid=$(pgrep -x ckpt-pack) ;;
        runtime) pid=$(pgrep -f '^runc checkpoint') ;;
        criu) pid=$(pgrep -x criu) ;;
    esac
    [ -n "$pid" ]
    # shellcheck disable=SC2086
    kill "-$signal" $pid
    touch go
    wait $pipeline
    # The guard resumes the container.
    for _ in {1..100}; do pgrep -f ' guard ' >/dev/null || break; sleep 0.1; done
    runs_on "$here/rootfs"
    run ! ckpt-unpack --verify web.partial
    [ "$(runc state web | jq -r .status)" = running ]
}

@test "any process of the dump may be killed" {
    remembering runc
    killed pack TERM
    killed pack KILL
    killed runtime KILL
    killed criu KILL
    live runc -o web.ckpt
    restored runc
}
