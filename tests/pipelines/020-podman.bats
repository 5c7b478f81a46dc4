# podman imports an archive of a runc container, and runc restores an archive that podman has
# exported.

# bats file_tags=vm,long

load lib/helpers
load lib/podman

setup_file() {
    build_image
    setup_podman
}

setup() {
    here=$BATS_TEST_TMPDIR/here there=$BATS_TEST_TMPDIR/there
    cd "$BATS_TEST_TMPDIR"
}

teardown() {
    teardown_podman
    teardown_containers
}

# inside COMMAND: runs COMMAND by sh in podman's container web.
inside() {
    podman_ exec web sh -c "$1"
}

# Prints the changes of /app/count in the restored container. A single command does this, because
# podman starts slowly under emulation.
everything='
    cat /app/settings /app/replaced-dir /app/replaced-file/x /app/second /app/untouched
    stat -c "%a %n" /app/private /data
    stat -c "%h %n" /app/first
    ls /app/cache
    cat /data/file /dev/shm/file /scratch/file
    ls /app/deleted 2>&1
'
expected='changed
now a file
inside
linked
from the image
2750 /app/private
1770 /data
2 /app/first
new
in the volume
in shared memory
in a tmpfs
ls: /app/deleted: No such file or directory'

@test "podman imports an archive of a runc container" {
    shared_memory "$here/shm"
    # dd waits for a reader. Its buffer of 16 MiB of zeros becomes a hole in the archive.
    make_bundle "$here" "$bind_shm | .process.args = [\"/bin/sh\", \"-c\", \"
        mkfifo /tmp/zeros; exec 3<>/tmp/zeros; dd if=/dev/zero bs=16M >&3 2>/dev/null & exec 3>&-; exec /app/count\"]"
    start runc "$here" web
    checkpoint runc "$here" web
    before=$(counted "$here/rootfs")
    # The member is large enough that ckpt-pack aligns its start to a page.
    { echo 'here begins the large file' && head -c 2000000 /dev/urandom; } >"$here/data/large"
    sum=$(sha256sum <"$here/data/large")
    {
        rootfs-diff create --members --rootfs "$here/rootfs"
        vol-archive create --members data="$here/data" --shm "$here/shm"
    } | for_podman --id "$(printf '%064d' 1)" --runtime runc -o web.ckpt -
    tar -xf web.ckpt volumes/data.tar
    begins() { grep -abo 'here begins the large file' "$1" | cut -d: -f1; }
    [ $((($(begins web.ckpt) - $(begins volumes/data.tar)) % 4096)) = 0 ]
    memory=$(cat "$here"/checkpoint/pages-*.img | wc -c)
    [ "$(stat -c %s web.ckpt)" -lt $((memory + 2000000 - 12000000)) ]
    umount "$here/rootfs" "$here/shm"
    rm -r "$here"

    podman_ container restore --import web.ckpt
    first=$(counter)
    [ "$first" -ge "$before" ]
    diff <(inside "$everything" || true) <(echo "$expected")
    [ "$(inside 'sha256sum </data/large')" = "$sum" ]
    inside 'pidof dd'
    soon counter_above "$first"
}

@test "runc restores a container that podman has exported" {
    # Not /app/count: podman cannot export a container that has replaced a file by a directory.
    podman_ run -d --name web --network none -v data:/data --tmpfs /scratch localhost/image /bin/sh -c '
        echo linked > /app/first; ln /app/first /app/second; rm /app/deleted; chmod 700 /app/private
        echo "in the volume" > /data/file; echo "in shared memory" > /dev/shm/file; echo "in a tmpfs" > /scratch/file
        i=0; while :; do i=$((i + 1)); echo $i 1<> /tmp/counter; sleep 0.1; done'
    sleep 1.5
    podman_ container checkpoint --export web.ckpt web
    before=$(tar -xOf web.ckpt rootfs-diff.tar | tar -xOf - tmp/counter)
    podman_ rm -f -t0 web
    podman_ volume rm data

    overlay "$there"
    shared_memory "$there/shm"
    mkdir "$there/data"
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" --volume data="$there/data" --shm "$there/shm" <web.ckpt
    # CRIU checks the mode of the root directory, which is not a change of the container.
    [ "$(stat -c %a "$there/rootfs")" = 555 ]
    # podman creates these files for every container, and does not archive them.
    touch "$there"/{hosts,hostname,containerenv}
    spec-gen --restore --rootfs "$there/rootfs" --cgroups-path /web -v "$there/data:/data" --shm-dir "$there/shm" \
        -v "$there/hosts:/etc/hosts" -v "$there/hostname:/etc/hostname" \
        -v "$there/containerenv:/run/.containerenv" <"$there/bundle/spec.dump" >"$there/bundle/config.json"
    # Standard output and error were pipes of conmon, so CRIU needs pipes to restore them.
    mkfifo out
    cat out >output &
    timeout -s KILL 100 runc restore -d --bundle "$there/bundle" --image-path "$there/bundle/checkpoint" --work-path "$there/bundle" web \
        </dev/null >out 2>&1 || { cat output; grep Error "$there/bundle/restore.log"; false; }
    counted_past "$there/rootfs/tmp/counter" "$before"
    [ "$(runc exec web cat /data/file /dev/shm/file /scratch/file)" = $'in the volume\nin shared memory\nin a tmpfs' ]
    [ "$(runc exec web cat /app/first)" = linked ]
    run ! runc exec web ls /app/deleted
}
