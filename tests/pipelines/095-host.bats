#!/usr/bin/env bats
# A test run leaves nothing on the host, however it ends, and does not disturb other runs.

load lib/helpers

setup_file() {
    export ROOT=/
    TOOLS_BIN=$(dirname "$(command -v ckpt-pack)")
    export TOOLS_BIN
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    # tests/host/left finds the processes of this test by this variable.
    export TEST_RUN=$BATS_TEST_NUMBER-$$
    "$tests/host/left" >before
}

teardown() {
    [ -z "${running:-}" ] || kill -KILL "$running" 2>/dev/null || true
    # Removes leftovers of a failed test.
    enter true
}

# enter CMD [ARG]...: runs tests/host/enter as from outside of the tree that this test runs in.
enter() {
    "$tests/host/enter" "$@" 3>&-
}

# Creates cgroups below /sys/fs/cgroup as a container engine does, with a frozen process in them.
leave_cgroups='
    roots=/sys/fs/cgroup
    [ -e $roots/cgroup.procs ] || roots=$(echo $roots/*)
    sleep 300 3>&- &
    for root in $roots; do
        mkdir -p $root/engine/web
        for file in cpuset.cpus cpuset.mems; do
            [ ! -e $root/cpuset.sched_load_balance ] || {
                cat $root/$file >$root/engine/$file
                cat $root/$file >$root/engine/web/$file
            }
        done
        echo $! >$root/engine/web/cgroup.procs
    done
    for file in $roots/engine/web/freezer.state freezer/engine/web/freezer.state; do
        [ ! -e /sys/fs/cgroup/$file ] || echo FROZEN >/sys/fs/cgroup/$file
    done
    [ ! -e /sys/fs/cgroup/engine/web/cgroup.freeze ] || echo 1 >/sys/fs/cgroup/engine/web/cgroup.freeze
'

# start_run SCRIPT: starts a run in the background, $running, which executes SCRIPT and then waits
# for the file "go".
start_run() {
    rm -f /var/tmp/*/tmp/ready
    "$tests/host/enter" sh -euc "$1"'
        touch /tmp/ready
        while [ ! -e /tmp/go ]; do sleep 0.05; done' 3>&- 4>&- &
    running=$!
    for _ in {1..600}; do
        compgen -G '/var/tmp/*/tmp/ready' >/dev/null && return
        sleep 0.1
    done
    echo "the run does not get ready"
    return 1
}

# ends_with STATUS: waits for the run in the background, and succeeds if its exit status is STATUS.
ends_with() {
    local status=0
    wait "$running" || status=$?
    [ "$status" = "$1" ]
}

@test "every hierarchy has a separate cgroup for the run" {
    enter sh -euc 'cat /proc/self/cgroup; echo; find /sys/fs/cgroup -mindepth 1 -type d -printf "%P\n"' >seen
    sed '/^$/,$d' seen >own
    [ -s own ]
    # Either version 1 or version 2 is mounted.
    if [ -e /sys/fs/cgroup/cgroup.procs ]; then sed -i '/^0::/!d' own; else sed -i '/^0::/d' own; fi
    run ! grep -v ':/init$' own
    # The visible root contains only this cgroup, not the cgroups of the host.
    run ! grep -vE '(^|/)init$' <(sed '1,/^$/d' seen | grep / || true)
}

# bats test_tags=vm
@test "cgroups and processes of containers end with the run" {
    enter sh -euc "$leave_cgroups"
    run -0 "$tests/host/left" before
}

@test "cgroups and processes end with the run under version 2 alone" {
    unshare --mount --propagation private bash -euc '
        umount -R /sys/fs/cgroup
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        "$1" sh -euc "$2" 3>&-
        [ -z "$(find /sys/fs/cgroup -name "ckpt-tools-run.*")" ]' bash "$tests/host/enter" "$leave_cgroups"
}

@test "a run ended by SIGTERM or SIGINT cleans up" {
    local signal expected
    for signal in TERM INT; do
        expected=$((128 + $(kill -l "$signal")))
        # A shell ignores SIGINT in background commands.
        set -m
        start_run "$leave_cgroups"
        set +m
        kill -s "$signal" "$running"
        ends_with "$expected"
        run -0 "$tests/host/left" before
    done
}

@test "the next run removes leftovers of a killed run" {
    start_run "$leave_cgroups"
    kill -KILL "$running"
    ends_with 137
    run -1 "$tests/host/left" before
    local kind kinds=(cgroup file process)
    # In version 2, SIGKILL also ends a frozen process.
    if [ -e /sys/fs/cgroup/cgroup.procs ]; then kinds=(cgroup file); fi
    for kind in "${kinds[@]}"; do grep "^$kind " <<<"$output"; done
    enter true
    run -0 "$tests/host/left" before

}

@test "the next run does not remove the files of a run in progress" {
    start_run "$leave_cgroups"
    find /sys/fs/cgroup /var/tmp -name 'ckpt-tools-run.*' | sort >theirs
    [ "$(wc -l <theirs)" -gt 1 ]
    enter true
    diff theirs <(find /sys/fs/cgroup /var/tmp -name 'ckpt-tools-run.*' | sort)
    touch "$(grep ^/var/tmp theirs)/tmp/go"
    ends_with 0
    run -0 "$tests/host/left" before
}

@test "read-only cgroups are reported" {
    local how
    for how in 'mount -o remount,bind,ro "$dir"' 'umount "$dir"'; do
        run -1 unshare --mount --propagation private bash -euc '
            for dir in $(awk "\$5 ~ /^\/sys\/fs\/cgroup/ { print \$5 }" /proc/self/mountinfo | tac); do '"$how"'; done
            "$1" true 3>&-' bash "$tests/host/enter"
        [[ $output == *'enter: error: /sys/fs/cgroup'*'hint: '* ]]
        run -0 "$tests/host/left" before
    done
}

@test "the check of the host detects every kind of leftover" {
    local line kinds='
        cgroup /sys/fs/cgroup|mkdir "$(dirname "$(find /sys/fs/cgroup -name cgroup.procs -print -quit)")/left"
        mount /mnt tmpfs left|mount -t tmpfs left /mnt
        network interface left|ip link add left type bridge
        network namespace left|mount -t tmpfs tmpfs /run; mkdir /run/netns; touch /run/netns/left
        file /run/runc/left|mkdir -p /run/runc/left
        file /run/libpod/left|mkdir -p /run/libpod; touch /run/libpod/left
        file /var/tmp/ckpt-tools-run.left|mkdir /var/tmp/ckpt-tools-run.left
        file /dev/shm/left|touch /dev/shm/left
        process |TEST_RUN=x sleep 60 >/dev/null 2>&1 3>&- & pid=$!'
    TEST_RUN=x run -0 unshare --mount --net --propagation private bash -euc '
        "$1" >before
        eval "$2"
        "$1" before && exit 1
        rm -rf /dev/shm/left /var/tmp/ckpt-tools-run.left
        rmdir /sys/fs/cgroup/left /sys/fs/cgroup/*/left 2>/dev/null || true
        kill "$pid"' bash "$tests/host/left" "$(sed 's/^[^|]*|//' <<<"$kinds")"
    while IFS='|' read -r line _; do
        [ -z "$line" ] || grep "^$line" <<<"$output"
    done < <(sed 's/^ *//' <<<"$kinds")
    # The list contains nothing else, except the process itself and the mount with /run/netns.
    [ "$(grep -cv '^mount /run tmpfs tmpfs$' <<<"$output")" = 9 ]
}
