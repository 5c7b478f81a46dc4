# Containers and volumes on other file systems, on overlays with other options, and on fuse-overlayfs.
# Debian's kernels support all of them; the kernel of the host may not. All other tests in the virtual
# machine use a tmpfs.

# bats file_tags=vm,long

load ../pipelines/lib/helpers

setup_file() {
    build_image
    # Fails if they are built into the kernel.
    modprobe -a fuse loop xfs btrfs 2>/dev/null || true
}

# Called by round_trip for the root file systems of both containers.
overlay() {
    mkdir -p "$1"/{rootfs,upper,work}
    mount -t overlay overlay -o "lowerdir=$image,upperdir=$1/upper,workdir=$1/work$options" "$1/rootfs"
}

setup() {
    options=''
    disk=$BATS_TEST_TMPDIR/disk here=$disk/here there=$disk/there
    mkdir "$disk"
}

teardown() {
    cd "$BATS_TEST_TMPDIR"
    teardown_containers
}

# on KIND: mounts an empty file system for both bundles, and enters it.
on() {
    if [ "$1" = tmpfs ]; then
        mount -t tmpfs tmpfs "$disk"
    else
        rm -f "$BATS_TEST_TMPDIR/blocks"
        truncate -s 400M "$BATS_TEST_TMPDIR/blocks"
        "mkfs.$1" -q "$BATS_TEST_TMPDIR/blocks"
        mount -o loop "$BATS_TEST_TMPDIR/blocks" "$disk"
    fi
    cd "$disk"
}

@test "a container on xfs, with metacopy and redirect_dir, survives" {
    on xfs
    options=,metacopy=on,redirect_dir=on
    round_trip runc
}

@test "a container on btrfs, with an index and xino, survives" {
    on btrfs
    options=,index=on,xino=on
    round_trip crun
}

@test "a container on ext4, with userxattr, survives" {
    on ext4
    options=,userxattr
    round_trip crun
}

# fuse-overlayfs does not report its layers.
layers_of_fuse() {
    rootfs-diff() {
        if [ "$1" = create ]; then set -- "$@" --upper "$here/upper" --lower "$image"; fi
        command rootfs-diff "$@"
    }
    overlay() {
        mkdir -p "$1"/{rootfs,upper,work}
        fuse-overlayfs -o "lowerdir=$image,upperdir=$1/upper,workdir=$1/work" "$1/rootfs"
    }
}

@test "a container on fuse-overlayfs survives" {
    on ext4
    layers_of_fuse
    round_trip runc
}

# Changes that need a redirect, a metacopy file or a whiteout.
change_tree() {
    chmod 700 "$1/app/untouched"
    chown 7:8 "$1/app/settings"
    mv "$1/app/cache" "$1/app/moved"
    rm -r "$1/app/replaced-dir"
    mkdir "$1/app/replaced-dir"
    echo new >"$1/app/replaced-dir/new"
    rm "$1/app/deleted"
    ln -s moved/old "$1/app/symlink"
}

@test "a diff of fuse-overlayfs applies to an overlay of the kernel" {
    on ext4
    mkdir there there/{rootfs,upper,work}
    mount -t overlay overlay -o "lowerdir=$image,upperdir=there/upper,workdir=there/work" there/rootfs
    layers_of_fuse
    overlay here
    change_tree here/rootfs
    rootfs-diff create --rootfs here/rootfs --deleted deleted -o diff.tar
    rootfs-diff apply --rootfs there/rootfs --deleted deleted <diff.tar
    same_tree here/rootfs there/rootfs
}

@test "a volume on an idmapped mount has the IDs of the container" {
    local kind map=(--uidmap 0:100000:1000 --gidmap 0:100000:1000)
    for kind in ext4 xfs btrfs; do
        on $kind
        mkdir volume mapped copy
        tar -C "$image" -cf - app | tar -C volume --same-owner -xpf -
        change_tree volume
        # Kernel 6.1 often does not map the IDs in ACLs that are read through an idmapped mount.
        case $(uname -r) in 6.1.*) ;; *) setfacl -m u:9:rw volume/app/settings ;; esac
        mount --bind -o X-mount.idmap=b:0:100000:1000 volume mapped
        [ "$(stat -c %u:%g mapped/app/settings)" = 100007:100008 ]
        vol-archive create mapped "${map[@]}" -o mapped.tar
        vol-archive create volume -o volume.tar
        cmp mapped.tar volume.tar
        # The kernel lets only users of the map create files through the mount (EOVERFLOW for others),
        # so root of the container's user namespace extracts.
        mount --bind -o X-mount.idmap=b:0:100000:1000 copy mapped
        chmod 755 "$disk"
        unshare --user --map-users=0:100000:1000 --map-groups=0:100000:1000 --setuid 0 --setgid 0 -- \
            vol-archive extract mapped <volume.tar
        same_tree volume copy
        cd "$BATS_TEST_TMPDIR"
        umount -R "$disk"
    done
}

@test "a volume moves between all file systems without a change" {
    for kind in xfs btrfs tmpfs ext4; do
        mkdir "$BATS_TEST_TMPDIR/$kind"
        disk=$BATS_TEST_TMPDIR/$kind
        on $kind
        mkdir volume
        if [ -e "$BATS_TEST_TMPDIR/previous.tar" ]; then
            vol-archive extract volume <"$BATS_TEST_TMPDIR/previous.tar"
            vol-archive create volume | cmp - "$BATS_TEST_TMPDIR/previous.tar"
        else
            cp -a "$image/app" volume/
            change_tree volume
            truncate -s 3M volume/sparse
            echo data | dd of=volume/sparse bs=4096 seek=300 conv=notrunc status=none
            setfattr -n trusted.note -v kept volume/app
            vol-archive create volume -o "$BATS_TEST_TMPDIR/previous.tar"
        fi
        cd "$BATS_TEST_TMPDIR"
        umount "$disk"
    done
}
