# Functions for tests with Docker. Each test file has a dockerd with an empty data directory, and the
# image img:1, which is the image of all end-to-end tests.

examples=$tests/../docs/examples
export PATH=$PATH:$tests/../docs/examples

# What the program of the container has written to its root file system, its volume, /dev/shm and a
# tmpfs.
written='cat /app/settings /app/cache/new /app/replaced-dir /app/replaced-file/x /data/file /dev/shm/file /scratch/file'
expected='changed
fresh
now a file
inside
in the volume
in shared memory
in a tmpfs'

# start_docker [OPTION]...: starts dockerd. For setup_file.
start_docker() {
    build_image
    # On hosts with systemd, mounts are shared. Docker's volumes are slaves of the host's mounts, and
    # CRIU restores that.
    mount --make-rshared /
    [[ "$*" == *--config-file* ]] || set -- "$@" --config-file /dev/null
    dockerd --data-root "$BATS_FILE_TMPDIR/docker" --experimental "$@" \
        </dev/null >"$BATS_FILE_TMPDIR/dockerd.log" 2>&1 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/dockerd.pid"
    local try
    for try in {1..300}; do
        if docker version >/dev/null 2>&1; then break; fi
        sleep 0.1
    done
    docker version >/dev/null || {
        tail "$BATS_FILE_TMPDIR/dockerd.log"
        return 1
    }
    tar -C "$image" -c . | docker import --change 'CMD ["/app/count"]' - img:1
    mkdir -p "$BATS_FILE_TMPDIR/bound"
    echo bound >"$BATS_FILE_TMPDIR/bound/file"
}

# stop_docker: stops dockerd and its containerd. For teardown_file.
stop_docker() {
    local pid
    # The bridge would stay, with the same addresses as that of the next test file.
    docker network rm net1 || true
    pid=$(cat "$BATS_FILE_TMPDIR/dockerd.pid")
    kill "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    awk -v dir="$BATS_FILE_TMPDIR/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r umount -l
}

# teardown_docker: removes containers and volumes.
teardown_docker() {
    local all
    mapfile -t all < <(docker container ls -aq)
    [ ${#all[@]} = 0 ] || docker rm -f "${all[@]}"
    docker volume prune -af
}

# with_mounts NETWORK...: prints options of "docker create": the network, and the mounts of all
# containers of the tests, one word per line.
with_mounts() {
    printf '%s\n' "$@" -v data:/data -v "${BOUND:-$BATS_FILE_TMPDIR/bound}:/bound" --tmpfs /scratch
}

# has_network: creates the network net1, unless it exists.
has_network() {
    docker network inspect net1 >/dev/null 2>&1 || docker network create --subnet 10.77.0.0/24 net1
}

# web_runs [OPTION]...: starts the container "web" with a network, a volume, a bind mount and a tmpfs,
# and edits the files that Docker mounts.
web_runs() {
    local options
    has_network
    mapfile -t options < <(with_mounts --network net1 --ip 10.77.0.9 -p 8080:80)
    docker run -d --name web "${options[@]}" -e SECRET=1 "$@" img:1
    counts web
    docker exec web sh -c 'echo 10.0.0.1 example >>/etc/hosts; echo search example >>/etc/resolv.conf; echo edited >/etc/hostname'
}

# web_is_gone: removes "web" and its volume.
web_is_gone() {
    docker rm -f web
    docker volume rm data
}

# clone_is_created NETWORK...: creates the container "clone", which was never started.
clone_is_created() {
    local options
    mapfile -t options < <(with_mounts "$@")
    docker create --name clone "${options[@]}" img:1
}

# holder_runs: starts a container that has a network for the clone.
holder_runs() {
    docker run -d --name holder --network net1 --ip 10.77.0.9 -p 8080:80 "$@" img:1 sleep 1000
}

# docker_restores_networks: succeeds unless this Docker cannot start a checkpoint with a network that
# it creates, not even with --network none (containerd/containerd#12141).
docker_restores_networks() {
    local version
    version=$(docker version -f '{{.Server.Version}}')
    [ "${version%%.*}" -lt 28 ]
}

# counts NAME: waits until a Docker container counts.
counts() {
    local before now try
    before=$(docker exec "$1" cat /tmp/counter 2>/dev/null) || before=0
    for try in {1..50}; do
        now=$(docker exec "$1" cat /tmp/counter 2>/dev/null) || now=''
        if [ "${now:-0}" -gt "${before:-0}" ]; then return; fi
        sleep 0.1
    done
    echo "$1 does not count past ${before:-0}"
    docker logs "$1"
    return 1
}

# has_everything EXEC...: compares what "EXEC CMD..." finds in a restored container.
has_everything() {
    [ "$("$@" $written)" = "$expected" ]
    run ! "$@" ls /app/deleted
    [ "$("$@" stat -c %a /app/private)" = 2750 ]
}

# nothing_is_left: fails if a script has left a directory or an incomplete file.
nothing_is_left() {
    [ -z "$(find /var/tmp /tmp "$PWD" -maxdepth 1 \( -name 'docker-to-ckpt.*' -o -name 'ckpt-to-docker.*' -o -name '*.new.*' \))" ]
}
