# Functions for tests of docs/examples/migrate: a container whose memory proves itself, on one of two
# hosts.

# build_seeded_image: adds to the image a program that fills its memory from a seed, changes it
# steadily, and checks it. It counts in /tmp/counter. A new line in /tmp/check makes it compare its
# memory with what the seed and the counter demand: it writes this line and the result to /tmp/checked.
build_seeded_image() {
    build_image
    cat >"$image/app/fill" <<'FILL'
#!/bin/sh
# CRIU cannot dump a process that waits in vfork(2), as awk does in system(): a shell sleeps for it.
while :; do echo; sleep 0.05; done | exec awk '
    function block(i, generation,    x, s, n) {
        x = (seed * 7919 + i * 104729 + generation * 1299709) % 2147483647 + 1
        for (n = 0; n < 40; n++) { x = (x * 16807) % 2147483647; s = s x }
        return s s s s s s s s s s
    }
    function check(    i, generation) {
        for (i = 0; i < blocks; i++) {
            generation = counter <= i ? 0 : int((counter - 1 - i) / blocks) + 1
            if (memory[i] != block(i, generation)) return "block " i " differs at " counter
        }
        return "intact " counter
    }
    BEGIN {
        seed = ENVIRON["SEED"]; blocks = ENVIRON["BLOCKS"]
        for (i = 0; i < blocks; i++) memory[i] = block(i, 0)
    }
    {
        memory[counter % blocks] = block(counter % blocks, int(counter / blocks) + 1)
        counter++
        print counter >"/tmp/counter"; close("/tmp/counter")
        if ((getline asked <"/tmp/check") > 0) {
            close("/tmp/check")
            if (asked != answered) { answered = asked; print asked, check() >"/tmp/checked"; close("/tmp/checked") }
        }
    }'
FILL
    chmod 755 "$image/app/fill"
}

# filled_runs [OPTION]...: starts the container "web" with this program on this host, with these
# options of spec-gen.
filled_runs() {
    export B=${B:-/run/web}
    [ -e "$B/rootfs" ] || overlay "$B"
    mkdir -p /srv/data
    spec-gen --new --rootfs "$B/rootfs" --read-only=false --tty=false --cgroups-path "$cgroup" \
        --env SEED=$RANDOM --env "BLOCKS=${BLOCKS:-500}" "$@" -- /app/fill >"$B/config.json"
    start "${RUNTIME:-runc}" "$B" web
}

# awaited: mounts the image on the other host.
awaited() {
    ssh there "set -e; mkdir -p $B/{rootfs,upper,work}
        mount -t overlay overlay -o lowerdir=$image,upperdir=$B/upper,workdir=$B/work $B/rootfs"
}

# intact ROOTFS: succeeds if the memory of the program that runs in ROOTFS is what the seed demands.
intact() {
    local try question=$RANDOM$RANDOM
    echo $question >"$1/tmp/check"
    for try in {1..300}; do
        if grep -s "^$question " "$1/tmp/checked"; then
            grep -q "^$question intact" "$1/tmp/checked"
            return
        fi
        sleep 0.1
    done
    echo "the memory was not checked"
    return 1
}

# faulty_programs: replaces ssh, CRIU and others by scripts that can be killed at a chosen moment (see
# fault). A connection of this ssh consists of processes of its own, as that of the real one: when it
# is killed, the command on the other host loses its input and output, and continues.
faulty_programs() {
    local name
    cat >"$hosts/bin/fault" <<'FAULT'
#!/bin/bash
# fault KIND PROGRAM [ARG]...: runs PROGRAM. If $hosts/fault names KIND, kills it, or the process in
# $hosts/victim, after a delay.
kind=$1
shift
if read -r wanted nth delay signal victim 2>/dev/null <"$hosts/fault" && [ "$wanted" = "$kind" ]; then
    if [ "$nth" -gt 1 ]; then
        echo "$wanted $((nth - 1)) $delay $signal $victim" >"$hosts/fault"
    elif mv "$hosts/fault" "$hosts/fault.done" 2>/dev/null; then
        pid=$$
        [ "$victim" = self ] || pid=$(cat "$hosts/victim")
        (sleep "$delay"; kill -s "$signal" "$pid") </dev/null >/dev/null 2>&1 &
    fi
fi
exec "$@"
FAULT
    for name in runc criu ckpt-pack ckpt-unpack; do
        cat >"$hosts/bin/$name" <<FAULT
#!/bin/bash
kind=$name
case "$name \$*" in
'criu swrk'*) if [ "\$(hostname)" = there ]; then kind=criu-there; else kind=criu-here; fi ;;
ckpt-pack*' -- '*) kind=ckpt-pack-final ;;
criu*|*' --check'*|*' --version'*|*' --help'*) kind=other ;;
runc*' checkpoint '*) kind=runc-checkpoint ;;
runc*' restore '*) kind=runc-restore ;;
runc*' delete '*) kind=runc-delete ;;
runc*' pause '*) kind=runc-pause ;;
runc*) kind=other ;;
esac
exec "$hosts/bin/fault" "\$kind" "$(command -v $name)" "\$@"
FAULT
    done
    cp "$hosts/bin/ssh" "$hosts/bin/ssh-there"
    cat >"$hosts/bin/ssh" <<'SSH'
#!/bin/bash
# ssh [-T] HOST COMMAND...
if [ "$1" = -T ]; then shift; fi
if [ "${0##*/}" = ssh ]; then
    kind=${2##*migrate-there }
    kind=ssh-${kind%% *}
    exec "$hosts/bin/fault" "$kind" "$hosts/bin/ssh-link" "$@"
fi
# As with ssh, the end of the remote command ends the connection.
exec 3>&1 4<&0 >/dev/null </dev/null
result=$(mktemp)
pump() { exec setpriv --pdeathsig KILL cat; }
pump <&4 3>&- 4<&- |
    { setsid env -u MIGRATE_STREAM "$hosts/bin/ssh-there" "$@" 3>&- 4<&-; echo $? >"$result"; } |
    pump >&3 3>&- 4<&- &
exec 3>&- 4<&-
wait $!
status=$(cat "$result")
rm "$result"
exit "${status:-255}"
SSH
    ln -s ssh "$hosts/bin/ssh-link"
    chmod +x "$hosts"/bin/*
}

# fault KIND NTH DELAY [SIGNAL [VICTIM]]: sends SIGNAL (default: KILL) to the NTH process of this kind
# DELAY seconds after its start, or to the process whose ID is in $hosts/victim.
fault() {
    rm -f "$hosts"/fault "$hosts"/fault.done
    echo "$1 $2 $3 ${4:-KILL} ${5:-self}" >"$hosts/fault"
}

# at_rest: waits until all processes of migrations have ended.
at_rest() {
    local try
    for try in {1..300}; do
        pgrep -f "$hosts/bin/ssh|docs/examples/migrate|migrate-there|criu swrk|runc .*(checkpoint|restore)" >/dev/null || return 0
        sleep 0.1
    done
    pgrep -af "$hosts/bin/ssh|docs/examples/migrate|migrate-there|criu swrk|runc .*(checkpoint|restore)"
    return 1
}

# status_on HOST: prints the status of the container "web" on HOST, or "none" if it has no process.
status_on() {
    ssh-there "$1" "${RUNTIME:-runc}" state web 2>/dev/null | jq -r .status | grep -vx stopped || echo none
}

# migrated [OPTION]...: migrates the container to the other host, and sets $status.
migrated() {
    migrate --ssh 'ssh -T there' "$@" web 2>migrate.log &
    echo $! >"$hosts/victim"
    status=0
    wait $! || status=$?
    # A line of bash for each process that a test has killed is no message of the script.
    grep -v -e 'does not track memory' -e 'checkpoint in one step' migrate.log || true
}

# decided: fails unless exactly one host runs the container, with its memory intact, or it is paused on
# this host and the next run prints the commands that decide; then it follows them.
decided() {
    at_rest
    echo "status $status: here $(status_on here), there $(status_on there)"
    if [ "$(status_on here)" = paused ]; then
        [ "$status" = 4 ] || [ "$status" -gt 128 ]
        migrated
        [ "$status" = 4 ]
        grep -x 'hint: to ask the other host again: migrate --settle web' migrate.log
        grep 'hint: to .* it .*: .*runc \(resume\|delete --force\) web' migrate.log
        migrate --settle web || [ $? = 1 ]
        at_rest
        echo "settled: here $(status_on here), there $(status_on there)"
    fi
    case $(status_on here),$(status_on there) in
    running,none)
        # The cgroup on the other host.
        [ -z "$(grep -ls '/web$' /proc/[0-9]*/cgroup)" ]
        intact "$B/rootfs"
        [ "$status" != 0 ]
        ;;
    none,running) intact "$there$B/rootfs" ;;
    *) return 1 ;;
    esac
    # After SIGKILL, the next run removes the files.
    [ "$status" -gt 1 ] || [ -z "$(ls /run/migrate/out)" ]
}

prepare_migration() {
    PATH=$PATH:$source_dir/docs/examples
    there=/proc/$(cat "$hosts/there")/root
    cd "$hosts/home/here"
}

end_migration() {
    # After a failure of the test.
    if [ -e "$hosts/victim" ]; then kill "$(cat "$hosts/victim")" 2>/dev/null || true; fi
    pkill -KILL ckpt-unpack || true
    runc resume web 2>/dev/null || true
    crun delete -f web 2>/dev/null || true
    ssh-there there crun delete -f web 2>/dev/null || true
    web_is_gone
    umount /run/migrate 2>/dev/null || true
    ssh-there there 'umount /run/migrate /srv/data 2>/dev/null; rm -rf --one-file-system /run/migrate'
    rm -rf --one-file-system /run/migrate "$hosts"/fault*
}

# A line: which process triggers the fault, how many seconds at most after its start, and what gets
# SIGKILL: this process, or "migrate" itself.
faults='runc-pause 1 0.05 self
runc-checkpoint 1 0.25 self
criu-here 1 0.05 self
criu-here 2 0.2 self
ckpt-pack 2 0.1 self
ckpt-pack-final 1 0.4 self
ssh-round 2 0.2 self
ckpt-unpack 1 0.2 self
ckpt-unpack 3 0.6 self
ssh-receive 1 0.6 self
ssh-files 2 0.1 self
ssh-files 3 0.5 self
ssh-wait 1 0.8 self
ssh-wait 1 1.2 self
runc-restore 1 0.25 self
criu-there 1 0.05 self
criu-there 2 0.2 self
runc-delete 1 0.05 self
runc-pause 1 0.6 victim
runc-restore 1 0.4 victim
runc-delete 1 0.1 victim
ssh-begin 1 1 victim'

# killed_at SEED: kills one process of a migration, which the seed selects, at a moment that it selects.
killed_at() {
    local lines kind nth most victim
    RANDOM=$1
    mapfile -t lines <<<"$faults"
    read -r kind nth most victim <<<"${lines[$1 % ${#lines[@]}]}"
    fault "$kind" "$nth" "$(awk "BEGIN { print $most * ($RANDOM / 32768) ^ 2 }")" KILL "$victim"
    echo "seed $1: $(cat "$hosts/fault")"
    filled_runs -v /srv/data:/data
    awaited
    migrated --volume /srv/data --downtime 0 --rounds 2 --stall 5
    decided
    end_migration
}
