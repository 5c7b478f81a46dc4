# A container whose program fills its memory from a seed, and changes parts of it on request; and the
# comparison of this memory. The variables $here and $image are set by the test file.

# add_memory_program: adds the program to the image.
add_memory_program() {
    # Fills 16 MiB from a seed and then, for each line in /tmp/control, changes a part of it.
    cat >"$image/app/memory" <<'AWK'
BEGIN {
    srand(seed)
    for (i = 0; i < 120000; i++) a[i] = i " " rand() " " rand() " " rand()
    print "filled" > "/tmp/state"; close("/tmp/state")
    while ((getline line < "/tmp/control") > 0) {
        if (line == "sum") {
            h = 0
            for (i = 0; i < 120000; i++) for (n = split(a[i], words, " "); n; n--) h = (h * 31 + words[n] * 1e6) % 1e9
            printf "%d\n", h > "/tmp/state"
        } else {
            for (i = line * 8000; i < (line + 1) * 8000; i++) a[i] = i " " rand() " " rand() " " rand()
            print "changed " line > "/tmp/state"
        }
        close("/tmp/state")
    }
}
AWK
}

# start_memory RUNTIME: starts the container "web", whose memory is filled from a seed.
start_memory() {
    make_bundle "$here" '.process.args = ["/bin/sh", "-c", "mkfifo /tmp/control; exec 3<>/tmp/control; exec busybox awk -v seed=7 -f /app/memory"]'
    "$1" --log "$here/$1.log" run -d --bundle "$here" web </dev/null >/dev/null 2>&1
    answer filled
}

# answer TEXT [ROOTFS]: waits for this state of the program.
answer() {
    local try
    for try in {1..300}; do
        [ "$(cat "${2:-$here/rootfs}/tmp/state" 2>/dev/null)" = "$1" ] && return
        sleep 0.1
    done
    return 1
}

# idle RUNTIME: waits until the program waits for its next line.
idle() {
    local pid try quiet=0
    pid=$("$1" state web | jq .pid)
    for try in {1..300}; do
        if [[ $(sed 's/.*) //' "/proc/$pid/stat") == S* ]]; then quiet=$((quiet + 1)); else quiet=0; fi
        [ "$quiet" -ge 5 ] && return
        sleep 0.05
    done
    return 1
}

# change N: changes a part of the memory.
change() {
    echo "$1" >"$here/rootfs/tmp/control"
    answer "changed $1"
}

# sum ROOTFS: prints a checksum that the program computes from its memory.
sum() {
    echo sum >"$1/tmp/control"
    local try
    for try in {1..100}; do
        grep -x '[0-9]*' "$1/tmp/state" && return
        sleep 0.1
    done
    return 1
}

# memory RUNTIME: prints the digests of the private writable mappings of the program, and their
# addresses. Two parts change when the system call in which the program waits is restarted and are
# not compared: the stack, and the first page of the heap, which has the locks of stdio.
memory() {
    local pid range rest
    idle "$1"
    pid=$("$1" state web | jq .pid)
    grep -E '^[0-9a-f]+-[0-9a-f]+ rw.p .* 0 *(\[heap\])?$' "/proc/$pid/maps" | while read -r range rest; do
        local from=$((16#${range%-*})) to=$((16#${range#*-}))
        [[ $rest != *heap* ]] || from=$((from + 4096))
        echo "$range $(dd if="/proc/$pid/mem" iflag=skip_bytes,count_bytes bs=64k skip=$from count=$((to - from)) status=none | sha256sum)"
    done
}

# dump NAME RUNTIME [FLAG]...: checkpoints the container, which continues to run, and packs NAME.
dump() {
    local name=$1 runtime=$2
    shift 2
    idle "$runtime"
    "$runtime" checkpoint --leave-running --image-path "$PWD/$name.images" --work-path "$PWD/$name.images" web
    ckpt-pack --bundle "$here" --image-path "$name.images" --ignore-rootfs --ignore-volumes --name web \
        --id "$(printf '%064d' 1)" -o "$name" "$@"
}

# restores RUNTIME BUNDLE: restores BUNDLE as the container "web" and compares its memory with the
# file "memory".
restores() {
    cp "$here/config.json" "$2/config.json"
    restore "$1" "$2" web
    memory "$1" | diff memory -
    "$1" delete -f web
}
