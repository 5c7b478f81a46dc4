# Other programs apply layers of rootfs-diff --format oci, with the same resulting tree.

load lib/helpers

# changed_overlay DIR: mounts an overlay on DIR/m with all kinds of changes that a layer can
# represent. Its base is DIR/lower.
changed_overlay() {
    mkdir -p "$1"/{lower,upper,work,m}
    cd "$1"
    mkdir -p lower/d/deep lower/gone lower/again/old lower/usr/bin
    echo x >lower/d/f && echo y >lower/d/g && echo z >lower/gone/f && echo o >lower/again/old/f
    echo h >lower/h1 && ln lower/h1 lower/h2 && ln -s d lower/link && chmod 751 lower/d
    setfattr -n user.dir -v 1 lower/usr
    echo tool >lower/usr/bin/tool
    find lower -depth -exec touch -h -d '2021-03-04 05:06:07' {} +
    mount -t overlay overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" m
    rm m/d/f m/d/g && ln -s ../h1 m/d/f
    rm -r m/gone m/again && mkdir m/again && echo new >m/again/new
    chmod 700 m/d/deep && chown -h 5:6 m/link && ln m/h1 m/h3 && echo a >m/h2
    rm m/usr/bin/tool && mkdir m/usr/bin/tool && echo in >m/usr/bin/tool/in
    setfattr -x user.dir m/usr && mkfifo m/fifo
    find m -depth -exec touch -h -d '2022-03-04 05:06:07' {} +
}

# layered_image DIR: creates an image in DIR/image of the base and the diff, with umoci.
layered_image() {
    cd "$1"
    vol-archive create lower >base.tar
    rootfs-diff create --format oci --rootfs m >layer.tar
    umoci init --layout image
    umoci new --image image:base
    umoci raw add-layer --image image:base --tag one base.tar
    umoci raw add-layer --image image:one --tag both layer.tar
}

@test "umoci unpacks base and layer into the changed tree" {
    changed_overlay "$BATS_TEST_TMPDIR"
    layered_image "$BATS_TEST_TMPDIR"
    umoci raw unpack --image image:both out
    run -0 compare-trees m out
    [ -z "$output" ]
    umount m
}

@test "podman mounts base and layer as the changed tree" {
    changed_overlay "$BATS_TEST_TMPDIR"
    layered_image "$BATS_TEST_TMPDIR"
    podman=(podman --root "$BATS_TEST_TMPDIR/root" --runroot "$BATS_TEST_TMPDIR/runroot" --storage-driver overlay
        --cgroup-manager cgroupfs)
    # podman adds the name of Docker's registry, and warns that it does not find the short name.
    id=docker.io/library/both
    "${podman[@]}" pull -q oci:image:both || "${podman[@]}" image exists "$id"
    mounted=$("${podman[@]}" image mount "$id")
    # podman creates the root directory of an image itself, with its own metadata.
    run compare-trees m "$mounted"
    "${podman[@]}" image unmount "$id"
    [ -z "$(grep -v -e '^mode : ' -e '^mtime : ' <<<"$output")" ]
    umount m
}
