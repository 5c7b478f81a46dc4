# A container is moved with pre-copy: rounds of its memory while it runs, then a final dump with the
# pages that the receiver lacks. The processes in it compare their memory byte by byte.

load lib/helpers
load lib/podman

setup_file() {
    build_image
    cp "$(command -v perl)" "$tests/pipelines/lib/remember" "$image/bin"
    local library
    for library in $(ldd "$(command -v perl)" | grep -o '/[^ ]*'); do
        mkdir -p "$image${library%/*}"
        cp "$library" "$image$library"
    done
    setup_podman
}

setup() {
    here=$BATS_TEST_TMPDIR/here there=$BATS_TEST_TMPDIR/there
    cd "$BATS_TEST_TMPDIR"
    seed=${PRECOPY_SEED:-$RANDOM}
    echo "PRECOPY_SEED=$seed repeats the content"
}

teardown() {
    teardown_podman
    teardown_containers
}

# remembering RUNTIME: starts the container "web" in $here, whose processes check their memory.
remembering() {
    make_bundle "$here" ".process.args = [\"/bin/perl\", \"/bin/remember\", \"$seed\", \"16\", \"0.05\"]"
    "$1" --log "$here/$1.log" run -d --bundle "$here" web </dev/null >/dev/null 2>&1 || cat "$here/$1.log"
    runs_on "$here/rootfs"
}

# runs_on ROOTFS: checks that both processes go on, and that memory and files are right.
runs_on() {
    local name before try
    for name in parent child; do
        before=$(cat "$1/tmp/$name" 2>/dev/null) || true
        for try in {1..100}; do
            [ "$(cat "$1/tmp/$name" 2>/dev/null)" != "$before" ] && break
            sleep 0.1
        done
        [ "$(cat "$1/tmp/$name")" != "$before" ] || { echo "$name stands still at $before"; return 1; }
    done
    if [ -e "$1/tmp/bad" ]; then cat "$1/tmp/bad"; return 1; fi
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
    runs_on "$there/rootfs"
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

# bats test_tags=vm
@test "runc: two rounds and a final dump, unpacked at once" {
    moved runc
}

@test "crun: two rounds and a final dump, unpacked at once" {
    moved crun
}
