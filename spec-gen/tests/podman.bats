#!/usr/bin/env bats
# Compares config.json of podman and of spec-gen for the same container, flag by flag.
#
# The tests need root, and in PATH: podman, runc, criu, busybox, jq and spec-gen.

bats_require_minimum_version 1.5.0

setup_file() {
    export TOP=$BATS_FILE_TMPDIR/top
    export IMAGE=$TOP/image
    mkdir -p "$IMAGE"/{bin,etc,ivol,tmp} "$TOP/data"
    cp "$(command -v busybox)" "$IMAGE/bin/busybox"
    ln -s busybox "$IMAGE/bin/sh"
    echo 'root:x:0:0:root:/root:/bin/sh' >"$IMAGE/etc/passwd"
    echo 'root:x:0:' >"$IMAGE/etc/group"
    chmod 750 "$IMAGE/ivol"
    tar -C "$IMAGE" -c . | podman_ import -q --change 'VOLUME /ivol' --change 'ENV hello=world' --change 'ENV PATH=/bin' - localhost/image
    podman_ image inspect localhost/image >"$TOP/image.json"
    printf s3cret | podman_ secret create s1 -
    mkdir "$TOP/secrets"
    printf s3cret >"$TOP/secrets/s1"
}

teardown_file() { podman_ rm -fa -t0; }

podman_() {
    podman --root "$TOP/root" --runroot "$TOP/run" --storage-driver overlay --cgroup-manager cgroupfs \
        --events-backend none --runtime runc "$@"
}

# podman_writes NAME FLAG...: prints podman's config.json of a container with these flags.
podman_writes() {
    local id
    id=$(podman_ create --name "$1" "${@:2}" localhost/image sh) || return
    podman_ init "$1" >/dev/null || return
    cat "$TOP/root/overlay-containers/$id/userdata/config.json"
}

# we_write FLAG...: prints spec-gen's config.json for the same image and command.
we_write() {
    spec-gen --image-config "$TOP/image.json" --rootfs "$IMAGE" --read-only=false --tty=false -q "$@" -- sh
}

# alike FILTER FLAG...: succeeds if both outputs are equal after jq's FILTER.
alike() {
    local filter=$1
    shift
    podman_writes "c$BATS_TEST_NUMBER-${n:=0}" "$@" >"$BATS_TEST_TMPDIR/theirs"
    we_write "$@" "${ours[@]}" >"$BATS_TEST_TMPDIR/ours"
    n=$((n + 1))
    same_by "$filter"
}

# podman_since VERSION: succeeds if podman is VERSION or newer.
podman_since() {
    printf '%s\n' "$1" "$(podman --version | grep -o '[0-9.]*$')" | sort -CV
}

# same_by FILTER: succeeds if the last outputs are equal after jq's FILTER. Fails if the filter
# fails.
same_by() {
    local who
    # Since 5.8, podman writes "rw" for some mounts only. A mount without "ro" is writable anyway, so
    # spec-gen writes it as podman 5.4 does.
    if podman_since 5.8; then
        set -- "$1 | walk(if type == \"array\" then map(select(. != \"rw\")) else . end)"
    fi
    for who in theirs ours; do
        jq -S "$1" "$BATS_TEST_TMPDIR/$who" >"$BATS_TEST_TMPDIR/$who.shown" || return
    done
    diff "$BATS_TEST_TMPDIR/theirs.shown" "$BATS_TEST_TMPDIR/ours.shown"
}

# at REGEX [FILTER]: prints a jq filter that selects mounts by destination and applies FILTER to
# each.
at() { echo "([.mounts[] | select(.destination | test(\"$1\"))] | sort_by(.destination) | map(${2:-.}))"; }

environment='[.process.env[] | select(test("^(container|HOSTNAME|HOME|TERM)=") | not)] | sort'

@test "--tz binds a file at /etc/localtime and sets no variable" {
    local zone
    for zone in Europe/Berlin local; do
        alike "$(at '^/etc/localtime$' '[.destination, .type]')" --tz $zone
        alike "$environment" --tz $zone
    done
    cmp "$(jq -r '.mounts[] | select(.destination == "/etc/localtime").source' "$BATS_TEST_TMPDIR/theirs")" \
        "$(jq -r '.mounts[] | select(.destination == "/etc/localtime").source' "$BATS_TEST_TMPDIR/ours")"
    for zone in ../../../etc/passwd Nowhere/X; do
        run ! podman_ create --tz $zone localhost/image sh
        run ! we_write --tz $zone
    done
}

@test "--read-only and --read-only-tmpfs match podman" {
    local flags shown
    shown="[(.root.readonly // false), $(at '^/(run|tmp|var/tmp)$' '[.destination, .type, .options]'), $(at '^/dev$' '.options | index("ro") != null')]"
    for flags in --read-only '--read-only --read-only-tmpfs=false' '--read-only --tmpfs /run:size=1m' --read-only=false; do
        podman_writes "r$((n += 1))" $flags >"$BATS_TEST_TMPDIR/theirs"
        spec-gen --image-config "$TOP/image.json" --rootfs "$IMAGE" --tty=false -q $flags -- sh >"$BATS_TEST_TMPDIR/ours"
        same_by "$shown"
    done
    [ "$(jq -c '.[1]' "$BATS_TEST_TMPDIR/ours.shown")" = '[]' ]
}

@test "--sdnotify sets the same variables and mounts as podman" {
    local who
    export NOTIFY_SOCKET=/run/a.socket ours=(--bind-mount "/run/notify=$TOP/data")
    alike "[($environment), $(at '^/run/notify$' '[.destination, .type, .options]')]" --sdnotify container
    ours=()
    for who in conmon ignore; do
        alike "[($environment), $(at '^/run/notify$')]" --sdnotify $who
    done
}

@test "--secret sets the same mounts and variables as podman" {
    local ours=(--secret-root "$TOP/secrets" --secret-copies "$TOP/copies" --apply)
    local flags
    for flags in s1 s1,target=foo,uid=5,gid=6,mode=0400 s1,target=/abs.txt s1,type=env s1,type=env,target=VAR; do
        alike "[($environment), $(at 'secrets/|abs' '[.destination, .type, .options]')]" --secret $flags
    done
    alike "$(at 'secrets/' '[.destination, .type, .options]')" --secret s1,uid=5,gid=6,mode=0400
    local source
    source=$(jq -r '.mounts[] | select(.destination == "/run/secrets/s1").source' "$BATS_TEST_TMPDIR/theirs")
    [ "$(stat -c '%u %g %a' "$source")" = "$(stat -c '%u %g %a' "$TOP/copies/s1")" ]
    for flags in s1,type=foo s1,mode=9 s1,nosuch=1 nosuch; do
        run ! podman_ create --secret $flags localhost/image sh
        run ! we_write --secret $flags "${ours[@]}"
    done
}

@test "--chrootdirs, --no-hosts and --no-hostname match podman" {
    local ours=(--bind-mount "/etc/resolv.conf=$TOP/data" --bind-mount "/etc/hostname=$TOP/data")
    alike "$(at '^/etc/(hosts|resolv)|chr' '[.destination, .options]')" --no-hosts --chrootdirs /chr --chrootdirs /chr2
    ours+=(--bind-mount "/etc/hosts=$TOP/data")
    alike "$(at '^/etc/|chr' '[.destination, .options]')" --chrootdirs /chr
    # The same mounts, derived from podman's config and state.
    alike_config "$(at '^/etc/|chr' '[.destination, .options]')" --no-hosts --no-hostname
}

# alike_config FILTER FLAG...: succeeds if spec-gen, with the flags and with the config of a
# container without them, has the same output as podman with the flags.
alike_config() {
    local filter=$1 dump=$BATS_TEST_TMPDIR/config.dump
    shift
    podman_writes "with-$BATS_TEST_NUMBER" --network none "$@" >"$BATS_TEST_TMPDIR/theirs"
    config_of "without-$BATS_TEST_NUMBER" >"$dump"
    echo '{"runDir":"/run/ctr"}' >"$BATS_TEST_TMPDIR/state"
    spec-gen -q --container "$dump" --state "$BATS_TEST_TMPDIR/state" "$@" >"$BATS_TEST_TMPDIR/ours"
    same_by "$filter"
}

# config_of NAME FLAG...: prints libpod's config of a container with these flags. It is taken from a
# checkpoint, because only podman can read its database.
config_of() {
    podman_ run -d --name "$1" --network none "${@:2}" localhost/image /bin/busybox sleep 1000 >/dev/null || return
    podman_ container checkpoint --export "$BATS_TEST_TMPDIR/$1.tar" --compress none "$1" >/dev/null || return
    tar -xOf "$BATS_TEST_TMPDIR/$1.tar" config.dump
}

@test "--init has the same effect as in podman" {
    alike "[.process.args, .annotations[\"io.podman.annotations.init\"], $(at podman-init)]" --init
    run ! podman_ create --init --pid host localhost/image sh
    run ! we_write --init --pid host
}

@test "--env-merge expands variables like podman" {
    local flags
    while read -r -a flags; do
        alike "$environment" "${flags[@]}"
    done <<'FLAGS'
--env-merge hello=${hello}-some
--env-merge hello=$hello/$HOME/$$/$1x/${nosuch}y -e HOME=/h
--env-merge new=${hello} -e hello=mine
--env-merge hello=${hello}2 --env-merge hello=${hello}3
--env-merge hello=$hello-x -e hello=y
--env-merge N=$hello --unsetenv hello
--env-merge hello=$hello-x --unsetenv hello
--env-merge A=${B} -e B=1
--env-merge N=${nosuch:-def}/${hello:+alt}/${hello:-z}
--env-merge N='$hello'"$hello"\$hello
FLAGS
    for flags in hello 'N=${hello'; do
        run ! podman_ create --env-merge "$flags" localhost/image sh
        run ! we_write --env-merge "$flags"
    done
}

@test "--image-volume adds the same mounts as podman" {
    local how ours=(--volume-root "$TOP/volumes" --apply)
    for how in tmpfs ignore anonymous; do
        alike "$(at '^/ivol' 'del(.source)')" --image-volume $how
    done
    local source
    source=$(jq -r '.mounts[] | select(.destination == "/ivol").source' "$BATS_TEST_TMPDIR/theirs")
    [ "$(stat -c '%u %g %a' "$source")" = "$(stat -c '%u %g %a' "$TOP"/volumes/*-ivol/_data)" ]
    alike "$(at '^/ivol')" -v "$TOP/data:/ivol"
    run ! we_write --image-volume foo
}

@test "--volumes-from mounts the volumes of a podman container" {
    podman_ volume create nv
    config_of src -v "$TOP/data:/data:ro,Z" -v nv:/vol:nodev --tmpfs /voltmp -v "$TOP/data:/data2:private" \
        -v "$TOP/data:/data4:noexec" >"$TOP/config.dump"
    local how where
    where=$(at '^/(data|vol)' '(.options |= sort)')
    for how in '' :rw :ro :ro,z; do
        podman_writes "to${how//[:,]/-}" --volumes-from "src$how" | jq -S "$where" >"$BATS_TEST_TMPDIR/theirs" || return
        we_write --volumes-from "$TOP/config.dump$how" | jq -S "$where" >"$BATS_TEST_TMPDIR/ours"
        case $how in
            '') diff "$BATS_TEST_TMPDIR/theirs" "$BATS_TEST_TMPDIR/ours" ;;
            # podman then ignores all other options.
            *) diff <(jq 'map([.destination, .source])' "$BATS_TEST_TMPDIR/theirs") \
                <(jq 'map([.destination, .source])' "$BATS_TEST_TMPDIR/ours") ;;
        esac
        diff <(jq 'map(.options | index("ro") != null)' "$BATS_TEST_TMPDIR/theirs") \
            <(jq 'map(.options | index("ro") != null)' "$BATS_TEST_TMPDIR/ours")
    done
    for how in U ro,rw z,z; do
        run ! podman_ create --volumes-from "src:$how" localhost/image sh
        run ! we_write --volumes-from "$TOP/config.dump:$how"
    done
}

@test "--mount type=glob binds the same files as podman" {
    local dir=$TOP/glob flag shown
    mkdir "$dir"
    touch "$dir"/{a1,a2,.a,b}
    mkdir "$dir/a3"
    ln -s a1 "$dir/a4"
    shown="([.mounts[] | select(.source | startswith(\"$dir\"))] | sort_by(.destination) | map([.destination, .type, .source, .options]))"
    for flag in "$dir/a*,dst=/mnt" "$dir/a*" "$dir/*,dst=/mnt/" "$dir/[^a],dst=/mnt,ro=true" "$dir/?[1-3],dst=/mnt,rslave" "$dir/a1,dst=/mnt,U=true,z"; do
        alike "$shown" --mount "type=glob,src=$flag"
        [ "$(jq length "$BATS_TEST_TMPDIR/ours.shown")" -gt 0 ]
    done
    cd "$TOP"
    alike "$shown" --mount 'type=glob,src=glob/a*,dst=/mnt'
    for flag in "$dir/z*,dst=/mnt" dst=/mnt "$dir/[a,dst=/mnt" 'glob/a1' "$dir/a1,dst=/mnt,bind-nonrecursive"; do
        run ! podman_ create --mount "type=glob,src=$flag" localhost/image sh
        run ! we_write --mount "type=glob,src=$flag"
    done
}

@test "--label-file sets annotations equal to podman's labels" {
    local theirs
    printf '# c\n\n  \t# d\nk1=v1\n  k2=v=2 \nk1=last\nk4=file\n' >"$TOP/labels"
    theirs=$(podman_ create --label-file "$TOP/labels" --label k4=mine --label empty localhost/image sh)
    podman_ inspect "$theirs" | jq -S '.[0].Config.Labels' >"$BATS_TEST_TMPDIR/theirs"
    we_write --label-file "$TOP/labels" --label k4=mine --label empty |
        jq -S '.annotations | with_entries(select(.key | startswith("org.opencontainers.image.") | not))' >"$BATS_TEST_TMPDIR/ours"
    diff "$BATS_TEST_TMPDIR/theirs" "$BATS_TEST_TMPDIR/ours"
    for line in '= x' 'a b=c'; do
        echo "$line" >"$TOP/labels"
        run ! podman_ create --label-file "$TOP/labels" localhost/image sh
        run ! we_write --label-file "$TOP/labels"
    done
}

@test "--passwd=false adds no entry for an unknown user" {
    local flag id dump=$BATS_TEST_TMPDIR/config.dump
    config_of plain >"$dump"
    for flag in --passwd=false --passwd; do
        id=$(podman_ run -d --network none --user 4242 $flag localhost/image /bin/busybox sleep 1000)
        cat "$TOP/root/overlay-containers/$id/userdata/config.json" >"$BATS_TEST_TMPDIR/theirs"
        spec-gen -q --container "$dump" --rootfs "$IMAGE" --compat podman-5.4 --user 4242 $flag >"$BATS_TEST_TMPDIR/ours"
        same_by '[.process.env[] | select(startswith("HOME="))]'
    done
}

@test "--subuidname and --subgidname map the same IDs as podman" {
    # The test must not write to the system's /etc.
    cp -a /etc "$TOP/etc"
    mount --bind "$TOP/etc" /etc
    printf '%s\n' sub:200000:1000 '#c' sub:100000:500 bad sub:x:5 other:1:1 >/etc/subuid
    printf '%s\n' sub:300000:65536 >/etc/subgid
    # libsubid, through which podman 5.8 reads the files, knows users with an account only.
    echo 'sub:x:4243:4243::/:/bin/sh' >>/etc/passwd
    local maps='[.linux.uidMappings, .linux.gidMappings]'
    alike "$maps" --subuidname sub --subgidname sub
    alike "$maps" --subuidname sub
    alike "$maps" --subgidname sub
    for flags in '--subuidname nosuch' '--subuidname sub --userns host' '--subuidname sub --uidmap 0:1:1'; do
        run ! podman_ create $flags localhost/image sh
        run ! we_write $flags
    done
    # podman confuses the two names, and finds no IDs for the group in the users' file.
    printf '%s\n' grp:400000:10 >>/etc/subgid
    run ! podman_ create --subuidname sub --subgidname grp localhost/image sh
    [ "$(we_write --subuidname sub --subgidname grp | jq '.linux.gidMappings[0].hostID')" = 400000 ]
    umount /etc
}
