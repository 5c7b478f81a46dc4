# docs/examples/pod writes all containers of a pod to one file, and restores them in new namespaces, with
# the connections between them.

# bats file_tags=tcp

load lib/helpers
load lib/podman
load lib/pod

setup_file() {
    if [ -n "${NEWER_CRIU:-}" ]; then export PATH=$NEWER_CRIU:$PATH; fi
    export PATH=$tests/../docs/examples:$PATH
    build_pod_image
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    cgroup=/${BATS_RUN_TMPDIR##*/}-pod
    export TMPDIR=$PWD/tmp
    mkdir tmp
}

teardown() {
    local dir
    for dir in restored*; do [ ! -d "$dir/ns" ] || pod remove "$dir"; done
    teardown_containers
    if [ -e holder ]; then kill -KILL "$(cat holder)" 2>/dev/null || true; fi
    ip netns delete pod 2>/dev/null || true
    # The name "shm" alone would also match the source of the mount on /dev/shm.
    umount ns/* "$PWD/shm" 2>/dev/null || true
}

# bats waits until all processes have closed its descriptor.
pod() { command pod "$@" 3>&-; }

# restored [OPTION]...: restores pod.tar in the directory "restored".
restored() {
    pod restore --image server="$image" --image client="$image" --cgroup "$cgroup" --volume data="$PWD/there" "$@" \
        pod.tar restored
}

@test "a connection between two containers carries on in new namespaces" {
    pod_runs
    nsenter --ipc=ns/ipc ipcmk -M 4096 -Q -S 3
    nsenter --ipc=ns/ipc ipcs >ipcs.before
    runc exec server sh -c 'echo shared >/dev/shm/file; echo volume >/data/file; echo changed >/app/settings'
    pod checkpoint --volume data="$PWD/data" --compress zstd pod.tar client server
    [ -z "$(runc list -q)" ]
    [ -z "$(ls -A tmp)" ]
    ckpt-unpack --verify pod.tar
    [ "$(ckpt-unpack --cat pod.dump pod.tar | jq -r .hostname)" = of-the-pod ]
    before=$(cat client/rootfs/tmp/counter)
    pod_is_gone

    restored
    carried_on restored "$before"
    for type in net ipc uts; do
        client=$(readlink "/proc/$(runc state client | jq .pid)/ns/$type")
        [ "$client" = "$(readlink "/proc/$(runc state server | jq .pid)/ns/$type")" ]
        [ "$client" != "$(readlink "/proc/self/ns/$type")" ]
    done
    nsenter --ipc=restored/ns/ipc ipcs | diff ipcs.before -
    [ "$(runc exec client sh -c 'hostname; cat /dev/shm/file /data/file')" = $'of-the-pod\nshared\nvolume' ]
    [ "$(runc exec server cat /app/settings)" = changed ]
    # One directory is mounted in both containers.
    runc exec client sh -c 'echo new >/dev/shm/new; echo new >/data/new'
    [ "$(runc exec server cat /dev/shm/new /data/new there/new 2>/dev/null)" = $'new\nnew' ]
    [ "$(cat there/new)" = new ]
    run ! grep -w drop <(nsenter --net=restored/ns/net nft list ruleset)
    pod remove restored
    [ ! -e restored ]
    [ -z "$(runc list -q)" ]
    run ! grep -F "$PWD/restored" /proc/self/mountinfo
}

@test "no byte of a busy connection is lost or repeated" {
    pod_runs '.process.args = (if $name == "client" then ["/app/busy"]
        else ["nc", "-l", "-p", "7000", "-e", "/bin/cat"] end)'
    pod checkpoint --volume data="$PWD/data" pod.tar client server
    before=$(cat client/rootfs/tmp/counter)
    pod_is_gone
    restored
    counted_past restored/containers/client/rootfs/tmp/counter $((before + 100000))
    same_connection restored/ns/net
    [ ! -e restored/containers/client/rootfs/tmp/gone ]
}

@test "a pod with one PID namespace keeps its process IDs" {
    pod_runs '(.linux.namespaces[] | select(.type == "pid")).path = "\($dir)/ns/pid"'
    # Not those that live for a tenth of a second.
    processes() { runc exec client ps -o pid,args | grep -e answer -e 'nc 127' -e '/app/server'; }
    processes >ps.before
    pod checkpoint --volume data="$PWD/data" pod.tar server client
    before=$(cat client/rootfs/tmp/counter)
    pod_is_gone
    restored
    carried_on restored "$before"
    processes | diff ps.before -
    # The first process of the namespace reaps orphans.
    runc exec server sh -c '(sleep 0.1 &)'
    sleep 0.5
    run ! grep -F '[sleep]' <(runc exec server ps)
}

@test "--leave-running: the pod continues, and its checkpoint is restored" {
    pod_runs
    pod checkpoint --leave-running --volume data="$PWD/data" pod.tar server client
    all_run
    runc delete -f server
    runc delete -f client
    before=$(cat client/rootfs/tmp/counter)
    pod_is_gone
    restored
    counted_past restored/containers/client/rootfs/tmp/counter "$((before - 5))"
    same_connection restored/ns/net
}

# attached: attaches the System V segment 1234, and writes what it contains to /tmp/attached.
attached() {
    add_program perl
    # The numbers of shmat(2).
    local number=30
    [ "$(uname -m)" = x86_64 ] || number=196
    cat >"$image/app/attached" <<ATTACHED
#!/bin/perl
my \$id = shmget(1234, 4096, 01666);
my \$address = syscall($number, \$id, 0, 0);
while (1) {
    open(my \$file, ">", "/tmp/attached");
    print \$file unpack("P7", pack("Q", \$address)), "\n";
    close(\$file);
    select(undef, undef, undef, 0.1);
}
ATTACHED
    chmod 755 "$image/app/attached"
}

@test "one container may have attached System V shared memory" {
    attached
    both='.process.args = ["sh", "-c", "/app/attached & exec /app/\($name)"]'
    pod_runs "if \$name == \"client\" then $both else . end"
    runc exec client perl -e 'shmwrite(shmget(1234, 4096, 0), "segment", 0, 7)'
    pod checkpoint --volume data="$PWD/data" pod.tar server client
    before=$(cat client/rootfs/tmp/counter)
    pod_is_gone
    restored
    carried_on restored "$before"
    [ "$(cat restored/containers/client/rootfs/tmp/attached)" = segment ]
    pod remove restored

    pod_runs "$both"
    rm pod.tar
    run --separate-stderr ! pod checkpoint --volume data="$PWD/data" pod.tar server client
    [[ $stderr == *'server client: CRIU cannot restore System V shared memory'* ]]
    all_run
}

@test "if one container cannot be dumped, all continue" {
    # CRIU does not dump a large file that was deleted.
    pod_runs 'if $name == "client" then .process.args = ["sh", "-c",
        "dd if=/dev/zero of=/tmp/large bs=1M count=2; exec 3</tmp/large; rm /tmp/large; exec /app/client"] else . end'
    run --separate-stderr ! pod checkpoint --volume data="$PWD/data" pod.tar server client
    [[ $stderr == *'client: not dumped, all containers continue'* ]]
    [ ! -e pod.tar ]
    all_run
}

@test "after a signal at any moment, all containers continue" {
    pod_runs
    # The signal arrives before the checkpoint is complete.
    mkdir bin
    printf '#!/bin/bash\n[[ $* != *--pod-config* ]] || sleep 2\nexec %q "$@"\n' "$(command -v ckpt-pack)" >bin/ckpt-pack
    chmod 755 bin/ckpt-pack
    PATH=$PWD/bin:$PATH
    for signal in TERM KILL; do
        for delay in 0 0.4; do
            setsid pod checkpoint --volume data="$PWD/data" pod.tar server client 2>log 3>&- &
            until [ "$(runc state client | jq -r .status)" = paused ]; do sleep 0.01; done
            sleep $delay
            kill -s $signal $!
            wait $! || true
            # The programs that the script has started end first.
            for try in {1..100}; do [ -z "$(ls -A tmp)" ] || sleep 0.1; done
            [ ! -e pod.tar ]
            all_run
        done
    done
}

@test "a failed restore leaves nothing behind" {
    pod_runs
    pod checkpoint --volume data="$PWD/data" pod.tar server client
    pod_is_gone
    fails() {
        local words=$1
        shift
        run --separate-stderr ! "$@"
        echo "$stderr"
        [[ $stderr == *"$words"* ]]
        [ ! -e restored ]
        [ -z "$(runc list -q)" ]
        run ! grep -F "$PWD/restored" /proc/self/mountinfo
    }
    mkdir empty
    fails 'no image is given' pod restore --image server="$image" pod.tar restored
    fails 'hint: --volume data=/DIRECTORY' pod restore --image server="$image" --image client="$image" pod.tar restored
    # The first container is restored, the second one lacks the file of its shell.
    fails 'server: not restored' restored --image server="$PWD/empty"
    fails 'the command of --setup failed' restored --setup false
    truncate -s -2000 pod.tar
    fails pod.tar restored
}

@test "pod: usage, and pods that cannot be checkpointed" {
    pod --help | grep '^Usage: '
    run -2 --separate-stderr pod --wrong
    [[ $stderr == *Usage:* ]]
    run -2 pod checkpoint --leave-running --wrong pod.tar server
    run -2 pod checkpoint pod.tar
    run -2 pod restore --leave-running pod.tar
    run -2 pod restore --volume data=there pod.tar restored
    run -2 pod remove
    fails() {
        run --separate-stderr ! pod checkpoint "${@:2}"
        [[ $stderr == *"$1"* ]]
        [ ! -e pod.tar ]
    }
    fails 'server: no such container' pod.tar server
    pod_runs
    fails 'no container has mounted' --volume data="$PWD/tmp" pod.tar server client
    runc pause server
    fails 'expected a running container, found paused' pod.tar server client
    runc resume server
    make_bundle "$PWD/web"
    start runc "$PWD/web" web
    fails 'not in the network namespace of server' pod.tar server web
    fails 'web: has created the network namespace' pod.tar web
    runc delete -f web
    join='(.linux.namespaces[] | select(.type == "network")).path = "/run/netns/pod"'
    make_bundle "$PWD/ipc" "$join"
    start runc "$PWD/ipc" web
    make_bundle "$PWD/ipc2" "$join | .linux.cgroupsPath += \"-2\" |
        (.linux.namespaces[] | select(.type == \"ipc\")).path = \"/proc/$(runc state web | jq .pid)/ns/ipc\""
    start runc "$PWD/ipc2" web2
    fails 'web: has created the ipc namespace' pod.tar web2 web
    all_run
}

@test "a pod of podman is restored by runc" {
    setup_podman
    mkdir bin
    podman_is bin/podman
    podman_ pod create --name web --network none --share ipc,net,uts --hostname of-the-pod
    podman_ run -d --pids-limit 0 --pod web --name server -v data:/data localhost/image /app/server
    sleep 1
    podman_ run -d --pids-limit 0 --pod web --name client -v data:/data localhost/image /app/client
    podman_ exec client sh -c 'echo volume >/data/file; echo shared >/dev/shm/file'
    sleep 1
    PATH=$PWD/bin:$PATH pod checkpoint --podman web pod.tar
    podman_ pod rm -f -t 0 web
    podman_ volume rm data
    echo hosts >hosts
    restored --spec "client=--volume=$PWD/hosts:/etc/hosts"
    [ "$(runc exec client sh -c 'hostname; cat /dev/shm/file /data/file /etc/hosts')" = $'of-the-pod\nshared\nvolume\nhosts' ]
    runc exec server cat /etc/hosts | grep -w localhost
    before=$(runc exec client cat /tmp/counter)
    counted_past restored/containers/client/rootfs/tmp/counter "$before"
    [ ! -e restored/containers/client/rootfs/tmp/gone ]
}
