# Gigabytes pass through in little memory and are written once.

load helpers

setup_file() {
    export source=$BATS_FILE_TMPDIR/source
    mkdir -p "$source"/{bundle/checkpoint,data}
    (cd "$source/bundle" && runc spec)
    echo inventory >"$source/bundle/checkpoint/inventory.img"
    # 2 GiB each, in data blocks of their own. Zeros that are written are no holes, but for an image of memory.
    yes memory | head -c $((2 << 30)) >"$source/bundle/checkpoint/pages-1.img"
    dd if=/dev/zero of="$source/data/file" bs=1M count=2048 status=none
}

setup() {
    cd "$BATS_TEST_TMPDIR"
}

# peak FILE: the peak memory in KiB that /usr/bin/time wrote there.
peak() {
    sed -n 's/.*Maximum resident set size (kbytes): //p' "$1"
}

# written FILE: the file system blocks of 512 bytes a process wrote, by the same report.
written() {
    sed -n 's/.*File system outputs: //p' "$1"
}

@test "packing a 2 GiB image directory and a 2 GiB volume: memory below 64 MiB, nothing on disk but the output" {
    mkdir scratch
    # The tools may write nowhere but into their output: every temporary directory they could use is on a file
    # system with room for 1 MiB, and what it holds is looked at afterwards.
    mount -t tmpfs -o size=1m tmpfs scratch
    export TMPDIR=$PWD/scratch
    time=(/usr/bin/time -v -o)
    "${time[@]}" vol.time vol-archive create --members data="$source/data" |
        "${time[@]}" pack.time ckpt-pack --bundle "$source/bundle" --ignore-rootfs -o web.ckpt -
    [ -z "$(ls -A scratch)" ]
    umount scratch

    size=$(stat -c %s web.ckpt)
    [ "$size" -gt $((4 << 30)) ]
    [ "$size" -lt $(((4 << 30) + (1 << 20))) ]
    [ "$(peak vol.time)" -lt 65536 ]
    [ "$(peak pack.time)" -lt 65536 ]
    # vol-archive writes into a pipe only; ckpt-pack writes each byte of the archive once.
    # Of the kernel's own bookkeeping some may be charged to vol-archive, but no content is.
    echo "written: $(written vol.time) blocks by vol-archive"
    [ "$(written vol.time)" -lt 2048 ]
    echo "written: $(written pack.time) blocks for $((size / 512))"
    [ "$(written pack.time)" -lt $((size / 512 + 4096)) ]
    [ "$(ls)" = $'pack.time\nscratch\nvol.time\nweb.ckpt' ]
}

@test "unpacking it: memory below 64 MiB, and every byte written once" {
    vol-archive create --members data="$source/data" |
        ckpt-pack --bundle "$source/bundle" --ignore-rootfs - |
        /usr/bin/time -v -o unpack.time ckpt-unpack --bundle bundle --volume data=data
    [ "$(peak unpack.time)" -lt 65536 ]
    cmp bundle/checkpoint/pages-1.img "$source/bundle/checkpoint/pages-1.img"
    cmp data/file "$source/data/file"
    [ ! -e bundle/volumes ]
    [ "$(written unpack.time)" -lt $(((4 << 30) / 512 + 16384)) ]
}
