# The tools preserve what podman 5.4 loses because of its procedure: because of the order of its
# steps, or because it neither archives nor inspects some kind of state. Each test covers one loss.
# podman imports the archive if it can.

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

# runc_restores ARCHIVE: restores ARCHIVE in $there as container web.
runc_restores() {
    overlay "$there"
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" --volume data="$there/data" "$1"
    spec-gen --restore --rootfs "$there/rootfs" -v "$there/data:/data" \
        <"$there/bundle/spec.dump" >"$there/bundle/config.json"
    restore runc "$there/bundle" web
}

# In addition to counting, the container writes numbered lines to a log, as fast as it can.
busy='.process.args = ["/bin/sh", "-c", "i=0; (while :; do i=$((i + 1)); echo $i; done >>/app/log) & exec /app/count"]'

# every_line_once LOG: succeeds if LOG has the lines 1, 2, 3 and so on. The last line may be
# incomplete.
every_line_once() {
    sed '$d' "$1" | awk '$1 != NR { print "line " NR " is " $1; exit 1 }'
}

@test "L2: after a failed pack, runc restores from the bundle" {
    make_bundle "$here"
    start runc "$here" web
    checkpoint runc "$here" web
    before=$(counted "$here/rootfs")
    mkdir small
    mount -t tmpfs -o size=64k tmpfs small
    for target in missing/web.ckpt small/web.ckpt; do
        run pack_here -o "$target"
        [ "$status" = 1 ]
        [ ! -e "$target" ]
    done
    umount small

    restore runc "$here" web
    counted_past "$here/rootfs/tmp/counter" "$before"
    # The next attempt succeeds.
    rm -r "$here/checkpoint"
    checkpoint runc "$here" web
    before=$(counted "$here/rootfs")
    pack_here -o web.ckpt
    podman_ container restore --import web.ckpt
    [ "$(counter)" -ge "$before" ]
}

@test "L8: files that change while packed are reported, status 3" {
    make_bundle "$here" "$busy"
    start runc "$here" web
    # This file comes first and takes long to read. The size of the log is determined before, so the
    # log has grown when it is read.
    head -c 64M /dev/zero >"$here/rootfs/app/big"
    checkpoint runc "$here" web --leave-running
    run --separate-stderr pack_here -o web.ckpt
    printf '%s\n' "$stderr"
    [ "$status" = 3 ]
    grep -q '^rootfs-diff: .*app/log' <<<"$stderr"
}

@test "L8: a paused container loses no line and repeats none" {
    make_bundle "$here" "$busy"
    start runc "$here" web
    runc pause web
    checkpoint runc "$here" web --leave-running
    before=$(counted "$here/rootfs")
    pack_here -o web.ckpt
    runc resume web
    # The original container continues to run.
    counted_past "$here/rootfs/tmp/counter" $((before + 3))
    runc kill web KILL
    every_line_once "$here/rootfs/app/log"
    runc delete -f web

    runc_restores web.ckpt
    counted_past "$there/rootfs/tmp/counter" "$before"
    runc pause web
    every_line_once "$there/rootfs/app/log"
    podman_ container restore --import web.ckpt
    [ "$(counter)" -ge "$before" ]
    podman_ pause web
    every_line_once "$(podman_ mount web)/app/log"
}

@test "sockets are reported, and listening sockets are restored" {
    make_bundle "$here" '.process.args = ["/bin/sh", "-c",
        "ln -s /app/socket /dev/log; syslogd -O /app/messages; exec /app/count"]'
    start runc "$here" web
    # A socket that no process listens on is useless, and tar cannot represent it.
    perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un($ARGV[0])) or die $!' "$here/rootfs/app/stale"
    chmod 660 "$here/rootfs/app/socket"
    checkpoint runc "$here" web
    run --separate-stderr pack_here -o web.ckpt
    printf '%s\n' "$stderr"
    [ "$status" = 0 ]
    grep -q '^rootfs-diff: warning: .*app/socket: socket, not archived' <<<"$stderr"
    grep -q '^rootfs-diff: warning: .*app/stale: socket, not archived' <<<"$stderr"

    runc_restores web.ckpt
    [ "$(stat -c '%F %a' "$there/rootfs/app/socket")" = 'socket 660' ]
    runc exec web logger 'after the restore'
    soon grep 'after the restore' "$there/rootfs/app/messages"
    podman_ container restore --import web.ckpt
    podman_ exec web logger 'after the import'
    soon podman_ exec web grep 'after the import' /app/messages
}

@test "deleted-open: an open deleted file keeps its content" {
    make_bundle "$here" '.process.args = ["/bin/sh", "-c",
        "exec 5>/app/ghost 6</app/ghost; echo ghostly >&5; rm /app/ghost; exec /app/count"]'
    start runc "$here" web
    checkpoint runc "$here" web
    pack_here -o web.ckpt
    runc_restores web.ckpt
    [ ! -e "$there/rootfs/app/ghost" ]
    [ "$(cat "/proc/$(runc state web | jq .pid)/fd/6")" = ghostly ]
    podman_ container restore --import web.ckpt
    [ "$(cat "/proc/$(podman_ inspect --format '{{.State.Pid}}' web)/fd/6")" = ghostly ]
}

@test "volume-labels: labels and options of a volume are kept" {
    make_bundle "$here"
    start runc "$here" web
    checkpoint runc "$here" web
    pack_here -o web.ckpt
    podman_ volume create --label purpose=test --opt type=tmpfs --opt device=tmpfs --opt o=size=4m,nodev data
    ckpt-unpack --bundle bundle --volume data="$(podman_ volume mount data)" web.ckpt
    podman_ container restore --import web.ckpt --ignore-volumes
    [ "$(podman_ exec web cat /data/file)" = 'in the volume' ]
    [ "$(podman_ exec web stat -c %a /data)" = 1770 ]
    [ "$(podman_ exec web df -Pk /data | awk 'END { print $2 }')" = 4096 ]
    [ "$(podman_ volume inspect --format '{{.Labels.purpose}} {{.Options.o}}' data)" = 'test size=4m,nodev' ]
}

@test "volume-anon: an anonymous volume stays anonymous" {
    podman_ run -d --name web --network none -v /anonymous localhost/image /bin/sh -c '
        echo content > /anonymous/file; chmod 1777 /anonymous
        i=0; while :; do i=$((i + 1)); echo $i 1<> /tmp/counter; sleep 0.1; done'
    sleep 1
    podman_ container checkpoint --export podmans.ckpt web
    podman_ rm -f -t0 -v web
    ckpt-unpack --bundle bundle podmans.ckpt
    volume=$(jq -r '.namedVolumes[0].volumeName' bundle/config.dump)
    [ "${#volume}" = 64 ]
    ckpt-pack --bundle bundle --member rootfs-diff.tar=bundle/rootfs-diff.tar \
        --member "volumes/$volume.tar=bundle/volumes/$volume.tar" -o web.ckpt
    podman_ container restore --import web.ckpt
    [ "$(podman_ exec web cat /anonymous/file)" = content ]
    [ "$(podman_ volume inspect --format '{{.Anonymous}}' "$volume")" = true ]
}

@test "volume-exists: old files are reported or replaced" {
    make_bundle "$here"
    start runc "$here" web
    checkpoint runc "$here" web
    pack_here -o web.ckpt
    mkdir other && echo mine >other/mine
    run --separate-stderr ckpt-unpack --bundle bundle --volume data=other web.ckpt
    printf '%s\n' "$stderr"
    [ "$status" = 0 ]
    grep -qx 'ckpt-unpack: warning: other: not empty, keeping the existing files next to those of volumes/data.tar' <<<"$stderr"
    [ "$(cat other/mine other/file)" = $'mine\nin the volume' ]

    tar -xOf web.ckpt volumes/data.tar | vol-archive extract --replace other
    same_tree "$here/data" other
}

# spec-gen reports a missing source of the bind mount before the container starts.
@test "bind-content: a bind mount is packed like a volume" {
    mkdir -p "$here/conf"
    echo 'from the host' >"$here/conf/file"
    mkdir "$image/conf"
    make_bundle "$here" '.mounts += [{destination: "/conf", type: "bind", source: ($dir + "/conf"), options: ["bind", "ro"]}]'
    start runc "$here" web
    checkpoint runc "$here" web
    {
        rootfs-diff create --members --rootfs "$here/rootfs"
        vol-archive create --members data="$here/data" conf="$here/conf"
    } | for_podman --volume conf=/conf -o web.ckpt -

    overlay "$there"
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" --volume data="$there/data" --volume conf="$there/conf" web.ckpt
    run --separate-stderr spec-gen --restore --rootfs "$there/rootfs" -v "$there/data:/data" <"$there/bundle/spec.dump"
    printf '%s\n' "$stderr"
    [ "$status" = 1 ]
    grep -q '/conf' <<<"$stderr"
    spec-gen --restore --rootfs "$there/rootfs" -v "$there/data:/data" -v "$there/conf:/conf:ro" \
        <"$there/bundle/spec.dump" >"$there/bundle/config.json"
    restore runc "$there/bundle" web
    [ "$(runc exec web cat /conf/file)" = 'from the host' ]
    podman_ container restore --import web.ckpt
    [ "$(podman_ exec web cat /conf/file)" = 'from the host' ]
}

@test "with --import, podman restores address, MAC and log" {
    podman_ run -d --name web --network podman localhost/image /bin/sh -c '
        i=0; while :; do i=$((i + 1)); echo $i 1<> /tmp/counter; echo tick $i; sleep 0.1; done'
    sleep 1
    address=$(podman_ inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.MacAddress}}{{end}}' web)
    podman_ container checkpoint --create-image localhost/ckpt web
    before=$(podman_ logs web | tail -n 1)
    podman_ save --format oci-archive -o image.tar localhost/ckpt
    podman_ rm -f -t0 web
    ckpt-unpack --bundle bundle image.tar
    grep -q "$before" bundle/ctr.log
    ckpt-pack --bundle bundle --member rootfs-diff.tar=bundle/rootfs-diff.tar -o web.ckpt
    # Another container takes the next address meanwhile.
    podman_ run -d --name other --network podman localhost/image sleep 1000
    podman_ container restore --import web.ckpt
    [ "$(podman_ inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.MacAddress}}{{end}}' web)" = "$address" ]
    podman_ logs web | grep -x "$before"
    podman_ rmi -f localhost/ckpt
}
