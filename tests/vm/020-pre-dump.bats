# Memory is dumped in two rounds: first while the container runs, then only the changed pages.

# bats file_tags=vm

load ../pipelines/lib/helpers
load ../pipelines/lib/documents

# Filter for make_bundle: one more process has 8 MiB that do not change after the first round. It is not
# the shell that counts: between fork(2) and execve(2), a child of that shell would have a second copy,
# which the first round does not have.
idle_memory='.process.args = ["/bin/sh", "-c",
    "{ sleep 86400 & x=$(head -c 8388608 /dev/zero | tr \"\\0\" x); : >/tmp/ready; wait; } &
    until [ -e /tmp/ready ]; do sleep 0.1; done; . /app/count"]'

setup_file() {
    build_image
}

setup() {
    here=$BATS_TEST_TMPDIR/here there=$BATS_TEST_TMPDIR/there
    cd "$BATS_TEST_TMPDIR"
}

teardown() {
    teardown_containers
}

pages() {
    cat "$1"/pages-*.img | wc -c
}

@test "runc restores a pre-dump and a dump from two archives" {
    make_bundle "$here" "$idle_memory"
    start runc "$here" web
    runc checkpoint --pre-dump --image-path "$here/pre-checkpoint" --work-path "$here" web
    ckpt-pack --bundle "$here" --pre-checkpoint -o previous.ckpt
    counted_past "$here/rootfs/tmp/counter" "$(counted "$here/rootfs")"
    checkpoint runc "$here" web --parent-path ../pre-checkpoint
    [ "$(pages "$here/pre-checkpoint")" -gt 8388608 ]
    [ "$(pages "$here/checkpoint")" -lt 4194304 ]
    before=$(counted "$here/rootfs")
    {
        rootfs-diff create --members --rootfs "$here/rootfs"
        vol-archive create --members data="$here/data"
    } | ckpt-pack --bundle "$here" --with-previous -o web.ckpt -
    umount "$here/rootfs"
    rm -r "$here"

    overlay "$there"
    mkdir "$there/data"
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" --volume data="$there/data" \
        --previous previous.ckpt <web.ckpt
    [ "$(readlink "$there/bundle/checkpoint/parent")" = ../pre-checkpoint ]
    spec-gen --restore --rootfs "$there/rootfs" -v "$there/data:/data" \
        <"$there/bundle/spec.dump" >"$there/bundle/config.json"
    restore runc "$there/bundle" web
    counted_past "$there/rootfs/tmp/counter" "$before"
}

@test "a pre-dump and a dump are packed while CRIU writes them" {
    make_bundle "$here" "$idle_memory"
    start runc "$here" web
    ckpt-pack --bundle "$here" --pre-checkpoint -o previous.ckpt \
        -- runc checkpoint --pre-dump --image-path "$here/pre-checkpoint" --work-path "$here" web
    counted_past "$here/rootfs/tmp/counter" "$(counted "$here/rootfs")"
    ckpt-pack --bundle "$here" --with-previous -o web.ckpt \
        --producer "rootfs-diff create --members --rootfs '$here/rootfs'" \
        --producer "vol-archive create --members data='$here/data'" \
        -- runc checkpoint --image-path "$here/checkpoint" --work-path "$here" --parent-path ../pre-checkpoint web
    [ "$(stat -c %s previous.ckpt)" -gt 8388608 ]
    [ "$(stat -c %s web.ckpt)" -lt 4194304 ]
    before=$(counted "$here/rootfs")
    umount "$here/rootfs"
    rm -r "$here"

    overlay "$there"
    mkdir "$there/data"
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" --volume data="$there/data" \
        --previous previous.ckpt <web.ckpt
    spec-gen --restore --rootfs "$there/rootfs" -v "$there/data:/data" \
        <"$there/bundle/spec.dump" >"$there/bundle/config.json"
    restore runc "$there/bundle" web
    counted_past "$there/rootfs/tmp/counter" "$before"
}

@test "ckpt-tools(7): the recipe of pre-copy moves a container" {
    page=man/ckpt-tools.7
    documents $page
    hosts
    web_runs -v /srv/data:/data
    web_is_awaited /run/web2/rootfs
    follow $page 'runc checkpoint --pre-dump'
    follow $page 'ssh there ckpt-unpack --previous'
    before=$(counted "$B/rootfs")
    ssh there 'ip netns add web
        spec-gen --restore --rootfs $B2/rootfs --network ns:/run/netns/web -v /srv/data2:/data <$B2/spec.dump >$B2/config.json
        timeout -s KILL 150 runc restore -d --bundle $B2 --image-path $B2/checkpoint --work-path $B2 web'
    counted_past "/proc/$(cat "$hosts/there")/root$B2/rootfs/tmp/counter" "$before"
    [ "$(ssh there readlink "$B2/checkpoint/parent")" = ../pre-checkpoint ]
    web_is_gone
    no_hosts
}
