# A container is moved with pre-copy: rounds of its memory while it runs, then a final dump with the
# pages that the receiver lacks. The processes in it compare their memory byte by byte.

load lib/helpers
load lib/podman

setup_file() {
    build_image
    add_program perl
    cp "$tests"/pipelines/lib/{remember,share} "$image/bin"
    setup_podman
}

setup() {
    here=$BATS_TEST_TMPDIR/here there=$BATS_TEST_TMPDIR/there
    cd "$BATS_TEST_TMPDIR"
    seed=${PRECOPY_SEED:-$RANDOM}
    names=(parent child) previous=()
    echo "PRECOPY_SEED=$seed repeats the content"
}

teardown() {
    teardown_podman
    teardown_containers
}

# remembering RUNTIME [COMMAND]: starts the container "web" in $here, whose processes check their
# memory.
remembering() {
    local command=${2:-"/bin/perl /bin/remember $seed 16 0.05"}
    make_bundle "$here" ".process.args = (\"$command\" | split(\" \"))"
    "$1" --log "$here/$1.log" run -d --bundle "$here" web </dev/null >/dev/null 2>&1 || cat "$here/$1.log"
    runs_on "$here/rootfs" "${names[@]}"
}

# runs_on ROOTFS [NAME]...: checks that the processes go on, and that memory and files are right.
runs_on() {
    local rootfs=$1 name before now try
    shift
    [ $# -gt 0 ] || set -- parent child
    for name; do
        before=$(cat "$rootfs/tmp/$name" 2>/dev/null) || true
        # A process truncates its file before it writes the next number.
        for try in {1..100}; do
            now=$(cat "$rootfs/tmp/$name" 2>/dev/null) || true
            [ -n "$now" ] && [ "$now" != "$before" ] && continue 2
            sleep 0.1
        done
        echo "$name stands still at $before"
        return 1
    done
    if [ -e "$rootfs/tmp/bad" ]; then cat "$rootfs/tmp/bad"; return 1; fi
}

# round RUNTIME FILE: makes a round.
round() {
    "$1" state web >state
    ckpt-pack -v --precopy --state state --page-index index -o "$2"
}

# last RUNTIME [OPTION]...: makes the final dump.
last() {
    ckpt-pack -v --bundle "$here" --page-index index "${@:2}" \
        --producer "rootfs-diff create --members --rootfs '$here/rootfs'" \
        --producer "vol-archive create --members data='$here/data'" \
        -- "$1" checkpoint --image-path "$here/checkpoint" --work-path "$here" web
}

# restored RUNTIME: restores $there from final.ckpt, and checks its memory and its files. The
# options of ckpt-unpack are in the array "previous".
restored() {
    overlay "$there"
    mkdir "$there/data"
    ckpt-unpack --bundle "$there/bundle" "${previous[@]}" --rootfs "$there/rootfs" \
        --volume data="$there/data" final.ckpt
    spec-gen --restore --rootfs "$there/rootfs" -v "$there/data:/data" <"$there/bundle/spec.dump" >"$there/bundle/config.json"
    restore "$1" "$there/bundle" web
    runs_on "$there/rootfs" "${names[@]}"
}

moved() {
    remembering "$1"
    round "$1" r1.ckpt
    round "$1" r2.ckpt
    last "$1" -o final.ckpt
    # The final archive has less memory than a round with everything.
    [ $(($(stat -c %s final.ckpt) * 2)) -lt "$(stat -c %s r1.ckpt)" ]
    previous=(--previous r1.ckpt --previous r2.ckpt)
    restored "$1"
}

@test "runc: two rounds and a final dump, unpacked at once" {
    moved runc
}

@test "crun: two rounds and a final dump, unpacked at once" {
    moved crun
}

@test "shared memory, and processes that exit, call exec and appear between rounds" {
    names=(shares exits executes)
    remembering runc "/bin/perl /bin/share $seed"
    round runc r1.ckpt
    touch "$here/rootfs/tmp/step"
    names=(shares executed appears)
    runs_on "$here/rootfs" "${names[@]}"
    round runc r2.ckpt
    round runc r3.ckpt
    last runc -o final.ckpt
    for archive in r?.ckpt final.ckpt; do ckpt-unpack --verify "$archive"; done
    # The rounds are in the bundle before the final archive arrives.
    mkdir "$there"
    for archive in r?.ckpt; do ckpt-unpack --bundle "$there/bundle" <"$archive"; done
    previous=(--previous "$there/bundle")
    restored runc
}

@test "the final dump is rejected if its index is of another container or damaged" {
    remembering runc
    round runc r1.ckpt
    cp index good
    for bytes in 'head -c 5000 good' 'sed s/./x/300 good' 'cat r1.ckpt'; do
        $bytes >index
        run last runc -o final.ckpt
        [ "$status" = 1 ]
        [[ $output == *'index: '* ]]
        [ ! -e final.ckpt ]
        runs_on "$here/rootfs"
    done
    rm index
    run last runc -o final.ckpt
    [ "$status" = 1 ]
    [[ $output == *'hint: send a first round: ckpt-pack --precopy --pid '* ]]
    ckpt-pack --precopy --pid $$ --page-index index -o other.ckpt
    run last runc -o final.ckpt
    [ "$status" = 1 ]
    [[ $output == *'the page index is of another container'* ]]
    runs_on "$here/rootfs"
    # With the right index, the same container is still moved.
    cp good index
    last runc -o final.ckpt
    previous=(--previous r1.ckpt)
    restored runc
}

@test "podman imports the final dump with its rounds" {
    podman_ run -d --name web localhost/image /bin/perl /bin/remember "$seed" 16 0.05
    for _ in {1..50}; do podman_ exec web test -s /tmp/child && break; sleep 0.1; done
    userdata=$(podman_ container inspect --format '{{.OCIConfigPath}}' web)
    userdata=${userdata%/*}
    pid=$(podman_ container inspect --format '{{.State.Pid}}' web)
    for round in r1 r2; do
        ckpt-pack --precopy --pid "$pid" --page-index index -o $round.ckpt
        ckpt-unpack --bundle rounds $round.ckpt
    done
    merged=$(podman_ mount web)
    ckpt-pack --bundle "$userdata" --name web --rootfs-image "localhost/image:latest@$image_id" -o final.ckpt \
        --network none --page-index index --producer "rootfs-diff create --members --rootfs '$merged'" \
        -- podman --root "$store/root" --runroot "$store/run" --network-config-dir "$store/networks" \
        --storage-driver overlay --cgroup-manager cgroupfs --events-backend none --runtime runc \
        container checkpoint --keep web
    podman_ rm -f web
    # podman takes one archive, which contains all rounds.
    tar -C rounds -cf previous.tar pre-checkpoint
    podman_ container restore --import-previous previous.tar --import final.ckpt
    for _ in 1 2 3; do
        before=$(podman_ exec web cat /tmp/parent)
        soon counter_above "$before" web /tmp/parent
    done
    run podman_ exec web cat /tmp/bad
    [ "$status" != 0 ]
}
