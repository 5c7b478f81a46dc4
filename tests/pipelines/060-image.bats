# Checkpoints as OCI images: podman restores images of ckpt-pack, and ckpt-unpack unpacks images of
# podman.

load lib/helpers
load lib/podman
load lib/registry

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

# restored BEFORE: succeeds if podman's container web continues to count after BEFORE and has its
# files.
restored() {
    [ "$(counter)" -ge "$1" ]
    soon counter_above "$1"
    [ "$(podman_ exec web cat /app/settings /app/cache/new /data/file)" = $'changed\nfresh\nin the volume' ]
    run ! podman_ exec web ls /app/deleted
}

@test "podman loads the image and restores the container" {
    make_bundle "$here"
    start runc "$here" web
    checkpoint runc "$here" web
    before=$(counted "$here/rootfs")
    pack_here --format oci --compress gzip --tag localhost/web:1 -o web.tar
    umount "$here/rootfs"
    rm -r "$here"
    podman_ load -i web.tar
    podman_ container restore localhost/web:1
    restored "$before"
    podman_ rmi -f localhost/web:1
}

@test "podman restores an image with several layers" {
    make_bundle "$here"
    start runc "$here" web
    checkpoint runc "$here" web
    before=$(counted "$here/rootfs")
    pack_here --format oci --layers split --compress zstd --tag localhost/web:3 -o web.tar
    # Parts that have not changed have the same bytes in a later checkpoint.
    find "$here/checkpoint" -exec touch {} +
    SOURCE_DATE_EPOCH=1000000000 pack_here --format oci --layers split --compress zstd --tag localhost/web:3 -o later.tar
    layers() { skopeo inspect --raw "oci-archive:$1" | jq -r '.layers[].digest'; }
    [ "$(layers web.tar | wc -l)" = 4 ]
    [ "$(diff <(layers web.tar) <(layers later.tar) | grep -c '^<')" = 1 ]
    umount "$here/rootfs"
    rm -r "$here"
    podman_ load -i web.tar
    podman_ container restore localhost/web:3
    restored "$before"
    podman_ rmi -f localhost/web:3
    overlay "$there"
    mkdir "$there/data"
    ckpt-unpack --verify web.tar
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" --volume data="$there/data" web.tar
    [ "$(cat "$there/rootfs/app/settings" "$there/data/file")" = $'changed\nin the volume' ]
}

@test "a registry receives only the layers that have changed" {
    make_bundle "$here"
    head -c 4M /dev/urandom >"$here/data/large"
    start runc "$here" web
    checkpoint runc "$here" web
    before=$(counted "$here/rootfs")
    registry
    local push=(skopeo --insecure-policy copy --dest-tls-verify=false) first second
    pack_here --format oci --layers split --compress zstd --tag registry.example/web:1 -o 1.tar
    "${push[@]}" oci-archive:1.tar docker://127.0.0.1:80/web:1
    first=$(du -sb registry | cut -f 1)
    echo later >"$here/rootfs/app/later"
    SOURCE_DATE_EPOCH=2000000000 pack_here --format oci --layers split --compress zstd --tag registry.example/web:2 -o 2.tar
    "${push[@]}" oci-archive:2.tar docker://127.0.0.1:80/web:2
    second=$(($(du -sb registry | cut -f 1) - first))
    echo "# first push $first bytes, second push $second bytes"
    [ "$first" -gt 4000000 ]
    [ "$second" -lt 100000 ]
    skopeo --insecure-policy copy --src-tls-verify=false docker://127.0.0.1:80/web:2 oci:pulled
    kill $registry
    umount "$here/rootfs"
    overlay "$there"
    mkdir "$there/data"
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" --volume data="$there/data" pulled
    cmp "$here/data/large" "$there/data/large"
    [ "$(cat "$there/rootfs/app/later")" = later ]
    spec-gen --restore --rootfs "$there/rootfs" -v "$there/data:/data" <"$there/bundle/spec.dump" >"$there/bundle/config.json"
    restore runc "$there/bundle" web
    counted_past "$there/rootfs/tmp/counter" "$before"
}

@test "podman pulls an oci-archive whose layer uses zstd" {
    make_bundle "$here"
    start runc "$here" web
    checkpoint runc "$here" web
    before=$(counted "$here/rootfs")
    pack_here --format oci --compress zstd --tag localhost/web:2 >web.tar
    umount "$here/rootfs"
    podman_ pull "oci-archive:$PWD/web.tar"
    podman_ container restore localhost/web:2
    restored "$before"
    podman_ rmi -f localhost/web:2
}

@test "runc restores a container from podman's checkpoint image" {
    podman_ run -d --name web --network none -v data:/data localhost/image /bin/sh -c '
        echo changed > /app/new; echo "in the volume" > /data/file
        i=0; while :; do i=$((i + 1)); echo $i 1<> /tmp/counter; sleep 0.1; done'
    sleep 1
    podman_ container checkpoint --create-image localhost/ckpt web
    podman_ save --format oci-archive -o web.tar localhost/ckpt
    podman_ save --format docker-archive -o docker.tar localhost/ckpt
    podman_ rm -f -t0 web
    mkdir layout
    tar -C layout -xf web.tar
    ckpt-unpack --list <web.tar >listed
    for form in layout docker.tar; do
        ckpt-unpack --list "$form" >other
        diff listed other
    done
    # From a pipe, too, in which the blobs are not in the order of their use.
    for form in web.tar docker.tar; do
        cat "$form" | ckpt-unpack --list >other
        diff listed other
        cat "$form" | ckpt-unpack --show >/dev/null
        cat "$form" | ckpt-unpack --bundle "piped-$form"
        [ -e "piped-$form/checkpoint/inventory.img" ]
    done

    overlay "$there"
    shared_memory "$there/shm"
    mkdir "$there/data"
    ckpt-unpack --bundle "$there/bundle" --rootfs "$there/rootfs" --volume data="$there/data" --shm "$there/shm" layout
    before=$(counted "$there/rootfs")
    touch "$there"/{hosts,hostname,containerenv}
    spec-gen --restore --rootfs "$there/rootfs" --cgroups-path /web -v "$there/data:/data" --shm-dir "$there/shm" \
        -v "$there/hosts:/etc/hosts" -v "$there/hostname:/etc/hostname" \
        -v "$there/containerenv:/run/.containerenv" <"$there/bundle/spec.dump" >"$there/bundle/config.json"
    mkfifo out
    cat out >output &
    timeout -s KILL 100 runc restore -d --bundle "$there/bundle" --image-path "$there/bundle/checkpoint" --work-path "$there/bundle" web \
        </dev/null >out 2>&1 || { cat output; grep Error "$there/bundle/restore.log"; false; }
    counted_past "$there/rootfs/tmp/counter" "$before"
    [ "$(runc exec web cat /app/new /data/file)" = $'changed\nin the volume' ]
    ckpt-unpack --print-stats --cleanup --bundle "$there/bundle" | jq -e '.podman_restore_duration > 0 and (.container_statistics[0] | .runtime_restore_duration > 0 and .criu_statistics.restore_time > 0)'
    ls "$there/bundle"
    [ -e "$there/bundle/config.dump" ] && [ -e "$there/bundle/spec.dump" ] && [ -e "$there/bundle/config.json" ]
    [ -z "$(cd "$there/bundle" && ls -d checkpoint restore.log stats-restore rootfs-diff.tar volumes 2>/dev/null)" ]
}

@test "podman imports gzip, zstd, xz and bzip2" {
    make_bundle "$here"
    start runc "$here" web
    checkpoint runc "$here" web
    before=$(counted "$here/rootfs")
    for format in gzip zstd xz bzip2; do
        pack_here --compress "$format" -o "web.$format"
    done
    umount "$here/rootfs"
    for format in gzip zstd xz bzip2; do
        podman_ container restore --import "web.$format"
        restored "$before"
        teardown_podman
    done
}

@test "ckpt-unpack selects one of several images by name" {
    make_bundle "$here"
    start runc "$here" web
    checkpoint runc "$here" web
    for name in one two; do
        ckpt-pack --bundle "$here" --ignore-rootfs --name "$name" --format oci --tag "localhost/$name" -o "$name.tar"
        mkdir "$name"
        tar -C "$name" -xf "$name.tar"
    done
    cp -r one both
    cp two/blobs/sha256/* both/blobs/sha256/
    jq -s '.[0].manifests += .[1].manifests | .[0]' one/index.json two/index.json >both/index.json
    tar -C both -cf both.tar .
    for form in both both.tar; do
        run -1 ckpt-unpack --show "$form"
        [[ $output == *'index.json lists "localhost/one", "localhost/two"'* ]]
        [[ $output == *'hint: select one: --tag REF, or --tag sha256:DIGEST'* ]]
        run -1 ckpt-unpack --show --tag localhost/three "$form"
        [[ $output == *'index.json lists "localhost/one", "localhost/two"'* ]]
        rm -rf chosen
        ckpt-unpack --bundle chosen --tag localhost/two "$form"
        [ "$(jq -r .name chosen/config.dump)" = two ]
    done
    ckpt-pack --bundle "$here" --ignore-rootfs -o plain
    run -2 ckpt-unpack --show --tag localhost/one plain
    [[ $output == *'plain is not an OCI image'* ]]
}
