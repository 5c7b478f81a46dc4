# docs/examples/migrate moves a container to another host, and neither loses nor duplicates it whatever
# fails.

load lib/helpers
load lib/documents
load lib/migrate

setup_file() {
    if [ -n "${NEWER_CRIU:-}" ]; then export PATH=$NEWER_CRIU:$PATH; fi
    build_seeded_image
    documents docs/migration.md
    hosts
    faulty_programs
}

teardown_file() {
    no_hosts
}

setup() {
    prepare_migration
}

teardown() {
    end_migration
}

@test "memory, files and a volume move, and the container counts on" {
    filled_runs -v /srv/data:/data
    awaited
    runc exec web sh -c 'echo new >/app/new; rm /app/deleted; mkdir /data/dir; echo one >/data/dir/file; ln /data/dir/file /data/link'
    before=$(counted "$B/rootfs")
    migrated --volume /srv/data
    [ "$status" = 0 ]
    decided
    counted_past "$there$B/rootfs/tmp/counter" "$before"
    [ "$(cat "$there$B/rootfs/app/new" "$there/srv/data/link")" = $'new\none' ]
    [ "$there/srv/data/link" -ef "$there/srv/data/dir/file" ]
    [ ! -e "$there$B/rootfs/app/deleted" ]
    [ ! -e "$there/run/migrate/in/web" ]
    grep 'web runs on the other host, after .* ms, of which it was paused for .* ms' migrate.log
}

@test "crun: memory and files move, and the container counts on" {
    if [ -e /sys/fs/cgroup/cgroup.controllers ] && grep -q :freezer: /proc/self/cgroup; then
        not_run "crun lets CRIU restore the freezer of version 1, which this machine has"
    fi
    RUNTIME=crun
    filled_runs -v /srv/data:/data
    awaited
    migrated --runtime crun --volume /srv/data --downtime 0 --rounds 3
    [ "$status" = 0 ]
    decided
}

@test "shared storage: both hosts use the same files" {
    B=$hosts/shared
    mkdir -p "$B"
    cp -a "$image" "$B/rootfs"
    filled_runs
    inode=$(stat -c %i "$B/rootfs/tmp/counter")
    migrated --shared-storage
    [ "$status" = 0 ]
    decided
    [ "$(stat -c %i "$B/rootfs/tmp/counter")" = "$inode" ]
}

@test "docs/migration.md: one command moves a container with its network" {
    export IMAGE=$image
    cp "$tests/netavark-options.json" opts.json
    cp opts.json "$hosts/home/there"
    mkdir -p /run/web
    ip netns add web
    netavark -c /run/netavark setup /run/netns/web <opts.json >/run/web/netavark.json
    filled_runs --network ns:/run/netns/web -v /srv/data:/data
    follow_there docs/migration.md 'mkdir -p /run/web/{upper'
    status=0
    follow docs/migration.md 'migrate --ssh' || status=$?
    decided
    [ "$status" = 0 ]
    [ "$(ssh there ip -n web -json address show eth0 | jq -r '.[0].addr_info[0].local')" = 10.88.0.5 ]
    # The new network is released, the old one is still blocked.
    [ -z "$(ssh there ip netns exec web nft list ruleset | grep drop)" ]
    [ -n "$(ip netns exec web nft list ruleset | grep drop)" ]
}

@test "docs/migration.md: --settle finishes a migration after SIGKILL" {
    filled_runs -v /srv/data:/data
    awaited
    fault runc-restore 1 0.02 KILL victim
    migrated --volume /srv/data
    [ "$status" = 137 ]
    at_rest
    [ "$(status_on here),$(status_on there)" = paused,running ]
    follow docs/migration.md 'migrate --settle web'
    decided
}

# printed WORDS: prints the command of the hint that begins with "to WORDS it".
printed() {
    sed -n "s/^hint: to $1 it .*: //p" migrate.log
}

@test "the printed commands resume or kill a paused container" {
    filled_runs
    awaited
    fault runc-pause 1 0.1 KILL victim
    migrated
    [ "$status" = 137 ]
    at_rest
    migrated
    [ "$status" = 4 ]
    [ "$(printed kill)" = '' ]
    eval "$(printed let)"
    decided

    # The next run begins again.
    fault runc-restore 1 0.02 KILL victim
    migrated
    [ "$status" = 137 ]
    at_rest
    [ "$(status_on here),$(status_on there)" = paused,running ]
    migrated
    [ "$status" = 4 ]
    eval "$(printed kill)"
    decided
}

@test "a full disk on either host leaves the container where it is" {
    filled_runs -v /srv/data:/data
    awaited
    mkdir -p /run/migrate
    mount -t tmpfs -o size=256k tmpfs /run/migrate
    migrated --volume /srv/data
    [ "$status" = 1 ]
    # The log of CRIU, which is on the same disk, may end before the error.
    grep -e 'No space left on device' -e 'COMMAND failed' migrate.log
    decided
    umount /run/migrate
    ssh-there there 'mkdir -p /run/migrate; mount -t tmpfs -o size=1m tmpfs /run/migrate'
    migrated --volume /srv/data
    [ "$status" = 1 ]
    grep 'No space left on device' migrate.log
    decided
    ssh-there there 'umount /run/migrate; mount -t tmpfs -o size=64k tmpfs /srv/data'
    dd if=/dev/urandom of=/srv/data/big bs=64k count=4 status=none
    migrated --volume /srv/data
    [ "$status" = 1 ]
    decided
    ssh-there there 'umount /srv/data'
}

@test "a reader that stalls is given up, and the container continues" {
    filled_runs -v /srv/data:/data
    awaited
    # The second one reads the final dump.
    fault ckpt-unpack 2 0 STOP
    migrated --volume /srv/data --stall 2
    pkill -CONT ckpt-unpack
    [ "$status" = 1 ]
    grep -e 'no data has moved for 2 s' -e 'no byte was packed' migrate.log
    decided
}

@test "whatever is killed, one host runs the container (1 of 2)" {
    local seed
    for seed in 27 14 19; do killed_at $seed; done
}

@test "whatever is killed, one host runs the container (2 of 2)" {
    local seed
    for seed in 9 12 16; do killed_at $seed; done
}
