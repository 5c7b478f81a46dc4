# docs/troubleshooting.md quotes the errors of the CRIU in the test system, and its commands find
# them. Errors that this kernel or this CRIU cannot produce are quoted from public reports.

load ../lib/helpers
load ../lib/documents

page=docs/troubleshooting.md

setup_file() {
    build_image
    documents $page
    # Makes /etc writable, for CRIU's configuration.
    hosts
}

teardown_file() {
    no_hosts
}

setup() {
    here=$BATS_TEST_TMPDIR/here
    mkdir -p "$here"
}

teardown() {
    teardown_containers
    rm -rf /etc/criu /tmp/criu.log
}

# documented MESSAGE LOG: the log has the message, and the page has a row for it.
documented() {
    grep -F "Error" "$2" | grep -F "$1" || {
        grep -F Error "$2"
        return 1
    }
    grep -F "| \`" "$source_dir/$page" | grep -F "$1"
}

# runs SCRIPT [FILTER]: starts a container that runs the shell script, with the file $input as its
# standard input, and with the program $program in its image.
runs() {
    make_bundle "$here" ".process.args = [\"sh\", \"-c\", $(jq -Rs . <<<"$1")] | ${2:-.}"
    if [ -n "${program:-}" ]; then
        # Busybox of Debian lacks it.
        ldd "$program" | grep -o '/[^ ]*' | cat - <(echo "$program") | xargs cp --parents -Lt "$here/rootfs"
    fi
    runc --log "$here/runc.log" run -d --bundle "$here" web <"${input:-/dev/null}" >/dev/null 2>&1
    local try
    for try in {1..100}; do
        [ -e "$here/rootfs/tmp/ready" ] && return
        sleep 0.1
    done
    cat "$here/runc.log"
    return 1
}

# dump_fails MESSAGE SCRIPT: the container of SCRIPT cannot be dumped, with a documented message.
dump_fails() {
    runs "$2; : >/tmp/ready; while :; do sleep 0.1; done"
    run ! checkpoint runc "$here" web
    documented "$1" "$here/dump.log"
    # The page says that the container continues.
    [ "$(runc state web | jq -r .status)" = running ]
}

# restore_fails MESSAGE CHANGE: the container cannot be restored after the command CHANGE, with a
# documented message.
restore_fails() {
    make_bundle "$here"
    start runc "$here" web
    checkpoint runc "$here" web
    (cd "$here" && bash -euc "$2")
    run ! restore runc "$here" web
    documented "$1" "$here/restore.log"
}

@test "a deleted file larger than 1 MiB" {
    dump_fails "Can't dump ghost file" \
        'dd if=/dev/zero of=/tmp/large bs=1M count=2; exec 3</tmp/large; rm /tmp/large'
}

@test "a file lock" {
    program=/usr/bin/flock dump_fails 'Some file locks are hold by dumping tasks' 'flock /tmp/lock sleep 1000 & sleep 0.3'
}

@test "a standard input from outside of the container" {
    mkdir "$BATS_TEST_TMPDIR/tmpfs"
    mount -t tmpfs tmpfs "$BATS_TEST_TMPDIR/tmpfs"
    echo >"$BATS_TEST_TMPDIR/tmpfs/input"
    input=$BATS_TEST_TMPDIR/tmpfs/input dump_fails "Can't lookup mount=" :
}

@test "a file with another size" {
    restore_fails 'has bad size' 'echo "# changed" >>rootfs/app/count'
}

@test "a file with another mode" {
    restore_fails 'has bad mode' 'chmod 700 rootfs/app/count'
}

@test "a root directory with another mode" {
    restore_fails 'has bad mode' 'chmod 700 rootfs'
    grep -F 'File . has bad mode 040700 (expect 040755)' "$here/restore.log"
}

@test "a missing file" {
    restore_fails "Can't open file" 'rm rootfs/app/count'
}

@test "a mount that is missing in config.json" {
    restore_fails 'No mapping for' \
        'jq "del(.mounts[] | select(.destination == \"/data\"))" config.json >new && mv new config.json'
}

@test "a process ID in use" {
    runs ': >/tmp/ready; while :; do sleep 1000; done' 'del(.linux.namespaces[] | select(.type == "pid"))'
    checkpoint runc "$here" web --leave-running
    jq '.linux.cgroupsPath += "-2"' "$here/config.json" >"$here/new" && mv "$here/new" "$here/config.json"
    run ! restore runc "$here" web2
    documented "File exists" "$here/restore.log"
}

@test "the configuration of CRIU keeps the log, and grep finds the error" {
    follow $page '/etc/criu/runc.conf'
    make_bundle "$here"
    start runc "$here" web
    checkpoint runc "$here" web
    rm "$here/rootfs/app/count" /tmp/criu.log
    run ! restore runc "$here" web
    [[ $(follow $page 'grep -n -m 3') = *"Can't open file"* ]]
}

@test "a test runs every code block of the page" {
    all_followed
}
