# An interruption at any point leaves no partial archive and no partial bundle, and only a complete
# archive changes a root file system.

load lib/helpers

setup_file() {
    export source=$BATS_FILE_TMPDIR/source
    mkdir -p "$source"/{bundle/checkpoint,data,old,new}
    (cd "$source/bundle" && runc spec)
    echo inventory >"$source/bundle/checkpoint/inventory.img"
    head -c 24M /dev/urandom >"$source/bundle/checkpoint/pages-1.img"
    head -c 24M /dev/urandom >"$source/data/file"
    echo new >"$source/new/file"
    export members=$source/members archive=$source/web.ckpt
    {
        rootfs-diff create --members --from "$source/old" --to "$source/new"
        vol-archive create --members data="$source/data"
    } >"$members"
    ckpt-pack --bundle "$source/bundle" -o "$archive" "$members"
}

setup() {
    cd "$BATS_TEST_TMPDIR"
}

# small_disk: mounts a file system of 20 MiB on the directory "small".
small_disk() {
    mkdir small
    mount -t tmpfs -o size=20m tmpfs small
}

teardown() {
    umount small 2>/dev/null || true
}

# measured BEFORE COMMAND...: sets $length to the duration of COMMAND in microseconds, the shorter
# of two runs, each after BEFORE. Also seeds the random delays of interrupted.
measured() {
    local before=$1 n start took
    shift
    length=
    for n in 1 2; do
        "$before"
        start=${EPOCHREALTIME/./}
        "$@"
        took=$((${EPOCHREALTIME/./} - start))
        length=$((took < ${length:-took + 1} ? took : length))
    done
    seed=${INTERRUPTED_SEED:-$RANDOM}
    RANDOM=$seed
    echo "moments within $length us; INTERRUPTED_SEED=$seed repeats them"
}

# interrupted SIGNAL COMMAND...: runs COMMAND, sends it SIGNAL after a random delay, waits until its
# system calls have ended, and sets $status.
interrupted() {
    local moment=$(((RANDOM << 15 | RANDOM) % length)) signal=$1 pid
    shift
    "$@" &
    pid=$!
    sleep "$(printf '0.%06d' "$moment")"
    kill -s "$signal" $pid 2>/dev/null || true
    status=0
    wait $pid || status=$?
}

@test "a killed ckpt-pack leaves the old or a complete archive" {
    pack() { ckpt-pack --bundle "$source/bundle" --compress zstd --level 1 -o web.ckpt "$members"; }
    measured true pack
    echo precious >web.ckpt
    midway=0
    for n in {1..50}; do
        interrupted KILL ckpt-pack --bundle "$source/bundle" --compress zstd --level 1 -o web.ckpt "$members"
        # ckpt-pack replaces a file in two steps: linkat(2) with a temporary name, then rename(2).
        for new in .ckpt-*; do
            [ -e "$new" ] || break
            ckpt-unpack --verify "$new"
            rm "$new"
        done
        [ "$(ls -A)" = web.ckpt ]
        if [ "$(head -c 8 web.ckpt)" = precious ]; then
            [ "$status" = 137 ]
            midway=$((midway + 1))
        else
            # The archive was already complete, even if the process had not ended.
            ckpt-unpack --verify web.ckpt
            echo precious >web.ckpt
        fi
    done
    echo "killed midway: $midway of 50"
    [ "$midway" -ge 10 ]
}

@test "a killed ckpt-pack leaves a complete archive or none" {
    pack() { ckpt-pack --bundle "$source/bundle" --compress zstd --level 1 -o web.ckpt "$members"; }
    remove() { rm -f web.ckpt; }
    measured remove pack
    midway=0
    for n in {1..20}; do
        rm -f web.ckpt
        interrupted KILL ckpt-pack --bundle "$source/bundle" --compress zstd --level 1 -o web.ckpt "$members"
        if [ -e web.ckpt ]; then
            ckpt-unpack --verify web.ckpt
            [ "$(ls -A)" = web.ckpt ]
        else
            [ "$status" = 137 ]
            [ -z "$(ls -A)" ]
            midway=$((midway + 1))
        fi
    done
    echo "killed midway: $midway of 20"
    [ "$midway" -ge 4 ]
}

# unpack OPTION...: unpacks from a file into a bundle, a root file system and a volume.
unpack="ckpt-unpack --bundle web --rootfs rootfs --volume data=data"

# fresh: removes all output, and creates the root file system as in the image.
fresh() {
    rm -rf web .web.ckpt-* rootfs data
    mkdir rootfs
}

# complete: succeeds if the checkpoint is unpacked completely.
complete() {
    cmp web/checkpoint/pages-1.img "$source/bundle/checkpoint/pages-1.img"
    cmp data/file "$source/data/file"
    [ "$(cat rootfs/file)" = new ]
}

@test "a killed ckpt-unpack leaves a complete bundle or none" {
    measured fresh $unpack "$archive"
    midway=0
    for n in {1..50}; do
        fresh
        interrupted KILL $unpack "$archive"
        if [ -e web ]; then
            complete
        else
            [ "$status" = 137 ]
            midway=$((midway + 1))
            # Leftovers of the killed process do not disturb the second attempt.
            $unpack -q "$archive"
            complete
        fi
        [ -z "$(ls -A | grep -vx -e web -e rootfs -e data -e '\.web\.ckpt-.*')" ]
    done
    echo "killed midway: $midway of 50"
    [ "$midway" -ge 10 ]
}

@test "a terminated ckpt-unpack removes or reports its files" {
    measured fresh $unpack "$archive"
    midway=0
    for n in {1..20}; do
        fresh
        interrupted TERM $unpack "$archive" 2>said
        echo "status $status: $(cat said)"
        if [ -e web ]; then
            complete
        else
            [ "$status" != 0 ]
            midway=$((midway + 1))
            [ -z "$(ls -d .web.ckpt-* 2>/dev/null)" ]
            for dir in rootfs data; do
                if [ -n "$(ls -A $dir 2>/dev/null)" ]; then
                    grep -qx "ckpt-unpack: error: $dir: contains part of the checkpoint, .*" said
                fi
            done
        fi
    done
    echo "ended midway: $midway of 20"
    [ "$midway" -ge 4 ]
}

@test "only a truncated pipe changes files, and reports the changes" {
    size=$(stat -c %s "$archive")
    length=$size
    RANDOM=${INTERRUPTED_SEED:=$RANDOM}
    echo "INTERRUPTED_SEED=$INTERRUPTED_SEED"
    for n in {1..20}; do
        cut=$(((RANDOM << 15 | RANDOM) % (size - 1024)))
        head -c "$cut" "$archive" >cut.ckpt
        fresh
        run --separate-stderr $unpack cut.ckpt
        [ "$status" = 1 ]
        grep -q '^ckpt-unpack: error: cut.ckpt: ' <<<"$stderr"
        [ -z "$(ls -A rootfs)" ]
        [ ! -e web ]
        [ ! -e data ]

        run --separate-stderr bash -c "$unpack <cut.ckpt >/dev/null; exit \$?"
        [ "$status" = 1 ]
        run --separate-stderr bash -c "cat cut.ckpt | $unpack"
        [ "$status" = 1 ]
        [ ! -e web ]
        [ -z "$(ls -d .web.ckpt-* 2>/dev/null)" ]
        for dir in rootfs data; do
            if [ -n "$(ls -A $dir 2>/dev/null)" ]; then
                grep -q "error: $dir: contains part of the checkpoint" <<<"$stderr"
            fi
        done
    done
}

@test "ckpt-pack on a full disk keeps the old archive" {
    small_disk
    echo precious >small/web.ckpt
    run --separate-stderr ckpt-pack --bundle "$source/bundle" -o small/web.ckpt "$members"
    printf '%s\n' "$stderr"
    [ "$status" = 1 ]
    grep -q 'small/web.ckpt: No space left on device' <<<"$stderr"
    [ "$(cat small/web.ckpt)" = precious ]
    [ "$(ls -A small)" = web.ckpt ]
}

@test "ckpt-unpack on a full disk reports changes, leaves no bundle" {
    small_disk
    mkdir rootfs
    run --separate-stderr ckpt-unpack --bundle small/web --rootfs rootfs --volume data=data <"$archive"
    printf '%s\n' "$stderr"
    [ "$status" = 1 ]
    grep -q 'No space left on device' <<<"$stderr"
    [ -z "$(ls -A small)" ]
    # The images precede the diff, so the root file system was not changed.
    [ -z "$(ls -A rootfs)" ]

    run --separate-stderr ckpt-unpack --bundle web --rootfs rootfs --volume data=small/data <"$archive"
    printf '%s\n' "$stderr"
    [ "$status" = 1 ]
    grep -q 'rootfs: contains part of the checkpoint' <<<"$stderr"
    grep -q 'small/data: contains part of the checkpoint' <<<"$stderr"
    [ ! -e web ]
    [ -z "$(ls -A | grep -v -e '^rootfs$' -e '^small$' -e '^separate-stderr')" ]
}

@test "SIGPIPE ends ckpt-pack without a message, in every format" {
    # xz reads 24 MiB before its first write, and does not notice the closed pipe before.
    for format in none 'gzip --level 1' zstd 'xz --level 0' bzip2; do
        run --separate-stderr bash -c "set -o pipefail
            ckpt-pack --bundle '$source/bundle' --compress $format '$members' | head -c 100 >/dev/null"
        printf '%s %s\n' "$format" "$stderr"
        [ "$status" = 141 ]
        [ -z "$stderr" ]
    done
}
