# Containers that another runtime has checkpointed, and containers with a user namespace.

load lib/helpers
load lib/podman

setup_file() {
    build_image
    setup_podman
}

setup() {
    here=$BATS_TEST_TMPDIR/here there=$BATS_TEST_TMPDIR/there
    cd "$BATS_TEST_TMPDIR"
}

teardown() {
    teardown_podman
    teardown_containers
}

# through_a_pipe BUNDLE: runc restores podman's container, whose standard output and error were
# pipes of conmon.
through_a_pipe() {
    mkfifo out
    cat out >output &
    timeout -s KILL 100 runc restore -d --bundle "$1" --image-path "$1/checkpoint" --work-path "$1" web </dev/null >out 2>&1
}

@test "ckpt-unpack reports crun's images and converts them for runc" {
    # Since 1.24, crun hides directories under an empty directory of its own (containers/crun#1859),
    # and runc cannot restore that mount. "unmask" leaves only hidden files.
    masked=(--security-opt "unmask=/sys/firmware:/proc/acpi:/proc/scsi:/proc/asound:/sys/fs/selinux:/sys/devices/virtual/powercap:/sys/dev/block")
    if [ "$(printf '%s\n' 1.24 "$(crun --version | sed -n 's/^crun version //p')" | sort -V | head -n 1)" != 1.24 ]; then
        masked=()
    fi
    podman_ --runtime crun run -d --name web --network none "${masked[@]}" localhost/image /bin/sh -c '
        i=0; while :; do i=$((i + 1)); echo $i 1<> /tmp/counter; sleep 0.1; done'
    sleep 1
    podman_ --runtime crun container checkpoint --export web.ckpt web
    before=$(zstd -dc web.ckpt | tar -xOf - rootfs-diff.tar | tar -xOf - tmp/counter)

    overlay "$there"
    shared_memory "$there/shm"
    run -0 --separate-stderr ckpt-unpack --bundle "$there/as-it-is" web.ckpt
    [[ $stderr == *'crun made the images and runc cannot restore them'*'--runtime runc'* ]]
    run -0 --separate-stderr ckpt-unpack --runtime runc --bundle "$there/bundle" --rootfs "$there/rootfs" \
        --shm "$there/shm" web.ckpt
    [[ $stderr != *crun* ]]

    for bundle in as-it-is bundle; do
        spec-gen --restore --images "$there/$bundle/checkpoint" --rootfs "$there/rootfs" --shm-dir "$there/shm" \
            --manager-files "$there/files" --apply <"$there/$bundle/spec.dump" >"$there/$bundle/config.json" 2>said
        case $bundle in
        as-it-is) grep 'warning: .*crun' said ;;
        *) run ! grep crun said ;;
        esac
    done
    through_a_pipe "$there/bundle" || { cat output; grep Error "$there/bundle/restore.log"; false; }
    counted_past "$there/rootfs/tmp/counter" "$before"

    # Packing again records that another runtime has created the images.
    rootfs-diff create --members --from "$image" --to "$image" |
        ckpt-pack --bundle "$there/as-it-is" --member devshm-checkpoint.tar="$there/as-it-is/devshm-checkpoint.tar" \
            -o again.ckpt -
    ckpt-unpack --show --json again.ckpt | jq -e '.. | objects | select(.runtime? == "crun")'
}

@test "runc restores a user namespace from a private bundle" {
    # The container's root owns all files, and CRIU reads the images as that user.
    cp -a "$image" mapped
    chown -R 100000:100000 mapped
    # The container's root must be able to enter the directories above its root file system.
    chmod 711 "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR"/test "$PWD" "$(dirname "$PWD")"
    for dir in "$here" "$there"; do
        mkdir -p "$dir"/{rootfs,upper,work}
        chown 100000:100000 "$dir/upper"
        mount -t overlay overlay -o "lowerdir=$PWD/mapped,upperdir=$dir/upper,workdir=$dir/work" "$dir/rootfs"
    done
    mkdir "$here/bundle"
    spec-gen --new --rootfs "$here/rootfs" --read-only=false --tty=false --uidmap 0:100000:65536 \
        --cgroups-path "/userns-${BATS_RUN_TMPDIR##*/}" -o "$here/bundle/config.json" -- /bin/sh -c '
        i=0; while :; do i=$((i + 1)); echo $i 1<> /tmp/counter; sleep 0.1; done'
    runc --log log run -d --bundle "$here/bundle" web </dev/null >/dev/null 2>&1 || { cat log; false; }
    counted_past "$here/rootfs/tmp/counter" 3
    runc checkpoint --image-path "$here/bundle/checkpoint" --work-path "$here/bundle" web
    before=$(counted "$here/rootfs")
    rootfs-diff create --members --rootfs "$here/rootfs" | ckpt-pack --bundle "$here/bundle" -o web.ckpt -

    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" web.ckpt
    for path in bundle bundle/checkpoint bundle/checkpoint/core-1.img bundle/spec.dump; do
        # The files belong to the group of the container's root. Only the owner and this group can
        # read them, and only the owner can write them.
        case $(stat -c '%a %u' "$there/$path") in *[0-7][0145]0\ 0) ;; *) stat "$there/$path" && false ;; esac
    done
    spec-gen --restore --rootfs "$there/rootfs" <"$there/bundle/spec.dump" >"$there/bundle/config.json"
    restore runc "$there/bundle" web
    counted_past "$there/rootfs/tmp/counter" "$before"
}
