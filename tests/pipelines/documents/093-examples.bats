# The files in docs/examples work unchanged.

load ../lib/helpers
load ../lib/documents

setup_file() {
    build_image
    hosts
}

teardown_file() {
    no_hosts
}

setup() {
    examples=$source_dir/docs/examples
    cd "$BATS_TEST_TMPDIR"
}

teardown() {
    runc delete -f warm 2>/dev/null || true
    web_is_gone
    teardown_containers
}

# Runs the example Makefile with a cgroup that no other test run uses.
made_with="--read-only=false --tty=false --cgroups-path"

@test "Makefile: a ready service is dumped, and restored twice" {
    cp "$examples/Makefile" .
    make warm.ckpt IMAGE="$image" FLAGS="$made_with $cgroup/warm"
    ckpt-unpack --verify warm.ckpt
    [ ! -e upper ]
    local round
    for round in one two; do
        make start IMAGE="$image"
        counted_past rootfs/tmp/counter 1
        [ "$(runc exec warm cat /app/settings)" = changed ]
        make stop
        [ ! -e run ]
    done
    # make does not repeat a checkpoint that is up to date, and replaces an outdated one.
    make config.json warm.ckpt IMAGE="$image" | grep -c 'up to date'
    make -B warm.ckpt IMAGE="$image" FLAGS="$made_with $cgroup/warm"
    ckpt-unpack --verify warm.ckpt
}

@test "snapshot: the container continues and can be restored" {
    web_runs -v /srv/data:/data
    "$examples/snapshot" web "$B" web.ckpt data=/srv/data
    [ "$(runc state web | jq -r .status)" = running ]
    overlay there
    rm -rf /srv/data2
    ckpt-unpack --bundle there --rootfs there/rootfs --volume data=/srv/data2 web.ckpt
    before=$(counted there/rootfs)
    counted_past "$B/rootfs/tmp/counter" "$before"
    runc delete -f web
    ip netns delete web && ip netns add web
    spec-gen --restore --rootfs there/rootfs --network ns:/run/netns/web -v /srv/data2:/data <there/spec.dump >there/config.json
    restore runc "$PWD/there" web
    counted_past there/rootfs/tmp/counter "$before"
    [ "$(runc exec web cat /app/settings /data/file)" = $'changed\nin the volume' ]
}

@test "snapshot: after a failure, container and last file remain" {
    web_runs
    echo precious >web.ckpt
    run ! "$examples/snapshot" web "$B" web.ckpt data=/srv/missing
    [ "$(runc state web | jq -r .status)" = running ]
    [ "$(cat web.ckpt)" = precious ]
    [ ! -e web.ckpt.new ]
}

@test "snapshot@.service and its timer create a snapshot" {
    mkdir -p /usr/local/bin
    cp "$examples/snapshot" /usr/local/bin/
    cp "$examples"/snapshot@.{service,timer} .
    systemd-analyze verify --man=no ./snapshot@web.service ./snapshot@web.timer
    web_runs
    rm -rf /srv/snapshots
    local line
    while read -r line; do
        $line
    done < <(sed -n 's/^ExecStart\(Pre\)\?=//p' snapshot@.service | sed 's/%i/web/g')
    ckpt-unpack --show /srv/snapshots/web.ckpt | grep -E '^Container +web'
    [ "$(stat -c %a /srv/snapshots/web.ckpt)" = 600 ]
}

# tests/engines tests these scripts with Docker.
@test "scripts for Docker: usage, and errors without Docker" {
    local script
    for script in docker-to-ckpt docker-checkpoint-to-ckpt ckpt-to-docker; do
        "$examples/$script" --help | grep '^Usage: '
        run -2 --separate-stderr "$examples/$script" --wrong
        [[ $stderr == Usage:* ]]
        run -2 "$examples/$script" web
        : >web.ckpt
        run --separate-stderr ! env DOCKER_HOST=unix:///nonexistent "$examples/$script" web web.ckpt
        [[ $stderr == *'Cannot connect to the Docker daemon'* ]]
        [ ! -s web.ckpt ]
    done
    [ "$(ls web.ckpt*)" = web.ckpt ]
    run --separate-stderr ! env PATH=/usr/bin:/bin "$examples/docker-to-ckpt" web web.ckpt
    [[ $stderr == *'command not found' ]]
}

# steps FILE: prints the scripts of a job, each as a line of JSON.
steps() {
    awk '
        /^        run: \|/ { run = 1; text = ""; next }
        run && /^          / { line = substr($0, 11); gsub(/\\/, "\\\\", line); gsub(/"/, "\\\"", line); text = text line "\\n"; next }
        run { print "\"" text "\""; run = 0 }
        END { if (run) print "\"" text "\"" }
    ' "$1"
}

@test "ci.yml: every step runs with and without the cache" {
    cp "$examples/Makefile" .
    cp -a "$image" image
    export IMAGE=$PWD/image FLAGS="$made_with $cgroup/warm"
    printf '#!/bin/sh\nexec "$@"\n' >"$hosts/bin/sudo"
    chmod +x "$hosts/bin/sudo"
    make config.json
    local round step
    [ "$(steps "$examples/ci.yml" | wc -l)" = 5 ]
    for round in cold warm; do
        while read -r step; do
            bash -eo pipefail -c "$(jq -r . <<<"$step")" </dev/null || return
        done < <(steps "$examples/ci.yml") >"$round" 2>&1 || {
            cat "$round"
            return 1
        }
        grep -x changed "$round"
    done
    grep 'runc run' cold
    run ! grep 'runc run' warm
    rm "$hosts/bin/sudo"
}
