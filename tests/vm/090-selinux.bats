# SELinux labels with Debian's policy. This is the last test file, because a policy cannot be
# unloaded. In permissive mode the kernel validates labels but allows all accesses, so the test
# machine needs no policy of its own.

# bats file_tags=vm

load ../pipelines/lib/helpers

label=system_u:object_r:container_file_t:s0:c1,c2
shared=system_u:object_r:container_file_t:s0
process=system_u:system_r:container_t:s0:c1,c2

setup_file() {
    # Loads the policy and mounts selinuxfs. /etc/selinux/config has SELINUX=permissive.
    selinuxenabled || load_policy -i
    build_image
}

setup() {
    [ "$(getenforce)" = Permissive ]
    here=$BATS_TEST_TMPDIR/here there=$BATS_TEST_TMPDIR/there
    # A directory on the disk, which stores labels. The /tmp of this machine has the label of its
    # mount.
    work=$(mktemp -d /var/tmp/selinux.XXXXXX)
    cd "$work"
}

teardown() {
    teardown_containers
    cd /
    rm -rf "$work"
}

label_of() {
    getfattr --only-values --no-dereference -n security.selinux "$1" | tr -d '\0'
}

@test "spec-gen --apply labels :z and :Z volumes recursively" {
    mkdir -p private/sub common
    touch private/sub/file common/file
    spec-gen --new --mount-label "$label" -v "$PWD/private:/private:Z" -v "$PWD/common:/common:z" --apply >config.json
    for path in private private/sub private/sub/file; do
        [ "$(label_of $path)" = "$label" ]
    done
    for path in common common/file; do
        [ "$(label_of $path)" = "$shared" ]
    done
    jq -e --arg label "$label" '.linux.mountLabel == $label' config.json
    jq -e '[.mounts[].options[]?] | index("z") == null and index("Z") == null' config.json
}

@test "spec-gen without --apply only reports pending labels" {
    mkdir private
    before=$(label_of private)
    spec-gen --new --mount-label "$label" -v "$PWD/private:/private:Z" --actions actions >config.json
    [ "$(label_of private)" = "$before" ]
    grep "$PWD/private" actions | grep -q "$label"
}

@test "spec-gen rejects a label that is not in the policy" {
    mkdir private
    run --separate-stderr spec-gen --new --mount-label 'system_u:object_r:no_such_t:s0' -v "$PWD/private:/private:Z" --apply
    printf '%s\n' "$stderr"
    [ "$status" = 1 ]
    [ -z "$output" ]
    grep -q no_such_t <<<"$stderr"
}

@test "labels of a volume are archived and restored" {
    mkdir -p volume/sub copy
    touch volume/sub/file
    chcon -R "$label" volume
    chcon "$shared" volume/sub/file
    vol-archive create volume | vol-archive extract copy
    for path in . sub sub/file; do
        [ "$(label_of copy/$path)" = "$(label_of volume/$path)" ]
    done
}

@test "a confined CRIU can write the prepared logs" {
    mkdir -p bundle/checkpoint
    (cd bundle && runc spec)
    echo inventory >bundle/checkpoint/inventory.img
    ckpt-pack --prepare --bundle bundle --mount-label "$label"
    [ "$(stat -c '%s %a' bundle/dump.log)" = '0 600' ]
    [ "$(label_of bundle/dump.log)" = "$label" ]
    ckpt-pack --bundle bundle --ignore-rootfs | ckpt-unpack --bundle web --mount-label "$label"
    [ "$(stat -c '%s %a' web/restore.log)" = '0 600' ]
    [ "$(label_of web/restore.log)" = "$label" ]
}

# Debian's CRIU is built without libselinux, so the restored process has the label of its parent.
@test "runc dumps and restores a labeled container under the policy" {
    chcon -R "$label" "$image"
    make_bundle "$here" ".process.selinuxLabel = \"$process\" | .linux.mountLabel = \"$label\""
    start runc "$here" web
    pid=$(runc list -f json | jq '.[0].pid')
    [ "$(tr -d '\0' <"/proc/$pid/attr/current")" = "$process" ]
    ckpt-pack --prepare --bundle "$here" --mount-label "$label"
    checkpoint runc "$here" web
    [ "$(label_of "$here/dump.log")" = "$label" ]
    before=$(cat "$here/rootfs/tmp/counter")
    { rootfs-diff create --members --rootfs "$here/rootfs"; vol-archive create --members data="$here/data"; } |
        ckpt-pack --bundle "$here" -o web.ckpt -

    overlay "$there"
    mkdir "$there/data"
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" --volume data="$there/data" \
        --mount-label "$label" <web.ckpt
    spec-gen --restore --rootfs "$there/rootfs" -v "$there/data:/data" \
        <"$there/bundle/spec.dump" >"$there/bundle/config.json"
    restore runc "$there/bundle" web
    [ "$(label_of "$there/bundle/restore.log")" = "$label" ]
    counted_past "$there/rootfs/tmp/counter" "$before"
}
