# The container continues on another host before its memory has arrived, as docs/migration.md describes.

# bats file_tags=vm

load ../pipelines/lib/helpers

setup_file() {
    build_image
}

setup() {
    here=$BATS_TEST_TMPDIR/here there=$BATS_TEST_TMPDIR/there
    cd "$BATS_TEST_TMPDIR"
}

teardown() {
    runc --root /run/there delete -f web || true
    kill "$(cat served 2>/dev/null)" 2>/dev/null || true
    teardown_containers
}

@test "runc restores lazily from CRIU's page server" {
    make_bundle "$here"
    start runc "$here" web
    before=$(counted "$here/rootfs")
    mkdir work
    mkfifo ready
    # The container stands still from here on. CRIU writes a byte when the images are complete, and
    # serves the pages until the other host has all of them.
    runc checkpoint --lazy-pages --page-server 127.0.0.1:27000 --status-fd 7 --image-path "$here/checkpoint" \
        --work-path "$here" web 7>ready 3>&- &
    dump=$!
    read -r -N 1 -t 60 <ready || true
    overlay "$there"
    mkdir -p "$there/data"
    cp -r "$here/checkpoint" "$there/checkpoint"
    rootfs-diff create --members --rootfs "$here/rootfs" | rootfs-diff apply --members --rootfs "$there/rootfs"
    spec-gen --restore --rootfs "$there/rootfs" --cgroups-path /there -v "$there/data:/data" \
        <"$here/config.json" >"$there/config.json"
    criu lazy-pages --page-server --address 127.0.0.1 --port 27000 --images-dir "$there/checkpoint" \
        --work-dir "$PWD/work" --log-file lazy.log 3>&- &
    echo $! >served
    sleep 1
    cgroup_option runc "$there" >criu.conf
    CRIU_CONFIG_FILE=$PWD/criu.conf timeout -s KILL 150 runc --root /run/there --log runc.log restore -d --lazy-pages \
        --bundle "$there" --image-path "$there/checkpoint" \
        --work-path "$PWD/work" web </dev/null >/dev/null 2>&1 3>&- || {
        cat runc.log
        grep -h Error "$here/dump.log" work/*.log
        return 1
    }
    counted_past "$there/rootfs/tmp/counter" "$before"
    grep -x '0::/there' "/proc/$(runc --root /run/there state web | jq .pid)/cgroup"
    # All pages have arrived: both sides end.
    wait $dump
    wait "$(cat served)"
    counted_past "$there/rootfs/tmp/counter" "$(counted "$there/rootfs")"
    run ! runc state web
}
