#!/usr/bin/env bats
# runc and crun start containers from the output of spec-gen. tests/pipelines/run runs this file
# with both runtimes.
#
# The tests need root, and in PATH: spec-gen, a static busybox, and the runtime ($RUNTIME, default
# runc). If CONTAINER_ENTRY is set, it is a command that runs busybox and the runtime in another
# root, which shares /tmp with the host.

RUNTIME=${RUNTIME:-runc}

in_tree() { ${CONTAINER_ENTRY:-} "$@"; }

setup_file() {
    TOP=$(mktemp -d /tmp/spec-gen-bats.XXXXXX)
    export TOP
    ROOT=$TOP/rootfs
    mkdir -p "$ROOT"/{bin,dev,etc,home/alice,proc,root,run,sys,tmp,var,data/sub} "$TOP"/{data,hooks,cdi,shm,ovl}
    in_tree cat "$(in_tree sh -c 'command -v busybox')" > "$ROOT/bin/busybox"
    chmod 755 "$ROOT/bin/busybox"
    for applet in sh cat id ls mount env stat touch grep hostname ulimit readlink wc; do
        ln -s busybox "$ROOT/bin/$applet"
    done
    ln -s ../run "$ROOT/var/run"
    ln -s /data/sub "$ROOT/worklink"
    printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' '# comment' 'alice:x:1000:1000::/home/alice:/bin/sh' > "$ROOT/etc/passwd"
    printf '%s\n' 'root:x:0:' 'wheel:x:10:alice' 'users:x:100:' > "$ROOT/etc/group"
    touch "$ROOT"/etc/{hosts,hostname,resolv.conf}
    echo from-host > "$TOP/data/file"
    chmod 755 "$TOP" "$TOP"/*
}

teardown_file() { rm -rf "$TOP"; }

# starts [FLAG]... COMMAND: runs the shell command in a container with these flags of spec-gen, and
# sets $output.
starts() {
    local command=${!#}
    local flags=("${@:1:$#-1}")
    local bundle=$TOP/$BATS_TEST_NUMBER
    mkdir -p "$bundle"
    spec-gen --new --rootfs "$TOP/rootfs" --tty=false --validate "${flags[@]}" -o "$bundle/config.json" -- sh -c "$command"
    run in_tree "$RUNTIME" run --bundle "$bundle" "sg-$$-$BATS_TEST_NUMBER"
    [ "$status" -eq 0 ] || { echo "$output"; return 1; }
}

has() { [[ "$output" == *"$1"* ]] || { echo "expected: $1"; echo "output: $output"; return 1; }; }
has_not() { [[ "$output" != *"$1"* ]] || { echo "unexpected: $1"; echo "output: $output"; return 1; }; }

@test "the default spec starts a container" { starts 'echo alive'; has alive; }

@test "the default specs are the same as those of runc" {
    local kind
    # Before version 1.3, runc also sets ambient capabilities.
    local current='.ociVersion = "1.2.1" | del(.process.capabilities.ambient)'
    for kind in '' --rootless; do
        mkdir -p "$TOP/spec$kind"
        (cd "$TOP/spec$kind" && in_tree runc spec $kind)
        diff <(jq -S "$current" "$TOP/spec$kind/config.json") <(spec-gen --new $kind | jq -S .)
    done
}

@test "--user NAME sets supplementary groups and HOME" {
    starts -u alice 'id; echo $HOME'
    has 'uid=1000(alice) gid=1000'; has '10(wheel)'; has /home/alice
}

@test "--user accepts a user ID with the name of a group" { starts -u 4242:users 'id -u; id -g'; has 4242; has 100; }

@test "--group-add adds groups by name and by number" { starts --group-add wheel --group-add 777 'id -G'; has '10'; has 777; }

@test "-e, --env-file and --unsetenv change the environment" {
    printf 'FROM_FILE=yes\n' > "$TOP/env"
    starts -e A=b --unsetenv TERM --env-file "$TOP/env" env
    has A=b; has FROM_FILE=yes; has_not TERM=xterm
}

@test "--workdir follows a symbolic link" { starts -w /worklink 'readlink -f .'; has /data/sub; }

@test "--hostname sets the host name" { starts --hostname web hostname; has web; }

@test "--uts host keeps the name of the host" { starts --uts host hostname; has "$(hostname)"; }

@test "-v binds a writable directory" { starts -v "$TOP/data:/mnt" 'cat /mnt/file; echo back > /mnt/back'; has from-host; [ -s "$TOP/data/back" ]; }

@test "-v :ro binds a read-only directory" { starts -v "$TOP/data:/mnt:ro" 'touch /mnt/x 2>&1 || true'; has 'Read-only'; }

@test "-v :U changes the owner to the user" {
    mkdir "$TOP/own"; touch "$TOP/own/f"
    starts -u alice -v "$TOP/own:/mnt:U" --apply 'stat -c %u /mnt/f'
    has 1000
}

@test "--mount type=bind mounts a directory" {
    starts --mount "type=bind,src=$TOP/data,dst=/mnt,ro,bind-nonrecursive" 'mount'
    has 'on /mnt '
}

@test "a named volume is mounted from --volume-root" { mkdir -p "$TOP/vols/v/_data"; starts -v v:/v --volume-root "$TOP/vols" 'touch /v/x'; [ -e "$TOP/vols/v/_data/x" ]; }

@test "an overlay volume does not change its source" {
    starts -v "$TOP/data:/mnt:O" --overlay-dir "$TOP/ovl" --apply 'cat /mnt/file; echo changed > /mnt/file'
    has from-host
    [ "$(cat "$TOP/data/file")" = from-host ]
    grep -rq changed "$TOP/ovl"
}

@test "--tmpfs mounts a tmpfs" { starts --tmpfs /t:size=1m 'mount'; has 'tmpfs on /t '; }

@test "--tmpfs follows a symbolic link of the image" { starts --tmpfs /var/run 'mount'; has 'tmpfs on /run '; }

@test "nested mounts work in any order of flags" {
    mkdir -p "$TOP/data/in"
    starts --tmpfs /a/b/c -v "$TOP/data:/a" --tmpfs /a/b --read-only=false 'ls -d /a/b/c; cat /a/file'
    has /a/b/c; has from-host
}

@test "--read-only mounts a writable tmpfs at /tmp" {
    starts --read-only 'touch /x 2>&1; touch /tmp/x && echo tmp-ok'
    has Read-only; has tmp-ok
}

@test "--read-only=false makes the root file system writable" { starts --read-only=false 'touch /x && echo ok'; has ok; }

@test "--shm-dir binds a directory at /dev/shm" { starts --shm-dir "$TOP/shm" 'echo s > /dev/shm/s'; [ -s "$TOP/shm/s" ]; }

@test "--bind-mount binds a file of the container engine" {
    echo '10.1.1.1 other' > "$TOP/hosts"
    starts --bind-mount "/etc/hosts=$TOP/hosts" 'cat /etc/hosts'
    has 10.1.1.1
}

@test "--device creates a device node" { starts --device /dev/null:/dev/xnull:rw --cap-add MKNOD 'ls -l /dev/xnull; echo x > /dev/xnull'; has '1,   3'; }

@test "a CDI device in YAML sets variables and mounts" {
    printf 'cdiVersion: "0.6.0"\nkind: v.com/d\ndevices:\n- name: one\n  containerEdits:\n    env: [CDI=yes]\n    mounts:\n    - {hostPath: %s, containerPath: /cdi}\n' "$TOP/data" > "$TOP/cdi/v.yaml"
    starts --device v.com/d=one --cdi-spec-dir "$TOP/cdi" 'echo $CDI; cat /cdi/file'
    has yes; has from-host
}

@test "--privileged adds devices and capabilities" { starts --privileged 'ls /dev/full /dev/kmsg; cat /proc/self/status | grep CapEff'; has /dev/kmsg; has_not 'CapEff:	0000000000000000'; }

@test "--network host uses the network namespace of the host" {
    starts --network host 'readlink /proc/self/ns/net'; has "$(readlink /proc/self/ns/net)"
}

@test "--network ns:PATH joins the namespace at PATH" {
    unshare --net sleep 60 3>&- &
    local pid=$!
    while [ "$(readlink "/proc/$pid/ns/net")" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
    local ns; ns=$(readlink "/proc/$pid/ns/net")
    starts --network "ns:/proc/$pid/ns/net" 'readlink /proc/self/ns/net' || { kill "$pid"; return 1; }
    kill "$pid"
    has "$ns"
}

@test "--pid host and --ipc host use the host's namespaces" { starts --pid host --ipc host 'readlink /proc/self/ns/pid'; has "$(readlink /proc/self/ns/pid)"; }

@test "--pid container:PID joins the namespace of the process" { starts --pid "container:$$" 'readlink /proc/self/ns/pid'; has "$(readlink "/proc/$$/ns/pid")"; }

@test "--uidmap and --gidmap create a user namespace" {
    starts --uidmap 0:0:100000 --gidmap 0:0:100000 'cat /proc/self/uid_map'
    has 100000
}

@test "the hooks in a directory run in their stages" {
    printf '#!/bin/sh\ncat > /dev/null\necho ran >> %s/hook.log\n' "$TOP" > "$TOP/hook.sh"; chmod 755 "$TOP/hook.sh"
    printf '{"version":"1.0.0","hook":{"path":"%s"},"when":{"always":true},"stages":["prestart","poststop"]}' "$TOP/hook.sh" > "$TOP/hooks/a.json"
    starts --hooks-dir "$TOP/hooks" 'echo ok'
    has ok
    [ "$(wc -l < "$TOP/hook.log")" -eq 2 ]
}

@test "--umask sets the umask" { starts --umask 0077 --tmpfs /t 'touch /t/f; stat -c %a /t/f'; has 600; }

@test "--ulimit sets a resource limit" { starts --ulimit nofile=77:88 'ulimit -n'; has 77; }

@test "--sysctl sets a kernel parameter" { starts --sysctl net.ipv4.ip_forward=1 'cat /proc/sys/net/ipv4/ip_forward'; has 1; }

@test "--cap-drop ALL and --cap-add leave one capability" {
    starts --cap-drop ALL --cap-add CHOWN 'grep CapEff /proc/self/status'
    has 0000000000000001
}

@test "--seccomp loads a filter from a file" {
    printf '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["sethostname"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}' > "$TOP/seccomp.json"
    starts --seccomp "$TOP/seccomp.json" --cap-add SYS_ADMIN 'hostname x 2>&1 || true; grep ^Seccomp: /proc/self/status'
    has 'not permitted'; has '2'
}

@test "--mask hides a file" { starts --mask /proc/version --unmask /proc/timer_list 'cat /proc/version | wc -c'; has 0; }

@test "--pids-limit, --memory and --cpus are accepted by runtimes" {
    local controllers=/sys/fs/cgroup/cgroup.controllers
    # On a machine with both versions of cgroups, version 1 has most controllers.
    if [ -e $controllers ] && ! grep -w memory $controllers | grep -qw pids; then
        skip "version 2 of cgroups has no controllers memory and pids"
    fi
    starts --pids-limit 50 -m 64m --memory-swap 64m --cpus 0.5 'echo limited'
    has limited
}

@test "--systemd=always mounts a tmpfs at /run/lock" { starts --systemd=always --unmask ALL --privileged 'mount'; has 'tmpfs on /run/lock '; }

@test "--cgroups-path sets the cgroup" { starts --cgroups-path "/sg-$$" --cgroupns host 'cat /proc/self/cgroup'; has "/sg-$$"; }

@test "an image config sets variables, user and directory" {
    printf '{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin","IMG=yes"],"Entrypoint":["sh","-c"],"Cmd":["env; id -u"],"User":"alice","WorkingDir":"/data"}}' > "$TOP/image.json"
    mkdir -p "$TOP/img"
    spec-gen --image-config "$TOP/image.json" --rootfs "$TOP/rootfs" --tty=false --validate -o "$TOP/img/config.json"
    run in_tree "$RUNTIME" run --bundle "$TOP/img" "sg-$$-img"
    [ "$status" -eq 0 ]
    has IMG=yes; has PWD=/data; has 1000
}

