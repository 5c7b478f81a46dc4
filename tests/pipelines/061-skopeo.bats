# Checkpoint images that skopeo has copied or converted can be restored.

load lib/helpers
load lib/podman
load lib/archives

setup_file() {
    build_image
    setup_podman
    # All tests use one container, which is packed once as an image, with its network and its log.
    export here=$BATS_FILE_TMPDIR/here
    make_bundle "$here"
    start runc "$here" web
    checkpoint runc "$here" web
    before=$(counted "$here/rootfs")
    export before
    echo '2026-01-02T03:04:05.000000000+00:00 stdout F before the dump' >"$here/ctr.log"
    {
        rootfs-diff create --members --rootfs "$here/rootfs"
        vol-archive create --members data="$here/data"
    } >"$here/members"
    for_podman -o "$BATS_FILE_TMPDIR/web.ckpt" "$here/members"
    for format in none gzip zstd; do
        for_podman --format oci --compress $format --tag localhost/web:1 -o "$BATS_FILE_TMPDIR/$format.tar" "$here/members"
    done
}

teardown_file() {
    umount -l "$here/rootfs"
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    made=$BATS_FILE_TMPDIR
}

teardown() {
    teardown_podman
    podman_ rmi -f localhost/web:1 2>/dev/null || true
}

skopeo_() {
    skopeo --insecure-policy --tmpdir "$BATS_TEST_TMPDIR" "$@"
}

# as_packed IMAGE: succeeds if ckpt-unpack reads the image as the archive that was packed.
as_packed() {
    ckpt-unpack --verify "$1"
    rm -rf unpacked
    ckpt-unpack --bundle unpacked "$1"
    pack_again unpacked -o again.ckpt
    equivalent "$made/web.ckpt" again.ckpt
    grep -q 'before the dump' unpacked/ctr.log
}

# restores: restores podman's image localhost/web:1 as a running container.
restores() {
    podman_ container restore localhost/web:1
    [ "$(counter)" -ge "$before" ]
    [ "$(podman_ exec web cat /app/settings /data/file)" = $'changed\nin the volume' ]
}

@test "skopeo copies images in every compression without loss" {
    for format in none gzip zstd; do
        skopeo_ copy "oci-archive:$made/$format.tar" oci:layout:localhost/web:1
        as_packed layout
        skopeo_ copy oci:layout:localhost/web:1 oci-archive:back.tar:localhost/web:1
        as_packed back.tar
        rm -r layout back.tar
    done
    skopeo_ copy "oci-archive:$made/gzip.tar" oci:layout:localhost/web:1
    skopeo_ inspect oci:layout:localhost/web:1 | jq -e '.Layers | length == 1'
    podman_ pull oci:layout:localhost/web:1
    restores
}

@test "podman restores images that skopeo has recompressed" {
    for format in gzip zstd; do
        skopeo_ copy --dest-compress-format $format --dest-compress "oci-archive:$made/none.tar" "oci:$format:localhost/web:1"
        skopeo_ copy "oci:$format:localhost/web:1" "oci-archive:$format.tar:localhost/web:1"
        jq -r '.layers[0].mediaType' "$format/blobs/sha256/$(jq -r '.manifests[0].digest' $format/index.json | cut -d: -f2)" |
            grep -q "$format"
        as_packed $format.tar
        podman_ load -i $format.tar
        restores
        teardown_podman
        podman_ rmi -f localhost/web:1
    done
}

@test "docker-archive: loses only annotations; dir: loses nothing" {
    skopeo_ copy "oci-archive:$made/gzip.tar" dir:flat
    skopeo_ copy dir:flat oci-archive:back.tar:localhost/web:1
    as_packed back.tar
    skopeo_ copy "oci-archive:$made/gzip.tar" docker-archive:docker.tar:localhost/web:1
    as_packed docker.tar
    podman_ load -i docker.tar
    run podman_ container restore localhost/web:1
    [ "$status" != 0 ]
    # Packing the unpacked archive creates an image with the annotations.
    podman_ rmi -f localhost/web:1
    pack_again unpacked --format oci --tag localhost/web:1 -o again.tar
    podman_ load -i again.tar
    restores
}

@test "podman pull and podman load accept the same file" {
    podman_ pull "oci-archive:$made/zstd.tar"
    restores
    teardown_podman
    podman_ rmi -f localhost/web:1
    podman_ load -i "$made/none.tar"
    restores
}
