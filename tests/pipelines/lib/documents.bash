# Functions that run the code blocks of documents. Tests run every block unchanged, after they have
# created what the documents assume: the container "web" with its bundle $B, its volume /srv/data
# and its network namespace /run/netns/web, and a second host, "there". all_followed fails if no
# test has run a block.

bats_require_minimum_version 1.5.0

source_dir=$(cd "$tests/.." && pwd)

# documents FILE...: extracts the blocks of the documents that the test file covers. For setup_file.
documents() {
    local document
    for document; do
        "$tests/pipelines/lib/blocks" "$source_dir/$document" "$BATS_FILE_TMPDIR/blocks/$document"
    done
}

# block DOCUMENT WORDS: prints the only code block of DOCUMENT that contains WORDS.
block() {
    local found
    mapfile -t found < <(grep -lF -e "$2" "$BATS_FILE_TMPDIR/blocks/$1"/[0-9]* | grep -v '\.run$')
    if [ ${#found[@]} != 1 ]; then
        echo "$1: expected one code block, found ${#found[@]}, that contains: $2" >&2
        return 1
    fi
    cp "${found[0]}" "${found[0]}.run"
    cat "${found[0]}"
}

# within_test CMD [ARG]...: runs CMD, and kills it shortly before bats ends the test: a process that
# never ends would keep bats waiting.
within_test() {
    timeout --signal KILL $((${BATS_TEST_TIMEOUT:-120} - 10)) "$@"
}

# follow DOCUMENT WORDS: runs this block unchanged, in a shell that exits at the first failure.
follow() {
    local code
    code=$(block "$@") || return
    within_test bash -euo pipefail -c "source '$hosts/profile'"$'\n'"$code"
}

# follow_there DOCUMENT WORDS: runs this block on the other host.
follow_there() {
    local code
    code=$(block "$@") || return
    within_test ssh there "set -euo pipefail"$'\n'"$code"
}

# all_followed [WORDS]...: fails if no test of the file has run some block of its documents. For the
# last test of a file. Blocks that contain WORDS are excluded, because other test files run them.
all_followed() {
    local file words left=()
    for words; do
        for file in $(grep -rlF --exclude='*.run' -e "$words" "$BATS_FILE_TMPDIR/blocks"); do cp "$file" "$file.run"; done
    done
    for file in $(find "$BATS_FILE_TMPDIR/blocks" -type f ! -name '*.run' | sort -V); do
        [ -e "$file.run" ] || left+=("$file")
    done
    if [ ${#left[@]} -gt 0 ]; then
        echo "code blocks that no test has run:"
        head -n 100 "${left[@]#"$PWD/"}"
        return 1
    fi
}

# hosts: simulates a second host, "there", by namespaces with an empty /run and /srv. Both hosts see
# the images and home directories below $hosts. A replacement for ssh runs commands on either host.
# On a kernel with version 2 of cgroups alone, the second host also has a cgroup namespace, whose root
# is a part of the hierarchy that only this host uses.
hosts() {
    export hosts=$BATS_FILE_TMPDIR/hosts
    # The hosts, and other test runs, share the cgroup hierarchy, so the name of the cgroup is
    # unique.
    export cgroup=/${BATS_RUN_TMPDIR##*/}
    mount -t tmpfs tmpfs /srv
    mount -t tmpfs tmpfs /usr/local
    local dir
    for dir in /etc /var/lib; do
        mkdir -p "$hosts/over$dir"/{upper,work}
        mount -t overlay overlay -o "lowerdir=$dir,upperdir=$hosts/over$dir/upper,workdir=$hosts/over$dir/work" "$dir"
    done
    mkdir -p "$hosts"/{bin,tools,home/{here,there}}
    # The tools may be below /run, which differs on the other host.
    mount --bind "$(dirname "$(command -v ckpt-pack)")" "$hosts/tools"
    : >"$hosts/profile"
    echo $$ >"$hosts/here"
    mkfifo "$hosts/up"
    local enter=() controller
    # Version 1 may exist without being mounted. In another namespace, CRIU would restore the state of
    # its freezer, too.
    if [ "$(cut -d: -f1 /proc/self/cgroup)" = 0 ]; then
        # shellcheck disable=SC2016 # the shell that is started expands it
        enter=(bash -euc 'echo 0 >"$0/cgroup.procs" && exec "$@"' "/sys/fs/cgroup$cgroup-there")
        mkdir -p "/sys/fs/cgroup$cgroup-there/init"
        for controller in $(</sys/fs/cgroup/cgroup.controllers); do
            echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control || true
        done
        echo "/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)" >"$hosts/here.cgroup"
        echo "/sys/fs/cgroup$cgroup-there/init" >"$hosts/there.cgroup"
    fi
    "${enter[@]}" unshare --mount --propagation private --net --uts --ipc ${enter:+--cgroup} bash -euc '
        if [ -e "$hosts/there.cgroup" ]; then
            mount -t cgroup2 cgroup2 /sys/fs/cgroup
            echo 0 >/sys/fs/cgroup/init/cgroup.procs
        fi
        mount -t tmpfs tmpfs /run
        mount -t tmpfs tmpfs /srv
        mkdir -p /run/netns
        hostname there
        ip link set lo up
        echo $$ >"$hosts/there"
        echo >"$hosts/up"
        exec sleep infinity' </dev/null >/dev/null 3>&- &
    read -r <"$hosts/up"
    cat >"$hosts/bin/ssh" <<'SSH'
#!/bin/bash
# ssh HOST COMMAND...: replacement for ssh. Runs COMMAND on HOST, in its home directory.
target=$(cat "$hosts/$1") && HOME=$hosts/home/$1 || exit 255
namespaces=(--mount --net --uts --ipc)
if [ -e "$hosts/$1.cgroup" ]; then
    namespaces+=(--cgroup)
    echo 0 >"/proc/$(cat "$hosts/here")/root$(cat "$hosts/$1.cgroup")/cgroup.procs"
fi
shift
exec nsenter --target "$target" "${namespaces[@]}" -- \
    bash -c 'cd "$HOME" && source "$hosts/profile" && eval "$1"' bash "$*"
SSH
    chmod +x "$hosts/bin/ssh"
    PATH=$hosts/bin:$hosts/tools:$PATH
    cd "$hosts/home/here"
}

# no_hosts: reverts hosts.
no_hosts() {
    kill "$(cat "$hosts/there")"
    if [ -e "$hosts/there.cgroup" ]; then
        # A cgroup is busy until its killed processes have ended.
        for _ in {1..50}; do
            find "/sys/fs/cgroup$cgroup-there" -depth -type d -exec rmdir {} + 2>/dev/null && break
            sleep 0.1
        done
    fi
    umount -l /srv /usr/local /etc /var/lib "$hosts/tools"
}

# web_runs [OPTION]...: starts the container "web" on this host, with these options of spec-gen, and
# creates all that the documents assume.
web_runs() {
    export B=/run/web
    overlay "$B"
    mkdir -p /srv/data
    cp "$tests/netavark-options.json" opts.json
    ip netns delete web 2>/dev/null || true
    ip netns add web
    netavark -c /run/netavark setup /run/netns/web <opts.json >"$B/netavark.json"
    spec-gen --new --rootfs "$B/rootfs" --read-only=false --tty=false --network ns:/run/netns/web \
        --cgroups-path "$cgroup" "$@" -- /app/count >"$B/config.json"
    start runc "$B" web
}

# web_is_awaited ROOTFS: creates all that the documents assume on the other host, with the image
# mounted at ROOTFS.
web_is_awaited() {
    export B2=/run/web2
    cp "$tests/netavark-options.json" "$hosts/home/there/opts.json"
    ssh there "set -e; mkdir -p /srv/{data2,upper,work} $1
        mount -t overlay overlay -o lowerdir=$image,upperdir=/srv/upper,workdir=/srv/work $1"
}

# web_is_gone: removes the container "web" and all its files and network links from both hosts.
web_is_gone() {
    local host name
    for host in here there; do
        [ -d "/proc/$(cat "$hosts/$host")" ] || continue
        ssh $host '
            for name in $(runc list -q); do runc delete -f "$name"; done
            for name in $(ip netns list | cut -d" " -f1); do ip netns delete "$name"; done
            ip -json link show type bridge | jq -r ".[].ifname" | xargs -rn1 ip link delete
            findmnt -rno TARGET -t overlay | grep -E "^(/run|/srv|$hosts/home)/" | xargs -rn1 umount -l
            rm -rf /run/web* /run/migrate.* /run/containers/networks/* /srv/*'
    done
    rm -rf "$hosts"/home/*/*
}
