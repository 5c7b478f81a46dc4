# Gigabytes are packed and unpacked with little memory, and are written once.

load lib/helpers

setup_file() {
    export source=$BATS_FILE_TMPDIR/source
    mkdir -p "$source"/{bundle/checkpoint,data}
    (cd "$source/bundle" && runc spec)
    echo inventory >"$source/bundle/checkpoint/inventory.img"
    # 2 GiB each, with allocated blocks. Only of memory images ckpt-pack leaves out zero pages.
    yes memory | head -c $((2 << 30)) >"$source/bundle/checkpoint/pages-1.img"
    dd if=/dev/zero of="$source/data/file" bs=1M count=2048 status=none
}

setup() {
    cd "$BATS_TEST_TMPDIR"
}

# peak FILE: prints the peak memory in KiB from a report of /usr/bin/time.
peak() {
    sed -n 's/.*Maximum resident set size (kbytes): //p' "$1"
}

# written FILE: prints the number of 512-byte blocks that the process has written, from the same
# report.
written() {
    sed -n 's/.*File system outputs: //p' "$1"
}

@test "packing 4 GiB takes under 64 MiB and no temporary file" {
    mkdir scratch
    # The tools must not write temporary files: all temporary directories are on a file system of 1
    # MiB, which must be empty afterwards.
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
    # vol-archive writes only to a pipe, and ckpt-pack writes each byte of the archive once. The
    # kernel may account some metadata blocks to vol-archive.
    echo "written: $(written vol.time) blocks by vol-archive"
    [ "$(written vol.time)" -lt 2048 ]
    echo "written: $(written pack.time) blocks for $((size / 512))"
    [ "$(written pack.time)" -lt $((size / 512 + 4096)) ]
    [ "$(ls)" = $'pack.time\nscratch\nvol.time\nweb.ckpt' ]
}

@test "unpacking 4 GiB takes under 64 MiB, writes each byte once" {
    vol-archive create --members data="$source/data" |
        ckpt-pack --bundle "$source/bundle" --ignore-rootfs - |
        /usr/bin/time -v -o unpack.time ckpt-unpack --bundle bundle --volume data=data
    [ "$(peak unpack.time)" -lt 65536 ]
    cmp bundle/checkpoint/pages-1.img "$source/bundle/checkpoint/pages-1.img"
    cmp data/file "$source/data/file"
    [ ! -e bundle/volumes ]
    [ "$(written unpack.time)" -lt $(((4 << 30) / 512 + 16384)) ]
}
